"""Many endpoints over a network that loses, delays and cuts, while everything is restarted.

Two hosts joined by a third that drops packets at random (nftables) and passes connections on late
and for a while only (tests/support/chaos.py). The server program is killed, its relay processes are
killed, the program of all services is killed, endpoints are restarted one by one. Afterwards all
are online, calls, streams and datagrams work, no event is lost or doubled, no task or descriptor is
left.

50 services and 50 clients for 5 minutes; SOAK=n makes it n times as long, SOAK=0 is a short one for
whoever works on it: 20 and 20 for 40 s.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gateway.model.kinds import EventKind
from tests.support.lan import Host, Lan, Program, available, wait_until

SERVER, MIDDLE, NEAR = "10.94.0.2", "10.94.0.1", "10.95.0.1"
LOSS = 2
"""Per cent of packets that are dropped in each direction of each wire."""
SOAK = int(os.environ.get("SOAK") or 1)
SITES, EACH, SECONDS, STEP = (10, 5, 285 * SOAK, 19) if SOAK else (4, 5, 40, 8)
"""STEP is the time between two things that are killed."""
KILLED = ("relay process killed", "server killed", "services killed")
EXPECTED = {"NETWORK_ERROR", "TIMEOUT_EXPIRED", "INVALID_SERVER_ENDPOINT", "RESTART"}
"""What endpoints may be told. The third is a balancer's connection that ended without an answer."""
BACK = 120.0
"""Seconds for all to be back and to be tried out on a busy machine."""
GONE = 90.0
"""Seconds for the server to notice what has gone: connections that never log in live for 60 s."""

pytestmark = pytest.mark.skipif(bool(available()), reason=available() or "-")


def found(program: Program, key: str, seconds: float, start: int = 0) -> dict[str, Any]:
    """Return the first JSON line from `start` on that has a key."""
    has = f'"{key}"'
    line = program.wait_line(lambda text: text[:1] == "{" and has in text, seconds, start)
    values: dict[str, Any] = json.loads(line)
    return values


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def sockets_of(pid: int) -> int:
    """Return how many sockets a process has; a relay process also keeps pipes to use again."""
    held = 0
    for one in Path(f"/proc/{pid}/fd").iterdir():
        try:
            held += str(one.readlink()).startswith("socket:")
        except FileNotFoundError:  # closed meanwhile
            continue
    return held


class Run:
    """The three hosts and the programs on them."""

    def __init__(self, lan: Lan, folder: Path) -> None:
        self.lan, self.folder = lan, folder
        self.server_host, self.middle, self.out = (lan.host(name) for name in ("s", "m", "o"))
        lan.wire(self.middle, f"{MIDDLE}/24", self.server_host, f"{SERVER}/24")
        lan.wire(self.middle, f"{NEAR}/24", self.out, "10.95.0.9/24")
        self.seed = int(os.environ.get("SEED") or random.randrange(1 << 30))
        print("seed", self.seed)
        self.random = random.Random(self.seed)
        self.forward_datagrams()
        self.server = self.start_server()
        self.chaos = self.start(self.middle, "tests.support.chaos", NEAR, SERVER, str(self.seed))
        found(self.chaos, "ready", 30)

    @staticmethod
    def start(host: Host, module: str, *words: str) -> Program:
        return host.start(sys.executable, "-m", module, *words)

    def start_server(self) -> Program:
        program = self.start(
            self.server_host, "tests.e2e.lossy_server",
            str(self.folder), SERVER, NEAR, str(SITES), str(EACH),
        )  # fmt: skip
        found(program, "ready", 60)
        return program

    def fleet(self, kind: str, *words: str) -> Program:
        """Start all services or all clients."""
        return self.start(self.out, "tests.e2e.lossy_program", kind, str(self.folder), *words)

    def forward_datagrams(self) -> None:
        """Pass datagrams on as a router does; connections are the business of the chaos."""
        self.middle.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        rules = (
            "table ip passing {\n"
            "  chain in { type nat hook prerouting priority -100;"
            f" ip daddr {NEAR} udp dport 7779 dnat to {SERVER}; }}\n"
            "  chain out { type nat hook postrouting priority 100;"
            f" ip daddr {SERVER} udp dport 7779 masquerade; }}\n}}\n"
        )
        self.middle.run("nft", "-f", "-", stdin=rules)

    def lose(self) -> None:
        """Drop packets at random in all four directions."""
        chain = (
            "  chain {0} {{\n    type filter hook {0} priority 0;\n"
            f'    {{1}} "e*" numgen random mod 100 < {LOSS} counter drop\n  }}}}\n'
        )
        hooks = (("input", "iifname"), ("output", "oifname"), ("forward", "iifname"))
        chains = "".join(chain.format(*hook) for hook in hooks)
        self.middle.run("nft", "-f", "-", stdin=f"table inet lossy {{\n{chains}}}\n")

    def lost(self) -> int:
        """Return how many packets were dropped; stop dropping."""
        listed = self.middle.run("nft", "-j", "list", "table", "inet", "lossy").stdout
        rules = [part["rule"]["expr"] for part in json.loads(listed)["nftables"] if "rule" in part]
        self.middle.run("nft", "delete", "table", "inet", "lossy")
        return sum(
            part["counter"]["packets"] for rule in rules for part in rule if "counter" in part
        )

    def server_state(self) -> dict[str, Any]:
        """Return what the server holds now, its relay processes included."""
        start = len(self.server.lines)
        self.server.signal(signal.SIGUSR1)
        state = found(self.server, "tasks", 30, start)
        state["relay processes"] = sorted(sockets_of(pid) for pid in children(self.server.pid))
        return state

    def connections(self) -> str:
        """Return the server's TCP connections, for people."""
        return self.server_host.run("ss", "-tanoi", check=False).stdout

    def calm_state(self) -> dict[str, Any]:
        """Return what the server holds once no connection is relayed any more."""
        state: dict[str, Any] = {}

        def calm() -> bool:
            nonlocal state
            state = self.server_state()
            return not state["relayed"]

        wait_until(calm, GONE, "no connection is relayed any more")
        return state


