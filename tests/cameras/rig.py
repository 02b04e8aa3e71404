"""A whole Softnet server, the cameras room beside it, virtual cameras and clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import drivers.rtsp
import drivers.simulated
from gateway.base.notices import Notice, NoticeHub
from gateway.cameras.bridge import CameraBridge
from gateway.cameras.facade import Cameras, CameraView
from gateway.cameras.settings import CameraSettings
from gateway.cameras.vault import Vault
from gateway.discovery.service import DiscoveryService
from gateway.driverkit.loader import DriverLoader
from gateway.endpoint.client import ClientEndpoint
from gateway.registry import audit
from tests.endpoint.softnet import QUICK, Softnet, softnet

LOADER = DriverLoader([drivers.rtsp.MANIFEST, drivers.simulated.MANIFEST])
SETTINGS = CameraSettings(
    allow_loopback=True, health_seconds=0.3, health_answer_seconds=1.0, retry_max_seconds=1.0
)


@dataclass
class Rig:
    """The bridge on a server; `until` waits for what the facade shows."""

    net: Softnet
    vault: Vault
    site_id: int
    settings: CameraSettings
    discovery: DiscoveryService | None = None
    notices: NoticeHub = field(default_factory=NoticeHub)
    told: list[Notice] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.notices.subscribe(Notice, self.told.append)
        self.bridge = self.new_bridge()

    @property
    def cameras(self) -> Cameras:
        return self.bridge.facade

    def new_bridge(self) -> CameraBridge:
        return CameraBridge(
            self.settings,
            registry=self.net.registry,
            datapath=self.net.datapath,
            discovery=self.discovery,
            vault=self.vault,
            loader=LOADER,
            server_address=self.net.host,
            notices=self.notices,
            clock=self.net.clock,
            entropy=self.net.entropy,
            room=self.net.room,
            endpoint_settings=QUICK,
        )

    async def until(self, true: Callable[[], object], seconds: float = 10.0) -> None:
        more = asyncio.Event()
        unsubscribe = self.cameras.subscribe(more.set)
        try:
            async with asyncio.timeout(seconds):
                while not true():
                    more.clear()
                    await more.wait()
        finally:
            unsubscribe()

    def view(self) -> CameraView:
        return self.cameras.adopted()[0]

    async def adopt(self, camera: dict[str, Any], credentials, name: str = "Front Door") -> int:
        url = f"rtsp://{camera['address']}:{camera['rtsp_port']}{camera.get('path', '/main')}"
        device_id = await self.cameras.adopt(
            self.net.owner_id, self.site_id, url, credentials, name
        )
        await self.until(lambda: self.view().state == "online", 15)
        await self.until(lambda: self.view().service_status == "online")
        return device_id

    async def client(self, user: str = "Owner") -> tuple[ClientEndpoint, int]:
        """Return a client of the site that sees the camera, and the camera's service id."""
        endpoint, heard = await self.net.online_client(self.site_id, user)
        await heard.until(lambda: any(each.online for each in endpoint.services))
        return endpoint, endpoint.services[0].id

    async def audit(self) -> list[tuple[str, str, str]]:
        await self.bridge.fleet.book.written()
        rows = await self.net.registry.read(lambda reader: audit.list_all(reader, limit=50))
        return [(row.action, row.outcome, row.detail) for row in reversed(rows)]


@asynccontextmanager
async def rig(
    folder: Path, settings: CameraSettings = SETTINGS, **relay_settings: Any
) -> AsyncIterator[Rig]:
    async with softnet(folder, **relay_settings) as net:
        vault = await Vault.open(folder / "vault", entropy=net.entropy)
        made = Rig(net, vault, await net.site(), settings)
        await made.bridge.start()
        try:
            yield made
        finally:
            await made.bridge.stop()
