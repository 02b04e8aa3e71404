"""The relay process: takes pairs of connected sockets over a control socket and pumps them.

Started by `gateway.net.datapath`, which speaks `gateway.net.splice_messages` with it. One thread,
one epoll loop, no asyncio: a process of its own is not slowed by what the gateway's Python does.
It ends when the control socket ends. Signals of a terminal or a service manager are left to the
gateway, so that it decides the order of stopping.
"""

from __future__ import annotations

import gc
import os
import resource
import select
import signal
import socket
import struct
import time
from collections import deque

from gateway.net.splice_link import Link, RawSocket
from gateway.net.splice_messages import (
    COUNT,
    END,
    HEADER,
    LAST,
    PACKET_MAX,
    PASS_END,
    RECORDS_MAX,
    SHUT,
    START,
    Command,
    Reason,
    Report,
)
from gateway.net.splice_pipes import PIPE_COUNT
from gateway.net.splice_pump import Pump

EVENTS_MAX = 256  # one batch of epoll
COMMANDS_MAX = 64  # control packets between two batches: joins must not starve the streams
SWEEP_MAX = 5.0  # seconds between two looks at the limits
SWEEP_MIN = 0.05
NAP_SECONDS = 0.0002  # and the kernel's slack of 0.05 ms
GATHER_TURNS = 32  # turns of the loop between two decisions
GATHER_BEGIN, GATHER_STAY = 2000.0, 1000.0  # turns a second; with naps there are under 4,000
GATHER_SOURCES = 8  # different ones among those turns: a lone dialogue must not wait for itself
DESCRIPTORS_WANTED = 1 << 20
DESCRIPTORS_KEPT = 2 * PIPE_COUNT + 16  # pipes, the loop's own, one pair on its way in
EARLY_MAX = 1 << 20  # octets that may wait for their JOIN; the data path keeps far below

_FLAGS = socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
_ANCILLARY = socket.CMSG_SPACE(2 * 4)


class Gathering:
    """Whether the loop naps between two turns, so that each finds more to carry.

    A camera writes a picture packet by packet; served one by one, each wakes a hundred busy
    streams' relay anew. `on` while many sources wake it thousands of times a second: like a
    network card's moderated interrupts, it trades a quarter of a millisecond for a third of the
    CPU. Few streams, and those that carry much at once, never wait.
    """

    def __init__(self, now: float) -> None:
        self.on = False
        self._began = now
        self._turns = 0
        self._sources: set[int] = set()

    def turn(self, events: list[tuple[int, int]], now: float) -> None:
        """Count one turn of the loop and what woke it."""
        self._turns += 1
        if events:
            self._sources.add(events[0][0])
        if self._turns < GATHER_TURNS:
            return
        least = GATHER_STAY if self.on else GATHER_BEGIN
        rate = self._turns / max(now - self._began, 1e-6)
        self.on = rate >= least and len(self._sources) >= GATHER_SOURCES
        self._turns, self._began = 0, now
        self._sources.clear()


