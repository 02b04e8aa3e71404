"""Receive windows that follow the rate, on real sockets."""

from __future__ import annotations

import math
import socket
from collections.abc import Iterator

import pytest

from gateway.net.splice_link import Link, RawSocket
from gateway.net.splice_window import LOOK_SECONDS, STEPS, Windows, fitting
from tests.net.splice_rig import close_pairs, tcp_pair

ASKED = 104 * 1024


def granted(sock: RawSocket) -> int:
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


class Rig:
    """A link whose octets are counted by hand; `bounded` is the half that has a small window."""

    def __init__(self, two_way: bool, receive: int = ASKED) -> None:
        self.raw = [RawSocket(fileno=tcp_pair()[0].dup().detach()) for _ in range(2)]
        self.link = Link(1, self.raw[0], self.raw[1], two_way, 0.0)
        self.link.receive = receive
        self.bounded = self.link.b if two_way else self.link.a  # not asked of the link: judged here
        self.other = self.bounded.peer
        if receive:
            self.bounded.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        self.windows = Windows()
        self.now = 0.0

    def run(self, rate: float, seconds: float = LOOK_SECONDS) -> int:
        """Move octets at this rate; return the buffer that the kernel grants then."""
        self.windows.note(self.bounded, self.now)
        self.now += seconds
        self.bounded.octets += round(rate * seconds)
        if self.now >= self.windows.at:
            self.windows.look(self.now)
        return granted(self.bounded.sock)


@pytest.fixture(params=[False, True], ids=["feed", "pair"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    made = Rig(request.param)
    yield made
    for sock in made.raw:
        sock.close()
    close_pairs()


def test_live_video_keeps_the_small_window(rig: Rig) -> None:
    for _ in range(5):
        assert rig.run(0.5e6) == 2 * ASKED
    assert rig.windows.at == math.inf, "nothing fast, and still looked after"


def test_a_fast_source_gets_a_larger_window_and_loses_it_again(rig: Rig) -> None:
    assert rig.run(1.5e6) == 2 * STEPS[0].octets
    assert rig.run(0.9e6) == 2 * STEPS[0].octets, "taken away at once: it would flutter"
    assert rig.run(100e6) > 2 * STEPS[0].octets
    assert rig.run(0.0) == 2 * ASKED
    assert rig.windows.at == math.inf


def test_what_comes_after_a_pause_is_no_rate(rig: Rig) -> None:
    """A client that catches up with what lay behind the gateway: 400,000 octets at once."""
    rig.windows.note(rig.bounded, 0.0)
    rig.bounded.octets += 400_000
    rig.windows.look(0.01)
    assert granted(rig.bounded.sock) == 2 * ASKED
    assert rig.run(100_000) == 2 * ASKED


def test_the_other_direction_is_left_to_the_kernel(rig: Rig) -> None:
    before = granted(rig.other.sock)
    rig.windows.note(rig.other, 0.0)
    assert rig.windows.at == math.inf
    assert granted(rig.other.sock) == before


def test_who_asked_for_no_window_gets_none() -> None:
    free = Rig(two_way=True, receive=0)
    before = granted(free.bounded.sock)
    assert free.run(50e6) == before
    for sock in free.raw:
        sock.close()
    close_pairs()


def test_a_half_that_ended_is_forgotten(rig: Rig) -> None:
    rig.run(50e6)
    rig.windows.forget(rig.bounded)
    for sock in rig.raw:
        sock.close()
    rig.windows.look(rig.now + 1)
    assert rig.windows.at == math.inf


def test_every_window_is_less_than_a_second_of_the_slowest_rate_that_keeps_it() -> None:
    for number, step in enumerate(STEPS, 1):
        behind = 2 * step.octets + 0.2e6
        assert step.down < step.up
        assert behind / step.down < 1.0
        assert fitting(step.up, 0) == number
        assert fitting(step.down, number) == number
        assert fitting(step.down - 1, number) == number - 1 or number > 1
        assert fitting(step.down - 1, number) < number
    assert fitting(0.0, len(STEPS)) == 0
