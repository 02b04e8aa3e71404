"""A service of any tracker: virtual ports that clients reach (01 section 7, 02 section 4)."""

from __future__ import annotations

from gateway.access.ports import AccessRule, Actor
from gateway.base.clock import Clock, SystemClock
from gateway.base.entropy import Entropy, SystemEntropy
from gateway.base.errors import Conflict, InvalidInput
from gateway.base.secret import Secret
from gateway.endpoint.arguments import check_password, check_rule
from gateway.endpoint.arrivals import (
    Arrivals,
    IncomingTcp,
    IncomingUdp,
    ListenerClosed,
    PortListener,
    UdpPortListener,
)
from gateway.endpoint.calls import Handler, check_name, serve_call
from gateway.endpoint.locate import Locator
from gateway.endpoint.raising import RaisedEvents
from gateway.endpoint.session import Endpoint
from gateway.endpoint.settings import EndpointSettings
from gateway.model import names
from gateway.model.kinds import ServiceStatus, TransportKind, UserKind
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
    PendingDropped,
)
from gateway.protocol.endpoint_outbox import EventQueue, WhenFull
from gateway.protocol.endpoint_ports import VirtualPort
from gateway.protocol.endpoint_service import ServiceSession
from gateway.wire.balancer import BalancerRequest
from gateway.wire.structure import check_structure
from gateway.wire.uri import parse_service_uri, server_name

__all__ = [
    "BACKLOG",
    "IncomingTcp",
    "IncomingUdp",
    "ListenerClosed",
    "PortListener",
    "ServiceEndpoint",
    "UdpPortListener",
    "WhenFull",
]

BACKLOG = 16
"""Clients that never come hold a place for 30 s, so it is generous (02 section 4.3)."""


class ServiceEndpoint(Endpoint):
    """One service of one site; `uri` is a softnet-srv URI. Raises InvalidInput for a bad one, and
    for a structure, version or password that no server would take.

    `queue` keeps raised events until the server has them: in memory, or a `FileQueue`; `when_full`
    says what a raise does when it has no room.
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
        when_full: WhenFull = WhenFull.REJECT,
        room: TaskRoom,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
    ) -> None:
        clock, entropy = clock or SystemClock(), entropy or SystemEntropy()
        account = parse_service_uri(uri)
        check_password(password)
        check_structure(structure)
        names.version(version)
        settings = settings or EndpointSettings()
        request = BalancerRequest(server_name(account.server), service_uid=account.uid)
        locator = Locator(account.server, request, settings, clock, entropy)
        super().__init__(locator, settings, room, clock, entropy, f"service at {account.server}")
        self._profile = ServiceProfile(
            account.uid, password, structure, version, settings.ping_period
        )
        self._memory = ServiceMemory.fresh(structure, entropy, queue, account.uid, when_full)
        self.events = RaisedEvents(
            self._memory.outbox, clock, lambda: self._session, self._flush, self._announce
        )
        self._arrivals = Arrivals(settings, clock, self._room, self._flush)
        self._listeners: dict[tuple[TransportKind, int], PortListener | UdpPortListener] = {}
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
        """Listen on a virtual port, connected or not; raises Conflict when it is listened on.

        Raises InvalidInput for a port, backlog or rule that cannot be.
        """
        check_rule(rule, self._profile.structure)
        opened = self._memory.ports.open(TransportKind.TCP, port, backlog, rule)
        listener = PortListener(self, opened)
        self._watch(opened, listener)
        return listener

    def listen_udp(
        self, port: int, *, backlog: int = BACKLOG, rule: AccessRule = None
    ) -> UdpPortListener:
        """Listen on a virtual UDP port, as `listen`; TCP ports have numbers of their own."""
        check_rule(rule, self._profile.structure)
        opened = self._memory.ports.open(TransportKind.UDP, port, backlog, rule)
        listener = UdpPortListener(self, opened)
        self._watch(opened, listener)
        return listener

    def _watch(self, port: VirtualPort, listener: PortListener | UdpPortListener) -> None:
        self._listeners[(port.transport, port.number)] = listener
        self._arrivals.watch(port, listener.wake)

    def offer(
        self, procedure: str, handler: Handler, *, rule: AccessRule = None, limit: int = 16
    ) -> None:
        """Offer a procedure to clients; at most `limit` calls of it run at once, more get 116.

        Raises InvalidInput for a name, limit or rule that cannot be, Conflict for a name that is
        offered already.
        """
        check_name(procedure)
        check_rule(rule, self._profile.structure)
        if limit < 1:
            raise InvalidInput("At least one call of a procedure must be able to run.", "limit")
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
        try:
            await super().close()
        finally:
            self.events.close()

    # -- the endpoint's own side

    def _new_session(self) -> EndpointSession:
        self._arrivals.failures.forget()
        return ServiceSession(self._profile, self._memory, self._entropy)

    def _react(self, session: EndpointSession, event: EndpointReport) -> None:
        assert isinstance(session, ServiceSession)
        if isinstance(event, MeetClient):
            self._arrivals.meet(session, event.entry)
        elif isinstance(event, ClientVouched):
            self._arrivals.vouched(event)
        elif isinstance(event, PendingDropped):
            self._arrivals.forget(event.entry)
        elif isinstance(event, EventsTaken):
            self.events.emptied()
        elif isinstance(event, CallArrived):
            handler = self._handlers[event.procedure]
            answering = serve_call(session, event, handler, self._clock, self._flush)
            self._room.start(answering, name=f"call of {event.procedure}")

    def take(self, port: VirtualPort) -> IncomingTcp | IncomingUdp | None:
        """Hand over the oldest connection that waits on a port, telling its client; or None."""
        return self._arrivals.take(port)

    def release(self, port: VirtualPort) -> None:
        """Stop listening: what is pending or waits is closed; clients are not told (02 4.1)."""
        if isinstance(self._session, ServiceSession):
            self._session.release(port)
            self._flush()
        self._arrivals.unwatch(port)
        self._memory.ports.close(port)
        self._listeners.pop((port.transport, port.number), None)
