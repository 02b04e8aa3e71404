"""What a hostile host of the internet does to an open port; run on a loop of its own host."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

BALANCER, TRACKER, RENDEZVOUS, RENDEZVOUS_UDP, RELAY, PAGE = 7737, 7740, 7778, 7779, 37780, 8080
PORTS = (BALANCER, TRACKER, RENDEZVOUS, RENDEZVOUS_UDP, RELAY, PAGE)
MDNS = 5353
UDP_PORTS = (RENDEZVOUS_UDP, MDNS)
AT_ONCE = 200
"""Connections that one attack has open at a time, where it is not about their number."""


@dataclass(frozen=True)
class Ending:
    """How a connection ended: `how` is closed, reset, refused or open (the peer was patient)."""

    how: str
    said: bytes = b""
    seconds: float = 0.0


def resetting(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def poke(
    address: str,
    port: int,
    octets: bytes | Sequence[bytes],
    *,
    pause: float = 0.0,
    half_close: bool = False,
    patience: float = 10.0,
) -> Ending:
    """Connect, say something (in pieces with pauses), and wait for the end."""
    begun = time.monotonic()
    try:
        reader, writer = await asyncio.open_connection(address, port)
    except ConnectionResetError:
        return Ending("reset")  # let in and reset before this busy loop looked
    except OSError as error:
        return Ending("refused", str(error).encode())
    said = bytearray()

    async def talk() -> None:
        for piece in [octets] if isinstance(octets, bytes) else octets:
            writer.write(piece)
            await writer.drain()
            if pause:
                await asyncio.sleep(pause)
        if half_close:
            writer.write_eof()

    talking = asyncio.create_task(talk())
    how = "open"
    try:
        async with asyncio.timeout(patience):
            while data := await reader.read(65536):
                said += data[: max(0, 65536 - len(said))]
            how = "closed"
    except TimeoutError:
        pass
    except OSError:
        how = "reset"
    finally:
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)
        writer.transport.abort()
    return Ending(how, bytes(said), time.monotonic() - begun)


async def pokes(
    address: str,
    port: int,
    each: Iterable[bytes],
    *,
    half_close: bool = False,
    patience: float = 10.0,
) -> list[Ending]:
    """Poke once for each text, many at a time."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(octets: bytes) -> Ending:
        async with gate:
            return await poke(address, port, octets, half_close=half_close, patience=patience)

    return list(await asyncio.gather(*(one(octets) for octets in each)))


def garbage(seed: int, count: int) -> list[bytes]:
    """Return random texts of 1 to 8192 octets; the same for the same seed."""
    chance = random.Random(seed)
    return [chance.randbytes(int(2 ** chance.uniform(0, 13))) for _ in range(count)]


def damaged(seed: int, good: Sequence[bytes], count: int) -> list[bytes]:
    """Return damaged copies of good openings: bits turned, cut short, doubled, swollen."""
    chance = random.Random(seed)
    made = []
    for _ in range(count):
        octets = bytearray(chance.choice(good))
        for _ in range(chance.randint(1, 4)):
            what, at = chance.randrange(4), chance.randrange(len(octets))
            if what == 0:
                octets[at] ^= 1 << chance.randrange(8)
            elif what == 1:
                del octets[at + 1 :]
            elif what == 2:
                octets[at:at] = octets
                del octets[4096:]
            else:
                octets[at:at] = chance.randbytes(chance.randint(1, 64))
        made.append(bytes(octets))
    return made


async def storm(address: str, port: int, count: int, *, reset: bool, say: bytes = b"") -> int:
    """Connect and close, again and again; return how often the connect was refused."""
    loop = asyncio.get_running_loop()
    gate = asyncio.Semaphore(64)
    refused = 0

    async def one() -> None:
        nonlocal refused
        async with gate:
            sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
            sock.setblocking(False)
            try:
                async with asyncio.timeout(10):
                    await loop.sock_connect(sock, (address, port))
                    if say:
                        await loop.sock_sendall(sock, say)
                if reset:
                    resetting(sock)
            except ConnectionResetError:
                pass  # as in poke
            except (OSError, TimeoutError):
                refused += 1
            finally:
                sock.close()

    await asyncio.gather(*(one() for _ in range(count)))
    return refused


def shower(address: str, port: int, texts: Iterable[bytes]) -> None:
    """Send datagrams, one for each text."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        for octets in texts:
            with contextlib.suppress(OSError):  # refused by a port that closed
                sock.sendto(octets[:1400], (address, port))


class Crowd:
    """Many connections at once that say what they are told, or nothing, and stay."""

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []
        self.ends: Counter[str] = Counter()

    async def come(self, address: str, port: int, count: int, say: bytes = b"") -> None:
        loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        gate = asyncio.Semaphore(128)

        async def one() -> None:
            async with gate:
                sock = socket.socket(family)
                sock.setblocking(False)
                self.sockets.append(sock)
                with contextlib.suppress(OSError, TimeoutError):
                    async with asyncio.timeout(10):
                        await loop.sock_connect(sock, (address, port))
                        if say:
                            await loop.sock_sendall(sock, say)

        await asyncio.gather(*(one() for _ in range(count)))

    async def trickle(self, octet: bytes, seconds: float, pause: float = 0.2) -> None:
        """Say one octet on every connection, every so often."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for sock in self.sockets:
                with contextlib.suppress(OSError):
                    sock.send(octet)
            await asyncio.sleep(pause)

    def left(self) -> int:
        """Return how many of the connections the other side has not ended."""
        count = 0
        for sock in self.sockets:
            try:
                while sock.recv(65536):
                    pass
            except BlockingIOError:
                count += 1
            except OSError:
                pass
        return count

    def go(self) -> None:
        for sock in self.sockets:
            sock.close()
        self.sockets.clear()


LINES_MAX = 12
"""Lines that a whole attack may bring into the log."""


def kind_of(line: str) -> str:
    """Return a line of the log without what differs from peer to peer."""
    return re.sub(r"\(.*?\)|[0-9a-f.:]*[0-9][0-9a-f.:]*", "", line)


def assert_quiet(said: Sequence[str], seconds: float) -> None:
    """Fail when an attack of so many seconds brought more lines into the log than it may."""
    kinds = Counter(kind_of(line) for line in said)
    # One for each of the two addresses, and one again when an attack goes on for long.
    most = 2 + seconds / 10
    assert not {kind: count for kind, count in kinds.items() if count > most}, "\n".join(said)
    assert len(said) <= LINES_MAX, "\n".join(said)
    assert not [line for line in said if "Traceback" in line or " ERROR " in line], "\n".join(said)
