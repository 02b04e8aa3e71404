"""The base of all messages: fields to a body and back, leftovers refused."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from gateway.asn1.errors import DecodeError
from gateway.asn1.reader import SequenceReader
from gateway.asn1.writer import SequenceWriter
from gateway.wire import quick
from gateway.wire.fields import has_fields, read_fields, write_fields


class Message:
    """A frozen dataclass whose annotated fields are the elements of the body.

    `LENIENT_END` marks the few messages whose leftovers the reference ignores.
    """

    __slots__ = ()
    LENIENT_END: ClassVar[bool] = False

    def body(self) -> bytes:
        """Return the body octets; empty for a message without fields."""
        if (usual := quick.write(self)) is not None:
            return usual
        if not has_fields(type(self)):
            return b""
        writer = SequenceWriter()
        write_fields(writer, self)
        return writer.encode()

    @classmethod
    def from_body(cls, body: bytes, **fixed: Any) -> Self:
        """Build the message from its body; `fixed` sets what the component says.

        Raises DecodeError for anything that is not exactly this message.
        """
        if not fixed and (values := quick.read(cls, body)) is not None:
            return cls(*values)
        if not has_fields(cls):
            if body:
                raise DecodeError(f"{cls.__name__} has no body")
            return cls(**fixed)
        reader = SequenceReader.root(body)
        message: Self = read_fields(cls, reader, **fixed)
        if not cls.LENIENT_END:
            reader.end()
        return message
