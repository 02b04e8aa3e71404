"""The sockets of a direct attempt on loopback: one port, parked strangers, one winner."""

from __future__ import annotations

import asyncio
import random
import socket
from pathlib import Path

import pytest

from gateway.base.clock import SystemClock
from gateway.base.errors import HostError
from gateway.net import sockets
from gateway.net.punch import RETRY, DirectSockets
from gateway.net.sockets import SocketOptions
from gateway.protocol.connector_direct import CANDIDATES_MAX, DirectRace, Target
from gateway.wire.rendezvous import ProxyRole

CLIENT, SERVICE = ProxyRole.CLIENT, ProxyRole.SERVICE
REUSING = SocketOptions(reuse_address=True)
KEYS = {CLIENT: b"clnt", SERVICE: b"srvc"}


def own_address() -> str:
    return f"127.24.{random.randrange(1, 255)}.{random.randrange(1, 255)}"


class End:
    """One endpoint beside its control connection."""

    def __init__(self, role: ProxyRole, control: socket.socket) -> None:
        self.role = role
        self.control = control
        self.sockets = DirectSockets.beside(control, SystemClock(), REUSING)
        self.won: asyncio.Future[socket.socket] = asyncio.get_running_loop().create_future()

    @property
    def address(self) -> Target:
        return self.control.getsockname()[:2]

    def race(self, public: Target | None, private: Target | None = None) -> None:
        race = DirectRace(self.role, KEYS[self.role], KEYS[self.role.other], alone=private is None)
        self.sockets.race(race, public, private, self.won.set_result)

    def close(self) -> None:
        self.sockets.close()
        self.control.close()
        if self.won.done():
            self.won.result().close()


class Proxy:
    """Takes control connections and says nothing."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listening = socket.create_server((host, 0), family=family)
        self.taken: list[socket.socket] = []
        self.ends: list[End] = []

    async def end(self, role: ProxyRole, local: str = "") -> End:
        control = await sockets.connect(
            *self.listening.getsockname()[:2], options=REUSING, local=(local, 0)
        )
        self.taken.append(self.listening.accept()[0])
        self.ends.append(End(role, control))
        return self.ends[-1]

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        for end in self.ends:
            end.close()
        for sock in (self.listening, *self.taken):
            sock.close()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("first", ProxyRole)
async def test_two_ends_make_one_connection(host: str, first: ProxyRole) -> None:
    before = descriptors()
    with Proxy(host) as proxy:
        ends = [await proxy.end(first, host), await proxy.end(first.other, host)]
        ends[0].race(ends[1].address)
        ends[1].race(ends[0].address)
        async with asyncio.timeout(5):
            a, b = [await end.won for end in ends]
        assert a.getpeername() == b.getsockname()
        await sockets.send_all(a, b"x" * 5)
        assert await sockets.read_exactly(b, 5, 5) == b"x" * 5
        for end in ends:
            end.sockets.close()
        # The winners outlive everything else; the proxy's connections are not touched.
        await sockets.send_all(b, b"y")
        assert await sockets.read_exactly(a, 1, 5) == b"y"
        assert descriptors() == before + 1 + 2 + 2 + 2
    assert descriptors() == before


async def test_dual_mode_with_one_path_that_leads_to_somebody_else() -> None:
    for _ in range(20):
        with Proxy() as proxy:
            client, service = await proxy.end(CLIENT), await proxy.end(SERVICE)
            # Behind two routers of the same make, the private address is somebody else's here.
            mirror = socket.create_server((own_address(), 0))
            mirror.setblocking(False)
            client.race(mirror.getsockname(), service.address)
            service.race(client.address, mirror.getsockname())
            async with asyncio.timeout(5):
                a, b = await client.won, await service.won
            assert a.getpeername() == b.getsockname()
            mirror.close()


async def test_connections_are_parked_and_strangers_put_out() -> None:
    with Proxy() as proxy:
        client, service = await proxy.end(CLIENT), await proxy.end(SERVICE)
        strangers = [await sockets.connect(*service.address) for _ in range(CANDIDATES_MAX - 2)]
        for stranger, octets in zip(strangers, (b"", b"wron", b"srvc", b"x" * 90), strict=False):
            await sockets.send_all(stranger, octets)
        client.race(service.address)  # parked as well
        await asyncio.sleep(0.05)
        assert not service.won.done()
        service.race(client.address)
        async with asyncio.timeout(5):
            a, b = await client.won, await service.won
        assert a.getpeername() == b.getsockname()
        for stranger in strangers:
            with pytest.raises(HostError):  # closed or reset, and never told the key
                await sockets.read_exactly(stranger, 1, 5)
            stranger.close()


async def test_a_crowd_of_strangers_costs_the_attempt_and_nothing_else() -> None:
    before = descriptors()
    with Proxy() as proxy:
        service = await proxy.end(SERVICE)
        crowd = [await sockets.connect(*service.address) for _ in range(40)]
        async with asyncio.timeout(5):
            while len(service.sockets._parked) < CANDIDATES_MAX:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert len(service.sockets._parked) == CANDIDATES_MAX
        service.race(None)
        assert not service.won.done()
        for sock in crowd:
            sock.close()
    assert descriptors() == before


async def test_a_refused_connection_is_tried_again() -> None:
    with Proxy() as proxy:
        client = await proxy.end(CLIENT)
        service = await proxy.end(SERVICE)
        address = service.address
        service.sockets.close()  # nobody is there yet
        client.race(address)
        await asyncio.sleep(RETRY * 1.5)
        service.sockets = DirectSockets.beside(service.control, SystemClock(), REUSING)
        service.race(None)  # and cannot reach us either
        async with asyncio.timeout(5):
            a, b = await client.won, await service.won
        assert a.getpeername() == b.getsockname()


async def test_closing_at_any_moment_leaves_nothing() -> None:
    before = descriptors()
    for turn in range(12):
        with Proxy() as proxy:
            client, service = await proxy.end(CLIENT), await proxy.end(SERVICE)
            client.race(service.address, ("127.0.0.1", 9))
            if turn % 2:
                service.race(client.address, ("192.0.2.1", 9))
            for _ in range(turn):
                await asyncio.sleep(0)
            client.sockets.close()
            client.sockets.close()
            service.sockets.close()
        assert descriptors() == before
    await asyncio.sleep(RETRY)  # no timer finds a closed socket


async def test_a_port_that_is_shared_is_refused_in_words() -> None:
    with Proxy() as proxy:
        control = await sockets.connect(*proxy.listening.getsockname())  # without reuse
        proxy.taken += [proxy.listening.accept()[0], control]
        with pytest.raises(HostError, match="No second socket"):
            DirectSockets.beside(control, SystemClock(), REUSING)
