"""Endpoints of UDP connections as the relay sees them, after the recordings 08 to 08c."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from gateway.wire.datagrams import (
    HOLE_PUNCH,
    LOCAL_HOLE_PUNCH,
    endpoint_info,
    hole_punch,
    read_hole_punch,
)
from gateway.wire.digest import proxy_auth_hash
from gateway.wire.message import Message
from gateway.wire.rendezvous import (
    UDP_TYPES,
    ClientEndpointHello,
    CreateUdpP2PInDualMode,
    ProxyAuthHash,
    ProxyRole,
    ServiceEndpointHello,
    UdpAuthKey,
    UdpProxyConnectionCreated,
    decode_control,
    encode_control,
    pack_private,
    unpack_private,
    unpack_public,
)
from tests.relay.meeting import (
    CLIENT,
    KEY2,
    SECRET,
    SERVICE,
    Running,
    dial,
    receive,
    relay_server,
    send,
)


async def datagram(sock: socket.socket, seconds: float = 5.0) -> tuple[bytes, tuple[str, int]]:
    """Take the next datagram; return it and its source."""
    async with asyncio.timeout(seconds):
        data, source = await asyncio.get_running_loop().sock_recvfrom(sock, 65_536)
    return data, source[:2]


async def silent(*socks: socket.socket, seconds: float = 0.2) -> bool:
    """Tell whether none of the sockets gets anything for a while."""
    await asyncio.sleep(seconds)
    for sock in socks:
        try:
            sock.recv(65_536)
        except BlockingIOError:
            continue
        return False
    return True


@dataclass
class UdpEndpoint:
    """One side of a UDP connection."""

    running: Running
    role: ProxyRole
    uid: bytes
    control: socket.socket
    sock: socket.socket
    proxy: tuple[str, int]
    endpoint_uid: bytes = b""
    key: bytes = b""
    punches: list[tuple[int, tuple[str, int]]] = field(default_factory=list)

    @classmethod
    async def open(
        cls, running: Running, role: ProxyRole, uid: bytes, door: int = 0, local: str = ""
    ) -> UdpEndpoint:
        """Open the control connection, say hello and take the challenge."""
        assert running.server.udp is not None
        proxy = running.server.udp.addresses[door]
        control = await dial(proxy, (local, 0) if local else None)
        host = control.getsockname()[0]
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.bind((host, 0))
        endpoint = cls(running, role, uid, control, sock, proxy)
        await endpoint.tell(
            ClientEndpointHello(uid) if role is CLIENT else ServiceEndpointHello(uid)
        )
        challenge = await endpoint.told()
        assert isinstance(challenge, UdpAuthKey)
        endpoint.key, endpoint.endpoint_uid = challenge.auth_key, challenge.endpoint_uid
        return endpoint

    @classmethod
    async def come(
        cls, running: Running, role: ProxyRole, uid: bytes, door: int = 0, local: str = ""
    ) -> UdpEndpoint:
        """Do everything up to the first order."""
        endpoint = await cls.open(running, role, uid, door, local)
        endpoint.show()
        await endpoint.answer()
        return endpoint

    def show(self, sock: socket.socket | None = None) -> None:
        """Send ENDPOINT_INFO, as the reference endpoint does over either family."""
        host, port = self.sock.getsockname()[:2]
        address = ipaddress.ip_address(host)
        if isinstance(address, ipaddress.IPv4Address):
            tail = pack_private(address, port)
        else:
            tail = address.packed[:4] + port.to_bytes(2, "big")
        (sock or self.sock).sendto(endpoint_info(self.endpoint_uid, tail), self.proxy)

    async def answer(self) -> None:
        await self.tell(ProxyAuthHash(proxy_auth_hash(self.key, KEY2, SECRET), KEY2))

    async def tell(self, message: Message) -> None:
        await send(self.control, encode_control(UDP_TYPES, message))

    async def told(self) -> Message:
        length = await receive(self.control, 1)
        assert length, "the relay closed the control connection"
        return decode_control(UDP_TYPES, await receive(self.control, length[0]))

    async def punched(self, order: CreateUdpP2PInDualMode) -> tuple[int, tuple[str, int]]:
        """Punch as ordered; return kind and source of the first punch of the peer."""
        private = unpack_private(order.remote_private)
        public = unpack_public(order.remote_public)
        for kind, (address, port) in ((LOCAL_HOLE_PUNCH, private), (HOLE_PUNCH, public)):
            self.sock.sendto(hole_punch(kind, self.endpoint_uid), (str(address), port))
        while True:
            data, source = await datagram(self.sock)
            kind = read_hole_punch(data, order.remote_endpoint_uid)
            if kind is not None:
                return kind, source

    async def relayed(self) -> None:
        """Take the news that datagrams are relayed, and end the control connection."""
        assert await self.told() == UdpProxyConnectionCreated()
        self.control.close()

    def say(self, data: bytes) -> None:
        """Send a datagram through the relay."""
        self.sock.sendto(data, self.proxy)

    async def heard(self) -> bytes:
        """Take a datagram that came through the relay."""
        data, source = await datagram(self.sock)
        assert source == self.proxy
        return data

    def close(self) -> None:
        self.control.close()
        self.sock.close()


async def meet(running: Running, uid: bytes) -> tuple[UdpEndpoint, UdpEndpoint]:
    """Let a client and a service meet that are relayed at once."""
    client = await UdpEndpoint.come(running, CLIENT, uid)
    service = await UdpEndpoint.come(running, SERVICE, uid)
    await client.relayed()
    await service.relayed()
    return client, service


@contextlib.asynccontextmanager
async def server(host: str = "", **settings) -> AsyncIterator[Running]:
    async with relay_server(host, udp=True, **settings) as running:
        half = running.server.udp
        assert half is not None
        yield running
    assert not half._desk.controls
    assert half._desk.listener.count == 0
    for table in (half._named, half._uids, half._spots, half._parties, half._pairs):
        assert not table
    assert not half._ends
    assert half._path.pairs == 0
    assert half.process_id is None


async def until(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)
