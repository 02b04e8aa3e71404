"""What a site keeps of events: instances, who has seen which, and who subscribed (03 section 4).

It outlives the site object, which is dropped and rebuilt; it lives in memory.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from gateway.model.kinds import EventKind
from gateway.model.structure import EventDefinition, SiteStructure

PRIVATE_MAX = 1000
"""Private instances kept of one event and service (03 section 2)."""
OCTETS_MAX = 16 * 1024 * 1024
"""Arguments kept of one site; beyond it the oldest queued instances go first."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One raise of an event; `arguments` is None where none were given."""

    id: int
    service_id: int
    instance_uid: bytes
    created: float
    arguments: bytes | None = None
    null: bool = False
    client_id: int = 0


@dataclass(slots=True)
class Subscribed:
    """A stored subscription; the cursor is the last instance that was acknowledged."""

    kind: EventKind
    cursor: int = 0


@dataclass(slots=True)
class _Kept:
    definition: EventDefinition
    event_id: int
    instances: list[Instance] = dataclasses.field(default_factory=list)


class EventStore:
    """The events of one site; ids never go back and are never used twice."""

    def __init__(self, *, first_event_id: int = 1, first_instance_id: int = 1) -> None:
        self._next_event = first_event_id
        self._next_instance = first_instance_id
        self._events: dict[str, _Kept] = {}
        self._accepted: dict[tuple[int, str], bytes] = {}
        self._contract: tuple[str, str] | None = None
        self._octets = 0
        self.subscriptions: dict[int, dict[str, Subscribed]] = {}

    @property
    def last_instance_id(self) -> int:
        """Return the greatest instance id given so far."""
        return self._next_instance - 1

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

    def is_repeated(self, service_id: int, name: str, instance_uid: bytes) -> bool:
        """Tell whether this raise was accepted already (03 section 4.1)."""
        return self._accepted.get((service_id, name)) == instance_uid

    def accept(
        self, name: str, new: Instance, *, per_service: bool, wall: float
    ) -> Instance | None:
        """Keep a raise and return it with its id, or None for a null that changes nothing."""
        kept = self._events[name]
        definition = kept.definition
        self._accepted[(new.service_id, name)] = new.instance_uid
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
        instance = dataclasses.replace(new, id=self._next_instance, created=wall)
        self._next_instance += 1
        kept.instances.append(instance)
        self._octets += len(instance.arguments or b"")
        self._bound()
        return instance

    def following(self, name: str, cursor: int, client_id: int, wall: float) -> Instance | None:
        """Return the oldest living instance after the cursor, for this client if private."""
        kept = self._events.get(name)
        if kept is None:
            return None
        private = kept.definition.kind is EventKind.PRIVATE
        for instance in kept.instances:
            if instance.id <= cursor or (private and instance.client_id != client_id):
                continue
            if not self._expired(kept, instance, wall):
                return instance
        return None

    def acknowledged(self, name: str, instance: Instance) -> None:
        """Note that a client has handled an instance: private ones are done."""
        kept = self._events.get(name)
        if kept is not None and kept.definition.kind is EventKind.PRIVATE:
            self._discard(kept, instance)

    def expire(self, wall: float) -> None:
        """Forget what has outlived its lifetime."""
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
        if instance in kept.instances:
            kept.instances.remove(instance)
            self._octets -= len(instance.arguments or b"")

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
