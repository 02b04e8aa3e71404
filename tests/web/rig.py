"""A page server on real sockets over a real registry, with cameras that live in memory.

The cameras' door is the one part that is not real here: the real one needs discovery, a tracker
and cameras. The end-to-end tests use that.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.base.clock import Clock, SystemClock
from gateway.base.entropy import SystemEntropy
from gateway.base.errors import NotFound
from gateway.base.notices import NoticeHub
from gateway.base.secret import Secret
from gateway.driverkit.digest import CameraCredentials
from gateway.driverkit.driver import DeviceInfo, Picture, StreamInfo
from gateway.driverkit.errors import CredentialsRefused
from gateway.model.devices import Sighting
from gateway.model.kinds import Authority, GuestSupport, SiteKind, UserKind
from gateway.model.structure import SiteStructure
from gateway.registry import (
    clients,
    contacts,
    devices,
    domains,
    members,
    owners,
    services,
    sites,
    structure,
)
from gateway.registry.database import Registry, Tx
from gateway.registry.passwords import PasswordRecord, hash_password
from gateway.web.doors import LiveEndpoint, LiveSite
from gateway.web.server import TOKEN_FILE, WebServer
from gateway.web.settings import WebSettings
from gateway.wire.structure import structure_hash
from tests.web.callers import PASSWORD, Browser, close_callers

ADDRESS = "127.18.0.1"
CAMERA_PASSWORD = "c4m-s3cret!"
JPEG = bytes.fromhex(
    "ffd8ffe000104a46494600010100000100010000ffdb004300080606070605080707070909080a0c140d0c0b0b"
    "0c1912130f141d1a1f1e1d1a1c1c20242e2720222c231c1c2837292c30313434341f27393d38323c2e333432ff"
    "c0000b080001000101011100ffc4001f0000010501010101010100000000000000000102030405060708090a0b"
    "ffc400b5100002010303020403050504040000017d01020300041105122131410613516107227114328191a108"
    "2342b1c11552d1f02433627282090a161718191a25262728292a3435363738393a434445464748494a53545556"
    "5758595a636465666768696a737475767778797a838485868788898a92939495969798999aa2a3a4a5a6a7a8a9"
    "aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7"
    "f8f9faffda0008010100003f00fbfa28a2800fffd9"
)
"""A grey pixel."""

CONTRACT = SiteStructure(
    "IP Camera",
    "Softnet Camera Gateway",
    GuestSupport.STATELESS,
    ("Administrator", "Operator", "User"),
    "Administrator",
)


@dataclass(frozen=True)
class Found:
    identity: str
    name: str = ""
    maker: str = ""
    model: str = ""
    address: str = "192.0.2.20"
    driver: str = "simulated"
    present: bool = True
    conflict: bool = False


@dataclass(frozen=True)
class Probed:
    info: DeviceInfo
    picture: Picture | None


@dataclass(frozen=True)
class Adopted:
    device_id: int
    site_id: int
    service_id: int
    name: str
    maker: str = "Acme"
    model: str = "Dome 4"
    firmware: str = "1.2.3"
    address: str = "192.0.2.20"
    state: str = "online"
    reason: str = ""
    viewers: int = 0
    service_status: str = "online"
    service_trouble: str = ""
    since: float = 1.0


@dataclass(frozen=True)
class Watching:
    id: str
    device_id: int
    camera: str
    user: str = "Alison"
    client_id: int = 1
    port: int = 554
    mode: str = "relayed"
    since: float = 1.0
    octets: int = 12_345_678


@dataclass
class MemoryCameras:
    """The door to the cameras, in memory, over the real registry."""

    registry: Registry
    here: list[Any] = field(default_factory=list)
    cameras: dict[int, Adopted] = field(default_factory=dict)
    watched: dict[str, Watching] = field(default_factory=dict)
    credentials: dict[int, CameraCredentials | None] = field(default_factory=dict)
    picture: bytes = JPEG
    followers: list[Callable[[], None]] = field(default_factory=list)

    def changed(self) -> None:
        for follower in tuple(self.followers):
            follower()

    def found(self) -> tuple[Any, ...]:
        return tuple(self.here)

    async def probe(self, where, credentials, *, driver=None) -> Probed:
        if credentials is None or credentials.password.reveal() != CAMERA_PASSWORD:
            raise CredentialsRefused("The camera refused the user name or the password.")
        seen = next((one for one in self.here if one.identity == where), None)
        info = DeviceInfo(
            identity=where, name=seen.name if seen else "", maker="Acme", model="Dome 4",
            firmware="1.2.3", snapshot=True,
            streams=(StreamInfo(name="main", port=554, path="/", codec="H264", width=1920,
                                height=1080, fps=25.0),),
        )  # fmt: skip
        return Probed(info, Picture(self.picture, "image/jpeg", 1.0))

    async def adopt(self, owner_id, site_id, where, credentials, name) -> int:
        def within(tx: Tx) -> Adopted:
            service = services.add(tx, site_id, name)
            device = devices.upsert_sighting(tx, Sighting(where, "simulated", name=name))
            devices.adopt(tx, device.id, service.id)
            return Adopted(device.id, site_id, service.id, service.hostname)

        camera = await self.registry.write(within)
        self.cameras[camera.device_id] = camera
        self.credentials[camera.device_id] = credentials
        self.here = [one for one in self.here if one.identity != where]
        self.changed()
        return camera.device_id

    def adopted(self) -> tuple[Adopted, ...]:
        return tuple(self.cameras.values())

    async def snapshot(self, device_id: int) -> Picture:
        if device_id not in self.cameras:
            raise NotFound("This camera does not exist any more.")
        return Picture(self.picture, "image/jpeg", 1.0)

    async def rename(self, device_id: int, name: str) -> None:
        await self.registry.write(lambda tx: devices.rename(tx, device_id, name))
        old = self.cameras[device_id]
        self.cameras[device_id] = Adopted(device_id, old.site_id, old.service_id, name)

    async def set_credentials(self, device_id, credentials) -> None:
        self.credentials[device_id] = credentials

    async def forget(self, device_id: int) -> None:
        camera = self.cameras.pop(device_id)

        def within(tx: Tx) -> None:
            devices.forget(tx, device_id)
            services.delete(tx, camera.service_id)

        await self.registry.write(within)
        self.changed()

    def sessions(self) -> tuple[Watching, ...]:
        return tuple(self.watched.values())

    async def end_session(self, session_id: str) -> None:
        del self.watched[session_id]
        self.changed()

    def subscribe(self, changed: Callable[[], None]) -> Callable[[], None]:
        self.followers.append(changed)
        return lambda: self.followers.remove(changed)


@dataclass
class MemoryLive:
    """The tracker's view, as the test sets it."""

    sites: dict[int, LiveSite] = field(default_factory=dict)
    followers: list[Callable[[int], None]] = field(default_factory=list)

    def live(self, site_id: int) -> LiveSite:
        return self.sites.get(site_id, LiveSite())

    def subscribe(self, changed: Callable[[int], None]) -> Callable[[], None]:
        self.followers.append(changed)
        return lambda: self.followers.remove(changed)

    def client_online(self, site_id: int, client_id: int) -> None:
        self.sites[site_id] = LiveSite({}, {client_id: LiveEndpoint(True, "online")})
        for follower in tuple(self.followers):
            follower(site_id)


