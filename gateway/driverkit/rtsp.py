"""RTSP 1.0 messages without I/O: parse, print, and step over interleaved media (RFC 2326).

Strict in what it prints; tolerant in reading where real cameras need it: a missing reason phrase,
bare LF line ends, any case of header names, folded lines, blank lines between messages.
Every length from the network is bounded, and all that garbage can cause is a ProtocolViolation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum, auto

from gateway.base.errors import InvalidInput, ProtocolViolation
from gateway.driverkit.rtsp_headers import Headers

__all__ = [
    "Headers", "Interleaved", "Message", "Request", "Response", "RtspReader", "frame_header",
]  # fmt: skip

START_LINE_MAX = 2048
"""Octets of a request or status line: the longest camera URLs are near 500."""

HEADERS_MAX = 64
"""Header lines of one message; real ones have under 20."""

HEADER_BLOCK_MAX = 16 * 1024
"""Octets of all header lines together."""

BODY_MAX = 256 * 1024
"""Octets of a body; an SDP has 1 to 3 KiB, parameter lists less."""

BLANK_LINES_MAX = 16
"""Empty lines put up with before a message; some firmwares send one or two."""

FRAME_MAGIC = 0x24
"""The dollar sign that opens an interleaved frame (RFC 2326 section 10.12)."""

FRAME_HEADER = 4
"""Octets before the payload of an interleaved frame: magic, channel, length."""

VERSION = "RTSP/1.0"

_is_token = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.ASCII).fullmatch
_has_gap = re.compile(r"[\x00-\x20]").search
_HEAD_END = b"\r\n\r\n"
_OK = f"{VERSION} 200 OK"
_plain_request = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e]+) RTSP/1\.0").fullmatch
_FAMILIAR = frozenset(
    "CSeq Server User-Agent Session Transport Date Content-Type Content-Length Content-Base Public "
    "Accept Range RTP-Info Authorization WWW-Authenticate Cache-Control".split()
)
"""Names that need no second look: a set is asked in a tenth of the time of an expression."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request; ``url`` exactly as it stands in the request line."""

    method: str
    url: str
    headers: Headers = field(default_factory=Headers)
    body: bytes = field(default=b"", repr=False)

    @property
    def cseq(self) -> int | None:
        """The CSeq number, or None when it is missing or no number."""
        return _number(self.headers.get("CSeq"))

    def encode(self) -> bytes:
        """Return the message's octets. Raises InvalidInput when a field cannot be printed."""
        return _print(f"{self.method} {self.url} {VERSION}", self.headers, self.body)


@dataclass(frozen=True, slots=True)
class Response:
    """A response; ``reason`` may be empty."""

    status: int
    reason: str = ""
    headers: Headers = field(default_factory=Headers)
    body: bytes = field(default=b"", repr=False)

    @property
    def cseq(self) -> int | None:
        """The CSeq number, or None when it is missing or no number."""
        return _number(self.headers.get("CSeq"))

    def encode(self) -> bytes:
        """Return the message's octets. Raises InvalidInput when a field cannot be printed."""
        return _print(f"{VERSION} {self.status} {self.reason}", self.headers, self.body)


@dataclass(frozen=True, slots=True)
class Interleaved:
    """An interleaved frame. ``payload`` is empty when the reader skips frames."""

    channel: int
    length: int
    payload: bytes = field(default=b"", repr=False)

    def encode(self) -> bytes:
        """Return the frame with its four-octet header."""
        return frame_header(self.channel, len(self.payload)) + self.payload


Message = Request | Response | Interleaved


def frame_header(channel: int, length: int) -> bytes:
    """Return the four octets before `length` octets of payload."""
    return bytes((FRAME_MAGIC, channel)) + length.to_bytes(2, "big")


class _State(Enum):
    START = auto()
    HEADERS = auto()
    BODY = auto()
    DEAD = auto()


