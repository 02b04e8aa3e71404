"""The pump over real sockets, with a machine that counts lines."""

from __future__ import annotations

import asyncio
import socket

from gateway.base.clock import SystemClock
from gateway.base.errors import GatewayError, ProtocolViolation
from gateway.net import stream
from gateway.net.listener import adopt
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
