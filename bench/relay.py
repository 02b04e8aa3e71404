"""The data path against a direct connection on loopback: `python -m bench relay`.

Each figure is shown and appended to bench/results/relay.jsonl. Both ends are programs of their own
with light work (sendfile from memory, receive without copying), so the figures are the relay's and
the kernel's. Takes about half a minute; compare runs on a quiet machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.figures import Figure, Record
from bench.stage import alone

HOST = "127.0.0.1"
BLOCK = 1 << 20
STREAMS, FRAME, FRAME_SECONDS = 20, 20_000, 0.04  # 4 Mbit/s each
SETUP_PROCESSES = 8
IDLE_PAIRS = 1_000
_TICK = os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def forked(work: Callable[..., None], *arguments: object) -> Iterator[int]:
    """Run a function in a process of its own until the block ends."""
    child = os.fork()
    if not child:
        try:
            work(*arguments)
        finally:
            os._exit(0)
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def camera(listening: socket.socket) -> None:
    """Serve each connection by its first octet: bulk, paced, short answer, or nothing."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        sock, _ = listening.accept()
        kind = sock.recv(16)[:1]
        if kind == b"S":
            sock.send(b"!")
            sock.close()
        elif kind == b"I":
            idle.append(sock)
            sock.send(b"!")
        elif os.fork() == 0:
            with contextlib.suppress(OSError):
                pour(sock) if kind == b"B" else pace(sock)
            os._exit(0)
        else:
            sock.close()


idle: list[socket.socket] = []


def pour(sock: socket.socket) -> None:
    memory = os.memfd_create("bulk")
    os.write(memory, bytes(BLOCK))
    while True:
        at = 0
        while at < BLOCK:
            at += os.sendfile(sock.fileno(), memory, at, BLOCK - at)