class RtspReader:
    """Octets in, messages out. ``feed`` octets, then call ``next_message`` until it returns None.

    With ``keep_frames`` an interleaved frame comes out with its payload; without, its payload is
    dropped as it arrives, is never copied together, and one Interleaved event tells of it.
    After a ProtocolViolation the reader stays dead.
    """

    def __init__(self, *, keep_frames: bool = False) -> None:
        self._keep_frames = keep_frames
        self._buffer = bytearray()
        self._state = _State.START
        self._skip = 0
        self._scanned = 0
        self._blank_lines = 0
        self._start: tuple[int, str] | tuple[str, str] = "", ""
        self._lines: list[str] = []
        self._block = 0
        self._headers = Headers()
        self._wanted = 0

    @property
    def at_boundary(self) -> bool:
        """Whether no message or frame has been begun and not ended."""
        return self._state is _State.START and not self._skip and not self._buffer

    @property
    def skipping(self) -> int:
        """Octets of a skipped frame's payload that have still to come."""
        return self._skip

    def take_rest(self) -> bytes:
        """Return the octets not yet made into messages and forget them.

        For handing the stream over to somebody else; valid between two messages.
        """
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._scanned = 0
        return rest

    def feed(self, data: bytes | memoryview) -> None:
        """Take octets as they came from the stream."""
        if self._skip:
            taken = min(self._skip, len(data))
            self._skip -= taken
            data = memoryview(data)[taken:]
        self._buffer += data

    def next_message(self) -> Message | None:
        """Return the next whole message, or None when more octets are needed.

        Raises ProtocolViolation on what is not RTSP or beyond a bound.
        """
        if self._state is _State.DEAD:
            raise ProtocolViolation("The stream had broken off with something that is not RTSP.")
        try:
            return self._next()
        except ProtocolViolation:
            self._state = _State.DEAD
            self._buffer.clear()
            raise

    def _next(self) -> Message | None:
        while True:
            if self._state is _State.START:
                if self._skip or not self._buffer:
                    return None
                if self._buffer[0] == FRAME_MAGIC:
                    return self._frame()
                if self._whole_head():
                    continue
                line = self._line(START_LINE_MAX)
                if line is None:
                    return None
                self._begin(line)
            elif self._state is _State.HEADERS:
                line = self._line(HEADER_BLOCK_MAX - self._block)
                if line is None:
                    return None
                self._header(line)
            else:
                if len(self._buffer) < self._wanted:
                    return None
                return self._finish()

    def _whole_head(self) -> bool:
        """Take a head that has come whole and has nothing odd; all others go line by line.

        That way costs five times as much, and nearly every head is of this kind.
        """
        end = self._buffer.find(_HEAD_END, 0, START_LINE_MAX)
        if end <= 0:
            return False
        head = self._buffer[:end].decode("utf-8", "surrogateescape")
        lines = head.split("\r\n")
        start = lines.pop(0)
        count = len(lines)
        if head.count("\n") != count or head.count("\r") != count or "\0" in head:
            return False
        if count > HEADERS_MAX or not start.strip():
            return False
        items: list[tuple[str, str]] = []
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon or (name not in _FAMILIAR and not _is_token(name)):
                return False
            items.append((name, value.strip()))
        self._start = (200, "OK") if start == _OK else _parse_start(start)
        self._headers = Headers(items)
        self._wanted = _content_length(self._headers)
        del self._buffer[: end + len(_HEAD_END)]
        self._scanned = self._blank_lines = 0
        self._state = _State.BODY
        return True

    def _begin(self, line: str) -> None:
        if not line.strip():
            self._blank_lines += 1
            if self._blank_lines > BLANK_LINES_MAX:
                raise ProtocolViolation("Too many empty lines where an RTSP message should be.")
            return
        self._blank_lines = 0
        self._lines = []
        self._block = 0
        self._state = _State.HEADERS
        self._start = _parse_start(line)  # refuse garbage now, not after 16 KiB of it

    def _header(self, line: str) -> None:
        if line[:1] in (" ", "\t") and line.strip():
            if not self._lines:
                raise ProtocolViolation("An RTSP header begins with a continuation line.")
            self._lines[-1] += " " + line.strip()
            return
        if line.strip():
            if len(self._lines) >= HEADERS_MAX:
                raise ProtocolViolation(f"An RTSP message has more than {HEADERS_MAX} headers.")
            self._lines.append(line)
            return
        self._headers = Headers(_parse_header(each) for each in self._lines)
        self._wanted = _content_length(self._headers)
        self._state = _State.BODY

    def _finish(self) -> Message:
        body = b""
        if self._wanted:
            body = bytes(self._buffer[: self._wanted])
            del self._buffer[: self._wanted]
        self._state = _State.START
        head = self._start
        if isinstance(head[0], int):
            return Response(head[0], head[1], self._headers, body)
        return Request(head[0], head[1], self._headers, body)

    def _frame(self) -> Interleaved | None:
        if len(self._buffer) < FRAME_HEADER:
            return None
        channel = self._buffer[1]
        length = int.from_bytes(self._buffer[2:4], "big")
        if not self._keep_frames:
            here = min(length, len(self._buffer) - FRAME_HEADER)
            del self._buffer[: FRAME_HEADER + here]
            self._skip = length - here
            return Interleaved(channel, length)
        if len(self._buffer) < FRAME_HEADER + length:
            return None
        payload = bytes(self._buffer[FRAME_HEADER : FRAME_HEADER + length])
        del self._buffer[: FRAME_HEADER + length]
        return Interleaved(channel, length, payload)

    def _line(self, limit: int) -> str | None:
        end = self._buffer.find(b"\n", self._scanned, limit + 1)
        if end < 0:
            if len(self._buffer) > limit:
                raise ProtocolViolation("An RTSP line or header block is too long.")
            self._scanned = len(self._buffer)
            return None
        raw = bytes(self._buffer[:end]).removesuffix(b"\r")
        del self._buffer[: end + 1]
        self._scanned = 0
        if self._state is _State.HEADERS:
            self._block += end + 1
        if b"\r" in raw or b"\0" in raw:
            raise ProtocolViolation("An RTSP line holds a stray carriage return or NUL.")
        return raw.decode("utf-8", "surrogateescape")


