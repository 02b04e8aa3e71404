"""The short way says what the full reader and writer say, or leaves it to them."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.asn1.errors import DecodeError
from gateway.asn1.reader import SequenceReader
from gateway.asn1.writer import SequenceWriter
from gateway.wire import catalogue, quick, rpc
from gateway.wire.fields import read_fields, write_fields
from tests.wire.test_catalogue import instances_of

QUICK = sorted(
    {
        kind
        for table in catalogue.TABLES.values()
        for kind, fixed in table.values()
        if not fixed and quick._plan_of(kind) is not None
    },
    key=lambda kind: kind.__name__,
)


def full(kind: type[Any], body: bytes) -> Any:
    """Return the message as the full reader has it, or None when that refuses it."""
    try:
        reader = SequenceReader.root(body)
        found = read_fields(kind, reader)
        reader.end()
    except DecodeError:
        return None
    return found


def agree(kind: type[Any], body: bytes) -> bool:
    values = quick.read(kind, body)
    assert values is None or kind(*values) == full(kind, body)
    return values is not None


def test_the_messages_that_are_relayed_most_go_the_short_way() -> None:
    for kind in (rpc.CallRequest, rpc.ServiceCallRequest, rpc.ServiceCallResult, rpc.CallResult):
        assert kind in QUICK
    assert len(QUICK) > 20


@pytest.mark.parametrize("kind", QUICK)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_both_ways_are_the_same_to_the_octet(kind: type[Any], data: st.DataObject) -> None:
    message = data.draw(instances_of(kind))
    writer = SequenceWriter()
    write_fields(writer, message)
    body = writer.encode()
    assert quick.write(message) == body
    assert agree(kind, body)
    chance = random.Random(data.draw(st.integers()))
    for _ in range(60):
        broken = bytearray(body)
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(broken))
            if chance.random() < 0.3:
                del broken[at:]
            elif chance.random() < 0.3:
                broken.insert(at, chance.randrange(256))
            else:
                broken[at] = chance.choice((0x80, 0x81, 0x82, 0x84, 0, 1, chance.randrange(256)))
            if not broken:
                break
        agree(kind, bytes(broken))


@pytest.mark.parametrize("body", [b"", b"\x30", b"\x30\x80", b"\x30\x80\x00\x00", b"\x30\x84"])
def test_an_odd_end_is_left_to_the_full_reader(body: bytes) -> None:
    for kind in QUICK:
        assert quick.read(kind, body) is None


def test_what_the_dialect_cannot_say_is_left_to_the_full_writer() -> None:
    assert quick.write(rpc.CallRefused(bytes(16), 1 << 40)) is None
    assert quick.write(rpc.CallRequest(bytes(16), 1, "Ünlaut", b"\x30\x00")) is None
    assert quick.write(rpc.CallRequest(bytes(16), None, "Echo", b"\x30\x00")) is None  # type: ignore[arg-type]
