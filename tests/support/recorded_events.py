"""What the reference drew and kept of events in a recording: ids, times, cursors, keys."""

from __future__ import annotations

import itertools
from collections import deque

from gateway.model.structure import EventDefinition, SiteStructure
from gateway.site.retained import EventStore, Instance, Subscribed
from gateway.wire import connect, pubsub
from tests.support.recordings import Step
from tests.support.spoken import Spoken

RAISES = (
    pubsub.RaiseReplacingEvent,
    pubsub.RaiseQueueingEvent,
    pubsub.RaisePrivateEvent,
    pubsub.RaiseReplacingNullEvent,
)
FIRST_EVENT_ID = 5003
"""The stand-in of the recordings numbers roles from 5000 and events behind them."""


class ScriptedEntropy:
    """Gives out what the reference drew, in its order; a test fails when more is asked."""

    def __init__(self) -> None:
        self.uids: deque[bytes] = deque()
        self.keys: deque[bytes] = deque()
        self.spare = itertools.count(1)

    def octets(self, count: int) -> bytes:
        return self.keys.popleft() if self.keys else bytes(count)

    def uid(self) -> bytes:
        return self.uids.popleft() if self.uids else next(self.spare).to_bytes(16, "big")

    def text(self, alphabet: str, count: int) -> str:
        return alphabet[0] * count


def scripted(spoken: Spoken) -> ScriptedEntropy:
    """Queue what the reference drew for arrangements and deliveries, in order of their cause."""
    entropy = ScriptedEntropy()
    hashes = [
        (step, m)
        for step, m in spoken.to_endpoint
        if isinstance(m, connect.ClientAuthHash | connect.ServiceAuthHash)
    ]
    for step, message in spoken.to_server:
        if isinstance(message, connect.ClientAuthKey | connect.ServiceAuthKey):
            for found in hashes:
                if found[0].connection == step.connection and found[0].at >= step.at:
                    entropy.keys.append(found[1].auth_key2)
                    hashes.remove(found)
                    break
    seen: set[bytes] = set()
    for _, message in spoken.to_endpoint:
        if isinstance(message, connect.ServiceRendezvousData):
            uid = message.connection_uid
        elif isinstance(message, pubsub._Delivery):
            uid = message.transaction_uid
        else:
            continue
        if uid not in seen:
            entropy.uids.append(uid)
            seen.add(uid)
    return entropy


def retained(spoken: Spoken, structure: SiteStructure | None) -> EventStore:
    """Return the store as it must have been: instances, subscriptions and cursors."""
    delivered = [(step, m) for step, m in spoken.to_endpoint if isinstance(m, pubsub._Delivery)]
    first = _first_raised(spoken, delivered)
    store = EventStore(first_event_id=FIRST_EVENT_ID, first_instance_id=first)
    if structure is None:
        return store
    store.fit(structure)
    for step, m in delivered:
        if m.instance_id < first and not any(
            m.instance_id == i.id for i in store.instances(m.name)
        ):
            private = isinstance(m, pubsub.DeliverPrivateEvent)
            store.restore(
                m.name,
                Instance(
                    m.instance_id, m.service_id, b"", m.created.timestamp(),
                    getattr(m, "arguments", None),
                    isinstance(m, pubsub.DeliverReplacingNullEvent),
                    spoken.client_of(step.connection) if private else 0,
                ),
            )  # fmt: skip
    synced: set[int] = set()
    for step, message in spoken.to_endpoint:
        client_id = spoken.client_of(step.connection)
        if isinstance(message, pubsub.SyncStateful) and client_id not in synced:
            synced.add(client_id)
            if message.subscription_hash is not None:
                store.subscriptions[client_id] = {
                    event.name: Subscribed(event.kind, _cursor(event.name, delivered, first))
                    for event in _hashed_as(message.subscription_hash, structure)
                }
    return store


def _first_raised(spoken: Spoken, delivered: list[tuple[Step, pubsub._Delivery]]) -> int:
    raised = [(s, m) for s, m in spoken.to_server if isinstance(m, RAISES)]
    for index, (step, message) in enumerate(raised):
        for later, m in delivered:
            same = (m.name, getattr(m, "arguments", None)) == (
                message.name, getattr(message, "arguments", None),
            )  # fmt: skip
            if same and m.age == 0 and abs(later.at - step.at) < 0.5:
                return m.instance_id - index
    return max(creation_times(spoken), default=0) + 1


def _cursor(name: str, delivered: list[tuple[Step, pubsub._Delivery]], first: int) -> int:
    old = [m.instance_id for _, m in delivered if m.name == name and m.instance_id < first]
    return min(old, default=first) - 1


def creation_times(spoken: Spoken) -> dict[int, float]:
    return {
        m.instance_id: m.created.timestamp()
        for _, m in spoken.to_endpoint
        if isinstance(m, pubsub._Delivery)
    }


def start_of(spoken: Spoken) -> float:
    """Return the earliest Unix time of second 0 that makes every recorded age right."""
    ages = [
        m.created.timestamp() + m.age - 0.5 - step.at
        for step, m in spoken.to_endpoint
        if isinstance(m, pubsub._Delivery)
    ]
    return max(ages, default=0.0) + 0.2


def _hashed_as(expected: bytes, structure: SiteStructure) -> tuple[EventDefinition, ...]:
    """Return the events whose subscription has this hash."""
    for count in range(1, len(structure.events) + 1):
        for chosen in itertools.combinations(structure.events, count):
            if pubsub.subscription_hash((e.kind, e.name) for e in chosen) == expected:
                return chosen
    raise AssertionError("no set of events has this hash")
