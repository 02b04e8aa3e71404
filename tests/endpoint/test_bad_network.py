"""Endpoints over a network that splits and cuts: they come back and leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.base.notices import NoticeHub
from gateway.endpoint.client import ClientEndpoint
from gateway.endpoint.errors import RequestRefused
from gateway.endpoint.service import PortListener
from gateway.model.kinds import ClientStatus, ServiceStatus
from gateway.net import sockets
from gateway.site.proxies import ProxyDirectory, ProxyEntry
from gateway.tracker.server import TrackerServer
from gateway.tracker.settings import TrackerSettings
from tests.endpoint.link import Link
from tests.endpoint.softnet import SECRET, Softnet, own_address, softnet


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


@contextlib.asynccontextmanager
async def linked(folder: Path, *, trickle: bool = False) -> AsyncIterator[tuple[Softnet, Link]]:
    """Run a server with a link between it and its endpoints."""
    async with softnet(folder, direct=False) as running:
        link = Link(running.room, own_address(), running.host, trickle)
        await running.tracker.stop()
        address = ipaddress.IPv4Address(link.host)
        running.tracker = TrackerServer(
            TrackerSettings(bind_addresses=(running.host,), public_ipv4=link.host),
            registry=running.registry,
            proxies=ProxyDirectory((ProxyEntry(1, SECRET, ipv4=address),)),
            notices=NoticeHub(),
            clock=running.clock,
            entropy=running.entropy,
            room=running.room,
        )
        await running.tracker.start()
        running.host = link.host
        link.start()
        try:
            yield running, link
        finally:
            link.stop()


async def _echo(listener: PortListener) -> None:
    while True:
        incoming = await listener.accept()
        with incoming.socket as sock:
            try:
                while part := await sockets.receive(sock, 4096):
                    await sockets.send_all(sock, part)
            except sockets.HostError:
                continue


async def _works(client: ClientEndpoint, service_id: int) -> bool:
    """Tell whether a whole exchange succeeded; any failure must be of the known family."""
    try:
        made = await client.connect_tcp(service_id, 554, timeout=5)
    except RequestRefused:
        return False
    with made.socket as sock:
        try:
            await sockets.send_all(sock, b"ping")
            return await sockets.read_exactly(sock, 4, 5) == b"ping"
        except sockets.HostError:
            return False


async def test_one_octet_at_a_time(tmp_path: Path) -> None:
    async with linked(tmp_path, trickle=True) as (running, _):
        site = await running.site()
        service, _ = await running.online_service(site)
        client, heard = await running.online_client(site)
        await heard.until(lambda: any(found.online for found in client.services))
        running.room.start(_echo(service.listen(554)), name="echo")
        for _ in range(3):
            assert await _works(client, client.services[0].id)


@pytest.mark.timeout_s(60)
async def test_sessions_cut_after_any_number_of_octets(tmp_path: Path) -> None:
    async with linked(tmp_path) as (running, link):
        site = await running.site()
        service, heard = await running.online_service(site)
        client, client_heard = await running.online_client(site)
        service.disconnect()
        client.disconnect()
        online: list[bool] = []
        for octets in range(0, 100, 4):
            link.allowed[7740] = octets
            service.connect()
            client.connect()
            heard.events.clear()
            client_heard.events.clear()
            # Every attempt is cut at the same octet, unless that comes after they are online.
            await heard.until(
                lambda: len(heard.connectivity) > 3 or service.status is ServiceStatus.ONLINE
            )
            await client_heard.until(
                lambda: len(client_heard.connectivity) > 3 or client.status is ClientStatus.ONLINE
            )
            online.append(service.status is ServiceStatus.ONLINE)
            link.allowed[7740] = None
            await heard.until(lambda: service.status is ServiceStatus.ONLINE)
            await client_heard.until(lambda: client.status is ClientStatus.ONLINE)
            service.disconnect()
            client.disconnect()
            await asyncio.sleep(0)
        assert service.members[0].name == "Owner"
        assert online[0] is False
        assert online[-1] is True


@pytest.mark.timeout_s(60)
@pytest.mark.parametrize(("port", "all_of_it"), [(7778, 35), (37780, 21)])
async def test_meetings_cut_after_any_number_of_octets(
    tmp_path: Path, port: int, all_of_it: int
) -> None:
    async with linked(tmp_path) as (running, link):
        site = await running.site()
        service, _ = await running.online_service(site)
        client, heard = await running.online_client(site)
        await heard.until(lambda: any(found.online for found in client.services))
        remote = client.services[0].id
        running.room.start(_echo(service.listen(554, backlog=500)), name="echo")
        assert await _works(client, remote)
        before = _descriptors()
        for octets in range(0, all_of_it, 2):
            link.allowed[port] = octets
            assert not await _works(client, remote)
        link.allowed[port] = None
        assert await _works(client, remote)
        async with asyncio.timeout(10):
            while link.open_now > 2 or _descriptors() > before:  # the two sessions stay
                await asyncio.sleep(0.05)
        assert not client._departures
