"""When a feed may go past a pair's connection: by names, state and emptiness of real sockets."""

from __future__ import annotations

import socket
import termios
from collections.abc import Iterator

import pytest

from gateway.net import splice_link
from gateway.net.splice_link import Bypass, Link, Offers, RawSocket
from tests.net.splice_rig import close_pairs, tcp_pair


class Rig:
    """A feed into the other end of a pair's connection, with nobody who moves octets."""

    def __init__(self) -> None:
        self._raw: list[RawSocket] = []
        client, _ = tcp_pair()
        self.service, relays_end = tcp_pair()
        camera, _ = tcp_pair()
        self.pair = self.link(client, relays_end, two_way=True)
        self.feed = self.link(camera, self.service)

    def link(self, a: socket.socket, b: socket.socket, *, two_way: bool = False) -> Link:
        raw = [RawSocket(fileno=sock.dup().detach()) for sock in (a, b)]
        self._raw += raw
        return Link(len(self._raw), raw[0], raw[1], two_way, 0.0)

    def close(self) -> None:
        for sock in self._raw:
            sock.close()
        close_pairs()


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.close()


def test_a_connection_is_drained_when_all_was_read_and_both_ends_are_open(rig: Rig) -> None:
    pair, service = rig.pair, rig.service
    offers = Offers()
    offers.add(pair)
    bypass = offers.match(rig.feed)
    assert bypass is not None
    assert bypass.drained()
    service.sendall(b"one")
    assert not bypass.drained()
    assert pair.b.sock.recv(2) == b"on"
    assert not bypass.drained()
    assert pair.b.sock.recv(2) == b"e"
    assert bypass.drained()  # without waiting 40 ms for the acknowledgement
    pair.b.left = 1
    assert not bypass.drained()
    pair.b.left = 0
    pair.b.sock.shutdown(socket.SHUT_WR)
    assert not bypass.drained()


def test_octets_that_are_still_on_their_way_count(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    bypass = Bypass(rig.feed, rig.pair)
    counts = {termios.TIOCOUTQ: 1, termios.FIONREAD: 0}
    monkeypatch.setattr(splice_link, "_count", lambda _half, what: counts[what])
    assert not bypass.drained()
    counts[termios.TIOCOUTQ] = 0
    assert bypass.drained()


def test_a_pair_has_one_bypass_at_a_time(rig: Rig) -> None:
    offers = Offers()
    offers.add(rig.pair)
    first = offers.match(rig.feed)
    assert first is not None
    second = rig.link(tcp_pair()[0], rig.service)
    assert offers.match(second) is None
    first.end(0.0)
    assert offers.match(second) is not None


def test_equal_ports_do_not_make_one_connection(rig: Rig) -> None:
    offers = Offers()
    offers.add(rig.pair)
    port = rig.pair.b.sock.getpeername()[1]
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(
            listening.getsockname(), source_address=("127.0.0.2", port)
        ) as look_alike,
    ):
        assert offers.match(rig.link(tcp_pair()[0], look_alike)) is None
    offers.remove(rig.pair)
    assert offers.match(rig.feed) is None


def test_a_connection_that_is_gone_is_no_connection(rig: Rig) -> None:
    offers = Offers()
    offers.add(rig.pair)
    rig.pair.b.sock.shutdown(socket.SHUT_RDWR)
    rig.service.shutdown(socket.SHUT_RDWR)
    assert offers.match(rig.feed) is None


def test_pairs_that_lead_to_other_machines_are_not_remembered(rig: Rig) -> None:
    # From one address of this machine to another looks as from one machine to another.
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(
            listening.getsockname(), source_address=("127.0.0.2", 0)
        ) as abroad,
    ):
        offers = Offers()
        offers.add(rig.link(tcp_pair()[0], abroad, two_way=True))
        assert not offers._pairs
