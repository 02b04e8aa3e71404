"""The remote client of the gateway's benchmark, in a process of its own.

Reads one JSON order a line, answers each with one JSON line. It reaches cameras through a Softnet
client endpoint, or directly for comparison. Octets are thrown away in the kernel (MSG_TRUNC).

Run: python bench/viewer.py URI, with the password as the first line of standard input
"""

from __future__ import annotations

import asyncio
import json
import selectors
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.bulk_camera import STAMP_AT, STAMP_SIZE, picture_octets
from gateway.base.clock import SystemClock
from gateway.base.entropy import SystemEntropy
from gateway.base.secret import Secret
from gateway.endpoint.client import ClientEndpoint
from gateway.net import sockets
from gateway.net.tasks import TaskRoom

RTSP_PORT = 554
TAKE = 1 << 20
WARM_UP = 0.5
"""Seconds of streaming before counting: windows and pipes grow first."""


@dataclass
class Stream:
    """One playing stream and what came of it."""

    sock: socket.socket
    picture: int = 0
    octets: int = 0
    filled: int = 0
    stamp: bytes = b""
    delays: list[float] = field(default_factory=list)

    def take(self, buffer: bytearray) -> None:
        """Read what is there; of a paced stream not past the end of a picture."""
        if not self.picture:
            count = self.sock.recv_into(buffer, TAKE, socket.MSG_TRUNC)
        elif self.filled < STAMP_AT + STAMP_SIZE:
            part = self.sock.recv(STAMP_AT + STAMP_SIZE - self.filled)
            self.stamp += part
            count = len(part)
        else:
            count = self.sock.recv_into(buffer, self.picture - self.filled, socket.MSG_TRUNC)
        if not count:
            raise ConnectionError("the stream ended")
        self.octets += count
        self.filled += count
        if self.picture and self.filled == self.picture:
            self.delays.append(time.monotonic() - float(self.stamp[STAMP_AT:]))
            self.filled, self.stamp = 0, b""


async def answer(sock: socket.socket, method: str, sequence: int, *headers: str) -> str:
    """Send one request, read exactly its answer and return that one's Session."""
    request = f"{method} rtsp://camera/main RTSP/1.0\r\nCSeq: {sequence}\r\n"
    request += "".join(f"{header}\r\n" for header in headers) + "\r\n"
    await sockets.send_all(sock, request.encode())
    # Octet by octet at the end of the head: what follows a PLAY's answer is the stream's.
    head = await sockets.read_exactly(sock, 20, 10)
    while not head.endswith(b"\r\n\r\n"):
        head += await sockets.read_exactly(sock, 1, 10)
    if not head.startswith(b"RTSP/1.0 200 "):
        raise ConnectionError(head.decode())
    session = ""
    for line in head.decode().split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            await sockets.read_exactly(sock, int(value), 10)
        elif name.lower() == "session":
            session = value.partition(";")[0].strip()
    return session


class Viewer:
    """One client of the site; `where` is a service id, or [host, port] of a camera."""

    def __init__(self, endpoint: ClientEndpoint) -> None:
        self._endpoint = endpoint

    async def open(self, where: Any) -> socket.socket:
        """Return a connection to the camera's RTSP port."""
        if isinstance(where, list):
            return await sockets.connect(where[0], where[1])
        return (await self._endpoint.connect_tcp(where, RTSP_PORT)).socket

    async def play(self, where: Any, mbit: float) -> Stream:
        """Return a stream at its first octet."""
        sock = await self.open(where)
        await answer(sock, "DESCRIBE", 1, "Accept: application/sdp")
        transport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1"
        session = await answer(sock, "SETUP", 2, transport)
        await answer(sock, "PLAY", 3, f"Session: {session}")
        return Stream(sock, picture_octets(mbit) if mbit else 0)

    async def streams(self, where: Any, count: int, seconds: float, mbit: float) -> dict[str, Any]:
        """Read `count` streams at once for `seconds`; pace is the camera's own."""
        playing: list[Stream] = []
        try:
            while len(playing) < count:
                playing.append(await self.play(where, mbit))
            # The endpoint's own connection can wait for these few seconds.
            _read(playing, WARM_UP)
            before = sum(stream.octets for stream in playing)
            for stream in playing:
                stream.delays.clear()
            began = time.monotonic()
            print(json.dumps("begun"), flush=True)
            _read(playing, seconds)
            took = time.monotonic() - began
            octets = sum(stream.octets for stream in playing) - before
        finally:
            for stream in playing:
                stream.sock.close()
        delays = sorted(delay for stream in playing for delay in stream.delays)
        return {"octets": octets, "seconds": took, "delays": delays}

    async def set_ups(self, wheres: list[Any], times: int, at_once: int) -> dict[str, Any]:
        """Open, ask once and close, camera by camera; return seconds to the tunnel and answer."""
        tunnels: list[float] = []
        answers: list[float] = []
        left = iter(range(times))

        async def work() -> None:
            for number in left:
                began = time.monotonic()
                sock = await self.open(wheres[number % len(wheres)])
                tunnels.append(time.monotonic() - began)
                try:
                    await answer(sock, "DESCRIBE", 1, "Accept: application/sdp")
                    answers.append(time.monotonic() - began)
                finally:
                    sock.close()

        began = time.monotonic()
        await asyncio.gather(*(work() for _ in range(at_once)))
        took = time.monotonic() - began
        return {"tunnels": sorted(tunnels), "answers": sorted(answers), "seconds": took}

    async def obey(self, order: dict[str, Any]) -> Any:
        """Carry out one order."""
        do = order.pop("do")
        if do == "streams":
            return await self.streams(**order)
        if do == "set_ups":
            return await self.set_ups(**order)
        raise ValueError(do)


def _read(playing: list[Stream], seconds: float) -> None:
    buffer = bytearray(TAKE)
    end = time.monotonic() + seconds
    with selectors.EpollSelector() as ready:
        for stream in playing:
            ready.register(stream.sock, selectors.EVENT_READ, stream)
        while time.monotonic() < end:
            for key, _ in ready.select(end - time.monotonic()):
                key.data.take(buffer)


async def main() -> None:
    """Connect, say so, and obey until standard input ends."""
    room = TaskRoom("viewer")
    endpoint = ClientEndpoint(
        sys.argv[1],
        Secret(sys.stdin.readline().rstrip("\n")),
        service_type="IP Camera",
        contract_author="Softnet Camera Gateway",
        description="benchmark",
        room=room,
        clock=SystemClock(),
        entropy=SystemEntropy(),
    )
    endpoint.connect()
    async with asyncio.timeout(20):
        while not endpoint.services or not all(one.online for one in endpoint.services):
            await asyncio.sleep(0.05)
    services = {service.hostname: service.id for service in endpoint.services}
    print(json.dumps(services), flush=True)
    viewer = Viewer(endpoint)
    try:
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(await viewer.obey(json.loads(line))), flush=True)
    finally:
        await endpoint.close()
        await room.close()


if __name__ == "__main__":
    asyncio.run(main())
