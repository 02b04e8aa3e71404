"""The table of sources without its process: the clock is in the test's hand."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator

import pytest

from gateway.net.splice_udp import UdpLoop
from gateway.net.splice_udp_messages import END, HEADER, SPOT, Command, Reason, Report
from gateway.net.splice_udp_relay import WINDOWS, Door, UdpRelay
from gateway.wire.datagrams import endpoint_info

UID = bytes(range(16))


class Table:
    """A relay with one door, and sockets around it."""

    def __init__(self, bursts: bool = True) -> None:
        self.sockets: list[socket.socket] = []
        self.reports: list[bytes] = []
        self.coming: list[bytes] = []
        self.relay = UdpRelay(self.reports.append, self.announce)
        sock = self.socket()
        self.address = sock.getsockname()
        self.door = Door(0, sock, bursts)
        self.relay.doors[0] = self.door

    def announce(self) -> None:
        while self.coming:
            self.relay.expect(self.coming.pop())

    def socket(self) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((f"127.21.{random.randrange(1, 255)}.{random.randrange(1, 255)}", 0))
        sock.setblocking(False)
        self.sockets.append(sock)
        return sock

    def spot(self, sock: socket.socket, port: int | None = None) -> bytes:
        host, own = sock.getsockname()
        address = socket.inet_aton(host)
        return SPOT.pack(0, 4, address, own if port is None else port, 0, bytes(16))

    def pair(self, number: int = 1) -> tuple[socket.socket, socket.socket]:
        a, b = self.socket(), self.socket()
        self.relay.join(number, self.spot(a), self.spot(b))
        assert self.kinds()[-1] == (Report.JOINED, number)
        return a, b

    def kinds(self) -> list[tuple[int, int]]:
        return [HEADER.unpack_from(report) for report in self.reports]

    def end(self) -> tuple[int, ...]:
        """Return reason, octets from a and b, packets from a and b, dropped."""
        assert HEADER.unpack_from(self.reports[-1])[0] == Report.ENDED
        return END.unpack(self.reports[-1][HEADER.size :])

    def send(self, sock: socket.socket, count: int, size: int = 100) -> None:
        for _ in range(count):
            sock.sendto(bytes(size), self.address)
        while not self.relay.serve(self.door):
            pass


@pytest.fixture(params=[True, False], ids=["bursts", "plain"])
def table(request: pytest.FixtureRequest) -> Iterator[Table]:
    found = Table(request.param)
    yield found
    for sock in found.sockets:
        sock.close()


def drain(sock: socket.socket) -> int:
    count = 0
    while True:
        try:
            sock.recv(65_536)
        except BlockingIOError:
            return count
        count += 1


def test_a_pair_expires_after_120_s_without_traffic_in_either_direction(table: Table) -> None:
    a, b = table.pair()
    for moment, sock in ((119.9, a), (239.8, b)):
        table.relay.now = moment
        table.relay.sweep()
        assert 1 in table.relay.links
        table.send(sock, 1)
    table.relay.now = 239.8 + 120.0
    table.relay.sweep()
    assert table.end() == (Reason.IDLE, 100, 100, 1, 1, 0)
    assert not table.door.flows
    assert not table.relay.links
    drain(a), drain(b)
    table.send(a, 1)
    assert drain(b) == 0


def test_rates_of_a_pair_hold_and_recover(table: Table) -> None:
    table.relay.limit(120.0, 16_384, 10 * WINDOWS, 1 << 40, 1 << 30, 1 << 40, 10)
    a, b = table.pair(1)
    c, d = table.pair(2)
    table.send(a, 25)
    assert drain(b) == 10
    table.send(b, 5)
    assert drain(a) == 0  # both directions share the rate
    table.send(c, 5)
    assert drain(d) == 5
    table.relay.now += 1 / WINDOWS
    table.send(b, 5)
    assert drain(a) == 5
    table.relay.end(table.relay.links[1], Reason.KILLED)
    assert table.end()[-1] == 20


def test_octets_of_a_pair_are_limited(table: Table) -> None:
    table.relay.limit(120.0, 16_384, 1 << 20, 4_000 * WINDOWS, 1 << 30, 1 << 40, 10)
    a, b = table.pair()
    table.send(a, 10, 1_000)
    assert drain(b) == 4


def test_all_pairs_together_are_limited(table: Table) -> None:
    table.relay.limit(120.0, 16_384, 1 << 20, 1 << 40, 10 * WINDOWS, 1 << 40, 10)
    a, b = table.pair(1)
    c, d = table.pair(2)
    table.send(a, 7)
    table.send(c, 7)
    assert (drain(b), drain(d)) == (7, 3)
    table.relay.now += 1 / WINDOWS
    table.send(c, 7)
    assert drain(d) == 7
    table.relay.limit(120.0, 16_384, 1 << 20, 1 << 40, 1 << 30, 3_000 * WINDOWS, 10)
    table.relay.now += 1 / WINDOWS
    table.send(a, 5, 1_000)
    assert drain(b) == 3


def test_datagrams_above_the_size_limit_are_dropped(table: Table) -> None:
    a, b = table.pair()
    table.send(a, 1, 16_384)
    table.send(a, 1, 16_385)
    assert drain(b) == 1


def test_a_burst_that_cannot_leave_in_one_piece_is_sent_singly() -> None:
    """Segments larger than the MTU of the way out; the loopback's is 65,536."""
    table = Table()
    try:
        a, b = table.pair()
        sock = table.door.flows[a.getsockname()].sock

        class Narrow:
            def __init__(self) -> None:
                self.refused = 0

            def sendmsg(self, buffers, ancillary, flags, address):
                if ancillary:
                    self.refused += 1
                    raise OSError(90, "Message too long")
                return sock.sendmsg(buffers, ancillary, flags, address)

        narrow = Narrow()
        table.door.flows[a.getsockname()].sock = narrow
        segment = (17, 103, (500).to_bytes(2, "little"))
        a.sendmsg([bytes(2_200)], [segment], 0, table.address)
        table.relay.serve(table.door)
        assert narrow.refused == 1
        assert [len(b.recv(1000)) for _ in range(5)] == [500, 500, 500, 500, 200]
    finally:
        for sock in table.sockets:
            sock.close()


