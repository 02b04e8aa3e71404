"""A client of any tracker: sees services and connects to their ports (01 section 8, 02 5)."""

from __future__ import annotations

import asyncio
import socket

from gateway.access.ports import Actor
from gateway.base.clock import Clock, SystemClock
from gateway.base.entropy import Entropy, SystemEntropy
from gateway.base.secret import Secret
from gateway.endpoint.arguments import check_client, check_password, check_tag
from gateway.endpoint.calls import EMPTY, ProcedureFailed, check_name, check_payload
from gateway.endpoint.departures import Departures, OutgoingTcp, OutgoingUdp
from gateway.endpoint.errors import refused
from gateway.endpoint.following import FollowedEvents
from gateway.endpoint.locate import Locator
from gateway.endpoint.session import Endpoint
from gateway.endpoint.settings import EndpointSettings
from gateway.model.kinds import ClientStatus, ConnectionMode, TransportKind
from gateway.net.peer import PeerSocket
from gateway.net.tasks import TaskRoom
from gateway.protocol.endpoint import EndpointSession
from gateway.protocol.endpoint_client import ClientSession
from gateway.protocol.endpoint_events import (
    CallEnded,
    EndpointReport,
    EventArrived,
    MeetService,
    RequestFailed,
    RequestReady,
    ServiceVouched,
)
from gateway.protocol.endpoint_group import RemoteService
from gateway.protocol.endpoint_inbox import Positions
from gateway.protocol.endpoint_ports import check_port
from gateway.protocol.endpoint_requests import ClientMemory, ClientProfile
from gateway.wire.balancer import BalancerRequest
from gateway.wire.codes import ErrorCode
from gateway.wire.uri import parse_client_uri, server_name

__all__ = ["REQUEST_LIMIT", "ClientEndpoint", "OutgoingTcp", "OutgoingUdp"]

REQUEST_LIMIT = 30.0
"""Seconds for a connection (02 section 5)."""


