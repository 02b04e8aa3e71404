"""Our tracker under load: `make bench-server`, or `python -m bench.server --sizes 100,1000`.

Runs the tracker alone, a process over a registry of its own, with the load generator of
bench/tracker/ as another, which shares no code with it. Half of the endpoints are services, half
clients, ten of each on a site; the fan-out has one service and 9,999 clients on one site. Prints
the generator's lines, then one line for each bar. The bars are those of the reference tracker on a
machine of two cores; CPU per operation depends least on what else the machine does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent / "tracker"
SIZES = (100, 1_000, 10_000)
FAN_OUT = 9_999
START_LIMIT = 60.0


@dataclass(frozen=True)
class Bar:
    """What a figure of one phase must reach; `at_least` or at most."""

    phase: str
    key: str
    limit: float
    at_least: bool = False
    in_flight: int | None = None

    def found(self, line: dict[str, Any]) -> bool:
        """Tell whether a line of the generator has this figure."""
        fits = line["phase"] == self.phase and self.key in line
        return fits and self.in_flight in (None, line.get("in_flight"))

    def met(self, value: float) -> bool:
        """Tell whether a value is good enough."""
        return value >= self.limit if self.at_least else value <= self.limit


BARS = (
    Bar("login", "logins_per_s", 620, at_least=True),
    Bar("login", "p99_ms", 100),
    Bar("login", "server_cpu_us_per_op", 1_500),
    Bar("idle", "kib_per_endpoint", 11),
    Bar("rpc", "calls_per_s", 4_600, at_least=True, in_flight=16),
    Bar("rpc", "server_cpu_us_per_op", 175, in_flight=16),
    Bar("storm", "seconds", 16),
)
FAN_OUT_BARS = (Bar("events", "last_delivery_p50_ms", 550), Bar("events", "missing", 0))


class Load:
    """One server with one file of accounts, and what the generator says of it."""

    def __init__(self, folder: Path, services: int, clients: int, *, loop: str) -> None:
        self._accounts = folder / "accounts.json"
        self._state = folder / "state"
        self._state.mkdir()
        self._loop = loop
        made = subprocess.run(
            [sys.executable, HERE / "make_accounts.py", *_counts(services, clients)],
            check=True,
            capture_output=True,
        )
        self._accounts.write_bytes(made.stdout)

    def run(self, label: str, *options: str) -> Iterator[dict[str, Any]]:
        """Start the server, load it, stop it; yield the generator's lines."""
        host = f"127.115.{random.randint(0, 255)}.{random.randint(1, 254)}"
        serve = [sys.executable, "-m", "bench.server", "--serve", host, "--loop", self._loop]
        serve += ["--state", str(self._state), "--accounts", str(self._accounts)]
        with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                port = server.stdout.readline().strip()
                if not port:
                    raise SystemExit("The server did not start.")
                command = [sys.executable, str(HERE / "load.py"), "run", "--host", host]
                command += ["--port", port, "--accounts", str(self._accounts)]
                command += ["--pid", str(server.pid), "--label", label, *options]
                with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as generator:
                    assert generator.stdout is not None
                    for text in generator.stdout:
                        yield json.loads(text)
            finally:
                server.send_signal(signal.SIGTERM)


def _counts(services: int, clients: int) -> list[str]:
    per_site = 10 if services > 1 else 1
    return [f"--services={services}", f"--clients={clients}", f"--per-site={per_site}"]


