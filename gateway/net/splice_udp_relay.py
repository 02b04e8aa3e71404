"""The table of sources and the forwarding of datagrams, in the process of `splice_udp`.

A datagram is sent on only when its source was registered, to the one partner of that source, in the
same size: nobody else ever gets an answer (02 section 10.4).

Where the kernel offers it, datagrams that come in a burst are taken in one piece (UDP_GRO) and
sent on in one piece (UDP_SEGMENT); the network sees the single datagrams all the same.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Sequence

from gateway.net.splice_udp_messages import (
    END,
    HEADER,
    SPOT,
    Reason,
    Report,
)
from gateway.wire.datagrams import ENDPOINT_INFO, INFO_SIZE, PUNCH_SIZE

BATCH = 64  # receptions from one door before the other doors and the control socket get a turn
WINDOWS = 4  # rate windows a second: bursts of a key picture pass, a flood does not
EXPECTED_MAX = 100_000  # uids announced; the server's limit of control connections is far below
BUFFER_SIZE = 1 << 16  # the largest datagram, or the largest burst in one piece

UDP_SEGMENT, UDP_GRO = 103, 104  # linux/udp.h; the socket module does not name them
IP_PKTINFO = 8
_SEGMENT = struct.Struct("=H")
_GRO_SIZE = struct.Struct("=i")
_PKTINFO4 = struct.Struct("=i4s4s")  # interface, our address, (destination)
_PKTINFO6 = struct.Struct("=16si")
_ANCILLARY = socket.CMSG_SPACE(_GRO_SIZE.size) + socket.CMSG_SPACE(_PKTINFO6.size)
WILD = ("0.0.0.0", "::")  # noqa: S104  (compared with, not bound to)


def ask_destination(sock: socket.socket) -> None:
    """Have a socket tell to which of our addresses a datagram was sent; call it before binding.

    One that is bound to every address must answer from the one that was spoken to.
    """
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)


Ancillary = Sequence[tuple[int, int, bytes]]


class Door:
    """One UDP socket and the sources that may speak through it."""

    __slots__ = ("bursts", "flows", "index", "ipv4", "port", "sock", "wild")

    def __init__(self, index: int, sock: socket.socket, bursts: bool = True) -> None:
        self.index = index
        self.sock = sock
        self.flows: dict[tuple[object, ...], Flow] = {}
        self.ipv4 = sock.family == socket.AF_INET
        name = sock.getsockname()
        self.port = name[1]
        self.wild = name[0] in WILD
        self.bursts = bursts
        if bursts:
            try:
                sock.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
            except OSError:
                self.bursts = False


class Link:
    """Two sources that speak to each other through us."""

    __slots__ = (
        "active", "dropped", "ends", "flows", "number", "octets_left", "packets_left", "window",
    )  # fmt: skip

    def __init__(self, number: int, now: float) -> None:
        self.number = number
        self.active = now
        self.window = -1
        self.packets_left = self.octets_left = 0
        self.dropped = 0
        self.ends: list[tuple[Door, tuple[object, ...]]] = []
        self.flows: list[Flow] = []


class Flow:
    """One direction: what a source sends goes out here."""

    __slots__ = ("address", "ancillary", "link", "octets", "packets", "sock")

    def __init__(
        self, link: Link, sock: socket.socket, address: tuple[object, ...], ancillary: Ancillary
    ) -> None:
        self.link = link
        self.sock = sock
        self.address = address
        self.ancillary = ancillary
        self.octets = self.packets = 0


class UdpRelay:
    """The table of sources and the forwarding; `now` is set by the caller before each call."""

    def __init__(
        self, report: Callable[[bytes], None], catch_up: Callable[[], None] = lambda: None
    ) -> None:
        self._report = report
        self._catch_up = catch_up
        self._buffer = bytearray(BUFFER_SIZE)
        self._view = memoryview(self._buffer)
        self._buffers = (self._buffer,)
        self._expected: dict[bytes, bool] = {}
        self.doors: dict[int, Door] = {}
        self.links: dict[int, Link] = {}
        self.now = 0.0
        self.strangers = 0
        self._window = -1
        self._packets_left = self._octets_left = 0
        self.limit(120.0, 16_384, 1 << 30, 1 << 40, 1 << 30, 1 << 40, 1 << 20)

    def limit(
        self, idle: float, size: int, packets: int, octets: int,
        all_packets: int, all_octets: int, pairs: int,
    ) -> None:  # fmt: skip
        """Set the limits: seconds, octets of a datagram, rates a second, pairs."""
        self.idle, self._size_max, self._pairs_max = idle, size, pairs
        self._packets, self._octets = max(1, packets // WINDOWS), max(1, octets // WINDOWS)
        self._all_packets = max(1, all_packets // WINDOWS)
        self._all_octets = max(1, all_octets // WINDOWS)

    def expect(self, uid: bytes) -> None:
        """Report the source of the ENDPOINT_INFO with this uid, once."""
        if len(self._expected) < EXPECTED_MAX:
            self._expected[uid] = False

    def forget(self, uid: bytes) -> None:
        """Stop looking for a uid: its datagrams are like any other now."""
        self._expected.pop(uid, None)

    def join(self, number: int, a: bytes, b: bytes) -> None:
        """Carry datagrams between two packed SPOTs; what was registered for them before ends."""
        ends = [self._place(a), self._place(b)]
        places = [end for end in ends if end is not None]
        for door, source, _ in places:
            old = door.flows.get(source)
            if old is not None:
                self.end(old.link, Reason.REPLACED)
        link = Link(number, self.now)
        same = len(places) == 2 and places[0][:2] == places[1][:2]
        if len(places) < 2 or same or len(self.links) >= self._pairs_max:
            self._ended(link, Reason.REFUSED)
            return
        for index, (door, source, _) in enumerate(places):
            other, address, ancillary = places[1 - index]
            flow = door.flows[source] = Flow(link, other.sock, address, ancillary)
            link.ends.append((door, source))
            link.flows.append(flow)
        self.links[number] = link
        self._report(HEADER.pack(Report.JOINED, number))

    def _place(self, spot: bytes) -> tuple[Door, tuple[object, ...], Ancillary] | None:
        index, family, address, port, scope, local = SPOT.unpack(spot)
        door = self.doors.get(index)
        # Our own port as a source would let two relays send one datagram in circles for ever.
        if door is None or not port or port == door.port or door.ipv4 != (family == 4):
            return None
        ancillary: Ancillary = ()
        if door.ipv4:
            if door.wild:
                info = _PKTINFO4.pack(0, local[:4], bytes(4))
                ancillary = ((socket.IPPROTO_IP, IP_PKTINFO, info),)
            return door, (socket.inet_ntop(socket.AF_INET, address[:4]), port), ancillary
        if door.wild:
            info = _PKTINFO6.pack(local, scope)
            ancillary = ((socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, info),)
        # As the socket module names sources: the scope stands apart.
        return door, (socket.inet_ntop(socket.AF_INET6, address), port, 0, scope), ancillary

    def end(self, link: Link, reason: Reason) -> None:
        """Take a pair out of the table and report it."""
        for door, source in link.ends:
            flow = door.flows.get(source)
            if flow is not None and flow.link is link:
                del door.flows[source]
        self.links.pop(link.number, None)
        self._ended(link, reason)

    def _ended(self, link: Link, reason: Reason) -> None:
        flows = link.flows
        octets = [flow.octets for flow in flows] or [0, 0]
        packets = [flow.packets for flow in flows] or [0, 0]
        record = END.pack(reason, *octets, *packets, link.dropped)
        # No circle of references may stay: nobody collects them in this process.
        link.flows, link.ends = [], []
        self._report(HEADER.pack(Report.ENDED, link.number) + record)

    def sweep(self) -> None:
        """End the pairs that were idle for too long."""
        for link in list(self.links.values()):
            if self.now - link.active >= self.idle:
                self.end(link, Reason.IDLE)

    def serve(self, door: Door) -> bool:
        """Forward what waits at a door, at most BATCH receptions; True when nothing is left."""
        sock, flows, rich = door.sock, door.flows, door.bursts or door.wild
        buffer, view, now = self._buffer, self._view, self.now
        ancillary: Ancillary = ()
        window = int(now * WINDOWS)
        if window != self._window:
            self._window = window
            self._packets_left, self._octets_left = self._all_packets, self._all_octets
        for _ in range(BATCH):
            try:
                if rich:
                    size, ancillary, _, source = sock.recvmsg_into(self._buffers, _ANCILLARY)
                else:
                    size, source = sock.recvfrom_into(buffer)
            except BlockingIOError:
                return True
            except OSError:  # an error that the network reported; the socket goes on
                continue
            flow = flows.get(source)
            if flow is None or (
                PUNCH_SIZE <= size <= INFO_SIZE
                and buffer[0] == ENDPOINT_INFO
                and bytes(view[1:PUNCH_SIZE]) in self._expected
            ):
                self._stranger(door, source, size, ancillary)
                continue
            segment = size
            for _, kind, data in ancillary:
                if kind == UDP_GRO:
                    (segment,) = _GRO_SIZE.unpack(data)
            count = 1 if segment >= size else -(-size // segment)
            link = flow.link
            if link.window != window:
                link.window = window
                link.packets_left, link.octets_left = self._packets, self._octets
            if (
                link.packets_left <= 0
                or link.octets_left <= 0
                or self._packets_left <= 0
                or self._octets_left <= 0
                or segment > self._size_max
            ):
                link.dropped += count
                continue
            link.packets_left -= count
            link.octets_left -= size
            self._packets_left -= count
            self._octets_left -= size
            link.active = now
            try:
                if count > 1:
                    burst = (socket.IPPROTO_UDP, UDP_SEGMENT, _SEGMENT.pack(segment))
                    flow.sock.sendmsg((view[:size],), (*flow.ancillary, burst), 0, flow.address)
                elif flow.ancillary:
                    flow.sock.sendmsg((view[:size],), flow.ancillary, 0, flow.address)
                else:
                    flow.sock.sendto(view[:size], flow.address)
            except OSError:
                if count == 1 or not self._one_by_one(flow, size, segment):
                    link.dropped += count
                    continue
            flow.octets += size
            flow.packets += count
        return False

    def _one_by_one(self, flow: Flow, size: int, segment: int) -> bool:
        """Send a burst that the way out cannot take in one piece, such as to a smaller MTU."""
        for at in range(0, size, segment):
            part = self._view[at : min(size, at + segment)]
            try:
                flow.sock.sendmsg((part,), flow.ancillary, 0, flow.address)
            except OSError:
                return False
        return True

    def _stranger(
        self, door: Door, source: tuple[object, ...], size: int, ancillary: Ancillary
    ) -> None:
        """Take a datagram that nobody is to get: perhaps an endpoint shows itself."""
        segment, local = size, b""
        for _, kind, data in ancillary:
            if kind == UDP_GRO:
                (segment,) = _GRO_SIZE.unpack(data)
            elif door.ipv4 and kind == IP_PKTINFO:
                local = _PKTINFO4.unpack(data)[1]
            elif not door.ipv4 and kind == socket.IPV6_PKTINFO:
                local = _PKTINFO6.unpack(data)[0]
        self.strangers += 1
        for at in range(0, size, max(1, segment)):
            info = bytes(self._view[at : min(size, at + segment)])
            if len(info) not in (PUNCH_SIZE, INFO_SIZE) or info[0] != ENDPOINT_INFO:
                return
            uid = info[1:PUNCH_SIZE]
            if uid not in self._expected:
                self._catch_up()  # its announcement may be on its way
            if self._expected.get(uid, True):
                continue
            self._expected[uid] = True
            spot = self._spot(door, source, local)
            self._report(HEADER.pack(Report.SIGHTED, 0) + spot + info)

    def _spot(self, door: Door, source: tuple[object, ...], local: bytes) -> bytes:
        host, port = str(source[0]), source[1]
        if door.ipv4:
            address = socket.inet_pton(socket.AF_INET, host)
            return SPOT.pack(door.index, 4, address, port, 0, local)
        address = socket.inet_pton(socket.AF_INET6, host)
        return SPOT.pack(door.index, 6, address, port, source[3], local)
