"""A service of any tracker: virtual ports that clients reach (01 section 7, 02 section 4)."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass

from gateway.access.ports import AccessRule, Actor
from gateway.base.clock import Clock
from gateway.base.entropy import Entropy
from gateway.base.errors import Conflict, GatewayError, LocalError
from gateway.base.secret import Secret
from gateway.endpoint.calls import Handler, check_name, serve_call
from gateway.endpoint.locate import Locator
from gateway.endpoint.meeting import Meeting
from gateway.endpoint.raising import RaisedEvents
from gateway.endpoint.session import Endpoint
from gateway.endpoint.settings import EndpointSettings
from gateway.model.kinds import ConnectionMode, ServiceStatus, TransportKind, UserKind
from gateway.model.structure import SiteStructure
from gateway.net.tasks import TaskRoom
from gateway.protocol.endpoint import EndpointSession
from gateway.protocol.endpoint_answers import Procedure, ServiceMemory, ServiceProfile
from gateway.protocol.endpoint_events import (
    CallArrived,
    ClientVouched,
    EndpointReport,
    EventsTaken,
    MeetClient,
    PendingConnection,
    PendingDropped,
)
from gateway.protocol.endpoint_outbox import EventQueue
from gateway.protocol.endpoint_ports import VirtualPort
from gateway.protocol.endpoint_service import ServiceSession
from gateway.wire.balancer import BalancerRequest
from gateway.wire.rendezvous import ProxyRole
from gateway.wire.uri import parse_service_uri, server_name

BACKLOG = 16
"""Clients that never come hold a place for 30 s, so it is generous (02 section 4.3)."""


class ListenerClosed(LocalError):
    """The virtual port is listened on no more."""


@dataclass(frozen=True, slots=True)
class IncomingTcp:
    """A connection that the application took over, with its non-blocking socket.

    The socket stands at the first octet of the application; closing it is the owner's business.
    It outlives the membership of `actor`: whoever owns it cuts it when rights are taken away.
    """

    actor: Actor
    client_id: int
    session_tag: bytes | None
    socket: socket.socket
    mode: ConnectionMode


@dataclass(slots=True)
class _Arrival:
    session: ServiceSession
    meeting: Meeting
    task: asyncio.Task[None] | None = None
    socket: socket.socket | None = None
    mode: ConnectionMode = ConnectionMode.PROXY


class ServiceEndpoint(Endpoint):
    """One service of one site; `uri` is a softnet-srv URI. Raises InvalidInput for a bad one.

    `queue` keeps raised events until the server has them: in memory, or a `FileQueue`.
    """

    _is_service = True

    def __init__(
        self,
        uri: str,
        password: Secret,
        *,
        structure: SiteStructure,
        version: str = "",
        settings: EndpointSettings | None = None,
        queue: EventQueue | None = None,
        room: TaskRoom,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        account = parse_service_uri(uri)
        settings = settings or EndpointSettings()
        request = BalancerRequest(server_name(account.server), service_uid=account.uid)
        locator = Locator(account.server, request, settings, clock, entropy)
        super().__init__(locator, settings, room, clock, entropy, f"service at {account.server}")
        self._profile = ServiceProfile(
            account.uid, password, structure, version, settings.ping_period
        )
        self._memory = ServiceMemory.fresh(structure, entropy, queue, account.uid)
        self.events = RaisedEvents(
            self._memory.outbox, clock, lambda: self._session, self._flush, self._announce
        )
        self._arrivals: dict[PendingConnection, _Arrival] = {}
        self._listeners: dict[int, PortListener] = {}
        self._handlers: dict[str, Handler] = {}

    @property
    def status(self) -> ServiceStatus:
        """Return what the server last said; Offline while there is no connection."""
        return ServiceStatus(self._session.status) if self._session else ServiceStatus.OFFLINE

    @property
    def hostname(self) -> str:
        """Return the service's name on the site, '' before the first connection."""
        return self._memory.hostname

    @property
    def members(self) -> tuple[Actor, ...]:
        """Return the users with rights, sorted by name; their kind is not told to a service."""
        return self._memory.members.actors()

    @property
    def guest_allowed(self) -> bool:
        """Tell whether guests are admitted."""
        return self._memory.members.guest_allowed

    def resolve(self, kind: UserKind, user_id: int) -> Actor | None:
        """Return whom a client of this user acts as now, None when it has no rights any more."""
        return self._memory.members.resolve(kind, user_id)

    def listen(self, port: int, *, backlog: int = BACKLOG, rule: AccessRule = None) -> PortListener:
        """Listen on a virtual port, connected or not; raises Conflict when it is listened on."""
        listener = PortListener(
            self, self._memory.ports.open(TransportKind.TCP, port, backlog, rule)
        )
        self._listeners[port] = listener
        return listener

    def offer(
        self, procedure: str, handler: Handler, *, rule: AccessRule = None, limit: int = 16
    ) -> None:
        """Offer a procedure to clients; at most `limit` calls of it run at once, more get 116.

        Raises InvalidInput for a name that cannot be, Conflict for one that is offered already.
        """
        check_name(procedure)
        if procedure in self._handlers:
            raise Conflict(f"The procedure {procedure} is offered already.")
        self._handlers[procedure] = handler
        self._memory.procedures[procedure] = Procedure(rule, limit)

    def connect(self) -> None:
        """Connect and stay connected, as `Endpoint.connect` says."""
        super().connect()
        self.events.report()

    async def close(self) -> None:
        """Disconnect for good; what was not accepted yet is closed."""
        for listener in tuple(self._listeners.values()):
            listener.close()
        await super().close()
        self.events.close()

    # -- the endpoint's own side

    def _new_session(self) -> EndpointSession:
        return ServiceSession(self._profile, self._memory, self._entropy)

    def _react(self, session: EndpointSession, event: EndpointReport) -> None:
        assert isinstance(session, ServiceSession)
        if isinstance(event, MeetClient):
            self._meet(session, event.entry)
        elif isinstance(event, ClientVouched):
            arrival = self._arrivals.get(event.entry)
            if arrival is not None:
                arrival.meeting.vouched(event.auth_hash, event.auth_key2)
        elif isinstance(event, PendingDropped):
            self._forget(event.entry)
        elif isinstance(event, EventsTaken):
            self.events.emptied()
        elif isinstance(event, CallArrived):
            handler = self._handlers[event.procedure]
            answering = serve_call(session, event, handler, self._clock, self._flush)
            self._room.start(answering, name=f"call of {event.procedure}")

    def _meet(self, session: ServiceSession, entry: PendingConnection) -> None:
        def ask(auth_key: bytes) -> None:
            session.ask_for_hash(entry, auth_key, self._clock.monotonic())
            self._flush()

        meeting = Meeting(
            ProxyRole.SERVICE,
            entry.connection_uid,
            entry.server_address,
            self._settings,
            self._clock,
            ask,
        )
        arrival = _Arrival(session, meeting)
        self._arrivals[entry] = arrival
        arrival.task = self._room.start(self._arrive(entry, arrival), name=f"port {entry.port}")

    async def _arrive(self, entry: PendingConnection, arrival: _Arrival) -> None:
        try:
            sock, arrival.mode = await arrival.meeting.run()
        except GatewayError:
            arrival.session.not_connected(entry, self._clock.monotonic())
            self._arrivals.pop(entry, None)
            self._flush()
            return
        arrival.task = None
        port = arrival.session.connected(entry)
        if port is None:  # dropped while the last octets of the header came in
            self._arrivals.pop(entry, None)
            sock.close()
            return
        arrival.socket = sock
        listener = self._listeners.get(port.number)
        if listener is not None:
            listener.wake()

    def _forget(self, entry: PendingConnection) -> None:
        arrival = self._arrivals.pop(entry, None)
        if arrival is None:
            return
        if arrival.task is not None:
            arrival.task.cancel()
        if arrival.socket is not None:
            arrival.socket.close()

    def take(self, port: VirtualPort) -> IncomingTcp | None:
        """Hand over the oldest connection that waits on a port, telling its client; or None."""
        while port.completed:
            entry = port.completed.popleft()
            arrival = self._arrivals.pop(entry, None)
            if arrival is None or arrival.socket is None:
                continue
            if arrival.session.finished:
                # Its client can never be told any more and gives up; it is not worth a camera.
                arrival.socket.close()
                continue
            arrival.session.accept(entry, self._clock.monotonic())
            self._flush()
            return IncomingTcp(
                entry.actor,
                entry.client_id,
                entry.session_tag,
                arrival.socket,
                arrival.mode,
            )
        return None

    def release(self, port: VirtualPort) -> None:
        """Stop listening: what is pending or waits is closed; clients are not told (02 4.1)."""
        if isinstance(self._session, ServiceSession):
            self._session.release(port)
            self._flush()
        while port.completed:
            self._forget(port.completed.popleft())
        self._memory.ports.close(port)
        self._listeners.pop(port.number, None)


class PortListener:
    """A virtual port; `accept` hands out one connection after another."""

    def __init__(self, endpoint: ServiceEndpoint, port: VirtualPort) -> None:
        self._endpoint = endpoint
        self._port = port
        self._waiting: list[asyncio.Future[None]] = []
        self._closed = False

    @property
    def number(self) -> int:
        """Return the number of the virtual port."""
        return self._port.number

    async def accept(self) -> IncomingTcp:
        """Return the next connection; raises ListenerClosed when the port is released."""
        while True:
            if self._closed:
                raise ListenerClosed("The virtual port is not listened on any more.")
            taken = self._endpoint.take(self._port)
            if taken is not None:
                return taken
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            self._port.armed = len(self._waiting)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self.wake()  # the connection that woke us is somebody else's now
                raise
            finally:
                if waiter in self._waiting:
                    self._waiting.remove(waiter)
                self._port.armed = len(self._waiting)

    def wake(self) -> None:
        """Let one waiting accept look again."""
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
                return

    def close(self) -> None:
        """Release the port; waiting accepts end with ListenerClosed."""
        if self._closed:
            return
        self._closed = True
        self._endpoint.release(self._port)
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
