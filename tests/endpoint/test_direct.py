"""Endpoints reach each other directly, over the whole server on loopback (02 sections 7 and 10)."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import ipaddress
import time
from pathlib import Path

import pytest

from gateway.endpoint.client import ClientEndpoint
from gateway.endpoint.meeting import Meeting
from gateway.endpoint.service import IncomingTcp, IncomingUdp, PortListener, UdpPortListener
from gateway.endpoint.settings import EndpointSettings
from gateway.endpoint.udp import UdpMeeting
from gateway.model.kinds import ConnectionMode
from gateway.net import sockets
from gateway.net.peer import PeerSocket
from gateway.net.tasks import TaskRoom
from gateway.wire.digest import proxy_auth_hash
from gateway.wire.rendezvous import ProxyRole
from tests.endpoint import softnet as support
from tests.endpoint.softnet import Softnet, softnet
from tests.relay.meeting import KEY2, SECRET, relay_server

P2P, PROXY = ConnectionMode.P2P, ConnectionMode.PROXY


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


DATAGRAM_PROCESS = 2
"""Descriptors of ours that the relay's datagram process holds; the first UDP meeting starts it."""


async def settled(before: int, kept: int = 0) -> None:
    """Wait until no descriptor is open that was not open before, but for `kept` of them."""
    async with asyncio.timeout(5):
        while descriptors() > before + kept:
            await asyncio.sleep(0.01)


async def pair(running: Softnet, listener: PortListener, client: ClientEndpoint, service_id: int):
    accepting = running.room.start(listener.accept(), name="accept")
    made = await client.connect_tcp(service_id, listener.number)
    incoming: IncomingTcp = await accepting
    assert incoming.mode is made.mode
    return incoming.socket, made.socket, made.mode


async def udp_pair(
    running: Softnet, listener: UdpPortListener, client: ClientEndpoint, service_id: int
):
    accepting = running.room.start(listener.accept(), name="accept")
    made = await client.connect_udp(service_id, listener.number)
    incoming: IncomingUdp = await accepting
    assert incoming.mode is made.mode
    return incoming.peer, made.peer, made.mode


@pytest.fixture
def tmp(tmp_path: Path) -> Path:
    return tmp_path


async def test_a_direct_stream_is_plain(tmp: Path) -> None:
    async with softnet(tmp) as running:
        service, client, remote = await running.online_pair()
        listener = service.listen(554)
        before = descriptors()
        for turn in range(10):
            here, there, mode = await pair(running, listener, client, remote)
            assert mode is P2P
            with here, there:
                assert here.getpeername() == there.getsockname()
                await sockets.send_all(here, b"first")  # not an octet of a key before or behind
                assert await sockets.read_exactly(there, 5, 5) == b"first"
                await sockets.send_all(there, b"%04d" % turn * 50_000)
                got = await sockets.read_exactly(here, 200_000, 5)
                assert got == b"%04d" % turn * 50_000
                sockets.close_write(there)
                assert await sockets.receive(here, 10) == b""
                await sockets.send_all(here, b"last")
                assert await sockets.read_exactly(there, 4, 5) == b"last"
        await settled(before)
        assert running.relay.relayed == 0


@pytest.mark.parametrize("relay", [True, False])
@pytest.mark.parametrize(("service_offers", "client_offers"), [(True, False), (False, True)])
async def test_one_side_does_not_want_it(
    tmp: Path, monkeypatch, relay: bool, service_offers: bool, client_offers: bool
) -> None:
    async with softnet(tmp, direct=relay) as running:
        site = await running.site()
        quiet = dataclasses.replace(support.QUICK, direct=False)
        if not service_offers:
            monkeypatch.setattr(support, "QUICK", quiet)
        service, _ = await running.online_service(site)
        monkeypatch.undo()
        if not client_offers:
            monkeypatch.setattr(support, "QUICK", quiet)
        client, heard = await running.online_client(site)
        await heard.until(lambda: any(found.online for found in client.services))
        listener = service.listen(554)
        begun = time.monotonic()
        here, there, mode = await pair(running, listener, client, client.services[0].id)
        assert mode is PROXY
        assert time.monotonic() - begun < 2
        here.close()
        there.close()


