"""One adopted camera in use: its driver, its login, its pictures, and how it stands."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from gateway.base.clock import Clock
from gateway.base.entropy import Entropy
from gateway.base.errors import Denied, GatewayError, HostError
from gateway.base.secret import Secret
from gateway.cameras.settings import CameraSettings
from gateway.driverkit.addresses import AddressPolicy
from gateway.driverkit.digest import CameraCredentials, LoginAnswerer
from gateway.driverkit.driver import (
    ByteReader,
    ByteWriter,
    DeviceInfo,
    DeviceTarget,
    Driver,
    DriverTools,
    Picture,
    RtspAddress,
    StreamSource,
    WebTarget,
)
from gateway.driverkit.errors import CredentialsRefused, Unreachable
from gateway.driverkit.loader import DriverLoader
from gateway.model.devices import Device, Sighting
from gateway.net import sockets
from gateway.net.listener import adopt

BY_URL = "rtsp:"
"""Begins the identity of a device that is known by its address only."""


class CameraState(StrEnum):
    """How a camera stands."""

    STARTING = "starting"
    ONLINE = "online"
    OFFLINE = "offline"
    REFUSED = "refused"
    """It does not take our login; only a person can help, cameras lock accounts."""
    FOREIGN = "foreign"
    """Another device answers at its address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraTools:
    """What every camera of this room needs; `policy` is asked anew for each connection."""

    settings: CameraSettings
    loader: DriverLoader
    policy: Callable[[], AddressPolicy]
    clock: Clock
    entropy: Entropy

    def open_driver(self, name: str, target: DeviceTarget) -> Driver:
        """Return a driver for a device. Raises Denied, NotFound, Unsupported, InvalidInput."""
        policy = self.policy()
        tools = DriverTools.lend(
            target, dial=dial_stream, policy=policy, clock=self.clock, entropy=self.entropy
        )
        return self.loader.open(name, target, tools)


def target_of(seen: Sighting, credentials: CameraCredentials | None) -> DeviceTarget:
    """Return the target a driver is opened for."""
    url = ""
    if seen.identity.startswith(BY_URL):
        url = RtspAddress(seen.address, seen.port, seen.path or "/").url
    return DeviceTarget(
        address=seen.address,
        port=seen.port,
        properties=dict(seen.properties),
        url=url,
        name=seen.name,
        credentials=credentials,
    )


async def dial_stream(
    address: str, port: int, *, timeout_s: float
) -> tuple[ByteReader, ByteWriter]:
    """Connect for a driver (`driverkit.driver.Dial`)."""
    sock = await sockets.connect(address, port, timeout=timeout_s)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    try:
        transport = await adopt(sock, protocol)
    except BaseException:
        sock.close()
        raise
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


