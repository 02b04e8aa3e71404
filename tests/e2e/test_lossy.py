"""Many endpoints over a network that loses, delays and cuts, while everything is restarted.

Two hosts joined by a third that drops packets at random (nftables) and passes connections on late
and for a while only (tests/support/chaos.py). The server program is killed, its relay process is
killed, the program of all services is killed, endpoints are restarted one by one. Afterwards all
are online, tunnels and calls work, no event is lost or doubled, no task or descriptor is left.

With SOAK=0 20 services and 20 clients for 40 s; SOAK=1 50 and 50 for 5 minutes, SOAK=n n times.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.lan import Host, Lan, Program, available, wait_until

SERVER, MIDDLE, NEAR = "10.94.0.2", "10.94.0.1", "10.95.0.1"
LOSS = 2
"""Per cent of packets that are dropped in each direction of each wire."""
SOAK = int(os.environ.get("SOAK") or 0)
SITES, EACH, SECONDS = (10, 5, 300 * SOAK) if SOAK else (4, 5, 40)

REASON = available() or (
    "" if "SOAK" in os.environ else "slow; run with SOAK=0, or SOAK=1 for 5 min"
)
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON or "-")


def found(program: Program, key: str, seconds: float, start: int = 0) -> dict[str, Any]:
    """Return the first JSON line from `start` on that has a key."""
    has = f'"{key}"'
    line = program.wait_line(lambda text: text[:1] == "{" and has in text, seconds, start)
    values: dict[str, Any] = json.loads(line)
    return values


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Run:
    """The three hosts and the programs on them."""

    def __init__(self, lan: Lan, folder: Path) -> None:
        self.lan, self.folder = lan, folder
        self.server_host, self.middle, self.out = (lan.host(name) for name in ("s", "m", "o"))
        lan.wire(self.middle, f"{MIDDLE}/24", self.server_host, f"{SERVER}/24")
        lan.wire(self.middle, f"{NEAR}/24", self.out, "10.95.0.9/24")
        self.seed = random.randrange(1 << 30)
        print("seed", self.seed)
        self.random = random.Random(self.seed)
        self.server = self.start_server()
        self.chaos = self.start(self.middle, "tests.support.chaos", NEAR, SERVER, str(self.seed))
        found(self.chaos, "ready", 10)

    @staticmethod
    def start(host: Host, module: str, *words: str) -> Program:
        return host.start(sys.executable, "-m", module, *words)

    def start_server(self) -> Program:
        program = self.start(
            self.server_host, "tests.e2e.lossy_program", "server",
            str(self.folder), SERVER, NEAR, str(SITES), str(EACH),
        )  # fmt: skip
        found(program, "ready", 30)
        return program

    def fleet(self, kind: str, *words: str) -> tuple[Program, dict[str, Any]]:
        """Start services or clients; return the program and what it told once all were online."""
        program = self.start(self.out, "tests.e2e.lossy_program", kind, str(self.folder), *words)
        return program, found(program, "online", 90)

    def lose(self) -> None:
        """Drop packets at random in all four directions."""
        chain = (
            "  chain {0} {{\n    type filter hook {0} priority 0;\n"
            f'    {{1}} "e*" numgen random mod 100 < {LOSS} counter drop\n  }}}}\n'
        )
        chains = chain.format("input", "iifname") + chain.format("output", "oifname")
        rules = f"table inet lossy {{\n{chains}}}\n"
        self.middle.run("nft", "-f", "-", stdin=rules)

    def lost(self) -> int:
        """Return how many packets were dropped; stop dropping."""
        listed = json.loads(self.middle.run("nft", "-j", "list", "ruleset").stdout)["nftables"]
        rules = [entry["rule"]["expr"] for entry in listed if "rule" in entry]
        self.middle.run("nft", "flush", "ruleset")
        return sum(
            part["counter"]["packets"] for rule in rules for part in rule if "counter" in part
        )

    def server_state(self) -> dict[str, Any]:
        """Return what the server holds now, its relay processes included."""
        start = len(self.server.lines)
        self.server.signal(signal.SIGUSR1)
        state = found(self.server, "tasks", 10, start)
        state["relays"] = sorted(
            len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in children(self.server.pid)
        )
        return state


def storm(run: Run, services: Program, calm: dict[str, Any]) -> tuple[Program, dict[str, int]]:
    """Kill one thing after the other for `SECONDS`; return the services that live then."""
    acts = {"server killed": 0, "relay process killed": 0, "services killed": 0}
    plan = ["relay process killed", "server killed", "services killed"]
    begun = time.monotonic()
    step = SECONDS / max(5, SECONDS / 20 + 1)
    for number in range(max(4, round(SECONDS / 20))):
        due = begun + step * (number + 1)
        time.sleep(max(0.0, due - time.monotonic()))
        act = plan[number] if number < 3 else run.random.choice(plan)
        acts[act] += 1
        if act == "server killed":
            run.server.kill_group()
            run.server = run.start_server()
        elif act == "services killed":
            services.kill_group()
            services = run.start(
                run.out,
                "tests.e2e.lossy_program",
                "services",
                str(run.folder),
                str(calm["tasks"]),
                str(calm["descriptors"]),
            )
        else:
            os.kill(run.random.choice(children(run.server.pid)), signal.SIGKILL)
    time.sleep(max(0.0, begun + SECONDS - time.monotonic()))
    return services, acts


def test_all_come_back_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    with Lan() as lan:
        run = Run(lan, tmp_path)
        services, told = run.fleet("services")
        clients, _ = run.fleet("clients")
        before = run.server_state()
        assert told["online"] == SITES * EACH
        run.lose()
        for program in (run.chaos, clients, services):
            program.signal(signal.SIGUSR1)
        services, acts = storm(run, services, told)
        wait_until(lambda: any('"online"' in line for line in services.lines), 90, "services back")
        dropped = run.lost()
        run.chaos.signal(signal.SIGUSR2)
        cuts = found(run.chaos, "done", 10)["done"]
        for program in (services, clients):
            program.signal(signal.SIGUSR2)
        for program in (services, clients):
            found(program, "quiet", 120)
        clients.signal(signal.SIGHUP)
        received = found(clients, "proved", 120)
        services.signal(signal.SIGHUP)
        raised = found(services, "proved", 60)
        print(acts, "packets lost:", dropped, cuts)
        print("services:", raised, "\nclients:", received)
        assert raised["failures"] == received["failures"] == []
        check_events(units(services), units(clients))
        for unit in units(clients):
            assert set(unit["outcomes"]) == {"done"}, unit
        assert received["after"] == received["before"], "tasks, descriptors"
        assert raised["after"] == raised["before"], "tasks, descriptors"
        wait_until(lambda: run.server_state() == before, 30, f"the server as before: {before}")
        assert dropped > 100
        assert (
            sum(count for cut, count in cuts.items() if not cut.startswith("port")) > SITES * EACH
        )
        assert raised["counts"]["restarts"] > 0
        assert received["counts"]["restarts"] > 0
        assert all(count for count in acts.values())


def units(program: Program) -> list[dict[str, Any]]:
    return [json.loads(line) for line in program.lines if line.startswith('{"unit"')]


def check_events(services: list[dict[str, Any]], clients: list[dict[str, Any]]) -> None:
    """Every client has every number of every service of its site once, in order."""
    assert len(services) == len(clients) == SITES * EACH
    for client in clients:
        for service in services:
            got = client["got"].get(str(service["unit"]), [])
            if client["site"] != service["site"]:
                assert got == []
                continue
            about = f"client {client['unit']}, service {service['unit']}"
            assert got == sorted(set(got)), f"{about}: doubled or out of order"
            missing = set(range(1, service["raised"] + 1)) - set(got) - set(service["doubtful"])
            assert not missing, f"{about}: lost {sorted(missing)}"
            assert service["raised"] >= 3
