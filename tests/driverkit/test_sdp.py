"""Stream descriptions of many cameras, picture sizes out of parameter sets, and garbage."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.base.errors import ProtocolViolation, RemoteError
from gateway.driverkit.sdp import control_url, parse_sdp, picture_size

AXIS = b"""v=0\r
o=- 18302136 1 IN IP4 192.168.0.90\r
s=Media Presentation\r
a=control:rtsp://192.168.0.90:554/axis-media/media.amp\r
a=range:npt=0.000000-\r
t=0 0\r
m=video 0 RTP/AVP 96\r
a=framerate:25.0\r
a=framesize:96 1280-720\r
a=control:rtsp://192.168.0.90:554/axis-media/media.amp/trackID=1\r
a=rtpmap:96 H264/90000\r
a=fmtp:96 packetization-mode=1; sprop-parameter-sets=Z0IAKeKQCgC3YC3A,aM4xUg==\r
m=audio 0 RTP/AVP 97\r
a=control:trackID=2\r
a=rtpmap:97 mpeg4-generic/16000/1\r
"""

# Made by x264 and x265; odd sizes so that the cropping counts.
SPS_BASELINE = bytes.fromhex("6742c016da0280bfe5c044000003000400000300783c58ba80")
SPS_HIGH = bytes.fromhex("6764002aacd94079022788930110000003001000000301e0f1831960")
SPS_265 = bytes.fromhex(
    "42010101600000030090000003000003003fa005220171c449965654a4c2f0168080000003008000000784"
)


def test_reads_a_real_description():
    sdp = parse_sdp(AXIS)
    assert sdp.name == "Media Presentation"
    video, audio = sdp.media
    assert (video.kind, video.codec, video.clock, video.payload_type) == (
        "video",
        "H264",
        90000,
        96,
    )
    assert (video.width, video.height, video.fps) == (1280, 720, 25.0)
    assert len(video.parameter_sets) == 2
    assert (audio.kind, audio.codec, audio.control) == ("audio", "MPEG4-GENERIC", "trackID=2")
    assert sdp.first("video") is video
    assert sdp.first("application") is None


@pytest.mark.parametrize(
    ("codec", "nal", "expected"),
    [
        ("H264", SPS_BASELINE, (640, 360)),
        ("H264", SPS_HIGH, (1922, 1082)),
        ("H265", SPS_265, (642, 362)),
        ("H264", SPS_BASELINE[:6], None),
        ("H264", b"\x68\xce", None),
        ("H264", b"", None),
        ("H265", SPS_BASELINE, None),
        ("JPEG", SPS_BASELINE, None),
    ],
)
def test_size_comes_from_the_parameter_set(codec, nal, expected):
    assert picture_size(codec, nal) == expected


def test_sizes_without_a_size_line():
    for codec, key, nal in (
        ("H264", "sprop-parameter-sets", SPS_BASELINE),
        ("H265", "sprop-sps", SPS_265),
    ):
        text = base64.b64encode(nal).decode().rstrip("=")
        body = f"v=0\nm=video 0 RTP/AVP 96\na=rtpmap:96 {codec}/90000\na=fmtp:96 {key}={text}\n"
        video = parse_sdp(body.encode()).media[0]
        assert (video.width, video.height) == picture_size(codec, nal)


def test_back_channels_are_not_taken_for_pictures():
    body = b"m=video 0 RTP/AVP 96\na=sendonly\nm=video 0 RTP/AVP 26\na=recvonly\n"
    track = parse_sdp(body).first("video")
    assert track is not None
    assert track.codec == "JPEG"


@pytest.mark.parametrize("body", [b"", b"v=0\r\ns=x\r\n", b"\xff\xfe", b"a=b\n" * 3000])
def test_nothing_to_see(body):
    with pytest.raises(ProtocolViolation):
        parse_sdp(body)


@pytest.mark.parametrize(
    ("control", "expected"),
    [
        ("", "rtsp://10.0.0.2:554/main/"),
        ("*", "rtsp://10.0.0.2:554/main/"),
        ("trackID=1", "rtsp://10.0.0.2:554/main/trackID=1"),
        ("/other", "rtsp://10.0.0.2:554/other"),
        ("rtsp://192.0.2.1:8554/main/t", "rtsp://10.0.0.2:554/main/t"),
        ("rtsp://u:p@10.0.0.2:554/main/t?x=1", "rtsp://10.0.0.2:554/main/t?x=1"),
        ("rtsp://192.0.2.1", "rtsp://10.0.0.2:554"),
    ],
)
def test_controls_never_lead_elsewhere(control, expected):
    assert control_url("rtsp://10.0.0.2:554/main/", control) == expected


def test_a_base_without_a_slash_and_with_a_login():
    assert control_url("rtsp://u:p@10.0.0.2/cam?ch=1", "t") == "rtsp://10.0.0.2/cam?ch=1/t"


@given(st.one_of(st.binary(max_size=400), st.text(max_size=400).map(str.encode)))
def test_garbage_ends_in_remote_errors_only(body):
    for prefix in (b"", b"v=0\nm=video 0 RTP/AVP 96\na=", b"m=video 0 RTP/AVP 96\na=fmtp:96 "):
        try:
            parse_sdp(prefix + body)
        except RemoteError:
            pass


@given(st.binary(max_size=80))
def test_broken_parameter_sets_have_no_size(body):
    for codec, head in (("H264", b"\x67"), ("H265", b"\x42\x01")):
        size = picture_size(codec, head + body)
        assert size is None or all(0 < side <= 16384 for side in size)
