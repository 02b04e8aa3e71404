"""The pump over real sockets, with a machine that counts lines."""

from __future__ import annotations

import asyncio
import socket

import pytest

from gateway.base.clock import SystemClock
from gateway.base.errors import GatewayError, ProtocolViolation
from gateway.net import stream
from gateway.net.listener import adopt
from gateway.net.loops import loop_factory
from gateway.net.stream import Pump
from gateway.protocol.machine import Conversation


class Lines(Conversation[str]):
    """Echoes lines; 'bye' ends it, 'bad' is a violation, 'later' answers after 50 ms."""

    def __init__(self) -> None:
        super().__init__()
        self._held = b""
        self._due: float | None = None

    def start(self, now: float) -> None:
        self._send(b"hello\n")

    def _receive(self, data: bytes, now: float) -> None:
        self._held += data
        while b"\n" in self._held:
            line, self._held = self._held.split(b"\n", 1)
            self._emit(line.decode())
            if line == b"bad":
                raise ProtocolViolation("a bad line")
            if line == b"later":
                self._due = now + 0.05
                continue
            self._send(line + b"\n")
            if line == b"bye":
                self._finish(True)

    def tick(self, now: float) -> None:
        assert self._due is not None
        assert now >= self._due
        self._due = None
        self._send(b"ticked\n")

    @property
    def deadline(self) -> float | None:
        return self._due


class Ends:
    def __init__(self) -> None:
        self.events: list[str] = []
        self.closed: asyncio.Future[GatewayError | None] = (
            asyncio.get_running_loop().create_future()
        )

    async def open(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        ours.setblocking(False)
        self.pump: Pump[str] = Pump(
            Lines(),
            SystemClock(),
            lambda _pump, event: self.events.append(event),
            lambda _pump, reason: self.closed.set_result(reason),
        )
        await adopt(ours, self.pump)
        return theirs


async def _read(sock: socket.socket) -> bytes:
    return await asyncio.get_running_loop().sock_recv(sock, 65536)


async def test_octets_in_events_out_and_everything_of_one_read_in_one_write() -> None:
    ends = Ends()
    peer = await ends.open()
    assert await _read(peer) == b"hello\n"
    peer.send(b"one\ntwo\nthr")
    assert await _read(peer) == b"one\ntwo\n"
    peer.send(b"ee\nbye\nafter\n")
    assert await _read(peer) == b"three\nbye\nafter\n"
    assert await ends.closed is None
    assert ends.events == ["one", "two", "three", "bye", "after"]
    assert not ends.pump.open
    peer.close()


async def test_a_violation_is_the_reason_of_the_end() -> None:
    ends = Ends()
    peer = await ends.open()
    await _read(peer)
    peer.send(b"bad\n")
    assert await _read(peer) == b""
    assert isinstance(await ends.closed, ProtocolViolation)
    peer.close()


async def test_the_deadline_of_the_machine_is_kept() -> None:
    ends = Ends()
    peer = await ends.open()
    await _read(peer)
    peer.send(b"later\n")
    assert await _read(peer) == b"ticked\n"
    peer.close()
    assert await ends.closed is None


async def test_a_peer_that_does_not_read_is_cut_off(monkeypatch: object) -> None:
    ends = Ends()
    peer = await ends.open()
    limit, stream.WRITE_LIMIT = stream.WRITE_LIMIT, 100_000
    try:
        line = b"x" * 50_000 + b"\n"
        while ends.pump.open:
            await asyncio.get_running_loop().sock_sendall(peer, line)
            await asyncio.sleep(0)
    except OSError:
        pass
    finally:
        stream.WRITE_LIMIT = limit
    await ends.closed
    peer.close()


@pytest.mark.parametrize("choice", ["asyncio", "uvloop"])
def test_a_flood_takes_turns_with_others_and_arrives_in_order(choice: str) -> None:
    count = 60_000  # about 400 kB

    async def flood() -> int:
        ends = Ends()
        peer = await ends.open()
        loop = asyncio.get_running_loop()
        sending = asyncio.create_task(
            loop.sock_sendall(peer, b"".join(b"%d\n" % number for number in range(count)))
        )
        most = before = echoed = 0

        async def read() -> None:
            nonlocal echoed
            while echoed < count + 1:
                echoed += (await _read(peer)).count(b"\n")

        reading = asyncio.create_task(read())
        while not reading.done():
            await asyncio.sleep(0)
            most, before = max(most, len(ends.events) - before), len(ends.events)
        await sending
        assert ends.events == [str(number) for number in range(count)]
        peer.send(b"bye\n")
        assert await ends.closed is None
        peer.close()
        return most

    with asyncio.Runner(loop_factory=loop_factory(choice)) as runner:
        assert runner.run(flood()) <= stream.TURN


async def test_what_comes_after_the_end_of_a_flood_is_not_looked_at() -> None:
    ends = Ends()
    peer = await ends.open()
    await _read(peer)
    await asyncio.get_running_loop().sock_sendall(peer, b"x\n" * 3 + b"bad\n" + b"y\n" * 30_000)
    assert isinstance(await ends.closed, ProtocolViolation)
    assert "y" not in ends.events
    peer.close()
