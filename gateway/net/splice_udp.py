"""The process that relays datagrams: owns the UDP sockets of port 7779.

Started by `gateway.net.datagram`, which speaks `gateway.net.splice_udp_messages` with it. One
thread, one epoll loop, no asyncio. It is not the process that relays TCP because anybody can flood
a UDP port, and that must not slow the streams.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import time
from collections import deque

from gateway.net.splice_udp_messages import (
    HEADER,
    LIMITS,
    PACKET_MAX,
    SPOT,
    UID_SIZE,
    Command,
    Reason,
    Report,
)
from gateway.net.splice_udp_relay import Door, UdpRelay

COMMANDS_MAX = 64  # control packets between two batches
SWEEP_MAX = 5.0  # seconds between two looks for idle pairs
SWEEP_MIN = 0.05


class UdpLoop:
    """The control side of the process: commands in, reports out, doors and limits watched."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._poll = select.epoll()
        self._reports: deque[bytes] = deque()  # bounded by the uids expected and the pairs
        self._relay = UdpRelay(self._reports.append, self._receive)
        self._doors: dict[int, Door] = {}
        self._open = True

    def run(self) -> None:
        """Serve until the control socket ends."""
        relay, control = self._relay, self._control.fileno()
        writing = False
        self._poll.register(control, select.EPOLLIN)
        self._reports.append(HEADER.pack(Report.READY, 0))
        relay.now = swept = time.monotonic()
        while self._open:
            blocked = not self._send()
            if blocked != writing:
                writing = blocked
                self._poll.modify(control, select.EPOLLIN | (select.EPOLLOUT if blocked else 0))
            sweep = max(SWEEP_MIN, min(SWEEP_MAX, relay.idle / 4))
            events = self._poll.poll(sweep if relay.links else None)
            relay.now = time.monotonic()
            for descriptor, event in events:
                if descriptor == control:
                    if event & ~select.EPOLLOUT:
                        self._receive()
                else:
                    relay.serve(self._doors[descriptor])
            if relay.now - swept >= sweep:
                swept = relay.now
                relay.sweep()

    def _receive(self) -> None:
        for _ in range(COMMANDS_MAX):
            try:
                packet, descriptors, _, _ = socket.recv_fds(
                    self._control, PACKET_MAX, 1, socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                return
            except OSError:
                packet, descriptors = b"", []
            if len(packet) < HEADER.size:
                self._open = False
                return
            kind, number = HEADER.unpack_from(packet)
            self._obey(kind, number, packet[HEADER.size :], descriptors)

    def _obey(self, kind: int, number: int, body: bytes, descriptors: list[int]) -> None:
        relay = self._relay
        if kind == Command.EXPECT:
            relay.expect(body[:UID_SIZE])
        elif kind == Command.FORGET:
            relay.forget(body[:UID_SIZE])
        elif kind == Command.JOIN:
            relay.join(number, body[: SPOT.size], body[SPOT.size :])
        elif kind == Command.KILL:
            link = relay.links.get(number)
            if link is not None:
                relay.end(link, Reason.KILLED)
        elif kind == Command.LIMITS:
            relay.limit(*LIMITS.unpack(body))
        elif kind == Command.DOOR and descriptors:
            sock = socket.socket(fileno=descriptors[0])
            sock.setblocking(False)
            door = Door(number, sock)
            relay.doors[number] = self._doors[sock.fileno()] = door
            self._poll.register(sock, select.EPOLLIN)

    def _send(self) -> bool:
        """Send the reports that wait; False when the control socket is full."""
        try:
            while self._reports:
                self._control.send(self._reports[0], socket.MSG_DONTWAIT)
                self._reports.popleft()
        except BlockingIOError:
            return False
        except OSError:
            self._open = False
        return True


def main(descriptor: int) -> None:
    """Run the process on an inherited SOCK_SEQPACKET descriptor."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    gc.disable()  # nothing here refers to itself for long
    control = socket.socket(fileno=descriptor)
    control.setblocking(False)
    try:
        name = os.open("/proc/self/comm", os.O_WRONLY)
        os.write(name, b"softnet-udp")
        os.close(name)
    except OSError:
        pass
    UdpLoop(control).run()
