"""The whole room in one object: cameras served, brought in, and shown to the pages."""

from __future__ import annotations

from gateway.base.clock import Clock
from gateway.base.entropy import Entropy
from gateway.base.notices import NoticeHub
from gateway.cameras.facade import Cameras
from gateway.cameras.fleet import CameraFleet
from gateway.cameras.onboarding import Onboarding
from gateway.cameras.settings import CameraSettings
from gateway.cameras.vault import Vault
from gateway.discovery.service import DiscoveryService
from gateway.driverkit.loader import DriverLoader
from gateway.endpoint.settings import EndpointSettings
from gateway.net.datapath import DataPath
from gateway.net.tasks import TaskRoom
from gateway.registry.database import Registry


class CameraBridge:
    """Bridges the cameras of the LAN to Softnet between `start` and `stop`.

    `server_address` is where the services of the cameras find their server. Start it before
    discovery, so that it hears of every camera.
    """

    def __init__(
        self,
        settings: CameraSettings,
        *,
        registry: Registry,
        datapath: DataPath,
        discovery: DiscoveryService | None,
        vault: Vault,
        loader: DriverLoader,
        server_address: str,
        notices: NoticeHub,
        clock: Clock,
        entropy: Entropy,
        room: TaskRoom,
        endpoint_settings: EndpointSettings | None = None,
    ) -> None:
        self.fleet = CameraFleet(
            settings,
            registry=registry,
            datapath=datapath,
            discovery=discovery,
            vault=vault,
            loader=loader,
            server_address=server_address,
            notices=notices,
            clock=clock,
            entropy=entropy,
            room=room,
            endpoint_settings=endpoint_settings,
        )
        self._onboarding = Onboarding(self.fleet, room)
        self.facade = Cameras(self.fleet, self._onboarding)
        """What the pages and the command line may ask for."""

    async def start(self) -> None:
        """Serve the adopted cameras and follow discovery."""
        await self.fleet.start()
        await self._onboarding.start()

    async def stop(self) -> None:
        """End every session and every service."""
        await self._onboarding.stop()
        await self.fleet.stop()
