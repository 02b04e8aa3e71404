"""Connections on their way to a service, and the ports that hand them out (02 section 4)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, cast

from gateway.access.ports import Actor
from gateway.base.clock import Clock
from gateway.base.errors import GatewayError, LocalError
from gateway.endpoint.direct import DirectFailures
from gateway.endpoint.meeting import Meeting
from gateway.endpoint.settings import EndpointSettings
from gateway.endpoint.udp import UdpMeeting
from gateway.model.kinds import ConnectionMode, TransportKind
from gateway.net.peer import PeerSocket
from gateway.net.tasks import TaskRoom
from gateway.protocol.endpoint_events import ClientVouched, PendingConnection
from gateway.protocol.endpoint_ports import VirtualPort
from gateway.protocol.endpoint_service import ServiceSession
from gateway.wire.rendezvous import ProxyRole


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


@dataclass(frozen=True, slots=True)
class IncomingUdp:
    """A UDP connection that the application took over; closing `peer` is the owner's business."""

    actor: Actor
    client_id: int
    session_tag: bytes | None
    peer: PeerSocket
    mode: ConnectionMode


@dataclass(slots=True)
class _Arrival:
    session: ServiceSession
    meeting: Meeting | UdpMeeting
    task: asyncio.Task[None] | None = None
    made: socket.socket | PeerSocket | None = None
    mode: ConnectionMode = ConnectionMode.PROXY


class Arrivals:
    """What a service's clients have under way; `flush` sends what its session wants sent."""

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
        self._arrivals: dict[PendingConnection, _Arrival] = {}
        self._wakers: dict[tuple[TransportKind, int], Callable[[], None]] = {}
        self.failures = DirectFailures(clock)

    def __len__(self) -> int:
        return len(self._arrivals)

    def watch(self, port: VirtualPort, wake: Callable[[], None]) -> None:
        """Call `wake` for each connection of this port that can be taken."""
        self._wakers[(port.transport, port.number)] = wake

    def unwatch(self, port: VirtualPort) -> None:
        """Close what waits on this port and wake nobody any more."""
        self._wakers.pop((port.transport, port.number), None)
        while port.completed:
            self.forget(port.completed.popleft())

    def meet(self, session: ServiceSession, entry: PendingConnection) -> None:
        """Begin to meet a client at its proxy."""

        def ask(auth_key: bytes) -> None:
            session.ask_for_hash(entry, auth_key, self._clock.monotonic())
            self._flush()

        meeting: Meeting | UdpMeeting
        uid, proxy = entry.connection_uid, entry.server_address
        if entry.transport is TransportKind.UDP:
            meeting = UdpMeeting(
                ProxyRole.SERVICE, uid, proxy, self._settings, self._clock, ask
            )  # fmt: skip
        else:
            direct = self._settings.direct and entry.client_id not in self.failures
            meeting = Meeting(
                ProxyRole.SERVICE, uid, proxy, self._settings, self._clock, ask, direct=direct
            )
        arrival = _Arrival(session, meeting)
        self._arrivals[entry] = arrival
        arrival.task = self._room.start(self._arrive(entry, arrival), name=f"port {entry.port}")

    async def _arrive(self, entry: PendingConnection, arrival: _Arrival) -> None:
        try:
            made, arrival.mode = await arrival.meeting.run()
        except GatewayError:
            arrival.session.not_connected(entry, self._clock.monotonic())
            self._arrivals.pop(entry, None)
            self._flush()
            return
        finally:
            if arrival.meeting.direct_failed:
                self.failures.add(entry.client_id)
        arrival.task = None
        port = arrival.session.connected(entry)
        if port is None:  # dropped while the last octets of the header came in
            self._arrivals.pop(entry, None)
            made.close()
            return
        arrival.made = made
        wake = self._wakers.get((port.transport, port.number))
        if wake is not None:
            wake()

    def vouched(self, event: ClientVouched) -> None:
        """Pass the tracker's answer on to the meeting that asked for it."""
        arrival = self._arrivals.get(event.entry)
        if arrival is not None:
            arrival.meeting.vouched(event.auth_hash, event.auth_key2)

    def forget(self, entry: PendingConnection) -> None:
        """End an attempt, whatever it has reached."""
        arrival = self._arrivals.pop(entry, None)
        if arrival is None:
            return
        if arrival.task is not None:
            arrival.task.cancel()
        if arrival.made is not None:
            arrival.made.close()

    def take(self, port: VirtualPort) -> IncomingTcp | IncomingUdp | None:
        """Hand over the oldest connection that waits on a port, telling its client; or None."""
        while port.completed:
            entry = port.completed.popleft()
            arrival = self._arrivals.pop(entry, None)
            if arrival is None or arrival.made is None:
                continue
            if arrival.session.finished:
                # Its client can never be told any more and gives up; it is not worth a camera.
                arrival.made.close()
                continue
            arrival.session.accept(entry, self._clock.monotonic())
            self._flush()
            who = (entry.actor, entry.client_id, entry.session_tag)
            if isinstance(arrival.made, PeerSocket):
                return IncomingUdp(*who, arrival.made, arrival.mode)
            return IncomingTcp(*who, arrival.made, arrival.mode)
        return None


class _Ports(Protocol):
    """What a listener needs of its service."""

    def take(self, port: VirtualPort) -> IncomingTcp | IncomingUdp | None: ...

    def release(self, port: VirtualPort) -> None: ...


Incoming = TypeVar("Incoming", IncomingTcp, IncomingUdp)


class _Listener(Generic[Incoming]):
    """A virtual port; `accept` hands out one connection after another."""

    def __init__(self, ports: _Ports, port: VirtualPort) -> None:
        self._ports = ports
        self._port = port
        self._waiting: list[asyncio.Future[None]] = []
        self._closed = False

    @property
    def number(self) -> int:
        """Return the number of the virtual port."""
        return self._port.number

    async def accept(self) -> Incoming:
        """Return the next connection; raises ListenerClosed when the port is released."""
        while True:
            if self._closed:
                raise ListenerClosed("The virtual port is not listened on any more.")
            taken = self._ports.take(self._port)
            if taken is not None:
                return cast(Incoming, taken)
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
        self._ports.release(self._port)
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)


class PortListener(_Listener[IncomingTcp]):
    """A virtual TCP port of a service."""


class UdpPortListener(_Listener[IncomingUdp]):
    """A virtual UDP port of a service."""
