"""The relay server on real sockets: meetings, limits, garbage and what it announces."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from pathlib import Path

import pytest

from gateway.base.errors import HostError, InvalidInput
from gateway.base.secret import Secret
from gateway.base.setting import check
from gateway.protocol import pairing
from gateway.relay.notices import RelayClosed, RelayOpened
from gateway.relay.server import RendezvousServer
from gateway.relay.settings import RelaySettings
from gateway.wire.rendezvous import CreateProxyConnection, ProxyAuthHash, data_header
from tests.relay.meeting import (
    CLIENT,
    SERVICE,
    Endpoint,
    dial,
    ended,
    meet,
    own_address,
    receive,
    relay_server,
    send,
)

UID = bytes(range(16))


@pytest.mark.parametrize("host", ["", "::1"])
async def test_two_endpoints_meet_and_octets_flow_both_ways(host: str) -> None:
    async with relay_server(host) as running:
        client, service = await meet(running, UID)
        await send(client, b"OPTIONS")
        assert await receive(service, 7) == b"OPTIONS"
        client.shutdown(socket.SHUT_WR)
        assert await receive(service, 1) == b""
        await send(service, b"x" * 100_000)
        service.close()
        assert len(await receive(client, 200_000)) == 100_000
        client.close()
        async with asyncio.timeout(5):
            while len(running.notices) < 2:
                await asyncio.sleep(0.01)
        opened, closed = running.notices
        address = running.control[0] if host else "127.0.0.1"
        assert isinstance(opened, RelayOpened)
        assert (opened.client_address, opened.service_address) == (address, address)
        assert isinstance(closed, RelayClosed)
        assert (closed.octets_to_service, closed.octets_to_client) == (7, 100_000)
        assert (closed.reason, closed.number) == ("CLOSED", opened.number)
        assert 0 < closed.seconds < 5


async def test_what_is_sent_with_the_header_waits_for_the_other_side() -> None:
    async with relay_server() as running:
        client = await Endpoint.come(running, CLIENT, UID)
        service = await Endpoint.come(running, SERVICE, UID)
        await client.open_data(early=b"too early")
        assert running.server.relayed == 0
        await service.open_data()
        assert await receive(await service.complete(), 9) == b"too early"
        await client.complete()
        client.close()
        service.close()


async def test_a_reset_of_one_end_reaches_the_other() -> None:
    async with relay_server() as running:
        client, service = await meet(running, UID)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        client.close()
        assert await ended(service) == "RST"


async def test_a_uid_is_good_for_one_meeting() -> None:
    async with relay_server() as running:
        client, service = await meet(running, UID)
        late = await dial(running.data)
        await send(late, data_header(CLIENT, UID))
        assert await ended(late) == "RST"
        await send(client, b"undisturbed")
        assert await receive(service, 11) == b"undisturbed"
        client.close()
        service.close()


@pytest.mark.parametrize(
    "octets",
    [
        data_header(CLIENT, UID),
        b"\x03" + UID,
        b"GET / HTTP/1.1\r\n\r\n",
        random.Random(7).randbytes(100),
        b"\x01" + UID[:-1],
        b"",
    ],
)
async def test_garbage_on_the_data_port_is_reset(octets: bytes) -> None:
    async with relay_server(header_seconds=0.3) as running:
        waiting = await Endpoint.come(running, CLIENT, UID)
        sock = await dial(running.data)
        await send(sock, octets)
        assert await ended(sock) == "RST"
        assert running.server.relayed == 0
        service = await Endpoint.come(running, SERVICE, UID)
        assert isinstance(await waiting.told(), CreateProxyConnection)
        waiting.close()
        service.close()


@pytest.mark.parametrize(
    "octets",
    [b"\x00", b"\xff" * 200, b"GET / HTTP/1.1\r\n\r\n", b"\x81\xff" + bytes(255), b"\x01\x06"],
)
async def test_garbage_on_the_control_port_closes_it(
    octets: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairing, "HELLO_SECONDS", 0.3)  # for what might be the start of a frame
    async with relay_server() as running:
        sock = await dial(running.control)
        await send(sock, octets)
        await ended(sock)
        assert not running.server._desk.controls


async def test_wrong_answers_are_refused_with_one_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with relay_server() as running:
        for _ in range(20):
            endpoint = Endpoint(running, CLIENT, UID, await dial(running.control))
            await endpoint.tell(pairing.ClientProxy(UID))
            await endpoint.told()
            await endpoint.tell(ProxyAuthHash(bytes(20), bytes(20)))
            assert await receive(endpoint.control, 2) == b"\x01\x0a"
            assert await ended(endpoint.control) == "FIN"
        assert len(running.server._rendezvous) == 0
    lines = [line for line in caplog.messages if "wrongly" in line]
    assert len(lines) == 1
    assert UID.hex() not in caplog.text


async def test_silent_control_connections_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairing, "HELLO_SECONDS", 0.3)
    async with relay_server() as running:
        silent = [await dial(running.control) for _ in range(200)]
        drips = await dial(running.control)
        await send(drips, b"\x15")
        for sock in silent:
            assert await ended(sock) == "FIN"
        assert await ended(drips) == "FIN"


async def test_a_control_connection_that_is_replaced_is_closed() -> None:
    async with relay_server() as running:
        first = await Endpoint.come(running, CLIENT, UID)
        async with asyncio.timeout(5):
            while len(running.server._rendezvous) == 0:
                await asyncio.sleep(0.01)
        second = await Endpoint.come(running, CLIENT, UID)
        assert await ended(first.control) == "FIN"
        service = await Endpoint.come(running, SERVICE, UID)
        assert isinstance(await second.told(), CreateProxyConnection)
        third = await Endpoint.come(running, CLIENT, UID)
        assert await ended(third.control) == "FIN"
        second.close()
        service.close()


async def test_a_data_connection_whose_meeting_expires_is_reset() -> None:
    async with relay_server() as running:
        client = await Endpoint.come(running, CLIENT, UID)
        service = await Endpoint.come(running, SERVICE, UID)
        await client.open_data()
        await service.told()
        async with asyncio.timeout(5):
            while not running.server._waiting:
                await asyncio.sleep(0.01)
        running.clock.ahead += pairing.MEETING_SECONDS
        assert client.data is not None
        assert await ended(client.data) == "RST"
        late = await dial(running.data)
        await send(late, data_header(SERVICE, UID))
        assert await ended(late) == "RST"
        client.close()
        service.close()


async def dropped(address: tuple[str, int], local: str = "") -> bool:
    """Tell whether a new connection is closed at once, perhaps before it is known to be open."""
    try:
        await ended(await dial(address, (local, 0) if local else None))
    except ConnectionResetError:
        pass
    return True


async def test_limits_of_one_peer_hold() -> None:
    async with relay_server(
        controls_per_peer=3, handshakes_per_peer=2, header_seconds=0.5
    ) as running:
        stranger = own_address()
        controls = [await dial(running.control, (stranger, 0)) for _ in range(3)]
        assert await dropped(running.control, stranger)
        handshakes = [await dial(running.data, (stranger, 0)) for _ in range(2)]
        async with asyncio.timeout(0.4):
            assert await dropped(running.data, stranger)
        for sock in handshakes:
            assert await ended(sock) == "RST"
        for sock in controls:
            sock.close()
        async with asyncio.timeout(5):
            while running.server._desk.controls:
                await asyncio.sleep(0.01)
        client, service = await meet(running, UID)
        await send(client, b"room again")
        assert await receive(service, 10) == b"room again"


async def test_strangers_cannot_use_up_what_our_own_services_need_nor_they_theirs() -> None:
    """All cameras of the gateway come from one address, each for every client that asks."""
    async with relay_server(
        controls_max=4, controls_per_peer=2, handshakes_max=4, handshakes_per_peer=2, own_max=12
    ) as running:
        strangers = [own_address() for _ in range(3)]
        crowd = [
            await dial(address, (stranger, 0))
            for stranger in strangers[:2]
            for address in (running.control, running.data)
            for _ in range(2)
        ]
        for address in (running.control, running.data):
            assert await dropped(address, strangers[2])  # there is no room for others any more
        for number in range(3):
            client, service = await meet(running, bytes((number,)) * 16)
            await send(client, b"as ever")
            assert await receive(service, 7) == b"as ever"
        own = [await dial(running.control) for _ in range(12)]
        assert await dropped(running.control)  # they have a bound as well
        own += [await dial(running.data) for _ in range(12)]
        assert await dropped(running.data)
        for sock in crowd:
            sock.close()
        async with asyncio.timeout(5):
            while running.server._desk.listener.count > 12:
                await asyncio.sleep(0.01)
        endpoint = await Endpoint.come(running, CLIENT, UID, strangers[2])
        for sock in (*own, endpoint.control):
            sock.close()


async def test_no_more_pairs_are_relayed_than_allowed() -> None:
    async with relay_server(relayed_max=1) as running:
        client, service = await meet(running, UID)
        ends = [await Endpoint.come(running, role, bytes(16)) for role in (CLIENT, SERVICE)]
        data = [await end.open_data() for end in ends]
        assert [await ended(sock) for sock in data] == ["RST", "RST"]
        await send(client, b"goes on")
        assert await receive(service, 7) == b"goes on"


async def test_silent_connections_and_many_meetings_leave_nothing() -> None:
    async with relay_server(header_seconds=0.5) as running:
        descriptors = Path("/proc/self/fd")
        before = len(list(descriptors.iterdir()))
        silent = [
            await dial(running.data if index % 2 else running.control) for index in range(300)
        ]
        for index in range(50):
            client, service = await meet(running, index.to_bytes(16, "big"))
            await send(service, b"hello")
            assert await receive(client, 5) == b"hello"
            client.close()
            service.close()
        for index, sock in enumerate(silent):
            if index % 2:
                await ended(sock)
            else:
                sock.close()
        async with asyncio.timeout(5):
            while running.server.relayed or running.server._desk.controls:
                await asyncio.sleep(0.01)
        assert len(list(descriptors.iterdir())) <= before


async def test_stopping_cuts_what_is_open() -> None:
    async with relay_server() as running:
        client, service = await meet(running, UID)
        waiting = await Endpoint.come(running, CLIENT, bytes(16))
        header = await dial(running.data)
        await running.server.stop()
        assert await ended(client) == await ended(service) == "RST"
        assert await ended(header) == "RST"
        assert await ended(waiting.control) in ("FIN", "RST")
        with pytest.raises(ConnectionRefusedError):
            await dial(running.control)


async def test_it_starts_only_with_a_secret_and_a_free_port() -> None:
    async with relay_server() as running:
        server = running.server
        arguments = {
            "datapath": running.datapath,
            "clock": running.clock,
            "entropy": server._entropy,
            "room": server._parent,
            "notices": server._notices,
        }
        with pytest.raises(InvalidInput):
            RendezvousServer(RelaySettings(), secret=Secret(""), **arguments)
        taken = RelaySettings(
            bind_addresses=(running.control[0],),
            control_port=running.control[1],
            data_port=0,
            udp_port=0,
        )
        second = RendezvousServer(taken, secret=Secret("x"), **arguments)
        with pytest.raises(HostError):
            await second.start()
        await second.stop()


def test_settings_have_bounds() -> None:
    check(RelaySettings())
    with pytest.raises(InvalidInput):
        check(RelaySettings(data_port=70_000))
    with pytest.raises(InvalidInput):
        check(RelaySettings(bind_addresses=()))
    assert own_address().startswith("127.12.")