def test_our_own_port_the_same_source_and_unknown_doors_are_refused(table: Table) -> None:
    a, b = table.socket(), table.socket()
    own = table.spot(a, table.address[1])  # would make two relays play ping-pong
    none = table.spot(a, 0)
    elsewhere = b"\x07" + table.spot(b)[1:]
    other_family = table.spot(b)[:1] + b"\x06" + table.spot(b)[2:]
    for bad in (own, none, elsewhere, other_family, table.spot(a)):
        table.relay.join(1, table.spot(a), bad)
        assert table.end()[0] == Reason.REFUSED
    assert not table.door.flows
    assert not table.relay.links


def test_an_introduction_that_overtakes_its_announcement_is_seen(table: Table) -> None:
    sock = table.socket()
    table.coming = [UID]
    sock.sendto(endpoint_info(UID, bytes(6)), table.address)
    table.relay.serve(table.door)
    assert table.kinds() == [(Report.SIGHTED, 0)]


def test_an_introduction_from_a_mapped_source_is_consumed_while_its_uid_lives(
    table: Table,
) -> None:
    a, b = table.pair()
    info = endpoint_info(UID, bytes(6))
    table.relay.expect(UID)
    for _ in range(2):
        a.sendto(info, table.address)
    table.relay.serve(table.door)
    assert table.kinds().count((Report.SIGHTED, 0)) == 1
    assert drain(b) == 0
    table.relay.forget(UID)
    a.sendto(info, table.address)  # an application may say what it likes
    table.relay.serve(table.door)
    assert b.recv(100) == info


def test_garbage_from_many_sources_is_answered_by_nothing(table: Table) -> None:
    a, b = table.pair()
    draw = random.Random(3)
    crowd = [table.socket() for _ in range(20)]
    for index in range(400):
        first = draw.choice((b"\x56", b"\x58", b"\x59", b""))
        datagram = first + draw.randbytes(draw.choice((16, 22, draw.randint(0, 1400))))
        crowd[index % 20].sendto(datagram, table.address)
        if index % 50 == 49:
            while not table.relay.serve(table.door):
                pass
    assert table.relay.strangers == 400
    assert [drain(sock) for sock in (a, b, *crowd)] == [0] * 22
    assert len(table.reports) == 1


@pytest.mark.parametrize("last", [b"", b"\x03", HEADER.pack(0, 0)[:-1]])
def test_the_process_ends_with_its_control_socket_and_on_nonsense(last: bytes) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.setblocking(False)
    with ours, theirs:
        ours.settimeout(5)
        ours.send(HEADER.pack(200, 7) + b"an unknown command")
        ours.send(HEADER.pack(Command.KILL, 7))
        ours.send(HEADER.pack(Command.DOOR, 7))  # without its descriptor
        ours.send(last) if last else ours.shutdown(socket.SHUT_WR)
        UdpLoop(theirs).run()
        assert ours.recv(100) == HEADER.pack(Report.READY, 0)
