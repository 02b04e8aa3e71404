"""One client's connection to an HTTP port: aiohttp on a socket that somebody else accepted."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace

from aiohttp import web

from gateway.base.errors import GatewayError
from gateway.cameras.sessions import STOPPING, Carrier, SessionEnd
from gateway.cameras.settings import CameraSettings
from gateway.driverkit.errors import CredentialsRefused
from gateway.net import sockets
from gateway.net.listener import adopt
from gateway.net.tasks import TaskRoom

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
StreamResponse = web.StreamResponse

LINE_MAX = 8190
"""Octets of a request line or header field; cookies of camera pages are under 4 KiB."""
KEEP_ALIVE_SECONDS = 60.0
STOP_SECONDS = 0.2
"""How long handlers may take to end when the connection is cut."""

_log = logging.getLogger(__name__)


class _OneConnection(web.Server):
    """aiohttp's server for exactly one connection, which tells when that is over."""

    def __init__(self, handler: Handler, over: Callable[[], None]) -> None:
        super().__init__(
            handler,
            access_log=None,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            max_line_size=LINE_MAX,
            max_field_size=LINE_MAX,
            auto_decompress=False,
            # Nobody waits for the answer of a client that is gone, so the camera need not give it.
            handler_cancellation=True,
        )
        self._over = over

    def connection_lost(self, handler: object, exc: BaseException | None = None) -> None:
        """Note the end (aiohttp)."""
        super().connection_lost(handler, exc)  # type: ignore[arg-type]
        self._over()


class HttpCarrier:
    """A `Carrier` whose octets are HTTP/1.1; `handle` answers each request."""

    def __init__(
        self,
        client: socket.socket,
        handle: Handler,
        *,
        settings: CameraSettings,
        room: TaskRoom,
        close: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._client = client
        self._handle = handle
        self._settings = settings
        self._room = room
        self._close = close
        self.note: object = None
        """The caller's own."""
        self._transport: asyncio.Transport | None = None
        self._tasks: set[asyncio.Task[object]] = set()
        self._asked = asyncio.Event()
        self._over = asyncio.Event()
        self._reason = "The client ended the connection."
        self._fault: GatewayError | None = None
        self.octets_down = 0
        """Octets of bodies to the client."""
        self.octets_up = 0
        """Octets of bodies to the camera."""

    def end(self, reason: str) -> None:
        """Cut the connection now."""
        if self._over.is_set():
            return  # only the first reason counts
        self._reason = reason
        if self._transport is not None:
            self._transport.abort()
        self._ended()

    def _ended(self) -> None:
        self._over.set()
        self._asked.set()

    def start(self, done: Callable[[Carrier, SessionEnd], None]) -> None:
        """Answer requests until the client or somebody here ends it, then call `done` once."""

        def over(task: asyncio.Task[SessionEnd]) -> None:
            end = SessionEnd(STOPPING, self.octets_down, self.octets_up, self._fault)
            if not task.cancelled():
                failed = "The connection failed inside the gateway."
                end = replace(end, reason=failed) if task.exception() else task.result()
            if self._transport is None:
                sockets.reset(self._client)  # it may not even have begun
            done(self, end)

        self._room.start(self._run(), name="http").add_done_callback(over)

    async def _run(self) -> SessionEnd:
        server = _OneConnection(self._answer, self._ended)
        if self._over.is_set():
            sockets.reset(self._client)
            return SessionEnd(self._reason, 0, 0)
        # Writers wait for the client without a limit of their own.
        sockets.bound_stall(self._client, self._settings.stall_seconds)
        try:
            self._transport = await adopt(self._client, server())
        except BaseException:
            sockets.reset(self._client)
            raise
        try:
            await self._first_request()
            await self._over.wait()
        finally:
            self._transport.abort()
            await server.shutdown(STOP_SECONDS)
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=STOP_SECONDS)
            if self._close is not None:
                await self._close()
        return SessionEnd(self._reason, self.octets_down, self.octets_up, self._fault)

    async def _first_request(self) -> None:
        limit = self._settings.first_octet_seconds
        try:
            async with asyncio.timeout(limit):
                # The end sets it as well: whichever comes first.
                await self._asked.wait()
        except TimeoutError:
            self.end(f"The client asked nothing for {limit:g} s.")

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self._asked.set()
        task = asyncio.current_task()
        if task is not None and task not in self._tasks:
            # aiohttp forgets its task when the connection goes; it is awaited all the same.
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            response = await self._handle(request)
            self.octets_down += _octets(response)
            return response
        except GatewayError as error:
            if isinstance(error, CredentialsRefused):
                self._fault = error
            return sentence(503, str(error))
        except web.HTTPException as error:
            return sentence(error.status, error.reason)
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception:
            _log.exception("a request to a camera's HTTP port failed")
            return sentence(500, "The gateway failed to answer; see its log.")


def sentence(status: int, text: str) -> web.Response:
    """Return an answer of ours: plain text, never cached, never interpreted."""
    return web.Response(status=status, text=text + "\n", headers=guarded({}))


def guarded(headers: dict[str, str]) -> dict[str, str]:
    """Return the headers with those that keep an answer out of caches and scripts."""
    return {
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Server": "Softnet Camera Gateway",
        **headers,
    }


def _octets(response: web.StreamResponse) -> int:
    if isinstance(response, web.Response):
        return len(response.body) if isinstance(response.body, bytes) else 0
    return response.body_length
