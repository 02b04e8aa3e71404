"""Stream descriptions without I/O: what SDP says of a camera's tracks, and picture sizes from
parameter sets (RFC 4566, RFC 6184, RFC 7798).

Tolerant: a line that makes no sense is passed over; only a description without any media at all,
or one beyond the bounds, is an error.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.base.errors import ProtocolViolation

LINES_MAX = 2000
"""Lines of one description; real ones have under 60."""

MEDIA_MAX = 16
"""Tracks of one description: video, audio, metadata, back channel, and room to spare."""

LINE_MAX = 4096
"""Octets of a line that is looked at; parameter sets take a few hundred."""

SIDE_MAX = 16384
"""Pixels of a side that are believed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SdpMedia:
    """One track. ``codec`` in upper case ("H264"); zero and empty mean unknown."""

    kind: str
    payload_type: int = -1
    codec: str = ""
    clock: int = 0
    control: str = ""
    direction: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    width: int = 0
    height: int = 0
    fps: float = 0.0

    @property
    def parameter_sets(self) -> tuple[bytes, ...]:
        """The NAL units of the description, in the order that a decoder wants them."""
        if self.codec == "H264":
            return _nal_units(self.parameters.get("sprop-parameter-sets", ""))
        names = ("sprop-vps", "sprop-sps", "sprop-pps") if self.codec == "H265" else ()
        return tuple(nal for name in names for nal in _nal_units(self.parameters.get(name, "")))


@dataclass(frozen=True, slots=True)
class SdpSession:
    """A whole description; ``control`` is the aggregate control, often "*"."""

    name: str
    control: str
    media: tuple[SdpMedia, ...]

    def first(self, kind: str) -> SdpMedia | None:
        """Return the first track of a kind ("video") that the camera sends."""
        return next(
            (each for each in self.media if each.kind == kind and each.direction != "sendonly"),
            None,
        )


_breaks_line = re.compile(r"[\x00-\x20\x7f]").search
_STATIC = {0: ("PCMU", 8000), 8: ("PCMA", 8000), 26: ("JPEG", 90000), 32: ("MPV", 90000)}


def parse_sdp(body: bytes) -> SdpSession:
    """Return the description. Raises ProtocolViolation when it describes no media."""
    lines = body.decode("utf-8", "replace").splitlines()
    if len(lines) > LINES_MAX:
        raise ProtocolViolation("The camera's stream description has too many lines.")
    name = control = ""
    media: list[SdpMedia] = []
    section: list[tuple[str, str]] = []
    head = ""
    for line in [*lines, "m="]:
        kind, equals, value = line.strip().partition("=")
        if not equals or len(line) > LINE_MAX:
            continue
        if kind == "m":
            if head and len(media) < MEDIA_MAX:
                media.append(_media(head, section))
            head, section = value.strip(), []
        elif kind == "s" and not head:
            name = value.strip()
        elif kind == "a":
            key, _, rest = value.partition(":")
            if head:
                section.append((key.strip().lower(), rest.strip()))
            elif key.strip().lower() == "control":
                control = rest.strip()
    if not media:
        raise ProtocolViolation("The camera's stream description names no stream.")
    return SdpSession(name, control, tuple(media))


def control_url(base: str, control: str) -> str:
    """Return the URL to SETUP a track with, always at the host and port of ``base``.

    A camera may put another host or even a login into an absolute control URL: of such a one only
    path and query are taken. Raises ProtocolViolation for one that would not stay one word of a
    request line.
    """
    if _breaks_line(control):
        raise ProtocolViolation("The camera's stream description has a malformed address.")
    scheme, _, rest = base.partition("://")
    place, slash, path = rest.partition("/")
    origin = f"{scheme}://{place.rpartition('@')[2]}"
    base = origin + slash + path
    if not control or control == "*":
        return base
    if "://" in control:
        _, slash, path = control.split("://", 1)[1].partition("/")
        return origin + slash + path
    if control.startswith("/"):
        return origin + control
    return f"{base}{control}" if base.endswith("/") else f"{base}/{control}"


def _media(head: str, attributes: list[tuple[str, str]]) -> SdpMedia:
    words = head.split()
    payload = _int(words[3]) if len(words) > 3 else -1
    codec, clock = _STATIC.get(payload, ("", 0))
    control = direction = ""
    parameters: dict[str, str] = {}
    width = height = 0
    fps = 0.0
    for key, value in attributes:
        first, _, rest = value.partition(" ")
        if key == "rtpmap" and _int(first) == payload:
            name, _, tail = rest.strip().partition("/")
            codec, clock = name.upper(), max(0, _int(tail.partition("/")[0]))
        elif key == "fmtp" and _int(first) == payload:
            for pair in rest.split(";"):
                word, _, text = pair.partition("=")
                parameters[word.strip().lower()] = text.strip()
        elif key == "control":
            control = control or value
        elif key in ("recvonly", "sendonly", "sendrecv", "inactive"):
            direction = key
        elif key == "framerate":
            fps = _rate(value)
        elif key == "framesize" and _int(first) == payload:
            width, height = _size(rest, "-")
        elif key == "x-dimensions":
            width, height = _size(value, ",")
    kind = words[0].lower() if words else ""
    track = SdpMedia(
        kind=kind,
        payload_type=payload,
        codec={"HEVC": "H265"}.get(codec, codec),
        clock=clock,
        control=control,
        direction=direction,
        parameters=parameters,
    )
    if not width or not height:
        for nal in track.parameter_sets:
            width, height = picture_size(track.codec, nal) or (width, height)
    return SdpMedia(
        kind=track.kind,
        payload_type=track.payload_type,
        codec=track.codec,
        clock=track.clock,
        control=track.control,
        direction=track.direction,
        parameters=track.parameters,
        width=width,
        height=height,
        fps=fps,
    )


