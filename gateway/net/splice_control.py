"""The sending side of the relay process's control socket: in order, bounded, with descriptors.

Packets wait here while the socket is full or while there is no relay process; descriptors given
to it are closed once the kernel has them or nobody will want them any more.
"""

from __future__ import annotations

import array
import asyncio
import errno
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence

QUEUE_MAX = 1024
"""Pairs that may wait to be handed over; each holds two descriptors."""
QUEUE_EASY = QUEUE_MAX // 2
"""Below this `eased` is set: callers may bring more."""
RETRY_SECONDS = 0.01
"""Wait when the kernel has too many descriptors in flight, whose end no event announces."""

_PASSING = frozenset({errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM})


class ControlQueue:
    """Packets on their way to the relay process, each belonging to a numbered pair."""

    def __init__(self, sent: Callable[[int], None]) -> None:
        self._sent = sent
        self._queue: deque[tuple[int, bytes, tuple[int, ...]]] = deque()
        self._waiting = 0  # queued packets that carry descriptors
        self._control: socket.socket | None = None
        self._watching = False
        self._retry: asyncio.TimerHandle | None = None
        self.eased = asyncio.Event()
        self.eased.set()

    @property
    def full(self) -> bool:
        """Return whether no further pair may be queued."""
        return self._waiting >= QUEUE_MAX

    def attach(self, control: socket.socket) -> None:
        """Send through this non-blocking socket from now on, beginning with what waits."""
        self._control = control
        self._drain()

    def detach(self) -> None:
        """Stop sending; what waits goes on waiting."""
        if self._control is not None:
            self._watch(self._control, False)
        self._control = None
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def submit(self, number: int, packet: bytes, descriptors: tuple[int, ...] = ()) -> None:
        """Send a packet after all earlier ones; owns the descriptors."""
        if self._queue or not self._send(number, packet, descriptors):
            self._queue.append((number, packet, descriptors))
            if descriptors:
                self._waiting += 1
                if self._waiting > QUEUE_EASY:
                    self.eased.clear()

    def discard(self, unwanted: Callable[[int], bool]) -> None:
        """Drop the waiting packets of the pairs for which `unwanted` says so."""
        kept: deque[tuple[int, bytes, tuple[int, ...]]] = deque()
        for entry in self._queue:
            if unwanted(entry[0]):
                close_all(entry[2])
                self._waiting -= bool(entry[2])
            else:
                kept.append(entry)
        self._queue = kept
        if self._waiting <= QUEUE_EASY:
            self.eased.set()

    def _send(self, number: int, packet: bytes, descriptors: tuple[int, ...]) -> bool:
        control = self._control
        if control is None:
            return False
        ancillary: Sequence[tuple[int, int, array.array[int]]] = ()
        if descriptors:
            ancillary = ((socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors)),)
        try:
            control.sendmsg((packet,), ancillary)
        except BlockingIOError:
            self._watch(control, True)
            return False
        except OSError as error:
            # Anything else means a lost process; the reading side notices it and starts another.
            if error.errno in _PASSING and self._retry is None:
                loop = asyncio.get_running_loop()
                self._retry = loop.call_later(RETRY_SECONDS, self._try_again)
            return False
        self._sent(number)
        close_all(descriptors)
        return True

    def _try_again(self) -> None:
        self._retry = None
        self._drain()

    def _drain(self) -> None:
        queue = self._queue
        while queue:
            number, packet, descriptors = queue[0]
            if not self._send(number, packet, descriptors):
                break
            queue.popleft()
            self._waiting -= bool(descriptors)
        if not queue and self._control is not None:
            self._watch(self._control, False)
        if self._waiting <= QUEUE_EASY:
            self.eased.set()

    def _watch(self, control: socket.socket, wanted: bool) -> None:
        if wanted == self._watching:
            return
        self._watching = wanted
        loop = asyncio.get_running_loop()
        if wanted:
            loop.add_writer(control.fileno(), self._drain)
        else:
            loop.remove_writer(control.fileno())


def close_all(descriptors: tuple[int, ...]) -> None:
    """Close descriptors, those that are none (-1) left out."""
    for descriptor in descriptors:
        if descriptor >= 0:
            os.close(descriptor)
