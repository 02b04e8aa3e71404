"""Unmodified endpoints at our UDP rendezvous: what would make them fall over does not happen."""

from __future__ import annotations

import asyncio
import time

import pytest

from gateway.protocol import pairing_udp
from gateway.protocol.pairing_direct import VainAttempts
from gateway.wire.rendezvous import (
    CreateUdpP2PInDualMode,
    CreateUdpProxyConnection,
    P2PLocalHolePunched,
    ProxyRole,
    unpack_private,
    unpack_public,
)
from tests.relay.meeting import CLIENT, SERVICE, Running, own_address
from tests.relay.meeting_udp import UdpEndpoint, server, silent, until

UID = bytes(range(16))


def uid(number: int) -> bytes:
    return bytes((number,)) * 16


async def come_slowly(running: Running, role: ProxyRole, seconds: float) -> UdpEndpoint:
    """Come as an endpoint does to which every message takes its time."""
    endpoint = await UdpEndpoint.open(running, role, UID)
    await asyncio.sleep(seconds)
    endpoint.show()
    await endpoint.answer()
    return endpoint


async def introduced(running: Running, connection: bytes) -> tuple[UdpEndpoint, UdpEndpoint]:
    """Let a client and a service meet that are told to punch."""
    service = await UdpEndpoint.come(running, SERVICE, connection)
    client = await UdpEndpoint.come(running, CLIENT, connection)
    for endpoint in (client, service):
        assert isinstance(await endpoint.told(), CreateUdpP2PInDualMode)
    return client, service


async def test_trap_t8_a_client_far_away_is_not_punched_before_it_has_its_order() -> None:
    """Its peer may be near: then the punch overtakes the order, and the client dies of it."""
    async with server(direct=True) as running:
        service = await UdpEndpoint.come(running, SERVICE, UID)
        client = await come_slowly(running, CLIENT, 0.6)
        assert isinstance(await client.told(), CreateUdpP2PInDualMode)
        begun = time.monotonic()
        assert isinstance(await service.told(), CreateUdpP2PInDualMode)
        assert 0.3 < time.monotonic() - begun < 3.0
        for endpoint in (client, service):
            endpoint.close()


async def test_trap_t8_a_service_far_away_holds_nobody_up() -> None:
    async with server(direct=True) as running:
        client = await UdpEndpoint.come(running, CLIENT, UID)
        service = await come_slowly(running, SERVICE, 0.6)
        await client.told()
        begun = time.monotonic()
        await service.told()
        assert time.monotonic() - begun < 0.4
        for endpoint in (client, service):
            endpoint.close()


async def test_trap_t7_dual_mode_although_private_and_public_are_the_same() -> None:
    async with server(direct=True) as running:
        service = await UdpEndpoint.come(running, SERVICE, UID)
        client = await UdpEndpoint.come(running, CLIENT, UID)
        for endpoint, peer in ((client, service), (service, client)):
            order = await endpoint.told()
            assert isinstance(order, CreateUdpP2PInDualMode)
            assert unpack_private(order.remote_private) == unpack_public(order.remote_public)
            assert unpack_public(order.remote_public)[1] == peer.sock.getsockname()[1]
        for endpoint in (client, service):
            endpoint.close()


async def test_trap_t9_and_t10_during_an_attempt_nothing_is_said_and_nothing_closed() -> None:
    async with server(direct=True) as running:
        client, service = await introduced(running, UID)
        assert await silent(client.control, service.control, seconds=1.0)
        await service.tell(CreateUdpProxyConnection())
        await service.relayed()
        await client.relayed()
        for endpoint in (client, service):
            endpoint.close()


@pytest.mark.parametrize("asymmetric", [False, True])
async def test_what_was_in_vain_is_not_tried_again_for_a_while(asymmetric: bool) -> None:
    """A punched service of the reference asks for nothing: its client gives up after 6 s."""
    async with server(direct=True) as running:
        client, service = await introduced(running, uid(1))
        if asymmetric:
            await service.tell(P2PLocalHolePunched())
            assert await client.told() == P2PLocalHolePunched()
            running.clock.ahead += 6.0
            client.close()
        else:
            running.clock.ahead += 4.0
            await service.tell(CreateUdpProxyConnection())
            await service.relayed()
            await client.relayed()
            client.close()
        half = running.server.udp
        assert half is not None
        await until(lambda: len(half._rendezvous.vain) == 1)
        service.close()
        for number in (2, 3):
            pair = [
                await UdpEndpoint.come(running, role, uid(number)) for role in (CLIENT, SERVICE)
            ]
            for endpoint in pair:
                await endpoint.relayed()
                endpoint.close()
        half._rendezvous.vain = VainAttempts()
        for endpoint in await introduced(running, uid(4)):
            endpoint.close()


async def test_whoever_gives_up_early_may_try_again() -> None:
    async with server(direct=True) as running:
        client, service = await introduced(running, uid(1))
        client.close()
        service.close()
        await until(lambda: not running.server.udp._desk.controls)  # type: ignore[union-attr]
        for endpoint in await introduced(running, uid(2)):
            endpoint.close()


@pytest.mark.parametrize("here", [CLIENT, SERVICE])
async def test_one_on_the_relays_machine_and_one_that_is_not_are_relayed_at_once(here) -> None:
    async with server(direct=True) as running:
        elsewhere = await UdpEndpoint.come(running, here.other, UID, local=own_address())
        begun = time.monotonic()
        beside = await UdpEndpoint.come(running, here, UID)
        await beside.relayed()
        await elsewhere.relayed()
        assert time.monotonic() - begun < 3.0
        beside.say(b"over the relay")
        assert await elsewhere.heard() == b"over the relay"
        for endpoint in (beside, elsewhere):
            endpoint.close()


async def test_two_strangers_may_try() -> None:
    async with server(direct=True) as running:
        client = await UdpEndpoint.come(running, CLIENT, UID, local=own_address())
        service = await UdpEndpoint.come(running, SERVICE, UID, local=own_address())
        for endpoint in (client, service):
            assert isinstance(await endpoint.told(), CreateUdpP2PInDualMode)
            endpoint.close()


def test_the_orders_leave_the_service_time_to_ask_for_the_relay() -> None:
    """02 section 12: a client gives up 6 s after its order, a service asks 4 s after its own."""
    assert pairing_udp.SERVICE_DELAY + pairing_udp.LATENCY_MAX + 4.0 < 5.5
