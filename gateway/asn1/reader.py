"""Octets to elements, strictly, with no idea what they mean (01 section 2)."""

from __future__ import annotations

import datetime
import struct

from gateway.asn1.errors import DecodeError, OutOfRange, TrailingElements, Truncated, WrongType
from gateway.asn1.times import decode_time
from gateway.asn1.writer import (
    BMP_STRING,
    BOOLEAN,
    GENERALIZED_TIME,
    IA5_STRING,
    INTEGER,
    NULL,
    OCTET_STRING,
    PRINTABLE,
    PRINTABLE_STRING,
    REAL,
    SEQUENCE,
    UTF8_STRING,
)

_CLASS = 0xC0
_CONSTRUCTED = 0x20
_NUMBER = 0x1F


def read_length(data: bytes, at: int) -> tuple[int, int]:
    """Return a definite length and the position behind it.

    Non-minimal forms are taken; 80, more than four octets and the top bit of four are refused.
    """
    if at >= len(data):
        raise Truncated("length missing")
    first = data[at]
    at += 1
    if first < 0x80:
        return first, at
    count = first & 0x7F
    if not 1 <= count <= 4:
        raise DecodeError(f"length form {first:02x} is not allowed")
    if at + count > len(data):
        raise Truncated("length cut short")
    length = int.from_bytes(data[at : at + count], "big")
    if length > 0x7FFFFFFF:
        raise OutOfRange("length over 2^31-1")
    return length, at + count


def decode_real(content: bytes) -> float:
    """Return the value of REAL content octets (01 section 2.6)."""
    if not content:
        return 0.0
    header = content[0]
    special = {0x40: float("inf"), 0x41: float("-inf"), 0x42: float("nan"), 0x43: -0.0}
    if header in special and len(content) == 1:
        return special[header]
    if header & 0xBE != 0x80:
        raise DecodeError("this form of REAL is not allowed")
    size = (header & 1) + 1
    if len(content) <= 1 + size or len(content) > 1 + size + 8:
        raise Truncated("REAL of a wrong size")
    exponent = int.from_bytes(content[1 : 1 + size], "big", signed=True)
    mantissa = int.from_bytes(content[1 + size :], "big")
    if not mantissa & 1:
        raise DecodeError("REAL with an even mantissa")
    try:
        value = float(mantissa) * 2.0**exponent if exponent > -1000 else _tiny(mantissa, exponent)
    except OverflowError as error:
        raise OutOfRange("REAL too large") from error
    return -value if header & 0x40 else value


def _tiny(mantissa: int, exponent: int) -> float:
    return float(mantissa) * 2.0**-1000 * 2.0 ** max(exponent + 1000, -1070)


