"""What strangers can do to the server: nothing that lasts, and nothing that costs much."""

from __future__ import annotations

import asyncio
import gc
import random
import resource
import socket

import pytest

from gateway.base.clock import SystemClock
from gateway.base.entropy import SystemEntropy
from gateway.base.errors import HostError, InvalidInput
from gateway.base.notices import NoticeHub
from gateway.model.kinds import EndpointType
from gateway.net.tasks import TaskRoom
from gateway.site.proxies import ProxyDirectory
from gateway.tracker.notices import PeerMisbehaved
from gateway.tracker.server import TrackerServer
from gateway.tracker.settings import TrackerSettings
from gateway.wire.catalogue import Direction, encode
from gateway.wire.channel import Error
from gateway.wire.codes import ErrorCode
from gateway.wire.framing import frame
from gateway.wire.installer import ServiceOnline
from gateway.wire.rpc import CallRequest
from tests.support.raw_peer import RawPeer
from tests.support.structures import CAMERA
from tests.tracker.conftest import OpenServer, Server


async def quiet(server: Server) -> None:
    """Wait until no connection is left."""
    while server.tracker.connections:
        await asyncio.sleep(0.01)


def resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.timeout_s(60)
async def test_a_thousand_mute_connections_are_dropped_in_time(open_server: OpenServer) -> None:
    async with open_server(header_limit=1.5) as server:
        loop = asyncio.get_running_loop()
        before = resident()
        sockets = []
        for _ in range(1000):
            sock = socket.socket()
            sock.setblocking(False)
            sockets.append(sock)
            await loop.sock_connect(sock, server.address)
        started = loop.time()
        while server.tracker.connections:
            await asyncio.sleep(0.05)
        assert loop.time() - started < 10
        assert await loop.sock_recv(sockets[0], 1) == b""
        for sock in sockets:
            sock.close()
        gc.collect()
        # Both ends live in this process; 64 MiB is 64 KiB for each pair.
        assert resident() - before < 64 * 1024 * 1024
        assert server.tracker.strangers == 0


async def test_slow_openings_do_not_live_longer(open_server: OpenServer) -> None:
    async with open_server(header_limit=0.3, install_limit=0.5) as server:
        account = await server.service(await server.site())
        mute = await RawPeer.connect(server.address, EndpointType.SERVICE, greet=False)
        mute.send_octets(b"\x01")
        half = await RawPeer.connect(server.address, EndpointType.SERVICE)
        half.send_octets(bytes.fromhex("160101"))
        idle = await RawPeer.connect(server.address, EndpointType.SERVICE)
        await idle.login_service(account.uid, account.password)
        for peer in (mute, half, idle):
            await peer.ended()
            await peer.close()
        await quiet(server)


async def test_more_strangers_than_allowed_are_turned_away(open_server: OpenServer) -> None:
    async with open_server(strangers_per_address=3) as server:
        account = await server.service(await server.site())
        waiting = [await RawPeer.connect(server.address, EndpointType.SERVICE) for _ in range(3)]
        while server.tracker.strangers < 3:
            await asyncio.sleep(0.01)
        surplus = await RawPeer.connect(server.address, EndpointType.SERVICE)
        await surplus.ended()
        await waiting[0].login_service(account.uid, account.password)
        late = await RawPeer.connect(server.address, EndpointType.SERVICE)
        assert not isinstance(await late.login_service(account.uid, account.password), Error)
        for peer in (*waiting, surplus, late):
            await peer.close()
        assert any(isinstance(notice, PeerMisbehaved) for notice in server.notices)


async def test_garbage_costs_its_sender_the_connection_only(open_server: OpenServer) -> None:
    rng = random.Random(7737)
    async with open_server(close_limit=0.2, header_limit=0.3, install_limit=0.5) as server:
        site_id = await server.site()
        account = await server.service(site_id)
        first = await server.connect_service(account)
        await first.install_service(CAMERA)
        await first.close()
        service = await server.connect_service(account)
        assert await service.install_service(CAMERA) == ServiceOnline()
        peers = []
        for turn in range(60):
            peer = await RawPeer.connect(
                server.address, EndpointType.CLIENT, greet=rng.random() < 0.8
            )
            peer.send_octets(rng.randbytes(rng.randrange(1, 400)))
            if turn % 3 == 0:
                peer.send_octets(frame(b"\x01\x01" + rng.randbytes(30)))
            peers.append(peer)
        for address in (server.tracker.balancer_addresses[0],) * 20:
            _, writer = await asyncio.open_connection(*address)
            writer.write(rng.randbytes(rng.randrange(1, 1500)))
            writer.write_eof()
            writer.close()
            await writer.wait_closed()
        for peer in peers:
            await peer.ended()
            await peer.close()
        assert [view.online for view in server.tracker.view(site_id)] == [True]
        mine = await server.client(site_id)
        client = await server.connect_client(mine)
        await client.install_client(CAMERA)
        bad = CallRequest(b"u" * 16, account.id, "Move", b"\x04\x00")
        client.send_octets(encode(Direction.CLIENT_TO_TRACKER, bad))
        told = await client.until(Error)
        assert told == Error(int(ErrorCode.ENDPOINT_DATA_FORMAT_ERROR))
        await client.ended()
        await service.close()
        await client.close()
        offences = [n for n in server.notices if isinstance(n, PeerMisbehaved)]
        assert 1 <= len(offences) <= 2  # one a minute for an address, whatever it does


async def test_an_oversized_frame_closes_before_it_is_kept(open_server: OpenServer) -> None:
    async with open_server() as server:
        account = await server.service(await server.site())
        peer = await server.connect_service(account)
        peer.send_octets(bytes.fromhex("8400400001") + bytes(1000))
        await peer.ended()
        await peer.close()
        early = await RawPeer.connect(server.address, EndpointType.SERVICE)
        early.send_octets(bytes.fromhex("820101"))
        await early.ended()
        await early.close()


async def test_a_taken_port_is_said_in_words(open_server: OpenServer) -> None:
    async with open_server() as server:
        host, port = server.address
        async with TaskRoom("second") as room:
            second = TrackerServer(
                TrackerSettings(bind_addresses=(host,), tracker_port=0, balancer_port=port),
                registry=server.registry,
                proxies=ProxyDirectory(()),
                notices=NoticeHub(),
                clock=SystemClock(),
                entropy=SystemEntropy(),
                room=room,
            )
            with pytest.raises(HostError, match="taken by another program"):
                await second.start()
            for impossible in (
                TrackerSettings(public_ipv4="2001:db8::1"),
                TrackerSettings(stateless_guest_services=("Front Door",)),
            ):
                with pytest.raises(InvalidInput):
                    TrackerServer(
                        impossible,
                        registry=server.registry,
                        proxies=ProxyDirectory(()),
                        notices=NoticeHub(),
                        clock=SystemClock(),
                        entropy=SystemEntropy(),
                        room=room,
                    )


async def test_a_storm_of_logins_is_served(open_server: OpenServer) -> None:
    async with open_server() as server:
        site_id = await server.site()
        account = await server.service(site_id)
        first = await server.connect_service(account)
        await first.install_service(CAMERA)
        await first.close()
        accounts = [await server.client(site_id) for _ in range(20)]

        async def come(number: int) -> RawPeer:
            peer = await server.connect_client(accounts[number])
            await peer.install_client(CAMERA)
            return peer

        peers = await asyncio.gather(*(come(number) for number in range(20)))
        assert sum(view.online for view in server.tracker.view(site_id)) == 20
        for peer in peers:
            await peer.close()
        await quiet(server)
        assert server.tracker.view(site_id) == ()
