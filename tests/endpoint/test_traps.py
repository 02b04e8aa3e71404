"""Traps of the protocol that show at whole endpoints, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
from pathlib import Path

import pytest

from gateway.base.clock import SystemClock
from gateway.base.entropy import SystemEntropy
from gateway.base.secret import Secret
from gateway.endpoint.events import ConnectivityStatus
from gateway.endpoint.service import ServiceEndpoint
from gateway.model.kinds import ServiceStatus
from gateway.net.listener import Listener
from gateway.net.tasks import TaskRoom
from gateway.protocol import endpoint as session_of
from gateway.wire.catalogue import Direction, encode
from gateway.wire.channel import SaltAndKey1
from gateway.wire.codes import ErrorCode
from tests.endpoint.softnet import CAMERA, QUICK, Heard, own_address, softnet
from tests.endpoint.test_locate import balancer, tell

URI = "softnet-srv://00112233-4455-6677-8899-aabbccddeeff@{}"
CHALLENGE = encode(Direction.TRACKER_TO_SERVICE, SaltAndKey1(b"s" * 16, b"k" * 20))
DISCONNECTED, ATTEMPT = ConnectivityStatus.DISCONNECTED, ConnectivityStatus.ATTEMPT_TO_CONNECT
CONNECTED, CLOSED = ConnectivityStatus.CONNECTED, ConnectivityStatus.CLOSED


@pytest.mark.parametrize("greeting", [b"", CHALLENGE], ids=["mute", "challenge-only"])
async def test_trap_s13_a_tracker_that_never_lets_in_is_left_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, greeting: bytes
) -> None:
    monkeypatch.setattr(session_of, "INSTALL_LIMIT", 0.3)
    host = own_address()
    visits: list[socket.socket] = []
    third = asyncio.Event()

    def visited(sock: socket.socket, _peer: str) -> None:
        visits.append(sock)
        with contextlib.suppress(OSError):
            sock.send(greeting)
        if len(visits) == 3:
            third.set()

    async with TaskRoom("test") as room, balancer(host, tell(host)) as (port, _):
        listener = Listener(room, visited)
        ((_, tracker_port),) = listener.open([host], 0)
        settings = dataclasses.replace(QUICK, balancer_port=port, tracker_port=tracker_port)
        service = ServiceEndpoint(
            URI.format(host), Secret("x"), structure=CAMERA, settings=settings, room=room,
            clock=SystemClock(), entropy=SystemEntropy(),
        )  # fmt: skip
        heard = Heard(service)
        service.connect()
        async with asyncio.timeout(20):
            await third.wait()
        assert (ATTEMPT, ErrorCode.NETWORK_ERROR) in heard.connectivity
        assert not [status for status, _ in heard.connectivity if status is CONNECTED]
        await service.close()
        listener.close()
        for sock in visits:
            sock.close()


async def test_trap_s30_a_lost_channel_and_close_are_announced(tmp_path: Path) -> None:
    """The lost channel as in the reference, which has two ways; close(), where it says nothing."""
    async with softnet(tmp_path) as running:
        site = await running.site()
        service, heard = await running.online_service(site)
        client, client_heard = await running.online_client(site)
        heard.events.clear()
        client_heard.events.clear()
        await running.tracker.stop()
        network = ErrorCode.NETWORK_ERROR
        await heard.until(lambda: (ATTEMPT, network) in heard.connectivity)
        await client_heard.until(lambda: len(client_heard.connectivity) >= 2)
        assert heard.connectivity[:2] == [(DISCONNECTED, network), (ATTEMPT, 0)]
        assert client_heard.connectivity[:2] == [(ATTEMPT, network), (ATTEMPT, 0)]
        assert service.status is ServiceStatus.OFFLINE
        for endpoint, said in ((service, heard), (client, client_heard)):
            await endpoint.close()
            assert endpoint.connectivity.status is CLOSED
            assert said.connectivity[-1] == (CLOSED, ErrorCode.NO_ERROR)
            told = len(said.events)
            await endpoint.close()
            endpoint.disconnect()
            assert len(said.events) == told


async def test_trap_s31_and_close_while_online(tmp_path: Path) -> None:
    """Who closes while online is Closed at once, and its services are not online any more."""
    async with softnet(tmp_path) as running:
        site = await running.site()
        await running.online_service(site)
        client, heard = await running.online_client(site)
        await heard.until(lambda: client.services[0].online)
        heard.events.clear()
        await client.close()
        assert heard.connectivity == [(CLOSED, ErrorCode.NO_ERROR)]
        assert not client.services[0].online
