"""Packets to pictures: both codecs, losses, and garbage."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.base.errors import ProtocolViolation, RemoteError
from gateway.driverkit import rtp
from gateway.driverkit.rtp import PictureAssembler, RtpPacket, parse_rtp


def packet(payload: bytes, sequence: int, *, marker: bool = False, timestamp: int = 9) -> RtpPacket:
    return RtpPacket(96, sequence, timestamp, marker, payload)


def test_header_extension_sources_and_padding_are_stepped_over():
    raw = struct.pack("!BBHII", 0xB2, 0xE0, 5, 6, 7) + b"srcAsrcB"
    raw += struct.pack("!HH", 0xBEDE, 1) + b"extn" + b"payload" + b"\0\0\3"
    assert parse_rtp(raw) == RtpPacket(96, 5, 6, True, b"payload")


@pytest.mark.parametrize(
    "raw", [b"", b"\x80" * 11, b"\x00" * 20, b"\x8f" + bytes(20), b"\xa0" + bytes(11) + b"\xff"]
)
def test_what_is_no_rtp(raw):
    with pytest.raises(ProtocolViolation):
        parse_rtp(raw)


def test_joins_h264():
    assembler = PictureAssembler("H264")
    assert assembler.feed(packet(b"\x18\x00\x03\x67ab\x00\x03\x68cd", 1)) is None
    assert assembler.feed(packet(b"\x7c\x85first", 2)) is None
    assert assembler.feed(packet(b"\x7c\x05second", 3)) is None
    unit = assembler.feed(packet(b"\x7c\x45last", 4, marker=True))
    assert unit is not None
    assert unit.is_key
    start = rtp.START_CODE
    assert unit.octets == start + b"\x67ab" + start + b"\x68cd" + start + b"\x65firstsecondlast"
    other = assembler.feed(packet(b"\x41xyz", 5, marker=True, timestamp=10))
    assert other is not None
    assert not other.is_key


def test_joins_h265():
    assembler = PictureAssembler("H265")
    assert assembler.feed(packet(b"\x60\x01\x00\x04\x40\x01ab", 1)) is None
    assert assembler.feed(packet(b"\x62\x01\x93one", 2)) is None
    unit = assembler.feed(packet(b"\x62\x01\x53two", 3, marker=True))
    assert unit is not None
    assert unit.is_key
    assert unit.octets == rtp.START_CODE + b"\x40\x01ab" + rtp.START_CODE + b"\x26\x01onetwo"


def test_a_lost_packet_spoils_one_picture_only():
    assembler = PictureAssembler("H264")
    assert assembler.feed(packet(b"\x41one", 1)) is None
    assert assembler.feed(packet(b"\x41two", 3, marker=True)) is None
    whole = assembler.feed(packet(b"\x65three", 4, marker=True, timestamp=11))
    assert whole is not None
    assert whole.is_key


def test_a_camera_that_sets_no_marker():
    assembler = PictureAssembler("H264")
    assert assembler.feed(packet(b"\x65one", 1, timestamp=1)) is None
    unit = assembler.feed(packet(b"\x41two", 2, timestamp=2))
    assert unit is not None
    assert unit.octets == rtp.START_CODE + b"\x65one"


def test_bounds(monkeypatch):
    monkeypatch.setattr(rtp, "ACCESS_UNIT_MAX", 100)
    assembler = PictureAssembler("H264")
    assembler.feed(packet(b"\x41" + bytes(60), 1))
    with pytest.raises(ProtocolViolation):
        assembler.feed(packet(b"\x41" + bytes(60), 2))
    with pytest.raises(ProtocolViolation):
        PictureAssembler("VP8")


@given(st.sampled_from(["H264", "H265"]), st.lists(st.binary(max_size=60), max_size=12))
def test_garbage_ends_in_remote_errors_only(codec, payloads):
    assembler = PictureAssembler(codec)
    for number, payload in enumerate(payloads):
        try:
            parse_rtp(payload)
        except RemoteError:
            pass
        assembler.feed(packet(payload, number, marker=number % 3 == 2))
