"""Events between the services and clients of one site: raised, kept, delivered (03, 3 to 5)."""

from __future__ import annotations

import datetime
from collections import Counter, deque
from dataclasses import dataclass, field

from gateway.asn1.reader import is_one_sequence
from gateway.base.entropy import Entropy
from gateway.base.errors import ProtocolViolation
from gateway.model.kinds import EventKind, GuestAccess, SiteKind, UserKind
from gateway.model.snapshot import Member
from gateway.model.structure import EventDefinition
from gateway.site.happenings import KeepEvents
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
UNKEPT_MAX = 128
"""Raises of one service on their way to storage; it has one outstanding for each of 100 events."""

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
        # What waits for storage: answers to raises, events with new instances, subscriptions
        # whose next instance must not go out before their cursor is safe.
        self._answers: deque[tuple[int, ServicePeer, RaiseAcknowledged]] = deque()
        self._unkept: Counter[ServicePeer] = Counter()
        self._raised_names: dict[str, int] = {}
        self._waiting: dict[tuple[ClientPeer, str], None] = {}
        self._asked = (0, False)
        self.wall = 0.0
        self.now = 0.0
        if presence.snapshot.structure is not None:
            store.fit(presence.snapshot.structure)

    # -- services ------------------------------------------------------------------------------

    def take_from_service(self, peer: ServicePeer, message: Message, _now: float) -> None:
        """Handle whatever a service says about events. Raises ProtocolViolation."""
        if isinstance(message, NewStorageUid):
            self._presence.new_storage(peer, message.storage_uid)
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
        store = self._store
        batch = store.accepted_with(peer.id, message.name, message.instance_uid)
        if batch is None:
            if self._unkept[peer] >= UNKEPT_MAX:
                return  # it comes again after 30 s (03 section 3.4)
            batch = store.collecting
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
            if store.accept(message.name, new, per_service=multi, wall=self.wall):
                self._raised_names[message.name] = batch
        answer = RaiseAcknowledged(message.index, message.instance_uid)
        if batch <= store.durable:
            self._presence.send(peer, answer)
        else:
            self._answers.append((batch, peer, answer))
            self._unkept[peer] += 1

    # -- storage -------------------------------------------------------------------------------

    def ask_to_keep(self) -> None:
        """Ask for the changes to be stored, at once where somebody waits for it."""
        store = self._store
        urgent = bool(self._answers or self._raised_names or self._waiting)
        if store.dirty and self._asked != (asked := (store.collecting, urgent)):
            self._asked = asked
            self._presence.effects.append(KeepEvents(urgent))

    def kept(self, batch: int) -> None:
        """Learn that everything up to this batch is stored; go on with who waited for it."""
        self._store.committed(batch)
        while self._answers and self._answers[0][0] <= batch:
            _, peer, answer = self._answers.popleft()
            self._unkept[peer] -= 1
            if not self._unkept[peer]:
                del self._unkept[peer]
            if self._presence.by_connection.get(peer.connection) is peer:
                self._presence.send(peer, answer)
        for name in [name for name, last in self._raised_names.items() if last <= batch]:
            del self._raised_names[name]
            self._deliver_to_all(name)
        waiting, self._waiting = self._waiting, {}
        for client, name in waiting:
            session = self._sessions.get(client)
            if session is not None and name in session.deliveries:
                self._deliver(client, session, name)

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

    def take_from_client(self, peer: ClientPeer, message: Message, _now: float) -> None:
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
            self._store.unsubscribe(self._account(peer), message.name)
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
                self._store.unsubscribe(peer.id, name)
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
        if peer.stateless:
            subscribed = Subscribed(kind)
            # A cursor from before the ids began anew must not block delivery (trap E12).
            cursor = last or 0
            subscribed.cursor = cursor if cursor <= self._store.last_instance_id else 0
        else:
            subscribed = self._store.subscribe(peer.id, name, kind)
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
            delivery.instance = None
            self._store.acknowledged(self._account(peer), name, delivery.subscribed, instance)
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
        """Deliver to everybody who is idle; receivers of the same instance share one message."""
        definition = self._store.definition(name)
        if definition is None:
            return
        allowed: dict[int, bool] = {}
        groups: dict[int, tuple[Instance, list[tuple[ClientPeer, _Delivery]]]] = {}
        for peer, session in self._sessions.items():
            delivery = session.deliveries.get(name)
            acting = peer.acting
            if delivery is None or delivery.instance is not None or acting is None:
                continue
            may = allowed.get(id(acting))
            if may is None:
                may = allowed[id(acting)] = self._authorised(definition, acting)
            if may and (instance := self._following(peer, delivery, name)) is not None:
                groups.setdefault(instance.id, (instance, []))[1].append((peer, delivery))
        for instance, receivers in groups.values():
            self._send(name, definition.kind, instance, receivers)

    def _deliver(self, peer: ClientPeer, session: _Session, name: str) -> None:
        delivery = session.deliveries[name]
        definition = self._store.definition(name)
        if delivery.instance is not None or definition is None or peer.acting is None:
            return
        if not self._authorised(definition, peer.acting):
            return
        instance = self._following(peer, delivery, name)
        if instance is not None:
            self._send(name, definition.kind, instance, [(peer, delivery)])

    def _following(self, peer: ClientPeer, delivery: _Delivery, name: str) -> Instance | None:
        """Return the instance that may go out now, None where storage is to be waited for."""
        store, subscribed = self._store, delivery.subscribed
        instance = store.following(name, subscribed.cursor, peer.id, self.wall)
        if instance is None or instance.batch > store.durable:
            return None
        if subscribed.batch > store.durable:
            self._waiting[(peer, name)] = None
            return None
        return instance

    def _send(
        self,
        name: str,
        kind: EventKind,
        instance: Instance,
        receivers: list[tuple[ClientPeer, _Delivery]],
    ) -> None:
        """Send one instance, under one transaction uid, to all who are to have it now."""
        transaction_uid, due = self._entropy.uid(), self.now + REDELIVERY_WAIT
        for _, delivery in receivers:
            delivery.instance = instance
            delivery.transaction_uid = transaction_uid
            delivery.due = due
        head = (
            name,
            self._store.event_id(name),
            transaction_uid,
            instance.id,
            instance.service_id,
            max(0, round(self.wall - instance.created)),
            datetime.datetime.fromtimestamp(instance.created, datetime.UTC),
        )
        message: Message = DeliverReplacingNullEvent(*head)
        if not instance.null:
            message = _DELIVERY[kind](*head, instance.arguments)
        self._presence.send_all((peer for peer, _ in receivers), message)

    def _authorised(self, event: EventDefinition, acting: Member) -> bool:
        if not may_receive(event, acting):
            return False
        if not event.roles:
            return True
        return not set(event.roles).isdisjoint(self._presence.snapshot.role_names(acting.role_ids))
