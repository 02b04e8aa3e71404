"""Packets, transports, faults and the eye of the virtual camera."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import struct

import pytest

from drivers.simulated.zoo import announcement, rtsp_server, web
from drivers.simulated.zoo.faults import Faults
from drivers.simulated.zoo.media import Transport, parse_transport
from drivers.simulated.zoo.packets import (
    CodedPicture,
    PictureSplitter,
    RtpSender,
    description,
    payloads,
)
from drivers.simulated.zoo.picture import Eye
from gateway.driverkit.rtp import PictureAssembler, parse_rtp
from gateway.driverkit.sdp import parse_sdp

DELIMITER = b"\0\0\0\1\x09\xf0"
SPS = bytes.fromhex("6742c016da0280bfe5c044000003000400000300783c58ba80")
PPS = bytes.fromhex("68ce0fc8")
KEY = b"\x65" + bytes(range(256)) * 20
SMALL = b"\x41abc"


def test_pictures_are_split_at_delimiters_however_the_octets_come():
    stream = (
        DELIMITER + b"\0\0\0\1" + SPS + b"\0\0\1" + PPS + b"\0\0\1" + KEY
        + DELIMITER + b"\0\0\1" + SMALL + DELIMITER + b"\0\0\1" + SMALL
    )  # fmt: skip
    for size in (1, 7, len(stream)):
        splitter = PictureSplitter()
        pictures = [
            picture
            for at in range(0, len(stream), size)
            for picture in splitter.feed(stream[at : at + size])
        ]
        assert pictures == [(SPS, PPS, KEY), (SMALL,)]


def test_packets_join_to_the_same_picture():
    sender = RtpSender(7, 65534)
    picture = CodedPicture((SPS, PPS, KEY), 90, 0.0)
    packets = list(sender.packets(picture))
    assert all(len(packet) <= 1412 for packet in packets)
    assert [packet[1] >> 7 for packet in packets] == [0] * (len(packets) - 1) + [1]
    numbers = [struct.unpack("!H", packet[2:4])[0] for packet in packets]
    assert numbers[:3] == [65534, 65535, 0]
    assembler = PictureAssembler("H264")
    joined = [unit for packet in packets if (unit := assembler.feed(parse_rtp(packet)))]
    assert [unit.octets for unit in joined] == [picture.annex_b]
    assert joined[0].is_key
    assert [len(p) for p, _ in payloads(CodedPicture((SMALL,), 0, 0.0))] == [len(SMALL)]
    report = sender.report(picture)
    assert len(report) % 4 == 0
    assert struct.unpack("!I", report[20:24])[0] == len(packets)


def test_the_description_is_understood_by_our_own_reader():
    body = description(
        name="x", address="127.0.0.1", control="trackID=1", aggregate="*", sets=(SPS, PPS), fps=15
    )
    track = parse_sdp(body).first("video")
    assert track is not None
    assert (track.codec, track.width, track.height, track.fps) == ("H264", 640, 360, 15.0)
    assert track.parameter_sets == (SPS, PPS)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("RTP/AVP/TCP;unicast;interleaved=2-3", Transport(is_tcp=True, pair=(2, 3))),
        ("RTP/AVP;unicast;client_port=5000-5001", Transport(is_tcp=False, pair=(5000, 5001))),
        ("RTP/AVP;multicast,RTP/AVP/TCP;interleaved=0-1", Transport(is_tcp=True, pair=(0, 1))),
        ("RTP/AVP;unicast", None),
        ("RTP/AVP;unicast;client_port=99999-1", None),
        ("RTP/AVP/TCP;interleaved=a-b", None),
        ("RAW/RAW/UDP;unicast;client_port=5000", None),
        ("", None),
    ],
)
def test_transports(value, expected):
    assert parse_transport(value) == expected


def test_faults_come_from_a_line_or_from_json():
    ill = Faults().changed("busy,slow=2,stale_every=3")
    assert (ill.busy, ill.slow, ill.stale_every) == (True, 2.0, 3)
    assert ill.changed('{"busy": false}').busy is False
    assert ill.changed("none") == Faults()
    assert ill.changed("none,stall") == Faults(stall=True)
    for wrong in ("unknown", "slow=-1", "slow=x", "slow", '{"slow": null}'):
        with pytest.raises(ValueError, match="."):
            Faults().changed(wrong)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
async def test_the_eye_opens_for_the_first_viewer_and_starts_with_a_key_picture():
    eye = Eye(width=128, height=96, fps=10, label="test")
    assert not eye.running
    watched = eye.pictures()
    pictures = [await anext(watched) for _ in range(12)]
    assert eye.running
    assert pictures[0].is_key
    assert pictures[0].parameter_sets is not None
    steps = {b.timestamp - a.timestamp for a, b in itertools.pairwise(pictures)}
    assert steps == {9000}
    shots = await asyncio.gather(eye.snapshot(), eye.snapshot())
    assert shots[0] == shots[1]
    assert shots[0].startswith(b"\xff\xd8")
    await watched.aclose()
    assert eye.viewers == 0
    await eye.close()
    assert eye.starts == 1


def test_the_parts_can_be_had_alone():
    assert rtsp_server.METHODS.startswith("OPTIONS")
    assert web.ControlPort
    record = announcement.Announcement(
        name="x",
        address="127.0.0.1",
        interface="",
        rtsp_port=1,
        http_port=2,
        properties={"id": "SIM-1"},
    )
    assert record
