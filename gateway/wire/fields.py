"""How a dataclass field is read and written: codecs named in its annotation.

`name: Annotated[str, Ia5(1, 256)]` is an element in its place; with `Tag(n)` behind the codec the
field is optional, None when absent, and carries context tag n (01 section 2.7).
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Callable
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from gateway.asn1.errors import OutOfRange
from gateway.asn1.reader import SequenceReader
from gateway.asn1.writer import SequenceWriter


@dataclasses.dataclass(frozen=True, slots=True)
class Tag:
    """Marks an optional field with its context tag number."""

    number: int


class Codec:
    """Reads and writes one element."""

    def write(self, writer: SequenceWriter, value: Any, tag: int | None) -> None:
        """Append the value."""
        raise NotImplementedError

    def read(self, reader: SequenceReader) -> Any:
        """Take the value."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, slots=True)
class Int32(Codec):
    """A 32-bit INTEGER within bounds."""

    minimum: int = -(1 << 31)
    maximum: int = (1 << 31) - 1

    def write(self, writer: SequenceWriter, value: Any, tag: int | None) -> None:
        """Append the INTEGER."""
        writer.int32(value, tag)

    def read(self, reader: SequenceReader) -> int:
        """Take the INTEGER."""
        return reader.int32(self.minimum, self.maximum)


@dataclasses.dataclass(frozen=True, slots=True)
class Int64(Codec):
    """A 64-bit INTEGER within bounds."""

    minimum: int = -(1 << 63)
    maximum: int = (1 << 63) - 1

    def write(self, writer: SequenceWriter, value: Any, tag: int | None) -> None:
        """Append the INTEGER."""
        writer.int64(value, tag)

    def read(self, reader: SequenceReader) -> int:
        """Take the INTEGER."""
        return reader.int64(self.minimum, self.maximum)


@dataclasses.dataclass(frozen=True, slots=True)
class Choice(Codec):
    """A 32-bit INTEGER that names a member of an enumeration."""

    kind: type[enum.IntEnum]

    def write(self, writer: SequenceWriter, value: Any, tag: int | None) -> None:
        """Append the member's number."""
        writer.int32(int(value), tag)

    def read(self, reader: SequenceReader) -> enum.IntEnum:
        """Take a number that the enumeration knows."""
        number = reader.int32()
        try:
            return self.kind(number)
        except ValueError as error:
            raise OutOfRange(f"{number} is no {self.kind.__name__}") from error


@dataclasses.dataclass(frozen=True, slots=True)
class Octets(Codec):
    """An OCTET STRING of a bounded size; one bound means exactly."""

    minimum: int
    maximum: int | None = None

    def write(self, writer: SequenceWriter, value: Any, tag: int | None) -> None:
        """Append the octets."""
        writer.octets(value, tag)

    def read(self, reader: SequenceReader) -> bytes:
        """Take the octets."""
        return reader.octets(self.minimum, self.minimum if self.maximum is None else self.maximum)


@dataclasses.dataclass(frozen=True, slots=True)
class Ia5(Codec):
    """An IA5String of a bounded number of characters."""

    minimum: int = 1
    maximum: int = 256

    def write(self, writer: SequenceWriter, value: Any, tag: int | None) -> None:
        """Append the text."""
        writer.ia5(value, tag)

    def read(self, reader: SequenceReader) -> str:
        """Take the text."""
        return reader.ia5(self.minimum, self.maximum)


@dataclasses.dataclass(frozen=True, slots=True)
class Printable(Codec):
    """A PrintableString of a bounded number of characters."""

    minimum: int
    maximum: int

    def write(self, writer: SequenceWriter, value: Any, tag: int | None) -> None:
        """Append the text."""
        writer.printable(value, tag)

    def read(self, reader: SequenceReader) -> str:
        """Take the text."""
        return reader.printable(self.minimum, self.maximum)


@dataclasses.dataclass(frozen=True, slots=True)
class Boolean(Codec):
    """A BOOLEAN."""

    def write(self, writer: SequenceWriter, value: Any, tag: int | None) -> None:
        """Append the truth value."""
        writer.boolean(value, tag)

    def read(self, reader: SequenceReader) -> bool:
        """Take the truth value."""
        return reader.boolean()


