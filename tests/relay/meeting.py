"""Endpoints as the relay sees them, and a relay server to meet at, for the tests of this room."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from gateway.base.clock import SystemClock
from gateway.base.entropy import Entropy, SystemEntropy
from gateway.base.notices import Notice, NoticeHub
from gateway.base.secret import Secret
from gateway.net.datapath import DataPath
from gateway.net.tasks import TaskRoom
from gateway.relay.server import RendezvousServer
from gateway.relay.settings import RelaySettings
from gateway.wire.digest import proxy_auth_hash
from gateway.wire.message import Message
from gateway.wire.rendezvous import (
    TCP_TYPES,
    ClientProxy,
    CreateProxyConnection,
    ProxyAuthHash,
    ProxyAuthKey,
    ProxyRole,
    ServiceProxy,
    data_header,
    decode_control,
    encode_control,
)

SECRET = "f29f16b1-e52c-439c-9b82-7520b3bed9f5"
KEY2 = bytes(range(20))
_dialled: list[socket.socket] = []
CLIENT, SERVICE = ProxyRole.CLIENT, ProxyRole.SERVICE


class MovableClock(SystemClock):
    """The machine's clock, set forward by hand."""

    ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


@dataclass
class Running:
    """A relay server and what it announced."""

    server: RendezvousServer
    datapath: DataPath
    clock: MovableClock
    notices: list[Notice] = field(default_factory=list)

    @property
    def control(self) -> tuple[str, int]:
        return self.server.control_addresses[0]

    @property
    def data(self) -> tuple[str, int]:
        return self.server.data_addresses[0]


def own_address() -> str:
    """Return a loopback address that no other test uses at the same time."""
    return f"127.12.{random.randrange(1, 255)}.{random.randrange(1, 255)}"


@contextlib.asynccontextmanager
async def relay_server(
    host: str = "", *, entropy: Entropy | None = None, **settings
) -> AsyncIterator[Running]:
    """A relay on ports of its own, and everybody relayed, unless told otherwise.

    Everything must be let go at the end.
    """
    settings = {
        "bind_addresses": (host or own_address(),),
        "control_port": 0,
        "data_port": 0,
        "direct": False,
        "udp": False,
        "udp_port": 0,
    } | settings
    clock, hub = MovableClock(), NoticeHub()
    async with TaskRoom("test") as room:
        datapath = DataPath(room, clock)
        await datapath.start()
        server = RendezvousServer(
            RelaySettings(**settings),
            secret=Secret(SECRET),
            datapath=datapath,
            clock=clock,
            entropy=entropy or SystemEntropy(),
            room=room,
            notices=hub,
        )
        running = Running(server, datapath, clock)
        hub.subscribe(Notice, running.notices.append)
        try:
            await server.start()
            yield running
        finally:
            await server.stop()
            await datapath.stop()
            while _dialled:
                _dialled.pop().close()
        await asyncio.sleep(0.01)  # transports report their end in the next turns of the loop
        assert not server._desk.controls
        assert not server._parties
        assert not server._waiting
        assert not server._handshakes
        assert not server._pairs
        assert server._desk.listener.count == server._data_listener.count == 0


async def dial(address: tuple[str, int], local: tuple[str, int] | None = None) -> socket.socket:
    """Connect a raw non-blocking socket."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    _dialled.append(sock)
    sock.setblocking(False)
    if local is not None:
        sock.bind(local)
    await asyncio.get_running_loop().sock_connect(sock, address)
    return sock


async def send(sock: socket.socket, octets: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(sock, octets)


async def receive(sock: socket.socket, count: int) -> bytes:
    """Read exactly that many octets, or fewer when the stream ends; at most 5 s."""
    loop = asyncio.get_running_loop()
    data = b""
    async with asyncio.timeout(5):
        while len(data) < count and (part := await loop.sock_recv(sock, count - len(data))):
            data += part
    return data


async def ended(sock: socket.socket) -> str:
    """Wait for the end of a stream that has nothing more to say; return 'FIN' or 'RST'."""
    try:
        assert await receive(sock, 1) == b""
    except ConnectionResetError:
        return "RST"
    finally:
        sock.close()
    return "FIN"


@dataclass
class Endpoint:
    """One side of a meeting."""

    running: Running
    role: ProxyRole
    uid: bytes
    control: socket.socket
    data: socket.socket | None = None

    @classmethod
    async def come(cls, running: Running, role: ProxyRole, uid: bytes, local: str = "") -> Endpoint:
        """Open the control connection and authenticate."""
        control = await dial(running.control, (local, 0) if local else None)
        endpoint = cls(running, role, uid, control)
        await endpoint.tell(ClientProxy(uid) if role is CLIENT else ServiceProxy(uid))
        key = await endpoint.told()
        assert isinstance(key, ProxyAuthKey)
        await endpoint.tell(ProxyAuthHash(proxy_auth_hash(key.auth_key, KEY2, SECRET), KEY2))
        return endpoint

    async def tell(self, message: Message) -> None:
        await send(self.control, encode_control(TCP_TYPES, message))

    async def told(self) -> Message:
        length = await receive(self.control, 1)
        assert length, "the relay closed the control connection"
        return decode_control(TCP_TYPES, await receive(self.control, length[0]))

    async def open_data(self, early: bytes = b"") -> socket.socket:
        """Take the order to meet and present the header."""
        order = await self.told()
        assert order == CreateProxyConnection(self.running.data[1])
        self.data = await dial(self.running.data)
        await send(self.data, data_header(self.role, self.uid) + early)
        return self.data

    async def complete(self) -> socket.socket:
        """Read the complement and close the control connection, as endpoints do."""
        assert self.data is not None
        assert await receive(self.data, 17) == data_header(self.role.other, self.uid)
        self.control.close()
        return self.data

    def close(self) -> None:
        self.control.close()
        if self.data is not None:
            self.data.close()


async def meet(running: Running, uid: bytes) -> tuple[socket.socket, socket.socket]:
    """Let a client and a service meet; return their data sockets."""
    client = await Endpoint.come(running, CLIENT, uid)
    service = await Endpoint.come(running, SERVICE, uid)
    await client.open_data()
    await service.open_data()
    return await client.complete(), await service.complete()
