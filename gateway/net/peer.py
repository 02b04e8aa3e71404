"""A datagram socket that talks to one peer: what a UDP connection is to the application."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections import deque
from collections.abc import Callable

from gateway.base.errors import ConnectFailed, HostError, InvalidInput

DATAGRAM_MAX = 65_535
READ_BATCH = 64
"""Datagrams taken in one turn of the loop, so that a flood does not starve the others."""
KEPT_MAX = 16
"""Datagrams kept that came before the application had its connection."""
_PASSING = (errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTUNREACH, errno.ENETUNREACH)
"""What ICMP says about an earlier datagram; the socket goes on."""

Address = tuple[str, int]


def open_datagram(host: str, port: int = 0) -> socket.socket:
    """Return a non-blocking datagram socket on an address of ours; raise ConnectFailed."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise ConnectFailed(f"No UDP socket on {host}: {error.strerror}.") from error
    return sock


def on_link(address: str) -> bool:
    """Tell whether an address is on a network of this machine, with no router between."""
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_DONTROUTE, 1)
        sock.connect((address, 9))  # nothing is sent: the routing table is asked
    except OSError:
        return False
    finally:
        sock.close()
    return True


def take_datagrams(sock: socket.socket, receive: Callable[[bytes, Address], object]) -> None:
    """Hand what is there to `receive`, READ_BATCH at most, until it returns a true value."""
    for _ in range(READ_BATCH):
        try:
            octets, source = sock.recvfrom(DATAGRAM_MAX)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            continue  # an ICMP error of something sent earlier
        if receive(octets, (source[0], source[1])):
            return


def put_datagram(sock: socket.socket, octets: bytes, target: Address) -> None:
    """Send once and forget: whatever goes wrong, the schedule brings the next one."""
    with contextlib.suppress(OSError):
        sock.sendto(octets, target)


class Reading:
    """Calls `ready` while a socket has something to read, until it is closed."""

    def __init__(self, sock: socket.socket, ready: Callable[[], object]) -> None:
        self._loop = asyncio.get_running_loop()
        self._number = sock.fileno()
        self._loop.add_reader(self._number, ready)

    def close(self) -> None:
        """Call no more; safe to call again, but only before the socket is closed."""
        if self._number >= 0:
            self._loop.remove_reader(self._number)
            self._number = -1


class PeerSocket:
    """An unconnected datagram socket and the one address that counts.

    Datagrams of others and late punches (`refuses`) are dropped. There is no keep-alive in the
    protocol: send something every 20 to 30 s (02 section 10.5). `socket` and `remote` are there
    for whoever has a loop of his own.
    """

    def __init__(
        self,
        sock: socket.socket,
        remote: Address,
        *,
        refuses: Callable[[bytes], bool] | None = None,
        kept: tuple[bytes, ...] = (),
    ) -> None:
        self.socket = sock
        self.remote = remote
        self._refuses = refuses
        self._kept = deque(kept)
        self._waiter: asyncio.Future[None] | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<PeerSocket to {self.remote[0]} port {self.remote[1]}>"

    def send(self, datagram: bytes) -> bool:
        """Send to the peer; False when the system has no room now and it is lost.

        Raises InvalidInput for one that is too long, HostError when the socket is closed.
        """
        if self._closed:
            raise HostError("The UDP connection is closed.")
        try:
            self.socket.sendto(datagram, self.remote)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                raise InvalidInput("The datagram is too long for UDP.", "datagram") from error
            if error.errno in _PASSING or error.errno in (errno.ENOBUFS, errno.EPERM):
                return False
            raise HostError(f"The UDP connection broke: {error.strerror}.") from error
        return True

    async def receive(self) -> bytes:
        """Return the next datagram of the peer; raise HostError when the connection is closed.

        One caller at a time; cancelling loses nothing.
        """
        if self._waiter is not None:
            raise HostError("Somebody receives from this UDP connection already.")
        while not self._closed:
            found = self._next()
            if found is not None:
                return found
            await self._readable()
        raise HostError("The UDP connection is closed.")

    def _next(self) -> bytes | None:
        if self._kept:
            return self._kept.popleft()
        found: list[bytes] = []

        def take(octets: bytes, source: Address) -> bool:
            if source == self.remote and not (self._refuses and self._refuses(octets)):
                found.append(octets)
            return bool(found)

        take_datagrams(self.socket, take)
        return found[0] if found else None

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiter = waiter

        def ready() -> None:
            if not waiter.done():
                waiter.set_result(None)

        reading = Reading(self.socket, ready)
        try:
            await waiter
        finally:
            self._waiter = None
            if not self._closed:
                reading.close()

    def close(self) -> None:
        """Close the socket; a receive that waits ends. Safe to call again."""
        if self._closed:
            return
        self._closed = True
        if self._waiter is not None:
            self._waiter.get_loop().remove_reader(self.socket.fileno())
            if not self._waiter.done():
                self._waiter.set_result(None)
        self.socket.close()

    def __enter__(self) -> PeerSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
