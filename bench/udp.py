"""The relay of datagrams against asyncio's: `python -m bench.udp [--seconds S] [--rounds N]`.

Each relay carries 1,200 octet datagrams one way between two registered sources on loopback, once
each on its own and once in bursts of 14 that the sender gives to the kernel in one piece. CPU is
that of the relay's process at 20,000 datagrams/s; the highest rate is the last one with less than
0.5 % lost. One JSON line for each figure, to the terminal and to bench/results/udp.jsonl. The load
is generated on the first core and relayed on the last. Takes some minutes on a quiet machine; on a
busy one a relay that waits for its core loses datagrams and seems cheaper than it is.

ours     the datagram path of the gateway, with its own process
plain    the same table without the kernel's bursts: recvfrom_into and sendto
asyncio  a DatagramProtocol with the same table; uvloop: the same on that loop
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import json
import os
import random
import select
import signal
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.figures import machine
from gateway.base.clock import SystemClock
from gateway.net.datagram import DatagramLimits, DatagramPath, Spot
from gateway.net.splice_udp_messages import SPOT
from gateway.net.splice_udp_relay import UDP_SEGMENT, Door, UdpRelay
from gateway.net.tasks import TaskRoom

HOST = "127.0.0.1"
RESULTS = Path(__file__).parent / "results" / "udp.jsonl"
SIZE, BURST = 1_200, 14
RATE = 20_000
RATES = (30_000, 40_000, 60_000, 80_000, 100_000, 130_000, 160_000, 200_000, 250_000, 300_000)
LOST_MAX = 0.005
TRIES = 3  # at a rate: something else on the machine may have been busy
BUFFER = 4 << 20
FREE = DatagramLimits(
    pair_packets=1 << 30, pair_octets=1 << 40, total_packets=1 << 30, total_octets=1 << 40
)
CORES = sorted(os.sched_getaffinity(0))
Address = tuple[str, int]


def bound() -> socket.socket:
    """Return a UDP socket of ours with room for what a pause of the process leaves waiting."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, BUFFER)
    sock.bind((HOST, 0))
    return sock


def packed(address: Address) -> bytes:
    """Return a source as the datagram path's process reports it."""
    return SPOT.pack(0, 4, socket.inet_aton(address[0]), address[1], 0, bytes(16))


# -- the relays; each writes the port of its door and, where it is another, the process that relays


async def ours(say: Callable[[int, int], None], a: Address, b: Address) -> None:
    """Relay by the datagram path."""
    async with TaskRoom("bench") as room:
        path = DatagramPath(room, SystemClock(), lambda _: None, FREE)
        await path.start([(HOST, 0)])
        spots = [Spot.unpack(packed(address)) for address in (a, b)]
        await path.join(*spots).joined
        assert path.process_id is not None
        os.sched_setaffinity(path.process_id, {CORES[-1]})
        say(path.addresses[0][1], path.process_id)
        over = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
        await over.wait()
        await path.stop()


def plain(say: Callable[[int, int], None], a: Address, b: Address) -> None:
    """Relay by the table of the gateway's process, without UDP_GRO and UDP_SEGMENT."""
    relay = UdpRelay(lambda _: None)
    sock = bound()
    sock.setblocking(False)
    relay.doors[0] = door = Door(0, sock, bursts=False)
    relay.join(1, packed(a), packed(b))
    poll = select.epoll()
    poll.register(sock, select.EPOLLIN)
    say(sock.getsockname()[1], os.getpid())
    while True:
        poll.poll()
        relay.now = time.monotonic()
        relay.serve(door)


async def by_asyncio(say: Callable[[int, int], None], a: Address, b: Address) -> None:
    """Relay by a DatagramProtocol with a table of sources."""
    partners = {a: b, b: a}

    class Relay(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, source: Address) -> None:
            partner = partners.get(source)
            if partner is not None:
                self.transport.sendto(data, partner)  # type: ignore[attr-defined]

    sock = bound()
    sock.setblocking(False)
    await asyncio.get_running_loop().create_datagram_endpoint(Relay, sock=sock)
    say(sock.getsockname()[1], os.getpid())
    await asyncio.Event().wait()


def start(kind: str, say: Callable[[int, int], None], a: Address, b: Address) -> None:
    """Be the relay of that kind."""
    os.sched_setaffinity(0, {CORES[-1]})
    if kind == "plain":
        plain(say, a, b)
    elif kind == "uvloop":
        import uvloop

        uvloop.run(by_asyncio(say, a, b))
    else:
        asyncio.run((ours if kind == "ours" else by_asyncio)(say, a, b))


KINDS = ("ours", "plain", "asyncio", "uvloop")


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
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)


@contextlib.contextmanager
def relay(kind: str, a: socket.socket, b: socket.socket) -> Iterator[tuple[Address, int]]:
    """Run a relay; give its address and the process whose CPU time counts."""
    reading, writing = os.pipe()

    def say(port: int, process: int) -> None:
        os.write(writing, json.dumps([port, process]).encode() + b"\n")

    with (
        os.fdopen(reading) as lines,
        forked(start, kind, say, a.getsockname(), b.getsockname()),
    ):
        port, process = json.loads(lines.readline())
        yield (HOST, port), process
    os.close(writing)


