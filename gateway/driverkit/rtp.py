"""RTP payloads to pictures without I/O: joins packets to access units (RFC 3550, 6184, 7798).

Only what a still picture needs: whole access units in Annex B form, and whether one can be decoded
alone. Everything from the network is bounded; a broken packet spoils its own picture only.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.base.errors import ProtocolViolation

ACCESS_UNIT_MAX = 8 * 1024 * 1024
"""Octets of one coded picture; a 4K key picture has about 1 MiB."""

START_CODE = b"\0\0\0\1"

_HEADER = 12


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One packet's fields that matter here."""

    payload_type: int
    sequence: int
    timestamp: int
    marker: bool
    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One coded picture, Annex B. ``is_key``: it can be decoded without an earlier one."""

    octets: bytes = field(repr=False)
    timestamp: int
    is_key: bool


def parse_rtp(packet: bytes) -> RtpPacket:
    """Return the packet's parts (RFC 3550 section 5.1). Raises ProtocolViolation."""
    if len(packet) < _HEADER or packet[0] >> 6 != 2:
        raise ProtocolViolation("A media packet is not RTP.")
    start = _HEADER + 4 * (packet[0] & 0x0F)
    if packet[0] & 0x10:
        if len(packet) < start + 4:
            raise ProtocolViolation("A media packet ends inside its header.")
        start += 4 + 4 * int.from_bytes(packet[start + 2 : start + 4], "big")
    end = len(packet)
    if packet[0] & 0x20:
        end -= packet[-1]
    if start > end:
        raise ProtocolViolation("A media packet ends inside its header.")
    return RtpPacket(
        payload_type=packet[1] & 0x7F,
        sequence=int.from_bytes(packet[2:4], "big"),
        timestamp=int.from_bytes(packet[4:8], "big"),
        marker=bool(packet[1] & 0x80),
        payload=packet[start:end],
    )


class PictureAssembler:
    """Packets of one H.264 or H.265 track in, access units out."""

    def __init__(self, codec: str) -> None:
        if codec not in ("H264", "H265"):
            raise ProtocolViolation(f"Pictures of codec {codec or 'unknown'} cannot be joined.")
        self._is_265 = codec == "H265"
        self._units: list[bytes] = []
        self._fragment: bytearray | None = None
        self._size = 0
        self._timestamp: int | None = None
        self._sequence: int | None = None
        self._spoilt = False

    def feed(self, packet: RtpPacket) -> AccessUnit | None:
        """Take one packet; return the picture it completed. Raises ProtocolViolation if too big."""
        done = None
        if self._timestamp is not None and packet.timestamp != self._timestamp:
            done = self._complete()
        if self._sequence is not None and packet.sequence != (self._sequence + 1) & 0xFFFF:
            self._spoilt = True
        self._sequence = packet.sequence
        self._timestamp = packet.timestamp
        if self._size + len(packet.payload) > ACCESS_UNIT_MAX:
            raise ProtocolViolation("The camera sends a picture that is too large.")
        self._size += len(packet.payload)
        self._take(packet.payload)
        return self._complete() if packet.marker else done

    def _take(self, payload: bytes) -> None:
        if len(payload) < 3:
            self._spoilt = self._spoilt or not payload
            return
        if self._is_265:
            kind, size = payload[0] >> 1 & 0x3F, 2
            aggregation, fragmentation = kind == 48, kind == 49
        else:
            kind, size = payload[0] & 0x1F, 1
            aggregation, fragmentation = kind == 24, kind == 28
        if fragmentation:
            self._take_fragment(payload, size)
        elif aggregation:
            at = size
            while at + 2 < len(payload):
                length = int.from_bytes(payload[at : at + 2], "big")
                unit = payload[at + 2 : at + 2 + length]
                if len(unit) < length or not length:
                    self._spoilt = True
                    return
                self._units.append(unit)
                at += 2 + length
        elif kind < (48 if self._is_265 else 24):
            self._units.append(payload)
        else:
            self._spoilt = True

    def _take_fragment(self, payload: bytes, size: int) -> None:
        mark = payload[size]
        if mark & 0x80:
            if self._is_265:
                head = bytes(((payload[0] & 0x81) | (mark & 0x3F) << 1, payload[1]))
            else:
                head = bytes(((payload[0] & 0xE0) | mark & 0x1F,))
            self._fragment = bytearray(head)
        if self._fragment is None:
            self._spoilt = True
            return
        self._fragment += payload[size + 1 :]
        if mark & 0x40:
            self._units.append(bytes(self._fragment))
            self._fragment = None

    def _complete(self) -> AccessUnit | None:
        units, spoilt, timestamp = self._units, self._spoilt, self._timestamp
        spoilt = spoilt or self._fragment is not None
        self._units, self._fragment, self._size, self._spoilt = [], None, 0, False
        self._timestamp = None
        if not units or spoilt or timestamp is None:
            return None
        octets = b"".join(START_CODE + unit for unit in units)
        return AccessUnit(octets, timestamp, any(self._opens(unit) for unit in units))

    def _opens(self, unit: bytes) -> bool:
        if self._is_265:
            return 16 <= unit[0] >> 1 & 0x3F <= 21
        return unit[0] & 0x1F == 5
