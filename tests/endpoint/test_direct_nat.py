"""Direct connections between hosts behind NAT, and on one LAN behind one (02 sections 7, 10)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.endpoint.internet import Internet, fell_back, modes
from tests.support import lan as support
from tests.support.lan import Lan

pytestmark = pytest.mark.skipif(bool(support.available()), reason=support.available())


@pytest.fixture(scope="module")
def natted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Internet]:
    """Home and office have one address each, and ports are kept."""
    with Lan() as lan:
        yield Internet(lan, tmp_path_factory.mktemp("server"), natted=True)


def test_both_behind_nat(natted: Internet) -> None:
    assert modes(natted.connect(natted.client, "tcp", "tcp", "udp", "udp")) == ["P2P"] * 4


@pytest.mark.parametrize("where", ["service", "neighbour"])
def test_on_one_host_and_on_one_lan_behind_nat(natted: Internet, where: str) -> None:
    """The public address leads to the router itself: the private path is it."""
    assert modes(natted.connect(getattr(natted, where), "tcp", "tcp", "udp")) == ["P2P"] * 3


def test_one_beside_the_server_and_one_behind_nat(natted: Internet) -> None:
    """A gateway's own cameras are beside it, often at an address that nobody else can reach."""
    told = natted.connect(natted.server, "tcp", "tcp", "udp")
    assert modes(told) == ["PROXY"] * 3
    assert all(one["seconds"] < 2 for one in told), told


def test_a_nat_that_invents_ports(natted: Internet) -> None:
    natted.nat("masquerade fully-random")
    fell_back(natted.connect(natted.client, "tcp", "tcp", "udp"))
