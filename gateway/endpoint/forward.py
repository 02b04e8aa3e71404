"""A local TCP port whose connections go to a virtual port of a service."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Callable

from gateway.base.errors import GatewayError, HostError
from gateway.endpoint.client import ClientEndpoint
from gateway.endpoint.errors import AccessDenied, PortUnreachable, RequestRefused
from gateway.net import sockets
from gateway.net.copy import copy_both
from gateway.net.datapath import DataPath
from gateway.net.listener import Listener
from gateway.net.tasks import TaskRoom

_log = logging.getLogger(__name__)

CONNECTIONS_MAX = 64
"""Connections through one local port at a time; a player opens one or two."""
_FIRST_MAX = 8192
"""Octets of a refused program's first request that are looked at."""
_FIRST_SECONDS = 2.0
_REQUEST = re.compile(rb"[A-Z_]{3,20} \S{1,2048} (RTSP/1\.0|HTTP/1\.[01])\r\n")
_CSEQ = re.compile(rb"(?im)^cseq:[ \t]*(\d{1,10})[ \t]*\r?$")


def explain(first: bytes, error: GatewayError) -> bytes:
    """Return what a refused player or browser is answered, b'' for a program of another kind.

    RTSP and HTTP have statuses for it, so that people see why there is no picture.
    """
    asked = _REQUEST.match(first)
    if asked is None:
        return b""
    status = b"503 Service Unavailable"
    if isinstance(error, AccessDenied):
        status = b"403 Forbidden"
    elif isinstance(error, PortUnreachable):
        status = b"404 Not Found"
    text = str(error).encode("ascii", "replace") + b"\r\n"
    lines = [asked[1] + b" " + status]
    sequence = _CSEQ.search(first)
    if sequence is not None:
        lines.append(b"CSeq: " + sequence[1])
    lines += [
        b"Content-Type: text/plain",
        b"Content-Length: %d" % len(text),
        b"Connection: close",
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + text


class LocalForward:
    """Listens on a local address and joins each connection to (service, virtual port).

    `refused(error)` is told of every connection that came to nothing. With a data path the octets
    move in the relay process, else in this one.
    """

    def __init__(
        self,
        endpoint: ClientEndpoint,
        service_id: int,
        virtual_port: int,
        *,
        room: TaskRoom,
        datapath: DataPath | None = None,
        refused: Callable[[GatewayError], None] | None = None,
        joined: Callable[[], None] | None = None,
        ended: Callable[[], None] | None = None,
    ) -> None:
        self._endpoint = endpoint
        self.service_id = service_id
        self.virtual_port = virtual_port
        self._room = room.child(f"forward to {service_id}:{virtual_port}")
        self._datapath = datapath
        self._refused = refused
        self._joined = joined
        self._ended = ended
        self._listener = Listener(
            self._room, self._accepted, limit=CONNECTIONS_MAX, per_peer=CONNECTIONS_MAX
        )
        self.address = ("", 0)

    def open(self, host: str = "127.0.0.1", port: int = 0) -> tuple[str, int]:
        """Begin to listen; return the bound address. Raises HostError when it is taken."""
        self.address = self._listener.open([host], port)[0]
        return self.address

    async def close(self) -> None:
        """Stop listening and cut what is being set up or copied in this process."""
        self._listener.close()
        await self._room.close()

    def _accepted(self, sock: socket.socket, peer: str) -> None:
        self._room.start(self._serve(sock, peer), name=f"connection of {peer}")

    async def _serve(self, local: socket.socket, peer: str) -> None:
        try:
            try:
                tunnel = await self._endpoint.connect_tcp(self.service_id, self.virtual_port)
            except RequestRefused as error:
                if self._refused is not None:
                    self._refused(error)
                await self._turn_away(local, error)
                return
            if self._joined is not None:
                self._joined()
            await self._join(local, tunnel.socket)
            if self._ended is not None:
                self._ended()
        finally:
            local.close()
            self._listener.released(peer)

    async def _join(self, local: socket.socket, tunnel: socket.socket) -> None:
        if self._datapath is None:
            try:
                await copy_both(local, tunnel, self._room)
            finally:
                tunnel.close()  # where the room was closed before the copying began
            return
        try:
            pair = self._datapath.join(local, tunnel)
        except BaseException:
            tunnel.close()
            raise
        try:
            await pair.wait()
        except asyncio.CancelledError:
            pair.kill()
            raise

    async def _turn_away(self, local: socket.socket, error: GatewayError) -> None:
        first = b""
        try:
            async with asyncio.timeout(_FIRST_SECONDS):
                while b"\r\n\r\n" not in first and len(first) < _FIRST_MAX:
                    part = await sockets.receive(local, _FIRST_MAX - len(first))
                    if not part:
                        break
                    first += part
        except TimeoutError:
            pass
        except HostError:
            return
        answer = explain(first, error)
        try:
            async with asyncio.timeout(_FIRST_SECONDS):
                if answer:
                    await sockets.send_all(local, answer)
                sockets.close_write(local)
                # Octets that nobody read would turn the close into a reset and lose the answer.
                while await sockets.receive(local, _FIRST_MAX):
                    pass
        except (TimeoutError, HostError):
            pass