def picture_size(codec: str, nal: bytes) -> tuple[int, int] | None:
    """Return (width, height) of a sequence parameter set, or None for any other or broken unit."""
    try:
        if codec == "H264" and nal and nal[0] & 0x1F == 7:
            size = _h264_size(_Bits(nal[1:]))
        elif codec == "H265" and len(nal) > 2 and (nal[0] >> 1) & 0x3F == 33:
            size = _h265_size(_Bits(nal[2:]))
        else:
            return None
    except EOFError:
        return None
    return size if 0 < size[0] <= SIDE_MAX and 0 < size[1] <= SIDE_MAX else None


class _Bits:
    """Reads a parameter set bit by bit; raises EOFError at the end or on an absurd code."""

    def __init__(self, payload: bytes) -> None:
        self._octets = payload.replace(b"\0\0\3", b"\0\0")
        self._at = 0

    def take(self, count: int) -> int:
        value = 0
        for _ in range(count):
            octet = self._at >> 3
            if octet >= len(self._octets):
                raise EOFError
            value = value << 1 | self._octets[octet] >> (7 - (self._at & 7)) & 1
            self._at += 1
        return value

    def unsigned(self) -> int:
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > 31:
                raise EOFError
        return (1 << zeros) - 1 + self.take(zeros)

    def signed(self) -> int:
        code = self.unsigned()
        return (code + 1) // 2 if code & 1 else -(code // 2)


_H264_HIGH = frozenset((100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135))
_SUBSAMPLING = {0: (1, 1), 1: (2, 2), 2: (2, 1), 3: (1, 1)}


def _h264_size(bits: _Bits) -> tuple[int, int]:
    profile = bits.take(8)
    bits.take(16)
    bits.unsigned()
    chroma = 1
    if profile in _H264_HIGH:
        chroma = bits.unsigned()
        if chroma == 3:
            bits.take(1)
        bits.unsigned()
        bits.unsigned()
        bits.take(1)
        if bits.take(1):
            for index in range(8 if chroma != 3 else 12):
                if bits.take(1):
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
    bits.unsigned()
    order = bits.unsigned()
    if order == 0:
        bits.unsigned()
    elif order == 1:
        bits.take(1)
        bits.signed()
        bits.signed()
        for _ in range(min(bits.unsigned(), 255)):
            bits.signed()
    bits.unsigned()
    bits.take(1)
    width = (bits.unsigned() + 1) * 16
    map_units = bits.unsigned() + 1
    frames_only = bits.take(1)
    height = map_units * 16 * (2 - frames_only)
    if not frames_only:
        bits.take(1)
    bits.take(1)
    if bits.take(1):
        left, right, top, bottom = (bits.unsigned() for _ in range(4))
        across, down = _SUBSAMPLING.get(chroma, (1, 1))
        width -= (left + right) * across
        height -= (top + bottom) * down * (2 - frames_only)
    return width, height


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last


def _h265_size(bits: _Bits) -> tuple[int, int]:
    bits.take(4)
    layers = bits.take(3)
    bits.take(1)
    bits.take(96)
    present = [(bits.take(1), bits.take(1)) for _ in range(layers)]
    if layers:
        bits.take(2 * (8 - layers))
    for profile, level in present:
        bits.take(88 * profile + 8 * level)
    bits.unsigned()
    chroma = bits.unsigned()
    if chroma == 3:
        bits.take(1)
    width, height = bits.unsigned(), bits.unsigned()
    if bits.take(1):
        left, right, top, bottom = (bits.unsigned() for _ in range(4))
        across, down = _SUBSAMPLING.get(chroma, (1, 1))
        width -= (left + right) * across
        height -= (top + bottom) * down
    return width, height


def _nal_units(text: str) -> tuple[bytes, ...]:
    units = []
    for each in text.split(",")[:16]:
        try:
            unit = base64.b64decode(each.strip() + "=" * (-len(each.strip()) % 4), validate=True)
        except (binascii.Error, ValueError):
            continue
        if unit:
            units.append(unit)
    return tuple(units)


def _int(text: str) -> int:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1


def _rate(text: str) -> float:
    try:
        rate = float(text[:16])
    except ValueError:
        return 0.0
    return rate if math.isfinite(rate) and 0 < rate <= 1000 else 0.0


def _size(text: str, mark: str) -> tuple[int, int]:
    width, _, height = text.partition(mark)
    sides = _int(width), _int(height)
    return sides if all(0 < side <= SIDE_MAX for side in sides) else (0, 0)