def measure(arguments: argparse.Namespace) -> int:
    """Run all sizes and the fan-out; return the number of missed bars."""
    missed = 0
    with tempfile.TemporaryDirectory() as name:
        for size in arguments.sizes:
            folder = Path(name) / str(size)
            folder.mkdir()
            load = Load(folder, size // 2, size - size // 2, loop=arguments.loop)
            lines = load.run(f"{size}", *arguments.options)
            missed += judge(lines, BARS if size >= SIZES[-1] else (), size)
        if arguments.fan_out:
            folder = Path(name) / "fan-out"
            folder.mkdir()
            load = Load(folder, 1, arguments.fan_out, loop=arguments.loop)
            bars = FAN_OUT_BARS if arguments.fan_out >= FAN_OUT else ()
            lines = load.run("fan-out", "--phases=login,idle,events", *arguments.options)
            missed += judge(lines, bars, arguments.fan_out + 1)
    return missed


def judge(lines: Iterator[dict[str, Any]], bars: tuple[Bar, ...], size: int) -> int:
    """Print lines as they come, then what they say of the bars; return how many are missed."""
    kept = []
    for line in lines:
        print(json.dumps(line), flush=True)
        kept.append(line)
    missed = sum(1 for line in kept if line.get("complete") is False)
    for bar in bars:
        values = [line[bar.key] for line in kept if bar.found(line)]
        worst = (min(values) if bar.at_least else max(values)) if values else None
        met = worst is not None and bar.met(worst)
        missed += not met
        verdict = {"bar": f"{bar.phase}.{bar.key}", "endpoints": size, "limit": bar.limit}
        print(json.dumps({**verdict, "value": worst, "met": met}), flush=True)
    return missed


# -- the server's process --------------------------------------------------------------------------


def serve(arguments: argparse.Namespace) -> None:
    """Run a tracker over a registry filled from the accounts; print its port; end at SIGTERM."""
    import cProfile

    from gateway.net.loops import loop_factory

    profile = cProfile.Profile() if arguments.profile else None
    with asyncio.Runner(loop_factory=loop_factory(arguments.loop)) as runner:
        if profile is not None:
            profile.enable()
        runner.run(_serve(arguments))
        if profile is not None:
            profile.disable()
            profile.dump_stats(arguments.profile)


async def _serve(arguments: argparse.Namespace) -> None:
    from gateway.base.clock import SystemClock
    from gateway.base.entropy import SystemEntropy
    from gateway.base.notices import NoticeHub
    from gateway.net.loops import calm_collector
    from gateway.net.tasks import TaskRoom
    from gateway.registry.database import Registry
    from gateway.site.proxies import ProxyDirectory
    from gateway.tracker.server import TrackerServer
    from gateway.tracker.settings import TrackerSettings

    clock, entropy = SystemClock(), SystemEntropy()
    path = Path(arguments.state) / "registry.sqlite"
    registry = await Registry.open(path, clock=clock, entropy=entropy)
    await registry.write(lambda tx: fill(tx, Path(arguments.accounts)))
    calm_collector()
    settings = TrackerSettings(
        bind_addresses=(arguments.serve,),
        balancer_port=0,
        tracker_port=0,
        # The generator has one address: what else bounds a single host must not bound it.
        connections_per_address=20_000,
        strangers=20_000,
        strangers_per_address=20_000,
    )
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with TaskRoom("bench") as room:
        tracker = TrackerServer(
            settings,
            registry=registry,
            proxies=ProxyDirectory(()),
            notices=NoticeHub(),
            clock=clock,
            entropy=entropy,
            room=room,
        )
        await tracker.start()
        print(tracker.tracker_addresses[0][1], flush=True)
        await ended.wait()
        await tracker.stop()
    await registry.close()


def fill(tx: Any, accounts: Path) -> None:
    """Enter the accounts, past the quotas of an owner."""
    import uuid

    from gateway.model.kinds import Authority, SiteKind
    from gateway.registry import domains, members, owners, passwords

    owner = owners.add(tx, "bench", "Bench", passwords.PasswordRecord("x"), Authority.ADMINISTRATOR)
    domain = domains.add(tx, owner.id, "Bench")
    user = next(u for u in members.list_users(tx, domain.id) if u.name == "Owner")
    for number, site in enumerate(json.loads(accounts.read_text())["sites"]):
        site_id = tx.insert(
            "site",
            uid=uuid.UUID(site["uid"]).bytes,
            domain_id=domain.id,
            site_key=site["key"],
            description=f"Site {number}",
            kind=int(SiteKind.MULTI_SERVICE),
            created_at=tx.now,
        )
        for service in site["services"]:
            tx.insert(
                "service",
                uid=uuid.UUID(service["uid"]).bytes,
                site_id=site_id,
                hostname=service["hostname"],
                salt=bytes.fromhex(service["salt"]),
                salted_pw=bytes.fromhex(service["salted_password"]),
                created_at=tx.now,
            )
        for client in site["clients"]:
            tx.insert(
                "client",
                client_key=client["key"],
                site_id=site_id,
                domain_id=domain.id,
                user_id=user.id,
                creator_id=owner.id,
                salt=bytes.fromhex(client["salt"]),
                salted_pw=bytes.fromhex(client["salted_password"]),
                created_at=tx.now,
            )


def main() -> int:
    """Measure, or be the server that is measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--sizes", default=SIZES, type=lambda t: [int(x) for x in t.split(",") if x]
    )
    parser.add_argument("--fan-out", type=int, default=FAN_OUT, help="clients; 0: none")
    parser.add_argument("--loop", default="auto", choices=("auto", "asyncio", "uvloop"))
    parser.add_argument("--strict", action="store_true", help="fail when a bar is missed")
    for hidden in ("serve", "state", "accounts"):
        parser.add_argument(f"--{hidden}", help=argparse.SUPPRESS)
    parser.add_argument("--profile", default=os.environ.get("BENCH_PROFILE", ""))
    arguments, arguments.options = parser.parse_known_args()
    if arguments.serve:
        serve(arguments)
        return 0
    return 1 if measure(arguments) and arguments.strict else 0


if __name__ == "__main__":
    sys.exit(main())
