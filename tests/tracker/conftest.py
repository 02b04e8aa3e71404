"""A whole server for tests: a real registry file, real sockets on loopback, one owner's domain."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.base.clock import SystemClock
from gateway.base.entropy import SystemEntropy
from gateway.base.notices import Notice, NoticeHub
from gateway.base.secret import Secret
from gateway.model.kinds import Authority, ClientCategory, EndpointType, SiteKind, UserKind
from gateway.net.tasks import TaskRoom
from gateway.registry import clients, domains, members, owners, passwords, services, sites
from gateway.registry.database import Reader, Registry, Tx
from gateway.site.proxies import ProxyDirectory, ProxyEntry
from gateway.tracker.server import TrackerServer
from gateway.tracker.settings import TrackerSettings
from tests.support.raw_peer import RawPeer

PROXY = ProxyEntry(1, Secret("f29f16b1-e52c-439c-9b82-7520b3bed9f5"))


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    id: int
    uid: bytes
    password: str


@dataclass(frozen=True, slots=True)
class ClientAccount:
    id: int
    key: str
    password: str
    category: ClientCategory


@dataclass
class Server:
    """A running server with an empty domain."""

    registry: Registry
    tracker: TrackerServer
    notices: list[Notice]
    owner_id: int
    domain_id: int

    @property
    def address(self) -> tuple[str, int]:
        return self.tracker.tracker_addresses[0]

    async def site(self, kind: SiteKind = SiteKind.MULTI_SERVICE) -> int:
        found = await self.registry.write(lambda tx: sites.add(tx, self.domain_id, kind=kind))
        return found.id

    async def service(self, site_id: int, hostname: str = "Front Door") -> ServiceAccount:
        def make(tx: Tx) -> ServiceAccount:
            if sites.get(tx, site_id).kind is SiteKind.SINGLE_SERVICE:
                made = services.list_for(tx, site_id)[0]
            else:
                made = services.add(tx, site_id, hostname)
            password = services.generate_password(tx, made.id).reveal()
            return ServiceAccount(made.id, made.uid, password)

        return await self.registry.write(make)

    async def client(self, site_id: int, user: str = "Owner") -> ClientAccount:
        def make(tx: Tx) -> ClientAccount:
            users = {found.name: found for found in members.list_users(tx, self.domain_id)}
            made = clients.add(tx, site_id, users[user].id, self.owner_id)
            password = clients.generate_password(tx, made.id).reveal()
            single = sites.get(tx, site_id).kind is SiteKind.SINGLE_SERVICE
            category = ClientCategory.SINGLE_SERVICE if single else ClientCategory.MULTI_SERVICE
            return ClientAccount(made.id, made.key, password, category)

        return await self.registry.write(make)

    async def user(self, name: str, kind: UserKind = UserKind.PRIVATE) -> int:
        made = await self.registry.write(
            lambda tx: members.add_user(tx, self.domain_id, kind, name)
        )
        return made.id

    async def until_stored(self, look: Callable[[Reader], bool]) -> None:
        """Wait until the registry says so; it is asked after every transaction."""
        changed = asyncio.Event()
        unsubscribe = self.registry.subscribe(lambda _changes: changed.set())
        try:
            while not await self.registry.read(look):
                await changed.wait()
                changed.clear()
        finally:
            unsubscribe()

    async def connect_service(self, account: ServiceAccount, *, restore: bytes = b"") -> RawPeer:
        peer = await RawPeer.connect(self.address, EndpointType.SERVICE)
        await peer.login_service(account.uid, account.password, restore=restore)
        return peer

    async def connect_client(self, account: ClientAccount, *, restore: bytes = b"") -> RawPeer:
        peer = await RawPeer.connect(self.address, EndpointType.CLIENT)
        await peer.login_client(account.category, account.key, account.password, restore=restore)
        return peer


OpenServer = Callable[..., AbstractAsyncContextManager[Server]]


@pytest.fixture
def open_server(tmp_path: Path) -> OpenServer:
    @asynccontextmanager
    async def opened(**settings: Any) -> AsyncIterator[Server]:
        host = f"127.15.{random.randint(0, 255)}.{random.randint(1, 254)}"
        clock = settings.pop("clock", None) or SystemClock()
        entropy, hub = SystemEntropy(), NoticeHub()
        notices: list[Notice] = []
        hub.subscribe(Notice, notices.append)
        registry = await Registry.open(tmp_path / "registry.sqlite", clock=clock, entropy=entropy)
        chosen = {"bind_addresses": (host,), "balancer_port": 0, "tracker_port": 0, **settings}
        async with TaskRoom("test") as room:
            tracker = TrackerServer(
                TrackerSettings(**chosen),
                registry=registry,
                proxies=ProxyDirectory((PROXY,)),
                notices=hub,
                clock=clock,
                entropy=entropy,
                room=room,
            )
            record = passwords.PasswordRecord("x")
            owner_id, domain_id = await registry.write(lambda tx: _furnish(tx, record))
            await tracker.start()
            server = Server(registry, tracker, notices, owner_id, domain_id)
            try:
                yield server
            finally:
                await server.tracker.stop()  # a test may have put another in its place
                await registry.close()

    return opened


def _furnish(tx: Tx, record: passwords.PasswordRecord) -> tuple[int, int]:
    owner = owners.add(tx, "owner", "The Owner", record, Authority.ADMINISTRATOR)
    return owner.id, domains.add(tx, owner.id, "Home").id
