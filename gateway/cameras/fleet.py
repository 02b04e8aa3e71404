"""One service endpoint for each adopted camera, following the registry, the vault and discovery.

The registry decides which cameras are served: whatever it announces is compared with what runs, by
one worker, so that no order of changes can lead astray. The service's password is the bridge's own
affair: should the vault's not fit the registry's, a new one is drawn.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.base.clock import Clock
from gateway.base.entropy import Entropy
from gateway.base.errors import GatewayError, HostError, NotFound
from gateway.base.notices import Notice, NoticeHub, Severity
from gateway.base.secret import Secret
from gateway.base.setting import check
from gateway.cameras.live import CameraState, CameraTools, LiveCamera, credentials_of
from gateway.cameras.served import ServedCamera
from gateway.cameras.sessions import NOT_SERVED, SessionBook
from gateway.cameras.settings import CameraSettings
from gateway.cameras.vault import Vault
from gateway.discovery.service import DiscoveryService
from gateway.discovery.sightings import DeviceMoved, DeviceSeen, DiscoveryEvent
from gateway.driverkit.addresses import AddressPolicy
from gateway.driverkit.loader import DriverLoader
from gateway.endpoint.settings import EndpointSettings
from gateway.model.devices import Device, DeviceState
from gateway.model.sites import Service
from gateway.net.datapath import DataPath
from gateway.net.tasks import TaskRoom
from gateway.registry import credentials as passwords
from gateway.registry import devices, services
from gateway.registry.changes import (
    Change,
    DeviceChanged,
    DeviceDeleted,
    ServiceCredentialsChanged,
    ServiceDeleted,
    SiteChange,
)
from gateway.registry.database import Reader, Registry, Tx

COUNT_SECONDS = 2.0
"""How old the octet counts of open sessions may be."""
RETRY_SECONDS = 5.0
"""After a failed comparison, a full disk say, the next one."""
SETTLE_SECONDS = 10.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraStateChanged(Notice):
    """A camera went online or offline, or does not take our login."""

    device_id: int
    camera: str
    state: CameraState
    reason: str


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A camera that is to be served, and whether the vault's service password fits."""

    device: Device
    service: Service
    password_fits: bool


def record_name(identity: str) -> str:
    """Return the name of a device's record in the vault."""
    return f"camera/{identity}"


