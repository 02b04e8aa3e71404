"""Events between the services and clients of one site: raised, kept, delivered (03, 3 to 5)."""

from __future__ import annotations

import dataclasses
import datetime
from dataclasses import dataclass, field

from gateway.asn1.reader import is_one_sequence
from gateway.base.entropy import Entropy
from gateway.base.errors import ProtocolViolation
from gateway.model.kinds import EventKind, GuestAccess, SiteKind, UserKind
from gateway.model.snapshot import Member
from gateway.model.structure import EventDefinition
from gateway.site.happenings import StoreSeen
from gateway.site.presence import ClientPeer, Presence, ServicePeer
from gateway.site.retained import EventStore, Instance, Subscribed
from gateway.wire.message import Message
from gateway.wire.pubsub import (
    AddSubscription,
    DeliverPrivateEvent,
    DeliverQueueingEvent,
    DeliverReplacingEvent,
    DeliverReplacingNullEvent,
    EventRejected,
    IllegalEventName,
    IllegalSubscription,
    NewStorageUid,
    PrivateEventAcknowledged,
    QueueingEventAcknowledged,
    RaiseAcknowledged,
    RaisePrivateEvent,
    RaiseQueueingEvent,
    RaiseReplacingEvent,
    RaiseReplacingNullEvent,
    RemoveSubscription,
    ReplacingEventAcknowledged,
    Subscriptions,
    SyncOk,
    SyncStateful,
    SyncStateless,
    subscription_hash,
)

REDELIVERY_WAIT = 300.0
"""Seconds without acknowledgement after which a delivery is repeated (03 section 4.4)."""

Raise = RaiseReplacingEvent | RaiseQueueingEvent | RaisePrivateEvent | RaiseReplacingNullEvent
Acknowledgement = ReplacingEventAcknowledged | QueueingEventAcknowledged | PrivateEventAcknowledged
_RAISED_KIND: dict[type[Message], EventKind] = {
    RaiseReplacingEvent: EventKind.REPLACING,
    RaiseReplacingNullEvent: EventKind.REPLACING,
    RaiseQueueingEvent: EventKind.QUEUEING,
    RaisePrivateEvent: EventKind.PRIVATE,
}
_DELIVERY = {
    EventKind.REPLACING: DeliverReplacingEvent,
    EventKind.QUEUEING: DeliverQueueingEvent,
    EventKind.PRIVATE: DeliverPrivateEvent,
}


class SubscribedTwice(ProtocolViolation):
    """The same name twice in a list of subscriptions; answered with error 111."""


@dataclass(slots=True)
class _Delivery:
    """One subscription of a session: at most one instance is under way (03 section 4.4)."""

    subscribed: Subscribed
    instance: Instance | None = None
    transaction_uid: bytes = b""
    due: float = 0.0


@dataclass(slots=True)
class _Session:
    """What a client that was told to synchronise has said since."""

    synchronised: bool = False
    deliveries: dict[str, _Delivery] = field(default_factory=dict)


def may_receive(event: EventDefinition, acting: Member) -> bool:
    """Tell whether whom a client acts as may receive an event (03 section 4.3).

    Role names are compared by the caller, who knows them: this is the rule for everybody else.
    """
    if event.kind is EventKind.PRIVATE:
        return acting.kind is not UserKind.STATELESS_GUEST
    if event.roles:
        return not acting.kind.guest
    if event.guest_access is GuestAccess.GUEST_DENIED:
        return not acting.kind.guest
    if event.guest_access is GuestAccess.STATELESS_GUEST_DENIED:
        return acting.kind is not UserKind.STATELESS_GUEST
    return True


