"""Which address of a proxy an endpoint is told."""

from __future__ import annotations

import ipaddress

import pytest

from gateway.base.secret import Secret
from gateway.site.happenings import Path
from gateway.site.proxies import ProxyDirectory, ProxyEntry

PUBLIC = ipaddress.IPv4Address("203.0.113.9")
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


def test_proxies_take_turns() -> None:
    directory = ProxyDirectory((ProxyEntry(1, Secret("a")), ProxyEntry(2, Secret("b"))))
    assert [entry.server_id for _ in range(4) if (entry := directory.pick())] == [1, 2, 1, 2]
    assert ProxyDirectory(()).pick() is None
    assert directory.get(3) is None
