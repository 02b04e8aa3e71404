"""A camera that says only what a test has it say, for tunnels at rest."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.driverkit.rtsp import Headers, Interleaved, Request, Response, RtspReader
from tests.cameras.dialogue import SDP

ADDRESS = "127.31.0.1"


class StillCamera:
    """Answers everything; `say` and `close` concern the newest connection."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[Request] = asyncio.Queue()
        self.frames: asyncio.Queue[Interleaved] = asyncio.Queue()
        self.ended: asyncio.Queue[str] = asyncio.Queue()
        """Per connection "end" or "reset"."""
        self.silent = False
        self.serving: set[asyncio.Task[None]] = set()
        self._writer: asyncio.StreamWriter | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer, messages, how = writer, RtspReader(keep_frames=True), "end"
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        try:
            while data := await reader.read(65536):
                messages.feed(data)
                while (message := messages.next_message()) is not None:
                    self._heard(message, writer)
        except ConnectionError:
            how = "reset"
        finally:
            self.ended.put_nowait(how)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            self.serving.discard(task)

    def _heard(
        self, message: Request | Response | Interleaved, writer: asyncio.StreamWriter
    ) -> None:
        if isinstance(message, Interleaved):
            self.frames.put_nowait(message)
        if not isinstance(message, Request):
            return
        self.asked.put_nowait(message)
        fields, body = [("CSeq", str(message.cseq))], b""
        if message.method == "DESCRIBE":
            fields.append(("Content-Type", "application/sdp"))
            body = SDP.encode()
        elif message.method == "SETUP":
            fields.append(("Transport", message.headers.get("Transport") or ""))
        if message.method not in ("DESCRIBE", "OPTIONS"):
            fields.append(("Session", "4711;timeout=60"))
        if not self.silent:
            writer.write(Response(200, "OK", Headers(fields), body).encode())

    def say(self, octets: bytes) -> None:
        assert self._writer is not None
        self._writer.write(octets)

    def close(self, *, reset: bool = False) -> None:
        assert self._writer is not None
        if reset:
            abort(self._writer)
        else:
            self._writer.write_eof()

    async def saw(self, method: str) -> Request:
        """Wait for a request of this kind, past others."""
        async with asyncio.timeout(10):
            while (request := await self.asked.get()).method != method:
                pass
        return request


def abort(writer: asyncio.StreamWriter) -> None:
    """Reset a connection."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def still_camera() -> AsyncIterator[tuple[StillCamera, dict[str, object]]]:
    """Serve one; yields it and how `gate` wants to know it."""
    camera = StillCamera()
    server = await asyncio.start_server(camera.serve, ADDRESS, 0)
    try:
        port = server.sockets[0].getsockname()[1]
        yield camera, {"address": ADDRESS, "port": port}
    finally:
        server.close()
        for task in tuple(camera.serving):
            task.cancel()
        if camera.serving:
            await asyncio.wait(camera.serving)
