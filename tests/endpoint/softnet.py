"""A whole Softnet server on a loopback address of its own, and endpoints that use it."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.base.clock import SystemClock
from gateway.base.entropy import SystemEntropy
from gateway.base.notices import NoticeHub
from gateway.base.secret import Secret
from gateway.endpoint.client import ClientEndpoint
from gateway.endpoint.events import (
    ConnectivityChanged,
    ConnectivityStatus,
    EndpointEvent,
    StatusChanged,
)
from gateway.endpoint.service import ServiceEndpoint
from gateway.endpoint.session import Endpoint
from gateway.endpoint.settings import EndpointSettings
from gateway.model.kinds import (
    Authority,
    ClientStatus,
    EventKind,
    GuestAccess,
    GuestSupport,
    ServiceStatus,
    SiteKind,
    UserKind,
)
from gateway.model.structure import EventDefinition, SiteStructure
from gateway.net.datapath import DataPath
from gateway.net.tasks import TaskRoom
from gateway.protocol.backoff import BackOffTable
from gateway.protocol.endpoint_inbox import Positions
from gateway.protocol.endpoint_outbox import EventQueue
from gateway.registry import clients, domains, members, owners, passwords, services, sites
from gateway.registry.database import Registry, Tx
from gateway.relay.server import RendezvousServer
from gateway.relay.settings import RelaySettings
from gateway.site.proxies import ProxyDirectory, ProxyEntry
from gateway.tracker.server import TrackerServer
from gateway.tracker.settings import TrackerSettings

CAMERA = SiteStructure(
    "IP Camera",
    "Softnet Camera Gateway",
    GuestSupport.STATELESS,
    ("Administrator", "Operator", "User"),
    "Administrator",
    (EventDefinition(EventKind.REPLACING, "Status", guest_access=GuestAccess.GUEST_DENIED),),
)
QUICK = EndpointSettings(
    back_off=BackOffTable(
        balancer=(0.05, 0.1, 0.2), tracker=(0.05, 0.05, 0.1, 0.2), minute=0.3, no_address=0.3
    )
)
SECRET = Secret("f29f16b1-e52c-439c-9b82-7520b3bed9f5")


@dataclass
class Heard:
    """What an endpoint announced, and a way to wait for more."""

    endpoint: Endpoint
    events: list[EndpointEvent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._more = asyncio.Event()
        self.endpoint.subscribe(self._receive)

    def _receive(self, event: EndpointEvent) -> None:
        self.events.append(event)
        self._more.set()

    async def until(self, true: Callable[[], object], seconds: float = 10.0) -> None:
        async with asyncio.timeout(seconds):
            while not true():
                self._more.clear()
                await self._more.wait()

    @property
    def statuses(self) -> list[Any]:
        return [event.status for event in self.events if isinstance(event, StatusChanged)]

    @property
    def connectivity(self) -> list[tuple[ConnectivityStatus, int]]:
        return [
            (event.connectivity.status, event.connectivity.error)
            for event in self.events
            if isinstance(event, ConnectivityChanged)
        ]


@dataclass
class Softnet:
    """A running server with one domain; endpoints are closed with it."""

    host: str
    room: TaskRoom
    registry: Registry
    tracker: TrackerServer
    relay: RendezvousServer
    datapath: DataPath
    owner_id: int
    domain_id: int
    endpoints: list[Endpoint] = field(default_factory=list)
    clock: SystemClock = field(default_factory=SystemClock)
    entropy: SystemEntropy = field(default_factory=SystemEntropy)

    async def site(self, kind: SiteKind = SiteKind.MULTI_SERVICE) -> int:
        made = await self.registry.write(lambda tx: sites.add(tx, self.domain_id, kind=kind))
        return made.id

    async def service_account(self, site_id: int, hostname: str) -> tuple[int, str, Secret]:
        """Return id, URI and password of a new service, or of the one of a single site."""

        def make(tx: Tx) -> tuple[int, str, Secret]:
            if sites.get(tx, site_id).kind is SiteKind.SINGLE_SERVICE:
                made = services.list_for(tx, site_id)[0]
            else:
                made = services.add(tx, site_id, hostname)
            return made.id, made.uri(self.host), services.generate_password(tx, made.id)

        return await self.registry.write(make)

    async def user(self, site_id: int, name: str, *roles: str) -> int:
        def make(tx: Tx) -> int:
            made = members.add_user(tx, self.domain_id, UserKind.PRIVATE, name)
            self._set_roles(tx, site_id, made.id, roles)
            return made.id

        return await self.registry.write(make)

    async def set_roles(self, site_id: int, user_id: int, *roles: str) -> None:
        await self.registry.write(lambda tx: self._set_roles(tx, site_id, user_id, roles))

    @staticmethod
    def _set_roles(tx: Tx, site_id: int, user_id: int, roles: tuple[str, ...]) -> None:
        ids = {role.name: role.id for role in members.list_roles(tx, site_id)}
        members.set_roles(tx, site_id, user_id, [ids[name] for name in roles])

    async def client_account(self, site_id: int, user: str = "Owner") -> tuple[str, Secret]:
        def make(tx: Tx) -> tuple[str, Secret]:
            users = {found.name: found for found in members.list_users(tx, self.domain_id)}
            made = clients.add(tx, site_id, users[user].id, self.owner_id)
            return made.uri(self.host), clients.generate_password(tx, made.id)

        return await self.registry.write(make)

    def service(
        self,
        uri: str,
        password: Secret,
        structure: SiteStructure = CAMERA,
        version: str = "1.0",
        queue: EventQueue | None = None,
    ) -> tuple[ServiceEndpoint, Heard]:
        endpoint = ServiceEndpoint(
            uri,
            password,
            structure=structure,
            version=version,
            queue=queue,
            settings=QUICK,
            room=self.room,
            clock=self.clock,
            entropy=self.entropy,
        )
        self.endpoints.append(endpoint)
        return endpoint, Heard(endpoint)

    def client(
        self,
        uri: str,
        password: Secret | None,
        service_type: str = CAMERA.service_type,
        positions: Positions | None = None,
    ) -> tuple[ClientEndpoint, Heard]:
        endpoint = ClientEndpoint(
            uri,
            password,
            service_type=service_type,
            contract_author=CAMERA.contract_author,
            positions=positions,
            settings=QUICK,
            room=self.room,
            clock=self.clock,
            entropy=self.entropy,
        )
        self.endpoints.append(endpoint)
        return endpoint, Heard(endpoint)

    async def online_service(
        self, site_id: int, hostname: str = "Front Door"
    ) -> tuple[ServiceEndpoint, Heard]:
        _, uri, password = await self.service_account(site_id, hostname)
        endpoint, heard = self.service(uri, password)
        endpoint.connect()
        await heard.until(lambda: endpoint.status is ServiceStatus.ONLINE)
        return endpoint, heard

    async def online_client(
        self, site_id: int, user: str = "Owner"
    ) -> tuple[ClientEndpoint, Heard]:
        endpoint, heard = self.client(*await self.client_account(site_id, user))
        endpoint.connect()
        await heard.until(lambda: endpoint.status is ClientStatus.ONLINE)
        return endpoint, heard

    async def online_pair(self) -> tuple[ServiceEndpoint, ClientEndpoint, int]:
        """Return a service, a client that sees it online, and the service's id."""
        site = await self.site()
        service, _ = await self.online_service(site)
        client, heard = await self.online_client(site)
        await heard.until(lambda: any(found.online for found in client.services))
        return service, client, client.services[0].id

    def new_tracker(self) -> TrackerServer:
        return TrackerServer(
            TrackerSettings(bind_addresses=(self.host,)),
            registry=self.registry,
            proxies=ProxyDirectory((ProxyEntry(1, SECRET),)),
            notices=NoticeHub(),
            clock=self.clock,
            entropy=self.entropy,
            room=self.room,
        )