class EventBroker:
    """Takes raises, keeps them, and delivers them one at a time to each subscription."""

    def __init__(self, presence: Presence, store: EventStore, entropy: Entropy) -> None:
        self._presence = presence
        self._store = store
        self._entropy = entropy
        self._sessions: dict[ClientPeer, _Session] = {}
        self.wall = 0.0
        self.now = 0.0
        if presence.snapshot.structure is not None:
            store.fit(presence.snapshot.structure)

    # -- services ------------------------------------------------------------------------------

    def take_from_service(self, peer: ServicePeer, message: Message) -> None:
        """Handle whatever a service says about events."""
        if isinstance(message, NewStorageUid):
            self._presence.effects.append(StoreSeen(peer.id, storage_uid=message.storage_uid))
            service = self._presence.snapshot.service(peer.id)
            if service is not None:
                self._presence.learn(dataclasses.replace(service, storage_uid=message.storage_uid))
        elif isinstance(message, Raise):
            self._raised(peer, message)

    def _raised(self, peer: ServicePeer, message: Raise) -> None:
        definition = self._store.definition(message.name)
        arguments = getattr(message, "arguments", None)
        kind = _RAISED_KIND[type(message)]
        if (
            definition is None
            or definition.kind is not kind
            or (arguments is not None and not is_one_sequence(arguments))
        ):
            # The service drops the instance on this; an error would make it come back for ever.
            self._presence.send(peer, IllegalEventName(message.index, message.instance_uid))
            return
        if not self._store.is_repeated(peer.id, message.name, message.instance_uid):
            new = Instance(
                0,
                peer.id,
                message.instance_uid,
                self.wall,
                arguments,
                isinstance(message, RaiseReplacingNullEvent),
                message.client_id if isinstance(message, RaisePrivateEvent) else 0,
            )
            multi = self._presence.snapshot.kind is SiteKind.MULTI_SERVICE
            if self._store.accept(message.name, new, per_service=multi, wall=self.wall):
                self._deliver_to_all(message.name)
        self._presence.send(peer, RaiseAcknowledged(message.index, message.instance_uid))

    # -- clients -------------------------------------------------------------------------------

    def start(self, peer: ClientPeer) -> None:
        """Ask a client that is online now for its subscriptions (03 section 5.3)."""
        self._sessions[peer] = _Session()
        if peer.stateless:
            self._presence.send(peer, SyncStateless())
            return
        stored = self._store.subscriptions.get(peer.id, {})
        known = subscription_hash((found.kind, name) for name, found in stored.items())
        self._presence.send(peer, SyncStateful(known))

    def ended(self, peer: ClientPeer) -> None:
        """Forget what is under way to a client that is gone; it is delivered again later."""
        self._sessions.pop(peer, None)

    def take_from_client(self, peer: ClientPeer, message: Message) -> None:
        """Handle whatever a client says about events. Raises SubscribedTwice."""
        session = self._sessions.get(peer)
        if session is None:
            return
        if isinstance(message, SyncOk):
            self._synchronised(peer, session)
        elif isinstance(message, Subscriptions):
            self._subscriptions(peer, session, message)
        elif isinstance(message, AddSubscription):
            if session.synchronised and message.name not in session.deliveries:
                self._subscribe(peer, session, message.kind, message.name, message.last_instance_id)
                self._deliver(peer, session, message.name)
        elif isinstance(message, RemoveSubscription):
            session.deliveries.pop(message.name, None)
            self._store.subscriptions.get(self._account(peer), {}).pop(message.name, None)
        elif isinstance(message, EventRejected):
            self._rejected(session, message)
        elif isinstance(message, Acknowledgement):
            self._acknowledged(peer, session, message)

    def _account(self, peer: ClientPeer) -> int:
        return 0 if peer.stateless else peer.id

    def _synchronised(self, peer: ClientPeer, session: _Session) -> None:
        if session.synchronised:
            return
        session.synchronised = True
        stored = self._store.subscriptions.get(peer.id, {}) if not peer.stateless else {}
        session.deliveries = {name: _Delivery(found) for name, found in stored.items()}
        for name in list(session.deliveries):
            self._deliver(peer, session, name)

    def _subscriptions(self, peer: ClientPeer, session: _Session, message: Subscriptions) -> None:
        wanted = {item.name: item for item in message.items}
        if len(wanted) != len(message.items):
            raise SubscribedTwice("the same event twice in a list of subscriptions")
        stored = self._store.subscriptions.get(self._account(peer), {})
        for name, found in list(stored.items()):
            if name not in wanted or wanted[name].kind is not found.kind:
                del stored[name]
        session.synchronised = True
        session.deliveries = {name: _Delivery(stored[name]) for name in wanted if name in stored}
        for name, item in wanted.items():
            if name not in session.deliveries:
                self._subscribe(peer, session, item.kind, name, item.last_instance_id)
        for name in list(session.deliveries):
            self._deliver(peer, session, name)

    def _subscribe(
        self, peer: ClientPeer, session: _Session, kind: EventKind, name: str, last: int | None
    ) -> None:
        definition = self._store.definition(name)
        private = kind is EventKind.PRIVATE
        if definition is None or definition.kind is not kind or (private and peer.stateless):
            self._presence.send(peer, IllegalSubscription(name))
            return
        subscribed = Subscribed(kind)
        if peer.stateless:
            # A cursor from before the ids began anew must not block delivery (trap E12).
            cursor = last or 0
            subscribed.cursor = cursor if cursor <= self._store.last_instance_id else 0
        else:
            self._store.subscriptions.setdefault(peer.id, {})[name] = subscribed
        session.deliveries[name] = _Delivery(subscribed)

    def _rejected(self, session: _Session, message: EventRejected) -> None:
        for name, delivery in list(session.deliveries.items()):
            if delivery.instance and delivery.transaction_uid == message.transaction_uid:
                del session.deliveries[name]

    def _acknowledged(self, peer: ClientPeer, session: _Session, message: Acknowledgement) -> None:
        for name, delivery in list(session.deliveries.items()):
            instance = delivery.instance
            if (
                instance is None
                or delivery.transaction_uid != message.transaction_uid
                or self._store.event_id(name) != message.event_id
            ):
                continue
            delivery.subscribed.cursor = max(delivery.subscribed.cursor, instance.id)
            delivery.instance = None
            self._store.acknowledged(name, instance)
            self._deliver(peer, session, name)

    # -- delivery ------------------------------------------------------------------------------

    def rights_changed(self, peer: ClientPeer) -> None:
        """Judge the deliveries of a client anew: it acts as somebody else, or with other roles."""
        session = self._sessions.get(peer)
        if session is not None and session.synchronised:
            for name in list(session.deliveries):
                self._deliver(peer, session, name)

    def minute_passed(self) -> None:
        """Forget what expired and repeat what nobody acknowledged."""
        self._store.expire(self.wall)
        for peer, session in list(self._sessions.items()):
            for name, delivery in list(session.deliveries.items()):
                if delivery.instance is not None and delivery.due <= self.now:
                    delivery.instance = None
                    self._deliver(peer, session, name)

    def _deliver_to_all(self, name: str) -> None:
        for peer, session in list(self._sessions.items()):
            if name in session.deliveries:
                self._deliver(peer, session, name)

    def _deliver(self, peer: ClientPeer, session: _Session, name: str) -> None:
        delivery = session.deliveries[name]
        definition = self._store.definition(name)
        if delivery.instance is not None or definition is None or peer.acting is None:
            return
        if not self._authorised(definition, peer.acting):
            return
        instance = self._store.following(name, delivery.subscribed.cursor, peer.id, self.wall)
        if instance is None:
            return
        delivery.instance = instance
        delivery.transaction_uid = self._entropy.uid()
        delivery.due = self.now + REDELIVERY_WAIT
        head = (
            name,
            self._store.event_id(name),
            delivery.transaction_uid,
            instance.id,
            instance.service_id,
            max(0, round(self.wall - instance.created)),
            datetime.datetime.fromtimestamp(instance.created, datetime.UTC),
        )
        if instance.null:
            self._presence.send(peer, DeliverReplacingNullEvent(*head))
        else:
            self._presence.send(peer, _DELIVERY[definition.kind](*head, instance.arguments))

    def _authorised(self, event: EventDefinition, acting: Member) -> bool:
        if not may_receive(event, acting):
            return False
        if not event.roles:
            return True
        return not set(event.roles).isdisjoint(self._presence.snapshot.role_names(acting.role_ids))