class RelayLoop:
    """The control side of the process: commands in, reports out, limits watched."""

    def __init__(self, control: socket.socket, capacity: int) -> None:
        self._control = control
        self._capacity = capacity
        self._pump = Pump(self._ended, time.monotonic())
        self._packet = bytearray(PACKET_MAX)
        self._ends: deque[bytes] = deque()  # END records not sent yet; at most one a pair
        self._packets: deque[bytes] = deque()  # other reports; at most one a command read
        self._early: dict[int, tuple[bytearray, bytearray]] = {}
        self._early_size = 0
        self._limits: dict[float, float] = {}
        self._buffers: dict[int, int] = {}
        self._sweep = SWEEP_MAX
        self._open = True

    def run(self) -> None:
        """Serve until the control socket ends."""
        pump, poll = self._pump, self._pump.poll
        control = self._control.fileno()
        writing = False
        poll.register(control, select.EPOLLIN)
        self._packets.append(HEADER.pack(Report.READY, 0, self._capacity))
        self._send()
        swept = pump.now
        gathering = Gathering(pump.now)
        while self._open:
            if gathering.on and not pump.rushed:
                time.sleep(NAP_SECONDS)
            pump.rushed = False
            events = poll.poll(self._sweep if pump.links else None, EVENTS_MAX)
            pump.now = time.monotonic()
            gathering.turn(events, pump.now)
            pump.serve(events)
            if pump.now >= pump.windows.at:
                pump.windows.look(pump.now)
            # After the batch: what arrives now may reuse descriptor numbers that were closed in it.
            for fd, event in events:
                if fd == control and event & ~select.EPOLLOUT:
                    self._receive()
            if pump.now - swept >= self._sweep:
                swept = pump.now
                pump.sweep()
            blocked = not self._send()
            if blocked != writing:
                writing = blocked
                poll.modify(control, select.EPOLLIN | (select.EPOLLOUT if blocked else 0))

    def _receive(self) -> None:
        for _ in range(COMMANDS_MAX):
            try:
                size, ancillary, _, _ = self._control.recvmsg_into(
                    [self._packet], _ANCILLARY, _FLAGS
                )
            except BlockingIOError:
                return
            except OSError:
                size, ancillary = 0, []
            descriptors: list[int] = []
            for _, _, data in ancillary:
                descriptors += struct.unpack(f"{len(data) // 4}i", data[: len(data) // 4 * 4])
            if size < HEADER.size:
                self._open = False
                return
            kind, bits, number = HEADER.unpack_from(self._packet)
            if kind in (Command.JOIN, Command.FEED):
                self._start(kind == Command.JOIN, bits, number, size, descriptors)
            elif kind == Command.EARLY:
                self._gather(number, bits, size)
            elif kind == Command.KILL:
                self._pump.kill(number, bool(bits & SHUT))
            elif kind == Command.RECLAIM:
                self._pump.reclaim(number)
            elif kind == Command.COUNT:
                self._count(number)

    def _start(
        self, two_way: bool, bits: int, number: int, size: int, descriptors: list[int]
    ) -> None:
        pump = self._pump
        _, _, _, idle, stall, unsent, receive, length = START.unpack_from(self._packet)
        early_a = bytes(self._packet[START.size : START.size + length])
        early_b = bytes(self._packet[START.size + length : size])
        before = self._early.pop(number, None)
        if before is not None:
            self._early_size -= len(before[0]) + len(before[1])
            early_a, early_b = bytes(before[0]) + early_a, bytes(before[1]) + early_b
        if len(descriptors) != 2 or len(pump.links) >= self._capacity:
            # Without free descriptors the kernel drops those of the packet.
            self._refuse(number, descriptors)
            return
        try:
            first = RawSocket(fileno=descriptors[0])
            second = RawSocket(fileno=descriptors[1])
        except OSError:
            self._refuse(number, descriptors)
            return
        link = Link(number, first, second, two_way, pump.now)
        # A number of its own for each pair would be 64 octets; there are only a few limits.
        link.idle = self._limits.setdefault(idle, idle)
        link.stall = self._limits.setdefault(stall, stall)
        link.receive = self._buffers.setdefault(receive, receive)
        link.pass_end = bool(bits & PASS_END)
        for limit in (idle, stall):
            if limit:
                self._sweep = max(SWEEP_MIN, min(self._sweep, limit / 4))
        try:
            pump.add(link, early_a, early_b, unsent)
        except OSError:
            pump.drop(link)
            self._refuse(number, [])

    def _refuse(self, number: int, descriptors: list[int]) -> None:
        for descriptor in descriptors:
            os.close(descriptor)
        self._ends.append(END.pack(number, Reason.REFUSED, 0, 0, 0.0))

    def _gather(self, number: int, side: int, size: int) -> None:
        held = self._early.get(number)
        if held is None:
            held = self._early[number] = (bytearray(), bytearray())
        self._early_size += size - HEADER.size
        if self._early_size > EARLY_MAX:
            raise MemoryError("early octets without their pair")
        held[side & 1].extend(memoryview(self._packet)[HEADER.size : size])

    def _count(self, after: int) -> None:
        """Answer with the pairs numbered above `after`, at most RECORDS_MAX of them."""
        # Numbers only grow and the dictionary keeps the order of insertion.
        links = [link for number, link in self._pump.links.items() if number > after]
        chosen = links[:RECORDS_MAX]
        last = LAST if len(chosen) == len(links) else 0
        number = chosen[-1].number if chosen else after
        self._packets.append(
            HEADER.pack(Report.COUNTS, last, number)
            + b"".join(COUNT.pack(link.number, link.a.octets, link.octets_back) for link in chosen)
        )

    def _ended(self, link: Link, reason: Reason) -> None:
        seconds = self._pump.now - link.began
        self._ends.append(END.pack(link.number, reason, link.a.octets, link.b.octets, seconds))

    def _send(self) -> bool:
        """Send the reports that wait; False when the control socket is full."""
        ends, packets = self._ends, self._packets
        try:
            while packets:
                self._control.send(packets[0], socket.MSG_DONTWAIT)
                packets.popleft()
            while ends:
                count = min(len(ends), RECORDS_MAX)
                records = b"".join(ends[index] for index in range(count))
                packet = HEADER.pack(Report.END, 0, count) + records
                self._control.send(packet, socket.MSG_DONTWAIT)
                for _ in range(count):
                    ends.popleft()
        except BlockingIOError:
            return False
        except OSError:
            self._open = False
        return True


def raise_descriptor_limit() -> int:
    """Raise the soft limit on descriptors as far as allowed; returns the pairs that fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_WANTED if hard == resource.RLIM_INFINITY else hard
    if soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (OSError, ValueError):
            pass
    return max(0, (min(soft, DESCRIPTORS_WANTED) - DESCRIPTORS_KEPT) // 2)


def main(descriptor: int) -> None:
    """Run the relay process on an inherited SOCK_SEQPACKET descriptor."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    gc.disable()  # what ends is unlinked by hand; a collection would only cost time
    control = socket.socket(fileno=descriptor)
    control.setblocking(False)
    try:
        name = os.open("/proc/self/comm", os.O_WRONLY)
        os.write(name, b"softnet-relay")
        os.close(name)
    except OSError:
        pass
    RelayLoop(control, raise_descriptor_limit()).run()
