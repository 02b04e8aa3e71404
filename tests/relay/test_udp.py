"""The UDP half of the relay server on real sockets: punching, relaying, limits, garbage."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.base.errors import HostError
from gateway.base.setting import check
from gateway.model.kinds import TransportKind
from gateway.net.datagram import bind_datagram
from gateway.protocol import pairing_udp, pairing_udp_control
from gateway.relay.notices import RelayClosed, RelayOpened
from gateway.relay.settings import RelaySettings
from gateway.wire.rendezvous import (
    CreateUdpP2P,
    CreateUdpP2PInDualMode,
    CreateUdpProxyConnection,
    P2PConnectionCreated,
    P2PHolePunched,
    P2PLocalHolePunched,
    ProxyAuthHash,
    ProxyError,
)
from tests.relay.meeting import (
    CLIENT,
    SERVICE,
    Running,
    dial,
    ended,
    own_address,
    receive,
    relay_server,
    send,
)
from tests.relay.meeting_udp import UdpEndpoint, datagram, meet, silent

UID = bytes(range(16))
NUMBERED = 10_000


@contextlib.asynccontextmanager
async def server(host: str = "", **settings) -> AsyncIterator[Running]:
    async with relay_server(host, udp=True, **settings) as running:
        half = running.server.udp
        assert half is not None
        yield running
    assert not half._desk.controls
    assert half._desk.listener.count == 0
    for table in (half._named, half._uids, half._spots, half._parties, half._pairs):
        assert not table
    assert not half._ends
    assert half._path.pairs == 0
    assert half.process_id is None


async def until(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def test_two_endpoints_punch_directly_as_recorded() -> None:
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


async def test_rates_hold_and_recover() -> None:
    async with server(udp_pair_packets=40) as running:
        client, service = await meet(running, UID)
        for _ in range(60):
            client.say(b"flood")
        await asyncio.sleep(0.5)
        count = 0
        with contextlib.suppress(BlockingIOError):
            while service.sock.recv(100):
                count += 1
        assert 10 <= count < 60  # a quarter of a second's worth, more when a window ended
        client.say(b"again")
        assert await service.heard() == b"again"
        client.close()
        service.close()


async def test_pairs_of_one_peer_and_in_total_are_limited() -> None:
    for limits in ({"udp_pairs_per_peer": 2}, {"udp_pairs_max": 1}):
        async with server(**limits) as running:
            client, service = await meet(running, UID)
            others = [
                await UdpEndpoint.come(running, role, bytes(16)) for role in (CLIENT, SERVICE)
            ]
            for endpoint in others:
                assert await endpoint.told() == ProxyError()
                assert await ended(endpoint.control) == "FIN"
            client.say(b"undisturbed")
            assert await service.heard() == b"undisturbed"
            for endpoint in (client, service, *others):
                endpoint.close()


async def test_meetings_expire_by_the_clock_and_a_uid_serves_once() -> None:
    async with server() as running:
        client, service = await meet(running, UID)
        late = await UdpEndpoint.come(running, CLIENT, UID)
        assert await ended(late.control) == "FIN"
        half = running.server.udp
        assert len(half._rendezvous) == 1
        running.clock.ahead += pairing_udp.MEETING_SECONDS
        await until(lambda: len(half._rendezvous) == 0)
        client.say(b"the relay goes on")
        assert await service.heard() == b"the relay goes on"
        for endpoint in (client, service, late):
            endpoint.close()


async def test_control_connections_live_for_30_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairing_udp_control, "HELLO_SECONDS", 0.2)
    monkeypatch.setattr(pairing_udp_control, "CONTROL_SECONDS", 0.5)
    async with server() as running:
        address = running.server.udp.addresses[0]
        silent_ones = [await dial(address) for _ in range(100)]
        drips = await dial(address)
        await send(drips, b"\x15")
        seen = await UdpEndpoint.come(running, CLIENT, UID)
        for sock in (*silent_ones, drips, seen.control):
            assert await ended(sock) == "FIN"
        assert len(running.server.udp._rendezvous) == 0
        seen.close()


@pytest.mark.parametrize(
    "octets",
    [b"\x00", b"\xff" * 200, b"GET / HTTP/1.1\r\n\r\n", b"\x01\x04", b"\x15\x01" + bytes(20)],
)
async def test_garbage_on_the_control_port_closes_it(octets: bytes) -> None:
    async with server() as running:
        sock = await dial(running.server.udp.addresses[0])
        await send(sock, octets + bytes(130))
        await ended(sock)
        await until(lambda: not running.server.udp._desk.controls)


async def test_messages_of_the_wrong_side_close_the_connection() -> None:
    for role, message in ((CLIENT, CreateUdpProxyConnection()), (SERVICE, P2PConnectionCreated())):
        async with server(direct=True) as running:
            ends = [await UdpEndpoint.come(running, side, UID) for side in (CLIENT, SERVICE)]
            for end in ends:
                await end.told()
            wrong = ends[role - 1]
            await wrong.tell(message)
            assert await receive(wrong.control, 1) == b""
            assert await silent(ends[0].sock, ends[1].sock)
            for end in ends:
                end.close()


async def test_wrong_answers_are_refused_with_one_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with server() as running:
        for _ in range(10):
            endpoint = await UdpEndpoint.open(running, CLIENT, UID)
            endpoint.show()
            await endpoint.tell(ProxyAuthHash(bytes(20), bytes(20)))
            assert await receive(endpoint.control, 2) == b"\x01\x0a"
            assert await ended(endpoint.control) == "FIN"
            endpoint.close()
        assert len(running.server.udp._rendezvous) == 0
    assert len([line for line in caplog.messages if "wrongly" in line]) == 1
    assert UID.hex() not in caplog.text


async def test_many_connections_leave_nothing() -> None:
    async with server() as running:
        descriptors = Path("/proc/self/fd")
        before = len(list(descriptors.iterdir()))
        for index in range(40):
            client, service = await meet(running, index.to_bytes(16, "big"))
            service.say(b"hello")
            assert await client.heard() == b"hello"
            client.close()
            service.close()
        assert running.server.udp.relayed == 40
        await until(lambda: not running.server.udp._desk.controls)
        assert len(list(descriptors.iterdir())) <= before


async def test_a_port_that_is_taken_leaves_nothing_open() -> None:
    async with server() as running:
        host, port = running.server.udp.addresses[0]
        with pytest.raises(HostError, match=str(port)):
            async with relay_server(host, udp=True, udp_port=port):
                pass
        client, service = await meet(running, UID)
        assert client.proxy == service.proxy == (host, port)
        client.close()
        service.close()


def test_settings_have_bounds_and_udp_can_be_off() -> None:
    check(RelaySettings(udp=False))
    assert RelaySettings().udp_port == 7779


async def test_without_udp_there_is_no_half() -> None:
    async with relay_server() as running:
        assert running.server.udp is None
