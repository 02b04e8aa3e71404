"""Traps of 03 that show at a whole tracker with its registry: E3, E8, E15."""

from __future__ import annotations

import dataclasses
from typing import Any

from gateway.base.clock import SystemClock
from gateway.base.notices import NoticeHub
from gateway.model.kinds import EndpointType, EventKind
from gateway.registry import pubsub as kept_events
from gateway.registry import structure
from gateway.site.proxies import ProxyDirectory
from gateway.tracker.server import TrackerServer
from gateway.wire import catalogue, pubsub, rpc
from gateway.wire.catalogue import Direction
from gateway.wire.channel import Error, Ping, Pong
from gateway.wire.installer import ServiceOnline
from tests.support.raw_peer import RawPeer
from tests.tracker.conftest import OpenServer, Server, ServiceAccount
from tests.tracker.test_journal import CAMERA, online

ID_MAX = (1 << 31) - 1


class Hands(SystemClock):
    """The clock on the wall, which a test can put forward."""

    ahead = 0.0

    def wall(self) -> float:
        return super().wall() + self.ahead


async def raised(peer: RawPeer, number: int) -> None:
    peer.send(pubsub.RaiseQueueingEvent("Alarm", 0, bytes([number]) * 16, b"\x30\x00"))
    await peer.until(pubsub.RaiseAcknowledged)


async def newest(server: Server, site_id: int) -> int:
    found = await server.registry.read(lambda reader: kept_events.load(reader, site_id))
    return found.last_instance_id


async def started_again(server: Server) -> None:
    """Stop the tracker and start another over the same registry."""
    await server.tracker.stop()
    old = server.tracker
    server.tracker = TrackerServer(
        old._settings, registry=server.registry, proxies=ProxyDirectory(()), notices=NoticeHub(),
        clock=old._clock, entropy=old._entropy, room=old._room,
    )  # fmt: skip
    await server.tracker.start()


async def test_trap_e3_ids_go_on_over_restarts_deletions_and_a_rebuilt_site(
    open_server: OpenServer,
) -> None:
    async with open_server() as server:
        site_id = await server.site()
        account = await server.service(site_id)
        other = await server.service(site_id, "Other")
        peer = await online(server.address, account)
        await raised(peer, 1)
        first = await newest(server, site_id)
        for number in range(2, 4):
            await raised(peer, number)
        assert await newest(server, site_id) == first + 2  # a plain counter of the site
        await peer.close()
        await started_again(server)

        await server.registry.write(lambda tx: tx.run("DELETE FROM event_instance"))
        await started_again(server)
        peer = await online(server.address, account)
        await raised(peer, 4)
        fourth = await newest(server, site_id)
        assert fourth > first + 2

        second = await server.connect_service(other)
        changed = dataclasses.replace(CAMERA, contract_author="Somebody else")
        await second.install_service(changed)
        await server.until_stored(
            lambda reader: reader.one(
                "SELECT 1 FROM service WHERE id = ? AND ss_hash IS NOT NULL", other.id
            ) is not None
        )  # fmt: skip
        await server.registry.write(lambda tx: structure.apply(tx, site_id, other.id))
        for one in (peer, second):
            await one.until(Error)
            await one.close()
        back = await server.connect_service(other)
        assert await back.install_service(changed) == ServiceOnline()
        await raised(back, 5)
        assert fourth < await newest(server, site_id) < ID_MAX
        await back.close()


async def test_trap_e8_what_comes_right_behind_online_is_taken(open_server: OpenServer) -> None:
    """Everything an endpoint may say at that moment, in one write, of both sorts of endpoints."""
    async with open_server() as server:
        site_id = await server.site()
        account = await server.service(site_id)
        service = await online(server.address, account)
        storm = (
            pubsub.NewStorageUid(b"n" * 16),
            pubsub.RaiseQueueingEvent("Alarm", 0, b"a" * 16, b"\x30\x00"),
            pubsub.RaiseReplacingEvent("State", 0, b"b" * 16),
            Ping(),
        )
        service.send_octets(
            b"".join(catalogue.encode(Direction.SERVICE_TO_TRACKER, one) for one in storm)
        )
        for uid in (b"a" * 16, b"b" * 16):
            assert (await service.until(pubsub.RaiseAcknowledged)).instance_uid == uid
        assert any(isinstance(one, Pong) for one in service.received)
        await server.until_stored(
            lambda reader: reader.one("SELECT storage_uid FROM service")[0] == b"n" * 16  # type: ignore[index]
        )

        mine = await server.client(site_id)
        client = await RawPeer.connect(server.address, EndpointType.CLIENT)
        await client.login_client(mine.category, mine.key, mine.password)
        await client.install_client(CAMERA)
        wanted = (
            rpc.CallRequest(b"t" * 16, account.id, "Move", b"\x30\x00"),
            pubsub.Subscriptions((pubsub.Subscription(EventKind.QUEUEING, "Alarm"),)),
            rpc.CallRequest(b"v" * 16, 4711, "Move", b"\x30\x00"),
        )
        client.send_octets(
            b"".join(catalogue.encode(Direction.CLIENT_TO_TRACKER, one) for one in wanted)
        )
        assert (await service.until(rpc.ServiceCallRequest)).transaction_uid == b"t" * 16
        kinds: set[type[Any]] = set()
        while not kinds >= {rpc.CallRefused, pubsub.DeliverQueueingEvent}:
            kinds.add(type(await client.receive()))
        await client.close()
        await service.close()


async def test_trap_e15_time_counts_while_the_tracker_is_down(open_server: OpenServer) -> None:
    clock = Hands()
    async with open_server(clock=clock) as server:
        site_id = await server.site()
        account: ServiceAccount = await server.service(site_id)
        peer = await online(server.address, account)
        await raised(peer, 1)
        await peer.close()
        for ahead, there in ((86_000.0, True), (86_500.0, False)):
            await server.tracker.stop()
            clock.ahead = ahead
            await started_again(server)
            mine = await server.client(site_id)
            client = await online(server.address, mine)
            client.send(pubsub.Subscriptions((pubsub.Subscription(EventKind.QUEUEING, "Alarm"),)))
            client.send(Ping())
            await client.until(Pong)
            told = [m for m in client.received if isinstance(m, pubsub.DeliverQueueingEvent)]
            if there and not told:
                told = [await client.until(pubsub.DeliverQueueingEvent)]
            assert [one.age // 1000 for one in told] == ([86] if there else [])
            await client.close()
