"""Direct connections between hosts that have addresses of the internet's own (02 7, 10)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.endpoint.internet import CLIENT, SERVICE, Internet, fell_back, modes
from tests.support import lan as support
from tests.support.lan import Lan

pytestmark = pytest.mark.skipif(bool(support.available()), reason=support.available())


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Internet]:
    """Everybody has an address of the internet's own."""
    with Lan() as lan:
        yield Internet(lan, tmp_path_factory.mktemp("server"), natted=False)


@pytest.fixture
def routed(net: Internet) -> Iterator[Internet]:
    yield net
    net.heal()
    net.forget()


def test_hosts_that_reach_each_other(routed: Internet) -> None:
    told = routed.connect(routed.client, *["tcp"] * 15, *["udp"] * 5)
    assert modes(told) == ["P2P"] * 20
    assert sorted(one["seconds"] for one in told)[10] < 0.5


def test_across_a_router_from_the_server_nothing_is_tried(routed: Internet) -> None:
    """The relay is on the direct path already."""
    told = routed.connect(routed.server, "tcp", "tcp", "udp")
    assert modes(told) == ["PROXY"] * 3
    assert all(one["seconds"] < 2 for one in told), told


def test_beside_the_server_and_on_its_network(routed: Internet) -> None:
    """As a gateway's own cameras and a client in the same house: no router and no NAT between."""
    service = routed.start(routed.server, "service", *routed.second_service)
    try:
        service.wait_line(lambda line: "StatusChanged" in line, 30)
        for host, mode in ((routed.internet, "P2P"), (routed.client, "PROXY")):
            told = routed.connect(host, "tcp", "tcp", "udp", service="Beside")
            assert modes(told) == [mode] * 3
            assert all(one["seconds"] < 2 for one in told), told
    finally:
        service.stop()


@pytest.mark.parametrize("verdict", ["drop", "reject with icmp type admin-prohibited"])
def test_the_path_is_cut_and_the_server_remembers(routed: Internet, verdict: str) -> None:
    """Programs that remember nothing, as the reference's, do not pay 4 s every time."""
    routed.cut(
        routed.internet,
        f"ip saddr {SERVICE} ip daddr {CLIENT} {verdict}",
        f"ip saddr {CLIENT} ip daddr {SERVICE} {verdict}",
    )
    fell_back(routed.connect(routed.client, "tcp", "tcp", "udp"))
    told = routed.connect(routed.client, "tcp", "udp")  # another program, another account
    assert modes(told) == ["PROXY"] * 2
    assert all(one["seconds"] < 2 for one in told), told
    # Another host of that network is let try.
    assert modes(routed.connect(routed.office, "tcp", "udp")) == ["P2P"] * 2


@pytest.mark.parametrize(("source", "target"), [(SERVICE, CLIENT), (CLIENT, SERVICE)])
def test_the_path_works_one_way_only(routed: Internet, source: str, target: str) -> None:
    routed.cut(routed.internet, f"ip saddr {source} ip daddr {target} drop")
    fell_back(routed.connect(routed.client, "tcp", "tcp", "udp"))


@pytest.mark.parametrize(("source", "target"), [(SERVICE, CLIENT), (CLIENT, SERVICE)])
def test_only_one_side_may_open_connections(routed: Internet, source: str, target: str) -> None:
    """A firewall without NAT: whoever is inside opens the way for both."""
    routed.cut(routed.internet, f"ip saddr {source} ip daddr {target} ct state new drop")
    assert modes(routed.connect(routed.client, "tcp", "tcp", "udp")) == ["P2P"] * 3
