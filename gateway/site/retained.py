"""What a site keeps of events: instances, who has seen which, and who subscribed (03 section 4).

Everything happens in memory first and is collected in batches that somebody else makes durable.
What is not durable is not shown: an instance is delivered, a raise acknowledged, and a client sent
the next instance only when the batch is committed that the present state is in (trap E11).
"""

from __future__ import annotations

import bisect
import dataclasses
from dataclasses import dataclass, field

from gateway.model.kinds import EventKind
from gateway.model.structure import EventDefinition, SiteStructure

PRIVATE_MAX = 1000
"""Private instances kept of one event and service (03 section 2)."""
OCTETS_MAX = 16 * 1024 * 1024
"""Arguments kept of one site; beyond it the oldest queued instances go first."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One raise of an event; `arguments` is None where none were given.

    It is durable with the batch of this number; 0 for what was read from storage.
    """

    id: int
    service_id: int
    instance_uid: bytes
    created: float
    arguments: bytes | None = None
    null: bool = False
    client_id: int = 0
    batch: int = 0


@dataclass(slots=True)
class Subscribed:
    """A subscription; the cursor is the last instance that was acknowledged.

    It is durable as it stands with the batch of this number.
    """

    kind: EventKind
    cursor: int = 0
    batch: int = 0


@dataclass(slots=True)
class Batch:
    """What changed since the last batch; one transaction makes all of it durable.

    `instances` maps ids to (event, instance); `marks` (service, event) to the last instance uid;
    `cursors` (client, event) to the cursor, None for a subscription that was taken back.
    """

    number: int
    contract: tuple[str, str] = ("", "")
    last_instance_id: int = 0
    instances: dict[int, tuple[str, Instance]] = field(default_factory=dict)
    marks: dict[tuple[int, str], bytes] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)
    cursors: dict[tuple[int, str], int | None] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Tell whether nothing changed."""
        return not (self.instances or self.marks or self.gone or self.cursors)


@dataclass(frozen=True, slots=True)
class Retained:
    """What is stored of a site's events, for the next time that it is loaded.

    Instances are (event, instance) in the order of their ids; marks (service, event, uid);
    subscriptions (client, event, cursor).
    """

    last_instance_id: int = 0
    instances: tuple[tuple[str, Instance], ...] = ()
    marks: tuple[tuple[int, str, bytes], ...] = ()
    subscriptions: tuple[tuple[int, str, int], ...] = ()


@dataclass(slots=True)
class _Kept:
    definition: EventDefinition
    event_id: int
    instances: list[Instance] = field(default_factory=list)


class EventStore:
    """The events of one site; instance ids never go back and are never used twice."""

    def __init__(self, *, first_event_id: int = 1, first_instance_id: int = 1) -> None:
        self._next_event = first_event_id
        self._next_instance = first_instance_id
        self._events: dict[str, _Kept] = {}
        # The last raise that was accepted of each service and event, and its batch.
        self._accepted: dict[tuple[int, str], tuple[bytes, int]] = {}
        self._contract: tuple[str, str] | None = None
        self._octets = 0
        self._batch = Batch(1)
        self.durable = 0
        self.subscriptions: dict[int, dict[str, Subscribed]] = {}

    @property
    def last_instance_id(self) -> int:
        """Return the greatest instance id given so far."""
        return self._next_instance - 1

    # -- storage -------------------------------------------------------------------------------

    def load(self, structure: SiteStructure, retained: Retained) -> None:
        """Begin with what was stored; of events that the structure does not have nothing stays."""
        self.fit(structure)
        for name, instance in retained.instances:
            if name in self._events:
                self.restore(name, instance)
        for service_id, name, instance_uid in retained.marks:
            self._accepted[(service_id, name)] = (instance_uid, 0)
        for client_id, name, cursor in retained.subscriptions:
            kept = self._events.get(name)
            if kept is not None:
                stored = self.subscriptions.setdefault(client_id, {})
                stored[name] = Subscribed(kept.definition.kind, cursor)
        self._next_instance = max(self._next_instance, retained.last_instance_id + 1)

    @property
    def collecting(self) -> int:
        """Return the number of the batch that the next change goes into."""
        return self._batch.number

    @property
    def dirty(self) -> bool:
        """Tell whether something changed since the last batch was taken."""
        return not self._batch.empty

    def take_batch(self) -> Batch:
        """Return what changed; later changes go into the next batch."""
        batch, self._batch = self._batch, Batch(self._batch.number + 1)
        batch.contract = self._contract or ("", "")
        batch.last_instance_id = self.last_instance_id
        for client_id, name in batch.cursors:
            found = self.subscriptions.get(client_id, {}).get(name)
            batch.cursors[client_id, name] = None if found is None else found.cursor
        return batch

    def committed(self, number: int) -> None:
        """Learn that all batches up to this one are durable."""
        self.durable = max(self.durable, number)

    def fit(self, structure: SiteStructure) -> None:
        """Follow a rebuilt site: what the structure does not have any more is forgotten."""
        contract = (structure.service_type, structure.contract_author)
        if contract != self._contract:
            self._events.clear()
            self._accepted.clear()
            self.subscriptions.clear()
            self._contract = contract
            self._octets = 0
        declared = {event.name: event for event in structure.events}
        for name, kept in list(self._events.items()):
            if name not in declared or declared[name].kind is not kept.definition.kind:
                for instance in list(kept.instances):
                    self._discard(kept, instance)
                del self._events[name]
                for stored in self.subscriptions.values():
                    stored.pop(name, None)
        for event in sorted(structure.events, key=lambda e: (e.kind, e.name)):
            if event.name in self._events:
                self._events[event.name].definition = event
            else:
                self._events[event.name] = _Kept(event, self._next_event)
                self._next_event += 1

    def restore(self, name: str, instance: Instance) -> None:
        """Put back an instance that was kept elsewhere; later raises get greater ids."""
        self._events[name].instances.append(instance)
        self._octets += len(instance.arguments or b"")
        self._next_instance = max(self._next_instance, instance.id + 1)

    def definition(self, name: str) -> EventDefinition | None:
        """Return the event with this name, or None."""
        kept = self._events.get(name)
        return kept.definition if kept else None

    def instances(self, name: str) -> tuple[Instance, ...]:
        """Return what is kept of an event, oldest first."""
        kept = self._events.get(name)
        return tuple(kept.instances) if kept else ()

    def event_id(self, name: str) -> int:
        """Return the id of an event that exists."""
        return self._events[name].event_id

    def accepted_with(self, service_id: int, name: str, instance_uid: bytes) -> int | None:
        """Return the batch of a raise that was accepted already (03 section 4.1), else None."""
        found = self._accepted.get((service_id, name))
        return found[1] if found is not None and found[0] == instance_uid else None

    def accept(
        self, name: str, new: Instance, *, per_service: bool, wall: float
    ) -> Instance | None:
        """Keep a raise and return it with its id, or None for a null that changes nothing."""
        kept = self._events[name]
        definition = kept.definition
        batch = self._batch
        self._accepted[(new.service_id, name)] = (new.instance_uid, batch.number)
        batch.marks[(new.service_id, name)] = new.instance_uid
        rivals = [
            old for old in kept.instances if not per_service or old.service_id == new.service_id
        ]
        if definition.kind is EventKind.REPLACING:
            if new.null and rivals and rivals[-1].null:
                return None
            surplus = len(rivals)
        else:
            limit = definition.queue_size or PRIVATE_MAX
            surplus = len(rivals) + 1 - limit
        for old in rivals[: max(surplus, 0)]:
            self._discard(kept, old)
        self.expire(wall)
        number = self._next_instance
        instance = dataclasses.replace(new, id=number, created=wall, batch=batch.number)
        self._next_instance += 1
        kept.instances.append(instance)
        batch.instances[number] = (name, instance)
        self._octets += len(instance.arguments or b"")
        self._bound()
        return instance

    def following(self, name: str, cursor: int, client_id: int, wall: float) -> Instance | None:
        """Return the oldest living instance after the cursor, for this client if private.

        It may not be durable yet.
        """
        kept = self._events.get(name)
        if kept is None:
            return None
        private = kept.definition.kind is EventKind.PRIVATE
        instances = kept.instances
        if len(instances) == 1 and instances[0].id <= cursor:
            return None
        for at in range(bisect.bisect_right(instances, cursor, key=_id_of), len(instances)):
            instance = instances[at]
            if private and instance.client_id != client_id:
                continue
            if not self._expired(kept, instance, wall):
                return instance
        return None

    def subscribe(self, client_id: int, name: str, kind: EventKind) -> Subscribed:
        """Note that a client with an account subscribes; it starts with what is retained."""
        found = Subscribed(kind, 0, self._batch.number)
        self.subscriptions.setdefault(client_id, {})[name] = found
        self._batch.cursors[client_id, name] = 0
        return found

    def unsubscribe(self, client_id: int, name: str) -> None:
        """Take a subscription back; without one nothing happens."""
        if self.subscriptions.get(client_id, {}).pop(name, None) is not None:
            self._batch.cursors[client_id, name] = None

    def acknowledged(
        self, client_id: int, name: str, subscribed: Subscribed, instance: Instance
    ) -> None:
        """Note that a client has handled an instance; private ones are done. Id 0: stateless."""
        if instance.id > subscribed.cursor:
            subscribed.cursor = instance.id
            if client_id:
                subscribed.batch = self._batch.number
                self._batch.cursors[client_id, name] = instance.id
        kept = self._events.get(name)
        if kept is not None and kept.definition.kind is EventKind.PRIVATE:
            self._discard(kept, instance)

    def expire(self, wall: float) -> None:
        """Forget what has outlived its lifetime; in storage a sweep of its own does that."""
        for kept in self._events.values():
            while kept.instances and self._expired(kept, kept.instances[0], wall):
                self._discard(kept, kept.instances[0])

    def forget_client(self, client_id: int) -> None:
        """Forget the subscriptions and private instances of a deleted client."""
        self.subscriptions.pop(client_id, None)
        for kept in self._events.values():
            if kept.definition.kind is EventKind.PRIVATE:
                for instance in [i for i in kept.instances if i.client_id == client_id]:
                    self._discard(kept, instance)

    def keep_services(self, service_ids: set[int]) -> None:
        """Forget the instances of services that are gone."""
        for kept in self._events.values():
            for instance in [i for i in kept.instances if i.service_id not in service_ids]:
                self._discard(kept, instance)
        for key in [key for key in self._accepted if key[0] not in service_ids]:
            del self._accepted[key]

    @staticmethod
    def _expired(kept: _Kept, instance: Instance, wall: float) -> bool:
        lifetime = kept.definition.lifetime
        return bool(lifetime) and wall - instance.created >= lifetime

    def _discard(self, kept: _Kept, instance: Instance) -> None:
        at = bisect.bisect_left(kept.instances, instance.id, key=_id_of)
        if at == len(kept.instances) or kept.instances[at].id != instance.id:
            return
        del kept.instances[at]
        self._octets -= len(instance.arguments or b"")
        if self._batch.instances.pop(instance.id, None) is None:
            self._batch.gone.add(instance.id)

    def _bound(self) -> None:
        while self._octets > OCTETS_MAX:
            queued = [
                (kept.instances[0].id, kept)
                for kept in self._events.values()
                if kept.instances and kept.definition.kind is not EventKind.REPLACING
            ]
            if not queued:
                return
            _, oldest = min(queued, key=lambda item: item[0])
            self._discard(oldest, oldest.instances[0])


def _id_of(instance: Instance) -> int:
    return instance.id
