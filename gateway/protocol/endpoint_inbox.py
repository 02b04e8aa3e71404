"""What a client subscribes to, and how far it has come with each event (03 sections 5.3 to 5.5).

The inbox outlives sessions: a handler that still runs when its session ends acknowledges in the
next one, because the tracker delivers the instance again there.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from gateway.asn1.reader import is_one_sequence
from gateway.base.errors import Conflict, HostError, QuotaExceeded
from gateway.model.kinds import EventKind
from gateway.model.structure import EVENTS_MAX
from gateway.wire.message import Message
from gateway.wire.pubsub import (
    DeliverPrivateEvent,
    DeliverQueueingEvent,
    DeliverReplacingEvent,
    DeliverReplacingNullEvent,
    EventRejected,
    PrivateEventAcknowledged,
    QueueingEventAcknowledged,
    ReplacingEventAcknowledged,
    Subscription,
    subscription_hash,
)

_KIND_OF: dict[type[Message], EventKind] = {
    DeliverReplacingEvent: EventKind.REPLACING,
    DeliverReplacingNullEvent: EventKind.REPLACING,
    DeliverQueueingEvent: EventKind.QUEUEING,
    DeliverPrivateEvent: EventKind.PRIVATE,
}
_ACKNOWLEDGMENT = {
    EventKind.REPLACING: ReplacingEventAcknowledged,
    EventKind.QUEUEING: QueueingEventAcknowledged,
    EventKind.PRIVATE: PrivateEventAcknowledged,
}

Delivered = (
    DeliverReplacingEvent | DeliverQueueingEvent | DeliverPrivateEvent | DeliverReplacingNullEvent
)


class Positions(Protocol):
    """Where the last handled instance of each event is kept; an application may supply its own.

    Every method raises HostError when the storage fails; it is not used again after that.
    """

    def open(self, account: str) -> tuple[Mapping[str, int], str]:
        """Return instance ids by event name, and a sentence when something was wrong, or ''."""

    def put(self, name: str, instance_id: int) -> None:
        """Remember the last handled instance of an event."""

    def close(self) -> None:
        """Let go of the storage; what is kept stays."""


class MemoryPositions:
    """The positions that a client has by default; they end with its process (03 section 5.5)."""

    def open(self, account: str) -> tuple[Mapping[str, int], str]:  # noqa: ARG002
        """Return nothing."""
        return {}, ""

    def put(self, name: str, instance_id: int) -> None:
        """Do nothing; the inbox remembers."""

    def close(self) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class IncomingEvent:
    """An instance as a handler sees it.

    `age` is in seconds when it was delivered, `created` is the server's time in UTC; `arguments` is
    one SEQUENCE or None. `null` says that a replacing event has no value any more.
    """

    name: str
    kind: EventKind
    null: bool
    service_id: int
    age: int
    created: datetime.datetime
    arguments: bytes | None


@dataclass(slots=True, eq=False)
class Delivery:
    """An instance that is being handled or waits for that; the newest transaction counts."""

    event: IncomingEvent
    instance_id: int
    event_id: int
    transaction_uid: bytes
    epoch: int
    started: bool = False


@dataclass(slots=True)
class _Followed:
    kind: EventKind
    at_work: Delivery | None = None
    waiting: Delivery | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What follows from a delivery or from the end of a handler."""

    answer: Message | None = None
    start: Delivery | None = field(default=None)