@dataclass
class Rig:
    """The server with what a test needs to look behind it."""

    server: WebServer
    registry: Registry
    cameras: MemoryCameras
    live: MemoryLive
    state: Path
    port: int
    url: str

    @property
    def token(self) -> str:
        """The box's own token."""
        return (self.state / TOKEN_FILE).read_text().strip()

    @property
    def code(self) -> str:
        """The setup code of an unclaimed box."""
        assert self.server.setup_code is not None
        return self.server.setup_code.reveal()

    def browser(self) -> Browser:
        """Return somebody with a browser."""
        return Browser(self.url)


@contextlib.asynccontextmanager
async def open_rig(
    state: Path, *, address: str = ADDRESS, settings: WebSettings | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Rig]:  # fmt: skip
    """Run the page server on an own loopback address."""
    clock, entropy = clock or SystemClock(), SystemEntropy()
    registry = await Registry.open(state / "registry.sqlite", clock=clock, entropy=entropy)
    cameras, live = MemoryCameras(registry), MemoryLive()
    server = WebServer(
        settings or WebSettings(bind_addresses=(address,), port=0),
        registry=registry, cameras=cameras, live=live, notices=NoticeHub(), clock=clock,
        entropy=entropy, state=state, server_address="gateway.example",
    )  # fmt: skip
    try:
        bound = await server.start()
        port = bound[0][1]
        yield Rig(server, registry, cameras, live, state, port, f"http://{address}:{port}")
    finally:
        await close_callers()
        await server.stop()
        await registry.close()


@functools.cache
def _password_record() -> PasswordRecord:
    """Return what is stored of the password of all, made once: it is slow on purpose."""
    return hash_password(Secret(PASSWORD))


async def add_owner(registry: Registry, account: str, authority: Authority) -> int:
    """Create an account with the password of all."""
    record = _password_record()
    owner = await registry.write(
        lambda tx: owners.add(tx, account, f"Owner {account}", record, authority)
    )
    return owner.id


def build_site(tx: Tx, owner_id: int, name: str = "House") -> tuple[int, int, int]:
    """Create a domain with a built multi-service site and a private user with a role.

    Returns the ids of domain, site and user.
    """
    domain = domains.add(tx, owner_id, name)
    site = sites.add(tx, domain.id, "Surveillance System", SiteKind.MULTI_SERVICE)
    build_structure(tx, site.id)
    user = members.add_user(tx, domain.id, UserKind.PRIVATE, "Alison")
    role = next(role for role in members.list_roles(tx, site.id) if role.name == "User")
    members.set_roles(tx, site.id, user.id, [role.id])
    return domain.id, site.id, user.id


def build_structure(tx: Tx, site_id: int) -> int:
    """Build a site as its first camera would; return the id of that service."""
    service = services.add(tx, site_id, "Entrance")
    structure.store_for_service(tx, service.id, CONTRACT, "1.2.3", structure_hash(CONTRACT))
    structure.build(tx, site_id, service.id)
    return service.id


def share(tx: Tx, owner_id: int, partner_id: int, user_name: str = "Robinson") -> dict[str, int]:
    """Make two accounts contacts and share a site of the first with the second.

    Returns the ids of domain, site, user and client, by the words of the paths.
    """
    contacts.invite(tx, partner_id, owner_id)
    contact = contacts.accept(tx, owner_id, partner_id)
    domain_id, site_id, _ = build_site(tx, owner_id, "Office Automation")
    user = members.add_user(tx, domain_id, UserKind.CONTACT, user_name, contact_id=contact.id)
    role = next(role for role in members.list_roles(tx, site_id) if role.name == "User")
    sites.set_default_role(tx, site_id, role.id)
    client = clients.add(tx, site_id, user.id, partner_id)
    return {"domain": domain_id, "site": site_id, "user": user.id, "client": client.id}
