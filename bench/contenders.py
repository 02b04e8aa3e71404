"""The relays that are compared, the load generator, and what a process costs."""

from __future__ import annotations

import array
import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.ours import KINDS

ROOT = Path(__file__).resolve().parents[1]
HOST = "127.0.0.1"
HAPROXY, SPLICE, SOCAT, DIRECT = "haproxy", "haproxy splice", "socat", "direct"
START_SECONDS = 20.0
GENERATOR_CORE, RELAY_CORE = 0, 1

Address = tuple[str, int]


def free_port(host: str = HOST) -> int:
    """Return a port of the loopback that nobody has at this moment."""
    with socket.create_server((host, 0)) as sock:
        return int(sock.getsockname()[1])


def build(folder: Path) -> Path:
    """Compile the load generator; raises RuntimeError without a compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise RuntimeError("A C compiler is needed for the load generator: apt-get install gcc")
    program = folder / "load"
    sources = [ROOT / "bench" / name for name in ("load.c", "load_camera.c")]
    subprocess.run([compiler, "-O2", "-o", program, *sources], check=True)
    return program


class Relay:
    """One contender in front of the camera at `upstream`; `port` 0 for the direct connection."""

    def __init__(
        self, name: str, upstream: Address, folder: Path, *options: str, host: str = HOST
    ) -> None:
        self.name = name
        self.address = upstream
        self.process: subprocess.Popen[bytes] | None = None
        if name == DIRECT:
            return
        self.address = (host, free_port(host))
        command = self._command(upstream, folder, options)
        self.process = subprocess.Popen(
            command, cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL,
            stderr=None if name in KINDS else subprocess.DEVNULL,  # socat speaks of each end
        )  # fmt: skip
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            try:
                socket.create_connection(self.address, 1).close()
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.02)
        self.close()
        raise RuntimeError(f"{name} does not start: {command}")

    def _command(self, upstream: Address, folder: Path, options: tuple[str, ...]) -> list[str]:
        host, port = self.address
        there = f"{upstream[0]}:{upstream[1]}"
        if self.name in KINDS:
            own = [sys.executable, "-m", "bench.ours", self.name]
            return [*own, "--listen", f"{host}:{port}", "--upstream", there, *options]
        if self.name == SOCAT:
            accept = f"TCP-LISTEN:{port},bind={host},fork,reuseaddr,backlog=1024,nodelay"
            return ["socat", "-b", "65536", accept, f"TCP:{there},nodelay"]
        splice = "option splice-auto\noption splice-request\noption splice-response\n"
        config = folder / f"haproxy{port}.cfg"
        config.write_text(
            "global\nmaxconn 7000\nmaxpipes 1000\nnbthread 1\n"
            "defaults\nmode tcp\ntimeout connect 5s\ntimeout client 1h\ntimeout server 1h\n"
            f"{splice if self.name == SPLICE else ''}"
            f"frontend f\nbind {host}:{port} backlog 4096\ndefault_backend b\n"
            f"backend b\nserver s {there}\n",
            encoding="ascii",
        )
        return ["haproxy", "-db", "-f", str(config)]

    @property
    def processes(self) -> list[int]:
        """The relay's processes, those it started among them."""
        found: list[int] = []
        waiting = [self.process.pid] if self.process else []
        while waiting:
            found.append(waiting.pop())
            with contextlib.suppress(OSError):  # socat's end with their connections
                for path in Path(f"/proc/{found[-1]}/task").glob("*/children"):
                    waiting += map(int, path.read_text().split())
        return found

    def cpu(self) -> float:
        """Return the CPU seconds of all its processes, to the microsecond."""
        total = 0
        for process in self.processes:
            with contextlib.suppress(OSError):
                for path in Path(f"/proc/{process}/task").glob("*/schedstat"):
                    total += int(path.read_text().split()[0])
        return total / 1e9

    def memory(self) -> list[int]:
        """Return the proportional octets of each of its processes."""
        found = []
        for process in self.processes:
            text = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii")
            size = re.search(r"(?m)^Pss:\s+(\d+) kB$", text)
            found.append(int(size[1]) * 1024 if size else 0)
        return found

    def pin(self, cores: set[int]) -> None:
        """Let all its threads run on these cores only."""
        for process in self.processes:
            for thread in Path(f"/proc/{process}/task").iterdir():
                with contextlib.suppress(OSError):
                    os.sched_setaffinity(int(thread.name), cores)

    def close(self) -> None:
        """End it with all that it has started."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


class Client:
    """One run of the load generator's client side; counts the relay's CPU in its window."""

    def __init__(self, program: Path, what: str, relay: Relay, *words: object, pin: bool) -> None:
        self._relay = relay
        command = [program, what, relay.address[0], relay.address[1], *words]
        self._process = subprocess.Popen(
            list(map(str, command)), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        if pin:
            os.sched_setaffinity(self._process.pid, {GENERATOR_CORE})
        self.result: dict[str, Any] = {}

    def __enter__(self) -> Client:
        process = self._process
        assert process.stdout is not None
        word = process.stdout.readline().strip()
        began = self._relay.cpu()
        line = process.stdout.readline()
        if word not in ("START", "READY") or not line:
            self.__exit__()
            raise RuntimeError(f"{self._relay.name}: {process.args!r} ended early")
        self.result = {**json.loads(line), "cpu": self._relay.cpu() - began}
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Camera:
    """The camera's side of the load generator, for all relays of a measure."""

    def __init__(self, program: Path, host: str = HOST, inside: int = 0) -> None:
        port = free_port()
        enter = ["nsenter", f"--net=/proc/{inside}/ns/net"] if inside else []
        self.process = subprocess.Popen(
            [*enter, program, "camera", host, str(port)], stdout=subprocess.PIPE, text=True
        )
        self.address = (host, port)
        assert self.process.stdout is not None
        if self.process.stdout.readline() != "READY\n":
            raise RuntimeError("The camera does not start.")

    def pin(self, cores: set[int]) -> None:
        """Run on these cores only."""
        os.sched_setaffinity(self.process.pid, cores)

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()