def _parse_start(line: str) -> tuple[int, str] | tuple[str, str]:
    """Return (status, reason) or (method, url)."""
    if plain := _plain_request(line):
        return plain[1], plain[2]
    if line[:5].upper() == "RTSP/":
        version, _, rest = line.partition(" ")
        if not version[5:].startswith("1."):
            raise ProtocolViolation("The answer is of an RTSP version that we do not speak.")
        code, _, reason = rest.strip().partition(" ")
        if len(code) != 3 or not (code.isascii() and code.isdigit()) or code[0] not in "12345":
            raise ProtocolViolation("The answer's status is not an RTSP status number.")
        return int(code), reason.strip()
    method, _, rest = line.partition(" ")
    url, _, version = rest.strip().rpartition(" ")
    url = url.strip()
    if not version.upper().startswith("RTSP/1.") or not url or not method:
        raise ProtocolViolation("The line is neither an RTSP request nor an RTSP answer.")
    if not _is_token(method) or _has_gap(url):
        raise ProtocolViolation("The RTSP request line is malformed.")
    return method, url


def _parse_header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    name = name.strip()
    if not colon or not _is_token(name):
        raise ProtocolViolation("An RTSP header line has no valid name.")
    return name, value.strip()


def _content_length(headers: Headers) -> int:
    if "Content-Length" not in headers:
        return 0
    values = set(headers.all("Content-Length"))
    length = _number(next(iter(values)))
    if len(values) > 1 or length is None:
        raise ProtocolViolation("The RTSP message's Content-Length is contradictory or no number.")
    if length > BODY_MAX:
        raise ProtocolViolation(f"The RTSP message's body is larger than {BODY_MAX} octets.")
    return length


def _number(text: str | None) -> int | None:
    if text is None or not (text.isascii() and text.isdigit()) or len(text) > 10:
        return None
    return int(text)


def _print(start: str, headers: Headers, body: bytes) -> bytes:
    lines = [start]
    sized = bool(body)
    for name, value in headers:
        if len(name) == len("Content-Length") and name.lower() == "content-length":
            sized = True
        else:
            lines.append(f"{name}: {value}")
    if sized:
        lines.append(f"Content-Length: {len(body)}")
    text = "\r\n".join(lines)
    ends = len(lines) - 1
    if text.count("\r") != ends or text.count("\n") != ends or "\0" in text:
        raise InvalidInput("An RTSP field must not hold line ends or NUL.")
    return text.encode("utf-8", "surrogateescape") + _HEAD_END + body
