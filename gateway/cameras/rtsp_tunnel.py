"""The RTSP mediator on two raw sockets: one task a direction, and the data path for the media.

The downstream task reads the camera; when the mediator says so it hands the direction to the data
path and waits. The upstream task reads the client, dials the camera and calls the direction back
when a request needs its answer seen. Only the upstream task waits for answers.

While media flows either side may end its own direction: a client that says no more still gets the
stream, and what it says after the camera's end still reaches the camera. Resets go on as resets.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from gateway.base.clock import Clock
from gateway.base.errors import GatewayError, HostError, ProtocolViolation, TimedOut
from gateway.cameras.rtsp import RtspMediator
from gateway.cameras.sessions import SessionEnd
from gateway.cameras.settings import CameraSettings
from gateway.driverkit.driver import StreamSource
from gateway.driverkit.errors import Unreachable
from gateway.net import sockets
from gateway.net.datapath import DataPath, EndReason, Pair, PairLimits
from gateway.net.tasks import TaskRoom

READ_OCTETS = 64 * 1024
CLIENT_READ_OCTETS = 16 * 1024
"""Requests and receiver reports are small; speech on a back channel is 8 KB/s."""
REQUESTS_MAX = 100
REQUESTS_SECONDS = 10.0
"""A player sends under 10 requests to start and one each 15 s; a flood ends the connection."""
LAST_SECONDS = 10.0
"""How long a client may still speak to a camera that has ended the stream; most close at once."""
KILL_SECONDS = 0.5
"""How long the relay process may take to let go before the sockets are reset all the same."""

Dial = Callable[[StreamSource], Awaitable[socket.socket]]

_SENTENCES = {
    EndReason.CLOSED: "The camera ended the stream.",
    EndReason.A_RESET: "The connection to the camera broke.",
    EndReason.B_RESET: "The client went away.",
    EndReason.KILLED: "The connection was cut.",
    EndReason.IDLE: "The camera fell silent.",
    EndReason.STALLED: "The client took nothing for too long.",
    EndReason.REFUSED: "The gateway carries as many streams as it can.",
    EndReason.RELAY_LOST: "The relay process was lost.",
}
_CAMERA_FAULTS = (EndReason.A_RESET, EndReason.IDLE)


class RtspTunnel:
    """One client's connection to port 554 of one camera. `run` owns and closes both sockets."""

    def __init__(
        self,
        client: socket.socket,
        mediator: RtspMediator,
        *,
        dial: Dial,
        datapath: DataPath,
        settings: CameraSettings,
        clock: Clock,
        room: TaskRoom,
    ) -> None:
        self._client = client
        self._camera: socket.socket | None = None
        self._mediator = mediator
        self._dial = dial
        self._datapath = datapath
        self._settings = settings
        self._clock = clock
        self._room = room.child("tunnel")
        self._limits = PairLimits(
            idle=settings.silence_seconds, stall=settings.stall_seconds, receive=0
        )
        self._pair: Pair | None = None
        self._down = 0
        self._up = 0
        self._client_ended = False
        self._client_reset = False
        self._camera_ended = False
        self._over: asyncio.Future[tuple[str, bool]] = asyncio.get_running_loop().create_future()
        self._progress = asyncio.Event()
        self._to_client = asyncio.Lock()
        self._to_camera = asyncio.Lock()
        self._flood = (0.0, 0)

    @property
    def octets_down(self) -> int:
        """Octets sent to the client, as far as they are known now."""
        return self._down + (self._pair.octets_forward if self._pair is not None else 0)

    @property
    def octets_up(self) -> int:
        """Octets sent to the camera."""
        return self._up

    def end(self, reason: str) -> None:
        """Cut both connections now; `run` returns soon after."""
        self._finish(reason, cut=True)

    async def run(self) -> SessionEnd:
        """Carry on until one side ends."""
        self._room.start(self._guarded(self._upstream()), name="upstream")
        reason, cut = "The gateway is stopping.", True
        try:
            reason, cut = await self._over
        finally:
            await self._close(cut=cut)
        if self._camera_ended:
            self._mediator.camera_failed(Unreachable(_SENTENCES[EndReason.CLOSED]))
        return SessionEnd(reason, self._down, self._up, self._mediator.fault)

    def _finish(self, reason: str, *, cut: bool = False) -> None:
        if not self._over.done():
            self._over.set_result((reason, cut))

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """Run one direction; whatever ends it ends the tunnel."""
        try:
            await work
        except GatewayError as error:
            self._finish(str(error), cut=True)
        finally:
            self._finish("The connection failed inside the gateway.", cut=True)

    async def _close(self, *, cut: bool) -> None:
        pair = self._pair
        if pair is not None:
            # Shut by the relay process, the camera would see an end before the reset.
            pair.kill(shut=cut and not self._client_reset)
        await self._room.close()
        if pair is not None:
            try:
                async with asyncio.timeout(KILL_SECONDS):
                    self._down += (await pair.wait()).octets_forward
            except TimeoutError:
                self._down += pair.octets_forward
        if self._camera is not None:
            try:
                self._camera.send(self._mediator.farewell())
            except OSError:
                pass
            if self._client_reset:
                sockets.reset(self._camera)
            else:
                self._camera.close()
        if cut:
            sockets.reset(self._client)
        else:
            sockets.close_write(self._client)
            self._client.close()

    # -- from the client

    async def _upstream(self) -> None:
        limit = self._settings.first_octet_seconds
        while True:
            data = await self._read_client(limit)
            limit = self._settings.idle_seconds
            if not data and self._camera_ended:
                self._finish(_SENTENCES[EndReason.CLOSED])
                return
            if not data and self._mediator.playing:
                # It may want to hear the rest; if it is gone altogether, the next octet is reset.
                self._client_ended = True
                await asyncio.wait([self._over])
                return
            self._mediator.client_octets(data)
            self._count_requests()
            await self._settle()
            if self._over.done():
                return

    async def _read_client(self, limit: float) -> bytes:
        while True:
            try:
                async with asyncio.timeout(limit):
                    return await sockets.receive(self._client, CLIENT_READ_OCTETS)
            except TimeoutError:
                # A player that gets media need not say anything; the data path watches it.
                if not self._mediator.playing:
                    raise TimedOut(f"The client said nothing for {limit:g} s.") from None
            except HostError:
                self._client_reset = True
                raise

    async def _settle(self) -> None:
        """Do what the mediator wants until only the sockets can bring something new."""
        mediator = self._mediator
        while True:
            await self._flush()
            if mediator.finished:
                self._end_as_mediator()
                return
            if self._over.done():
                return  # nobody brings the media back any more; waiting for it would never end
            if self._camera_ended and mediator.wants_reclaim:
                self._finish(_SENTENCES[EndReason.CLOSED])  # nobody answers requests any more
                return
            source = mediator.wants_camera
            if source is not None:
                await self._connect(source)
            elif mediator.wants_reclaim:
                await self._call_back()
            elif mediator.waiting:
                await self._await_answer()
            else:
                return

    async def _connect(self, source: StreamSource) -> None:
        try:
            self._camera = await self._dial(source)
        except HostError:
            # Its sentence names the address, which is no client's business.
            self._mediator.camera_failed(Unreachable("The camera does not answer."))
            return
        except GatewayError as error:
            self._mediator.camera_failed(error)
            return
        self._mediator.camera_connected()
        self._room.start(self._guarded(self._downstream(self._camera)), name="downstream")

    async def _call_back(self) -> None:
        pair = self._pair
        if pair is not None:
            # The downstream task sees the end of the pair and tells the mediator.
            await pair.reclaim()
        while self._mediator.wants_reclaim and not self._over.done():
            await self._tick(self._settings.answer_seconds)

    async def _await_answer(self) -> None:
        before = self._mediator.exchanges
        # The answer of a playing camera waits behind media that a slow client still has to take.
        factor = 3 if self._mediator.playing else 1
        if await self._tick(self._settings.answer_seconds * factor):
            return
        if self._mediator.exchanges == before and self._mediator.waiting:
            self._mediator.overdue()

    async def _tick(self, seconds: float) -> bool:
        """Wait until the downstream task has brought an answer; False after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._progress.wait()
        except TimeoutError:
            return False
        self._progress.clear()
        return True

    def _count_requests(self) -> None:
        since, count = self._flood
        now = self._clock.monotonic()
        if now - since > REQUESTS_SECONDS:
            self._flood = since, count = now, self._mediator.requests
        if self._mediator.requests - count > REQUESTS_MAX:
            raise ProtocolViolation("The client floods the camera with requests.")

    # -- from the camera

    async def _downstream(self, camera: socket.socket) -> None:
        mediator = self._mediator
        while True:
            try:
                data = await sockets.receive(camera, READ_OCTETS)
            except HostError:
                data = b""  # a reset is an end: the client is told why, not cut off
            exchanges, waiting = mediator.exchanges, mediator.waiting
            mediator.camera_octets(data)
            await self._flush()
            if mediator.finished:
                self._end_as_mediator()
                return
            if (exchanges, waiting) != (mediator.exchanges, mediator.waiting):
                self._progress.set()
            feeds = mediator.can_feed and not self._to_client.locked()
            if feeds and not await self._feed(camera):
                return

    async def _feed(self, camera: socket.socket) -> bool:
        """Leave the direction to the data path until it comes back; False when it has ended."""
        early = self._mediator.begin_feed()
        self._pair = self._datapath.feed(camera, self._client, early=early, limits=self._limits)
        end = await self._pair.wait()
        self._pair = None
        self._down += end.octets_forward
        if end.reason is EndReason.RECLAIMED:
            self._mediator.reclaimed()
            self._progress.set()
            return True
        if end.reason is EndReason.CLOSED:
            self._camera_ended = True
            self._progress.set()
            if not self._client_ended:
                await asyncio.wait([self._over], timeout=LAST_SECONDS)
        elif end.reason in _CAMERA_FAULTS:
            self._mediator.camera_failed(Unreachable(_SENTENCES[end.reason]))
        self._client_reset = end.reason is EndReason.B_RESET
        self._finish(_SENTENCES[end.reason], cut=end.reason is not EndReason.CLOSED)
        return False

    # -- both

    async def _flush(self) -> None:
        """Send what the mediator has for either side, in its order."""
        async with self._to_camera:
            data = self._mediator.to_camera()
            if data and self._camera is not None:
                try:
                    await self._send(self._camera, data)
                    self._up += len(data)
                except HostError:
                    broken = Unreachable("The camera broke the connection off.")
                    self._mediator.camera_failed(broken)
        async with self._to_client:
            data = self._mediator.to_client()
            if data:
                await self._send(self._client, data)
                self._down += len(data)

    async def _send(self, sock: socket.socket, data: bytes) -> None:
        try:
            async with asyncio.timeout(self._settings.stall_seconds):
                await sockets.send_all(sock, data)
        except TimeoutError:
            raise TimedOut("The other side took nothing for too long.") from None

    def _end_as_mediator(self) -> None:
        finished = self._mediator.finished
        if isinstance(finished, GatewayError):
            self._finish(str(finished))
        else:
            self._finish("The client ended the connection.")
