"""The pump: the one loop that joins a machine to a byte stream.

Read, feed, hand events on, write what is outgoing in one piece, arm one timer.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Generic, TypeVar, cast

from gateway.base.clock import Clock
from gateway.base.errors import GatewayError, HostError
from gateway.net.unsent import COUNTED, PATIENCE, Unsent, Waiting
from gateway.protocol.machine import Machine

_log = logging.getLogger(__name__)

E = TypeVar("E")

WRITE_LIMIT = 8 * 1024 * 1024
"""Octets waiting for a peer that does not read, two frames at most; beyond it is cut off."""
TURN = 8 * 1024
"""Octets of one peer that are looked at before others have their turn: of the smallest frames that
is some ten milliseconds, and loops hand over megabytes at once."""
BREATH = 1.0
"""Seconds between two turns of a peer that has too much unread. It is not left out altogether: its
pings must count (01 section 11.2), and one that writes before it reads must get out of it."""
LINGER = 20.0
"""Seconds in which the last octets may still go out; the end of a peer that does not read."""


class Pump(asyncio.Protocol, Generic[E]):
    """One machine on one stream.

    `handle(pump, event)` is called for each event, in order, on the loop; it may command the
    machine through `command` and must not block. `closed(pump, reason)` is called exactly once;
    the reason is None after an orderly end. When the machine is finished, what is outgoing is still
    written and the stream is closed.

    With `unsent`, what waits for a peer that does not read is counted there, and beyond `patience`
    octets the peer is read from in slow motion until it has taken some. Only the one end of a
    stream may do so: two that wait for each other would wait for ever.
    """

    patience = PATIENCE

    def __init__(
        self,
        machine: Machine[E],
        clock: Clock,
        handle: Callable[[Pump[E], E], None],
        closed: Callable[[Pump[E], GatewayError | None], None],
        unsent: Unsent | None = None,
    ) -> None:
        self.machine = machine
        self._clock = clock
        self._handle = handle
        self._closed = closed
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._unsent = unsent
        self._waiting: Waiting | None = None
        self._breath: asyncio.TimerHandle | None = None
        self._rest = b""
        self._busy = False
        self._over = False

    @property
    def peer(self) -> tuple[str, int]:
        """Return the address and port of the other end, ('', 0) when unknown."""
        return self._address("peername")

    @property
    def local(self) -> tuple[str, int]:
        """Return our address and port of this stream, ('', 0) when unknown."""
        return self._address("sockname")

    def _address(self, key: str) -> tuple[str, int]:
        found = self._transport.get_extra_info(key) if self._transport else None
        return (found[0], found[1]) if isinstance(found, tuple) and len(found) >= 2 else ("", 0)

    @property
    def open(self) -> bool:
        """Tell whether the stream is still there."""
        return self._transport is not None and not self._over

    @property
    def unsent(self) -> int:
        """Return how many octets wait for the peer here; what the system has is not counted."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the stream (asyncio)."""
        self._transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self._unsent is not None:
            self._transport.set_write_buffer_limits(high=COUNTED)
        self.command(self.machine.start)

    def data_received(self, data: bytes) -> None:
        """Feed the machine (asyncio)."""
        if self._over:
            return
        if self._transport is not None and (len(data) > TURN or self._choked):
            self._transport.pause_reading()
            self._rest, data = data[TURN:], data[:TURN]
            if not self._choked:
                asyncio.get_running_loop().call_soon(self._next_turn)
        self.machine.feed(data, self._clock.monotonic())
        self.flush()

    def _next_turn(self) -> None:
        if not self._choked:
            self._turn()

    def _turn(self) -> None:
        """Look at what was read already, a piece of it; then at what comes."""
        if self._over or self._transport is None or self._transport.is_closing():
            return
        if self._rest:
            data, self._rest = self._rest[:TURN], self._rest[TURN:]
            if self._rest and not self._choked:
                asyncio.get_running_loop().call_soon(self._next_turn)
            self.machine.feed(data, self._clock.monotonic())
            self.flush()
            if self._rest or self._choked or self._over or self._transport is None:
                return
        if not self._transport.is_closing():
            self._transport.resume_reading()

    # -- peers that do not read ----------------------------------------------------------------

    @property
    def _choked(self) -> bool:
        return self._waiting is not None and self._waiting.choked

    def pause_writing(self) -> None:
        """Learn that the peer is behind (asyncio)."""
        if self._unsent is not None and self._waiting is None and not self._over:
            now = self._clock.monotonic()
            self._waiting = self._unsent.enter(self.peer[0], self._held, self.abort, now)

    def resume_writing(self) -> None:
        """Learn that the peer has taken nearly everything (asyncio)."""
        self._not_waiting()

    def _held(self) -> int:
        return self.unsent + len(self._rest)

    def _weigh(self, waiting: Waiting, added: int = 0) -> None:
        """Count what waits; read less from who takes too little of it."""
        assert self._unsent is not None
        self._unsent.note(waiting, self._held(), self._clock.monotonic(), added)
        if self._over or self._transport is None or self._transport.is_closing():
            return
        if not waiting.choked and self.unsent > self.patience:
            waiting.choked = True
            self._transport.pause_reading()
            self._breath = asyncio.get_running_loop().call_later(BREATH, self._breathe)

    def _breathe(self) -> None:
        self._breath = None
        waiting = self._waiting
        if waiting is None or self._transport is None or self._over:
            return
        self._weigh(waiting)
        if self.unsent < self.patience // 2:
            self._release(waiting)
        else:
            self._breath = asyncio.get_running_loop().call_later(BREATH, self._breathe)
            self._turn()

    def _release(self, waiting: Waiting) -> None:
        if waiting.choked:
            waiting.choked = False
            asyncio.get_running_loop().call_soon(self._next_turn)

    def _not_waiting(self) -> None:
        waiting, self._waiting = self._waiting, None
        if self._breath is not None:
            self._breath.cancel()
            self._breath = None
        if waiting is not None and self._unsent is not None:
            self._unsent.leave(waiting)
            self._release(waiting)

    # -- the other callbacks of the stream -----------------------------------------------------

    def eof_received(self) -> bool:
        """Tell the machine that the peer closed its direction (asyncio)."""
        if not self._over:
            self.machine.feed(b"", self._clock.monotonic())
            self.flush()
        return not self._over

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end once (asyncio)."""
        self._end_timer()
        self._transport = None
        self._not_waiting()
        if not self._over and not self.machine.finished:
            self.machine.feed(b"", self._clock.monotonic())
            while (event := self.machine.next_event()) is not None:
                self._handle(self, event)
        self._over = True
        reason: GatewayError | None = None
        if isinstance(self.machine.finished, GatewayError):
            reason = self.machine.finished
        elif exc is not None:
            reason = HostError(f"The connection broke: {exc}.")
        self._closed(self, reason)

    def command(self, act: Callable[[float], None]) -> None:
        """Call `act(now)`, which commands the machine, then send and report what follows."""
        act(self._clock.monotonic())
        self.flush()

    def flush(self) -> None:
        """Report the machine's events, write what it wants sent, arm its timer."""
        if self._busy:
            return
        machine, transport = self.machine, self._transport
        event = machine.next_event()
        if event is not None:
            self._busy = True
            try:
                while event is not None:
                    self._handle(self, event)
                    event = machine.next_event()
            finally:
                self._busy = False
        if transport is None or self._over:
            return
        data = machine.outgoing()
        if data and not transport.is_closing():  # else connection_lost is on its way
            transport.write(data)
            if self._waiting is not None:
                self._weigh(self._waiting, len(data))
            if transport.get_write_buffer_size() > WRITE_LIMIT:
                self._cut_off()
            if self._over:
                return
        if machine.finished:
            self.close()
            return
        due = machine.deadline
        # A timer that is early is left alone: deadlines mostly move away with every frame.
        if due is not None and (self._timer is None or due < self._timer_due):
            self._arm(due)

    def _cut_off(self) -> None:
        if self._unsent is not None:
            self._unsent.complain(self.peer[0], self.unsent, self._clock.monotonic())
        else:
            _log.warning("%s does not read; cut off", self.peer[0])
        self.abort()

    def _arm(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due = due
        delay = max(0.0, due - self._clock.monotonic())
        self._timer = asyncio.get_running_loop().call_later(delay, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self._over:
            return
        due = self.machine.deadline
        if due is None:
            return
        if due > self._clock.monotonic():
            self._arm(due)
        else:
            self.command(self.machine.tick)

    def close(self) -> None:
        """Close the stream after what was written has gone out, LINGER seconds at most."""
        if self._over:
            return
        self._over = True
        if self._transport is not None:
            self._transport.close()
            if self._transport is not None and self.unsent:
                self._end_timer()
                self._timer = asyncio.get_running_loop().call_later(LINGER, self.abort)

    def abort(self) -> None:
        """Cut the stream at once."""
        self._over = True
        self._rest = b""
        self._not_waiting()
        if self._transport is not None:
            self._transport.abort()

    def _end_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
