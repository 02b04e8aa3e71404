"""A camera, a service and a client whose octets all go through one relay process."""

from __future__ import annotations

import socket
import struct
import time

from gateway.net.splice_messages import PASS_END, Command, Reason
from tests.net.splice_rig import SOURCE, Relay, read_exact, tcp_pair

MIB = 1 << 20


class Chain:
    """A client joined to its service's connection, and a camera that the service feeds from."""

    def __init__(self, running: Relay, host: str = "127.0.0.1", **options) -> None:
        self.running = running
        self.client, near_client = tcp_pair(host)
        self.service, relays_end = tcp_pair(host)
        self.camera, self.near_camera = tcp_pair(host)
        self.pair = running.start(Command.JOIN, near_client, relays_end, **options)
        self.number = 0

    def feed(self, **options) -> int:
        options.setdefault("flags", PASS_END)
        self.number = self.running.start(
            Command.FEED, self.near_camera, self.service, close=False, **options
        )
        # The relay process made the shared sockets non-blocking.
        for sock in (self.near_camera, self.service):
            sock.settimeout(15)
        return self.number

    def reclaim(self) -> tuple[Reason, int, int, float]:
        self.running.command(Command.RECLAIM, self.number)
        return self.running.end(self.number)

    def passed_by(self) -> int:
        """Octets of the client that did not go through the service's connection."""
        _, _, records = self.running.counts()
        delivered = {number: back for number, _, back in records}[self.pair]
        return delivered - sent_by(self.service)

    def opened(self) -> int:
        """Let octets flow until they go past the connection; return how many."""
        octets, end = 0, time.monotonic() + 5
        while self.passed_by() < 1000:
            assert time.monotonic() < end, "the bypass never opens"
            self.camera.sendall(b"$" * 500)
            read_exact(self.client, 500)
            octets += 500
        return octets

    def stall(self) -> int:
        """Fill everything between camera and client; return the octets sent."""
        self.camera.settimeout(0.3)
        sent = 0
        try:
            while True:
                sent += self.camera.send(SOURCE[sent % MIB : sent % MIB + 65536])
        except TimeoutError:
            pass
        self.camera.settimeout(15)
        return sent


def sent_by(sock: socket.socket) -> int:
    """Return how many octets a connection's end has ever sent (tcpi_bytes_acked, with the SYN)."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 128)
    return max(0, struct.unpack_from("Q", info, 120)[0] - 1)


def expected(sent: int) -> bytes:
    """Return what `stall` has sent."""
    return b"".join(SOURCE[at % MIB : at % MIB + 65536] for at in range(0, sent + 65536, 65536))
