"""RTSP heads that came whole are read by a shorter way: it must not be told from the long one.

Fed octet by octet, no head is ever whole, so what comes out of both feedings is compared: the
messages, the sentence of the error at the end, and what is left over.
"""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.base.errors import InvalidInput, ProtocolViolation
from gateway.driverkit import rtsp
from gateway.driverkit.rtsp import Headers, Message, Request, Response, RtspReader

Outcome = tuple[list[Message], str, bool, int, bytes]


def _outcome(pieces: list[bytes], *, keep: bool) -> Outcome:
    reader = RtspReader(keep_frames=keep)
    messages: list[Message] = []
    error = ""
    try:
        for piece in pieces:
            reader.feed(piece)
            while (message := reader.next_message()) is not None:
                messages.append(message)
    except ProtocolViolation as violation:
        error = str(violation)
    at_boundary, skipping = reader.at_boundary, reader.skipping
    # After an error what comes later is of no account: the reader is dead.
    return messages, error, at_boundary, skipping, b"" if error else reader.take_rest()


def _octets(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def _same(data: bytes, *, keep: bool) -> Outcome:
    whole = _outcome([data], keep=keep)
    assert whole == _outcome(_octets(data), keep=keep)
    half = len(data) // 2
    assert whole == _outcome([data[:half], data[half:]], keep=keep)
    return whole


STARTS = [
    b"RTSP/1.0 200 OK", b"rtsp/1.1 404", b"RTSP/1.0 200", b"RTSP/1.0  401  Un authorized ",
    b"RTSP/2.0 200 OK", b"RTSP/1.0 2000 OK", b"RTSP/1.0 20x OK", b"RTSP/1.0 600 No",
    b"RTSP/1.0 200 OK\t", b" RTSP/1.0 200 OK", b"RTSP/1.0 200 \xc3\xa9\xe9", b"RTSP/1.0 200 OK\x85",
    b"OPTIONS * RTSP/1.0", b"DESCRIBE rtsp://h/main RTSP/1.0", b"PLAY  rtsp://h/main  RTSP/1.0",
    b"PLAY rtsp://h/a b RTSP/1.0", b"PLAY rtsp://h/\x01 RTSP/1.0", b"PL(Y rtsp://h/ RTSP/1.0",
    b"PLAY rtsp://h/main RTSP/1.9", b"PLAY rtsp://h/main rtsp/1.0", b"PLAY RTSP/1.0",
    b"PLAY rtsp://h/\x7f RTSP/1.0", b"PLAY \xc2\xa0rtsp://h/ RTSP/1.0", b"PLAY rtsp://h/ HTTP/1.1",
    b"GET / HTTP/1.1", b"", b" ", b"\x1c", b"\xc2\x85", b"X", b"$", b"RTSP/1.0 200 a\0b",
    b"OPTIONS rtsp://" + b"a" * rtsp.START_LINE_MAX + b" RTSP/1.0",
]  # fmt: skip
LINES = [
    b"CSeq: 7", b"cseq:8", b"CSeq : 9", b"CSeq", b"CSeq\t: 1", b"Session: 1;timeout=60",
    b"X-Odd:", b"X:  two  blanks\t ", b"X: \x1c\xc2\x85 odd blanks \xc2\xa0", b": no name",
    b"a name: x", b"(x): y", b"no colon", b" folded", b"\tfolded: too", b"   ", b"\x0b",
    b"\xc2\xa0",
    b"X: a\0b", b"X: a\rb", b"\r", b"X: caf\xe9", b"\xc3\xa9: x", b"X: \xe2\x82", b"\x82: x",
    b"Content-Length: 3", b"Content-Length: 3", b"content-length: 0", b"Content-Length: +3",
    b"Content-Length: 4", b"Content-Length: 99999999999", b"Content-Length: 262145",
    b"Content-Length:", b"Content-Type: application/sdp", b"X: " + b"y" * 2000,
]  # fmt: skip
ENDS = [b"\r\n"] * 12 + [b"\n", b"\r", b"\r\r\n", b"\n\r\n", b""]
AFTER = [b"", b"abc", b"abc", b"v=0\r\n\r\n", b"$\0\0\x03xyz", b"$\1\0\x09xyz", b"\r\n", b"\0"]

_line = st.tuples(st.sampled_from(LINES), st.sampled_from(ENDS)).map(b"".join)
_message = st.tuples(
    st.sampled_from(STARTS), st.sampled_from(ENDS),
    st.lists(_line, max_size=6).map(b"".join), st.sampled_from(ENDS), st.sampled_from(AFTER),
).map(b"".join)  # fmt: skip
_neat = st.tuples(
    st.sampled_from(STARTS[:2] + STARTS[12:14]),
    st.lists(st.sampled_from(LINES), max_size=5), st.sampled_from(AFTER),
).map(lambda made: b"\r\n".join([made[0], *made[1], b"", made[2]]))  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(st.lists(st.one_of(_neat, _message, st.binary(max_size=40)), max_size=4), st.booleans())
@example([b"RTSP/1.0 200 OK\r\n\r\n", b"RTSP/1.0 200 OK\r\nX: a\nb\r\n\r\n"], True)
@example([b"RTSP/1.0 200 OK\n\nRTSP/1.0 200 OK\r\n\r\n"], True)
@example([b"\r\n\r\nRTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n"], False)
def test_a_head_is_read_the_same_whole_and_in_octets(pieces: list[bytes], keep: bool) -> None:
    _same(b"".join(pieces), keep=keep)


@pytest.mark.parametrize("start", STARTS, ids=range(len(STARTS)))
def test_each_oddity_beside_plain_lines(start: bytes) -> None:
    for line in LINES:
        _same(b"\r\n".join([start, b"CSeq: 1", line, b"Server: x", b"", b"abcdef"]), keep=True)


@pytest.mark.parametrize("more", range(-2, 3))
@pytest.mark.parametrize("bound", [rtsp.START_LINE_MAX, rtsp.HEADER_BLOCK_MAX])
@pytest.mark.parametrize("lines", [1, 40])
def test_around_the_bounds_of_a_head(more: int, bound: int, lines: int) -> None:
    for opening in (b"RTSP/1.0 200 OK\r\n", b""):
        short = b"X: y\r\n" * (lines - 1)
        fill = bound + more - len(opening) - len(short) - len(b"Y: \r\n")
        # The end of the head, then of its last line, then of the start line lies at the bound.
        for tail in (b"\r\n\r\n", b"\r\n"):
            head = opening + short + b"Y: " + b"z" * fill + tail
            _same((b"" if opening else b"RTSP/1.0 200 OK\r\n") + head + b"\r\n", keep=True)
    _same(b"RTSP/1.0 200 " + b"z" * (bound + more - 13) + b"\r\nCSeq: 1\r\n\r\n", keep=True)


@pytest.mark.parametrize("count", range(rtsp.HEADERS_MAX - 1, rtsp.HEADERS_MAX + 2))
def test_around_the_bound_of_header_lines(count: int) -> None:
    messages, error, *_ = _same(b"RTSP/1.0 200 OK\r\n" + b"X: y\r\n" * count + b"\r\n", keep=True)
    assert bool(error) is (count > rtsp.HEADERS_MAX)
    assert len(messages) == (count <= rtsp.HEADERS_MAX)


def test_blank_lines_are_counted_from_message_to_message() -> None:
    message = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n"
    blanks = b"\r\n" * rtsp.BLANK_LINES_MAX
    assert _same((blanks + message) * 3, keep=True)[1] == ""
    assert _same(message + blanks + b"\r\n" + message, keep=True)[1]


_name = st.text("CSeqcseqX-", min_size=1, max_size=4)
_fields = st.lists(st.tuples(_name, st.text("ab \t", max_size=3)), max_size=6)


@given(_fields, _name)
def test_a_header_is_found_as_if_one_looked_through_all(
    fields: list[tuple[str, str]], name: str
) -> None:
    headers = Headers(fields)
    every = [value for each, value in fields if each.lower() == name.lower()]
    assert headers.get(name) == (every[0] if every else None)
    assert (name in headers) is bool(every)
    assert headers.all(name) == tuple(every)
    assert headers == Headers(fields)
    assert hash(headers) == hash(Headers(fields))


@given(st.text("ab:\r\n\0", max_size=6), st.text("Xx\r\n\0", max_size=3), st.text("o\r\n\0 "))
def test_nothing_that_ends_a_line_is_printed(value: str, name: str, reason: str) -> None:
    fields = Headers([("CSeq", "1"), (name, value), ("Server", "x")])
    odd = any(each in part for part in (value, name, reason) for each in "\r\n\0")
    for message in (Response(200, reason, fields, b"x"), Request(f"A{reason}", "u", fields)):
        if odd:
            with pytest.raises(InvalidInput):
                message.encode()
        else:
            assert message.encode().count(b"\r\n") in (5, 6)


@pytest.mark.parametrize(
    ("line", "url"),
    [
        (b"PLAY rtsp://h/main RTSP/1.0", "rtsp://h/main"),
        (b"PLAY   rtsp://h/main   RTSP/1.0", "rtsp://h/main"),
        (b"PLAY \xc2\xa0rtsp://h/main\xc2\xa0 rtsp/1.1", "rtsp://h/main"),
        (b"PLAY \xc2\xa0rtsp://h/main RTSP/1.0", "rtsp://h/main"),
        (b"PLAY rtsp://h/\xc3\xa9\x7f RTSP/1.0", "rtsp://h/\xe9\x7f"),
    ],
    ids=range(5),
)
def test_blanks_about_the_url_of_a_request_do_not_count(line: bytes, url: str) -> None:
    (request, *_), *_ = _same(line + b"\r\nCSeq: 1\r\n\r\n", keep=True)
    assert isinstance(request, Request)
    assert (request.method, request.url) == ("PLAY", url)