# -- a link with packets of 1,500 octets

_SIOCETHTOOL = 0x8946
# ETHTOOL_SRXCSUM, STXCSUM, SSG, STSO, SGSO, SGRO
_OFFLOADS = (0x15, 0x17, 0x19, 0x1F, 0x24, 0x2C)


@contextlib.contextmanager
def small_segments() -> Iterator[tuple[int, str]]:
    """Make a namespace behind a plain Ethernet link; yields a process in it and its address.

    Every segment there is 1,448 octets, as from a camera: loopback's 64 KiB hide that a pipe is
    counted in pieces. Needs root.
    """
    holder = subprocess.Popen(["unshare", "--net", "sleep", "3600"])
    try:
        name = f"cam{holder.pid}"[:15]
        _ip(f"link add {name} type veth peer name v{name[:14]}")
        for end in (name, f"v{name[:14]}"):
            _without_offloads(end)
        # The holder must be in its own namespace before the link can follow it there.
        own = _namespace(os.getpid())
        end_at = time.monotonic() + START_SECONDS
        while _namespace(holder.pid) == own and time.monotonic() < end_at:
            time.sleep(0.01)
        _ip(f"link set {name} netns {holder.pid}")
        _ip(f"addr add 192.0.2.2/30 dev v{name[:14]}")
        _ip(f"link set v{name[:14]} up")
        inside = f"nsenter --net=/proc/{holder.pid}/ns/net "
        _run(inside + f"ip addr add 192.0.2.1/30 dev {name}")
        _run(inside + f"ip link set {name} up")
        _run(inside + "sysctl -qw net.ipv4.tcp_congestion_control=reno")
        yield holder.pid, "192.0.2.1"
    finally:
        holder.kill()
        holder.wait()


def _namespace(process: int) -> Path:
    return Path(f"/proc/{process}/ns/net").readlink()


def _run(command: str) -> None:
    subprocess.run(command.split(), check=True)


def _ip(command: str) -> None:
    _run(f"ip {command}")


def _without_offloads(name: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for command in _OFFLOADS:
            value = array.array("B", struct.pack("II", command, 0))
            request = struct.pack("16sP16x", name.encode(), value.buffer_info()[0])
            with contextlib.suppress(OSError):
                fcntl.ioctl(sock.fileno(), _SIOCETHTOOL, request)