async def test_many_at_once_go_direct(tmp: Path) -> None:
    async with softnet(tmp) as running:
        service, client, remote = await running.online_pair()
        listener = service.listen(554, backlog=40)
        before = descriptors()
        made = [running.room.start(client.connect_tcp(remote, 554), name="x") for _ in range(20)]
        taken = [await listener.accept() for _ in range(20)]
        outgoing = [await one for one in made]
        assert {one.mode for one in (*taken, *outgoing)} == {P2P}
        ends = {one.socket.getsockname(): one.socket for one in outgoing}
        for one in taken:
            await sockets.send_all(one.socket, b"x")
            assert await sockets.read_exactly(ends[one.socket.getpeername()], 1, 5) == b"x"
        for one in (*taken, *outgoing):
            one.socket.close()
        await settled(before)


async def test_giving_up_leaves_no_sockets(tmp: Path) -> None:
    async with softnet(tmp) as running:
        service, client, remote = await running.online_pair()
        listener = service.listen(554, backlog=100)
        service.listen_udp(554, backlog=100)
        before = descriptors()
        for connect in (client.connect_tcp, client.connect_udp):
            for wait in (0.0, 0.002, 0.004, 0.006, 0.008, 0.01, 0.012, 0.016, 0.03, 0.06):
                asking = running.room.start(connect(remote, 554), name="ask")
                await asyncio.sleep(wait)
                asking.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asking
        assert not client._departures
        service.disconnect()
        listener.close()
        await service.close()
        client.disconnect()
        await settled(before)


async def test_datagrams_go_direct(tmp: Path) -> None:
    async with softnet(tmp) as running:
        service, client, remote = await running.online_pair()
        listener = service.listen_udp(5004)
        tcp = service.listen(5004)  # TCP and UDP ports do not know of each other
        before = descriptors()
        for turn in range(5):
            here, there, mode = await udp_pair(running, listener, client, remote)
            assert mode is P2P
            with here, there:
                assert here.remote[1] == there.socket.getsockname()[1]
                for number in range(20):
                    assert there.send(b"to service %d" % number)
                    assert await here.receive() == b"to service %d" % number
                    assert here.send(b"to client %d %d" % (turn, number))
                    assert await there.receive() == b"to client %d %d" % (turn, number)
        await settled(before, DATAGRAM_PROCESS)
        tcp.close()


async def test_datagrams_go_through_the_relay(tmp: Path) -> None:
    async with softnet(tmp, direct=False) as running:
        service, client, remote = await running.online_pair()
        listener = service.listen_udp(5004)
        before = descriptors()
        here, there, mode = await udp_pair(running, listener, client, remote)
        assert mode is PROXY
        with here, there:
            assert here.remote == there.remote == (running.host, 7779)
            for size in (0, 1, 17, 23, 1400, 9000):
                assert there.send(bytes(size))
                assert await here.receive() == bytes(size)
                assert here.send(bytes(size))
                assert await there.receive() == bytes(size)
        await settled(before, DATAGRAM_PROCESS)


@pytest.mark.parametrize("make", [Meeting, UdpMeeting])
async def test_ipv6_is_relayed_at_once(make: type[Meeting] | type[UdpMeeting]) -> None:
    """Offered by both and never ordered: the reference's client would not survive it (02 T4)."""
    before = descriptors()
    async with relay_server("::1", direct=True, udp=True) as running, TaskRoom("six") as room:
        settings = EndpointSettings(
            rendezvous_port=running.control[1],
            udp_rendezvous_port=running.server.udp.addresses[0][1],
        )
        uid, proxy = bytes(range(16)), ipaddress.ip_address("::1").packed
        meetings: list[Meeting | UdpMeeting] = []

        def ask(number: int, key: bytes) -> None:
            meetings[number].vouched(proxy_auth_hash(key, KEY2, SECRET), KEY2)

        offer = {"direct": True} if make is Meeting else {}
        for number, role in enumerate(ProxyRole):
            answer = functools.partial(ask, number)
            meetings.append(make(role, uid, proxy, settings, running.clock, answer, **offer))
        async with asyncio.timeout(3):
            running_both = [room.start(one.run(), name="meet") for one in meetings]
            (a, mode), (b, other_mode) = [await one for one in running_both]
        assert mode is other_mode is PROXY
        if isinstance(a, PeerSocket):
            assert a.send(b"six")
            assert await b.receive() == b"six"
        else:
            await sockets.send_all(a, b"six")
            assert await sockets.read_exactly(b, 3, 5) == b"six"
        a.close()
        b.close()
    await settled(before)
