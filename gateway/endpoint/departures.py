"""Connections that a client has asked for and that are on their way (02 section 5)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass

from gateway.base.clock import Clock
from gateway.base.errors import GatewayError
from gateway.endpoint.direct import DirectFailures
from gateway.endpoint.errors import refused
from gateway.endpoint.meeting import Meeting
from gateway.endpoint.settings import EndpointSettings
from gateway.endpoint.udp import UdpMeeting
from gateway.model.kinds import ConnectionMode, TransportKind
from gateway.net.peer import PeerSocket
from gateway.net.tasks import TaskRoom
from gateway.protocol.endpoint_client import ClientSession
from gateway.protocol.endpoint_events import (
    MeetService,
    RequestFailed,
    RequestReady,
    ServiceVouched,
)
from gateway.wire.rendezvous import ProxyRole


@dataclass(frozen=True, slots=True)
class OutgoingTcp:
    """A connection to a service, with its non-blocking socket at the first octet."""

    socket: socket.socket
    mode: ConnectionMode


@dataclass(frozen=True, slots=True)
class OutgoingUdp:
    """A UDP connection to a service; closing `peer` is the owner's business."""

    peer: PeerSocket
    mode: ConnectionMode


_Made = tuple[socket.socket | PeerSocket, ConnectionMode]


@dataclass(slots=True)
class _Departure:
    transport: TransportKind
    service_id: int
    done: asyncio.Future[_Made]
    meeting: Meeting | UdpMeeting | None = None
    task: asyncio.Task[None] | None = None
    made: _Made | None = None

    def give_up(self) -> None:
        if self.task is not None:
            self.task.cancel()
            self.task = None
        if self.made is not None:
            self.made[0].close()
            self.made = None


class Departures:
    """The connections that a client has under way; `flush` sends what its session wants sent."""

    def __init__(
        self,
        settings: EndpointSettings,
        clock: Clock,
        room: TaskRoom,
        flush: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._room = room
        self._flush = flush
        self._departures: dict[bytes, _Departure] = {}
        self.failures = DirectFailures(clock)

    def __len__(self) -> int:
        return len(self._departures)

    async def reach(
        self,
        session: ClientSession,
        transport: TransportKind,
        service_id: int,
        port: int,
        limit: float,
        session_tag: bytes | None,
    ) -> _Made:
        """Return what connects to a virtual port; raises as `ClientEndpoint.connect_tcp` does."""
        now = self._clock.monotonic()
        uid = session.request(
            transport, service_id, port, limit=limit, now=now, session_tag=session_tag
        )
        done: asyncio.Future[_Made] = asyncio.get_running_loop().create_future()
        departure = _Departure(transport, service_id, done)
        self._departures[uid] = departure
        self._flush()
        try:
            return await done
        except BaseException:
            # Cancelled in the moment of success: nobody takes the socket.
            if done.done() and not done.cancelled() and done.exception() is None:
                done.result()[0].close()
            raise
        finally:
            session.abandon(uid)
            self._departures.pop(uid, None)
            departure.give_up()

    def meet(self, session: ClientSession, order: MeetService) -> None:
        """Begin to meet the service at its proxy."""
        departure = self._departures.get(order.request_uid)
        if departure is None:
            return

        def ask(auth_key: bytes) -> None:
            session.ask_for_hash(order, auth_key, self._clock.monotonic())
            self._flush()

        uid, proxy = order.connection_uid, order.server_address
        meeting: Meeting | UdpMeeting
        if departure.transport is TransportKind.UDP:
            meeting = UdpMeeting(ProxyRole.CLIENT, uid, proxy, self._settings, self._clock, ask)
        else:
            direct = self._settings.direct and departure.service_id not in self.failures
            meeting = Meeting(
                ProxyRole.CLIENT, uid, proxy, self._settings, self._clock, ask, direct=direct
            )
        departure.meeting = meeting
        departure.task = self._room.start(
            self._depart(session, order.request_uid, departure, meeting),
            name="connection to a service",
        )

    async def _depart(
        self,
        session: ClientSession,
        uid: bytes,
        departure: _Departure,
        meeting: Meeting | UdpMeeting,
    ) -> None:
        try:
            made = await meeting.run()
        except GatewayError:
            departure.task = None
            session.not_connected(uid, self._clock.monotonic())
            self._flush()
            return
        finally:
            if meeting.direct_failed:
                self.failures.add(departure.service_id)
        departure.task = None
        departure.made = made
        if not session.connected(uid):
            departure.give_up()
        self._flush()

    def vouched(self, event: ServiceVouched) -> None:
        """Pass the tracker's answer on to the meeting that asked for it."""
        departure = self._departures.get(event.request_uid)
        if departure is not None and departure.meeting is not None:
            departure.meeting.vouched(event.auth_hash, event.auth_key2)

    def failed(self, event: RequestFailed) -> None:
        """End a request that came to nothing."""
        departure = self._departures.pop(event.request_uid, None)
        if departure is not None:
            if not departure.done.done():
                departure.done.set_exception(refused(event.code))
            departure.give_up()

    def ready(self, event: RequestReady) -> None:
        """Hand the channel over: it is made, and the service's application has taken it."""
        departure = self._departures.pop(event.request_uid, None)
        if departure is not None and departure.made is not None:
            made, departure.made = departure.made, None
            if departure.done.done():
                made[0].close()
            else:
                departure.done.set_result(made)
