"""Finding one answer in a camera's stream that is not parsed (no I/O).

While a stream plays, its octets pass unparsed and nobody knows where a frame begins. A request in
between carries a CSeq that nobody else can guess; its answer is recognized by that number alone,
wherever it stands, and from its first octet on the stream is in step again.
"""

from __future__ import annotations

import re
from enum import Enum, auto

from gateway.base.errors import ProtocolViolation
from gateway.driverkit.rtsp import HEADER_BLOCK_MAX, START_LINE_MAX

MARK = b"RTSP/1."
_STATUS = re.compile(rb"RTSP/1\.\d \d{3}[ \r\n]")
_STATUS_OCTETS = 13
_CSEQ = re.compile(rb"^cseq[ \t]*:[ \t]*(\d{1,10})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
STRAYS_MAX = 256
"""Answers to nobody's request during one search; a proper stream has none."""
_HEAD_MAX = START_LINE_MAX + HEADER_BLOCK_MAX


class _Verdict(Enum):
    FOUND = auto()
    OTHER = auto()
    MORE = auto()


class AnswerSearch:
    """Octets in; those before the answer out. At most one header block is held back."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._strays = 0

    def take(self, data: bytes, cseq: int | None) -> tuple[bytes, bytes | None]:
        """Return (octets to pass on, None), or with the rest that begins with the answer.

        With `cseq` None nothing is looked for and everything passes. Raises ProtocolViolation.
        """
        held = self._held
        held += data
        at = 0
        while cseq is not None:
            found = held.find(MARK, at)
            if found < 0:
                keep = _mark_begun(held, at)
                return self._release(len(held) - keep), None
            verdict = _judge(held, found, cseq)
            if verdict is _Verdict.FOUND:
                passed = self._release(found)
                rest = bytes(held)
                held.clear()
                return passed, rest
            if verdict is _Verdict.MORE:
                return self._release(found), None
            at = found + len(MARK)
            self._strays += 1
            if self._strays > STRAYS_MAX:
                raise ProtocolViolation("The camera answers what was not asked.")
        return self._release(len(held)), None

    def flush(self) -> bytes:
        """Return what is held back and forget it."""
        return self._release(len(self._held))

    def _release(self, count: int) -> bytes:
        passed = bytes(self._held[:count])
        del self._held[:count]
        return passed


def _mark_begun(held: bytearray, at: int) -> int:
    """Return how many octets at the end may be the beginning of a mark."""
    for count in range(min(len(MARK) - 1, len(held) - at), 0, -1):
        if held.endswith(MARK[:count]):
            return count
    return 0


def _judge(held: bytearray, at: int, cseq: int) -> _Verdict:
    start = bytes(held[at : at + _STATUS_OCTETS])
    if len(start) < _STATUS_OCTETS:
        return _Verdict.MORE
    if not _STATUS.match(start):
        return _Verdict.OTHER
    head = bytes(held[at : at + _HEAD_MAX])
    ends = [end for end in (head.find(b"\r\n\r\n"), head.find(b"\n\n")) if end >= 0]
    if not ends:
        return _Verdict.OTHER if len(head) >= _HEAD_MAX else _Verdict.MORE
    found = _CSEQ.search(head[: min(ends)].replace(b"\r\n", b"\n"))
    return _Verdict.FOUND if found and int(found[1]) == cseq else _Verdict.OTHER
