"""Bind, accept, limit, drain: listening sockets for pumps and for raw connections."""

from __future__ import annotations

import asyncio
import collections
import errno
import functools
import ipaddress
import logging
import socket
from collections.abc import Callable, Sequence

from gateway.base.errors import HostError
from gateway.net.tasks import TaskRoom

_log = logging.getLogger(__name__)

BACKLOG = 4096
"""Holds a reconnect storm of a whole site; the kernel caps it at somaxconn."""
SOURCES_MAX = 4096
"""Addresses whose source is remembered: connections of one peer come close together."""
_ACCEPT_BATCH = 64
_PAUSE = 0.2


def bind(host: str, port: int) -> socket.socket:
    """Return a bound, listening, non-blocking socket; IPv6 sockets take IPv6 only.

    Raises HostError with a sentence that says what holds the port.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise HostError(
                f"Port {port} on {host} is taken by another program; stop it or change the setting."
            ) from error
        raise HostError(f"Cannot listen on {host} port {port}: {error.strerror}.") from error
    return sock


@functools.lru_cache(maxsize=SOURCES_MAX)
def source_of(address: str) -> str:
    """Return what limits count as one peer: an IPv4 address, or the /64 of an IPv6 one.

    A host has a whole /64 to itself; mapped IPv4 addresses count as what they are.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    if parsed.is_loopback:
        return str(parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False))


def from_here(sock: socket.socket) -> bool:
    """Tell whether a connection's peer is this very machine.

    Other addresses of 127.0.0.0/8 stand for hosts of their own, as in tests on one machine.
    """
    try:
        local, peer = str(sock.getsockname()[0]), str(sock.getpeername()[0])
    except OSError:  # gone already
        return False
    return peer in (local, "127.0.0.1", "::1")


class Listener:
    """Accepts connections on several addresses and hands each raw socket to `accepted`.

    At most `limit` connections at once and `per_peer` of one source; more are closed at once. With
    `own` those from this very machine are counted apart, up to that many: strangers cannot use up
    what the machine's own programs need, nor those what is there for strangers. The receiver calls
    `released(peer)` when a connection is over. `accepted(sock, peer)` runs on the loop and must
    not block; peer is the address without port.
    """

    def __init__(
        self,
        room: TaskRoom,
        accepted: Callable[[socket.socket, str], None],
        *,
        limit: int = 20_000,
        per_peer: int = 2_000,
        own: int = 0,
    ) -> None:
        self._room = room
        self._accepted = accepted
        self._limit = limit
        self._per_peer = per_peer
        self._own_limit = own
        self._own: collections.Counter[str] = collections.Counter()
        self._sockets: list[socket.socket] = []
        self._peers: collections.Counter[str] = collections.Counter()
        self._refused = 0

    def open(self, hosts: Sequence[str], port: int) -> list[tuple[str, int]]:
        """Bind every host and begin to accept; return the bound addresses.

        Raises HostError, with nothing left bound, when one of them cannot be had.
        """
        bound: list[socket.socket] = []
        try:
            bound.extend(bind(host, port) for host in hosts)
        except HostError:
            for sock in bound:
                sock.close()
            raise
        loop = asyncio.get_running_loop()
        for sock in bound:
            loop.add_reader(sock.fileno(), self._accept, sock)
        self._sockets.extend(bound)
        return [sock.getsockname()[:2] for sock in bound]

    @property
    def count(self) -> int:
        """Return how many connections are open."""
        return self._peers.total() + self._own.total()

    @property
    def refused(self) -> int:
        """Return how many connections were closed because a limit was reached."""
        return self._refused

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_ACCEPT_BATCH):
            try:
                sock, address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                _log.error("cannot accept: %s", error.strerror)
                self._pause(listening)
                return
            peer = str(address[0])
            source = source_of(peer)
            if not self._counted(source, bool(self._own_limit) and from_here(sock)):
                self._refused += 1
                sock.close()
                continue
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._accepted(sock, peer)

    def _counted(self, source: str, own: bool) -> bool:
        """Count one more connection of a source; False when there is no room for it."""
        if own:
            room, count = self._own.total() < self._own_limit, self._own
        else:
            total, mine = self._peers.total(), self._peers[source]
            room, count = total < self._limit and mine < self._per_peer, self._peers
        if room:
            count[source] += 1
        return room

    def _pause(self, listening: socket.socket) -> None:
        # Out of descriptors: the readable listener would spin the loop.
        loop = asyncio.get_running_loop()
        loop.remove_reader(listening.fileno())

        def again() -> None:
            if listening in self._sockets:
                loop.add_reader(listening.fileno(), self._accept, listening)

        loop.call_later(_PAUSE, again)

    def released(self, peer: str) -> None:
        """Note that a connection of `peer` is over."""
        source = source_of(peer)
        # One address may come both ways: from another address of ours it is not known as ours.
        count = self._own if source in self._own else self._peers
        count[source] -= 1
        if count[source] <= 0:
            del count[source]

    def close(self) -> None:
        """Stop accepting; connections that are open are their owners' business."""
        loop = asyncio.get_running_loop()
        for sock in self._sockets:
            loop.remove_reader(sock.fileno())
            sock.close()
        self._sockets.clear()


async def adopt(sock: socket.socket, protocol: asyncio.Protocol) -> asyncio.Transport:
    """Join an accepted or connected raw socket to an asyncio protocol such as a Pump."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_accepted_socket(lambda: protocol, sock)
    return transport
