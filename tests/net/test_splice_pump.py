"""The pump in this process: what it does when room for left-overs or pipes is short."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator

import pytest

from gateway.net import splice_pipes, splice_pump
from gateway.net.splice_link import Link, RawSocket
from gateway.net.splice_messages import Reason
from gateway.net.splice_pair import PairLimits
from gateway.net.splice_pump import BUDGET, COPY_SIZE, CROWDED_SIZE, Pump
from tests.net.splice_rig import Job, abort, close_pairs, read_exact, tcp_pair


class Rig:
    """One pump, driven turn by turn."""

    def __init__(self) -> None:
        self.ends: list[tuple[int, Reason]] = []
        self.pump = Pump(lambda link, reason: self.ends.append((link.number, reason)), 0.0)

    def join(self, number: int = 1) -> tuple[Link, socket.socket, socket.socket]:
        far_a, near_a = tcp_pair()
        far_b, near_b = tcp_pair()
        raw = [RawSocket(fileno=near.detach()) for near in (near_a, near_b)]
        link = Link(number, raw[0], raw[1], True, self.pump.now)
        self.pump.add(link, b"", b"", PairLimits().unsent)
        return link, far_a, far_b

    def turn(self, seconds: float = 0.1) -> int:
        events = self.pump.poll.poll(seconds)
        self.pump.serve(events)
        return len(events)

    def until(self, reached) -> None:
        end = time.monotonic() + 10
        while not reached():
            assert time.monotonic() < end
            self.turn(0.02)


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    for link in list(made.pump.links.values()):
        made.pump.abort(link, Reason.KILLED)
    made.pump.poll.close()
    close_pairs()


def test_one_turn_of_a_bulk_direction_is_bounded(rig: Rig) -> None:
    link, a, b = rig.join()
    sender, reader = Job(a.sendall, bytes(8 << 20)), Job(read_exact, b, 8 << 20)
    largest = before = 0
    while before < 8 << 20:
        rig.turn()
        largest = max(largest, link.a.octets - before)
        before = link.a.octets
    sender.get()
    reader.get()
    assert COPY_SIZE < largest <= 2 * BUDGET


def test_reads_shrink_when_too_much_is_held(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splice_pump, "HELD_MAX", 0)
    link, a, b = rig.join()
    a.sendall(b"x" * 20_000)
    rig.until(lambda: link.a.octets == CROWDED_SIZE)
    rig.until(lambda: link.a.octets == 20_000)
    assert read_exact(b, 20_000) == b"x" * 20_000


@pytest.mark.parametrize("refused", ["none allowed", "too small"])
def test_without_large_pipes_bulk_is_copied(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    if refused == "none allowed":
        rig.pump._pipes._limit = 0
    else:
        monkeypatch.setattr(splice_pipes.fcntl, "fcntl", lambda *_: 65536)
    link, a, b = rig.join()
    sender, reader = Job(a.sendall, bytes(4 << 20)), Job(read_exact, b, 4 << 20)
    rig.until(lambda: link.a.octets == 4 << 20)
    sender.get()
    reader.get()
    assert link.a.bulk > 0
    assert link.a.pipe is None


def test_a_bulk_direction_goes_back_to_copying(rig: Rig) -> None:
    link, a, b = rig.join()
    reader = Job(read_exact, b, 4 << 20)
    sender = Job(a.sendall, bytes(4 << 20))
    rig.until(lambda: link.a.octets == 4 << 20)
    sender.get()
    reader.get()
    assert link.a.bulk > 0
    turns = 0
    while link.a.bulk:
        a.sendall(b"small")
        rig.until(lambda: rig.turn(0.02) == 0)
        assert read_exact(b, 5) == b"small"
        turns += 1
        assert turns <= splice_pump.BULK_TURNS


def test_a_left_over_never_reaches_another_pair(rig: Rig) -> None:
    first, a, b = rig.join(1)
    a.settimeout(0.2)
    with pytest.raises(TimeoutError):
        for _ in range(10_000):
            a.send(b"secret!!" * 8192)
            rig.turn(0)
    rig.until(lambda: first.a.pipe is not None or first.a.left > 0)
    held = first.a.pipe
    rig.pump.abort(first, Reason.KILLED)
    assert rig.ends == [(1, Reason.KILLED)]
    assert held not in rig.pump._pipes._free
    _, c, d = rig.join(2)
    sender, reader = Job(c.sendall, bytes(4 << 20)), Job(read_exact, d, 4 << 20)
    rig.until(lambda: not reader.is_alive())
    sender.get()
    assert reader.get() == bytes(4 << 20)
    b.close()


def test_both_ends_gone_leaves_no_descriptor_in_epoll(rig: Rig) -> None:
    _, a, b = rig.join()
    a.close()
    b.close()
    rig.until(lambda: bool(rig.ends))
    assert rig.ends[0][1] in (Reason.CLOSED, Reason.A_RESET, Reason.B_RESET)
    assert rig.turn(0.05) == 0
    assert not any(rig.pump._halves)


def test_a_client_that_resets_while_its_bypass_is_tried_costs_nobody_else(rig: Rig) -> None:
    client, near_client = tcp_pair()
    service, relays_end = tcp_pair()
    camera, near_camera = tcp_pair()
    raw = [RawSocket(fileno=sock.detach()) for sock in (near_client, relays_end, near_camera)]
    pair = Link(1, raw[0], raw[1], True, 0.0)
    rig.pump.add(pair, b"", b"", 0)
    feed = Link(2, raw[2], RawSocket(fileno=service.dup().detach()), False, 0.0)
    rig.pump.add(feed, b"", b"", 0)
    assert feed.bypass is not None
    service.sendall(b"answer")
    camera.sendall(b"media")
    abort(client)
    # The camera's event comes first, and the answer is sent to the client on the way.
    rig.pump.serve([(feed.a.sock.fileno(), select.EPOLLIN)])
    rig.until(lambda: len(rig.ends) == 2)
    assert rig.ends == [(1, Reason.A_RESET), (2, Reason.B_RESET)]
    assert not any(rig.pump._halves)
