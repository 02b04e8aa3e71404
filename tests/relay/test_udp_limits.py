"""The UDP half of the relay server against too much, too slow, too wrong."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path

import pytest

from gateway.base.errors import HostError
from gateway.base.setting import check
from gateway.protocol import pairing_udp, pairing_udp_control
from gateway.relay.notices import RelayOpened
from gateway.relay.settings import RelaySettings
from gateway.wire.rendezvous import (
    CreateUdpProxyConnection,
    P2PConnectionCreated,
    ProxyAuthHash,
    ProxyError,
)
from tests.relay.meeting import (
    CLIENT,
    SERVICE,
    dial,
    ended,
    receive,
    relay_server,
    send,
)
from tests.relay.meeting_udp import UdpEndpoint, datagram, meet, server, silent, until

UID = bytes(range(16))


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


async def taken(endpoint: UdpEndpoint) -> int:
    """Return how many datagrams have come once no more do."""
    count = 0
    while True:
        try:
            await datagram(endpoint.sock, 0.5)
        except TimeoutError:
            return count
        count += 1


async def test_the_rate_of_all_pairs_holds_and_recovers() -> None:
    """`udp_total_packets`: two pairs share it, each of them far below its own rate."""
    total = 40
    async with server(udp_total_packets=total) as running:
        pairs = [await meet(running, bytes((number,)) * 16) for number in range(2)]
        for _ in range(60):
            for client, _service in pairs:
                client.say(b"flood")
        counts = [await taken(service) for _, service in pairs]
        # A quarter of a second's worth for both together, more when a window ended.
        assert total // 4 <= sum(counts) < 60
        for client, service in pairs:
            client.say(b"again")
            assert await service.heard() == b"again"
            client.close()
            service.close()


async def test_the_largest_datagram_goes_through_and_a_larger_one_does_not() -> None:
    """`udp_datagram_octets`, both ways; what is too large costs the connection nothing."""
    largest = 3_000
    async with server(udp_datagram_octets=largest) as running:
        client, service = await meet(running, UID)
        for sender, receiver in ((client, service), (service, client)):
            sender.say(bytes(largest + 1))
            sender.say(bytes(largest))
            assert await receiver.heard() == bytes(largest)
            assert await silent(receiver.sock)
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
        # A port that the system gave out again has replaced its earlier pair.
        assert len([one for one in running.notices if isinstance(one, RelayOpened)]) == 40
        await until(lambda: not running.server.udp._desk.controls)
        # The datagram process, started by the first of them, keeps two descriptors of ours.
        assert len(list(descriptors.iterdir())) <= before + 2


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