def pace(sock: socket.socket) -> None:
    """A frame every 40 ms in RTP-sized writes; each begins with the moment it was sent."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    due = time.monotonic()
    while True:
        due += FRAME_SECONDS
        time.sleep(max(0.0, due - time.monotonic()))
        frame = memoryview(f"{time.monotonic():020.9f}".encode() + bytes(FRAME - 20))
        for at in range(0, FRAME, 1432):
            sock.sendall(frame[at : at + 1432])


def dial(port: int, kind: bytes) -> socket.socket:
    sock = socket.create_connection((HOST, port), 10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(kind * 16)
    return sock


def bulk(port: int, seconds: float) -> float:
    """Return MB/s of one download."""
    count = 0
    with dial(port, b"B") as sock:
        buffer = bytearray(BLOCK)
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            count += sock.recv_into(buffer, 0, socket.MSG_TRUNC)
        return count / (time.monotonic() - began) / 1e6


def paced(port: int, seconds: float) -> tuple[float, list[float]]:
    """Return the share of frames that came, and the sorted delays of their last octet in ms."""
    delays: list[float] = []
    ready_read, ready_write = os.pipe()
    readers = []
    for _ in range(STREAMS):
        child = os.fork()
        if not child:
            mine: list[float] = []
            with contextlib.suppress(OSError):
                sock = dial(port, b"P")
                end = time.monotonic() + seconds
                while time.monotonic() < end:
                    frame = b""
                    while len(frame) < FRAME:
                        frame += sock.recv(FRAME - len(frame))
                    mine.append((time.monotonic() - float(frame[:20])) * 1000)
            for at in range(0, len(mine), 100):
                line = json.dumps(mine[at : at + 100]) + "\n"
                os.write(ready_write, line.encode())
            os._exit(0)
        readers.append(child)
    os.close(ready_write)
    with os.fdopen(ready_read) as lines:
        for line in lines:
            delays += json.loads(line)
    for child in readers:
        os.waitpid(child, 0)
    return len(delays) / (STREAMS * seconds / FRAME_SECONDS), sorted(delays)


def setup(port: int, seconds: float) -> float:
    """Return connections a second: connect, 16 octets up, one back, close."""
    ends, begins = os.pipe()
    children = []
    for _ in range(SETUP_PROCESSES):
        child = os.fork()
        if not child:
            count, end = 0, time.monotonic() + seconds
            with contextlib.suppress(OSError):
                while time.monotonic() < end:
                    with dial(port, b"S") as sock:
                        count += len(sock.recv(1))
            os.write(begins, f"{count}\n".encode())
            os._exit(0)
        children.append(child)
    os.close(begins)
    with os.fdopen(ends) as lines:
        total = sum(map(int, lines))
    for child in children:
        os.waitpid(child, 0)
    return total / seconds


class Relay:
    """`python -m gateway.relay` in front of the camera."""

    def __init__(self, upstream: int) -> None:
        with socket.create_server((HOST, 0)) as free:
            self.port = free.getsockname()[1]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gateway.relay", "--listen", f"{HOST}:{self.port}",
             "--upstream", f"{HOST}:{upstream}"],
            cwd=Path(__file__).parents[1],
        )  # fmt: skip
        end = time.monotonic() + 10
        while time.monotonic() < end:
            try:
                dial(self.port, b"S").close()
                break
            except OSError:
                time.sleep(0.05)
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        self.processes = [self.process.pid, *map(int, children.split())]

    def cpu(self) -> float:
        """Return CPU seconds of both processes."""
        total = 0
        for process in self.processes:
            fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / _TICK

    def memory(self) -> dict[int, int]:
        """Return proportional octets of each process."""
        found = {}
        for process in self.processes:
            for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    found[process] = int(line.split()[1]) * 1024
        return found

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(10)


def measure(relay: Relay, upstream: int, seconds: float, repetitions: int) -> Iterator[Figure]:
    """Yield every figure."""
    ports = {"direct": upstream, "relay": relay.port}
    rates: dict[str, list[float]] = {"direct": [], "relay": []}
    costs = []
    for _ in range(repetitions):
        for name, port in ports.items():
            before = relay.cpu()
            rate = bulk(port, seconds)
            rates[name].append(rate)
            if name == "relay":
                costs.append((relay.cpu() - before) / (rate * seconds / 1000))
    yield _compared("one bulk stream", "MB/s", rates)
    yield Figure("CPU of both processes, one bulk stream", statistics.median(costs), "s/GB")
    for name, port in ports.items():
        before = relay.cpu()
        share, delays = paced(port, 2 * seconds)
        more = {"p99_ms": delays[len(delays) * 99 // 100], "came": share}
        if name == "relay":
            more["cpu_percent"] = (relay.cpu() - before) / (2 * seconds) * 100
        what = f"{STREAMS} streams of 4 Mbit/s, {name}: picture p50"
        yield Figure(what, delays[len(delays) // 2], "ms", more=more)
    rates = {"direct": [], "relay": []}
    for _ in range(repetitions):
        for name, port in ports.items():
            rates[name].append(setup(port, seconds))
    yield _compared("set-up", "1/s", rates)
    yield from _idle(relay)


def _compared(what: str, unit: str, rates: dict[str, list[float]]) -> Figure:
    # Each is compared with its neighbour in time: other work on the machine comes and goes.
    pairs = zip(rates["relay"], rates["direct"], strict=True)
    return Figure(
        what, statistics.median(rates["relay"]), unit,
        ratio=statistics.median(one / other for one, other in pairs),
        more={"direct": statistics.median(rates["direct"])},
    )  # fmt: skip


def _idle(relay: Relay) -> Iterator[Figure]:
    before = relay.memory()
    held = []
    for _ in range(IDLE_PAIRS):
        sock = dial(relay.port, b"I")
        sock.recv(1)
        held.append(sock)
    time.sleep(0.3)
    busy = relay.cpu()
    after = relay.memory()
    time.sleep(1.0)
    control, splicing = (after[process] - before[process] for process in relay.processes)
    yield Figure(
        f"relay process, each of {IDLE_PAIRS} idle pairs", splicing / IDLE_PAIRS, "octets",
        more={"control_octets": control / IDLE_PAIRS,
              "process_MB": before[relay.processes[1]] / 1e6,
              "cpu_s_while_idle": relay.cpu() - busy},
    )  # fmt: skip
    for sock in held:
        sock.close()


def main(arguments: list[str] | None = None) -> int:
    """Measure and report; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.relay", description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each single measurement")
    parser.add_argument("--repetitions", type=int, default=3)
    given = sys.argv[1:] if arguments is None else arguments
    chosen = parser.parse_args(given)
    status = alone("bench.relay", given)
    if status is not None:
        return status
    listening = socket.create_server((HOST, 0), backlog=4096)
    upstream = listening.getsockname()[1]
    record = Record("relay")
    with forked(camera, listening):
        relay = Relay(upstream)
        try:
            for figure in measure(relay, upstream, chosen.seconds, chosen.repetitions):
                record.add(figure)
        finally:
            relay.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
