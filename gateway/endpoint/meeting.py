"""Carries out one meeting at a proxy with TCP sockets (02 sections 6 to 8).

The control connection is a pump with a `Connector`. The channel is a raw socket, direct or of the
relay: exactly 4 or 17 octets are read from it, so that what follows is still in it when it is
handed over.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable

from gateway.base.clock import Clock
from gateway.base.errors import GatewayError
from gateway.endpoint.direct import REUSING, DirectAttempt
from gateway.endpoint.settings import EndpointSettings
from gateway.model.kinds import ConnectionMode
from gateway.net import sockets
from gateway.net.listener import adopt
from gateway.net.stream import Pump
from gateway.protocol.connector import (
    Challenged,
    Connector,
    ConnectorReport,
    DirectEnded,
    DirectOffered,
    MeetingFailed,
    RelayOffered,
)
from gateway.wire.rendezvous import DATA_HEADER_SIZE, ProxyRole, data_header

DATA_LIMIT = 30.0
"""Seconds for the other side to come to the relay; the request's own limit is usually nearer."""


class Meeting:
    """One brokered TCP connection on its way; `run` makes it, `vouched` answers the proxy.

    `ask(auth_key)` is called when the tracker has to answer the proxy's challenge. With `direct`
    the peer is tried directly when the proxy allows it; `direct_failed` tells that this was in
    vain.
    """

    def __init__(
        self,
        role: ProxyRole,
        connection_uid: bytes,
        server_address: bytes,
        settings: EndpointSettings,
        clock: Clock,
        ask: Callable[[bytes], None],
        *,
        direct: bool = False,
    ) -> None:
        self._role = role
        self._uid = connection_uid
        self._host = str(ipaddress.ip_address(server_address))
        self._settings = settings
        self._clock = clock
        self._ask = ask
        self._direct = direct
        self._attempt: DirectAttempt | None = None
        self._connector: Connector | None = None
        self._pump: Pump[ConnectorReport] | None = None
        self._port: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        """Of the relay; None when the peer was reached directly and is in `_winner`."""
        self._winner: socket.socket | None = None
        self._closed = asyncio.Event()
        self.direct_failed = False

    def vouched(self, auth_hash: bytes, auth_key2: bytes) -> None:
        """Pass the tracker's answer on to the proxy."""
        if self._connector is not None and self._pump is not None:
            self._connector.vouch(auth_hash, auth_key2)
            self._pump.flush()

    async def run(self) -> tuple[socket.socket, ConnectionMode]:
        """Return a connected, non-blocking socket at the first octet of the application.

        Raises a GatewayError that says why there is none. Cancelling leaves nothing open.
        """
        try:
            await self._come()
            port = await self._port
            if port is not None:
                self._winner = await self._open_data(port)
            await self._leave()
            made, self._winner = self._winner, None
        finally:
            self._wind_up()
        assert made is not None
        return made, ConnectionMode.P2P if port is None else ConnectionMode.PROXY

    async def _come(self) -> None:
        """Connect to the proxy, with the sockets of a direct attempt beside the connection."""
        # A port chosen by connect() may be shared with anybody's other connections, and then no
        # second socket could be bound to it; one chosen by bind() is ours alone.
        control = await sockets.connect(
            self._host,
            self._settings.rendezvous_port,
            options=REUSING if self._direct else None,
            local=(("::" if ":" in self._host else ""), 0) if self._direct else None,
        )
        try:
            if self._direct:
                self._attempt = DirectAttempt.beside(control, self._clock)
            attempt = self._attempt
            self._connector = Connector(
                self._role,
                self._uid,
                direct=attempt is not None,
                local_endpoint=attempt.local_endpoint if attempt is not None else None,
            )
            self._pump = Pump(self._connector, self._clock, self._handle, self._ended)
            await adopt(control, self._pump)
        except BaseException:
            control.close()
            raise

    async def _leave(self) -> None:
        """Close the control connection and wait until it is closed."""
        assert self._connector is not None
        assert self._pump is not None
        self._connector.connected()
        self._pump.flush()
        self._pump.abort()
        await self._closed.wait()

    def _wind_up(self) -> None:
        if self._attempt is not None:
            self._attempt.close()
        if self._pump is not None:
            self._pump.abort()
        if self._winner is not None:
            self._winner.close()
        if not self._port.cancel() and not self._port.cancelled():
            self._port.exception()  # nobody may be there any more to hear of it

    async def _open_data(self, port: int) -> socket.socket:
        data = await sockets.connect(self._host, port)
        try:
            # One write and nothing behind it: the reference proxy wants 17 octets (02 T20).
            await sockets.send_all(data, data_header(self._role, self._uid))
            answer = await sockets.read_exactly(data, DATA_HEADER_SIZE, DATA_LIMIT)
            if answer != data_header(self._role.other, self._uid):
                raise MeetingFailed("The relay joined us to another connection.")
        except BaseException:
            data.close()
            raise
        return data

    def _handle(self, _pump: Pump[ConnectorReport], event: ConnectorReport) -> None:
        if isinstance(event, Challenged):
            self._ask(event.auth_key)
        elif isinstance(event, DirectOffered) and self._attempt is not None:
            self._attempt.begin(self._role, event, self._won)
        elif isinstance(event, DirectEnded):
            self.direct_failed = True
            self._end_attempt()
        elif isinstance(event, RelayOffered) and not self._port.done():
            self._end_attempt()
            self._port.set_result(event.port)

    def _won(self, winner: socket.socket) -> None:
        if self._port.done():  # the relay was offered, or the control connection broke, just before
            winner.close()
            return
        self._winner = winner
        # From now on the proxy may say and close what it likes.
        self._port.set_result(None)

    def _end_attempt(self) -> None:
        if self._attempt is not None:
            self._attempt.close()

    def _ended(self, _pump: Pump[ConnectorReport], reason: GatewayError | None) -> None:
        self._closed.set()
        if not self._port.done():
            self._port.set_exception(reason or MeetingFailed("The proxy closed the connection."))
