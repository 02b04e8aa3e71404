"""Direct connections between hosts: routed, behind NAT, on one LAN, and with paths cut (02 7, 10).

server --- internet --- home (NAT) --- service, neighbour
                   +--- office (NAT) --- client
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import lan as support
from tests.support.lan import Host, Lan

pytestmark = pytest.mark.skipif(bool(support.available()), reason=support.available())

ROOT = Path(__file__).parents[2]
CASES = 20
HOME, OFFICE = "198.51.100.2", "192.0.2.2"
SERVICE, CLIENT = "192.168.1.10", "192.168.2.10"


def rules(table: str, host: Host, kind: str, *lines: str) -> None:
    chain = "\n".join((f"type {kind};", *lines))
    host.run("nft", "-f", "-", stdin=f"table ip {table} {{\nchain x {{\n{chain}\n}}\n}}\n")


def _named(lan: Lan, prefix: str, name: str) -> Host:
    return lan.host(prefix + name)


class Internet:
    """The hosts, the server and the service; every case uses a client account of its own."""

    def __init__(self, lan: Lan, folder: Path, *, natted: bool) -> None:
        host = functools.partial(_named, lan, "n" if natted else "r")
        self.internet, self.server = host("internet"), host("server")
        self.home, self.office = host("home"), host("office")
        self.service, self.neighbour = host("service"), host("neighbour")
        self.client = host("client")
        lan.wire(self.server, "203.0.113.2/30", self.internet, "203.0.113.1/30")
        self.home_out, _ = lan.wire(self.home, f"{HOME}/30", self.internet, "198.51.100.1/30")
        self.office_out, _ = lan.wire(self.office, f"{OFFICE}/30", self.internet, "192.0.2.1/30")
        lan.wire(self.service, f"{SERVICE}/24", self.home, "192.168.1.1/24")
        lan.wire(self.neighbour, "192.168.3.10/24", self.home, "192.168.3.1/24")
        lan.wire(self.client, f"{CLIENT}/24", self.office, "192.168.2.1/24")
        for inside, gateway in (
            (self.server, "203.0.113.1"),
            (self.home, "198.51.100.1"),
            (self.office, "192.0.2.1"),
            (self.service, "192.168.1.1"),
            (self.neighbour, "192.168.3.1"),
            (self.client, "192.168.2.1"),
        ):
            inside.run("ip", "route", "add", "default", "via", gateway)
        for router in (self.internet, self.home, self.office):
            router.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        if natted:
            self.nat()
        else:
            for network, gateway in (
                ("192.168.1.0/24", HOME),
                ("192.168.3.0/24", HOME),
                ("192.168.2.0/24", OFFICE),
            ):
                self.internet.run("ip", "route", "add", network, "via", gateway)
        program = self.start(self.server, "server", str(folder), "203.0.113.2", str(CASES))
        accounts = json.loads(program.wait_line(lambda line: line.startswith("{"), 30))
        self.accounts = iter(accounts["clients"])
        serving = self.start(self.service, "service", *accounts["service"])
        serving.wait_line(lambda line: "StatusChanged" in line, 30)

    @staticmethod
    def start(host: Host, *words: str) -> support.Program:
        return host.start(sys.executable, "-m", "tests.endpoint.direct_program", *words, cwd=ROOT)

    def connect(self, host: Host, *kinds: str) -> list[dict[str, Any]]:
        """Let a new client on this host connect; nothing may be left open at its end."""
        program = self.start(host, "client", *next(self.accounts), *kinds)
        assert program.wait(80) == 0, program.text
        told = [json.loads(line) for line in program.lines]
        assert told.pop() == {"left": 0}
        assert all(one.get("echoed") for one in told), told
        return told

    def nat(self, how: str = "masquerade") -> None:
        """Masquerade from now on; flows that are known keep their ports."""
        self.heal()
        for router, out in ((self.home, self.home_out), (self.office, self.office_out)):
            rules("nat", router, "nat hook postrouting priority 100", f'oifname "{out}" {how}')
            # As every home router does; otherwise what comes unasked occupies the port.
            unasked = f'iifname "{out}" ct state new drop'
            rules("unasked", router, "filter hook input priority 0", unasked)

    @staticmethod
    def cut(host: Host, *lines: str) -> None:
        rules("cut", host, "filter hook forward priority 0", *lines)

    def heal(self) -> None:
        for host in (self.internet, self.home, self.office):
            host.run("nft", "flush", "ruleset")


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Internet]:
    """Everybody has an address of the internet's own."""
    with Lan() as lan:
        yield Internet(lan, tmp_path_factory.mktemp("server"), natted=False)


