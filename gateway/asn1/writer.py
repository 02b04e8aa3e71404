"""Elements of one SEQUENCE to octets, minimal definite lengths (01 sections 2.1 to 2.7)."""

from __future__ import annotations

import datetime
import math
from typing import Self

from gateway.asn1.errors import EncodeError
from gateway.asn1.times import encode_time

BOOLEAN = 0x01
INTEGER = 0x02
OCTET_STRING = 0x04
NULL = 0x05
REAL = 0x09
UTF8_STRING = 0x0C
SEQUENCE = 0x30
PRINTABLE_STRING = 0x13
IA5_STRING = 0x16
GENERALIZED_TIME = 0x18
BMP_STRING = 0x1E

_CONTEXT = 0x80
_CONSTRUCTED = 0x20
_TAG_MAX = 30
_LENGTH_MAX = 0x7FFFFFFF

PRINTABLE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 '()+,-./:=?")


def encode_length(count: int) -> bytes:
    """Return the minimal definite length octets for a content of `count` octets."""
    if count < 0x80:
        return bytes((count,))
    if count > _LENGTH_MAX:
        raise EncodeError("content too long for this dialect")
    octets = count.to_bytes((count.bit_length() + 7) // 8, "big")
    return bytes((0x80 | len(octets),)) + octets


def encode_integer(value: int) -> bytes:
    """Return the shortest two's complement content octets."""
    return value.to_bytes((value + (value < 0)).bit_length() // 8 + 1, "big", signed=True)


def encode_real(value: float) -> bytes:
    """Return the content octets of a REAL: binary, base 2, odd mantissa (01 section 2.6)."""
    if value == 0:
        return b"\x43" if math.copysign(1, value) < 0 else b""
    if math.isinf(value):
        return b"\x40" if value > 0 else b"\x41"
    if math.isnan(value):
        return b"\x42"
    numerator, denominator = abs(value).as_integer_ratio()
    exponent = -(denominator.bit_length() - 1)
    shift = (numerator & -numerator).bit_length() - 1
    mantissa, exponent = numerator >> shift, exponent + shift
    scale = encode_integer(exponent)
    header = (0xC0 if value < 0 else 0x80) + (len(scale) - 1)
    return bytes((header,)) + scale + mantissa.to_bytes((mantissa.bit_length() + 7) // 8, "big")


class SequenceWriter:
    """Collects the elements of one SEQUENCE in order.

    Each method takes an optional `tag`: the element then carries that context tag in place of its
    universal one (IMPLICIT). Values that the dialect cannot express raise EncodeError.
    """

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def content(self) -> bytes:
        """Return the elements without the SEQUENCE around them."""
        return b"".join(self._parts)

    def encode(self) -> bytes:
        """Return the whole SEQUENCE."""
        content = self.content()
        return b"\x30" + encode_length(len(content)) + content

    def element(self, universal: int, content: bytes, tag: int | None = None) -> Self:
        """Append one element given by its content octets."""
        octet = universal
        if tag is not None:
            if not 0 <= tag <= _TAG_MAX:
                raise EncodeError(f"context tag {tag} is out of range")
            octet = _CONTEXT | (universal & _CONSTRUCTED) | tag
        self._parts.append(bytes((octet,)) + encode_length(len(content)) + content)
        return self

    def boolean(self, value: bool, tag: int | None = None) -> Self:
        """Append a BOOLEAN."""
        return self.element(BOOLEAN, b"\xff" if value else b"\x00", tag)

    def int32(self, value: int, tag: int | None = None) -> Self:
        """Append an INTEGER of at most 32 bits."""
        if not -(1 << 31) <= value < 1 << 31:
            raise EncodeError(f"{value} does not fit into 32 bits")
        return self.element(INTEGER, encode_integer(value), tag)

    def int64(self, value: int, tag: int | None = None) -> Self:
        """Append an INTEGER of at most 64 bits."""
        if not -(1 << 63) <= value < 1 << 63:
            raise EncodeError(f"{value} does not fit into 64 bits")
        return self.element(INTEGER, encode_integer(value), tag)

    def octets(self, value: bytes, tag: int | None = None) -> Self:
        """Append an OCTET STRING."""
        return self.element(OCTET_STRING, bytes(value), tag)

    def null(self, tag: int | None = None) -> Self:
        """Append a NULL."""
        return self.element(NULL, b"", tag)

    def real(self, value: float, tag: int | None = None) -> Self:
        """Append a REAL."""
        return self.element(REAL, encode_real(value), tag)

    def utf8(self, value: str, tag: int | None = None) -> Self:
        """Append a UTF8String."""
        try:
            return self.element(UTF8_STRING, value.encode("utf-8"), tag)
        except UnicodeEncodeError as error:
            raise EncodeError("a lone surrogate cannot be encoded") from error

    def ia5(self, value: str, tag: int | None = None) -> Self:
        """Append an IA5String; ASCII only."""
        try:
            return self.element(IA5_STRING, value.encode("ascii"), tag)
        except UnicodeEncodeError as error:
            raise EncodeError("only ASCII characters are allowed here") from error

    def printable(self, value: str, tag: int | None = None) -> Self:
        """Append a PrintableString."""
        octets = value.encode("utf-8", "replace")
        if not PRINTABLE.issuperset(octets):
            raise EncodeError("a character is not allowed in a PrintableString")
        return self.element(PRINTABLE_STRING, octets, tag)

    def bmp(self, value: str, tag: int | None = None) -> Self:
        """Append a BMPString: UTF-16 big-endian, no mark."""
        return self.element(BMP_STRING, value.encode("utf-16-be", "surrogatepass"), tag)

    def time(self, value: datetime.datetime, tag: int | None = None) -> Self:
        """Append a GeneralizedTime."""
        return self.element(GENERALIZED_TIME, encode_time(value), tag)

    def sequence(self, inner: SequenceWriter, tag: int | None = None) -> Self:
        """Append a nested SEQUENCE."""
        return self.element(SEQUENCE, inner.content(), tag)
