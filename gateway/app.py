"""The composition root: builds every room from the settings, starts bottom up, stops top down."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import ipaddress
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import gateway
from gateway.appliance.demo import PASSWORD, USER, DemoCameras
from gateway.appliance.notify import Heartbeat, Notifier
from gateway.appliance.state import kept_text, locked
from gateway.base.clock import SystemClock
from gateway.base.entropy import SystemEntropy
from gateway.base.errors import GatewayError
from gateway.base.notices import NoticeHub
from gateway.base.secret import Secret
from gateway.cameras.bridge import CameraBridge
from gateway.cameras.vault import Vault
from gateway.discovery.announce import GatewayRecord
from gateway.discovery.interfaces import local_networks
from gateway.discovery.service import DiscoveryService
from gateway.driverkit.loader import DriverLoader
from gateway.model.kinds import EndpointType
from gateway.net.datapath import DataPath
from gateway.net.loops import calm_collector, give_back_memory, loop_factory
from gateway.net.tasks import TaskRoom
from gateway.registry.database import Registry
from gateway.registry.server_settings import MAIL_SECRET
from gateway.relay.server import RendezvousServer
from gateway.settings.schema import GatewaySettings
from gateway.site.proxies import ProxyDirectory, ProxyEntry
from gateway.telemetry.mail import MailSender
from gateway.telemetry.mqtt import MqttPublisher
from gateway.telemetry.topics import CameraState
from gateway.tracker.notices import EndpointNotice
from gateway.tracker.server import TrackerServer
from gateway.web.doors import LiveEndpoint, LiveSite
from gateway.web.server import WebServer

_log = logging.getLogger(__name__)

RELAY_SECRET_FILE = "relay.secret"  # noqa: S105  (a name)
IDENTITY_FILE = "gateway-id"
VAULT_FILE = "vault"
EMBEDDED_RELAY = 1
"""The number of the embedded relay in rendezvous data."""


def server_address(settings: GatewaySettings) -> str:
    """Return what stands behind the @ of the URIs that the page hands out.

    The configured name, else the configured public address, else this machine's first address on
    a network, else loopback.
    """
    if settings.server.server_name or settings.server.public_ipv4:
        return settings.server.server_name or settings.server.public_ipv4
    if own := _bound_address(settings):
        return own
    for network in local_networks():
        address = ipaddress.ip_address(network.address.partition("%")[0])
        if address.version == 4 and not address.is_loopback and not address.is_link_local:
            return str(address)
    return "127.0.0.1"


def _bound_address(settings: GatewaySettings) -> str:
    """Return the one address that the server is bound to, "" when it listens everywhere."""
    for text in settings.server.bind_addresses:
        address = ipaddress.ip_address(text)
        if address.is_unspecified:
            return ""
        if address.version == 4:
            return text
    return ""


def _embedded_relay(settings: GatewaySettings, secret: Secret) -> ProxyEntry:
    ipv4, ipv6 = settings.server.public_ipv4, settings.server.public_ipv6
    return ProxyEntry(
        EMBEDDED_RELAY,
        secret,
        ipaddress.IPv4Address(ipv4) if ipv4 else None,
        ipaddress.IPv6Address(ipv6) if ipv6 else None,
        embedded=True,
    )


def _with_loopback(settings: GatewaySettings) -> GatewaySettings:
    """Return the settings with cameras on this very machine allowed, as virtual ones are."""
    return dataclasses.replace(
        settings,
        discovery=dataclasses.replace(settings.discovery, allow_loopback=True),
        cameras=dataclasses.replace(settings.cameras, allow_loopback=True),
    )


class _Live:
    """What the pages may know of the tracker's connections."""

    def __init__(self, tracker: TrackerServer, notices: NoticeHub) -> None:
        self._tracker = tracker
        self._notices = notices

    def live(self, site_id: int) -> LiveSite:
        """Return who of the site is connected."""
        services: dict[int, LiveEndpoint] = {}
        clients: dict[int, LiveEndpoint] = {}
        for view in self._tracker.view(site_id):
            if view.stateless:
                continue
            status = view.status.name.replace("_", " ").lower()
            found = LiveEndpoint(view.online, status, view.address, view.since)
            kept = services if view.kind is EndpointType.SERVICE else clients
            kept[view.id] = found
        return LiveSite(services, clients)

    def subscribe(self, changed: Callable[[int], None]) -> Callable[[], None]:
        """Call `changed` with the site of every endpoint that comes, goes or is parked."""
        return self._notices.subscribe(EndpointNotice, lambda notice: changed(notice.site_id))