class ClientEndpoint(Endpoint):
    """One client of one site; `uri` is a softnet-s, -m, -ss or -ms URI.

    Raises InvalidInput for a bad URI, for a missing password where the scheme needs one, and for
    names that no server would take.
    `positions` keeps how far it has come with events: in memory, or a `FilePositions`.
    """

    _is_service = False

    def __init__(
        self,
        uri: str,
        password: Secret | None,
        *,
        service_type: str,
        contract_author: str,
        description: str = "",
        settings: EndpointSettings | None = None,
        positions: Positions | None = None,
        room: TaskRoom,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
    ) -> None:
        clock, entropy = clock or SystemClock(), entropy or SystemEntropy()
        account = parse_client_uri(uri)
        if account.category.stateless:
            password = None
        else:
            check_password(password)
        check_client(service_type, contract_author, description)
        settings = settings or EndpointSettings()
        request = BalancerRequest(
            server_name(account.server), category=account.category, key=account.key
        )
        locator = Locator(account.server, request, settings, clock, entropy)
        super().__init__(locator, settings, room, clock, entropy, f"client at {account.server}")
        self._profile = ClientProfile(
            account.category,
            account.key,
            password,
            service_type,
            contract_author,
            description,
            settings.ping_period,
        )
        name = f"{account.key}@{account.server}"
        self._memory = ClientMemory.fresh(account.category, positions, name)
        self.events = FollowedEvents(
            self._memory.inbox,
            clock,
            self._room,
            lambda: self._session,
            self._flush,
            self._announce,
            stateless=account.category.stateless,
        )
        self._departures = Departures(settings, clock, self._room, self._flush)
        self._calls: dict[bytes, asyncio.Future[CallEnded]] = {}

    @property
    def status(self) -> ClientStatus:
        """Return what the server last said; Offline while there is no connection."""
        return ClientStatus(self._session.status) if self._session else ClientStatus.OFFLINE

    @property
    def services(self) -> tuple[RemoteService, ...]:
        """Return the services of the site by id; the only one of a single site has id 0."""
        return self._memory.group.services()

    @property
    def user(self) -> Actor:
        """Return whom this client acts for; its kind is only told apart from Guest."""
        return self._memory.user

    @property
    def site_uid(self) -> bytes | None:
        """Return the site's uid, None before the first connection."""
        return self._memory.site_uid

    async def connect_tcp(
        self,
        service_id: int,
        port: int,
        *,
        session_tag: bytes | None = None,
        timeout: float = REQUEST_LIMIT,  # noqa: ASYNC109  (part of the protocol, 5 s at least)
    ) -> OutgoingTcp:
        """Return a connection to a virtual port of a service.

        `session_tag` is one DER SEQUENCE of 2 to 128 octets. Raises a RequestRefused of
        `gateway.endpoint.errors`, or InvalidInput for a bad tag or port. Cancelling gives the
        request up.
        """
        made, mode = await self._reach(TransportKind.TCP, service_id, port, timeout, session_tag)
        assert not isinstance(made, PeerSocket)
        return OutgoingTcp(made, mode)

    async def connect_udp(
        self,
        service_id: int,
        port: int,
        *,
        session_tag: bytes | None = None,
        timeout: float = REQUEST_LIMIT,  # noqa: ASYNC109  (part of the protocol, 5 s at least)
    ) -> OutgoingUdp:
        """Return a UDP connection to a virtual port of a service; raises as `connect_tcp`."""
        made, mode = await self._reach(TransportKind.UDP, service_id, port, timeout, session_tag)
        assert isinstance(made, PeerSocket)
        return OutgoingUdp(made, mode)

    async def _reach(
        self, transport: TransportKind, service_id: int, port: int, limit: float, tag: bytes | None
    ) -> tuple[socket.socket | PeerSocket, ConnectionMode]:
        check_tag(tag)
        check_port(port)
        session = self._reaching(service_id)
        return await self._departures.reach(session, transport, service_id, port, limit, tag)

    async def call(
        self,
        service_id: int,
        procedure: str,
        arguments: bytes = EMPTY,
        *,
        session_tag: bytes | None = None,
        timeout: float = REQUEST_LIMIT,  # noqa: ASYNC109  (part of the protocol, 5 s at least)
    ) -> bytes:
        """Call a procedure of a service; return its result, one SEQUENCE.

        `session_tag` is one SEQUENCE of 2 to 128 octets that the handler sees. Cancelling gives the
        answer up; the procedure runs on, there is no message that would stop it.
        Raises ProcedureFailed for the application's own error, a RequestRefused for the protocol's,
        InvalidInput for what cannot be sent. After a timeout the procedure may still have run.
        """
        check_name(procedure)
        check_payload(arguments)
        check_tag(session_tag)
        session = self._reaching(service_id)
        now = self._clock.monotonic()
        uid = session.call(
            service_id, procedure, arguments, limit=timeout, now=now, session_tag=session_tag
        )
        answer: asyncio.Future[CallEnded] = asyncio.get_running_loop().create_future()
        self._calls[uid] = answer
        self._flush()
        try:
            ended = await answer
        finally:
            session.abandon(uid)
            self._calls.pop(uid, None)
        if ended.code:
            raise refused(ended.code)
        if ended.result is None:
            raise ProcedureFailed(ended.application_code, ended.error)
        return ended.result

    def _reaching(self, service_id: int) -> ClientSession:
        session = self._session
        if not isinstance(session, ClientSession) or session.status is not ClientStatus.ONLINE:
            raise refused(ErrorCode.CLIENT_OFFLINE)
        service = self._memory.group.find(service_id)
        if service is None or not service.online:
            raise refused(ErrorCode.SERVICE_OFFLINE)
        return session

    def connect(self) -> None:
        """Connect and stay connected, as `Endpoint.connect` says."""
        super().connect()
        self.events.report()

    async def close(self) -> None:
        """Disconnect for good; handlers of events are cancelled."""
        try:
            await super().close()
        finally:
            self.events.close()

    # -- the endpoint's own side

    def _new_session(self) -> EndpointSession:
        self._departures.failures.forget()
        return ClientSession(self._profile, self._memory, self._entropy)

    def _react(self, session: EndpointSession, event: EndpointReport) -> None:
        assert isinstance(session, ClientSession)
        if isinstance(event, MeetService):
            self._departures.meet(session, event)
        elif isinstance(event, ServiceVouched):
            self._departures.vouched(event)
        elif isinstance(event, RequestFailed):
            self._departures.failed(event)
        elif isinstance(event, EventArrived):
            self.events.start(event.delivery)
        elif isinstance(event, CallEnded):
            answer = self._calls.pop(event.transaction_uid, None)
            if answer is not None and not answer.done():
                answer.set_result(event)
        elif isinstance(event, RequestReady):
            self._departures.ready(event)
