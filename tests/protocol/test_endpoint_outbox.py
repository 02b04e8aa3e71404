"""The event half of a service's session, message by message (03 section 3)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gateway.base.entropy import Entropy
from gateway.base.errors import QuotaExceeded
from gateway.model.kinds import EventKind
from gateway.model.structure import EventDefinition, SiteStructure
from gateway.protocol.endpoint_answers import ServiceMemory
from gateway.protocol.endpoint_events import (
    EventsTaken,
    EventStorageFailed,
    RaiseRefused,
    SessionFailed,
)
from gateway.protocol.endpoint_outbox import RESEND_WAIT, Kept, MemoryQueue, Raised, WhenFull
from gateway.protocol.endpoint_service import ServiceSession
from gateway.wire.installer import ServiceOnline
from gateway.wire.message import Message
from gateway.wire.pubsub import (
    IllegalEventName,
    LastStorageUid,
    NewStorageUid,
    RaiseAcknowledged,
    RaiseQueueingEvent,
    RaiseReplacingEvent,
    RaiseReplacingNullEvent,
)
from tests.protocol.endpoint_bench import heard, said, service, tell

REPLACING, QUEUEING, PRIVATE = EventKind.REPLACING, EventKind.QUEUEING, EventKind.PRIVATE
SITE = SiteStructure(
    "Lamp",
    "me",
    events=(
        EventDefinition(PRIVATE, "Note", 60),
        EventDefinition(QUEUEING, "Motion", 60, 10),
        EventDefinition(QUEUEING, "Alarm", 60, 10),
        EventDefinition(REPLACING, "State"),
    ),
)
EMPTY = b"\x30\x00"


class Numbered:
    """Uids that count."""

    def __init__(self) -> None:
        self.count = 0

    def uid(self) -> bytes:
        self.count += 1
        return bytes([self.count]) * 16

    def octets(self, count: int) -> bytes:
        return bytes(count)

    def text(self, alphabet: str, count: int) -> str:
        return alphabet[0] * count


class Inherited(MemoryQueue):
    """A queue with what an earlier program left."""

    def __init__(self, *raised: Raised) -> None:
        super().__init__()
        self._found = raised
        self.dropped: list[bytes] = []

    def open(self, service_uid: bytes, entropy: Entropy) -> Kept:
        return Kept(b"o" * 16, self._found)

    def drop(self, instance_uids: Sequence[bytes]) -> None:
        super().drop(instance_uids)
        self.dropped.extend(instance_uids)


def raising(
    last: bytes | None = None,
    queue: MemoryQueue | None = None,
    when_full: WhenFull = WhenFull.REJECT,
) -> tuple[ServiceSession, ServiceMemory]:
    """Return a service that is about to come online."""
    memory = ServiceMemory.fresh(SITE, Numbered(), queue, when_full=when_full)
    session, _ = service(SITE, memory)
    if last is not None:
        tell(session, LastStorageUid(last))
    return session, memory


def online(session: ServiceSession) -> list[Message]:
    tell(session, ServiceOnline(), now=0.0)
    heard(session)
    return said(session)


def do(session: ServiceSession, memory: ServiceMemory, kind: EventKind, name: str) -> bytes:
    uid = memory.outbox.raise_event(kind, name).instance_uid
    session.send_raised(1.0)
    return uid


def acknowledge(session: ServiceSession, index: int, uid: bytes) -> list[Message]:
    tell(session, RaiseAcknowledged(index, uid), now=2.0)
    return said(session)


def test_storage_mode_then_cache_mode() -> None:
    session, memory = raising()
    alarm = do(session, memory, QUEUEING, "Alarm")
    first = do(session, memory, REPLACING, "State")
    motion = do(session, memory, QUEUEING, "Motion")
    assert said(session) == []
    own = memory.outbox.storage_uid
    assert online(session) == [NewStorageUid(own), RaiseQueueingEvent("Alarm", 0, alarm)]
    late = do(session, memory, QUEUEING, "Alarm")
    assert said(session) == []  # it waits behind the others
    assert acknowledge(session, 0, alarm) == [RaiseReplacingEvent("State", 0, first)]
    assert acknowledge(session, 0, first) == [RaiseQueueingEvent("Motion", 0, motion)]
    assert acknowledge(session, 0, motion) == [RaiseQueueingEvent("Alarm", 0, late)]
    assert acknowledge(session, 0, late) == []
    assert EventsTaken() in heard(session)
    one, two = do(session, memory, QUEUEING, "Alarm"), do(session, memory, QUEUEING, "Alarm")
    other = do(session, memory, QUEUEING, "Motion")
    assert said(session) == [
        RaiseQueueingEvent("Alarm", 1, one),
        RaiseQueueingEvent("Motion", 2, other),
    ]
    assert acknowledge(session, 2, other) == []
    assert acknowledge(session, 1, one) == [RaiseQueueingEvent("Alarm", 1, two)]
    session.feed(b"", 3.0)
    again, _ = service(SITE, memory)
    tell(again, LastStorageUid(own))
    assert online(again) == [RaiseQueueingEvent("Alarm", 0, two)]


def test_a_replacing_event_keeps_what_is_under_way_and_the_newest() -> None:
    session, memory = raising()
    online(session)
    first = do(session, memory, REPLACING, "State")
    do(session, memory, REPLACING, "State")
    memory.outbox.raise_event(REPLACING, "State", EMPTY)
    null = memory.outbox.raise_event(REPLACING, "State", null=True).instance_uid
    assert said(session) == [RaiseReplacingEvent("State", 0, first)]
    assert len(memory.outbox) == 2
    assert acknowledge(session, 0, first) == [RaiseReplacingNullEvent("State", 0, null)]


def test_trap_e1_a_newer_value_during_flight_in_storage_mode_loses_nothing() -> None:
    """The reference takes the older out of its list, and the acknowledgment then the next one."""
    session, memory = raising()
    first = do(session, memory, REPLACING, "State")
    alarm = do(session, memory, QUEUEING, "Alarm")
    assert online(session)[1:] == [RaiseReplacingEvent("State", 0, first)]
    do(session, memory, REPLACING, "State")
    newest = do(session, memory, REPLACING, "State")
    motion = do(session, memory, QUEUEING, "Motion")
    assert said(session) == []
    assert acknowledge(session, 0, first) == [RaiseQueueingEvent("Alarm", 0, alarm)]
    assert acknowledge(session, 0, first) == []  # a second acknowledgment takes nothing else
    assert acknowledge(session, 0, alarm) == [RaiseReplacingEvent("State", 0, newest)]
    assert acknowledge(session, 0, newest) == [RaiseQueueingEvent("Motion", 0, motion)]
    assert acknowledge(session, 0, motion) == []
    assert len(memory.outbox) == 0


def test_repeated_every_30_seconds_until_it_is_acknowledged() -> None:
    session, memory = raising()
    online(session)
    uid = do(session, memory, QUEUEING, "Alarm")
    said(session)
    for turn in (1, 2):
        session.tick(turn * RESEND_WAIT + 0.5)
        assert RaiseQueueingEvent("Alarm", 1, uid) not in said(session)
        session.tick(turn * RESEND_WAIT + 1)
        assert RaiseQueueingEvent("Alarm", 1, uid) in said(session)
    assert acknowledge(session, 1, b"x" * 16) == []
    assert len(memory.outbox) == 1
    acknowledge(session, 1, uid)
    acknowledge(session, 1, uid)
    assert len(memory.outbox) == 0
    assert not session.finished


def test_an_event_that_the_site_lacks_is_dropped_and_told() -> None:
    session, memory = raising()
    online(session)
    uid, following = do(session, memory, QUEUEING, "Alarm"), do(session, memory, QUEUEING, "Alarm")
    said(session)
    tell(session, IllegalEventName(1, uid))
    assert said(session) == [RaiseQueueingEvent("Alarm", 1, following)]
    assert heard(session) == [RaiseRefused("Alarm")]


@pytest.mark.parametrize("index", [-1, 4])
def test_an_index_of_nothing_ends_the_session_in_cache_mode(index: int) -> None:
    session, _ = raising()
    online(session)
    tell(session, RaiseAcknowledged(index, b"x" * 16))
    assert isinstance(session.finished, SessionFailed)


def test_acknowledgments_have_no_place_before_online() -> None:
    session, _ = raising()
    tell(session, RaiseAcknowledged(0, b"x" * 16))
    assert isinstance(session.finished, SessionFailed)


@pytest.mark.parametrize("last", [None, b"o" * 16, b"x" * 16])
def test_what_an_earlier_program_left_is_dropped_when_the_server_followed_another_storage(
    last: bytes | None,
) -> None:
    left = Raised(QUEUEING, "Alarm", b"l" * 16)
    queue = Inherited(left)
    session, memory = raising(last, queue)
    new = do(session, memory, QUEUEING, "Motion")
    tell(session, ServiceOnline(), now=0.0)
    told: list[Message] = [] if last == b"o" * 16 else [NewStorageUid(b"o" * 16)]
    foreign = last == b"x" * 16
    first = (
        RaiseQueueingEvent("Motion", 0, new)
        if foreign
        else RaiseQueueingEvent("Alarm", 0, b"l" * 16)
    )
    assert said(session) == [*told, first]
    assert queue.dropped == ([b"l" * 16] if foreign else [])
    assert any(isinstance(one, EventStorageFailed) for one in heard(session)) == foreign


def test_trap_e10_a_full_memory_rejects_unless_told_otherwise() -> None:
    session, memory = raising(queue=MemoryQueue(200))
    do(session, memory, QUEUEING, "Alarm")
    do(session, memory, REPLACING, "State")
    with pytest.raises(QuotaExceeded):
        do(session, memory, QUEUEING, "Alarm")
    do(session, memory, REPLACING, "State")
    assert [one.name for one in memory.outbox._order.values()] == ["Alarm", "State"]
    assert memory.outbox.take_dropped() == []


def test_trap_e10_a_full_memory_drops_the_oldest_but_never_what_is_under_way() -> None:
    # One instance costs 64 octets and its name: three fit.
    session, memory = raising(queue=MemoryQueue(210), when_full=WhenFull.DROP_OLDEST)
    online(session)
    first = do(session, memory, QUEUEING, "Alarm")
    assert said(session) == [RaiseQueueingEvent("Alarm", 1, first)]
    second, third, fourth = (do(session, memory, QUEUEING, "Alarm") for _ in range(3))
    assert [one.instance_uid for one in memory.outbox.take_dropped()] == [second]
    assert memory.outbox.take_dropped() == []
    assert acknowledge(session, 1, first) == [RaiseQueueingEvent("Alarm", 1, third)]
    assert acknowledge(session, 1, third) == [RaiseQueueingEvent("Alarm", 1, fourth)]
    assert acknowledge(session, 1, fourth) == []


def test_trap_e10_what_does_not_fit_into_an_empty_storage_drops_nothing() -> None:
    _, memory = raising(queue=MemoryQueue(210), when_full=WhenFull.DROP_OLDEST)
    kept = [memory.outbox.raise_event(QUEUEING, "Alarm").instance_uid for _ in range(2)]
    with pytest.raises(QuotaExceeded):
        memory.outbox.raise_event(QUEUEING, "Alarm", b"\x30\x81\xc0" + bytes(0xC0))
    assert list(memory.outbox._order) == kept
    assert memory.outbox.take_dropped() == []