class Inbox:
    """The subscriptions of one client."""

    def __init__(self, positions: Positions, account: str, *, stateless: bool) -> None:
        self._stateless = stateless
        self._followed: dict[str, _Followed] = {}
        self._last: dict[str, int] = {}
        self._problems: list[str] = []
        self._epoch = 0
        self._positions = positions
        try:
            found, problem = positions.open(account)
        except HostError as error:
            self._positions = MemoryPositions()
            found, problem = {}, _fallen_back(error)
        self._last.update(found)
        if problem:
            self._problems.append(problem)

    def take_problems(self) -> list[str]:
        """Return what went wrong with the storage since the last time, as sentences."""
        found, self._problems = self._problems, []
        return found

    def close(self) -> None:
        """Let go of the storage."""
        self._positions.close()

    # -- subscriptions

    def follow(self, kind: EventKind, name: str) -> None:
        """Subscribe. Raises Conflict for a name that is subscribed to, QuotaExceeded."""
        if name in self._followed:
            raise Conflict(f"The event {name!r} is subscribed to already.")
        if len(self._followed) >= EVENTS_MAX:
            raise QuotaExceeded(f"A site has at most {EVENTS_MAX} events.")
        self._followed[name] = _Followed(kind)

    def leave(self, name: str) -> None:
        """Subscribe no more; the position is kept, as it is when the program ends."""
        self._followed.pop(name, None)

    def hash(self) -> bytes | None:
        """Return what a tracker compares with its own list, None for no subscription."""
        return subscription_hash((one.kind, name) for name, one in self._followed.items())

    def listed(self) -> tuple[Subscription, ...]:
        """Return all subscriptions as a tracker is told."""
        return tuple(self.subscription(one.kind, name) for name, one in self._followed.items())

    def subscription(self, kind: EventKind, name: str) -> Subscription:
        """Return one subscription; only stateless clients tell their position (03 section 5.2)."""
        return Subscription(kind, name, self._last.get(name) if self._stateless else None)

    # -- deliveries

    def begin(self) -> None:
        """Learn that a session begins: transactions of earlier ones are dead."""
        self._epoch += 1
        for one in self._followed.values():
            one.waiting = None
            if one.at_work is not None and not one.at_work.started:
                one.at_work = None  # the application had left before it was told

    def deliver(self, message: Delivered) -> Outcome:
        """Take an instance: hand it to its handler, answer at once, or let it wait."""
        kind = _KIND_OF[type(message)]
        followed = self._followed.get(message.name)
        if followed is None or followed.kind is not kind:
            return Outcome(EventRejected(kind, message.event_id, message.transaction_uid))
        null = isinstance(message, DeliverReplacingNullEvent)
        arguments = None if isinstance(message, DeliverReplacingNullEvent) else message.arguments
        event = IncomingEvent(
            message.name, kind, null, message.service_id, message.age, message.created, arguments
        )
        delivery = Delivery(
            event, message.instance_id, message.event_id, message.transaction_uid, self._epoch
        )
        working = followed.at_work
        if working is None:
            return self._begun(followed, delivery)
        if working.instance_id == delivery.instance_id:
            # Delivered again because the handler is slow or the session is new (trap E9).
            working.event_id, working.epoch = delivery.event_id, self._epoch
            working.transaction_uid = delivery.transaction_uid
        else:
            followed.waiting = delivery
        return Outcome()

    def _begun(self, followed: _Followed, delivery: Delivery) -> Outcome:
        name, arguments = delivery.event.name, delivery.event.arguments
        if self._last.get(name) == delivery.instance_id:
            return Outcome(self._acknowledgment(delivery))
        if arguments is not None and not is_one_sequence(arguments):
            # It would be as wrong the next time; the reference lets it go, too (03 section 5.4).
            self._remember(delivery)
            return Outcome(self._acknowledgment(delivery))
        followed.at_work = delivery
        return Outcome(start=delivery)

    def handled(self, delivery: Delivery) -> tuple[Outcome, ...]:
        """Take the end of a handler that succeeded: remember, acknowledge, go on."""
        followed = self._followed.get(delivery.event.name)
        self._remember(delivery)
        if followed is None or followed.at_work is not delivery:
            return ()
        return (Outcome(self._acknowledgment(delivery)), *self._next(followed))

    def failed(self, delivery: Delivery) -> tuple[Outcome, ...]:
        """Take the end of a handler that failed: the tracker delivers again after 300 s."""
        followed = self._followed.get(delivery.event.name)
        if followed is None or followed.at_work is not delivery:
            return ()
        return self._next(followed)

    def _next(self, followed: _Followed) -> tuple[Outcome, ...]:
        followed.at_work = None
        waiting, followed.waiting = followed.waiting, None
        return () if waiting is None else (self._begun(followed, waiting),)

    def _acknowledgment(self, delivery: Delivery) -> Message | None:
        if delivery.epoch != self._epoch:
            return None
        kind = _ACKNOWLEDGMENT[delivery.event.kind]
        return kind(delivery.event_id, delivery.transaction_uid)

    def _remember(self, delivery: Delivery) -> None:
        name = delivery.event.name
        self._last[name] = delivery.instance_id
        try:
            self._positions.put(name, delivery.instance_id)
        except HostError as error:
            self._positions = MemoryPositions()
            self._problems.append(_fallen_back(error))


def _fallen_back(error: HostError) -> str:
    return f"{error} Positions are kept in memory only until the program is started again."
