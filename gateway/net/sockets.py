"""Raw non-blocking sockets, for connections that end in the data path.

No stream reader ever touches them, so nothing is read ahead: what a caller read is known, and can
go with the socket to the relay process (relay-performance, pitfall 8).
"""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass

from gateway.base.errors import ConnectFailed, HostError, TimedOut

CONNECT_TIMEOUT = 10.0
BUFFER_MIN, BUFFER_MAX = 8196, 1_073_741_824
"""Buffer sizes outside are ignored (02 section 9.2)."""


@dataclass(frozen=True, slots=True)
class SocketOptions:
    """What is set before connecting; 0 leaves the system's value."""

    receive_buffer: int = 0
    send_buffer: int = 0
    reuse_address: bool = False


async def resolve(host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[object, ...]]]:
    """Return the addresses of a host as (family, socket address); raise ConnectFailed."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.inet_pton(family, host)
    except OSError:
        pass  # a name, or an address with a zone
    else:
        return [(family, (host, port))]  # no thread for what needs no asking
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ConnectFailed(f"The name {host} cannot be resolved: {error.strerror}.") from error
    return [(socket.AddressFamily(family), address) for family, _, _, _, address in found]


def make(family: int, options: SocketOptions) -> socket.socket:
    """Return a new non-blocking TCP socket that is neither bound nor connected."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    if options.reuse_address:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if BUFFER_MIN <= options.receive_buffer <= BUFFER_MAX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, options.receive_buffer)
    if BUFFER_MIN <= options.send_buffer <= BUFFER_MAX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, options.send_buffer)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return sock


async def connect(
    host: str,
    port: int,
    *,
    timeout: float = CONNECT_TIMEOUT,  # noqa: ASYNC109  (part of the contract)
    options: SocketOptions | None = None,
    local: tuple[str, int] | None = None,
) -> socket.socket:
    """Return a connected socket, trying the host's addresses in turn.

    Raises ConnectFailed or TimedOut with a sentence that names host and port. `timeout` in seconds
    is for the whole attempt.
    """
    loop = asyncio.get_running_loop()
    last: OSError | None = None
    try:
        async with asyncio.timeout(timeout):
            for family, address in await resolve(host, port):
                sock = make(family, options or SocketOptions())
                try:
                    if local is not None:
                        sock.bind(local)
                    await loop.sock_connect(sock, address)
                except OSError as error:
                    sock.close()
                    last = error
                except BaseException:
                    sock.close()
                    raise
                else:
                    return sock
    except TimeoutError as error:
        raise TimedOut(f"{host}:{port} did not answer within {timeout:g} s.") from error
    reason = last.strerror if last is not None and last.strerror else "no address"
    raise ConnectFailed(f"{host}:{port} cannot be reached: {reason}.") from last


async def read_exactly(
    sock: socket.socket,
    count: int,
    timeout: float,  # noqa: ASYNC109
) -> bytes:
    """Return exactly `count` octets and read not one more.

    Raises TimedOut, or HostError when the peer closes before.
    """
    loop = asyncio.get_running_loop()
    parts = b""
    try:
        async with asyncio.timeout(timeout):
            while len(parts) < count:
                part = await loop.sock_recv(sock, count - len(parts))
                if not part:
                    raise HostError("The peer closed the connection.")
                parts += part
    except TimeoutError as error:
        raise TimedOut(f"The peer sent nothing for {timeout:g} s.") from error
    except OSError as error:
        raise HostError(f"The connection broke: {error.strerror}.") from error
    return parts


async def receive(sock: socket.socket, maximum: int) -> bytes:
    """Return what is there, at most `maximum` octets, b'' at the end; raise HostError."""
    try:
        return await asyncio.get_running_loop().sock_recv(sock, maximum)
    except OSError as error:
        raise HostError(f"The connection broke: {error.strerror}.") from error


async def send_all(sock: socket.socket, data: bytes) -> None:
    """Send every octet; raise HostError when the connection breaks."""
    try:
        await asyncio.get_running_loop().sock_sendall(sock, data)
    except OSError as error:
        raise HostError(f"The connection broke: {error.strerror}.") from error


def bound_window(sock: socket.socket, octets: int) -> None:
    """Hold a connected socket's receive window to that much; it can be given more again later."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, octets)
    except OSError:
        pass  # it has just failed: its first use tells


def bound_stall(sock: socket.socket, seconds: float) -> None:
    """Have a connection fail whose peer takes nothing of what waits for it for so long."""
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))
    except OSError:
        pass  # it has just failed: its first use tells


def reset(sock: socket.socket) -> None:
    """Close a socket so that the peer sees a reset."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError:
        pass
    sock.close()


def close_write(sock: socket.socket) -> None:
    """Shut down the sending direction; nothing happens when the connection is gone."""
    try:
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def addresses(sock: socket.socket) -> tuple[tuple[str, int], tuple[str, int]]:
    """Return (local, peer) as address and port; ('', 0) for what is unknown."""
    ends: list[tuple[str, int]] = []
    for ask in (sock.getsockname, sock.getpeername):
        try:
            found = ask()
        except OSError:
            found = ("", 0)
        ends.append((found[0], found[1]))
    return ends[0], ends[1]
