"""Events: raised, kept, delivered one at a time to those they are meant for (03, 3 to 5)."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from gateway.model.kinds import EventKind, GuestAccess, GuestSupport, SiteKind
from gateway.model.structure import EventDefinition, SiteStructure
from gateway.site.happenings import ClientExpelled, MinutePassed, StoreSeen
from gateway.site.retained import OCTETS_MAX, EventStore, Instance
from gateway.wire import pubsub
from gateway.wire.codes import ErrorCode
from gateway.wire.message import Message
from tests.site.stage import ALISON, BOB, GUEST, OWNER, USERS, Stage, a_service, a_site

STRUCTURE = SiteStructure(
    "IP Camera",
    "Somebody",
    GuestSupport.STATELESS,
    ("Administrator", "Viewer"),
    None,
    (
        EventDefinition(EventKind.REPLACING, "State"),
        EventDefinition(EventKind.REPLACING, "Private State", guest_access=GuestAccess(1)),
        EventDefinition(EventKind.REPLACING, "Named State", guest_access=GuestAccess(2)),
        EventDefinition(EventKind.QUEUEING, "Alarm", 600, 3, roles=("Administrator",)),
        EventDefinition(EventKind.PRIVATE, "Done", 60),
    ),
)
ARGUMENTS = bytes.fromhex("3003020101")
KINDS = {event.name: event.kind for event in STRUCTURE.events}
DELIVERIES = (
    pubsub.DeliverReplacingEvent,
    pubsub.DeliverQueueingEvent,
    pubsub.DeliverPrivateEvent,
    pubsub.DeliverReplacingNullEvent,
)


class Scene:
    """A service with events, online; clients subscribe as they come."""

    def __init__(self, store: EventStore | None = None, **changes: Any) -> None:
        viewer = dataclasses.replace(USERS[ALISON], role_ids=(1002,))
        owner = dataclasses.replace(USERS[OWNER], role_ids=(1001,))
        facts = {"guest_allowed": True, "members": (owner, viewer), **changes}
        self.stage = Stage(a_site(STRUCTURE, **facts), store=store)
        self.service = self.stage.service(1, STRUCTURE)
        self.stage.heard(self.service)
        self._uid = 0

    def client(self, client_id: int, user: int, *names: str, last: int | None = None) -> int:
        number = self.stage.client(client_id, user, STRUCTURE)
        self.stage.heard(number)
        items = tuple(pubsub.Subscription(KINDS[name], name, last) for name in names)
        self.stage.say(number, pubsub.Subscriptions(items))
        return number

    def uid(self) -> bytes:
        self._uid += 1
        return self._uid.to_bytes(16, "little")

    def raise_event(
        self, name: str, *, client: int = 0, null: bool = False, service: int = 0, uid: bytes = b""
    ) -> list[Message]:
        uid = uid or self.uid()
        message: Message
        if null:
            message = pubsub.RaiseReplacingNullEvent(name, 3, uid)
        elif client:
            message = pubsub.RaisePrivateEvent(name, 3, uid, client, ARGUMENTS)
        elif KINDS.get(name) is EventKind.QUEUEING:
            message = pubsub.RaiseQueueingEvent(name, 3, uid, ARGUMENTS)
        else:
            message = pubsub.RaiseReplacingEvent(name, 3, uid, ARGUMENTS)
        self.stage.say(service or self.service, message)
        return self.stage.heard(service or self.service)

    def delivered(self, number: int) -> list[Any]:
        return [m for m in self.stage.heard(number) if isinstance(m, DELIVERIES)]

    def acknowledge(self, number: int, delivery: Any) -> list[Any]:
        kind = {
            pubsub.DeliverQueueingEvent: pubsub.QueueingEventAcknowledged,
            pubsub.DeliverPrivateEvent: pubsub.PrivateEventAcknowledged,
        }.get(type(delivery), pubsub.ReplacingEventAcknowledged)
        self.stage.say(number, kind(delivery.event_id, delivery.transaction_uid))
        return self.delivered(number)


def test_a_replacing_event_reaches_its_subscribers_latest_first() -> None:
    scene = Scene()
    client = scene.client(501, OWNER, "State")
    (told,) = scene.raise_event("State")
    assert told == pubsub.RaiseAcknowledged(3, (1).to_bytes(16, "little"))
    (first,) = scene.delivered(client)
    assert (first.name, first.service_id, first.age, first.arguments) == ("State", 1, 0, ARGUMENTS)
    for _ in range(3):
        scene.raise_event("State")
    assert scene.delivered(client) == []
    (latest,) = scene.acknowledge(client, first)
    assert latest.instance_id == first.instance_id + 3
    assert scene.acknowledge(client, first) == []
    assert scene.acknowledge(client, latest) == []


def test_a_null_event_and_a_second_one_that_says_nothing_new() -> None:
    scene = Scene()
    client = scene.client(501, OWNER, "State")
    scene.raise_event("State", null=True)
    (first,) = scene.delivered(client)
    assert isinstance(first, pubsub.DeliverReplacingNullEvent)
    assert scene.acknowledge(client, first) == []
    (told,) = scene.raise_event("State", null=True)
    assert isinstance(told, pubsub.RaiseAcknowledged)
    assert scene.delivered(client) == []


def test_the_same_raise_twice_is_acknowledged_and_kept_once() -> None:
    scene = Scene()
    client = scene.client(501, OWNER, "Alarm")
    uid = scene.uid()
    for _ in range(2):
        (told,) = scene.raise_event("Alarm", uid=uid)
        assert told == pubsub.RaiseAcknowledged(3, uid)
    (only,) = scene.delivered(client)
    assert scene.acknowledge(client, only) == []


@pytest.mark.parametrize(
    "message",
    [
        pubsub.RaiseReplacingEvent("Nothing", 3, b"u" * 16, None),
        pubsub.RaiseQueueingEvent("State", 3, b"u" * 16, None),
        pubsub.RaiseReplacingEvent("State", 3, b"u" * 16, b"\x04\x00"),
    ],
)
def test_an_impossible_raise_is_dropped_by_its_service(message: Message) -> None:
    scene = Scene()
    scene.stage.say(scene.service, message)
    assert scene.stage.heard(scene.service) == [pubsub.IllegalEventName(3, b"u" * 16)]
    assert not scene.stage.ended


def test_a_queue_keeps_its_size_and_its_order() -> None:
    scene = Scene()
    for _ in range(5):
        scene.raise_event("Alarm")
    client = scene.client(501, OWNER, "Alarm")
    ids = []
    found = scene.delivered(client)
    while found:
        ids.append(found[0].instance_id)
        found = scene.acknowledge(client, found[0])
    assert len(ids) == 3
    assert ids == sorted(ids)
    assert ids[-1] == scene.stage.store.last_instance_id


def test_private_events_reach_one_client_and_are_gone_then() -> None:
    scene = Scene()
    other = scene.client(502, ALISON, "Done")
    scene.raise_event("Done", client=501)
    assert scene.delivered(other) == []
    addressed = scene.client(501, OWNER, "Done")
    (job,) = scene.delivered(addressed)
    assert isinstance(job, pubsub.DeliverPrivateEvent)
    scene.acknowledge(addressed, job)
    assert scene.stage.store.instances("Done") == ()


@pytest.mark.parametrize(
    ("user", "received"),
    [
        (OWNER, {"State", "Private State", "Named State", "Alarm"}),
        (ALISON, {"State", "Private State", "Named State"}),
        (BOB, {"State", "Named State"}),
        (GUEST, {"State", "Named State"}),
        (0, {"State"}),
    ],
)
def test_who_receives_what(user: int, received: set[str]) -> None:
    scene = Scene()
    names = [name for name in KINDS if name != "Done"]
    client = scene.client(501, user, *names)
    for name in names:
        scene.raise_event(name)
    assert {delivery.name for delivery in scene.delivered(client)} == received


def test_gaining_and_losing_rights_takes_effect_with_the_next_instance() -> None:
    scene = Scene()
    client = scene.client(501, ALISON, "Alarm")
    scene.raise_event("Alarm")
    assert scene.delivered(client) == []
    promoted = dataclasses.replace(USERS[ALISON], role_ids=(1001,))
    scene.stage.manage(members=(promoted,))
    (first,) = scene.delivered(client)
    scene.stage.manage(members=(dataclasses.replace(USERS[ALISON], role_ids=(1002,)),))
    scene.raise_event("Alarm")
    assert scene.acknowledge(client, first) == []


def test_subscriptions_of_accounts_are_kept_and_compared_by_hash() -> None:
    scene = Scene()
    client = scene.client(501, OWNER, "State", "Alarm")
    scene.stage.leave(client)
    scene.raise_event("State")
    number = scene.stage.client(501, OWNER, STRUCTURE)
    expected = pubsub.subscription_hash(
        [(EventKind.QUEUEING, "Alarm"), (EventKind.REPLACING, "State")]
    )
    assert pubsub.SyncStateful(expected) in scene.stage.heard(number)
    scene.stage.say(number, pubsub.SyncOk())
    (delivery,) = scene.delivered(number)
    assert delivery.name == "State"
    scene.stage.say(number, pubsub.SyncOk())
    assert scene.delivered(number) == []
    scene.stage.leave(number)
    again = scene.stage.client(501, OWNER, STRUCTURE)
    scene.stage.say(again, pubsub.SyncOk())
    assert [d.instance_id for d in scene.delivered(again)] == [delivery.instance_id]


def test_a_stateless_client_tells_its_cursor() -> None:
    scene = Scene()
    scene.raise_event("State")
    newest = scene.stage.store.last_instance_id
    number = scene.stage.client(0, 0, STRUCTURE)
    assert pubsub.SyncStateless() in scene.stage.heard(number)
    assert scene.delivered(scene.client(0, 0, "State", last=newest)) == []
    for cursor in (None, newest - 1, newest + 1_000):
        assert len(scene.delivered(scene.client(0, 0, "State", last=cursor))) == 1


def test_what_cannot_be_subscribed_to_is_no_offence() -> None:
    scene = Scene()
    number = scene.stage.client(0, 0, STRUCTURE)
    items = (
        pubsub.Subscription(EventKind.REPLACING, "Nothing"),
        pubsub.Subscription(EventKind.QUEUEING, "State"),
        pubsub.Subscription(EventKind.PRIVATE, "Done"),
    )
    scene.stage.heard(number)
    scene.stage.say(number, pubsub.Subscriptions(items))
    assert scene.stage.heard(number) == [pubsub.IllegalSubscription(i.name) for i in items]
    assert not scene.stage.ended


def test_the_same_name_twice_ends_the_session_with_111() -> None:
    scene = Scene()
    client = scene.client(501, OWNER)
    twice = (
        pubsub.Subscription(EventKind.REPLACING, "State"),
        pubsub.Subscription(EventKind.QUEUEING, "State"),
    )
    scene.stage.say(client, pubsub.Subscriptions(twice))
    assert scene.stage.ended == {client: ErrorCode.ENDPOINT_DATA_INCONSISTENT}


def test_subscriptions_come_and_go_while_synchronised() -> None:
    scene = Scene()
    client = scene.client(501, OWNER)
    scene.raise_event("State")
    scene.stage.say(client, pubsub.AddSubscription(EventKind.REPLACING, "State"))
    (delivery,) = scene.delivered(client)
    scene.stage.say(client, pubsub.AddSubscription(EventKind.REPLACING, "State"))
    assert scene.acknowledge(client, delivery) == []
    scene.stage.say(client, pubsub.RemoveSubscription(EventKind.REPLACING, "State"))
    scene.stage.say(client, pubsub.RemoveSubscription(EventKind.REPLACING, "State"))
    scene.raise_event("State")
    assert scene.delivered(client) == []
    assert scene.stage.store.subscriptions[501] == {}


def test_a_rejected_delivery_ends_the_subscription_for_this_session() -> None:
    scene = Scene()
    client = scene.client(501, OWNER, "State")
    scene.raise_event("State")
    (delivery,) = scene.delivered(client)
    rejection = pubsub.EventRejected(1, delivery.event_id, delivery.transaction_uid)
    scene.stage.say(client, rejection)
    scene.raise_event("State")
    assert scene.delivered(client) == []
    assert "State" in scene.stage.store.subscriptions[501]


def test_what_nobody_acknowledges_is_sent_again_under_another_name() -> None:
    scene = Scene()
    client = scene.client(501, OWNER, "State")
    scene.raise_event("State")
    (first,) = scene.delivered(client)
    scene.stage.now += 299
    scene.stage.do(MinutePassed(0.0))
    assert scene.delivered(client) == []
    scene.stage.now += 1
    scene.stage.do(MinutePassed(0.0))
    (second,) = scene.delivered(client)
    assert second.instance_id == first.instance_id
    assert second.transaction_uid != first.transaction_uid
    assert second.age == 300
    assert scene.acknowledge(client, first) == []
    scene.raise_event("State")
    assert scene.delivered(client) == []
    assert scene.acknowledge(client, second)


def test_queued_and_private_instances_expire() -> None:
    scene = Scene()
    scene.raise_event("Alarm")
    scene.raise_event("Done", client=501)
    scene.raise_event("State")
    scene.stage.now += 61
    client = scene.client(501, OWNER, "Alarm", "Done", "State")
    assert {d.name for d in scene.delivered(client)} == {"Alarm", "State"}
    scene.stage.now += 600
    scene.stage.do(MinutePassed(0.0))
    store = scene.stage.store
    assert [len(store.instances(name)) for name in ("Alarm", "Done", "State")] == [0, 0, 1]


def test_each_service_of_a_multi_site_keeps_its_own() -> None:
    scene = Scene()
    second = scene.stage.service(2, STRUCTURE)
    scene.stage.heard(second)
    scene.raise_event("State")
    scene.raise_event("State", service=second)
    assert len(scene.stage.store.instances("State")) == 2
    scene.stage.manage(services=scene.stage.site.snapshot.services[:1])
    assert [i.service_id for i in scene.stage.store.instances("State")] == [1]
    single = Scene(kind=SiteKind.SINGLE_SERVICE, services=(a_service(1, STRUCTURE),))
    single.raise_event("State")
    single.raise_event("State")
    assert len(single.stage.store.instances("State")) == 1


def test_a_storage_uid_is_stored() -> None:
    scene = Scene()
    scene.stage.say(scene.service, pubsub.NewStorageUid(b"s" * 16))
    assert StoreSeen(1, storage_uid=b"s" * 16) in scene.stage.effects
    again = scene.stage.service(1, STRUCTURE)
    assert pubsub.LastStorageUid(b"s" * 16) in scene.stage.heard(again)


def test_a_deleted_client_leaves_nothing_behind() -> None:
    scene = Scene()
    scene.client(501, OWNER, "State")
    scene.raise_event("Done", client=501)
    scene.stage.do(ClientExpelled(501, ErrorCode.CLIENT_NOT_REGISTERED))
    assert 501 not in scene.stage.store.subscriptions
    assert scene.stage.store.instances("Done") == ()


def test_a_rebuilt_site_keeps_what_its_structure_still_has() -> None:
    scene = Scene()
    scene.client(501, OWNER, "State", "Alarm")
    scene.raise_event("State")
    scene.raise_event("Alarm")
    last = scene.stage.store.last_instance_id
    fewer = dataclasses.replace(STRUCTURE, events=STRUCTURE.events[:1])
    scene.stage.store.fit(fewer)
    assert len(scene.stage.store.instances("State")) == 1
    assert scene.stage.store.definition("Alarm") is None
    assert set(scene.stage.store.subscriptions[501]) == {"State"}
    scene.stage.store.fit(dataclasses.replace(STRUCTURE, service_type="Other"))
    assert scene.stage.store.instances("State") == ()
    assert scene.stage.store.last_instance_id == last


def test_arguments_of_one_site_are_bounded() -> None:
    event = EventDefinition(EventKind.QUEUEING, "Flood", 600, 1000)
    names = [dataclasses.replace(event, name=f"Flood{n}") for n in range(30)]
    store = EventStore()
    store.fit(SiteStructure("T", "A", events=tuple(names)))
    size = 2048
    for turn in range(OCTETS_MAX // size + 100):
        new = Instance(0, 1, turn.to_bytes(16, "big"), 0.0, bytes(size))
        store.accept(f"Flood{turn % 30}", new, per_service=False, wall=0.0)
    kept = sum(len(store.instances(f"Flood{n}")) for n in range(30))
    assert kept == OCTETS_MAX // size
