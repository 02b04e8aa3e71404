"""Carries out one UDP meeting at a proxy: a control connection and datagrams (02 section 10)."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable

from gateway.base.clock import Clock
from gateway.base.errors import GatewayError
from gateway.endpoint.settings import EndpointSettings
from gateway.model.kinds import ConnectionMode
from gateway.net import sockets
from gateway.net.listener import adopt
from gateway.net.peer import (
    KEPT_MAX,
    PeerSocket,
    Reading,
    open_datagram,
    put_datagram,
    take_datagrams,
)
from gateway.net.stream import Pump
from gateway.protocol.connector import Challenged, MeetingFailed
from gateway.protocol.connector_direct import Target
from gateway.protocol.connector_udp import ChannelReady, Transmit, UdpConnector, UdpReport
from gateway.wire.datagrams import read_hole_punch
from gateway.wire.rendezvous import ProxyRole, pack_private


class UdpMeeting:
    """One brokered UDP connection on its way; `run` makes it, `vouched` answers the proxy."""

    direct_failed = False
    """Not remembered: an attempt costs nothing but time, and the proxy decides (02 10.3)."""

    def __init__(
        self,
        role: ProxyRole,
        connection_uid: bytes,
        server_address: bytes,
        settings: EndpointSettings,
        clock: Clock,
        ask: Callable[[bytes], None],
    ) -> None:
        self._role = role
        self._uid = connection_uid
        self._host = str(ipaddress.ip_address(server_address))
        self._proxy = (self._host, settings.udp_rendezvous_port)
        self._clock = clock
        self._ask = ask
        self._connector: UdpConnector | None = None
        self._pump: Pump[UdpReport] | None = None
        self._socket: socket.socket | None = None
        self._reading: Reading | None = None
        self._kept: list[tuple[bytes, Target]] = []
        self._ready: asyncio.Future[ChannelReady] = asyncio.get_running_loop().create_future()
        self._closed = asyncio.Event()

    def vouched(self, auth_hash: bytes, auth_key2: bytes) -> None:
        """Pass the tracker's answer on to the proxy."""
        if self._connector is not None and self._pump is not None:
            self._connector.vouch(auth_hash, auth_key2)
            self._pump.flush()

    async def run(self) -> tuple[PeerSocket, ConnectionMode]:
        """Return a datagram socket that talks to the peer, and how it does.

        Raises a GatewayError that says why there is none. Cancelling leaves nothing open.
        """
        try:
            await self._come()
            ready = await self._ready
            await self._closed.wait()  # the last message, 23, is on its way then
            made = self._hand_over(ready)
        finally:
            self._wind_up()
        mode = ConnectionMode.PROXY if ready.remote is None else ConnectionMode.P2P
        return made, mode

    async def _come(self) -> None:
        control = await sockets.connect(*self._proxy)
        try:
            (address, _), _ = sockets.addresses(control)
            self._socket = open_datagram(address)
            local = b""
            if control.family == socket.AF_INET:
                port = self._socket.getsockname()[1]
                local = pack_private(ipaddress.IPv4Address(address), port)
            self._connector = UdpConnector(
                self._role, self._uid, local_address=address, local_endpoint=local
            )
            self._pump = Pump(self._connector, self._clock, self._handle, self._ended)
            self._reading = Reading(self._socket, self._readable)
            await adopt(control, self._pump)
        except BaseException:
            control.close()
            raise

    def _hand_over(self, ready: ChannelReady) -> PeerSocket:
        assert self._socket is not None
        remote = ready.remote or self._proxy

        def late_punch(octets: bytes) -> bool:
            # The peer goes on punching until it knows (02 section 10.5). Nothing of an application
            # is mistaken for one: 16 random octets have to fit.
            return read_hole_punch(octets, ready.remote_uid) is not None

        kept = tuple(octets for octets, source in self._kept if source == remote)
        self._stop_reading()
        made = PeerSocket(self._socket, remote, refuses=late_punch, kept=kept)
        self._socket = None
        return made

    def _readable(self) -> None:
        if self._socket is None or self._connector is None or self._pump is None:
            return
        connector = self._connector

        def take(octets: bytes, source: Target) -> None:
            connector.datagram(octets, source, self._clock.monotonic())
            if len(self._kept) < KEPT_MAX and not self._signed(octets):
                self._kept.append((octets, source))

        take_datagrams(self._socket, take)
        self._pump.flush()

    @staticmethod
    def _signed(octets: bytes) -> bool:
        return read_hole_punch(octets, octets[1:]) is not None

    def _handle(self, _pump: Pump[UdpReport], event: UdpReport) -> None:
        if isinstance(event, Challenged):
            self._ask(event.auth_key)
        elif isinstance(event, ChannelReady):
            if not self._ready.done():
                self._ready.set_result(event)
        elif self._socket is not None:
            assert isinstance(event, Transmit)
            put_datagram(self._socket, event.datagram, event.target or self._proxy)

    def _ended(self, _pump: Pump[UdpReport], reason: GatewayError | None) -> None:
        self._closed.set()
        if not self._ready.done():
            self._ready.set_exception(reason or MeetingFailed("The proxy closed the connection."))

    def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading.close()
            self._reading = None

    def _wind_up(self) -> None:
        self._stop_reading()
        if self._pump is not None:
            self._pump.abort()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if not self._ready.cancel() and not self._ready.cancelled():
            self._ready.exception()  # nobody may be there any more to hear of it
