"""A real gateway with cameras and a client for benchmarks, all on the loopback of one namespace."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from gateway.cli.ctl_call import CtlFault, Gateway

ROOT = Path(__file__).resolve().parents[1]
WAIT_SECONDS = 20.0
PAGE_PORT = 8080
_TICK = os.sysconf("SC_CLK_TCK")
_ALONE = "SOFTNET_BENCH_ALONE"


def alone(module: str, arguments: list[str]) -> int | None:
    """Run a benchmark again in a network namespace of its own; None where this is it already.

    A loopback of our own: nobody else's traffic, the Softnet ports free, and no pacing by the
    machine's congestion control. Without root the benchmark runs where it is.
    """
    if os.environ.get(_ALONE) or os.geteuid() != 0 or shutil.which("unshare") is None:
        return None
    command = (
        "ip link set lo up && sysctl -qw net.ipv4.tcp_congestion_control=reno "
        "net.ipv4.ip_local_port_range='10000 65000'; exec \"$@\""
    )
    program = [sys.executable, "-m", module, *arguments]
    return subprocess.call(
        ["unshare", "--net", "sh", "-c", command, "sh", *program], env={**os.environ, _ALONE: "1"}
    )


class Program:
    """A program that says a line when it is ready, and is ended at the end."""

    def __init__(self, *command: str, quiet: bool = False) -> None:
        self.process = subprocess.Popen(
            command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if quiet else None,
        )  # fmt: skip

    def line(self) -> str:
        """Return the next line; raises RuntimeError when the program has ended."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args!r} ended with {self.process.wait()}")
        return line.rstrip("\n")

    def say(self, text: str) -> None:
        """Give the program a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def close(self) -> None:
        """End it, and take it away when it does not end."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Stage:
    """The daemon, its state folder, and what an owner does with it."""

    def __init__(self, folder: Path) -> None:
        # Without a namespace: an address that is hardly anybody else's.
        numbers = random.SystemRandom()
        self.host = (
            "127.0.0.1"
            if os.environ.get(_ALONE)
            else f"127.{numbers.randrange(64, 128)}.{numbers.randrange(1, 255)}.1"
        )
        self._state = folder / "state"
        config = folder / "gateway.toml"
        bound = f'bind_addresses = ["{self.host}"]\n'
        config.write_text(
            # Viewer and cameras are on one machine: direct connections would go past the relay.
            f"[server]\n{bound}[relay]\n{bound}direct = false\n"
            f"[web]\n{bound}port = {PAGE_PORT}\n"
            "[discovery]\nenabled = false\n"
            "[cameras]\nallow_loopback = true\nviewers_per_camera = 64\n",
            encoding="utf-8",
        )
        began = time.monotonic()
        self.daemon = Program(
            sys.executable, "-c", "from gateway.cli.main import main; raise SystemExit(main())",
            "run", "--state", str(self._state), "--config", str(config),
        )  # fmt: skip
        self._programs = [self.daemon]
        while not self.daemon.line().startswith("  state "):
            pass
        self.start_seconds = time.monotonic() - began
        self._url = f"http://{self.host}:{PAGE_PORT}"
        self._ctl = Gateway(self._url, "")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self._programs:
            self._programs.pop().close()

    # -- what an owner does

    def claim(self) -> None:
        """Make the first owner, and speak for the daemon's own token from then on."""
        code = (self._state / "setup-code").read_text(encoding="ascii").strip()
        owner = {"account_name": "bench", "full_name": "Bench", "password": "bench bench bench"}
        self._ctl.tell("POST", "/setup", {**owner, "code": code})
        token = (self._state / "api.token").read_text(encoding="ascii").strip()
        self._ctl = Gateway(self._url, token)

    def camera(self, mbit: float = 0.0) -> int:
        """Start a camera program; return its port on 127.0.0.1."""
        program = Program(sys.executable, "bench/bulk_camera.py", "0", str(mbit))
        self._programs.append(program)
        return int(program.line().removeprefix("ready "))

    def adopt(self, port: int, name: str) -> None:
        """Make a camera a service of the first site."""
        where = f"rtsp://127.0.0.1:{port}/{name}"
        body = {"where": where, "user": None, "password": None, "site_id": 1, "name": name}
        self._ctl.tell("POST", "/cameras", body)

    def wait_online(self) -> None:
        """Wait until every adopted camera is online; raises TimeoutError."""
        end = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < end:
            cameras = self._ctl.ask("/cameras")["items"]
            if all(one["state"] == one["service_status"] == "online" for one in cameras):
                return
            time.sleep(0.1)
        raise TimeoutError("The cameras do not come online.")

    def viewer(self) -> Viewer:
        """Start a client of a new user with the role User."""
        ctl = self._ctl
        user = ctl.tell("POST", "/domains/1/users", {"name": "viewer"})["id"]
        roles = {role["name"]: role["id"] for role in ctl.ask("/sites/1/roles")["items"]}
        rights = {"user_id": user, "role_ids": [roles["User"]]}
        ctl.tell("PUT", "/sites/1/rights/roles", rights)
        client = ctl.tell("POST", "/sites/1/clients", {"user_id": user})["id"]
        login = ctl.tell("POST", f"/clients/{client}/password")
        program = Program(sys.executable, "bench/viewer.py", login["uri"])
        program.say(login["password"])
        self._programs.append(program)
        return Viewer(program)

    # -- what it costs

    def processes(self) -> list[int]:
        """Return the daemon and what it has started."""
        daemon = self.daemon.process.pid
        children = Path(f"/proc/{daemon}/task").glob("*/children")
        return [daemon, *(int(one) for path in children for one in path.read_text().split())]

    def cpu(self) -> list[float]:
        """Return the CPU seconds of the daemon and of each process it has started."""
        return [process_cpu(process) for process in self.processes()]

    def memory(self) -> dict[str, float]:
        """Return resident and proportional memory of all its processes in MB (10^6 octets).

        The sum of the resident sizes counts the pages of the interpreter once for each process;
        the proportional sizes do not. `daemon` is the resident size of the daemon itself.
        """
        found: dict[str, float] = {"rss": 0.0, "pss": 0.0, "pss_anon": 0.0, "daemon": 0.0}
        for process in self.processes():
            text = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii")
            if not found["daemon"]:
                rss = re.search(r"(?m)^Rss:\s+(\d+) kB$", text)
                found["daemon"] = int(rss[1]) / 1024 if rss else 0.0
            for key, kilobytes in re.findall(r"(?m)^(\w+):\s+(\d+) kB$", text):
                if key.lower() in found:
                    found[key.lower()] += int(kilobytes) / 1024
        return found


class Viewer:
    """The client program; its answers."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.services: dict[str, int] = json.loads(program.line())

    def order(self, do: str, **details: Any) -> Any:
        """Have something done; return the answer."""
        self.begin(do, **details)
        return self.answer()

    def begin(self, do: str, **details: Any) -> None:
        """Have something begun."""
        self.program.say(json.dumps({"do": do, **details}))

    def answer(self) -> Any:
        """Return the next thing it says."""
        return json.loads(self.program.line())


def process_cpu(process: int) -> float:
    """Return the CPU seconds a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


@contextlib.contextmanager
def settled(stage: Stage, seconds: float = 10.0) -> Iterator[None]:
    """Wait until the daemon uses hardly any CPU."""
    end = time.monotonic() + seconds
    before = sum(stage.cpu())
    while time.monotonic() < end:
        time.sleep(1.0)
        now = sum(stage.cpu())
        if now - before < 0.03:
            break
        before = now
    yield


__all__ = ["CtlFault", "Program", "Stage", "Viewer", "alone", "process_cpu", "settled"]
