"""The short way through bodies in their usual form: minimal tags, simple elements, nothing behind.

A tracker relays calls and events by the thousand in a second, each decoded and encoded twice. What
is unusual in any respect is left to the full reader and writer, which know all that the dialect
allows and say what is wrong; so this never raises and never decides that something is malformed.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from gateway.asn1.writer import (
    IA5_STRING,
    INTEGER,
    OCTET_STRING,
    SEQUENCE,
    encode_integer,
    encode_length,
)
from gateway.wire.fields import Choice, Codec, Ia5, Int32, Int64, Octets, Step, steps

_CONTEXT = 0x80
_LONG = (0x81, 0x82, 0x83)
_SHORT = tuple(bytes((count,)) for count in range(0x80))

Read = Callable[[bytes], Any]
Write = Callable[[Any], bytes | None]


class _Plan:
    """How all fields of one message are read and written, in their order."""

    __slots__ = ("fields", "values", "writes")

    def __init__(self, names: tuple[str, ...], fields: tuple[tuple[int, bool, Read, Write], ...]):
        several = len(names) > 1
        get = operator.attrgetter(*names)
        self.values: Callable[[Any], tuple[Any, ...]] = get if several else lambda m: (get(m),)
        self.fields = tuple((octet, optional, read) for octet, optional, read, _ in fields)
        self.writes = tuple(
            (bytes((octet,)), optional, write) for octet, optional, _, write in fields
        )


_plans: dict[type[Any], _Plan | None] = {}


def read(kind: type[Any], body: bytes) -> list[Any] | None:
    """Return the values of a message's fields, or None when the full reader must look."""
    plan = _plans[kind] if kind in _plans else _plan_of(kind)
    end = len(body)
    if plan is None or end < 2 or body[0] != SEQUENCE:
        return None
    at, size = 2, body[1]
    if size >= 0x80:
        if size not in _LONG:
            return None
        at += size & 0x7F
        size = int.from_bytes(body[2:at], "big")
    if at + size != end:
        return None
    values: list[Any] = []
    for octet, optional, read_content in plan.fields:
        if at + 1 >= end or body[at] != octet:
            if not optional:
                return None
            values.append(None)
            continue
        size, at = body[at + 1], at + 2
        if size >= 0x80:
            if size not in _LONG:
                return None
            start = at + (size & 0x7F)
            size = int.from_bytes(body[at:start], "big")
            at = start
        stop = at + size
        if stop > end:
            return None
        value = read_content(body[at:stop])
        if value is None:
            return None
        values.append(value)
        at = stop
    return values if at == end else None


def write(message: Any) -> bytes | None:
    """Return the body of a message, or None when the full writer must look."""
    kind = type(message)
    plan = _plans[kind] if kind in _plans else _plan_of(kind)
    if plan is None:
        return None
    parts = []
    for (tag, optional, write_content), value in zip(plan.writes, plan.values(message)):  # noqa: B905
        if value is None:
            if not optional:
                return None
            continue
        content = write_content(value)
        if content is None:
            return None
        count = len(content)
        parts.append(tag + (_SHORT[count] if count < 0x80 else encode_length(count)) + content)
    whole = b"".join(parts)
    return b"\x30" + encode_length(len(whole)) + whole


def _plan_of(kind: type[Any]) -> _Plan | None:
    found = steps(kind)
    fields = [_field(step) for step in found]
    names = tuple(step.name for step in found)
    plan = None
    if found and names == tuple(kind.__dataclass_fields__) and None not in fields:
        plan = _Plan(names, tuple(field for field in fields if field is not None))
    _plans[kind] = plan
    return plan


def _field(step: Step) -> tuple[int, bool, Read, Write] | None:
    made = _made(step.codec)
    if made is None:
        return None
    universal, read_content, write_content = made
    if step.tag is None:
        return universal, False, read_content, write_content
    return _CONTEXT | step.tag, True, read_content, write_content


def _made(codec: Codec) -> tuple[int, Read, Write] | None:
    if isinstance(codec, Octets):
        return OCTET_STRING, *_octets(codec)
    if isinstance(codec, Ia5):
        return IA5_STRING, *_ia5(codec)
    if isinstance(codec, Int32):
        return INTEGER, *_integer(4, codec.minimum, codec.maximum)
    if isinstance(codec, Int64):
        return INTEGER, *_integer(8, codec.minimum, codec.maximum)
    if isinstance(codec, Choice):
        return INTEGER, *_choice(codec)
    return None


def _octets(codec: Octets) -> tuple[Read, Write]:
    least, most = codec.minimum, codec.minimum if codec.maximum is None else codec.maximum

    def take(content: bytes) -> bytes | None:
        return content if least <= len(content) <= most else None

    return take, bytes


def _ia5(codec: Ia5) -> tuple[Read, Write]:
    least, most = codec.minimum, codec.maximum

    def take(content: bytes) -> str | None:
        if least <= len(content) <= most and content.isascii():
            return content.decode("ascii")
        return None

    def give(value: str) -> bytes | None:
        return value.encode("ascii") if value.isascii() else None

    return take, give


def _integer(width: int, least: int, most: int) -> tuple[Read, Write]:
    limit = 1 << (8 * width - 1)

    def take(content: bytes) -> int | None:
        if not 1 <= len(content) <= width:
            return None
        value = int.from_bytes(content, "big", signed=True)
        return value if least <= value <= most else None

    def give(value: int) -> bytes | None:
        return encode_integer(value) if -limit <= value < limit else None

    return take, give


def _choice(codec: Choice) -> tuple[Read, Write]:
    members = {int(member): member for member in codec.kind}

    def take(content: bytes) -> Any:
        if not 1 <= len(content) <= 4:
            return None
        return members.get(int.from_bytes(content, "big", signed=True))

    def give(value: int) -> bytes:
        return encode_integer(int(value))

    return take, give
