"""What waits for peers that do not read: counted, bounded, and not at the cost of who reads."""

from __future__ import annotations

import asyncio
import collections
import logging
import socket

import pytest

from gateway.base.clock import SystemClock
from gateway.base.errors import GatewayError
from gateway.net import stream, unsent
from gateway.net.listener import adopt
from gateway.net.loops import loop_factory
from gateway.net.stream import BREATH, TURN, Pump
from gateway.net.unsent import COMPLAINT_PERIOD, COUNTED, PATIENCE, STUCK, Unsent, Waiting
from gateway.protocol.machine import Conversation

LOOPS = pytest.mark.parametrize("choice", ["asyncio", "uvloop"])


class Echo(Conversation[bytes]):
    """Says every octet three times; b'!' ends it."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = 0

    def _receive(self, data: bytes, now: float) -> None:
        self.taken += len(data)
        self._send(data * 3)
        if data.endswith(b"!"):
            self._finish(True)


class End:
    """A pump with an echo, and the socket of its peer."""

    @classmethod
    async def open(cls, room: Unsent | None) -> End:
        end = cls()
        ours, end.peer = socket.socketpair()
        for sock in (ours, end.peer):
            sock.setblocking(False)
            for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                sock.setsockopt(socket.SOL_SOCKET, buffer, 16_384)
        end.closed = asyncio.get_running_loop().create_future()
        end.machine = Echo()
        end.pump = Pump(
            end.machine,
            SystemClock(),
            lambda _pump, _event: None,
            lambda _pump, reason: end.closed.set_result(reason),
            room,
        )
        await adopt(ours, end.pump)
        return end

    peer: socket.socket
    closed: asyncio.Future[GatewayError | None]
    machine: Echo
    pump: Pump[bytes]

    async def say(self, octets: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.peer, octets)

    async def hear(self, count: int) -> bytes:
        loop, found = asyncio.get_running_loop(), bytearray()
        while len(found) < count:
            octets = await loop.sock_recv(self.peer, 65_536)
            assert octets, f"closed after {len(found)} octets"
            found += octets
        return bytes(found)


def run(choice: str, body: object) -> None:
    async def bounded() -> None:
        try:
            async with asyncio.timeout(20):
                await body()  # type: ignore[operator]
        finally:  # a test that fails must not hang at the end of the loop
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    with asyncio.Runner(loop_factory=loop_factory(choice)) as runner:
        runner.run(bounded())


async def until_silent(end: End) -> None:
    """Wait until the pump takes nothing more for a quarter of a second."""
    before = -1
    while end.machine.taken != before:
        before = end.machine.taken
        await asyncio.sleep(0.25)


@LOOPS
def test_who_does_not_read_is_not_read_and_gets_everything_later(
    choice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "BREATH", 60.0)

    async def body() -> None:
        room = Unsent()
        end = await End.open(room)
        whole = bytes(range(256)) * 8_192  # 2 MiB, said three times
        saying = asyncio.create_task(end.say(whole))
        await until_silent(end)
        assert not saying.done()
        assert PATIENCE < end.pump.unsent <= PATIENCE + 3 * TURN
        assert end.pump.unsent <= room.octets <= end.pump.unsent + 262_144  # and one read of it
        assert end.pump.open
        heard = await end.hear(3 * len(whole))
        await saying
        counted = collections.Counter(heard)
        assert all(counted[value] == 3 * 8_192 for value in range(256))
        assert end.machine.taken == len(whole)
        assert room.octets == 0
        await end.say(b"!")
        assert await end.closed is None
        assert (await end.hear(3)) == b"!!!"
        end.peer.close()

    run(choice, body)


@LOOPS
def test_who_writes_before_it_reads_comes_through(
    choice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read on in slow motion, or both ends would wait for each other for ever."""
    monkeypatch.setattr(stream, "BREATH", 0.005)

    async def body() -> None:
        end = await End.open(Unsent())
        count = PATIENCE  # three times that waits at its end
        await end.say(bytes(count))
        await end.hear(3 * count)
        end.peer.close()
        await end.closed

    run(choice, body)


@LOOPS
def test_slow_motion_has_a_rate(choice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "BREATH", 0.05)

    async def body() -> None:
        end = await End.open(Unsent())
        saying = asyncio.create_task(end.say(bytes(4 * PATIENCE)))
        while end.pump.unsent <= PATIENCE:
            await asyncio.sleep(0.001)
        loop = asyncio.get_running_loop()
        began, before = loop.time(), end.machine.taken
        while end.machine.taken < before + 4 * TURN:  # pings would be among them
            await asyncio.sleep(0.001)
        assert loop.time() - began >= 3 * 0.05 * 0.9
        saying.cancel()
        await asyncio.gather(saying, return_exceptions=True)
        end.peer.close()
        await end.closed

    run(choice, body)


