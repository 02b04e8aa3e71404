"""The UDP half of the relay server on real sockets: punching, relaying, expiry."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import time

import pytest

from gateway.model.kinds import TransportKind
from gateway.net.datagram import bind_datagram
from gateway.protocol import pairing_udp
from gateway.relay.notices import RelayClosed, RelayOpened
from gateway.wire.rendezvous import (
    CreateUdpP2P,
    CreateUdpP2PInDualMode,
    CreateUdpProxyConnection,
    P2PConnectionCreated,
    P2PHolePunched,
    P2PLocalHolePunched,
)
from tests.relay.meeting import (
    CLIENT,
    SERVICE,
    own_address,
    relay_server,
)
from tests.relay.meeting_udp import UdpEndpoint, datagram, meet, server, silent, until

UID = bytes(range(16))
NUMBERED = 10_000


async def test_trap_t8_two_endpoints_punch_directly_as_recorded() -> None:
    async with server(direct=True) as running:
        client = await UdpEndpoint.come(running, CLIENT, UID)
        service = await UdpEndpoint.come(running, SERVICE, UID)
        to_client = await client.told()
        began = time.monotonic()
        to_service = await service.told()
        # Trap T8: the client is told first, or the service's punch kills it.
        assert 0.03 < time.monotonic() - began < 1.0
        assert isinstance(to_client, CreateUdpP2PInDualMode)
        assert isinstance(to_service, CreateUdpP2PInDualMode)
        assert to_client.remote_endpoint_uid == service.endpoint_uid
        (kind, source), (_, service_source) = await asyncio.gather(
            service.punched(to_service), client.punched(to_client)
        )
        assert source == client.sock.getsockname()
        assert service_source == service.sock.getsockname()
        news = P2PLocalHolePunched() if kind == 0x59 else P2PHolePunched()
        await service.tell(news)
        assert await client.told() == news
        await client.tell(P2PConnectionCreated())
        client.control.close()
        assert await service.told() == P2PConnectionCreated()
        service.control.close()
        client.sock.sendto(b"direct", source_of(service))
        while (await datagram(service.sock))[0] != b"direct":
            pass  # late punches
        assert running.notices == []
        client.close()
        service.close()


def source_of(endpoint: UdpEndpoint) -> tuple[str, int]:
    return endpoint.sock.getsockname()[:2]


async def test_trap_t8_the_50_ms_hold_beside_a_meeting_that_is_about_to_end() -> None:
    async with server(direct=True) as running:
        lone = await UdpEndpoint.come(running, CLIENT, bytes(16))
        half = running.server.udp
        await until(lambda: len(half._rendezvous) == 1)
        running.clock.ahead += pairing_udp.MEETING_SECONDS - 0.9
        client = await UdpEndpoint.come(running, CLIENT, UID)
        service = await UdpEndpoint.come(running, SERVICE, UID)
        await client.told()
        began = time.monotonic()
        await service.told()
        assert time.monotonic() - began < 0.5
        for endpoint in (lone, client, service):
            endpoint.close()


async def test_a_failed_attempt_falls_back_to_the_relay_even_after_a_punch() -> None:
    async with server(direct=True) as running:
        client = await UdpEndpoint.come(running, CLIENT, UID)
        service = await UdpEndpoint.come(running, SERVICE, UID)
        await client.told()
        await service.told()
        await service.tell(P2PHolePunched())
        assert await client.told() == P2PHolePunched()
        await service.tell(CreateUdpProxyConnection())
        await service.relayed()
        await client.relayed()
        client.say(b"through the proxy")
        assert await service.heard() == b"through the proxy"
        service.say(b"and back")
        assert await client.heard() == b"and back"
        client.close()
        service.close()


@pytest.mark.parametrize("host", ["", "::1"])
async def test_relay_at_once_and_what_is_announced(host: str) -> None:
    """The policy without direct connections; over IPv6 it is always so (02 trap T5)."""
    async with server(host, direct=bool(host)) as running:
        client, service = await meet(running, UID)
        client.say(b"ping")
        assert await service.heard() == b"ping"
        service.say(b"longer pong")
        assert await client.heard() == b"longer pong"
        (opened,) = running.notices
        address = "::1" if host else "127.0.0.1"
        assert opened == RelayOpened(
            number=1, client_address=address, service_address=address, transport=TransportKind.UDP
        )
        assert running.server.udp.relayed == 1
        client.close()
        service.close()
        await running.server.udp.stop()
        closed = running.notices[1]
        assert isinstance(closed, RelayClosed)
        assert (closed.reason, closed.transport, closed.number) == ("KILLED", TransportKind.UDP, 1)


async def test_over_ipv6_endpoints_may_be_let_punch() -> None:
    async with server("::1", direct=True, udp_direct_ipv6=True) as running:
        client = await UdpEndpoint.come(running, CLIENT, UID)
        service = await UdpEndpoint.come(running, SERVICE, UID)
        order = await client.told()
        port = service.sock.getsockname()[1].to_bytes(2, "big")
        assert order == CreateUdpP2P(socket.inet_pton(10, "::1") + port, service.endpoint_uid)
        assert isinstance(await service.told(), CreateUdpP2P)
        client.close()
        service.close()


async def test_trap_t5_different_families_are_relayed_at_once() -> None:
    async with relay_server(
        own_address(), udp=True, direct=True, bind_addresses=(own_address(), "::1")
    ) as running:
        client = await UdpEndpoint.come(running, CLIENT, UID, door=0)
        service = await UdpEndpoint.come(running, SERVICE, UID, door=1)
        await client.relayed()
        await service.relayed()
        client.say(b"to six")
        assert await service.heard() == b"to six"
        service.say(b"to four")
        assert await client.heard() == b"to four"
        client.close()
        service.close()


@pytest.mark.timeout_s(120)
async def test_10000_numbered_datagrams_of_1_to_16000_octets_both_ways() -> None:
    async with server(udp_pair_octets=1 << 40, udp_total_octets=1 << 40) as running:
        client, service = await meet(running, UID)
        draw = random.Random(11)
        for first in range(0, NUMBERED, 8):
            packets = [
                ((first + index).to_bytes(4, "big") * 4_000)[: draw.randint(1, 16_000)]
                for index in range(8)
            ]
            for packet in packets:
                client.say(packet)
                service.say(packet[::-1])
            assert [await service.heard() for _ in packets] == packets
            assert [await client.heard() for _ in packets] == [one[::-1] for one in packets]
        client.close()
        service.close()


async def test_strangers_are_never_answered_and_endpoints_only_from_their_own_address(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with server() as running:
        client, service = await meet(running, UID)
        third = await UdpEndpoint.open(running, CLIENT, bytes(16))
        elsewhere = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        elsewhere.bind((own_address(), 0))
        elsewhere.setblocking(False)
        for octets in (b"", b"hello", os.urandom(1400), b"\x56" + bytes(22)):
            elsewhere.sendto(octets, client.proxy)
            third.say(octets)
        third.show(elsewhere)  # its uid, somebody else's address
        await third.answer()
        assert await silent(elsewhere, client.sock, service.sock, third.sock)
        assert running.server.udp._parties == {}
        assert "another address" in caplog.text
        elsewhere.close()
        for endpoint in (client, service, third):
            endpoint.close()


async def test_a_network_with_several_addresses_can_be_allowed() -> None:
    async with server(udp_same_address=False) as running:
        client = await UdpEndpoint.open(running, CLIENT, UID)
        client.sock.close()
        client.sock = bind_datagram(own_address(), 0)
        client.show()
        await client.answer()
        service = await UdpEndpoint.come(running, SERVICE, UID)
        await client.relayed()
        await service.relayed()
        service.say(b"x")
        assert await client.heard() == b"x"
        client.close()
        service.close()


async def test_idle_relays_are_forgotten() -> None:
    async with server(udp_idle_seconds=1.0) as running:
        client, service = await meet(running, UID)
        client.say(b"still there")
        await service.heard()
        await until(lambda: len(running.notices) == 2)
        closed = running.notices[1]
        assert isinstance(closed, RelayClosed)
        assert (closed.reason, closed.octets_to_service) == ("IDLE", 11)
        client.say(b"gone")
        assert await silent(service.sock)
        client.close()
        service.close()