class CameraFleet:
    """Serves all adopted cameras between `start` and `stop`."""

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
        check(settings)
        self.settings = settings
        self.registry = registry
        self.vault = vault
        self.discovery = discovery
        self._datapath = datapath
        self._server_address = server_address
        self._endpoint_settings = endpoint_settings or EndpointSettings()
        self._notices = notices
        self._clock = clock
        self._entropy = entropy
        self._room = room.child("cameras")
        self.tools = CameraTools(
            settings=settings, loader=loader, policy=self.policy, clock=clock, entropy=entropy
        )
        self.book = SessionBook(
            settings, registry=registry, notices=notices, clock=clock, room=self._room
        )
        self._served: dict[int, ServedCamera] = {}
        self._dirty = asyncio.Event()
        self._settled = asyncio.Event()
        self._receivers: list[Callable[[], None]] = []
        self._endings: list[Callable[[], None]] = []

    def policy(self) -> AddressPolicy:
        """Return which addresses cameras may have now."""
        base = self.discovery.policy if self.discovery is not None else AddressPolicy()
        if not self.settings.allow_loopback:
            return base
        return AddressPolicy(allow_loopback=True, own_addresses=frozenset())

    @property
    def served(self) -> tuple[ServedCamera, ...]:
        """All cameras that are served at present."""
        return tuple(self._served.values())

    def find(self, device_id: int) -> ServedCamera:
        """Return a served camera. Raises NotFound."""
        found = self._served.get(device_id)
        if found is None:
            raise NotFound("This camera is not served by this gateway. Reload the page.")
        return found

    def subscribe(self, receive: Callable[[], None]) -> Callable[[], None]:
        """Call `receive` after every change of what pages show; return what ends this."""
        self._receivers.append(receive)

        def unsubscribe() -> None:
            if receive in self._receivers:
                self._receivers.remove(receive)

        return unsubscribe

    async def start(self) -> None:
        """Serve what is adopted, and follow what changes."""
        self._endings.append(self.registry.subscribe(self._changed))
        if self.discovery is not None:
            self._endings.append(self.discovery.subscribe(self._sighted))
        self._dirty.set()
        self._room.start(self._follow(), name="follow the registry")
        self._room.start(self._count(), name="count octets")

    async def stop(self) -> None:
        """End every session and every service."""
        for end in self._endings:
            end()
        self._endings.clear()
        for served in tuple(self._served.values()):
            await served.close("The gateway is stopping.")
        self._served.clear()
        await self.book.written()
        await self._room.close()

    async def _count(self) -> None:
        """Keep the octet counts of open sessions fresh for whoever looks at them."""
        while True:
            await asyncio.sleep(COUNT_SECONDS)
            if self.book.sessions:
                await self._datapath.measure()

    async def settle(self) -> None:
        """Wait until what the registry has announced so far is served, or a little while."""
        self._settled.clear()
        self._dirty.set()
        try:
            async with asyncio.timeout(SETTLE_SECONDS):
                await self._settled.wait()
        except TimeoutError:
            pass  # the disk is full, say; the log tells, and it is tried again

    # -- following

    def _changed(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if isinstance(change, DeviceDeleted):
                self._cut(change.device_id)
            elif isinstance(change, ServiceDeleted):
                for served in self.served:
                    if served.camera.device.service_id == change.service_id:
                        self._cut(served.device_id)
            if isinstance(
                change, DeviceChanged | DeviceDeleted | ServiceCredentialsChanged | SiteChange
            ):
                self._dirty.set()

    def _cut(self, device_id: int) -> None:
        # At once: the comparison comes after whatever the worker is at.
        self.book.end_device(device_id, NOT_SERVED)

    def _sighted(self, event: DiscoveryEvent) -> None:
        if isinstance(event, DeviceSeen | DeviceMoved) and not event.record.identity:
            return
        for served in self.served:
            if served.camera.device.identity == event.record.identity:
                served.health.hint()

    def _show(self) -> None:
        for receive in tuple(self._receivers):
            try:
                receive()
            except Exception:
                _log.exception("a subscriber of the cameras failed")

    async def _follow(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            try:
                await self._compare()
            except GatewayError as error:
                _log.error("the adopted cameras cannot be served: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
                self._dirty.set()
                continue
            if not self._dirty.is_set():
                self._settled.set()
            self._show()

    async def _compare(self) -> None:
        wanted = await self.registry.read(self._wanted)
        ids = {each.device.id for each in wanted}
        for device_id in tuple(self._served):
            if device_id not in ids:
                await self._served.pop(device_id).close(NOT_SERVED)
        for each in wanted:
            try:
                await self._serve(each)
            except HostError as error:
                _log.error("%s cannot be served: %s", each.device.name, error)

    def _wanted(self, reader: Reader) -> list[_Wanted]:
        found = []
        for device in devices.list_all(reader, DeviceState.ADOPTED)[: self.settings.adopted_max]:
            if device.service_id is None:
                continue
            service = services.get(reader, device.service_id)
            found.append(_Wanted(device, service, self._fits(reader, device, service)))
        return found

    def _fits(self, reader: Reader, device: Device, service: Service) -> bool:
        record = self.vault.get(record_name(device.identity))
        login = services.login(reader, service.uid)
        if record is None or login is None or login.salt is None or login.salted_password is None:
            return False
        salted = passwords.SaltedPassword(login.salt, login.salted_password)
        return salted.matches(record.get("service", Secret("")))

    async def _serve(self, wanted: _Wanted) -> None:
        device = wanted.device
        name = record_name(device.identity)
        if not wanted.password_fits:
            await self._renew_password(wanted)
        record = self.vault.get(name) or {}
        password = record.get("service", Secret(""))
        uri = wanted.service.uri(self._server_address)
        served = self._served.get(device.id)
        if served is not None and (served.uri, served.password) != (uri, password):
            # It stays in the table meanwhile: pages must not see the camera vanish.
            await served.close("The service was given another password.")
            served = None
        if served is not None:
            if await served.camera.follow(device, credentials_of(record)):
                served.hang_up("The camera's address or login has changed.")
                served.health.hint()
            return
        camera = LiveCamera(device, credentials_of(record), self.tools, self._state_changed)
        served = ServedCamera(
            camera,
            uri=uri,
            password=password,
            settings=self.settings,
            endpoint_settings=self._endpoint_settings,
            sessions=self.book,
            datapath=self._datapath,
            clock=self._clock,
            entropy=self._entropy,
            room=self._room,
            changed=self._show,
        )
        self._served[device.id] = served
        served.start()

    async def _renew_password(self, wanted: _Wanted) -> None:
        """Give the service a password that only the vault knows."""
        service_id = wanted.service.id
        length = self.registry.settings.service_password_length
        password = passwords.draw_password(self._entropy, length)
        name = record_name(wanted.device.identity)
        await self.vault.put(name, {**(self.vault.get(name) or {}), "service": password})

        def store(tx: Tx) -> None:
            services.store_password(tx, service_id, password)

        await self.registry.write(store)

    def _state_changed(self, camera: LiveCamera) -> None:
        severity = Severity.INFO if camera.state is CameraState.ONLINE else Severity.WARNING
        self._notices.post(
            CameraStateChanged(
                device_id=camera.device.id,
                camera=camera.device.name,
                state=camera.state,
                reason=camera.reason,
                severity=severity,
            )
        )
        self._show()