@LOOPS
def test_the_end_waits_for_nobody_for_long(choice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that is closed goes out to who reads, and is cut for who does not."""
    monkeypatch.setattr(stream, "LINGER", 0.3)

    async def body() -> None:
        room = Unsent()
        deaf, reads = await End.open(room), await End.open(room)
        octets = bytes(TURN - 1) + b"!"
        for end in (deaf, reads):
            await end.say(bytes(TURN) * 8 + octets)
            while not end.machine.finished:
                await asyncio.sleep(0.001)
        assert deaf.pump.unsent
        assert not deaf.pump.open
        assert len(await reads.hear(27 * TURN)) == 27 * TURN
        assert await reads.closed is None
        assert not deaf.closed.done()
        await deaf.closed
        assert room.octets == 0
        for end in (deaf, reads):
            end.peer.close()

    run(choice, body)


@LOOPS
def test_too_much_in_all_costs_those_that_do_not_read(choice: str) -> None:
    async def body() -> None:
        room = Unsent(4 * PATIENCE)
        reader = await End.open(room)
        deaf = [await End.open(room) for _ in range(8)]
        saying = [asyncio.create_task(end.say(bytes(4 * PATIENCE))) for end in deaf]
        while room.cut_off < 3:
            assert room.octets <= 4 * PATIENCE
            await reader.say(b"x" * 10_000)
            assert await reader.hear(30_000) == b"x" * 30_000
        assert reader.pump.open
        assert sum(end.pump.unsent for end in deaf if end.pump.open) <= 4 * PATIENCE
        for task in saying:
            task.cancel()
        await asyncio.gather(*saying, return_exceptions=True)
        for end in (*deaf, reader):
            end.peer.close()
            await end.closed
        assert room.octets == 0

    run(choice, body)


async def test_an_end_without_a_room_reads_on() -> None:
    """Endpoints: were both ends to stop, each would wait for the other."""
    end = await End.open(None)
    saying = asyncio.create_task(end.say(bytes(PATIENCE)))
    await asyncio.wait_for(saying, 10)
    while end.machine.taken < PATIENCE:
        await asyncio.sleep(0.001)
    assert end.pump.unsent > 2 * PATIENCE
    end.peer.close()
    await end.closed


# -- who goes first ----------------------------------------------------------------------------


class Crowd:
    """Connections of numbers; a real room judges them."""

    def __init__(self, limit: int) -> None:
        self.room = Unsent(limit)
        self.cut: list[str] = []
        self.sizes: dict[str, int] = {}
        self.there: dict[str, Waiting] = {}

    def come(self, name: str, address: str, octets: int, now: float = 0.0) -> None:
        self.sizes[name] = octets
        self.there[name] = self.room.enter(
            address, lambda: self.sizes[name], lambda: self.cut.append(name), now
        )
        self.room.note(self.there[name], octets, now, octets)

    def grow(self, name: str, octets: int, now: float) -> None:
        self.sizes[name] += octets
        self.room.note(self.there[name], self.sizes[name], now, octets)


def test_the_address_with_most_loses_its_largest_first() -> None:
    crowd = Crowd(800)
    crowd.come("slow", "192.0.2.1", 300)
    for number in range(5):
        crowd.come(f"flood {number}", "192.0.2.66", 100 + number)
    assert crowd.cut == ["flood 4", "flood 3"]
    assert crowd.room.octets == 810 - 104 - 103
    crowd.grow("flood 0", 200, 1.0)
    assert crowd.cut == ["flood 4", "flood 3", "flood 0"]


def test_a_host_is_one_address_whatever_it_calls_itself() -> None:
    crowd = Crowd(800)
    crowd.come("slow", "2001:db8:1::1", 350)
    for number in range(5):
        crowd.come(f"flood {number}", f"2001:db8:2::{number}", 100)
    assert len(crowd.cut) == 2
    assert "slow" not in crowd.cut


def test_who_takes_nothing_goes_before_who_is_slow() -> None:
    crowd = Crowd(1000)
    crowd.come("slow", "192.0.2.1", 500)
    for number in range(3):
        crowd.come(f"deaf {number}", f"192.0.2.{66 + number}", 150)
    crowd.sizes["slow"] -= 1  # it took something meanwhile
    crowd.grow("deaf 0", 60, STUCK)
    assert crowd.cut == ["deaf 0"]
    crowd.grow("slow", 250, STUCK + 1)
    assert set(crowd.cut) == {"deaf 0", "deaf 1", "deaf 2"}


def test_what_was_taken_meanwhile_counts_before_anybody_is_cut() -> None:
    crowd = Crowd(1000)
    crowd.come("one", "192.0.2.1", 900)
    crowd.sizes["one"] = 10
    crowd.come("two", "192.0.2.2", 200)
    assert crowd.cut == []
    assert crowd.room.octets == 210
    crowd.room.leave(crowd.there["one"])
    crowd.room.leave(crowd.there["one"])
    assert crowd.room.octets == 200


def test_the_log_has_a_line_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, unsent.__name__)
    crowd = Crowd(100)
    for number in range(500):
        crowd.come(f"deaf {number}", "192.0.2.66", 101, now=number / 500)
    assert len(crowd.cut) == 500
    assert len(caplog.messages) == 1
    crowd.come("late", "192.0.2.66", 101, now=COMPLAINT_PERIOD + 1)
    assert "499 more" in caplog.messages[1]
    assert crowd.room.cut_off == 501


def test_the_numbers_fit_each_other() -> None:
    assert COUNTED < PATIENCE < stream.WRITE_LIMIT < unsent.TOTAL
    assert 0 < BREATH < stream.LINGER
