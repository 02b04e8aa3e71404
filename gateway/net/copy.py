"""Joins two sockets inside this process, for programs that have no relay process.

Octets wait in one bounded buffer a direction, so a slow side slows the other; half-close passes
through, and a side that breaks resets the other (02 section 8.3).
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass

from gateway.base.errors import HostError
from gateway.net import sockets
from gateway.net.tasks import TaskRoom

CHUNK = 256 * 1024
"""Octets read at once, and all that one direction ever holds."""


@dataclass(frozen=True, slots=True)
class CopyEnd:
    """How many octets went from `a` to `b` and back, and whether both ends closed in order."""

    octets_forward: int
    octets_back: int
    orderly: bool


class _Way:
    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self._source, self._sink = source, sink
        self.octets = 0

    async def run(self) -> bool:
        try:
            while data := await sockets.receive(self._source, CHUNK):
                await sockets.send_all(self._sink, data)
                self.octets += len(data)
        except HostError:
            return False
        sockets.close_write(self._sink)
        return True


async def copy_both(a: socket.socket, b: socket.socket, room: TaskRoom) -> CopyEnd:
    """Carry octets both ways until both sides ended or one broke; both sockets are closed then."""
    forward, back = _Way(a, b), _Way(b, a)
    ways = {
        room.start(forward.run(), name="copy forward"),
        room.start(back.run(), name="copy back"),
    }
    orderly = False
    try:
        done, waiting = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        while waiting and all(way.result() for way in done):
            done, waiting = await asyncio.wait(ways, return_when=asyncio.ALL_COMPLETED)
        orderly = not waiting and all(way.result() for way in ways)
    finally:
        try:
            await _let_go(ways)
        finally:
            for sock in (a, b):
                if orderly:
                    sock.close()
                else:
                    sockets.reset(sock)
    return CopyEnd(forward.octets, back.octets, orderly)


async def _let_go(ways: set[asyncio.Task[bool]]) -> None:
    """End both ways: the loop must have let go of both sockets before they are closed.

    Who is cancelled meanwhile still sees it to its end, which is the loop's next turn.
    """
    cancelled: asyncio.CancelledError | None = None
    for way in ways:
        way.cancel()
    while not all(way.done() for way in ways):
        try:
            await asyncio.wait(ways)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
