"""Bounds of relayed TCP connections by address and by time, and headers in pieces (02, 8.3)."""

from __future__ import annotations

import asyncio
import socket

import pytest

from gateway.relay.notices import RelayClosed
from gateway.wire.rendezvous import data_header
from tests.relay.meeting import (
    CLIENT,
    SERVICE,
    Endpoint,
    Running,
    dial,
    ended,
    meet,
    own_address,
    receive,
    relay_server,
    send,
)

UID = bytes(range(16))


async def meet_from(
    running: Running, uid: bytes, stranger: str
) -> tuple[socket.socket, socket.socket]:
    """Let a client at some address and a service of this machine meet."""
    ends = [await Endpoint.come(running, role, uid) for role in (CLIENT, SERVICE)]
    for end in ends:
        await end.told()
        end.data = await dial(running.data, (stranger, 0) if end.role is CLIENT else None)
        await send(end.data, data_header(end.role, uid))
    client, service = [await end.complete() for end in ends]
    return client, service


async def test_relayed_ends_of_one_peer_are_bounded_and_others_are_not_held_up() -> None:
    async with relay_server(relayed_per_peer=3, handshakes_per_peer=2) as running:
        greedy, other = own_address(), own_address()
        pairs = [
            await meet_from(running, number.to_bytes(16, "big"), greedy) for number in range(3)
        ]
        with pytest.raises((AssertionError, ConnectionResetError)):  # no complement, a reset
            await meet_from(running, b"s" * 16, greedy)
        assert running.server.relayed == 3
        client, service = await meet_from(running, b"o" * 16, other)
        await send(client, b"not me")
        assert await receive(service, 6) == b"not me"
        for near, far in pairs[:2]:
            near.close()
            far.close()
        async with asyncio.timeout(5):
            while running.server.relayed > 2:
                await asyncio.sleep(0.01)
        again, far = await meet_from(running, b"a" * 16, greedy)  # there is room once more
        await send(far, b"back")
        assert await receive(again, 4) == b"back"
        assert running.server._carried[greedy] == 2


@pytest.mark.timeout_s(60)
async def test_an_idle_pair_ends_and_traffic_one_way_keeps_the_other_alive() -> None:
    """Octets in either direction count (02 section 8.3, item 6)."""
    async with relay_server(idle_seconds=1.0) as running:
        idle = await meet(running, b"i" * 16)
        busy = await meet(running, b"b" * 16)

        async def speak() -> None:
            while True:
                await send(busy[1], b"video")
                assert await receive(busy[0], 5) == b"video"
                await asyncio.sleep(0.1)

        speaking = asyncio.ensure_future(speak())
        try:
            assert await asyncio.gather(*(ended(sock) for sock in idle))
            async with asyncio.timeout(5):
                while not (over := [n for n in running.notices if isinstance(n, RelayClosed)]):
                    await asyncio.sleep(0.01)
            assert [notice.reason for notice in over] == ["IDLE"]
            await asyncio.sleep(1.5)
            assert running.server.relayed == 1
            assert not speaking.done()
        finally:
            speaking.cancel()
            await asyncio.wait([speaking])


@pytest.mark.parametrize("host", ["", "::1"], ids=["ipv4", "ipv6"])
async def test_a_data_header_may_come_octet_by_octet_with_anything_behind_it(host: str) -> None:
    """Whatever the segments, 17 octets are the header and the next is the application's."""
    for early in (b"", b"e", b"early words"):
        async with relay_server(host) as running:
            ends = [await Endpoint.come(running, role, UID) for role in (CLIENT, SERVICE)]
            for end in ends:
                await end.told()
                end.data = await dial(running.data)
                end.data.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for client_octet, service_octet in zip(
                data_header(CLIENT, UID), data_header(SERVICE, UID), strict=True
            ):
                for end, octet in zip(ends, (client_octet, service_octet), strict=True):
                    assert end.data is not None
                    await send(end.data, bytes((octet,)))
                    await asyncio.sleep(0)
            assert ends[0].data is not None
            if early:
                await send(ends[0].data, early)
            client, service = [await end.complete() for end in ends]
            assert await receive(service, len(early)) == early
            await send(service, b"answer")
            assert await receive(client, 6) == b"answer"


@pytest.mark.parametrize("size", range(17))
async def test_a_header_cut_at_any_octet_is_none_and_its_uid_is_not_used_up(size: int) -> None:
    async with relay_server() as running:
        ends = [await Endpoint.come(running, role, UID) for role in (CLIENT, SERVICE)]
        for end in ends:
            await end.told()
        cut = await dial(running.data)
        await send(cut, data_header(CLIENT, UID)[:size])
        cut.shutdown(socket.SHUT_WR)
        assert await ended(cut) == "RST"
        for end in ends:
            end.data = await dial(running.data)
            await send(end.data, data_header(end.role, UID))
        client, service = [await end.complete() for end in ends]
        await send(client, b"still")
        assert await receive(service, 5) == b"still"
