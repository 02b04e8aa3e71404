"""RTSP messages: whole, in single octets, with media between them, from sloppy cameras, garbage."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.base.errors import InvalidInput, ProtocolViolation, RemoteError
from gateway.driverkit import rtsp
from gateway.driverkit.rtsp import Headers, Interleaved, Message, Request, Response, RtspReader

DESCRIBE = (
    b"RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Base: rtsp://cam/main/\r\n"
    b"Content-Type: application/sdp\r\nContent-Length: 7\r\n\r\nv=0\r\n\r\n"
)
OPTIONS = b"OPTIONS rtsp://127.0.0.1:554/main RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: x\r\n\r\n"


def _read(reader: RtspReader, *pieces: bytes) -> list[Message]:
    messages: list[Message] = []
    for piece in pieces:
        reader.feed(piece)
        while (message := reader.next_message()) is not None:
            messages.append(message)
    return messages


def _octets(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


FRAME = Interleaved(2, 5, b"$RTSP")
STREAM = DESCRIBE + FRAME.encode() + OPTIONS + Interleaved(0, 0).encode() + DESCRIBE


@pytest.mark.parametrize("pieces", [[STREAM], _octets(STREAM), [STREAM[:90], STREAM[90:]]])
def test_reads_the_same_however_it_is_cut(pieces: list[bytes]) -> None:
    messages = _read(RtspReader(keep_frames=True), *pieces)
    assert [type(each) for each in messages] == [
        Response,
        Interleaved,
        Request,
        Interleaved,
        Response,
    ]
    answer, frame, request = messages[:3]
    assert isinstance(answer, Response)
    assert (answer.status, answer.reason, answer.cseq) == (200, "OK", 2)
    assert answer.body == b"v=0\r\n\r\n"
    assert answer.headers.get("content-base") == "rtsp://cam/main/"
    assert frame == FRAME
    assert isinstance(request, Request)
    assert (request.method, request.url, request.cseq) == (
        "OPTIONS",
        "rtsp://127.0.0.1:554/main",
        1,
    )


@pytest.mark.parametrize("pieces", [[STREAM], _octets(STREAM)])
def test_skips_media_without_keeping_it(pieces: list[bytes]) -> None:
    reader = RtspReader()
    messages = _read(reader, *pieces)
    assert Interleaved(2, 5) in messages
    assert sum(isinstance(each, Response) for each in messages) == 2
    assert reader.at_boundary


def test_a_long_frame_is_never_collected_when_skipped() -> None:
    reader = RtspReader()
    reader.feed(rtsp.frame_header(0, 60_000) + b"x" * 10)
    assert reader.next_message() == Interleaved(0, 60_000)
    assert reader.skipping == 59_990
    reader.feed(b"x" * 59_990 + OPTIONS)
    assert not reader.skipping
    assert isinstance(reader.next_message(), Request)


def test_prints_what_it_reads() -> None:
    for octets in (DESCRIBE, OPTIONS):
        message = _read(RtspReader(), octets)[0]
        assert isinstance(message, Request | Response)
        again = _read(RtspReader(), message.encode())[0]
        assert again == message
    assert Response(404, "Not Found", Headers([("CSeq", "9")])).encode() == (
        b"RTSP/1.0 404 Not Found\r\nCSeq: 9\r\n\r\n"
    )
    body = Request("SET_PARAMETER", "rtsp://x/", Headers([("Content-Length", "99")]), b"abc")
    assert body.encode().endswith(b"Content-Length: 3\r\n\r\nabc")


@pytest.mark.parametrize(
    "octets",
    [
        b"RTSP/1.0 200\r\nCSeq: 1\r\n\r\n",
        b"RTSP/1.0 200 \r\ncseq:1\r\n\r\n",
        b"\r\n\r\nrtsp/1.0 200 OK\nCSEQ: 1\n\n",
        b"RTSP/1.0 200 OK\r\nCSeq : 1\r\nX-Long: a\r\n  b\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nServer: caf\xe9\r\nCSeq: 1\r\n\r\n",
    ],
)
def test_bears_with_sloppy_cameras(octets: bytes) -> None:
    for pieces in ([octets], _octets(octets)):
        answer = _read(RtspReader(), *pieces)[0]
        assert isinstance(answer, Response)
        assert (answer.status, answer.cseq) == (200, 1)


def test_octets_that_are_no_text_come_out_as_they_went_in() -> None:
    octets = b"RTSP/1.0 200 OK\r\nServer: caf\xe9\r\nX: \xc3\xa9\r\n\r\n"
    answer = _read(RtspReader(), octets)[0]
    assert isinstance(answer, Response)
    assert answer.encode() == octets


@pytest.mark.parametrize(
    "octets",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"hello\r\n",
        b"RTSP/2.0 200 OK\r\n",
        b"RTSP/1.0 20 OK\r\n",
        b"RTSP/1.0 999 OK\r\n",
        b"RTSP/1.0 200 OK\r\nno colon\r\n\r\n",
        b"RTSP/1.0 200 OK\r\n: empty\r\n\r\n",
        b"RTSP/1.0 200 OK\r\n begins folded\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nX: a\rb\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nX: a\0b\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: 262145\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"a" * (rtsp.START_LINE_MAX + 1),
        b"OPTIONS rtsp://" + b"a" * rtsp.START_LINE_MAX + b" RTSP/1.0\r\n",
        b"RTSP/1.0 200 OK\r\n" + b"X: y\r\n" * (rtsp.HEADERS_MAX + 1) + b"\r\n",
        b"RTSP/1.0 200 OK\r\n" + (b"X: " + b"y" * 1000 + b"\r\n") * 17 + b"\r\n",
        b"RTSP/1.0 200 OK\r\nX: " + b"y" * (rtsp.HEADER_BLOCK_MAX + 10),
        b"RTSP/1.0 200 OK\r\nX: y\r\n" + b" z\r\n" * 6000,
        b"\r\n" * 40,
    ],
)
def test_garbage_ends_the_stream_and_keeps_it_ended(octets: bytes) -> None:
    reader = RtspReader()
    with pytest.raises(ProtocolViolation):
        _read(reader, octets)
    reader.feed(DESCRIBE)
    with pytest.raises(ProtocolViolation):
        reader.next_message()


def test_a_field_cannot_smuggle_a_line() -> None:
    with pytest.raises(InvalidInput):
        Request("OPTIONS", "rtsp://x/", Headers([("A", "b\r\nC: d")])).encode()


def test_headers_keep_order_and_hide_values() -> None:
    headers = Headers([("A", "1"), ("b", "2"), ("a", "3")])
    assert headers.all("A") == ("1", "3")
    assert tuple(headers.with_field("a", "9")) == (("a", "9"), ("b", "2"))
    assert tuple(headers.with_field("C", "9"))[-1] == ("C", "9")
    assert tuple(headers.without("A")) == (("b", "2"),)
    assert "1" not in repr(headers)
    assert "c" not in headers


def test_the_rest_of_the_stream_can_be_handed_over() -> None:
    reader = RtspReader()
    reader.feed(DESCRIBE + b"$\0\0\x04ab")
    assert isinstance(reader.next_message(), Response)
    assert reader.take_rest() == b"$\0\0\x04ab"
    assert reader.at_boundary


_PIECES = st.lists(
    st.one_of(
        st.binary(max_size=300),
        st.sampled_from([DESCRIBE, OPTIONS, FRAME.encode(), b"\r\n", b"RTSP/1.0 ", b"$"]),
    ),
    max_size=12,
)


@settings(max_examples=300, deadline=None)
@given(_PIECES, st.booleans())
def test_whatever_comes_only_remote_errors_go(pieces: list[bytes], keep: bool) -> None:
    reader = RtspReader(keep_frames=keep)
    try:
        messages = _read(reader, *pieces)
    except RemoteError:
        return
    for message in messages:
        if isinstance(message, Request | Response):
            assert message.encode()
