"""How many connections there may be, from one address and in all, and that others still come in."""

from __future__ import annotations

import asyncio
import random

import pytest

from gateway.model.kinds import EndpointType
from gateway.wire.installer import ServiceOnline
from tests.support.raw_peer import RawPeer
from tests.support.structures import CAMERA
from tests.tracker.conftest import OpenServer, Server


def addresses(count: int) -> list[str]:
    """Return addresses of this test alone; the server takes each for another host."""
    first = random.randrange(1, 250)
    return [f"127.33.{first}.{number}" for number in range(1, count + 1)]


async def come(server: Server, address: str) -> RawPeer:
    reader, writer = await asyncio.open_connection(*server.address, local_addr=(address, 0))
    writer.write(bytes((1, int(EndpointType.SERVICE))))
    return RawPeer(reader, writer, EndpointType.SERVICE)


async def turned_away(server: Server, address: str) -> bool:
    """Tell whether a connection is closed without a word, perhaps before it is known to be open."""
    try:
        peer = await come(server, address)
        await peer.ended()
        await peer.close()
    except ConnectionError:
        pass
    return True


async def until_there_are(server: Server, count: int) -> None:
    async with asyncio.timeout(10):
        while server.tracker.connections != count:
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("limits", "greedy", "fits"),
    [
        ({"strangers": 4}, 4, 4),
        ({"strangers_per_address": 3}, 1, 3),
        ({"connections": 10}, 5, 10),
        ({"connections_per_address": 3}, 1, 3),
    ],
    ids=["strangers", "strangers-of-one", "connections", "connections-of-one"],
)
async def test_each_bound_holds_and_is_free_again(
    open_server: OpenServer, limits: dict[str, int], greedy: int, fits: int
) -> None:
    """The bounds of one address leave room for others; those in all do not, until one leaves."""
    in_all = len(limits.keys() & {"strangers", "connections"}) == 1
    async with open_server(**limits) as server:
        account = await server.service(await server.site())
        crowd = addresses(greedy)
        peers = [await come(server, crowd[number % greedy]) for number in range(fits)]
        await until_there_are(server, fits)
        assert await turned_away(server, crowd[0])
        (elsewhere,) = addresses(1)
        if in_all:
            assert await turned_away(server, elsewhere)
            await peers.pop().close()
            await until_there_are(server, fits - 1)
        other = await come(server, elsewhere)
        await other.login_service(account.uid, account.password)
        await other.install_service(CAMERA)
        await other.close()  # the site is built, and its service restarted once
        again = await come(server, elsewhere)
        await again.login_service(account.uid, account.password)
        assert await again.install_service(CAMERA) == ServiceOnline()
        for peer in (*peers, again):
            await peer.close()
        await until_there_are(server, 0)
        assert server.tracker.strangers == 0