def own_address() -> str:
    """Return a loopback address that no other test uses at the same time."""
    return f"127.16.{random.randrange(1, 255)}.{random.randrange(1, 255)}"


@contextlib.asynccontextmanager
async def softnet(folder: Path, host: str = "", **relay_settings: Any) -> AsyncIterator[Softnet]:
    """Run balancer, tracker and relay on the ports of the protocol."""
    host = host or own_address()
    clock, entropy, hub = SystemClock(), SystemEntropy(), NoticeHub()
    registry = await Registry.open(folder / "registry.sqlite", clock=clock, entropy=entropy)
    async with TaskRoom("test") as room:
        datapath = DataPath(room, clock)
        await datapath.start()
        relay = RendezvousServer(
            RelaySettings(bind_addresses=(host,), **relay_settings),
            secret=SECRET,
            datapath=datapath,
            clock=clock,
            entropy=entropy,
            room=room,
            notices=hub,
        )
        await relay.start()
        owner_id, domain_id = await registry.write(_furnish)
        running = Softnet(
            host,
            room,
            registry,
            None,
            relay,
            datapath,
            owner_id,
            domain_id,  # type: ignore[arg-type]
        )
        running.tracker = running.new_tracker()
        await running.tracker.start()
        try:
            yield running
        finally:
            for endpoint in running.endpoints:
                await endpoint.close()
            await running.tracker.stop()
            await relay.stop()
            await datapath.stop()
            await registry.close()


def _furnish(tx: Tx) -> tuple[int, int]:
    record = passwords.PasswordRecord("x")
    owner = owners.add(tx, "owner", "The Owner", record, Authority.ADMINISTRATOR)
    return owner.id, domains.add(tx, owner.id, "Home").id