class LiveCamera:
    """One device. `changed` is called whenever what `state` and `reason` say has changed."""

    def __init__(
        self,
        device: Device,
        credentials: CameraCredentials | None,
        tools: CameraTools,
        changed: Callable[[LiveCamera], None],
    ) -> None:
        self.device = device
        self.credentials = credentials
        self.info: DeviceInfo | None = None
        self.state = CameraState.STARTING
        self.reason = "The camera has not been asked yet."
        self.since = tools.clock.wall()
        self._tools = tools
        self._changed = changed
        self._driver: Driver | None = None
        self._picture: Picture | None = None
        self._taken = 0.0
        self._taking: asyncio.Future[Picture] | None = None

    @property
    def settings(self) -> CameraSettings:
        """The room's settings."""
        return self._tools.settings

    @property
    def hidden(self) -> tuple[str, ...]:
        """Texts that must not reach a client: where the camera is."""
        address = self.device.seen.address.partition("%")[0]
        return (address,) if address else ()

    def driver(self) -> Driver:
        """Return the camera's driver. Raises GatewayError when it cannot be opened."""
        if self._driver is None:
            if not self.device.seen.address:
                raise Unreachable("The camera's address is not known at present.")
            target = target_of(self.device.seen, self.credentials)
            self._driver = self._tools.open_driver(self.device.seen.driver, target)
        return self._driver

    def login(self) -> LoginAnswerer | None:
        """Return a fresh answerer of the camera's challenges, or None without a login."""
        if self.credentials is None:
            return None
        return LoginAnswerer(self.credentials, entropy=self._tools.entropy)

    def place(self, stream: str) -> StreamSource:
        """Return where a stream is, always at the camera's own address.

        Raises NotFound, Denied, Unreachable.
        """
        source = self.driver().stream_source(stream)
        self._pinned(source.host)
        return source

    def web(self) -> WebTarget | None:
        """Return where the camera's pages are, or None. Raises Denied, Unreachable."""
        target = self.driver().web_target()
        if target is not None:
            self._pinned(target.host)
        return target

    def _pinned(self, host: str) -> None:
        if host != self.device.seen.address:
            raise Denied("The driver names another host than the camera's.", "address")
        self._tools.policy().check(host)

    async def dial(self, source: StreamSource) -> socket.socket:
        """Connect for a tunnel, with a small receive window: old video is worth nothing."""
        self._pinned(source.host)
        sock = await sockets.connect(
            source.host, source.port, timeout=self.settings.connect_seconds
        )
        # After connecting: before, it would bound the window for good, also for a recording.
        sockets.bound_window(sock, self.settings.receive_buffer)
        return sock

    def barred(self) -> str:
        """Return why nobody may ask the camera at all, in a sentence, or ""."""
        return self.reason if self.state in (CameraState.REFUSED, CameraState.FOREIGN) else ""

    def set_state(self, state: CameraState, reason: str = "") -> None:
        """Note how the camera stands; a refused login stays until there is another login."""
        if self.state is CameraState.REFUSED and state is not CameraState.STARTING:
            return
        if (state, reason) == (self.state, self.reason):
            return
        if state is not self.state:
            self.since = self._tools.clock.wall()
        self.state, self.reason = state, reason
        self._changed(self)

    def blame(self, fault: GatewayError | None) -> None:
        """Take note of what a client's session met."""
        if isinstance(fault, CredentialsRefused):
            self.set_state(CameraState.REFUSED, str(fault))

    async def follow(self, device: Device, credentials: CameraCredentials | None) -> bool:
        """Take over what the registry and the vault say now; True if it is to be asked anew."""
        old, self.device = self.device, device
        renewed = credentials != self.credentials
        # A name is nothing that a session would have to end for.
        seen = [replace(each.seen, name="") for each in (old, device)]
        places = [(target_of(each, None), each.driver) for each in seen]
        if places[0] == places[1] and not renewed:
            return False
        self.credentials = credentials
        if renewed or self.state is CameraState.FOREIGN:
            await self.ask_anew()
        else:
            await self.close()
        return True

    async def ask_anew(self) -> None:
        """Forget a refused login and what was learnt: a person wants another try."""
        await self.close()
        self.set_state(CameraState.STARTING, "The camera is being asked.")

    async def probe(self) -> None:
        """Ask the camera who it is, once, and note the outcome. Never raises GatewayError."""
        if self.state is CameraState.REFUSED:
            return
        try:
            info = await self.driver().probe()
        except CredentialsRefused as error:
            self.set_state(CameraState.REFUSED, str(error))
        except HostError as error:
            self.set_state(CameraState.OFFLINE, str(error))
        except GatewayError as error:
            self.set_state(CameraState.ONLINE, str(error))
        else:
            if info.identity and info.identity != self.device.identity:
                sentence = "Another device answers at the camera's address."
                self.set_state(CameraState.FOREIGN, sentence)
                return
            self.info = info
            self.set_state(CameraState.ONLINE)

    async def snapshot(self) -> Picture:
        """Return a picture not older than the settings say; one request at a time to the camera.

        Raises GatewayError.
        """
        if sentence := self.barred():
            raise Unreachable(sentence)
        age = self._tools.clock.monotonic() - self._taken
        if self._picture is not None and age < self.settings.snapshot_seconds:
            return self._picture
        if self._taking is not None:
            return await asyncio.shield(self._taking)
        taking: asyncio.Future[Picture] = asyncio.get_running_loop().create_future()
        self._taking = taking
        try:
            picture = await self.driver().snapshot()
        except BaseException as error:
            self._fail(taking, error)
            raise
        finally:
            self._taking = None
        self._picture, self._taken = picture, self._tools.clock.monotonic()
        if not taking.done():
            taking.set_result(picture)
        return picture

    def _fail(self, taking: asyncio.Future[Picture], error: BaseException) -> None:
        if isinstance(error, GatewayError):
            self.blame(error)
        else:
            error = Unreachable("The picture could not be taken; try again.")
        if not taking.done():
            taking.set_exception(error)
            taking.exception()  # whoever waits gets it; that nobody does is no fault

    async def close(self) -> None:
        """Close the driver and forget the picture."""
        driver, self._driver = self._driver, None
        self._picture = None
        self.info = None
        if driver is not None:
            await driver.close()


def credentials_of(record: Mapping[str, Secret] | None) -> CameraCredentials | None:
    """Return the login of a vault record, None where there is none."""
    if record is None or not record.get("user"):
        return None
    return CameraCredentials(record["user"].reveal(), record.get("password", Secret("")))
