"""Silent sockets behind one epoll of ours, on both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest
import uvloop

from gateway.base.errors import HostError
from gateway.net import watch
from gateway.net.watch import EVENTS_MAX, READ, WRITE, SocketWatch, give, let_go, take


class Taking:
    """Takes what comes and notes it; forgets a socket at its end."""

    def __init__(self, sockets: SocketWatch) -> None:
        self._sockets = sockets
        self.got: dict[int, bytes] = {}
        self.over: list[int] = []
        self.calls = 0
        self.news = asyncio.Event()

    def ready(self, descriptor: int) -> None:
        self.calls += 1
        try:
            data = take(descriptor, 1024)
        except HostError:
            data = b""
        if data:
            self.got[descriptor] = self.got.get(descriptor, b"") + data
        elif data == b"":
            self._sockets.want(descriptor, 0, self)
            self.over.append(descriptor)
        self.news.set()

    async def until(self, true) -> None:
        async with asyncio.timeout(10):
            while not true():
                self.news.clear()
                await self.news.wait()


@contextlib.contextmanager
def pairs(count: int) -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    made = [socket.socketpair() for _ in range(count)]
    for each in made:
        for sock in each:
            sock.setblocking(False)
    try:
        yield made
    finally:
        for each in made:
            for sock in each:
                sock.close()


async def watched(count: int) -> None:
    sockets = SocketWatch()
    taking = Taking(sockets)
    with pairs(count) as made:
        ours = [one.fileno() for one, _ in made]
        for descriptor in ours:
            sockets.want(descriptor, READ, taking)
        for number, (_, other) in enumerate(made):
            other.send(str(number).encode())
        await taking.until(lambda: len(taking.got) == count)
        assert taking.got == {each: str(number).encode() for number, each in enumerate(ours)}
        made[0][1].close()
        await taking.until(lambda: taking.over)
        assert taking.over == ours[:1]
        # Not wanted: not told, and nothing turns meanwhile.
        sockets.want(ours[1], 0, taking)
        made[1][1].send(b"x")
        calls = taking.calls
        await asyncio.sleep(0.05)
        assert taking.calls == calls
        sockets.want(ours[1], READ | WRITE, taking)
        await taking.until(lambda: taking.got[ours[1]] == b"1x")
        sockets.want(ours[1], READ, taking)
        sockets.close()
        made[1][1].send(b"y")
        await asyncio.sleep(0.05)
        assert taking.got[ours[1]] == b"1x"
        sockets.want(ours[1], 0, taking)  # nobody minds


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_everybody_is_told_of_the_own_socket(factory):
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(watched(3 * EVENTS_MAX))


async def test_who_is_ended_by_another_of_the_batch_is_not_told():
    sockets = SocketWatch()

    class First:
        def __init__(self) -> None:
            self.told: list[int] = []
            self.event = asyncio.Event()

        def ready(self, descriptor: int) -> None:
            self.told.append(descriptor)
            for one, _ in made:
                sockets.want(one.fileno(), 0, self)
            self.event.set()

    first = First()
    with pairs(5) as made:
        for one, other in made:
            sockets.want(one.fileno(), READ, first)
            other.send(b"x")
        await asyncio.wait_for(first.event.wait(), 10)
        await asyncio.sleep(0.02)
        assert len(first.told) == 1
        sockets.close()


async def test_what_cannot_be_watched_is_said():
    sockets = SocketWatch()
    taking = Taking(sockets)
    with pytest.raises(HostError, match="watched"):
        sockets.want(9999, READ, taking)
    sockets.want(9999, 0, taking)
    sockets.close()


def test_octets_in_and_out_by_descriptor():
    with pairs(1) as ((one, other),):
        assert take(one.fileno(), 10) is None
        assert give(one.fileno(), b"hello") == 5
        assert take(other.fileno(), 10) == b"hello"
        sent = 0
        while part := give(one.fileno(), bytes(65536)):
            sent += part
        assert sent > 0
        watch.shut(other.fileno())
        with pytest.raises(HostError):
            give(one.fileno(), b"x")
        descriptor = one.detach()
        let_go(descriptor, reset=True)
        with pytest.raises(HostError):
            take(descriptor, 1)


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_who_fails_is_told_no_more_and_keeps_nobody_from_being_told(factory, caplog):
    async def run() -> None:
        sockets = SocketWatch()
        taking = Taking(sockets)

        class Failing:
            calls = 0

            def ready(self, descriptor: int) -> None:
                self.calls += 1
                raise ValueError("a bad one")

        failing = Failing()
        with pairs(EVENTS_MAX + 20) as made:
            for number, (one, other) in enumerate(made):
                sockets.want(one.fileno(), READ, taking if number % 2 else failing)
                other.send(b"x")
            half = len(made) // 2
            await taking.until(lambda: len(taking.got) == half)
            await asyncio.sleep(0.02)
            assert failing.calls == half
            sockets.close()

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(run())
    assert "given up" in caplog.text
