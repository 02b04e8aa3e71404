"""A client reaches a service through tracker and relay, on real sockets."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
from pathlib import Path

import pytest

from gateway.access.ports import RolesRule
from gateway.endpoint.client import ClientEndpoint
from gateway.endpoint.errors import (
    AccessDenied,
    PortUnreachable,
    RequestTimedOut,
    ServiceBusy,
    ServiceOffline,
)
from gateway.endpoint.events import RequestDenied
from gateway.endpoint.service import IncomingTcp, PortListener
from gateway.model.kinds import ConnectionMode
from gateway.net import sockets
from tests.endpoint.softnet import Softnet, softnet

MEGABYTES = 4


async def _read_all(sock: socket.socket) -> bytes:
    parts = []
    while part := await sockets.receive(sock, 1 << 18):
        parts.append(part)
    return b"".join(parts)


async def _pair(
    running: Softnet, listener: PortListener, client: ClientEndpoint, service_id: int
) -> tuple[IncomingTcp, socket.socket]:
    accepting = running.room.start(listener.accept(), name="accept")
    made = await client.connect_tcp(service_id, listener.number)
    assert made.mode is ConnectionMode.PROXY
    return await accepting, made.socket


async def test_octets_both_ways_and_half_close(tmp_path: Path) -> None:
    async with softnet(tmp_path, direct=False) as running:
        site = await running.site()
        service, _ = await running.online_service(site)
        client, heard = await running.online_client(site)
        listener = service.listen(554, rule=RolesRule(("Administrator", "User")))
        await heard.until(lambda: any(found.online for found in client.services))
        remote = client.services[0]
        assert remote.hostname == "Front Door"
        incoming, outgoing = await _pair(running, listener, client, remote.id)
        with incoming.socket, outgoing:
            assert incoming.actor.name == "Owner"
            assert incoming.actor.roles == ("Administrator",)
            await sockets.send_all(incoming.socket, b"greeting")  # the service may speak first
            assert await sockets.read_exactly(outgoing, 8, 5) == b"greeting"
            sent = os.urandom(MEGABYTES << 20)
            sending = running.room.start(sockets.send_all(outgoing, sent), name="send")
            got = await sockets.read_exactly(incoming.socket, len(sent), 10)
            await sending
            assert hashlib.sha256(got).digest() == hashlib.sha256(sent).digest()
            sockets.close_write(outgoing)
            assert await _read_all(incoming.socket) == b""
            await sockets.send_all(incoming.socket, b"after the end")
            sockets.close_write(incoming.socket)
            assert await _read_all(outgoing) == b"after the end"


async def test_refusals_have_their_own_errors(tmp_path: Path) -> None:
    async with softnet(tmp_path, direct=False) as running:
        site = await running.site()
        service, service_heard = await running.online_service(site)
        await running.user(site, "Eve", "User")
        client, heard = await running.online_client(site, "Eve")
        await heard.until(lambda: any(found.online for found in client.services))
        remote = client.services[0].id
        service.listen(80, rule=RolesRule(("Administrator",)))
        service.listen(554, backlog=0)
        with pytest.raises(AccessDenied) as denied:
            await client.connect_tcp(remote, 80)
        assert denied.value.code == 112
        with pytest.raises(PortUnreachable):
            await client.connect_tcp(remote, 9999)
        with pytest.raises(ServiceBusy):
            await client.connect_tcp(remote, 554)
        with pytest.raises(ServiceOffline):
            await client.connect_tcp(77_777, 554)
        seen = [event for event in service_heard.events if isinstance(event, RequestDenied)]
        assert [(event.port, event.code) for event in seen] == [(80, 112), (9999, 121), (554, 116)]
        assert seen[0].actor is not None
        assert seen[0].actor.name == "Eve"


@pytest.mark.timeout_s(40)
async def test_a_connection_that_nobody_accepts_times_out_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    async with softnet(tmp_path, direct=False) as running:
        site = await running.site()
        service, _ = await running.online_service(site)
        client, heard = await running.online_client(site)
        await heard.until(lambda: any(found.online for found in client.services))
        listener = service.listen(554)
        before = len(list(Path("/proc/self/fd").iterdir()))
        with pytest.raises(RequestTimedOut):
            await client.connect_tcp(client.services[0].id, 554, timeout=5)
        # The service does not know yet; its socket is at its end when it is taken at last.
        late = await listener.accept()
        with late.socket:
            assert await _read_all(late.socket) == b""
        await asyncio.sleep(0)
        assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2


async def test_giving_up_leaves_no_sockets(tmp_path: Path) -> None:
    async with softnet(tmp_path, direct=False) as running:
        site = await running.site()
        service, _ = await running.online_service(site)
        client, heard = await running.online_client(site)
        await heard.until(lambda: any(found.online for found in client.services))
        service.listen(554)
        remote = client.services[0].id
        for wait in (0.0, 0.002, 0.004, 0.008, 0.016, 0.03, 0.06, 0.12):
            asking = running.room.start(client.connect_tcp(remote, 554), name="ask")
            await asyncio.sleep(wait)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        assert not client._departures


async def test_many_at_once(tmp_path: Path) -> None:
    async with softnet(tmp_path, direct=False) as running:
        site = await running.site()
        service, _ = await running.online_service(site)
        client, heard = await running.online_client(site)
        await heard.until(lambda: any(found.online for found in client.services))
        listener = service.listen(554, backlog=40)
        remote = client.services[0].id

        async def serve() -> None:
            for _ in range(20):
                incoming = await listener.accept()
                running.room.start(_echo(incoming.socket), name="echo")

        async def ask(number: int) -> bytes:
            made = await client.connect_tcp(remote, 554)
            with made.socket:
                await sockets.send_all(made.socket, b"%02d" % number)
                sockets.close_write(made.socket)
                return await _read_all(made.socket)

        serving = running.room.start(serve(), name="serve")
        asking = [running.room.start(ask(number), name="ask") for number in range(20)]
        answers = [await one for one in asking]
        await serving
        assert answers == [b"%02d" % number for number in range(20)]


async def _echo(sock: socket.socket) -> None:
    with sock:
        await sockets.send_all(sock, await _read_all(sock))
