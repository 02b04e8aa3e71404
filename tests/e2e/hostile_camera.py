"""Cameras that mean harm: programs of our own behind RTSP and HTTP ports, and raw mDNS answers.

Each trick is a coroutine that has a connection and does with it as it likes. They run on a loop of
their own on a host of the test LAN.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from tests.e2e.hostile_box import CLONE_NEWNET
from tests.support.lan import Host

Reader: TypeAlias = asyncio.StreamReader
Writer: TypeAlias = asyncio.StreamWriter
Trick: TypeAlias = Callable[[Reader, Writer], Awaitable[None]]

SDP = (
    "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns={name}\r\nt=0 0\r\na=control:{base}\r\n"
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:{track}\r\n"
)
FLOOD = b"A" * 65536
FLOOD_MAX = 2_000_000_000
"""Octets after which even an endless answer ends, in case that nobody stops it."""


class Den:
    """A loop on the hostile host with servers on it; `heard` counts what was asked of each."""

    def __init__(self, host: Host) -> None:
        self.heard: Counter[str] = Counter()
        self.requests: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._servers: list[asyncio.Server] = []
        ready = threading.Event()

        def run() -> None:
            handle = os.open(host.path, os.O_RDONLY)
            assert ctypes.CDLL(None).setns(handle, CLONE_NEWNET) == 0
            os.close(handle)
            asyncio.set_event_loop(self._loop)
            self._loop.call_soon(ready.set)
            self._loop.run_forever()

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        ready.wait(5)

    def serve(self, address: str, port: int, trick: Trick, name: str = "") -> None:
        """Play a trick on whoever connects to a port."""

        async def connected(reader: Reader, writer: Writer) -> None:
            self.heard[name or str(port)] += 1
            try:
                await trick(reader, writer)
                await asyncio.sleep(0.2)
            except (OSError, EOFError):
                pass
            finally:
                writer.transport.abort()

        async def open_it() -> None:
            self._servers.append(await asyncio.start_server(connected, address, port))

        asyncio.run_coroutine_threadsafe(open_it(), self._loop).result(5)

    def close(self) -> None:
        async def stop() -> None:
            for server in self._servers:
                server.close()
            mine = asyncio.current_task()
            tasks = [task for task in asyncio.all_tasks() if task is not mine]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


# -- tricks of RTSP and HTTP ---------------------------------------------------------------------


async def asked(reader: Reader) -> tuple[str, str]:
    """Return the start line and the CSeq of the next request."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    lines = head.split("\r\n")
    found = [line.partition(":")[2].strip() for line in lines if line.lower().startswith("cseq")]
    return lines[0], (found or ["1"])[0]


def answers(head: str, body: str = "", *, endless: bytes = b"", pause: float = 0.0) -> Trick:
    """Answer each request so; {cseq} is filled in. `endless` follows without an end."""

    async def trick(reader: Reader, writer: Writer) -> None:
        while True:
            _, cseq = await asked(reader)
            text = head.replace("{cseq}", cseq).replace("\n", "\r\n")
            writer.write((text + "\r\n" + body).encode() if not endless else text.encode())
            await writer.drain()
            for _ in range(FLOOD_MAX // len(endless) if endless else 0):
                writer.write(endless)
                await writer.drain()
                await asyncio.sleep(pause)

    return trick


def pours(octets: bytes, *, pause: float = 0.0) -> Trick:
    """Say the same without an end, whatever is asked."""

    async def trick(_: Reader, writer: Writer) -> None:
        for _ in range(FLOOD_MAX // max(1, len(octets))):
            writer.write(octets)
            await writer.drain()
            await asyncio.sleep(pause)

    return trick


async def says_nothing(reader: Reader, _: Writer) -> None:
    await reader.read()


async def speaks_garbage(reader: Reader, writer: Writer) -> None:
    chance = random.Random(5)
    while True:
        await asked(reader)
        writer.write(chance.randbytes(3000) + b"\r\n\r\n")


async def asks_for_login_for_ever(reader: Reader, writer: Writer) -> None:
    number = 0
    while True:
        start, cseq = await asked(reader)
        number += 1
        version = "RTSP/1.0" if "RTSP" in start else "HTTP/1.1"
        writer.write(
            f"{version} 401 Unauthorized\r\nCSeq: {cseq}\r\nContent-Length: 0\r\n"
            f'WWW-Authenticate: Digest realm="x", nonce="n{number}", stale=true\r\n\r\n'.encode()
        )


def describes(sdp: str, requests: list[str], then: bytes = b"") -> Trick:
    """Answer as a camera does, with this description, and pour `then` after PLAY."""

    async def trick(reader: Reader, writer: Writer) -> None:
        while True:
            start, cseq = await asked(reader)
            requests.append(start)
            head, body = f"RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\n", b""
            if start.startswith("DESCRIBE"):
                body = sdp.encode()
                head += "Content-Type: application/sdp\r\n"
            elif start.startswith("SETUP"):
                head += "Session: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
            if start.startswith("PLAY"):
                if then:
                    await pours(then)(reader, writer)
                return

    return trick


# -- mDNS ----------------------------------------------------------------------------------------

PTR, TXT, AAAA, A, SRV = 12, 16, 28, 1, 33


def _labels(*labels: bytes) -> bytes:
    return b"".join(bytes((len(each),)) + each for each in labels) + b"\0"


def _record(name: bytes, kind: int, data: bytes, seconds: int) -> bytes:
    group = 1 if kind == PTR else 0x8001
    return name + struct.pack("!HHIH", kind, group, seconds, len(data)) + data


def announcement(
    name: bytes,
    port: int,
    properties: Mapping[str, str] | Sequence[bytes],
    addresses: Iterable[str],
    *,
    kind: bytes = b"_rtsp",
    host: bytes = b"evil",
    seconds: int = 120,
) -> bytes:
    """Return an mDNS answer that announces one service, whatever it says."""
    service = _labels(kind, b"_tcp", b"local")
    instance = bytes((len(name),)) + name + service
    target = _labels(host, b"local")
    if isinstance(properties, Mapping):
        properties = [f"{key}={value}".encode() for key, value in properties.items()]
    text = b"".join(bytes((len(each),)) + each for each in properties) or b"\0"
    records = [
        _record(service, PTR, instance, seconds),
        _record(instance, SRV, struct.pack("!HHH", 0, 0, port) + target, seconds),
        _record(instance, TXT, text, seconds),
    ]
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        packed = socket.inet_pton(family, address)
        records.append(_record(target, AAAA if ":" in address else A, packed, seconds))
    return struct.pack("!HHHHHH", 0, 0x8400, 0, len(records), 0, 0) + b"".join(records)


def shout(own: str, packets: Iterable[bytes]) -> None:
    """Send packets to everybody on the LAN of `own`; call it inside the host."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(own))
        sock.bind((own, 5353))
        for packet in packets:
            sock.sendto(packet, ("224.0.0.251", 5353))