class SequenceReader:
    """Takes the elements of one SEQUENCE in order.

    As in the reference, a reader that asks for an untagged primitive also takes a context-tagged
    one in its place (01 section 2.7); whether an optional field is there is tested with `has`.
    """

    __slots__ = ("_at", "_data", "_end")

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self._data = data
        self._at = at
        self._end = end

    @classmethod
    def root(cls, data: bytes, *, trailing: bool = True) -> SequenceReader:
        """Open the root SEQUENCE; octets behind it are ignored unless `trailing` is False."""
        if not data or data[0] != SEQUENCE:
            raise WrongType("a SEQUENCE is expected")
        length, at = read_length(data, 1)
        if at + length > len(data):
            raise Truncated("the SEQUENCE is longer than the message")
        if not trailing and at + length != len(data):
            raise TrailingElements("octets behind the SEQUENCE")
        return cls(data, at, at + length)

    @property
    def more(self) -> bool:
        """Tell whether an element is left."""
        return self._at < self._end

    def has(self, tag: int) -> bool:
        """Tell whether the next element is a non-universal one with this tag number."""
        if self._at >= self._end:
            return False
        octet = self._data[self._at]
        return octet & _CLASS != 0 and octet & _NUMBER == tag

    def is_null(self) -> bool:
        """Tell whether the next element is a NULL."""
        return self._at < self._end and self._data[self._at] == NULL

    def end(self) -> None:
        """Insist that nothing is left; raise TrailingElements otherwise."""
        if self._at < self._end:
            raise TrailingElements("unexpected elements at the end")

    def _take(self, universal: int) -> bytes:
        if self._at >= self._end:
            raise Truncated("an element is missing")
        octet = self._data[self._at]
        if octet & _CLASS == 0:
            if octet != universal:
                raise WrongType(f"element {octet:02x} where {universal:02x} is expected")
        elif octet & _CONSTRUCTED != universal & _CONSTRUCTED:
            raise WrongType(f"element {octet:02x} of the wrong form")
        length, start = read_length(self._data, self._at + 1)
        stop = start + length
        if stop > self._end:
            raise Truncated("an element runs past its container")
        self._at = stop
        return self._data[start:stop]

    def skip(self) -> None:
        """Pass over one element of any type."""
        if self._at >= self._end:
            raise Truncated("an element is missing")
        length, start = read_length(self._data, self._at + 1)
        if start + length > self._end:
            raise Truncated("an element runs past its container")
        self._at = start + length

    def boolean(self) -> bool:
        """Take a BOOLEAN: exactly 00 or FF."""
        content = self._take(BOOLEAN)
        if content not in (b"\x00", b"\xff"):
            raise DecodeError("malformed BOOLEAN")
        return content == b"\xff"

    def int32(self, minimum: int = -(1 << 31), maximum: int = (1 << 31) - 1) -> int:
        """Take an INTEGER of at most four content octets within the bounds."""
        return self._integer(4, minimum, maximum)

    def int64(self, minimum: int = -(1 << 63), maximum: int = (1 << 63) - 1) -> int:
        """Take an INTEGER of at most eight content octets within the bounds."""
        return self._integer(8, minimum, maximum)

    def _integer(self, width: int, minimum: int, maximum: int) -> int:
        content = self._take(INTEGER)
        if not 1 <= len(content) <= width:
            raise OutOfRange(f"INTEGER of {len(content)} octets")
        value = int.from_bytes(content, "big", signed=True)
        if not minimum <= value <= maximum:
            raise OutOfRange(f"{value} is outside {minimum}..{maximum}")
        return value

    def octets(self, minimum: int = 0, maximum: int = 0x7FFFFFFF) -> bytes:
        """Take an OCTET STRING with a bounded size."""
        content = self._take(OCTET_STRING)
        if not minimum <= len(content) <= maximum:
            raise OutOfRange(f"OCTET STRING of {len(content)} octets")
        return content

    def null(self) -> None:
        """Take a NULL."""
        if self._take(NULL):
            raise DecodeError("NULL with content")

    def real(self) -> float:
        """Take a REAL."""
        return decode_real(self._take(REAL))

    def utf8(self, minimum: int = 0, maximum: int = 0x7FFFFFFF) -> str:
        """Take a UTF8String; malformed octets become U+FFFD as in the reference."""
        return self._bounded(self._take(UTF8_STRING).decode("utf-8", "replace"), minimum, maximum)

    def ia5(self, minimum: int = 0, maximum: int = 0x7FFFFFFF) -> str:
        """Take an IA5String of ASCII characters with a bounded length."""
        try:
            text = self._take(IA5_STRING).decode("ascii")
        except UnicodeDecodeError as error:
            raise DecodeError("IA5String with a non-ASCII octet") from error
        return self._bounded(text, minimum, maximum)

    def printable(self, minimum: int = 0, maximum: int = 0x7FFFFFFF) -> str:
        """Take a PrintableString with a bounded length."""
        content = self._take(PRINTABLE_STRING)
        if not PRINTABLE.issuperset(content):
            raise DecodeError("PrintableString with a forbidden character")
        return self._bounded(content.decode("ascii"), minimum, maximum)

    def bmp(self, minimum: int = 0, maximum: int = 0x7FFFFFFF) -> str:
        """Take a BMPString."""
        content = self._take(BMP_STRING)
        if len(content) % 2:
            raise DecodeError("BMPString of an odd size")
        text = content.decode("utf-16-be", "surrogatepass")
        return self._bounded(text, minimum, maximum)

    def time(self) -> datetime.datetime:
        """Take a GeneralizedTime."""
        return decode_time(self._take(GENERALIZED_TIME))

    def sequence(self) -> SequenceReader:
        """Take a nested SEQUENCE and return a reader for it."""
        content = self._take(SEQUENCE)
        return SequenceReader(content, 0, len(content))

    @staticmethod
    def _bounded(text: str, minimum: int, maximum: int) -> str:
        if not minimum <= len(text) <= maximum:
            raise OutOfRange(f"text of {len(text)} characters")
        return text


def is_one_sequence(data: bytes) -> bool:
    """Tell whether the octets are exactly one SEQUENCE, as arguments and tags must be."""
    if len(data) >= 2 and data[0] == SEQUENCE and data[1] == len(data) - 2 < 0x80:
        return True  # the usual short form
    try:
        SequenceReader.root(data, trailing=False)
    except DecodeError:
        return False
    return True


def float32(value: float) -> float:
    """Round to the nearest single-precision value, for REALs declared as Real32."""
    return float(struct.unpack(">f", struct.pack(">f", value))[0])
