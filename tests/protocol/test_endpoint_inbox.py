"""The event half of a client's session, message by message (03 section 5)."""

from __future__ import annotations

import datetime

from gateway.model.kinds import ClientCategory, EventKind
from gateway.protocol.endpoint_client import ClientSession
from gateway.protocol.endpoint_events import (
    EventArrived,
    SubscriptionRefused,
)
from gateway.protocol.endpoint_inbox import Delivery
from gateway.protocol.endpoint_requests import ClientMemory
from gateway.wire.message import Message
from gateway.wire.pubsub import (
    AddSubscription,
    DeliverPrivateEvent,
    DeliverQueueingEvent,
    DeliverReplacingEvent,
    DeliverReplacingNullEvent,
    EventRejected,
    IllegalSubscription,
    PrivateEventAcknowledged,
    QueueingEventAcknowledged,
    RemoveSubscription,
    ReplacingEventAcknowledged,
    Subscription,
    Subscriptions,
    SyncOk,
    SyncStateful,
    SyncStateless,
    subscription_hash,
)
from tests.protocol.endpoint_bench import heard, online_client, said, tell

REPLACING, QUEUEING, PRIVATE = EventKind.REPLACING, EventKind.QUEUEING, EventKind.PRIVATE
EMPTY = b"\x30\x00"
WHEN = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def following(
    category: ClientCategory = ClientCategory.MULTI_SERVICE,
) -> tuple[ClientSession, ClientMemory]:
    session, memory = online_client(category)
    memory.inbox.follow(QUEUEING, "Alarm")
    memory.inbox.follow(REPLACING, "State")
    return session, memory


def deliver(
    session: ClientSession, instance: int, transaction: int, arguments: bytes | None = None
) -> list[Message]:
    uid = bytes([transaction]) * 16
    tell(session, DeliverQueueingEvent("Alarm", 5, uid, instance, 7, 3, WHEN, arguments))
    return said(session)


def arrived(session: ClientSession) -> list[Delivery]:
    found = [one.delivery for one in heard(session) if isinstance(one, EventArrived)]
    for delivery in found:
        delivery.started = True
    return found


def settle(session: ClientSession, memory: ClientMemory, delivery: Delivery) -> list[Message]:
    for outcome in memory.inbox.handled(delivery):
        session.take_outcome(outcome, 5.0)
    return said(session)


def test_the_hash_decides_who_tells_whom() -> None:
    session, _ = following()
    both = (Subscription(QUEUEING, "Alarm"), Subscription(REPLACING, "State"))
    for known in (None, b"h" * 20, subscription_hash([(QUEUEING, "Alarm")])):
        tell(session, SyncStateful(known))
        assert said(session) == [Subscriptions(both)]
    tell(session, SyncStateful(subscription_hash([(REPLACING, "State"), (QUEUEING, "Alarm")])))
    assert said(session) == [SyncOk()]


def test_a_stateless_client_tells_where_it_is() -> None:
    session, memory = following(ClientCategory.MULTI_SERVICE_STATELESS)
    tell(session, SyncStateless())
    said(session)
    deliver(session, 31, 1)
    (delivery,) = arrived(session)
    settle(session, memory, delivery)
    tell(session, SyncStateless())
    both = (Subscription(QUEUEING, "Alarm", 31), Subscription(REPLACING, "State"))
    assert said(session) == [Subscriptions(both)]
    memory.inbox.leave("Alarm")
    session.leave_event(QUEUEING, "Alarm", 5.0)
    memory.inbox.follow(QUEUEING, "Alarm")
    session.follow(QUEUEING, "Alarm", 5.0)
    assert said(session) == [
        RemoveSubscription(QUEUEING, "Alarm"),
        AddSubscription(QUEUEING, "Alarm", 31),
    ]


def test_changes_before_sync_are_told_by_it() -> None:
    session, memory = following()
    session.follow(QUEUEING, "Alarm", 1.0)
    session.leave_event(QUEUEING, "Alarm", 1.0)
    assert said(session) == []
    memory.inbox.leave("Alarm")
    tell(session, SyncStateful())
    assert said(session) == [Subscriptions((Subscription(REPLACING, "State"),))]