def storm(run: Run, services: Program) -> tuple[Program, Counter[str]]:
    """Kill one thing after the other for `SECONDS`; return the services that live then."""
    acts: Counter[str] = Counter()
    baseline = [str(count) for count in found(services, "baseline", 10)["baseline"]]
    begun = time.monotonic()
    for number in range(1, SECONDS // STEP):
        time.sleep(max(0.0, begun + number * STEP - time.monotonic()))
        act = KILLED[number - 1] if number <= len(KILLED) else run.random.choice(KILLED)
        acts[act] += 1
        assert run.server.process.poll() is None, "the server has ended by itself"
        if act == "server killed":
            run.server.kill_group()
            run.server = run.start_server()
        elif act == "services killed":
            services.kill_group()
            services = run.fleet("services", *baseline)
        elif relays := children(run.server.pid):
            os.kill(run.random.choice(relays), signal.SIGKILL)
    time.sleep(max(0.0, begun + SECONDS - time.monotonic()))
    return services, acts


def test_all_come_back_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    with Lan() as lan:
        try:
            the_run(Run(lan, tmp_path))
        except AssertionError:
            for program in lan.programs:
                print(program.process.args, "ended with", program.process.poll())
                print(*(line[:400] for line in program.lines[-60:]), sep="\n")
            raise


def the_run(run: Run) -> None:
    services = run.fleet("services")
    found(services, "begun", BACK)
    clients = run.fleet("clients")
    assert found(clients, "begun", BACK)["begun"] == SITES * EACH
    before = run.calm_state()
    run.lose()
    for program in (run.chaos, clients, services):
        program.signal(signal.SIGUSR1)
    services, acts = storm(run, services)
    assert found(services, "begun", BACK)["begun"] == SITES * EACH
    dropped = run.lost()
    run.chaos.signal(signal.SIGUSR2)
    cuts = found(run.chaos, "done", 30)["done"]
    for program in (services, clients):
        program.signal(signal.SIGUSR2)
    for program in (services, clients):
        found(program, "quiet", BACK + 60)
    clients.signal(signal.SIGHUP)
    received = found(clients, "proved", BACK + 60)
    services.signal(signal.SIGHUP)
    raised = found(services, "proved", BACK + 60)
    print(dict(acts), "packets lost:", dropped, cuts)
    print("services:", raised, "\nclients:", received)
    assert raised["failures"] == received["failures"] == []
    assert {*raised["errors"], *received["errors"]} <= EXPECTED
    check_events(units(services), units(clients))
    for unit in units(clients):
        assert set(unit["outcomes"]) == {"done"}, unit
    assert received["left"] == raised["left"] == [], "tasks, descriptors"
    until = time.monotonic() + GONE
    while (state := run.calm_state()) != before and time.monotonic() < until:
        time.sleep(0.5)
    assert state == before, (
        f"the server holds {state}, before it held {before}\n{run.connections()}"
    )
    assert dropped > 100
    cut = sum(count for manner, count in cuts.items() if not manner.startswith("port"))
    assert cut > SITES * EACH
    assert all(acts[act] for act in ("relay process killed", "server killed", "services killed"))
    for what in ("restarted", "reconnected", "call done", "stream done", "flow done"):
        assert received["counts"].get(what), what


def units(program: Program) -> list[dict[str, Any]]:
    return [json.loads(line) for line in program.lines if line.startswith('{"unit"')]


def check_events(services: list[dict[str, Any]], clients: list[dict[str, Any]]) -> None:
    """Every client has all that it was to get of every service of its site, once, in order."""
    assert len(services) == len(clients) == SITES * EACH
    delivered: Counter[EventKind] = Counter()
    for client in clients:
        for service in services:
            for kind in EventKind:
                got = client["got"][str(int(kind))].get(str(service["unit"]), [])
                check_received(kind, got, client, service)
                delivered[kind] += len(got)
    print("delivered:", {kind.name.lower(): count for kind, count in delivered.items()})
    assert all(delivered[kind] > len(clients) for kind in EventKind)


def check_received(
    kind: EventKind, got: list[int], client: dict[str, Any], service: dict[str, Any]
) -> None:
    about = f"client {client['unit']}, service {service['unit']}, {kind.name.lower()} events"
    meant: dict[int, bool] = {
        number: sure
        for number, raised, reader, sure in service["raised"]
        if raised == kind and client["site"] == service["site"] and reader in (0, client["id"])
    }
    assert got == sorted(set(got)), f"{about}: doubled or out of order: {got}"
    strange = set(got) - meant.keys()
    assert not strange, f"{about}: not meant for it: {sorted(strange)}"
    sure = {number for number, is_sure in meant.items() if is_sure}
    if kind is EventKind.REPLACING:
        # Only the last one counts; a later one that may have been raised replaces it.
        assert not sure or (got and got[-1] >= max(sure)), f"{about}: {got} without {max(sure)}"
    else:
        assert not sure - set(got), f"{about}: lost {sorted(sure - set(got))}"
