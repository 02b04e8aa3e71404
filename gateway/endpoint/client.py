"""A client of any tracker: sees services and connects to their ports (01 section 8, 02 5)."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass

from gateway.access.ports import Actor
from gateway.asn1.reader import is_one_sequence
from gateway.base.clock import Clock
from gateway.base.entropy import Entropy
from gateway.base.errors import GatewayError, InvalidInput
from gateway.base.secret import Secret
from gateway.endpoint.calls import EMPTY, ProcedureFailed, check_name, check_payload
from gateway.endpoint.errors import refused
from gateway.endpoint.following import FollowedEvents
from gateway.endpoint.locate import Locator
from gateway.endpoint.meeting import Meeting
from gateway.endpoint.session import Endpoint
from gateway.endpoint.settings import EndpointSettings
from gateway.model.kinds import ClientStatus, ConnectionMode, TransportKind
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
from gateway.protocol.endpoint_requests import ClientMemory, ClientProfile
from gateway.wire.balancer import BalancerRequest
from gateway.wire.codes import ErrorCode
from gateway.wire.rendezvous import ProxyRole
from gateway.wire.uri import parse_client_uri, server_name

REQUEST_LIMIT = 30.0
"""Seconds for a connection (02 section 5)."""
_TAG_MIN, _TAG_MAX = 2, 128


@dataclass(frozen=True, slots=True)
class OutgoingTcp:
    """A connection to a service, with its non-blocking socket at the first octet."""

    socket: socket.socket
    mode: ConnectionMode


@dataclass(slots=True)
class _Departure:
    done: asyncio.Future[OutgoingTcp]
    meeting: Meeting | None = None
    task: asyncio.Task[None] | None = None
    made: OutgoingTcp | None = None


class ClientEndpoint(Endpoint):
    """One client of one site; `uri` is a softnet-s, -m, -ss or -ms URI.

    Raises InvalidInput for a bad URI, and for a missing password where the scheme needs one.
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
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        account = parse_client_uri(uri)
        if account.category.stateless:
            password = None
        elif not password:
            raise InvalidInput("A client of this kind needs its password.", "password")
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
        self._departures: dict[bytes, _Departure] = {}
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
        `gateway.endpoint.errors`, or InvalidInput for a bad tag. Cancelling gives the request up.
        """
        if session_tag is not None and not (
            _TAG_MIN <= len(session_tag) <= _TAG_MAX and is_one_sequence(session_tag)
        ):
            raise InvalidInput("A session tag is one SEQUENCE of 2 to 128 octets.", "session_tag")
        session = self._reaching(service_id)
        uid = session.request(
            TransportKind.TCP,
            service_id,
            port,
            limit=timeout,
            now=self._clock.monotonic(),
            session_tag=session_tag,
        )
        departure = _Departure(asyncio.get_running_loop().create_future())
        self._departures[uid] = departure
        self._flush()
        try:
            return await departure.done
        except BaseException:
            done = departure.done  # cancelled in the moment of success: nobody takes the socket
            if done.done() and not done.cancelled() and done.exception() is None:
                done.result().socket.close()
            raise
        finally:
            session.abandon(uid)
            self._departures.pop(uid, None)
            self._give_up(departure)

    async def call(
        self,
        service_id: int,
        procedure: str,
        arguments: bytes = EMPTY,
        *,
        timeout: float = REQUEST_LIMIT,  # noqa: ASYNC109  (part of the protocol, 5 s at least)
    ) -> bytes:
        """Call a procedure of a service; return its result, one SEQUENCE.

        Raises ProcedureFailed for the application's own error, a RequestRefused for the protocol's,
        InvalidInput for what cannot be sent. After a timeout the procedure may still have run.
        """
        check_name(procedure)
        check_payload(arguments)
        session = self._reaching(service_id)
        now = self._clock.monotonic()
        uid = session.call(service_id, procedure, arguments, limit=timeout, now=now)
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
        await super().close()
        self.events.close()

    # -- the endpoint's own side

    def _new_session(self) -> EndpointSession:
        return ClientSession(self._profile, self._memory, self._entropy)

    def _react(self, session: EndpointSession, event: EndpointReport) -> None:
        assert isinstance(session, ClientSession)
        if isinstance(event, MeetService):
            self._meet(session, event)
        elif isinstance(event, ServiceVouched):
            departure = self._departures.get(event.request_uid)
            if departure is not None and departure.meeting is not None:
                departure.meeting.vouched(event.auth_hash, event.auth_key2)
        elif isinstance(event, RequestFailed):
            departure = self._departures.pop(event.request_uid, None)
            if departure is not None:
                if not departure.done.done():
                    departure.done.set_exception(refused(event.code))
                self._give_up(departure)
        elif isinstance(event, EventArrived):
            self.events.start(event.delivery)
        elif isinstance(event, CallEnded):
            answer = self._calls.pop(event.transaction_uid, None)
            if answer is not None and not answer.done():
                answer.set_result(event)
        elif isinstance(event, RequestReady):
            departure = self._departures.pop(event.request_uid, None)
            if departure is not None and departure.made is not None:
                made, departure.made = departure.made, None
                if departure.done.done():
                    made.socket.close()
                else:
                    departure.done.set_result(made)

    def _meet(self, session: ClientSession, order: MeetService) -> None:
        departure = self._departures.get(order.request_uid)
        if departure is None:
            return

        def ask(auth_key: bytes) -> None:
            session.ask_for_hash(order, auth_key, self._clock.monotonic())
            self._flush()

        departure.meeting = Meeting(
            ProxyRole.CLIENT,
            order.connection_uid,
            order.server_address,
            self._settings,
            self._clock,
            ask,
        )
        departure.task = self._room.start(
            self._depart(session, order.request_uid, departure, departure.meeting),
            name="connection to a service",
        )

    async def _depart(
        self, session: ClientSession, uid: bytes, departure: _Departure, meeting: Meeting
    ) -> None:
        try:
            sock, mode = await meeting.run()
        except GatewayError:
            departure.task = None
            session.not_connected(uid, self._clock.monotonic())
            self._flush()
            return
        departure.task = None
        departure.made = OutgoingTcp(sock, mode)
        if not session.connected(uid):
            self._give_up(departure)
        self._flush()

    @staticmethod
    def _give_up(departure: _Departure) -> None:
        if departure.task is not None:
            departure.task.cancel()
            departure.task = None
        if departure.made is not None:
            departure.made.socket.close()
            departure.made = None
