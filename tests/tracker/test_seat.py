"""One loaded site and the registry: no change of it is ever missed."""

from __future__ import annotations

import asyncio

from gateway.registry import services
from gateway.site.happenings import StoreSeen
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
