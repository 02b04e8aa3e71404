"""The endpoints that are there, the tables they stand in, and what is to be done to them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from gateway.base.errors import ProtocolViolation
from gateway.model.kinds import ClientStatus, EndpointType, ServiceStatus, UserKind
from gateway.model.snapshot import Member, SiteSnapshot, SnapshotService
from gateway.site.happenings import (
    ClientArrived,
    Close,
    Effect,
    Fail,
    Path,
    Send,
    ServiceArrived,
    StatusChanged,
    StoreSeen,
)
from gateway.wire.codes import ErrorCode
from gateway.wire.message import Message

STORAGES_MAX = 16
"""New event storages of a service in one session, each a transaction. A program has one, and one
more when its disk fails (03 sections 3.3 and 3.5)."""


@dataclass(slots=True, eq=False)
class ServicePeer:
    """A service that has logged in."""

    arrival: ServiceArrived
    since: float
    status: ServiceStatus = ServiceStatus.OFFLINE
    installed: bool = False
    hostname_hash: bytes | None = None
    list_hash: bytes | None = None
    guest_allowed: bool | None = None
    renewed: bool = False
    storages: int = 0

    kind = EndpointType.SERVICE

    @property
    def connection(self) -> int:
        """Return the number of its connection."""
        return self.arrival.connection

    @property
    def id(self) -> int:
        """Return the service id."""
        return self.arrival.service_id

    @property
    def path(self) -> Path:
        """Return how it reached us."""
        return self.arrival.path

    @property
    def online(self) -> bool:
        """Tell whether clients can reach it."""
        return self.status is ServiceStatus.ONLINE


@dataclass(slots=True, eq=False)
class ClientPeer:
    """A client that has logged in; `id` is its own or, stateless, a running number."""

    arrival: ClientArrived
    id: int
    since: float
    status: ClientStatus = ClientStatus.OFFLINE
    installed: bool = False
    service_type: str = ""
    contract_author: str = ""
    acting: Member | None = None

    kind = EndpointType.CLIENT

    @property
    def connection(self) -> int:
        """Return the number of its connection."""
        return self.arrival.connection

    @property
    def stateless(self) -> bool:
        """Tell whether it has no account."""
        return self.arrival.user_kind is UserKind.STATELESS_GUEST

    @property
    def path(self) -> Path:
        """Return how it reached us."""
        return self.arrival.path

    @property
    def online(self) -> bool:
        """Tell whether it may use the services."""
        return self.status is ClientStatus.ONLINE


Peer = ServicePeer | ClientPeer


@dataclass(slots=True)
class Presence:
    """Who is there, the site as it is now, and the effects collected so far.

    `services`, `clients` and `stateless` hold installed peers only, by their ids; `by_connection`
    holds everybody who logged in and was not sent away. A stateless client's number may equal the
    id of a stateful one (02 section 3).
    """

    snapshot: SiteSnapshot
    services: dict[int, ServicePeer] = field(default_factory=dict)
    clients: dict[int, ClientPeer] = field(default_factory=dict)
    stateless: dict[int, ClientPeer] = field(default_factory=dict)
    by_connection: dict[int, Peer] = field(default_factory=dict)
    effects: list[Effect] = field(default_factory=list)

    def take_effects(self) -> list[Effect]:
        """Return what is to be done and forget it."""
        effects, self.effects = self.effects, []
        return effects

    def send(self, peer: Peer, message: Message) -> None:
        """Send a message to one endpoint."""
        self.effects.append(Send((peer.connection,), peer.kind, message))

    def send_all(self, peers: Iterable[Peer], message: Message) -> None:
        """Send one message to several endpoints of one type."""
        found = list(peers)
        if found:
            numbers = tuple(peer.connection for peer in found)
            self.effects.append(Send(numbers, found[0].kind, message))

    def learn(self, service: SnapshotService) -> None:
        """Let what is being stored of a service count at once; a later snapshot says the same."""
        services = tuple(service if s.id == service.id else s for s in self.snapshot.services)
        self.snapshot = dataclasses.replace(self.snapshot, services=services)

    def new_storage(self, peer: ServicePeer, uid: bytes) -> None:
        """Take the uid of a service's event storage. Raises ProtocolViolation for one too many."""
        service = self.snapshot.service(peer.id)
        if service is not None and service.storage_uid == uid:
            return
        peer.storages += 1
        if peer.storages > STORAGES_MAX:
            raise ProtocolViolation("a new event storage again and again")
        self.effects.append(StoreSeen(peer.id, storage_uid=uid))
        if service is not None:
            self.learn(dataclasses.replace(service, storage_uid=uid))

    def online_services(self) -> Iterator[ServicePeer]:
        """Yield the services that clients can reach."""
        return (peer for peer in self.services.values() if peer.online)

    def installed_clients(self) -> Iterator[ClientPeer]:
        """Yield every client that was judged, stateless ones included."""
        yield from self.clients.values()
        yield from self.stateless.values()

    def online_clients(self) -> Iterator[ClientPeer]:
        """Yield the clients that may use the services."""
        return (peer for peer in self.installed_clients() if peer.online)

    def service_online(self, service_id: int) -> ServicePeer | None:
        """Return the service if it is online, else None."""
        peer = self.services.get(service_id)
        return peer if peer is not None and peer.online else None

    def client_of(self, user_kind: int, client_id: int) -> ClientPeer | None:
        """Return the online client that a service means by kind and id, or None."""
        table = self.stateless if user_kind == UserKind.STATELESS_GUEST else self.clients
        peer = table.get(client_id)
        return peer if peer is not None and peer.online else None

    def install(self, peer: Peer) -> None:
        """Enter a judged endpoint into its table; its status is set."""
        peer.installed = True
        if isinstance(peer, ServicePeer):
            self.services[peer.id] = peer
        elif peer.stateless:
            self.stateless[peer.id] = peer
        else:
            self.clients[peer.id] = peer
        self.effects.append(StatusChanged(peer.kind, peer.id, peer.status))

    def remove(self, peer: Peer) -> None:
        """Take an endpoint out of every table; one that took its place stays.

        Whether an online service went is the caller's to tell the clients.
        """
        self.by_connection.pop(peer.connection, None)
        table: dict[int, ServicePeer] | dict[int, ClientPeer] = self.clients
        if isinstance(peer, ServicePeer):
            table = self.services
        elif peer.stateless:
            table = self.stateless
        if table.get(peer.id) is peer:
            del table[peer.id]
            offline = (
                ServiceStatus.OFFLINE if isinstance(peer, ServicePeer) else ClientStatus.OFFLINE
            )
            self.effects.append(StatusChanged(peer.kind, peer.id, offline))

    def dismiss(self, peer: Peer, code: ErrorCode) -> None:
        """Tell an endpoint a code and take it out."""
        self.remove(peer)
        self.effects.append(Fail(peer.connection, code))

    def drop(self, peer: Peer) -> None:
        """Close an endpoint's connection silently and take it out."""
        self.remove(peer)
        self.effects.append(Close(peer.connection))