class _Mail:
    """The sender of mail and its password, as the pages use them."""

    def __init__(self, sender: MailSender, vault: Vault) -> None:
        self._vault = vault
        self.test = sender.test

    async def set_password(self, password: Secret) -> None:
        """Keep the password of the mail server; an empty one is forgotten."""
        if password:
            await self._vault.put(MAIL_SECRET, {"password": password})
        else:
            await self._vault.delete(MAIL_SECRET)

    def has_password(self) -> bool:
        """Tell whether a password is kept."""
        return self._vault.get(MAIL_SECRET) is not None


class Gateway:
    """The whole product in one event loop, and the relay process beside it."""

    def __init__(self, settings: GatewaySettings, state: Path, *, demo: int = 0) -> None:
        self.settings = _with_loopback(settings) if demo else settings
        self.state = state
        self.page_addresses: tuple[tuple[str, int], ...] = ()
        self.setup_code: Secret | None = None
        self._demo = demo
        self._clock = SystemClock()
        self._entropy = SystemEntropy()
        self._notices = NoticeHub()
        self._room = TaskRoom("gateway")
        self._notifier = Notifier()
        self._stops: list[tuple[str, Callable[[], Awaitable[None]]]] = []

    async def start(self) -> None:
        """Start every room, bottom up; what was started is stopped again when one fails."""
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        settings, clock, entropy = self.settings, self._clock, self._entropy
        lock = locked(self.state)
        self._stops.append(("lock", functools.partial(asyncio.to_thread, os.close, lock)))
        self._stops.append(("tasks", self._room.close))
        identity = kept_text(self.state / IDENTITY_FILE, lambda: entropy.octets(8).hex())
        secret = Secret(kept_text(self.state / RELAY_SECRET_FILE, lambda: entropy.octets(24).hex()))
        self._registry = await Registry.open(
            self.state / "registry.sqlite",
            clock=clock,
            entropy=entropy,
            settings=settings.registry,
        )
        self._stops.append(("registry", self._registry.close))

        datapath = DataPath(self._room.child("data path"), clock)
        await datapath.start()
        self._stops.append(("data path", datapath.stop))
        relay = RendezvousServer(
            settings.relay,
            secret=secret,
            datapath=datapath,
            clock=clock,
            entropy=entropy,
            room=self._room.child("relay"),
            notices=self._notices,
        )
        await relay.start()
        self._stops.append(("relay", relay.stop))
        tracker = TrackerServer(
            settings.server,
            registry=self._registry,
            proxies=ProxyDirectory((_embedded_relay(settings, secret),)),
            notices=self._notices,
            clock=clock,
            entropy=entropy,
            room=self._room.child("server"),
        )
        await tracker.start()
        self._stops.append(("tracker", tracker.stop))

        loader = DriverLoader.installed()
        vault = await Vault.open(self.state / VAULT_FILE, entropy=entropy)
        self._discovery = DiscoveryService(
            settings.discovery,
            loader.manifests,
            notices=self._notices,
            clock=clock,
            room=self._room,
        )
        self._bridge = CameraBridge(
            settings.cameras,
            registry=self._registry,
            datapath=datapath,
            discovery=self._discovery,
            vault=vault,
            loader=loader,
            server_address=_bound_address(settings) or "127.0.0.1",
            notices=self._notices,
            clock=clock,
            entropy=entropy,
            room=self._room.child("cameras"),
        )
        await self._bridge.start()
        self._stops.append(("cameras", self._bridge.stop))
        await self._discovery.start()
        self._stops.append(("discovery", self._discovery.stop))

        mail = MailSender(
            settings.mail,
            registry=self._registry,
            secrets=vault,
            clock=clock,
            room=self._room.child("mail"),
            notices=self._notices,
        )
        mail.start()
        page = WebServer(
            settings.web,
            registry=self._registry,
            cameras=self._bridge.facade,
            live=_Live(tracker, self._notices),
            notices=self._notices,
            clock=clock,
            entropy=entropy,
            state=self.state,
            server_address=server_address(settings),
            mail=_Mail(mail, vault),
        )
        self.page_addresses = await page.start()
        self._stops.append(("page", page.stop))
        self.setup_code = page.setup_code

        await self._start_telling(identity)
        if self._demo:
            cameras = DemoCameras(self.state / "demo")
            self._stops.append(("virtual cameras", cameras.stop))
            await cameras.start(self._demo)
        heartbeat = Heartbeat(
            self._notifier,
            settings.appliance,
            clock=clock,
            checks={"the registry": self._registry_answers},
            status=self.status_line,
        )
        self._room.start(heartbeat.run(), name="heartbeat")
        self._notifier.ready(self.status_line())

    async def _start_telling(self, identity: str) -> None:
        """Tell the LAN of the page and the broker of the cameras."""
        port = self.page_addresses[0][1]
        await self._discovery.announce(
            GatewayRecord(
                gateway_id=identity,
                version=gateway.__version__,
                state="unclaimed" if self.setup_code else "claimed",
                port=port,
            )
        )
        if not self.settings.mqtt.host:
            return
        publisher = MqttPublisher(self.settings.mqtt, gateway_id=identity, notices=self._notices)
        publisher.start()
        self._stops.append(("broker", publisher.stop))
        told: set[str] = set()

        def tell() -> None:
            present = {str(view.device_id): view for view in self._bridge.facade.adopted()}
            for camera_id in told - present.keys():
                publisher.remove_camera(camera_id)
            told.clear()
            told.update(present)
            for camera_id, view in present.items():
                publisher.publish_camera(
                    CameraState(
                        camera_id=camera_id,
                        name=view.name,
                        online=view.state == "online",
                        since=view.since,
                        reason=view.reason,
                        viewers=view.viewers,
                        maker=view.maker,
                        model=view.model,
                    )
                )

        self._bridge.facade.subscribe(tell)
        tell()

    async def _registry_answers(self) -> bool:
        await self._registry.write(lambda _tx: None)
        return True

    def status_line(self) -> str:
        """Return one line on how the cameras are."""
        cameras = self._bridge.facade.adopted()
        well = sum(camera.state == "online" for camera in cameras)
        viewers = sum(camera.viewers for camera in cameras)
        return f"{len(cameras)} cameras, {well} online, {viewers} connections"

    def greeting(self) -> list[str]:
        """Return the lines that tell a person what is running and where."""
        settings = self.settings
        port = self.page_addresses[0][1]
        lan = server_address(settings)
        server, relay = settings.server, settings.relay
        ports = f"{server.balancer_port}, {server.tracker_port}, {relay.control_port}"
        lines = [
            f"Softnet Camera Gateway {gateway.__version__}",
            f"  page      http://localhost:{port}"
            + ("" if lan == "127.0.0.1" else f"   from the LAN: http://{lan}:{port}"),
            f"  server    {lan}, ports {ports}",
            f"  discovery {self._discovery.trouble or 'mDNS is on'}"
            if settings.discovery.enabled
            else "  discovery off",
            f"  state     {self.state}",
        ]
        if self._demo:
            lines.append(
                f"  demo      {self._demo} virtual cameras; user {USER}, password {PASSWORD}"
            )
        if self.setup_code is not None:
            lines.append(
                f"  setup     open the page and type the setup code {self.setup_code.reveal()}"
            )
        return lines

    async def stop(self) -> None:
        """Stop every room, top down; a room that fails to stop does not keep the others up."""
        self._notifier.stopping()
        while self._stops:
            name, stop = self._stops.pop()
            try:
                await stop()
            except Exception:
                _log.exception("%s did not stop cleanly", name)


async def _serve(settings: GatewaySettings, state: Path, demo: int) -> int:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    _log.debug("the event loop is %s", type(loop).__module__)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    product = Gateway(settings, state, demo=demo)
    try:
        await product.start()
    except GatewayError as error:
        _log.error("%s", error)
        return 1
    calm_collector()
    give_back_memory()
    print("\n".join(product.greeting()), flush=True)  # noqa: T201  (the daemon's few words)
    await ended.wait()
    await product.stop()
    return 0


def run(settings: GatewaySettings, *, state: Path, demo: int = 0) -> int:
    """Run the gateway until it is told to end; return the exit code."""
    with asyncio.Runner(loop_factory=loop_factory(settings.appliance.loop)) as runner:
        return runner.run(_serve(settings, state, demo))
