"""The contract that every machine keeps."""

from __future__ import annotations

from gateway.base.errors import ProtocolViolation
from gateway.protocol.machine import Conversation, Machine


class Echo(Conversation[str]):
    """Answers every octet and dies at an exclamation mark."""

    def _receive(self, data: bytes, now: float) -> None:
        for octet in data:
            if octet == ord("!"):
                raise ProtocolViolation("shouting")
            self._send(bytes((octet,)))
            self._emit(chr(octet))


def test_events_and_octets_come_out_in_order_and_once() -> None:
    machine: Machine[str] = Echo()
    machine.start(0.0)
    machine.feed(b"ab", 1.0)
    assert [machine.next_event(), machine.next_event(), machine.next_event()] == ["a", "b", None]
    assert machine.outgoing() == b"ab"
    assert machine.outgoing() == b""
    assert machine.deadline is None
    assert machine.finished is False


def test_a_violation_kills_once_and_keeps_the_reason() -> None:
    machine = Echo()
    machine.feed(b"a!b", 1.0)
    error = machine.finished
    assert isinstance(error, ProtocolViolation)
    assert str(error) == "shouting"
    machine.feed(b"c!", 2.0)
    machine.feed(b"", 3.0)
    assert machine.finished is error
    assert machine.outgoing() == b"a"
    assert machine.next_event() == "a"
    assert machine.next_event() is None


def test_the_end_of_the_stream_finishes_in_order() -> None:
    machine = Echo()
    machine.feed(b"", 1.0)
    assert machine.finished is True
