"""Which address of a proxy an endpoint is told."""

from __future__ import annotations

import ipaddress

import pytest

from gateway.base.secret import Secret
from gateway.site.happenings import Path
from gateway.site.proxies import ProxyDirectory, ProxyEntry

PUBLIC = ipaddress.IPv4Address("203.0.113.9")
OTHER, SIX = ipaddress.ip_address("10.0.0.5"), ipaddress.ip_address("2001:db8::5")
LAN, LOOP = ipaddress.ip_address("192.168.1.5"), ipaddress.ip_address("127.0.0.1")


@pytest.mark.parametrize(
    ("entry", "local", "told"),
    [
        (ProxyEntry(1, Secret("s")), LAN, LAN),
        (ProxyEntry(1, Secret("s"), PUBLIC), LAN, PUBLIC),
        (ProxyEntry(1, Secret("s"), PUBLIC), LOOP, PUBLIC),
        (ProxyEntry(1, Secret("s"), PUBLIC, embedded=True), LAN, PUBLIC),
        # The gateway's own bridge need not go round the router to reach its own machine.
        (ProxyEntry(1, Secret("s"), PUBLIC, embedded=True), LOOP, LOOP),
    ],
)
def test_an_endpoint_is_told_where_it_can_get(entry, local, told) -> None:
    path = Path(local=local)
    assert entry.address_for(path) == told.packed


@pytest.mark.parametrize(
    ("entry", "service", "client", "told"),
    [
        # A camera of this box and a client on its network: the client could not be told loopback.
        (ProxyEntry(1, Secret("s"), embedded=True), LOOP, LAN, LAN),
        (ProxyEntry(1, Secret("s"), PUBLIC, embedded=True), LOOP, PUBLIC, PUBLIC),
        # The client comes to a router's address, which need not lead back to this machine.
        (ProxyEntry(1, Secret("s"), PUBLIC, embedded=True), LOOP, LAN, LOOP),
        (ProxyEntry(1, Secret("s"), embedded=True), LOOP, LOOP, LOOP),
        (ProxyEntry(1, Secret("s"), embedded=True), LOOP, SIX, LOOP),
        (ProxyEntry(1, Secret("s"), embedded=True), LAN, OTHER, LAN),
        (ProxyEntry(1, Secret("s"), PUBLIC), LOOP, LAN, PUBLIC),
        (ProxyEntry(1, Secret("s"), embedded=True), LOOP, None, LOOP),
    ],
)
def test_a_service_on_our_machine_is_told_where_its_client_gets_to(
    entry, service, client, told
) -> None:
    assert entry.address_beside(Path(local=service), Path(local=client)) == told.packed


def test_proxies_take_turns() -> None:
    directory = ProxyDirectory((ProxyEntry(1, Secret("a")), ProxyEntry(2, Secret("b"))))
    assert [entry.server_id for _ in range(4) if (entry := directory.pick())] == [1, 2, 1, 2]
    assert ProxyDirectory(()).pick() is None
    assert directory.get(3) is None
