"""What the vectors do not show: any value survives, any garbage is refused the same way."""

from __future__ import annotations

import datetime
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.asn1.errors import EncodeError, OutOfRange
from gateway.asn1.reader import SequenceReader, is_one_sequence
from gateway.asn1.times import decode_time, encode_time
from gateway.asn1.writer import SequenceWriter
from gateway.base.errors import RemoteError

INT32 = st.integers(-(1 << 31), (1 << 31) - 1)
INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
ASCII = st.text(st.characters(max_codepoint=127))


@given(INT32, INT64, st.booleans(), st.binary(max_size=300), ASCII, st.text())
def test_every_value_comes_back(
    small: int, big: int, flag: bool, octets: bytes, ascii_text: str, text: str
) -> None:
    text = text.encode("utf-8", "ignore").decode()
    inner = SequenceWriter().int32(small, 3).ia5(ascii_text)
    writer = SequenceWriter().int32(small).int64(big).boolean(flag).octets(octets, 7)
    reader = SequenceReader.root(writer.utf8(text).bmp(text).sequence(inner, 30).encode())
    assert (reader.int32(), reader.int64(), reader.boolean()) == (small, big, flag)
    assert reader.has(7)
    assert (reader.octets(), reader.utf8(), reader.bmp()) == (octets, text, text)
    nested = reader.sequence()
    assert nested.has(3)
    assert (nested.int32(), nested.ia5()) == (small, ascii_text)
    nested.end()
    reader.end()


@given(st.floats(allow_nan=False))
def test_every_real_comes_back(value: float) -> None:
    back = SequenceReader.root(SequenceWriter().real(value).encode()).real()
    assert (back, str(back)) == (value, str(value))


@given(
    st.datetimes(
        min_value=datetime.datetime(1000, 1, 1),
        timezones=st.just(datetime.UTC),
    )
)
def test_every_moment_comes_back_to_the_millisecond(moment: datetime.datetime) -> None:
    back = decode_time(encode_time(moment))
    assert back == moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def test_what_the_dialect_cannot_say_is_refused() -> None:
    writer = SequenceWriter()
    for refused in (
        lambda: writer.int32(1 << 31),
        lambda: writer.int64(1 << 63),
        lambda: writer.ia5("é"),
        lambda: writer.printable("a@b"),
        lambda: writer.utf8("\ud800"),
        lambda: writer.int32(1, 31),
    ):
        with pytest.raises(EncodeError):
            refused()


def test_bounds_are_checked() -> None:
    octets = SequenceWriter().int32(5).ia5("abc").octets(b"12").encode()
    for bad in (
        lambda r: r.int32(6, 9),
        lambda r: (r.int32(), r.ia5(4, 9)),
        lambda r: (r.int32(), r.ia5(), r.octets(3, 3)),
    ):
        with pytest.raises(OutOfRange):
            bad(SequenceReader.root(octets))


def test_exactly_one_sequence() -> None:
    assert is_one_sequence(bytes.fromhex("3000"))
    assert is_one_sequence(bytes.fromhex("3003020105"))
    for wrong in ("", "30", "3003020105ff", "0401ff", "003003020180"):
        assert not is_one_sequence(bytes.fromhex(wrong))


def test_garbage_is_refused_and_nothing_else() -> None:
    rng = random.Random(1512)
    calls = ("int32", "int64", "boolean", "octets", "ia5", "printable", "utf8", "bmp", "time")
    for _ in range(3000):
        octets = bytes([0x30]) + rng.randbytes(rng.randrange(40))
        try:
            reader = SequenceReader.root(octets)
            while reader.more:
                getattr(reader, rng.choice((*calls, "real", "null", "sequence", "skip")))()
        except RemoteError:
            continue
