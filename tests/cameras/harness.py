"""Cameras behind a mediator on loopback, players before it, and a tap that keeps every octet."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.base.clock import SystemClock
from gateway.base.entropy import SystemEntropy
from gateway.base.errors import NotFound
from gateway.cameras.rtsp import RtspMediator
from gateway.cameras.rtsp_ground import TunnelGround
from gateway.cameras.rtsp_rewrite import login_echoes
from gateway.cameras.rtsp_tunnel import RtspTunnel
from gateway.cameras.sessions import SessionEnd
from gateway.cameras.settings import CameraSettings
from gateway.driverkit.digest import CameraCredentials, LoginAnswerer
from gateway.driverkit.driver import StreamSource
from gateway.net import sockets
from gateway.net.datapath import DataPath
from gateway.net.listener import Listener
from gateway.net.tasks import TaskRoom

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # the zoo's test rig lies beside us

from tests.drivers.cameras import CREDENTIALS, PASSWORD, USER, stranger, virtual_camera  # noqa: E402

__all__ = ["CREDENTIALS", "PASSWORD", "USER", "Gate", "Tap", "player", "stranger", "virtual_camera"]


class Gate:
    """A listening socket whose every connection is tunnelled to one camera."""

    def __init__(self, room: TaskRoom, datapath: DataPath, paths: dict[str, StreamSource]) -> None:
        self.room = room
        self.datapath = datapath
        self.paths = paths
        self.credentials: CameraCredentials | None = CREDENTIALS
        self.settings = CameraSettings(allow_loopback=True)
        self.operate = False
        self.tunnels: list[RtspTunnel] = []
        self.ends: asyncio.Queue[SessionEnd] = asyncio.Queue()
        self.open = 0
        self.empty = asyncio.Event()
        self.listener = Listener(room, self.accepted)
        self.address, self.port = self.listener.open(["127.17.0.1"], 0)[0]

    def place(self, name: str) -> StreamSource:
        if name not in self.paths:
            raise NotFound("There is no such stream.")
        return self.paths[name]

    async def dial(self, source: StreamSource) -> socket.socket:
        return await sockets.connect(source.host, source.port, timeout=3)

    def accepted(self, sock: socket.socket, peer: str) -> None:
        entropy = SystemEntropy()
        login = None
        if self.credentials is not None:
            login = LoginAnswerer(self.credentials, entropy=entropy)
        mediator = RtspMediator(
            place=self.place, login=login, operate=self.operate, first_cseq=123_456_789,
            session_id="ab" * 8, hidden=tuple({each.host for each in self.paths.values()}),
            echoes=login_echoes(self.credentials),
        )  # fmt: skip
        ground = TunnelGround(
            dial=self.dial, datapath=self.datapath, settings=self.settings, clock=SystemClock(),
            room=self.room,
        )  # fmt: skip
        tunnel = RtspTunnel(sock, mediator, ground)
        tunnel.note = peer
        self.tunnels.append(tunnel)
        self.open += 1
        tunnel.start(self._over)

    def _over(self, tunnel: RtspTunnel, end: SessionEnd) -> None:
        self.ends.put_nowait(end)
        self.listener.released(tunnel.note)
        self.open -= 1
        if not self.open:
            self.empty.set()


@asynccontextmanager
async def gate(
    camera: dict[str, Any], main: str = "/main", sub: str = "/sub"
) -> AsyncIterator[Gate]:
    async with TaskRoom("test") as room:
        datapath = DataPath(room, SystemClock())
        await datapath.start()
        port = camera.get("rtsp_port") or camera["port"]
        places = {
            name: StreamSource(camera["address"], port, path)
            for name, path in {"": main, "main": main, "sub": sub}.items()
        }
        opened = Gate(room, datapath, places)
        try:
            yield opened
        finally:
            opened.listener.close()
            for tunnel in opened.tunnels:
                tunnel.end("the test is over")
            async with asyncio.timeout(5):
                while opened.open:
                    opened.empty.clear()
                    await opened.empty.wait()
            await datapath.stop()


class Tap:
    """A TCP proxy that keeps what the client receives."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.port = 0

    @asynccontextmanager
    async def before(self, address: str, port: int) -> AsyncIterator[Tap]:
        async def carry(reader, writer, keep) -> None:
            try:
                while data := await reader.read(65536):
                    if keep:
                        self.received += data
                    writer.write(data)
                    await writer.drain()
            except OSError:
                pass
            finally:
                writer.close()

        async def serve(reader, writer) -> None:
            there, away = await asyncio.open_connection(address, port)
            up = asyncio.create_task(carry(reader, away, False))
            try:
                await carry(there, writer, True)
            finally:
                up.cancel()
                away.close()

        server = await asyncio.start_server(serve, "127.17.0.2", 0)
        self.address, self.port = server.sockets[0].getsockname()[:2]
        try:
            yield self
        finally:
            server.close()
            await asyncio.sleep(0.1)


async def player(*arguments: str, program: str = "ffmpeg") -> tuple[int, str, str]:
    """Run ffmpeg or ffprobe; return (exit code, output, messages)."""
    process = await asyncio.create_subprocess_exec(
        program, "-hide_banner", "-loglevel", "warning", *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(40):
            out, said = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    return process.returncode or 0, out.decode(), said.decode()
