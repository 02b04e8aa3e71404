"""What a service raised and its tracker has not acknowledged yet (03 sections 3.3 to 3.5).

The outbox outlives sessions; a session empties it. An instance leaves it by its acknowledgment, or,
if it is a replacing event that is not under way, by a newer one of its name.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.asn1.reader import is_one_sequence
from gateway.base.entropy import Entropy
from gateway.base.errors import HostError, InvalidInput, NotFound, QuotaExceeded
from gateway.model.kinds import EventKind
from gateway.model.structure import SiteStructure
from gateway.wire.message import Message
from gateway.wire.pubsub import (
    RAISED_ARGUMENTS_MAX,
    NewStorageUid,
    RaisePrivateEvent,
    RaiseQueueingEvent,
    RaiseReplacingEvent,
    RaiseReplacingNullEvent,
)

RESEND_WAIT = 30.0
"""Seconds without acknowledgment after which an instance is sent again (03 section 3.4)."""
MEMORY_CAPACITY = 1024 * 1024
"""Octets of a queue in memory by default; a service may be away from its server for days."""
ENTRY_COST = 64
"""Octets that an instance counts besides its name and arguments."""
_KINDS = (EventKind.REPLACING, EventKind.QUEUEING, EventKind.PRIVATE)
_CLIENT_MAX = (1 << 63) - 1


class WhenFull(enum.Enum):
    """What a raise does for which the storage has no room (03 trap E10).

    The reference's guide says that the oldest is dropped, and its code rejects the newest.
    """

    REJECT = "reject"
    DROP_OLDEST = "drop the oldest"


@dataclass(frozen=True, slots=True)
class Raised:
    """One raise of an event; `arguments` is one SEQUENCE or None, `client_id` 0 but for private."""

    kind: EventKind
    name: str
    instance_uid: bytes
    arguments: bytes | None = None
    null: bool = False
    client_id: int = 0

    @property
    def cost(self) -> int:
        """Return the octets that this instance counts against a capacity."""
        return ENTRY_COST + len(self.name) + len(self.arguments or b"")


@dataclass(frozen=True, slots=True)
class Kept:
    """What a queue held when it was opened, oldest first; `problem` is a sentence or ''.

    `storage_uid` is another one whenever the content may have gone back in time.
    """

    storage_uid: bytes
    raised: tuple[Raised, ...] = ()
    problem: str = ""


class EventQueue(Protocol):
    """Where raises are kept; an application may supply its own.

    Every method raises HostError when the storage fails; it is not used again after that.
    """

    def open(self, service_uid: bytes, entropy: Entropy) -> Kept:
        """Return what is kept for this service."""

    def put(self, raised: Raised, replaced: Sequence[bytes]) -> None:
        """Keep an instance and forget those that it replaces, named by their instance uids.

        Raises QuotaExceeded, and changes nothing, when there is no room.
        """

    def drop(self, instance_uids: Sequence[bytes]) -> None:
        """Forget instances."""

    def close(self) -> None:
        """Let go of the storage; what is kept stays."""


class MemoryQueue:
    """The queue that a service has by default; it ends with its process (03 section 3.5)."""

    def __init__(self, capacity: int = MEMORY_CAPACITY) -> None:
        self._capacity = capacity
        self._costs: dict[bytes, int] = {}
        self._used = 0

    def open(self, service_uid: bytes, entropy: Entropy) -> Kept:  # noqa: ARG002
        """Return an empty storage with a uid of its own."""
        return Kept(entropy.uid())

    def take_over(self, raised: Iterable[Raised]) -> None:
        """Count what another queue held, whatever the capacity is."""
        for one in raised:
            self._costs[one.instance_uid] = one.cost
            self._used += one.cost

    def put(self, raised: Raised, replaced: Sequence[bytes]) -> None:
        """Count an instance. Raises QuotaExceeded."""
        freed = sum(self._costs.get(uid, 0) for uid in replaced)
        check_capacity(self._used - freed + raised.cost, self._capacity)
        self.drop(replaced)
        self.take_over((raised,))

    def drop(self, instance_uids: Sequence[bytes]) -> None:
        """Count instances no more."""
        for uid in instance_uids:
            self._used -= self._costs.pop(uid, 0)

    def close(self) -> None:
        """Do nothing."""


def check_capacity(wanted: int, capacity: int) -> None:
    """Raise QuotaExceeded when so many octets do not fit."""
    if wanted > capacity:
        raise QuotaExceeded(
            f"The event storage of {capacity} octets is full: this event was not raised. Connect "
            "the service so that the server takes the events, or give it a larger storage."
        )


class Outbox:
    """All that waits, in the order in which it was raised, and what of it is under way.

    From the start, and from every loss of a session, one instance after the other is sent, oldest
    first (storage mode); once nothing waits any more, each event name goes its own way (cache
    mode).
    """

    def __init__(
        self,
        structure: SiteStructure,
        queue: EventQueue,
        service_uid: bytes,
        entropy: Entropy,
        when_full: WhenFull = WhenFull.REJECT,
    ) -> None:
        definitions = [event for kind in _KINDS for event in structure.events_of(kind)]
        self._indexes = {event.name: at for at, event in enumerate(definitions)}
        self._kinds = {event.name: event.kind for event in definitions}
        self._entropy = entropy
        self._queue = queue
        self._when_full = when_full
        self._problems: list[str] = []
        self._dropped: list[Raised] = []
        self._order: dict[bytes, Raised] = {}
        self._names: dict[str, deque[bytes]] = {}
        self._sent: dict[bytes, float] = {}
        self._online = False
        self._cached = False
        self._announce = False
        self._open(service_uid)

    def _open(self, service_uid: bytes) -> None:
        try:
            kept = self._queue.open(service_uid, self._entropy)
        except HostError as error:
            self._queue = MemoryQueue()
            kept = Kept(self._entropy.uid(), problem=_fallen_back(error))
        if kept.problem:
            self._problems.append(kept.problem)
        self.storage_uid = kept.storage_uid
        self._inherited_uid = kept.storage_uid
        self._inherited = {one.instance_uid for one in kept.raised}
        for one in kept.raised:
            self._add(one)
        # What the present structure does not declare can be sent to nobody (03 section 3.4).
        self._remove([one for one in kept.raised if self._kinds.get(one.name) is not one.kind])

    def __len__(self) -> int:
        return len(self._order)

    def take_problems(self) -> list[str]:
        """Return what went wrong with the storage since the last time, as sentences."""
        found, self._problems = self._problems, []
        return found

    def take_dropped(self) -> list[Raised]:
        """Return what was dropped for want of room since the last time, oldest first."""
        found, self._dropped = self._dropped, []
        return found

    def close(self) -> None:
        """Let go of the storage."""
        self._queue.close()

    # -- the application

    def raise_event(
        self,
        kind: EventKind,
        name: str,
        arguments: bytes | None = None,
        *,
        null: bool = False,
        client_id: int = 0,
    ) -> Raised:
        """Keep a new instance until the tracker acknowledges it.

        Raises NotFound for an event that the structure does not declare with this kind,
        InvalidInput for arguments that are not one SEQUENCE of at most 2048 octets or an impossible
        client id, QuotaExceeded when the storage is full and nothing in it may be dropped.
        """
        if self._kinds.get(name) is not kind:
            raise NotFound(f"The site structure has no {kind.name.lower()} event {name!r}.")
        if arguments is not None and (
            len(arguments) > RAISED_ARGUMENTS_MAX or not is_one_sequence(arguments)
        ):
            raise InvalidInput(
                f"The arguments of an event are one SEQUENCE of at most {RAISED_ARGUMENTS_MAX} "
                "octets.",
                "arguments",
            )
        if not 0 <= client_id <= _CLIENT_MAX:
            raise InvalidInput("A client id is a number of at most 63 bits.", "client_id")
        raised = Raised(kind, name, self._entropy.uid(), arguments, null, client_id)
        replaced: list[Raised] = []
        if kind is EventKind.REPLACING:
            waiting = self._names.get(name, ())
            replaced = [self._order[uid] for uid in waiting if uid not in self._sent]
        dropped = self._keep(raised, replaced)
        self._forget((*replaced, *dropped))
        self._dropped += dropped
        self._add(raised)
        return raised

    def _keep(self, raised: Raised, replaced: list[Raised]) -> list[Raised]:
        """Store an instance in the place of others; return what had to be dropped besides."""
        # What is under way leaves by its acknowledgment only (03 section 3.5).
        gone = {one.instance_uid for one in replaced} | self._sent.keys()
        oldest = iter([one for uid, one in self._order.items() if uid not in gone])
        dropped: list[Raised] = []
        while True:
            try:
                self._queue.put(raised, [one.instance_uid for one in (*replaced, *dropped)])
            except HostError as error:
                self._fall_back(error)
            except QuotaExceeded:
                found = next(oldest, None) if self._when_full is WhenFull.DROP_OLDEST else None
                if found is None:
                    raise
                dropped.append(found)
            else:
                return dropped

    # -- the session

    def begin(self, last_storage_uid: bytes | None) -> None:
        """Learn that the service is online, and which storage the tracker has followed so far."""
        self.interrupt()
        self._online = True
        known = (self.storage_uid, self._inherited_uid, None)
        if last_storage_uid not in known:
            # It belongs to a storage that the tracker did not follow; maybe an old copy (03 3.3).
            old = [one for uid, one in self._order.items() if uid in self._inherited]
            self._remove(old)
            if old:
                self._problems.append(
                    "The server does not know the event storage of the last program. "
                    f"{len(old)} events that waited in it were dropped."
                )
        self._announce = last_storage_uid != self.storage_uid

    def interrupt(self) -> None:
        """Learn that the session is over; what was under way is sent again in the next."""
        self._online = self._cached = self._announce = False
        self._sent.clear()

    def pull(self, now: float) -> list[Message]:
        """Return what is to be sent now, first sends and repetitions."""
        if not self._online:
            return []
        messages: list[Message] = []
        if self._announce:
            self._announce = False
            messages.append(NewStorageUid(self.storage_uid))
        if not self._order:
            self._cached = True
        elif self._cached:
            for name, waiting in self._names.items():
                self._offer(self._order[waiting[0]], self._indexes[name], now, messages)
        else:
            self._offer(next(iter(self._order.values())), 0, now, messages)
        return messages

    def _offer(self, raised: Raised, index: int, now: float, messages: list[Message]) -> None:
        due = self._sent.get(raised.instance_uid)
        if due is None or now >= due:
            self._sent[raised.instance_uid] = now + RESEND_WAIT
            messages.append(_message(raised, index))

    @property
    def deadline(self) -> float | None:
        """Return when something has to be sent again."""
        return min(self._sent.values(), default=None)

    def knows(self, index: int) -> bool:
        """Tell whether an acknowledgment may carry this index; any may in storage mode."""
        return not self._cached or 0 <= index < len(self._indexes)

    def acknowledge(self, instance_uid: bytes) -> Raised | None:
        """Forget the instance that was under way; None for an acknowledgment of anything else."""
        if self._sent.pop(instance_uid, None) is None:
            return None
        raised = self._order[instance_uid]
        self._remove([raised])
        return raised

    # -- keeping

    def _add(self, raised: Raised) -> None:
        self._order[raised.instance_uid] = raised
        self._names.setdefault(raised.name, deque()).append(raised.instance_uid)

    def _forget(self, gone: Iterable[Raised]) -> None:
        for one in gone:
            del self._order[one.instance_uid]
            waiting = self._names[one.name]
            waiting.remove(one.instance_uid)
            if not waiting:
                del self._names[one.name]
            self._sent.pop(one.instance_uid, None)

    def _remove(self, gone: list[Raised]) -> None:
        if not gone:
            return
        self._forget(gone)
        try:
            self._queue.drop([one.instance_uid for one in gone])
        except HostError as error:
            self._fall_back(error)

    def _fall_back(self, error: HostError) -> None:
        # Nothing is lost yet, but a later process will not find it: another storage from now on.
        self._problems.append(_fallen_back(error))
        memory = MemoryQueue()
        memory.take_over(self._order.values())
        self._queue = memory
        self.storage_uid = self._entropy.uid()
        self._announce = self._online


def _fallen_back(error: HostError) -> str:
    return f"{error} Events are kept in memory only until the program is started again."


def _message(raised: Raised, index: int) -> Message:
    name, uid, arguments = raised.name, raised.instance_uid, raised.arguments
    if raised.kind is EventKind.PRIVATE:
        return RaisePrivateEvent(name, index, uid, raised.client_id, arguments)
    if raised.kind is EventKind.QUEUEING:
        return RaiseQueueingEvent(name, index, uid, arguments)
    if raised.null:
        return RaiseReplacingNullEvent(name, index, uid)
    return RaiseReplacingEvent(name, index, uid, arguments)
