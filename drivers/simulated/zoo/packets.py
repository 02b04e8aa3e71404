"""H.264 to RTP without I/O: access units out of an encoder's octets, packets out of access units
(RFC 6184: single, STAP-A, FU-A), sender reports and descriptions."""

from __future__ import annotations

import base64
import itertools
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

PAYLOAD_TYPE = 96
CLOCK = 90_000

PACKET_MAX = 1400
"""Octets of RTP payload: fits an Ethernet frame with room for tunnels."""

BUFFER_MAX = 8 * 1024 * 1024
"""Octets kept while looking for the end of a picture; an encoder gone mad ends there."""

_DELIMITER = 9
_SPS, _PPS, _KEY = 7, 8, 5
_NTP_TO_UNIX = 2_208_988_800
_START = re.compile(b"\0\0\1")


@dataclass(frozen=True, slots=True)
class CodedPicture:
    """One access unit: its NAL units without start codes, and when it came (both clocks)."""

    units: tuple[bytes, ...] = field(repr=False)
    timestamp: int
    wall: float

    @property
    def is_key(self) -> bool:
        """Whether decoding can begin here."""
        return any(unit[0] & 0x1F == _KEY for unit in self.units)

    @property
    def annex_b(self) -> bytes:
        """The picture as a file of its own, when it is a key picture."""
        return b"".join(b"\0\0\0\1" + unit for unit in self.units)

    @property
    def parameter_sets(self) -> tuple[bytes, bytes] | None:
        """(SPS, PPS) when both are in here."""
        found = {unit[0] & 0x1F: unit for unit in self.units}
        return (found[_SPS], found[_PPS]) if _SPS in found and _PPS in found else None


class PictureSplitter:
    """An encoder's Annex B octets in, lists of NAL units out; pictures end at delimiters."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._units: list[bytes] = []

    def feed(self, data: bytes) -> Iterator[tuple[bytes, ...]]:
        """Take octets; yield each picture that is complete now."""
        self._buffer += data
        if len(self._buffer) > BUFFER_MAX:
            raise ValueError("the encoder sends no picture delimiters")
        starts = [match.start() for match in _START.finditer(self._buffer)]
        for here, following in itertools.pairwise(starts):
            unit = bytes(self._buffer[here + 3 : following]).rstrip(b"\0")
            if unit and unit[0] & 0x1F == _DELIMITER:
                if self._units:
                    yield tuple(self._units)
                self._units = []
            elif unit:
                self._units.append(unit)
        if starts:
            del self._buffer[: starts[-1]]


def payloads(picture: CodedPicture) -> Iterator[tuple[bytes, bool]]:
    """Yield (RTP payload, marker) of a picture."""
    grouped = list(_grouped(picture.units))
    for index, group in enumerate(grouped):
        is_last = index == len(grouped) - 1
        if len(group) > 1:
            head = max(unit[0] & 0x60 for unit in group) | 24
            joined = b"".join(len(unit).to_bytes(2, "big") + unit for unit in group)
            yield bytes((head,)) + joined, is_last
        elif len(group[0]) <= PACKET_MAX:
            yield group[0], is_last
        else:
            yield from _fragments(group[0], is_last=is_last)


def _grouped(units: tuple[bytes, ...]) -> Iterator[list[bytes]]:
    """Put neighbouring small units together, so that parameter sets cost one packet."""
    group: list[bytes] = []
    size = 1
    for unit in units:
        if group and size + 2 + len(unit) > PACKET_MAX:
            yield group
            group, size = [], 1
        group.append(unit)
        size += 2 + len(unit)
    if group:
        yield group


def _fragments(unit: bytes, *, is_last: bool) -> Iterator[tuple[bytes, bool]]:
    indicator, kind = unit[0] & 0xE0 | 28, unit[0] & 0x1F
    step = PACKET_MAX - 2
    for at in range(1, len(unit), step):
        ends = at + step >= len(unit)
        mark = kind | (0x80 if at == 1 else 0) | (0x40 if ends else 0)
        yield bytes((indicator, mark)) + unit[at : at + step], is_last and ends


class RtpSender:
    """Numbers the packets of one session and counts them for the sender report."""

    def __init__(self, ssrc: int, sequence: int) -> None:
        self.ssrc = ssrc
        self.sequence = sequence
        self._packets = 0
        self._octets = 0

    def packets(self, picture: CodedPicture) -> Iterator[bytes]:
        """Yield the RTP packets of a picture."""
        for payload, marker in payloads(picture):
            kind = PAYLOAD_TYPE | (0x80 if marker else 0)
            yield (
                struct.pack("!BBHII", 0x80, kind, self.sequence, picture.timestamp, self.ssrc)
                + payload
            )
            self.sequence = (self.sequence + 1) & 0xFFFF
            self._packets += 1
            self._octets += len(payload)

    def report(self, picture: CodedPicture) -> bytes:
        """Return a sender report and a name for the source (RFC 3550 sections 6.4.1, 6.5)."""
        seconds = picture.wall + _NTP_TO_UNIX
        fraction = int(seconds % 1 * 2**32)
        report = struct.pack(
            "!BBHIIIIII",
            0x80, 200, 6, self.ssrc, int(seconds) & 0xFFFFFFFF, fraction,
            picture.timestamp, self._packets & 0xFFFFFFFF, self._octets & 0xFFFFFFFF,
        )  # fmt: skip
        name = b"softnet"
        item = struct.pack("!IBB", self.ssrc, 1, len(name)) + name + b"\0"
        item += b"\0" * (-len(item) % 4)
        return report + struct.pack("!BBH", 0x81, 202, len(item) // 4) + item


def description(
    *, name: str, address: str, control: str, aggregate: str, sets: tuple[bytes, bytes], fps: float
) -> bytes:
    """Return the SDP of one H.264 stream."""
    profile = sets[0][1:4].hex().upper()
    coded = ",".join(base64.b64encode(each).decode() for each in sets)
    parameters = f"packetization-mode=1;profile-level-id={profile};sprop-parameter-sets={coded}"
    family = "IP6" if ":" in address else "IP4"
    lines = [
        "v=0",
        f"o=- 1 1 IN {family} {address.partition('%')[0]}",
        f"s={name}",
        f"c=IN {family} {address.partition('%')[0]}",
        "t=0 0",
        "a=range:npt=now-",
        f"a=control:{aggregate}",
        f"m=video 0 RTP/AVP {PAYLOAD_TYPE}",
        f"a=rtpmap:{PAYLOAD_TYPE} H264/{CLOCK}",
        f"a=fmtp:{PAYLOAD_TYPE} {parameters}",
        f"a=framerate:{fps:g}",
        f"a=control:{control}",
    ]
    return ("\r\n".join(lines) + "\r\n").encode()
