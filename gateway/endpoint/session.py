"""Find the tracker, connect, stay connected, report connectivity (01 sections 3, 5.3 and 14)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from gateway.base.clock import Clock
from gateway.base.entropy import Entropy
from gateway.base.errors import Conflict, GatewayError, HostError
from gateway.base.setting import check
from gateway.endpoint.errors import RequestRefused, RequestTimedOut
from gateway.endpoint.events import (
    Connectivity,
    ConnectivityChanged,
    ConnectivityStatus,
    EndpointEvent,
)
from gateway.endpoint.locate import Locator, NoAddress
from gateway.endpoint.settings import EndpointSettings
from gateway.model import names
from gateway.model.kinds import ClientStatus
from gateway.net import sockets
from gateway.net.listener import adopt
from gateway.net.stream import Pump
from gateway.net.tasks import TaskRoom
from gateway.protocol.backoff import Asked, BackOff
from gateway.protocol.endpoint import EndpointSession
from gateway.protocol.endpoint_events import (
    Authenticated,
    EndpointReport,
    EventStorageFailed,
    HostnameChanged,
    MembersChanged,
    RaiseRefused,
    RequestDenied,
    ServicesChanged,
    SessionEnded,
    SessionFailed,
    StatusChanged,
    SubscriptionRefused,
    UserChanged,
)
from gateway.wire.codes import ErrorCode

_log = logging.getLogger(__name__)

_PUBLIC = (
    StatusChanged,
    HostnameChanged,
    MembersChanged,
    RequestDenied,
    ServicesChanged,
    UserChanged,
    EventStorageFailed,
    RaiseRefused,
    SubscriptionRefused,
)
_FAREWELL = 1.0
"""Seconds in which the last octets of a session may still go out."""


class Endpoint:
    """What services and clients share: one account at one server, kept connected.

    All calls belong on the event loop's thread; events are delivered there, in order.
    """

    _is_service: bool

    def __init__(
        self,
        locator: Locator,
        settings: EndpointSettings,
        room: TaskRoom,
        clock: Clock,
        entropy: Entropy,
        name: str,
    ) -> None:
        check(settings)
        names.ping_period(settings.ping_period)
        self._locator = locator
        self._settings = settings
        self._clock = clock
        self._entropy = entropy
        self._room = room.child(name)
        self._back_off = BackOff(settings.back_off, service=self._is_service)
        self._subscribers: list[Callable[[EndpointEvent], None]] = []
        self._keeper: asyncio.Task[None] | None = None
        self._session: EndpointSession | None = None
        self._pump: Pump[EndpointReport] | None = None
        self._closed = False
        self.connectivity = Connectivity()

    # -- what a role adds

    def _new_session(self) -> EndpointSession:
        raise NotImplementedError

    def _react(self, session: EndpointSession, event: EndpointReport) -> None:
        """Do what an event asks for, before it is announced."""

    # -- the application's side

    def subscribe(self, receive: Callable[[EndpointEvent], None]) -> Callable[[], None]:
        """Call `receive` for each later event; return what ends the subscription."""
        self._subscribers.append(receive)

        def unsubscribe() -> None:
            if receive in self._subscribers:
                self._subscribers.remove(receive)

        return unsubscribe

    def connect(self) -> None:
        """Connect and stay connected; does nothing when that was asked for already.

        After Down it has no effect until disconnect() was called (01 section 5.3). Raises Conflict
        on a closed endpoint.
        """
        if self._closed:
            raise Conflict("The endpoint is closed. Make a new one.")
        if self._keeper is None:
            self._back_off.restarted()
            self._keeper = self._room.start(self._keep(), name="connection")

    async def online(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Return once the server has the account online; connect() must have been called.

        Raises RequestRefused with the code and sentence of what was definitely refused (a wrong
        password, an unknown account) when the endpoint is Down, RequestTimedOut after `timeout`
        seconds, Conflict when nobody keeps it connected (any more). Cancelling changes nothing.
        """
        changed = asyncio.Event()
        unsubscribe = self.subscribe(lambda _event: changed.set())
        try:
            async with asyncio.timeout(timeout):
                while not self._installed():
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            last = self.connectivity.message
            text = f"The endpoint is not online in time. {last}".strip()
            raise RequestTimedOut(ErrorCode.TIMEOUT_EXPIRED, text) from None
        finally:
            unsubscribe()

    def _installed(self) -> bool:
        if self.connectivity.status is ConnectivityStatus.DOWN:
            raise RequestRefused(self.connectivity.error, self.connectivity.message)
        if self._keeper is None:
            raise Conflict("The endpoint is not connected. Call connect() first.")
        return self._session is not None and self._session.status == ClientStatus.ONLINE

    def disconnect(self) -> None:
        """End the connection and stay away; what was handed over already is untouched."""
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        keeper.cancel()
        self._leave()
        self._tell(ConnectivityStatus.DISCONNECTED)

    async def close(self) -> None:
        """Disconnect for good and end every task; safe to call again."""
        self._closed = True
        self._leave()
        self._keeper = None
        await self._room.close()
        if self.connectivity.status is not ConnectivityStatus.CLOSED:
            self._tell(ConnectivityStatus.CLOSED)

    def _leave(self) -> None:
        session, pump = self._session, self._pump
        if session is not None:
            session.leave(self._clock.monotonic())
            if pump is not None:
                pump.flush()

    def _flush(self) -> None:
        if self._pump is not None:
            self._pump.flush()

    # -- keeping the connection

    async def _keep(self) -> None:
        while True:
            try:
                address = await self._find_tracker()
                code, message = await self._converse(address)
                asked = Asked.TRACKER
            except SessionFailed as refusal:
                code, message, asked = refusal.code, str(refusal), Asked.BALANCER
            except Exception as error:
                _log.exception("the connection to a server failed unexpectedly")
                code, message, asked = ErrorCode.UNEXPECTED_ERROR, str(error), Asked.TRACKER
            wait = self._back_off.after(code, asked)
            if wait is None:
                self._tell(ConnectivityStatus.DOWN, code, message)
                return
            if asked is Asked.TRACKER:
                self._tell(self._lost_status(), code, message)
            else:
                self._tell(ConnectivityStatus.ATTEMPT_TO_CONNECT, code, message)
            await asyncio.sleep(wait)

    def _lost_status(self) -> ConnectivityStatus:
        # The reference's service says Disconnected where its client says that it tries again.
        was_in = self.connectivity.status is ConnectivityStatus.CONNECTED
        if was_in and self._is_service:
            return ConnectivityStatus.DISCONNECTED
        return ConnectivityStatus.ATTEMPT_TO_CONNECT

    async def _find_tracker(self) -> str:
        self._back_off.procedure_started()
        self._tell(ConnectivityStatus.ATTEMPT_TO_CONNECT)
        locator = self._locator
        while True:
            try:
                if not locator.resolved or self._back_off.resolve_again(locator.age):
                    await locator.resolve()
                return await locator.ask(self._room)
            except NoAddress as error:
                wait = self._back_off.unknown_name()
                message = str(error)
            except HostError as error:
                wait = self._back_off.unreachable()
                message = str(error)
            network = ErrorCode.NETWORK_ERROR
            self._tell(ConnectivityStatus.ATTEMPT_TO_CONNECT, network, message)
            await asyncio.sleep(wait)

    async def _converse(self, address: str) -> tuple[ErrorCode, str]:
        settings = self._settings
        try:
            sock = await sockets.connect(
                address, settings.tracker_port, timeout=settings.connect_limit
            )
        except HostError as error:
            return ErrorCode.NETWORK_ERROR, str(error)
        ended: asyncio.Future[SessionFailed] = asyncio.get_running_loop().create_future()
        closed = asyncio.Event()
        session = self._new_session()

        def handle(_pump: Pump[EndpointReport], event: EndpointReport) -> None:
            if isinstance(event, SessionEnded):
                if not ended.done():
                    ended.set_result(event.failure)
                return
            self._take(session, event)

        def over(_pump: Pump[EndpointReport], _reason: GatewayError | None) -> None:
            closed.set()

        pump: Pump[EndpointReport] = Pump(session, self._clock, handle, over)
        self._session, self._pump = session, pump
        try:
            await adopt(sock, pump)
        except BaseException:
            self._session = self._pump = None
            pump.abort()
            sock.close()
            raise
        try:
            failure = await ended
        except BaseException:
            session.leave(self._clock.monotonic())
            pump.flush()
            raise
        finally:
            if self._session is session:
                self._session = self._pump = None
            await _let_go(pump, closed)
        return failure.code, str(failure)

    def _take(self, session: EndpointSession, event: EndpointReport) -> None:
        if session is not self._session:
            return  # the application left; nothing is announced of what is wound up
        if isinstance(event, Authenticated):
            self._tell(ConnectivityStatus.CONNECTED)
        self._react(session, event)
        if isinstance(event, StatusChanged) and event.status:
            self._back_off.installed()
        if isinstance(event, _PUBLIC):
            self._announce(event)

    def _tell(
        self,
        status: ConnectivityStatus,
        error: ErrorCode = ErrorCode.NO_ERROR,
        message: str = "",
    ) -> None:
        self.connectivity = Connectivity(status, error, message)
        self._announce(ConnectivityChanged(self.connectivity))

    def _announce(self, event: EndpointEvent) -> None:
        for receive in tuple(self._subscribers):
            try:
                receive(event)
            except Exception:
                _log.exception("a subscriber of an endpoint failed")


async def _let_go(pump: Pump[EndpointReport], closed: asyncio.Event) -> None:
    """Close a stream whose session is over; nobody waits for a server that does not read."""
    try:
        pump.close()
        async with asyncio.timeout(_FAREWELL):
            await closed.wait()
    except TimeoutError:
        pass
    finally:
        pump.abort()
