"""A server, a home and an office on an internet of namespaces, for tests of direct connections.

server --- internet --- home (NAT) --- service, neighbour
                   +--- office (NAT) --- client
"""

from __future__ import annotations

import functools
import json
import signal
import sys
from pathlib import Path
from typing import Any

from tests.support import lan as support
from tests.support.lan import Host, Lan

ROOT = Path(__file__).parents[2]
CASES = 24
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
        self.server_program = program
        accounts = json.loads(program.wait_line(lambda line: line.startswith("{"), 30))
        self.accounts = iter(accounts["clients"])
        self.second_service = accounts["beside"]
        serving = self.start(self.service, "service", *accounts["service"])
        serving.wait_line(lambda line: "StatusChanged" in line, 30)

    @staticmethod
    def start(host: Host, *words: str) -> support.Program:
        return host.start(sys.executable, "-m", "tests.endpoint.direct_program", *words, cwd=ROOT)

    def forget(self) -> None:
        """Let the server forget who could not reach whom: the next case has another network."""
        start = len(self.server_program.lines)
        self.server_program.signal(signal.SIGUSR1)
        self.server_program.wait_line(lambda line: "forgotten" in line, 10, start)

    def connect(self, host: Host, *kinds: str, service: str = "Camera") -> list[dict[str, Any]]:
        """Let a new client on this host connect; nothing may be left open at its end."""
        program = self.start(host, "client", *next(self.accounts), service, *kinds)
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


def modes(told: list[dict[str, Any]]) -> list[str]:
    return [one["mode"] for one in told]


def fell_back(told: list[dict[str, Any]]) -> None:
    """Check that TCP and UDP paid for an attempt once, and the second stream did not."""
    first, again, udp = told
    assert modes(told) == ["PROXY"] * 3
    assert 3.9 < first["seconds"] < 5.5
    assert again["seconds"] < 2.0  # remembered: the next one does not try
    assert 3.9 < udp["seconds"] < 6.0
