"""One loaded site and the registry: no change of it is ever missed."""

from __future__ import annotations

import asyncio

from gateway.registry import services
from gateway.site.happenings import ConnectionEnded, ServiceArrived, StoreSeen
from tests.tracker.conftest import OpenServer
from tests.tracker.test_sites import online


async def test_a_change_during_a_store_does_not_end_the_reloading(open_server: OpenServer) -> None:
    async with open_server() as server:
        site_id = await server.site()
        account = await server.service(site_id)
        first = await online(server, account)
        seat = server.tracker._sites._seats[site_id]
        while not seat.idle and seat._working:
            await asyncio.sleep(0.01)
        # A reload that finds something to store first, and a change that comes meanwhile.
        unsubscribe = server.registry.subscribe(lambda _changes: seat.changed())
        seat.changed()
        seat._carry_out(StoreSeen(account.id, "2.0", b"u" * 16))
        await server.registry.write(lambda tx: services.set_hostname(tx, account.id, "Back Door"))
        unsubscribe()
        while seat._working:
            await asyncio.sleep(0.01)
        late = await server.service(site_id, "Late")
        async with asyncio.timeout(5):
            second = await online(server, late)
        for peer in (first, second):
            await peer.close()


async def test_a_new_service_comes_online_before_its_site_heard_of_it(
    open_server: OpenServer,
) -> None:
    async with open_server() as server:
        site_id = await server.site()
        first = await online(server, await server.service(site_id))
        server.registry._subscribers.clear()  # the news of the change comes too late
        second = await online(server, await server.service(site_id, "Late"))
        for peer in (first, second):
            await peer.close()


async def test_a_new_service_that_leaves_at_once_leaves_nothing(open_server: OpenServer) -> None:
    async with open_server() as server:
        site_id = await server.site()
        first = await online(server, await server.service(site_id))
        late = await server.service(site_id, "Late")
        seat = server.tracker._sites._seats[site_id]
        while not seat.idle and seat._working:
            await asyncio.sleep(0.01)
        held = [
            ServiceArrived(7_000_001, late.id + 1, b"c" * 16, False),
            ConnectionEnded(7_000_001),
        ]
        for happening in held:
            seat.take(happening)
        assert seat._early == held
        while seat._working:
            await asyncio.sleep(0.01)
        assert seat._early == []
        assert [live.id for live in seat.view()] == [late.id - 1]
        await first.close()
