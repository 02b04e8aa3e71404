"""One site as a functional core: an input and the present moment in, effects out, in order."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from gateway.base.entropy import Entropy
from gateway.base.errors import ProtocolViolation
from gateway.model.kinds import ClientStatus, EndpointType, ServiceStatus, SiteKind
from gateway.model.snapshot import SiteSnapshot
from gateway.site.admission import Admission
from gateway.site.broker import Broker
from gateway.site.calls import SERVICE_QUEUE, CallRelay
from gateway.site.group import Group
from gateway.site.happenings import (
    BuildEnded,
    ClientArrived,
    ClientExpelled,
    ClientPingPeriodSet,
    ConnectionEnded,
    Effect,
    EventsKept,
    Input,
    MessageArrived,
    MinutePassed,
    ServiceArrived,
    SiteDropped,
    SiteEnded,
    SnapshotTaken,
)
from gateway.site.presence import ClientPeer, Peer, Presence, ServicePeer
from gateway.site.proxies import ProxyDirectory
from gateway.site.pubsub import EventBroker, SubscribedTwice
from gateway.site.retained import EventStore
from gateway.site.roster import Roster
from gateway.site.upkeep import Upkeep
from gateway.wire import connect, pubsub, rpc
from gateway.wire.codes import ErrorCode
from gateway.wire.installer import ClientState, ServiceState, UploadSiteStructure
from gateway.wire.message import Message


def nothing_waits(_connection: int) -> int:
    """Return how much waits where every endpoint takes everything at once."""
    return 0


@dataclass(frozen=True, slots=True)
class Resources:
    """What the sites of one tracker share."""

    entropy: Entropy
    proxies: ProxyDirectory
    stateless_numbers: Iterator[int]
    stateless_services: frozenset[bytes] = frozenset()
    """Uids of services, besides our own, that are known to take stateless guests (02 trap T1)."""
    unsent: Callable[[int], int] = nothing_waits
    """How many octets wait for the endpoint at a connection that does not take them."""


def resources(
    entropy: Entropy,
    proxies: ProxyDirectory,
    *,
    stateless_services: frozenset[bytes] = frozenset(),
    unsent: Callable[[int], int] = nothing_waits,
) -> Resources:
    """Return the shared parts for the sites of a new tracker."""
    return Resources(entropy, proxies, itertools.count(1), stateless_services, unsent)


@dataclass(frozen=True, slots=True)
class LiveEndpoint:
    """An installed endpoint, for pages; `since` is of the monotonic clock."""

    kind: EndpointType
    id: int
    status: ServiceStatus | ClientStatus
    address: str
    since: float
    stateless: bool = False


class Site:
    """The live state of one site."""

    def __init__(self, snapshot: SiteSnapshot, shared: Resources, store: EventStore) -> None:
        self._shared = shared
        self._presence = Presence(snapshot)
        self._group = Group(snapshot)
        self._events = EventBroker(self._presence, store, shared.entropy)
        self._admission = Admission(self._presence, Roster(snapshot), self._group, self._events)
        self._upkeep = Upkeep(self._presence, self._group, self._admission, self._events)
        self._broker = Broker(
            self._presence,
            shared.proxies,
            shared.entropy,
            self._service_asked_for,
            self._takes_stateless_guests,
            self._room_at,
        )
        self._calls = CallRelay(
            self._presence, self._service_asked_for, self._takes_stateless_guests, self._room_at
        )
        self._store = store
        self._over = False
        # By the module of wire that a message is of.
        self._service_topics: dict[str, Callable[[ServicePeer, Message, float], None]] = {
            connect.__name__: self._broker.take_from_service,
            rpc.__name__: self._calls.take_from_service,
            pubsub.__name__: self._events.take_from_service,
        }
        self._client_topics: dict[str, Callable[[ClientPeer, Message, float], None]] = {
            connect.__name__: self._broker.take_from_client,
            rpc.__name__: self._calls.take_from_client,
            pubsub.__name__: self._events.take_from_client,
        }
        self._handlers: dict[type[Any], Callable[[Any, float], None]] = {
            ServiceArrived: self._service_arrived,
            ClientArrived: self._client_arrived,
            MessageArrived: self._message_arrived,
            ConnectionEnded: self._connection_ended,
            SnapshotTaken: self._snapshot_taken,
            SiteEnded: self._site_ended,
            ClientExpelled: self._client_expelled,
            ClientPingPeriodSet: self._client_ping_period_set,
            BuildEnded: self._build_ended,
            MinutePassed: self._minute_passed,
            EventsKept: self._events_kept,
        }

    @property
    def snapshot(self) -> SiteSnapshot:
        """Return the site as the endpoints were last told."""
        return self._presence.snapshot

    @property
    def over(self) -> bool:
        """Tell whether the site was dropped; it takes nobody any more."""
        return self._over

    @property
    def empty(self) -> bool:
        """Tell whether no endpoint is there."""
        return not self._presence.by_connection

    def view(self) -> tuple[LiveEndpoint, ...]:
        """Return who is installed."""
        presence = self._presence
        peers: list[Peer] = [*presence.services.values(), *presence.installed_clients()]
        return tuple(
            LiveEndpoint(
                peer.kind,
                peer.id,
                peer.status,
                peer.path.peer,
                peer.since,
                isinstance(peer, ClientPeer) and peer.stateless,
            )
            for peer in peers
        )

    def handle(self, happening: Input, now: float, wall: float) -> list[Effect]:
        """Take one input; return what is to be done, in this order.

        `now` is of the monotonic clock, `wall` Unix time; both in seconds.
        """
        self._events.now, self._events.wall = now, wall
        self._handlers[type(happening)](happening, now)
        self._events.ask_to_keep()
        return self._presence.take_effects()

    # -- endpoints -----------------------------------------------------------------------------

    def _service_arrived(self, arrival: ServiceArrived, now: float) -> None:
        peer = ServicePeer(arrival, now)
        self._presence.by_connection[arrival.connection] = peer
        self._admission.greet_service(peer)

    def _client_arrived(self, arrival: ClientArrived, now: float) -> None:
        peer = ClientPeer(arrival, arrival.client_id, now)
        if peer.stateless:
            peer.id = next(self._shared.stateless_numbers)
        self._presence.by_connection[arrival.connection] = peer
        self._admission.greet_client(peer)

    def _connection_ended(self, ended: ConnectionEnded, _now: float) -> None:
        peer = self._presence.by_connection.get(ended.connection)
        if peer is not None:
            self._leave(peer)

    def _leave(self, peer: Peer, code: ErrorCode | None = None) -> None:
        """Take an endpoint out and tell the clients when a service went."""
        was_online = isinstance(peer, ServicePeer) and peer.online
        if code is None:
            self._presence.remove(peer)
        else:
            self._presence.dismiss(peer, code)
        if was_online:
            message = self._group.went_offline(peer.id)
            self._presence.send_all(self._presence.online_clients(), message)
        self._forget(peer)

    def _forget(self, peer: Peer) -> None:
        if isinstance(peer, ClientPeer):
            self._events.ended(peer)
            self._broker.client_ended(peer)
            self._calls.client_ended(peer)

    # -- messages ------------------------------------------------------------------------------

    def _message_arrived(self, arrived: MessageArrived, now: float) -> None:
        peer = self._presence.by_connection.get(arrived.connection)
        if peer is None:
            return
        try:
            if isinstance(peer, ServicePeer):
                self._from_service(peer, arrived.message, now)
            else:
                self._from_client(peer, arrived.message, now)
        except SubscribedTwice:
            self._leave(peer, ErrorCode.ENDPOINT_DATA_INCONSISTENT)
        except ProtocolViolation:
            self._leave(peer, ErrorCode.ENDPOINT_DATA_FORMAT_ERROR)

    def _from_service(self, peer: ServicePeer, message: Message, now: float) -> None:
        if isinstance(message, ServiceState):
            self._admission.take_state(peer, message)
        elif isinstance(message, UploadSiteStructure):
            self._admission.take_structure(peer, message)
        elif peer.online:
            take = self._service_topics.get(type(message).__module__)
            if take is not None:
                take(peer, message, now)

    def _from_client(self, peer: ClientPeer, message: Message, now: float) -> None:
        if isinstance(message, ClientState):
            replaced = self._admission.take_client_state(peer, message)
            if replaced is not None:
                self._forget(replaced)
        elif peer.online:
            take = self._client_topics.get(type(message).__module__)
            if take is not None:
                take(peer, message, now)

    def _service_asked_for(self, service_id: int) -> ServicePeer | None:
        """Return the online service that a client means; its id is ignored on single sites."""
        snapshot = self._presence.snapshot
        if snapshot.kind is SiteKind.SINGLE_SERVICE:
            return next(self._presence.online_services(), None)
        return self._presence.service_online(service_id)

    def _takes_stateless_guests(self, service: ServicePeer) -> bool:
        """Tell whether user kind 5 costs this service nothing (02 trap T1, 03 trap R1)."""
        known = self._presence.snapshot.service(service.id)
        return known is not None and (known.own or known.uid in self._shared.stateless_services)

    def _room_at(self, service: ServicePeer) -> int:
        """Return how many octets of clients' requests a service may still have waiting."""
        return SERVICE_QUEUE - self._shared.unsent(service.connection)

    # -- management ----------------------------------------------------------------------------

    def _snapshot_taken(self, taken: SnapshotTaken, _now: float) -> None:
        gone = set(self._presence.by_connection.values())
        over = self._upkeep.follow(taken.snapshot)
        self._tidy(gone)
        if over:
            self._end()
        else:
            self._store.keep_services({service.id for service in taken.snapshot.services})

    def _site_ended(self, ended: SiteEnded, _now: float) -> None:
        self._upkeep.end(ended.service_code, ended.client_code)
        self._end()

    def _client_expelled(self, expelled: ClientExpelled, _now: float) -> None:
        gone = set(self._presence.by_connection.values())
        self._upkeep.client_expelled(expelled.client_id, expelled.code)
        self._tidy(gone)
        if expelled.code is ErrorCode.CLIENT_NOT_REGISTERED:
            self._store.forget_client(expelled.client_id)

    def _client_ping_period_set(self, change: ClientPingPeriodSet, _now: float) -> None:
        self._upkeep.client_ping_period(change.client_id, change.seconds)

    def _build_ended(self, ended: BuildEnded, _now: float) -> None:
        self._admission.build_ended(ended.service_id, ended.built, ended.code)
        self._end()

    def _minute_passed(self, _passed: MinutePassed, _now: float) -> None:
        self._events.minute_passed()

    def _events_kept(self, kept: EventsKept, _now: float) -> None:
        self._events.kept(kept.batch)

    def _tidy(self, before: set[Peer]) -> None:
        for peer in before.difference(self._presence.by_connection.values()):
            self._forget(peer)

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self._presence.effects.append(SiteDropped())