# -- the load


def sink(sock: socket.socket, writing: int) -> None:
    """Count datagrams; tell when half a second was silent after the first."""
    os.sched_setaffinity(0, {CORES[0]})
    sock.settimeout(5)
    buffer = bytearray(1 << 16)
    count = 0
    with contextlib.suppress(TimeoutError):
        while True:
            sock.recv_into(buffer)
            if not count:
                sock.settimeout(0.5)
            count += 1
    os.write(writing, str(count).encode())


def send(sock: socket.socket, to: Address, rate: int, seconds: float, burst: bool) -> int:
    """Send at an even rate; return how many were sent."""
    os.sched_setaffinity(0, {CORES[0]})
    ctypes.CDLL(None).prctl(29, 1, 0, 0, 0)  # PR_SET_TIMERSLACK: sleep as long as was asked for
    at_once = BURST if burst else 1
    datagram = bytes(SIZE * at_once)
    ancillary = [(socket.IPPROTO_UDP, UDP_SEGMENT, SIZE.to_bytes(2, "little"))] if burst else []
    step = at_once / rate
    sent = 0
    due = time.monotonic()
    end = due + seconds
    while (now := time.monotonic()) < end:
        if now < due:
            time.sleep(due - now)
            continue
        due += step
        if burst:
            sock.sendmsg([datagram], ancillary, 0, to)
        else:
            sock.sendto(datagram, to)
        sent += at_once
    return sent


def cpu_seconds(process: int) -> float:
    """Return the CPU time that a process has used, to the nanosecond."""
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e9


def load(
    ends: tuple[socket.socket, socket.socket], to: Address, process: int, rate: int,
    seconds: float, burst: bool,
) -> tuple[int, int, float]:  # fmt: skip
    """Send for a while; return how many were sent, how many came, and the relay's CPU seconds."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        sink(ends[1], writing)
        os._exit(0)
    time.sleep(0.05)
    before = cpu_seconds(process)
    sent = send(ends[0], to, rate, seconds, burst)
    os.waitpid(child, 0)
    used = cpu_seconds(process) - before
    os.close(writing)
    with os.fdopen(reading) as counted:
        return sent, int(counted.read()), used


def measure(kind: str, burst: bool, seconds: float, rates: tuple[int, ...]) -> dict[str, float]:
    """Return the figures of one relay under one sort of load."""
    with bound() as a, bound() as b, relay(kind, a, b) as (to, process):
        load((a, b), to, process, RATE, 0.2, burst)
        sent, got, used = load((a, b), to, process, RATE, seconds, burst)
        figures = {
            "us_per_packet": round(used / max(1, got) * 1e6, 2),
            "rate": round(sent / seconds),
            "lost": round(1 - got / sent, 4),
        }
        for rate in rates:
            for _ in range(TRIES):
                sent, got, _ = load((a, b), to, process, rate, 0.5, burst)
                if sent >= 0.95 * rate * 0.5 and 1 - got / sent <= LOST_MAX:
                    figures["best_rate"] = rate
                    break
            if figures.get("best_rate") != rate:
                figures["sender_is_the_limit"] = sent < 0.95 * rate * 0.5
                break
        return figures


def main() -> None:
    """Measure every relay in changing order, then show the medians."""
    parser = argparse.ArgumentParser(prog="python -m bench.udp", description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="of the load at 20,000/s")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cpu-only", action="store_true", help="do not look for the highest rate")
    chosen = parser.parse_args()
    rates = () if chosen.cpu_only else RATES
    found: dict[tuple[str, bool], list[dict[str, float]]] = {}
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a", encoding="utf-8") as results:
        for number in range(chosen.rounds):
            for burst in (False, True):
                for kind in random.sample(KINDS, len(KINDS)):
                    figures = measure(kind, burst, chosen.seconds, rates)
                    found.setdefault((kind, burst), []).append(figures)
                    way = "bursts" if burst else "single"
                    line = {"bench": "udp", "relay": kind, "datagrams": way, "round": number}
                    print(json.dumps(line | figures), flush=True)
                    results.write(json.dumps(line | figures | {"machine": machine()}) + "\n")
    print(f"\n{'relay':10} {'datagrams':10} {'us/packet':>10} {'lost':>7} {'packets/s':>10}")
    for (kind, burst), rounds in sorted(found.items(), key=lambda item: item[0][::-1]):
        cpu, lost, best = (
            statistics.median(one.get(name, 0) for one in rounds)
            for name in ("us_per_packet", "lost", "best_rate")
        )
        way = "bursts" if burst else "single"
        print(f"{kind:10} {way:10} {cpu:10.1f} {lost:7.2%} {best:10.0f}")


if __name__ == "__main__":
    main()
