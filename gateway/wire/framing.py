"""Length-prefixed frames: octets in, whole payloads out (01 section 3.5)."""

from __future__ import annotations

from gateway.asn1.writer import encode_length
from gateway.base.errors import ProtocolViolation

FRAME_MIN = 2
FRAME_MAX = 4_194_304
"""Both directions after authentication (01 section 3.5)."""
HANDSHAKE_SERVICE_MAX = 256
"""Service to tracker, and tracker to endpoint, until authenticated."""
HANDSHAKE_CLIENT_MAX = 1024
"""Client to tracker until authenticated."""
PROXY_SERVER_MAX = 128
"""Bodies a proxy reads on a control connection (02 section 6)."""
PROXY_ENDPOINT_MAX = 256
"""Bodies an endpoint reads on a control connection (02 section 6)."""


class FrameError(ProtocolViolation):
    """A length prefix that is malformed or outside the bounds of the phase."""


def frame(payload: bytes) -> bytes:
    """Return the payload behind its minimal length prefix."""
    return encode_length(len(payload)) + payload


class FrameBuffer:
    """Collects octets and gives out whole payloads; the bounds may change between payloads."""

    __slots__ = ("_at", "_data", "maximum", "minimum")

    def __init__(self, maximum: int, minimum: int = FRAME_MIN) -> None:
        self._data = bytearray()
        self._at = 0
        self.maximum = maximum
        self.minimum = minimum

    def feed(self, data: bytes) -> None:
        """Append received octets."""
        if self._at:
            del self._data[: self._at]
            self._at = 0
        self._data += data

    @property
    def pending(self) -> int:
        """Return how many octets wait for the rest of their frame."""
        return len(self._data) - self._at

    def take_raw(self, count: int) -> bytes | None:
        """Take `count` octets that are not framed, or None while fewer are there."""
        if self.pending < count:
            return None
        taken = bytes(self._data[self._at : self._at + count])
        self._at += count
        return taken

    def take_rest(self) -> bytes:
        """Take everything that is there, as it came."""
        rest = bytes(self._data[self._at :])
        self._data.clear()
        self._at = 0
        return rest

    def next_payload(self) -> bytes | None:
        """Take the next whole payload, or None; raise FrameError for a bad length.

        The length is checked as soon as its octets are there, before the payload is waited for.
        """
        data, at = self._data, self._at
        have = len(data) - at
        if have < 1:
            return None
        first = data[at]
        if first < 0x80:
            length, head = first, 1
        else:
            size = first & 0x7F
            if not 1 <= size <= 4:
                raise FrameError(f"length prefix {first:02x} is not allowed")
            if have < 1 + size:
                return None
            length, head = int.from_bytes(data[at + 1 : at + 1 + size], "big"), 1 + size
        if not self.minimum <= length <= self.maximum:
            raise FrameError(f"frame of {length} octets, {self.minimum}..{self.maximum} allowed")
        if have < head + length:
            return None
        start = at + head
        self._at = start + length
        payload = bytes(data[start : start + length])
        if self._at == len(data):
            data.clear()
            self._at = 0
        return payload
