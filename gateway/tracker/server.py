"""The server: balancer and tracker on real sockets over one registry."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from gateway.base.clock import Clock
from gateway.base.entropy import Entropy
from gateway.base.errors import GatewayError, InvalidInput, RemoteError
from gateway.base.notices import NoticeHub
from gateway.base.setting import check
from gateway.model.kinds import ClientStatus, EndpointType, ServiceStatus
from gateway.net.listener import Listener, adopt
from gateway.net.stream import Pump
from gateway.net.tasks import TaskRoom
from gateway.net.unsent import Unsent
from gateway.protocol.balancer import BalancerAsked, BalancerServer
from gateway.protocol.siteside import TrackerConnection
from gateway.registry.changes import (
    Change,
    ClientCredentialsChanged,
    ClientDeleted,
    ServiceCredentialsChanged,
    ServiceDeleted,
)
from gateway.registry.database import Registry
from gateway.site.happenings import Input, IpAddress, this_machine
from gateway.site.proxies import ProxyDirectory
from gateway.site.site import resources
from gateway.tracker.journal import Journal
from gateway.tracker.ledger import Ledger
from gateway.tracker.lines import Board, Offences, ip_of
from gateway.tracker.lookups import Found, LookupDesk, Refusal, question_of
from gateway.tracker.seat import Surroundings
from gateway.tracker.settings import TrackerSettings, service_uids
from gateway.tracker.sites import VOIDS_CREDENTIALS, SiteDirectory

_log = logging.getLogger(__name__)

E = TypeVar("E")

STOP_LIMIT = 5.0
"""Seconds that a stopping tracker gives the registry for what devices declared last."""
STOP_STEP = 0.01


@dataclass(frozen=True, slots=True)
class LiveView:
    """An installed endpoint for pages; `since` is Unix time in seconds."""

    kind: EndpointType
    id: int
    status: ServiceStatus | ClientStatus
    address: str
    since: float
    stateless: bool = False

    @property
    def online(self) -> bool:
        """Tell whether it is online and not parked."""
        return self.status in (ServiceStatus.ONLINE, ClientStatus.ONLINE)


class TrackerServer:
    """Balancer and tracker of one Softnet server.

    Endpoints come in at the two ports of the settings; accounts and sites are those of the
    registry, whose changes reach connected endpoints at once.
    """

    def __init__(
        self,
        settings: TrackerSettings,
        *,
        registry: Registry,
        proxies: ProxyDirectory,
        notices: NoticeHub,
        clock: Clock,
        entropy: Entropy,
        room: TaskRoom,
    ) -> None:
        check(settings)
        self._settings = settings
        self._registry = registry
        self._clock = clock
        self._entropy = entropy
        self._room = room.child("tracker")
        self._public = {
            4: _public(settings.public_ipv4, 4, "public_ipv4"),
            6: _public(settings.public_ipv6, 6, "public_ipv6"),
        }
        self._offences = Offences(notices, clock)
        self._ledger = Ledger(registry)
        self._desk = LookupDesk(registry, self._room)
        unsent = Unsent(settings.unsent_octets)
        self._board = Board(self._desk, self._deliver, self._offences, clock, unsent)
        self._writing = self._room.child("sites")
        self._journal = Journal(registry, self._writing)
        around = Surroundings(
            registry,
            self._board,
            self._ledger,
            self._journal,
            notices,
            clock,
            self._writing,
            resources(
                entropy,
                proxies,
                stateless_services=service_uids(settings.stateless_guest_services),
                unsent=self._board.unsent,
            ),
        )
        self._sites = SiteDirectory(around, unload_after=settings.unload_after)
        limits = {
            "limit": settings.connections,
            "per_peer": settings.connections_per_address,
        }
        self._balancer = Listener(self._room, self._balancer_accepted, **limits)
        self._tracker = Listener(self._room, self._tracker_accepted, **limits)
        self._unsubscribe: Callable[[], None] | None = None
        self.balancer_addresses: list[tuple[str, int]] = []
        self.tracker_addresses: list[tuple[str, int]] = []

    # -- life ----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to listen. Raises HostError when a port cannot be had; nothing runs then."""
        settings = self._settings
        hosts = settings.bind_addresses
        self.tracker_addresses = self._tracker.open(hosts, settings.tracker_port)
        try:
            self.balancer_addresses = self._balancer.open(hosts, settings.balancer_port)
        except BaseException:
            self._tracker.close()
            raise
        self._unsubscribe = self._registry.subscribe(self._registry_changed)
        self._room.start(self._sites.sweep(), name="site sweep")
        self._room.start(self._ledger.run(), name="ledger")
        self._room.start(self._journal.run(), name="event journal")
        self._room.start(self._journal.sweep(), name="event sweep")

    async def stop(self) -> None:
        """Close everything without a message to endpoints; what they said is stored first."""
        self._balancer.close()
        self._tracker.close()
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        self._board.abort_all()
        self._journal.hurry()
        for _ in range(round(STOP_LIMIT / STOP_STEP)):
            if not len(self._writing):
                break
            await asyncio.sleep(STOP_STEP)
        else:
            _log.warning("the registry did not take everything in time; the rest is lost")
        await self._room.close()
        await self._ledger.flush()

    # -- for pages -----------------------------------------------------------------------------

    def view(self, site_id: int) -> tuple[LiveView, ...]:
        """Return the installed endpoints of a site, services first."""
        offset = self._clock.wall() - self._clock.monotonic()
        return tuple(
            LiveView(
                live.kind, live.id, live.status, live.address, live.since + offset, live.stateless
            )
            for live in self._sites.view(site_id)
        )

    @property
    def connections(self) -> int:
        """Return how many endpoints are connected, logged in or not."""
        return self._board.count

    @property
    def strangers(self) -> int:
        """Return how many of them have not logged in."""
        return self._board.strangers()

    # -- connections ---------------------------------------------------------------------------

    def _tracker_accepted(self, sock: socket.socket, peer: str) -> None:
        settings = self._settings
        board = self._board
        if (
            board.strangers() >= settings.strangers
            or board.strangers(peer) >= settings.strangers_per_address
        ):
            sock.close()
            self._tracker.released(peer)
            self._offences.note(peer, "too many connections that do not log in")
            return
        machine = TrackerConnection(
            self._entropy,
            header_limit=settings.header_limit,
            install_limit=settings.install_limit,
            close_limit=settings.close_limit,
            silence_limit=settings.silence_limit,
        )
        pump = board.open(peer, machine, self._tracker.released)
        self._room.start(_join(sock, pump), name="accept")

    def _balancer_accepted(self, sock: socket.socket, peer: str) -> None:
        machine = BalancerServer(
            self._settings.server_name, request_limit=self._settings.question_limit
        )

        def handle(pump: Pump[BalancerAsked], event: BalancerAsked) -> None:
            self._desk.ask(
                question_of(event.request),
                lambda found: self._answer(pump, machine, found),
                with_password=False,
            )

        def closed(_pump: Pump[BalancerAsked], reason: GatewayError | None) -> None:
            self._balancer.released(peer)
            if isinstance(reason, RemoteError):
                self._offences.note(peer, reason)

        self._room.start(_join(sock, Pump(machine, self._clock, handle, closed)), name="accept")

    def _answer(self, pump: Pump[BalancerAsked], machine: BalancerServer, found: Found) -> None:
        local = ip_of(pump.local[0])
        # Whoever lives here need not find a way round the router to its own machine.
        public = None if local is None or this_machine(local) else self._public[local.version]
        address = public or local
        if isinstance(found, Refusal):
            pump.command(lambda _now: machine.refuse(found.code))
        elif address is not None:
            pump.command(lambda _now: machine.found(address))

    # -- sites and the registry ----------------------------------------------------------------

    def _deliver(self, site_id: int, happening: Input) -> None:
        self._sites.deliver(site_id, happening)

    def _registry_changed(self, changes: Sequence[Change]) -> None:
        if any(isinstance(change, VOIDS_CREDENTIALS) for change in changes):
            self._desk.credentials_changed()
        for change in changes:
            if isinstance(change, ServiceCredentialsChanged | ServiceDeleted):
                self._board.credentials_void(service_id=change.service_id)
            elif isinstance(change, ClientCredentialsChanged | ClientDeleted):
                self._board.credentials_void(client_id=change.client_id)
        self._sites.follow(changes)


async def _join(sock: socket.socket, pump: Pump[E]) -> None:
    try:
        await adopt(sock, pump)
    except BaseException:
        sock.close()
        pump.connection_lost(None)
        raise


def _public(text: str, version: int, field: str) -> IpAddress | None:
    if not text:
        return None
    found = ip_of(text)
    if found is None or found.version != version:
        raise InvalidInput(f"{text} is not an IPv{version} address.", field)
    return found
