"""Carries out one meeting at a proxy with TCP sockets (02 sections 6 and 8).

The control connection is a pump with a `Connector`. The data connection is a raw socket: exactly
17 octets are read from it, so that what follows is still in it when it is handed over.
"""

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
from gateway.net.stream import Pump
from gateway.protocol.connector import (
    Challenged,
    Connector,
    ConnectorReport,
    MeetingFailed,
    RelayOffered,
)
from gateway.wire.rendezvous import DATA_HEADER_SIZE, ProxyRole, data_header

DATA_LIMIT = 30.0
"""Seconds for the other side to come to the relay; the request's own limit is usually nearer."""


class Meeting:
    """One brokered TCP connection on its way; `run` makes it, `vouched` answers the proxy.

    `ask(auth_key)` is called when the tracker has to answer the proxy's challenge.
    """

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
        self._settings = settings
        self._clock = clock
        self._ask = ask
        self._connector = Connector(role, connection_uid)
        self._pump: Pump[ConnectorReport] | None = None
        self._port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._closed = asyncio.Event()

    def vouched(self, auth_hash: bytes, auth_key2: bytes) -> None:
        """Pass the tracker's answer on to the proxy."""
        self._connector.vouch(auth_hash, auth_key2)
        if self._pump is not None:
            self._pump.flush()

    async def run(self) -> tuple[socket.socket, ConnectionMode]:
        """Return a connected, non-blocking socket at the first octet of the application.

        Raises a GatewayError that says why there is none. Cancelling leaves nothing open.
        """
        control = await sockets.connect(self._host, self._settings.rendezvous_port)
        self._pump = Pump(self._connector, self._clock, self._handle, self._ended)
        try:
            await adopt(control, self._pump)
        except BaseException:
            control.close()
            raise
        try:
            data = await self._open_data(await self._port)
        finally:
            self._connector.connected()
            self._pump.flush()
            self._pump.abort()
            self._port.cancel()
        try:
            await self._closed.wait()
        except BaseException:
            data.close()
            raise
        return data, ConnectionMode.PROXY

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
        elif isinstance(event, RelayOffered) and not self._port.done():
            self._port.set_result(event.port)

    def _ended(self, _pump: Pump[ConnectorReport], reason: GatewayError | None) -> None:
        self._closed.set()
        if not self._port.done():
            failure = reason or MeetingFailed("The proxy closed the connection.")
            self._port.set_exception(failure)