@pytest.fixture
def routed(net: Internet) -> Iterator[Internet]:
    yield net
    net.heal()


@pytest.fixture(scope="module")
def natted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Internet]:
    """Home and office have one address each, and ports are kept."""
    with Lan() as lan:
        yield Internet(lan, tmp_path_factory.mktemp("server"), natted=True)


def modes(told: list[dict[str, Any]]) -> list[str]:
    return [one["mode"] for one in told]


def test_hosts_that_reach_each_other(routed: Internet) -> None:
    told = routed.connect(routed.client, *["tcp"] * 15, *["udp"] * 5)
    assert modes(told) == ["P2P"] * 20
    assert sorted(one["seconds"] for one in told)[10] < 0.5


def test_beside_the_server_nothing_is_tried(routed: Internet, natted: Internet) -> None:
    """A gateway's own cameras are there, often at an address that nobody else can reach."""
    for internet in (routed, natted):
        told = internet.connect(internet.server, "tcp", "tcp")
        assert modes(told) == ["PROXY"] * 2
        assert told[0]["seconds"] < 2


def test_both_behind_nat(natted: Internet) -> None:
    assert modes(natted.connect(natted.client, "tcp", "tcp", "udp", "udp")) == ["P2P"] * 4


@pytest.mark.parametrize("where", ["service", "neighbour"])
def test_on_one_host_and_on_one_lan_behind_nat(natted: Internet, where: str) -> None:
    """The public address leads to the router itself: the private path is it."""
    assert modes(natted.connect(getattr(natted, where), "tcp", "tcp", "udp")) == ["P2P"] * 3


def fell_back(told: list[dict[str, Any]]) -> None:
    first, again, udp = told
    assert modes(told) == ["PROXY"] * 3
    assert 3.9 < first["seconds"] < 4.8
    assert again["seconds"] < 1.0  # remembered: the next one does not try
    assert udp["seconds"] < 5.0


@pytest.mark.parametrize("verdict", ["drop", "reject with icmp type admin-prohibited"])
def test_the_path_is_cut(routed: Internet, verdict: str) -> None:
    routed.cut(
        routed.internet,
        f"ip saddr {SERVICE} ip daddr {CLIENT} {verdict}",
        f"ip saddr {CLIENT} ip daddr {SERVICE} {verdict}",
    )
    fell_back(routed.connect(routed.client, "tcp", "tcp", "udp"))


@pytest.mark.parametrize(("source", "target"), [(SERVICE, CLIENT), (CLIENT, SERVICE)])
def test_the_path_works_one_way_only(routed: Internet, source: str, target: str) -> None:
    routed.cut(routed.internet, f"ip saddr {source} ip daddr {target} drop")
    fell_back(routed.connect(routed.client, "tcp", "tcp", "udp"))


@pytest.mark.parametrize(("source", "target"), [(SERVICE, CLIENT), (CLIENT, SERVICE)])
def test_only_one_side_may_open_connections(routed: Internet, source: str, target: str) -> None:
    """A firewall without NAT: whoever is inside opens the way for both."""
    routed.cut(routed.internet, f"ip saddr {source} ip daddr {target} ct state new drop")
    assert modes(routed.connect(routed.client, "tcp", "tcp", "udp")) == ["P2P"] * 3


def test_a_nat_that_invents_ports(natted: Internet) -> None:
    natted.nat("masquerade fully-random")
    fell_back(natted.connect(natted.client, "tcp", "tcp", "udp"))
