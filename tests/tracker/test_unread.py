"""Endpoints that ask and do not read: what waits for them is bounded, and nobody else pays."""

from __future__ import annotations

import asyncio
import random
import socket

import pytest

from gateway.asn1.writer import SequenceWriter
from gateway.model.kinds import EndpointType, EventKind
from gateway.net import stream
from gateway.net.unsent import PATIENCE
from gateway.site.calls import SERVICE_QUEUE
from gateway.wire import pubsub, rpc
from gateway.wire.channel import Pong
from gateway.wire.codes import ErrorCode
from gateway.wire.installer import ServiceOnline
from tests.support.raw_peer import RawPeer
from tests.support.structures import CAMERA
from tests.tracker.conftest import ClientAccount, OpenServer, Server, ServiceAccount

PING = bytes.fromhex("020201")
LARGEST = SequenceWriter().octets(bytes(65_000)).encode()
WRONG = pubsub.Subscriptions(
    tuple(
        pubsub.Subscription(EventKind.QUEUEING, f"{number:03d}" + "x" * 250)
        for number in range(100)
    )
)
MIB = 1024 * 1024


def address() -> str:
    """Return an address of this test alone; the server takes each for another host."""
    return f"127.35.{random.randrange(1, 250)}.{random.randrange(1, 250)}"


async def come(server: Server, kind: EndpointType, host: str, buffer: int = 65_536) -> RawPeer:
    """Connect with buffers so small that the server has to keep what is not read."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    sock.setblocking(False)
    sock.bind((host, 0))
    await asyncio.get_running_loop().sock_connect(sock, server.address)
    reader, writer = await asyncio.open_connection(sock=sock, limit=4096)
    writer.write(bytes((1, int(kind))))
    return RawPeer(reader, writer, kind)


async def client_at(
    server: Server, account: ClientAccount, host: str, buffer: int = 4096
) -> RawPeer:
    peer = await come(server, EndpointType.CLIENT, host, buffer)
    await peer.login_client(account.category, account.key, account.password)
    await peer.install_client(CAMERA)
    return peer


async def online_service(server: Server, site_id: int) -> tuple[ServiceAccount, RawPeer]:
    account = await server.service(site_id)
    first = await server.connect_service(account)
    await first.install_service(CAMERA)  # builds the site
    await first.close()
    service = await come(server, EndpointType.SERVICE, address())
    await service.login_service(account.uid, account.password)
    assert await service.install_service(CAMERA) == ServiceOnline()
    return account, service


def open_ears(peer: RawPeer) -> None:
    """Let the peer take much at once from now on."""
    sock = peer._writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024 * 1024)


def waiting(server: Server) -> list[int]:
    """Return how much waits for each connection, the most first."""
    board = server.tracker._board
    return sorted((board.unsent(number) for number in list(board._lines)), reverse=True)


async def flood(peer: RawPeer, times: int) -> None:
    try:
        for _ in range(times):
            peer.send(WRONG)
            await peer._writer.drain()
    except ConnectionError:
        pass


async def stop(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.timeout_s(60)
async def test_who_does_not_read_is_not_read_either(
    open_server: OpenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answers wait, those of others do not; when it reads it has missed nothing."""
    async with open_server() as server:
        site_id = await server.site()
        _, service = await online_service(server, site_id)
        deaf = await client_at(server, await server.client(site_id), address())
        other = await client_at(server, await server.client(site_id), address())
        times = 200  # of 26,000 octets, and as much in answers
        flooding = asyncio.create_task(flood(deaf, times))
        while waiting(server)[0] <= PATIENCE:
            await asyncio.sleep(0.01)
        for _ in range(100):
            other.send_octets(PING)
            await other.until(Pong)
            assert waiting(server)[0] <= PATIENCE + 8 * stream.TURN
        assert [view.online for view in server.tracker.view(site_id)] == [True] * 3
        monkeypatch.setattr(stream, "BREATH", 0.01)
        monkeypatch.setattr(stream, "TURN", 256 * 1024)
        open_ears(deaf)
        heard = 0
        while heard < times * 100:  # what it was told, whole and in its order
            heard += isinstance(await deaf.receive(), pubsub.IllegalSubscription)
        await flooding
        deaf.send_octets(PING)
        await deaf.until(Pong)
        for peer in (service, deaf, other):
            await peer.close()