def test_handled_then_acknowledged_and_not_handled_again() -> None:
    session, memory = following()
    assert deliver(session, 31, 1, EMPTY) == []
    (delivery,) = arrived(session)
    event = delivery.event
    assert (event.name, event.kind, event.null, event.service_id) == ("Alarm", QUEUEING, False, 7)
    assert (event.age, event.created, event.arguments) == (3, WHEN, EMPTY)
    assert settle(session, memory, delivery) == [QueueingEventAcknowledged(5, b"\1" * 16)]
    assert deliver(session, 31, 2) == [QueueingEventAcknowledged(5, b"\2" * 16)]
    assert deliver(session, 30, 3) == []  # equality only, not order
    assert [one.instance_id for one in arrived(session)] == [30]


def test_a_redelivery_of_what_is_being_handled_only_renews_the_transaction() -> None:
    session, memory = following()
    deliver(session, 31, 1)
    (delivery,) = arrived(session)
    assert deliver(session, 31, 2) == []
    assert arrived(session) == []
    assert settle(session, memory, delivery) == [QueueingEventAcknowledged(5, b"\2" * 16)]


def test_a_handler_that_outlives_its_session_acknowledges_in_the_next() -> None:
    session, memory = following()
    deliver(session, 31, 1)
    (delivery,) = arrived(session)
    session.feed(b"", 2.0)
    memory.inbox.begin()
    assert memory.inbox.handled(delivery)[0].answer is None
    session, _ = online_client()
    outcome = memory.inbox.deliver(DeliverQueueingEvent("Alarm", 5, b"\2" * 16, 31, 7, 0, WHEN))
    assert outcome.answer == QueueingEventAcknowledged(5, b"\2" * 16)


def test_another_instance_waits_for_the_handler() -> None:
    session, memory = following()
    deliver(session, 31, 1)
    (delivery,) = arrived(session)
    assert deliver(session, 32, 2) == []
    assert arrived(session) == []
    settle(session, memory, delivery)
    assert [one.instance_id for one in arrived(session)] == [32]


def test_a_failed_handler_acknowledges_nothing() -> None:
    session, memory = following()
    deliver(session, 31, 1)
    (delivery,) = arrived(session)
    assert memory.inbox.failed(delivery) == ()
    assert deliver(session, 31, 2) == []
    assert [one.instance_id for one in arrived(session)] == [31]


def test_each_kind_has_its_acknowledgment_and_a_null_that_of_its_event() -> None:
    session, memory = following()
    memory.inbox.follow(PRIVATE, "Note")
    head = (5, b"t" * 16, 1, 7, 0, WHEN)
    tell(session, DeliverPrivateEvent("Note", *head))
    tell(session, DeliverReplacingNullEvent("State", *head))
    note, state = arrived(session)
    assert state.event.null
    assert settle(session, memory, note) == [PrivateEventAcknowledged(5, b"t" * 16)]
    assert settle(session, memory, state) == [ReplacingEventAcknowledged(5, b"t" * 16)]


def test_without_a_subscription_of_its_kind_it_is_rejected() -> None:
    session, _ = following()
    head = (5, b"t" * 16, 1, 7, 0, WHEN)
    tell(session, DeliverReplacingEvent("Alarm", *head))
    tell(session, DeliverPrivateEvent("Note", *head))
    assert said(session) == [
        EventRejected(REPLACING, 5, b"t" * 16),
        EventRejected(PRIVATE, 5, b"t" * 16),
    ]


def test_arguments_that_nobody_can_read_are_let_go() -> None:
    session, _ = following()
    assert deliver(session, 31, 1, b"ab") == [QueueingEventAcknowledged(5, b"\1" * 16)]
    assert arrived(session) == []


def test_an_illegal_subscription_is_told_and_kept() -> None:
    session, memory = following()
    tell(session, IllegalSubscription("Alarm"))
    assert heard(session) == [SubscriptionRefused("Alarm")]
    assert len(memory.inbox.listed()) == 2