@dataclasses.dataclass(frozen=True, slots=True)
class Moment(Codec):
    """A GeneralizedTime."""

    def write(self, writer: SequenceWriter, value: Any, tag: int | None) -> None:
        """Append the moment."""
        writer.time(value, tag)

    def read(self, reader: SequenceReader) -> datetime.datetime:
        """Take the moment."""
        return reader.time()


@dataclasses.dataclass(frozen=True, slots=True)
class Nested(Codec):
    """A SEQUENCE whose elements are the fields of a dataclass."""

    kind: type[Any]

    def write(self, writer: SequenceWriter, value: Any, tag: int | None) -> None:
        """Append the nested SEQUENCE."""
        inner = SequenceWriter()
        write_fields(inner, value)
        writer.sequence(inner, tag)

    def read(self, reader: SequenceReader) -> Any:
        """Take the nested SEQUENCE and insist on its end."""
        inner = reader.sequence()
        value = read_fields(self.kind, inner)
        inner.end()
        return value


@dataclasses.dataclass(frozen=True, slots=True)
class ListOf(Codec):
    """A SEQUENCE OF one codec; a tuple in Python."""

    element: Codec
    maximum: int = 100_000

    def write(self, writer: SequenceWriter, value: Any, tag: int | None) -> None:
        """Append the SEQUENCE OF."""
        inner = SequenceWriter()
        for item in value:
            self.element.write(inner, item, None)
        writer.sequence(inner, tag)

    def read(self, reader: SequenceReader) -> tuple[Any, ...]:
        """Take all elements up to the end, at most `maximum`."""
        inner = reader.sequence()
        return read_all(self.element, inner, self.maximum)


def read_all(element: Codec, reader: SequenceReader, maximum: int) -> tuple[Any, ...]:
    """Take elements until the reader's end, at most `maximum`."""
    items: list[Any] = []
    while reader.more:
        if len(items) >= maximum:
            raise OutOfRange(f"more than {maximum} elements")
        items.append(element.read(reader))
    return tuple(items)


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One field: its name, its codec, and its context tag where it is optional."""

    name: str
    codec: Codec
    tag: int | None


_plans: dict[type[Any], tuple[Step, ...]] = {}


def steps(kind: type[Any]) -> tuple[Step, ...]:
    """Return the annotated fields of a class in their order."""
    plan = _plans.get(kind)
    if plan is None:
        hints = get_type_hints(kind, include_extras=True)
        found: list[Step] = []
        for field in dataclasses.fields(kind):
            hint = hints[field.name]
            if get_origin(hint) is not Annotated:
                continue
            marks = get_args(hint)[1:]
            codec = next(mark for mark in marks if isinstance(mark, Codec))
            tag = next((mark.number for mark in marks if isinstance(mark, Tag)), None)
            found.append(Step(field.name, codec, tag))
        plan = _plans[kind] = tuple(found)
    return plan


def write_fields(writer: SequenceWriter, value: Any) -> None:
    """Append the annotated fields of a dataclass instance in their order."""
    for step in steps(type(value)):
        item = getattr(value, step.name)
        if step.tag is None:
            step.codec.write(writer, item, None)
        elif item is not None:
            step.codec.write(writer, item, step.tag)


def read_fields(kind: type[Any], reader: SequenceReader, **fixed: Any) -> Any:
    """Take the annotated fields of `kind` in order and build an instance with `fixed` besides."""
    values: dict[str, Any] = dict(fixed)
    for step in steps(kind):
        if step.tag is None or reader.has(step.tag):
            values[step.name] = step.codec.read(reader)
        else:
            values[step.name] = None
    build: Callable[..., Any] = kind
    return build(**values)


def has_fields(kind: type[Any]) -> bool:
    """Tell whether a message of this class has a body at all."""
    return bool(steps(kind))


Uid = Annotated[bytes, Octets(16)]
Hash = Annotated[bytes, Octets(20)]
Name = Annotated[str, Ia5(1, 256)]
SessionTag = Annotated[bytes | None, Octets(2, 128), Tag(1)]