@pytest.mark.timeout_s(60)
async def test_a_slow_client_is_not_taken_for_a_silent_one(
    open_server: OpenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is not read at full speed its pings still count, so it is not cut for silence."""
    monkeypatch.setattr(stream, "BREATH", 0.01)
    async with open_server(silence_limit=20.0) as server:
        site_id = await server.site()
        _, service = await online_service(server, site_id)
        slow = await client_at(server, await server.client(site_id), address())
        flooding = asyncio.create_task(flood(slow, 200))
        while waiting(server)[0] <= PATIENCE:
            await asyncio.sleep(0.01)
        (line,) = (
            line for line in server.tracker._board._lines.values()
            if line.pump is not None and line.pump.unsent > PATIENCE
        )  # fmt: skip
        due = line.machine.deadline
        assert due is not None
        await flooding
        slow.send_octets(PING)
        while (line.machine.deadline or 0.0) <= due:  # read although much waits
            assert line.pump is not None
            assert line.pump.unsent > PATIENCE // 2
            await asyncio.sleep(0.01)
        open_ears(slow)
        await slow.until(Pong)
        for peer in (service, slow):
            await peer.close()


@pytest.mark.timeout_s(60)
async def test_a_crowd_that_does_not_read_loses_its_own_connections(
    open_server: OpenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One address opens many connections and reads none; a slow one elsewhere stays."""
    monkeypatch.setattr(stream.Pump, "patience", 4 * MIB)  # so that few are enough
    limit = 16 * MIB
    async with open_server(unsent_octets=limit) as server:
        site_id = await server.site()
        _, service = await online_service(server, site_id)
        slow = await client_at(server, await server.client(site_id), address())
        tasks = [asyncio.create_task(flood(slow, 20))]
        host = address()
        account = [await server.client(site_id) for _ in range(8)]
        crowd = [await client_at(server, one, host, 4096) for one in account]
        tasks += [asyncio.create_task(flood(peer, 1000)) for peer in crowd]
        before = server.tracker.connections
        while server.tracker.connections == before:
            assert sum(waiting(server)) <= limit + MIB
            await asyncio.sleep(0.01)
        assert {view.address for view in server.tracker.view(site_id)} >= {
            peer._writer.get_extra_info("sockname")[0] for peer in (service, slow)
        }
        open_ears(slow)
        slow.send_octets(PING)
        await slow.until(Pong)
        await stop(*tasks)
        for peer in (service, slow, *crowd):
            await peer.close()


@pytest.mark.timeout_s(60)
async def test_many_clients_together_cannot_have_a_service_cut_off(
    open_server: OpenServer,
) -> None:
    """A service that takes its time: its callers hear 116, all of them, and it stays online."""
    async with open_server() as server:
        site_id = await server.site()
        account, service = await online_service(server, site_id)
        clients = [await server.connect_client(await server.client(site_id)) for _ in range(6)]
        for client in clients:
            await client.install_client(CAMERA)
        *greedy, modest = clients
        for number in range(200):  # 65 MB
            for client in greedy:
                uid = number.to_bytes(16, "big")
                client.send(rpc.CallRequest(uid, account.id, "Look", LARGEST))
                await client._writer.drain()
        for client in greedy:
            for _ in range(100):
                refused = await client.until(rpc.CallRefused)
                assert refused.error_code == ErrorCode.SERVICE_BUSY
        assert SERVICE_QUEUE // 2 < waiting(server)[0] <= SERVICE_QUEUE
        # There is room left for who asks now, and the service is listened to.
        modest.send(rpc.CallRequest(b"m" * 16, account.id, "Look", LARGEST))
        answer = SequenceWriter().encode()
        while True:
            call = await service.until(rpc.ServiceCallRequest)
            service.send(
                rpc.ServiceCallResult(call.transaction_uid, call.user_kind, call.client_id, answer)
            )
            if call.transaction_uid == b"m" * 16:
                break
        assert (await modest.until(rpc.CallResult)).result == answer
        assert all(view.online for view in server.tracker.view(site_id))
        for client in clients:
            await client.close()
        await service.close()
