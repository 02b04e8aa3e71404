"""What the pages and the command line may ask of the cameras, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.cameras.fleet import CameraFleet
from gateway.cameras.onboarding import Onboarding, ProbedCamera
from gateway.cameras.served import ServedCamera
from gateway.driverkit.digest import CameraCredentials
from gateway.driverkit.driver import Picture
from gateway.model.devices import Device

__all__ = ["CameraView", "Cameras", "FoundCamera", "OpenSession", "ProbedCamera"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCamera:
    """A device on the network that could be adopted, or is.

    Without an `identity` it is shown and can only be added by its address. `conflict`: two devices
    claim this identity.
    """

    identity: str
    driver: str
    title: str
    name: str
    maker: str
    model: str
    address: str
    port: int
    present: bool
    conflict: bool
    needs_credentials: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraView:
    """An adopted camera as it stands now; `since` in Unix seconds, `reason` a sentence or ""."""

    device: Device
    state: str
    reason: str
    since: float
    viewers: int
    service_status: str
    service_trouble: str
    streams: tuple[str, ...] = ()

    @property
    def device_id(self) -> int:
        """The device's number in the registry."""
        return self.device.id

    @property
    def site_id(self) -> int:
        """The site that the camera is a service of."""
        return self.device.site_id or 0

    @property
    def service_id(self) -> int:
        """The service that stands for it."""
        return self.device.service_id or 0

    @property
    def name(self) -> str:
        """What the owner calls it."""
        return self.device.name

    @property
    def maker(self) -> str:
        """Its maker, or ""."""
        return self.device.seen.maker

    @property
    def model(self) -> str:
        """Its model, or ""."""
        return self.device.seen.model

    @property
    def firmware(self) -> str:
        """Its firmware's version, or ""."""
        return self.device.seen.firmware

    @property
    def address(self) -> str:
        """Where it is at present."""
        return self.device.seen.address


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSession:
    """One open connection of a client to a camera; `since` in Unix seconds."""

    id: str
    device_id: int
    camera: str
    user: str
    client_id: int
    port: int
    mode: str
    since: float
    octets: int


class Cameras:
    """The cameras of this gateway: found, adopted, watched."""

    def __init__(self, fleet: CameraFleet, onboarding: Onboarding) -> None:
        self._fleet = fleet
        self._onboarding = onboarding

    def found(self) -> tuple[FoundCamera, ...]:
        """Return the devices that discovery knows and that are not adopted."""
        discovery = self._fleet.discovery
        if discovery is None:
            return ()
        adopted = {each.camera.device.identity for each in self._fleet.served}
        manifests = {each.name: each for each in self._fleet.tools.loader.manifests}
        found = []
        for record in discovery.sightings:
            if record.identity in adopted:
                continue
            manifest = manifests.get(record.driver)
            found.append(
                FoundCamera(
                    identity=record.identity,
                    driver=record.driver,
                    title=manifest.title if manifest else record.driver,
                    name=record.name,
                    maker=record.maker,
                    model=record.model,
                    address=record.address,
                    port=record.port,
                    present=record.present,
                    conflict=record.conflict,
                    needs_credentials=manifest.needs_credentials if manifest else True,
                )
            )
        return tuple(found)

    async def probe(
        self, where: str, credentials: CameraCredentials | None, *, driver: str | None = None
    ) -> ProbedCamera:
        """Ask a camera, by identity or rtsp:// address, who it is. See `Onboarding.probe`."""
        return await self._onboarding.probe(where, credentials, driver)

    async def adopt(
        self,
        owner_id: int,  # noqa: ARG002  (the site has one owner; the pages have checked)
        site_id: int,
        where: str,
        credentials: CameraCredentials | None,
        name: str = "",
        driver: str | None = None,
    ) -> int:
        """Make a camera a service of a site; return its id. See `Onboarding.adopt`."""
        return await self._onboarding.adopt(site_id, where, credentials, name, driver)

    def adopted(self) -> tuple[CameraView, ...]:
        """Return the adopted cameras by name."""
        views = [self._view(each) for each in self._fleet.served]
        return tuple(sorted(views, key=lambda view: (view.name.lower(), view.device_id)))

    def camera(self, device_id: int) -> CameraView:
        """Return one adopted camera. Raises NotFound."""
        return self._view(self._fleet.find(device_id))

    def _view(self, served: ServedCamera) -> CameraView:
        camera, endpoint = served.camera, served.endpoint
        return CameraView(
            device=camera.device,
            state=str(camera.state),
            reason=camera.reason,
            since=camera.since,
            viewers=self._fleet.book.viewers(served.device_id),
            service_status=endpoint.status.name.replace("_", " ").lower(),
            service_trouble=endpoint.connectivity.message,
            streams=tuple(each.name for each in camera.info.streams) if camera.info else (),
        )

    async def snapshot(self, device_id: int) -> Picture:
        """Return the present picture of an adopted camera. Raises GatewayError."""
        return await self._fleet.find(device_id).camera.snapshot()

    async def rename(self, device_id: int, name: str) -> None:
        """Give a camera another name. Raises NotFound, InvalidInput."""
        await self._onboarding.rename(device_id, name)

    async def forget(self, device_id: int) -> None:
        """Take a camera off its site, with its service and its login. Raises NotFound."""
        await self._onboarding.forget(device_id)

    async def set_credentials(self, device_id: int, credentials: CameraCredentials | None) -> None:
        """Use another login for a camera. Raises CredentialsRefused, Denied, NotFound."""
        await self._onboarding.set_credentials(device_id, credentials)

    async def retry(self, device_id: int) -> None:
        """Ask a camera again that had refused the login. Raises NotFound."""
        await self._onboarding.retry(device_id)

    def sessions(self) -> tuple[OpenSession, ...]:
        """Return who is connected now, oldest first."""
        return tuple(
            OpenSession(
                id=str(each.id),
                device_id=each.device_id,
                camera=each.camera,
                user=each.actor.name or each.actor.kind.name.lower(),
                client_id=each.client_id,
                port=each.port,
                mode=each.mode,
                since=each.began_at,
                octets=each.octets_down + each.octets_up,
            )
            for each in self._fleet.book.sessions
        )

    async def end_session(self, session_id: str) -> None:
        """End one connection now. Raises NotFound."""
        number = int(session_id) if session_id.isascii() and session_id.isdigit() else 0
        self._fleet.book.end(number)

    def subscribe(self, receive: Callable[[], None]) -> Callable[[], None]:
        """Call `receive` whenever something of the above may have changed; return what ends it."""
        endings = [self._fleet.subscribe(receive)]
        if self._fleet.discovery is not None:
            endings.append(self._fleet.discovery.subscribe(lambda _: receive()))

        def unsubscribe() -> None:
            for end in endings:
                end()

        return unsubscribe
