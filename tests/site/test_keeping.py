"""Nothing is shown of events before it is stored: no acknowledgement, no delivery, no cursor."""

from __future__ import annotations

from dataclasses import replace

from gateway.site.happenings import EventsKept, KeepEvents, Send
from gateway.site.pubsub import UNKEPT_MAX
from gateway.site.retained import EventStore, Retained
from gateway.wire import pubsub
from tests.site.stage import OWNER
from tests.site.test_pubsub import ARGUMENTS, STRUCTURE, Scene


def _asked(scene: Scene) -> list[bool]:
    return [effect.urgent for effect in scene.stage.stored(KeepEvents)]


def test_trap_e11_a_raise_is_answered_and_delivered_only_when_it_is_stored() -> None:
    scene = Scene()
    client = scene.client(501, OWNER, "State")
    scene.stage.keeps = False
    assert scene.raise_event("State") == []
    assert scene.delivered(client) == []
    assert _asked(scene)[-1] is True
    scene.stage.keep()
    (told,) = scene.stage.heard(scene.service)
    assert isinstance(told, pubsub.RaiseAcknowledged)
    (delivered,) = scene.delivered(client)
    (batch,) = [b for b in scene.stage.batches if b.instances]
    assert list(batch.instances) == [delivered.instance_id] == [batch.last_instance_id]
    assert batch.marks == {(1, "State"): told.instance_uid}


def test_a_raise_that_comes_again_before_it_is_stored_is_kept_once_and_answered_twice() -> None:
    scene = Scene()
    client = scene.client(501, OWNER, "Alarm")
    scene.stage.keeps = False
    uid = scene.uid()
    for _ in range(2):
        assert scene.raise_event("Alarm", uid=uid) == []
    scene.stage.keep()
    answer = pubsub.RaiseAcknowledged(3, uid)
    assert scene.stage.heard(scene.service) == [answer, answer]
    assert len(scene.delivered(client)) == 1


def test_raises_while_a_batch_is_under_way_wait_for_the_next() -> None:
    scene = Scene()
    scene.stage.keeps = False
    scene.raise_event("State")
    first = scene.stage.store.take_batch()
    scene.raise_event("Alarm")
    scene.stage.batches.append(first)
    scene.stage.do(EventsKept(first.number))
    assert len(scene.stage.heard(scene.service)) == 1
    scene.stage.keep()
    assert len(scene.stage.heard(scene.service)) == 1


def test_the_next_instance_waits_until_the_cursor_behind_the_last_is_stored() -> None:
    scene = Scene()
    client = scene.client(501, OWNER, "Alarm")
    scene.raise_event("Alarm")
    scene.raise_event("Alarm")
    (first,) = scene.delivered(client)
    scene.stage.keeps = False
    assert scene.acknowledge(client, first) == []
    assert _asked(scene)[-1] is True
    scene.stage.keep()
    assert scene.stage.batches[-1].cursors == {(501, "Alarm"): first.instance_id}
    (second,) = scene.delivered(client)
    # Nobody waits for the cursor behind the last one.
    assert scene.acknowledge(client, second) == []
    assert _asked(scene)[-1] is False


def test_what_is_retained_waits_until_a_new_subscription_is_stored() -> None:
    scene = Scene()
    scene.raise_event("State")
    scene.stage.keeps = False
    client = scene.client(501, OWNER, "State")
    assert scene.delivered(client) == []
    scene.stage.keep()
    assert len(scene.delivered(client)) == 1


def test_an_answer_is_not_sent_to_a_service_that_left_meanwhile() -> None:
    scene = Scene()
    scene.stage.keeps = False
    scene.raise_event("State")
    scene.stage.leave(scene.service)
    scene.stage.keep()
    assert scene.stage.heard(scene.service) == []


def test_a_service_that_floods_is_not_answered_beyond_its_share() -> None:
    scene = Scene()
    scene.stage.keeps = False
    for _ in range(UNKEPT_MAX + 5):
        scene.raise_event("Alarm")
    batch = scene.stage.store.take_batch()
    assert batch.last_instance_id - min(batch.instances) < UNKEPT_MAX
    scene.stage.do(EventsKept(batch.number))
    assert len(scene.stage.heard(scene.service)) == UNKEPT_MAX
    assert scene.raise_event("Alarm") == []
    scene.stage.keep()
    assert len(scene.stage.heard(scene.service)) == 1


def test_receivers_of_one_instance_share_one_message() -> None:
    scene = Scene()
    clients = [scene.client(number, OWNER, "State") for number in range(501, 506)]
    scene.raise_event("State")
    sends = [
        effect
        for effect in scene.stage.stored(Send)
        if isinstance(effect.message, pubsub.DeliverReplacingEvent)
    ]
    assert [effect.connections for effect in sends] == [tuple(clients)]
    assert scene.delivered(clients[0]) == scene.delivered(clients[-1]) != []


def test_a_store_is_loaded_as_it_was_kept_and_its_ids_go_on() -> None:
    scene = Scene()
    client = scene.client(501, OWNER, "State", "Alarm")
    scene.raise_event("Alarm")
    uid = scene.uid()
    scene.raise_event("Alarm", uid=uid)
    (first,) = scene.delivered(client)
    scene.acknowledge(client, first)
    store = scene.stage.store
    again = EventStore()
    again.load(
        STRUCTURE,
        Retained(
            store.last_instance_id + 3,
            tuple(("Alarm", replace(kept, batch=0)) for kept in store.instances("Alarm")),
            ((1, "Alarm", uid), (1, "Gone", uid)),
            ((501, "Alarm", first.instance_id), (501, "State", 0), (501, "Gone", 9)),
        ),
    )
    assert again.last_instance_id == store.last_instance_id + 3
    reborn = Scene(again)
    assert reborn.raise_event("Alarm", uid=uid) == [pubsub.RaiseAcknowledged(3, uid)]
    client = reborn.stage.client(501, OWNER, STRUCTURE)
    reborn.stage.say(client, pubsub.SyncOk())
    (second,) = reborn.delivered(client)
    assert (second.instance_id, second.arguments) == (first.instance_id + 1, ARGUMENTS)
    assert not again.dirty
