"""Module 15: events (03 sections 3.1, 3.2, 5.1 and 5.2)."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from gateway.asn1.reader import SequenceReader
from gateway.asn1.writer import SequenceWriter
from gateway.model.kinds import EventKind
from gateway.model.structure import EVENTS_MAX
from gateway.wire.fields import (
    Choice,
    Int32,
    Int64,
    Moment,
    Name,
    Nested,
    Octets,
    Tag,
    Uid,
    read_all,
)
from gateway.wire.message import Message

RAISED_ARGUMENTS_MAX = 2048
"""Arguments as a tracker takes them from a service (03 section 7)."""
DELIVERED_ARGUMENTS_MAX = 4096
"""Arguments as a client takes them (03 section 7)."""

Raised = Annotated[bytes | None, Octets(2, RAISED_ARGUMENTS_MAX), Tag(1)]
Delivered = Annotated[bytes | None, Octets(2, DELIVERED_ARGUMENTS_MAX), Tag(1)]
Index = Annotated[int, Int32()]
EventId = Annotated[int, Int64()]
Kind = Annotated[EventKind, Choice(EventKind)]


@dataclass(frozen=True, slots=True)
class RaiseReplacingEvent(Message):
    """Service to tracker: the latest value of a replacing event."""

    name: Name
    index: Index
    instance_uid: Uid
    arguments: Raised = None


@dataclass(frozen=True, slots=True)
class RaiseQueueingEvent(Message):
    """Service to tracker: one more instance of a queueing event."""

    name: Name
    index: Index
    instance_uid: Uid
    arguments: Raised = None


@dataclass(frozen=True, slots=True)
class RaisePrivateEvent(Message):
    """Service to tracker: an event for one client."""

    name: Name
    index: Index
    instance_uid: Uid
    client_id: Annotated[int, Int64()]
    arguments: Raised = None


@dataclass(frozen=True, slots=True)
class RaiseReplacingNullEvent(Message):
    """Service to tracker: the replacing event has no value any more."""

    name: Name
    index: Index
    instance_uid: Uid


@dataclass(frozen=True, slots=True)
class NewStorageUid(Message):
    """Service to tracker: the identity of my event storage."""

    storage_uid: Uid


@dataclass(frozen=True, slots=True)
class RaiseAcknowledged(Message):
    """Tracker to service: stored, or already known."""

    index: Index
    instance_uid: Uid


@dataclass(frozen=True, slots=True)
class IllegalEventName(Message):
    """Tracker to service: the site has no such event."""

    index: Index
    instance_uid: Uid


@dataclass(frozen=True, slots=True)
class LastStorageUid(Message):
    """Tracker to service, before online: the storage identity known from last time."""

    storage_uid: Uid


@dataclass(frozen=True, slots=True)
class _Delivery(Message):
    LENIENT_END: ClassVar[bool] = True
    name: Name
    event_id: EventId
    transaction_uid: Uid
    instance_id: Annotated[int, Int64()]
    service_id: Annotated[int, Int64()]
    age: Annotated[int, Int64()]
    created: Annotated[datetime.datetime, Moment()]


@dataclass(frozen=True, slots=True)
class DeliverReplacingEvent(_Delivery):
    """Tracker to client: a replacing event; age in seconds."""

    arguments: Delivered = None


@dataclass(frozen=True, slots=True)
class DeliverQueueingEvent(_Delivery):
    """Tracker to client: an instance of a queueing event."""

    arguments: Delivered = None


@dataclass(frozen=True, slots=True)
class DeliverPrivateEvent(_Delivery):
    """Tracker to client: an event for this client."""

    arguments: Delivered = None


@dataclass(frozen=True, slots=True)
class DeliverReplacingNullEvent(_Delivery):
    """Tracker to client: a replacing event has no value any more."""


@dataclass(frozen=True, slots=True)
class SyncStateful(Message):
    """Tracker to a stateful client: the hash of the subscriptions it has stored."""

    subscription_hash: Annotated[bytes | None, Octets(20), Tag(1)] = None


@dataclass(frozen=True, slots=True)
class SyncStateless(Message):
    """Tracker to a stateless client: tell me your subscriptions."""


@dataclass(frozen=True, slots=True)
class IllegalSubscription(Message):
    """Tracker to client: the site has no such event."""

    name: Name


@dataclass(frozen=True, slots=True)
class _Acknowledgment(Message):
    event_id: EventId
    transaction_uid: Uid


@dataclass(frozen=True, slots=True)
class ReplacingEventAcknowledged(_Acknowledgment):
    """Client to tracker: handled, null events too."""


@dataclass(frozen=True, slots=True)
class QueueingEventAcknowledged(_Acknowledgment):
    """Client to tracker: handled."""


@dataclass(frozen=True, slots=True)
class PrivateEventAcknowledged(_Acknowledgment):
    """Client to tracker: handled."""


@dataclass(frozen=True, slots=True)
class EventRejected(Message):
    """Client to tracker: I have no such subscription."""

    kind: Annotated[int, Int32()]
    event_id: EventId
    transaction_uid: Uid


@dataclass(frozen=True, slots=True)
class SyncOk(Message):
    """Client to tracker: your hash is right."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a client subscribes to; the last instance only from stateless clients."""

    kind: Kind
    name: Name
    last_instance_id: Annotated[int | None, Int64(), Tag(1)] = None


@dataclass(frozen=True, slots=True)
class Subscriptions(Message):
    """Client to tracker: all my subscriptions."""

    items: tuple[Subscription, ...]

    def body(self) -> bytes:
        """Return the subscriptions as the elements of the root."""
        writer = SequenceWriter()
        codec = Nested(Subscription)
        for item in self.items:
            codec.write(writer, item, None)
        return writer.encode()

    @classmethod
    def from_body(cls, body: bytes, **_fixed: Any) -> Self:
        """Read the subscriptions; at most as many as a structure may have events."""
        return cls(read_all(Nested(Subscription), SequenceReader.root(body), EVENTS_MAX))


@dataclass(frozen=True, slots=True)
class AddSubscription(Message):
    """Client to tracker: one subscription more."""

    kind: Kind
    name: Name
    last_instance_id: Annotated[int | None, Int64(), Tag(1)] = None


@dataclass(frozen=True, slots=True)
class RemoveSubscription(Message):
    """Client to tracker: one subscription less."""

    kind: Kind
    name: Name


def subscription_hash(items: Iterable[tuple[EventKind, str]]) -> bytes | None:
    """Return the hash of a list of subscriptions, None for none (03 section 5.3)."""
    writer = SequenceWriter()
    for kind, name in sorted(items):
        writer.sequence(SequenceWriter().int32(kind).ia5(name))
    return hashlib.sha1(writer.encode()).digest() if writer.content() else None
