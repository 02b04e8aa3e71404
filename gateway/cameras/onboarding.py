"""From a sighting to a service: probing, adopting, names, logins, forgetting.

Credentials go to the vault and never to the registry. The vault is written first and the registry
in one transaction after it, so that what the registry knows can always be served.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from gateway.base.errors import Conflict, Denied, GatewayError, HostError, InvalidInput, NotFound
from gateway.base.secret import Secret
from gateway.cameras.contract import service_hostname
from gateway.cameras.fleet import CameraFleet, record_name
from gateway.cameras.live import target_of
from gateway.discovery.sightings import (
    DeviceMoved,
    DeviceRecord,
    DeviceSeen,
    DiscoveryEvent,
)
from gateway.driverkit.digest import CameraCredentials
from gateway.driverkit.driver import DeviceInfo, Picture, RtspAddress
from gateway.driverkit.errors import CredentialsRefused
from gateway.model.devices import DeviceState, Sighting
from gateway.net import sockets
from gateway.net.tasks import TaskRoom
from gateway.registry import credentials as passwords
from gateway.registry import devices, services
from gateway.registry.database import Tx

URL_DRIVER = "rtsp"
REFUSALS_KEPT = 64
"""Refused logins that are remembered, so that nobody's second click locks a camera's account."""
PROBE_SECONDS = 30.0
SIGHTINGS_PENDING = 4096

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProbedCamera:
    """What a camera said of itself to a login; without a picture `trouble` says why."""

    sighting: Sighting
    info: DeviceInfo
    picture: Picture | None
    trouble: str = ""


class Onboarding:
    """Everything that turns devices into cameras of a site and back."""

    def __init__(self, fleet: CameraFleet, room: TaskRoom) -> None:
        self._fleet = fleet
        self._room = room.child("onboarding")
        self._registry = fleet.registry
        self._vault = fleet.vault
        self._tools = fleet.tools
        self._sighted: dict[str, DeviceRecord] = {}
        self._woken = asyncio.Event()
        self._unsubscribe: Callable[[], None] | None = None
        self._refused: dict[str, CameraCredentials] = {}

    async def start(self) -> None:
        """Write down what discovery sees."""
        discovery = self._fleet.discovery
        if discovery is None:
            return
        self._unsubscribe = discovery.subscribe(self._seen)
        for record in discovery.sightings:
            self._note(record)
        self._room.start(self._write_sightings(), name="sightings")

    async def stop(self) -> None:
        """Stop listening to discovery."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        await self._room.close()

    def _seen(self, event: DiscoveryEvent) -> None:
        if isinstance(event, DeviceSeen | DeviceMoved):
            self._note(event.record)

    def _note(self, record: DeviceRecord) -> None:
        # Two devices with one identity: whichever is written, the other's address would be wrong.
        if not record.identity or not record.address or record.conflict:
            return
        if len(self._sighted) < SIGHTINGS_PENDING or record.identity in self._sighted:
            self._sighted[record.identity] = record
            self._woken.set()

    async def _write_sightings(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            while self._sighted:
                identity = next(iter(self._sighted))
                await self._write_down(sighting_of(self._sighted.pop(identity)))

    async def _write_down(self, sighting: Sighting) -> None:
        try:
            await self._registry.write(lambda tx: devices.upsert_sighting(tx, sighting))
        except GatewayError as error:
            _log.warning("%s is not kept: %s", sighting.identity, error)

    # -- asking a camera

    async def probe(
        self, camera: str, credentials: CameraCredentials | None, driver: str | None = None
    ) -> ProbedCamera:
        """Ask a camera, given by its identity or an rtsp:// address, who it is, and for a picture.

        Raises NotFound, InvalidInput, Denied (another device), and the device errors.
        """
        sighting = await self._locate(camera, driver)
        return await self._ask(sighting, credentials)

    async def _locate(self, camera: str, driver: str | None) -> Sighting:
        if "://" in camera:
            return await self._by_url(camera, driver or URL_DRIVER)
        discovery = self._fleet.discovery
        record = discovery.by_identity(camera) if discovery is not None else None
        if record is not None and record.conflict:
            raise Conflict(
                "Two devices on the network claim to be this camera. Switch one of them off."
            )
        if record is not None and record.address:
            found = sighting_of(record)
        else:
            known = await self._registry.read(lambda reader: devices.by_identity(reader, camera))
            if known is None:
                raise NotFound("This camera was not seen on the network. Is it switched on?")
            found = known.seen
        return replace(found, driver=driver) if driver else found

    async def _by_url(self, url: str, driver: str) -> Sighting:
        if not self._tools.loader.manifest(driver).by_url:
            raise InvalidInput(f"Cameras of the driver {driver} are not added by address.", "url")
        address = RtspAddress.parse(url)
        found = await sockets.resolve(address.host, address.port)
        # The name is looked up once; what it says later cannot lead the gateway elsewhere.
        places = [
            str(place[0]) for _, place in found if self._tools.policy().permits(str(place[0]))
        ]
        if not places:
            raise Denied("No camera can be at this address; see the settings of discovery.")
        return Sighting(
            identity="",
            driver=driver,
            address=places[0],
            port=address.port,
            path=address.path,
            properties={"path": address.path} if len(address.path) <= 200 else {},
        )

    async def _ask(self, sighting: Sighting, credentials: CameraCredentials | None) -> ProbedCamera:
        key = sighting.identity or f"{sighting.address}:{sighting.port}{sighting.path}"
        if credentials is not None and self._refused.get(key) == credentials:
            raise CredentialsRefused(
                "The camera has refused this user name and password before. Another try could "
                "lock its account; type another one."
            )
        target = target_of(sighting, credentials)
        if not sighting.identity:
            url = RtspAddress(sighting.address, sighting.port, sighting.path).url
            target = replace(target, url=url)
        driver = self._tools.open_driver(sighting.driver, target)
        picture, trouble = None, ""
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                info = await driver.probe()
                if not info.identity:
                    raise InvalidInput("The camera does not say who it is; it cannot be adopted.")
                if sighting.identity and info.identity != sighting.identity:
                    raise Denied(
                        "Another device answers at this address than the one that was found. "
                        "Nothing was sent to it but this login; look for the camera again."
                    )
                try:
                    picture = await driver.snapshot()
                except GatewayError as error:
                    trouble = str(error)
        except CredentialsRefused:
            if credentials is not None:
                self._refused[key] = credentials
                while len(self._refused) > REFUSALS_KEPT:
                    del self._refused[next(iter(self._refused))]
            raise
        except TimeoutError:
            raise HostError("The camera took too long to answer. Try again.") from None
        finally:
            await driver.close()
        return ProbedCamera(_learnt(sighting, info), info, picture, trouble)

    # -- deciding

    async def adopt(
        self,
        site_id: int,
        camera: str,
        credentials: CameraCredentials | None,
        name: str = "",
        driver: str | None = None,
    ) -> int:
        """Make a camera a service of a site; return the device's id.

        The camera is asked once more, with the login that will be kept. Raises what `probe` does,
        Conflict when it is adopted already, QuotaExceeded, NotFound for the site.
        """
        probed = await self.probe(camera, credentials, driver)
        seen = probed.sighting
        hostname = service_hostname(name or seen.name, seen.model or "Camera")
        password = passwords.draw_password(
            self._tools.entropy, self._registry.settings.service_password_length
        )
        known = await self._registry.read(lambda tx: devices.by_identity(tx, seen.identity))
        if known is not None and known.state is DeviceState.ADOPTED:
            raise Conflict(f"{known.name} is adopted already.")
        record = record_name(seen.identity)
        await self._vault.put(record, _fields(credentials, password))

        def write(tx: Tx) -> int:
            device = devices.upsert_sighting(tx, replace(seen, name=hostname))
            if device.state is DeviceState.ADOPTED:
                raise Conflict(f"{device.name} is adopted already.")
            service = services.add(tx, site_id, hostname)
            services.store_password(tx, service.id, password)
            devices.adopt(tx, device.id, service.id)
            return device.id

        try:
            device_id = await self._registry.write(write)
        except GatewayError:
            await self._vault.delete(record)
            raise
        await self._fleet.settle()
        return device_id

    async def rename(self, device_id: int, name: str) -> None:
        """Give a camera another name. Raises NotFound, InvalidInput."""
        await self._registry.write(lambda tx: devices.rename(tx, device_id, name))
        await self._fleet.settle()

    async def forget(self, device_id: int) -> None:
        """Take a camera off its site, with its service and its login. Raises NotFound."""

        def write(tx: Tx) -> str:
            device = devices.get(tx, device_id)
            if device.service_id is not None:
                try:
                    services.delete(tx, device.service_id)
                except Conflict:
                    pass  # the one service of a single-service site stays with the site
            devices.forget(tx, device_id)
            return device.identity

        identity = await self._registry.write(write)
        await self._fleet.settle()
        await self._vault.delete(record_name(identity))

    async def set_credentials(self, device_id: int, credentials: CameraCredentials | None) -> None:
        """Use another login for a camera from now on, after it has taken it.

        A camera that does not answer at all is believed later. Raises CredentialsRefused, Denied,
        NotFound; the old login stays then.
        """
        device = await self._registry.read(lambda reader: devices.get(reader, device_id))
        try:
            await self._ask(device.seen, credentials)
        except HostError:
            pass
        name = record_name(device.identity)
        service = (self._vault.get(name) or {}).get("service", Secret(""))
        await self._vault.put(name, _fields(credentials, service))
        unchanged = self._fleet.find(device_id).camera.credentials == credentials
        await self._fleet.settle()
        if unchanged:  # nothing for the fleet to see, but a person wants another try
            await self.retry(device_id)

    async def retry(self, device_id: int) -> None:
        """Ask a camera anew that had refused the login, because a person says so."""
        served = self._fleet.find(device_id)
        await served.camera.ask_anew()
        served.health.hint()


def sighting_of(record: DeviceRecord) -> Sighting:
    """Return what the registry keeps of a discovered device."""
    return Sighting(
        identity=record.identity,
        driver=record.driver,
        name=record.name,
        maker=record.maker,
        model=record.model,
        address=record.address,
        port=record.port,
        path=record.properties.get("path", ""),
        properties=dict(record.properties),
    )


def _learnt(seen: Sighting, info: DeviceInfo) -> Sighting:
    return replace(
        seen,
        identity=seen.identity or info.identity,
        name=info.name or seen.name,
        maker=info.maker or seen.maker,
        model=info.model or seen.model,
        firmware=info.firmware,
        serial=info.serial,
        mac=info.mac,
    )


def _fields(credentials: CameraCredentials | None, service: Secret) -> dict[str, Secret]:
    fields = {"service": service}
    if credentials is not None:
        fields |= {"user": Secret(credentials.user), "password": credentials.password}
    return fields
