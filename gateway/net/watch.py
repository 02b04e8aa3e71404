"""Sockets that mostly say nothing: thousands of them behind one epoll of ours.

The event loop sees one readable descriptor, the epoll's own. A watched socket costs nine octets
here and one system call, where a reader of the loop takes some hundred octets and a callback.

What is reported is a hint: the watcher reads or writes and may find nothing to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
import socket
import struct
from typing import Protocol

from gateway.base.errors import HostError

_log = logging.getLogger(__name__)

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
_ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: close sends a reset
EVENTS_MAX = 64
"""Sockets served before other callbacks of the event loop get their turn."""


class Watcher(Protocol):
    """Who is told of a socket."""

    def ready(self, descriptor: int) -> None:
        """Something may be read or written now; must not raise."""


class SocketWatch:
    """Who waits for which descriptor. Descriptors stay their owners'; level-triggered.

    An owner wants nothing any more (0) *before* a descriptor is closed: epoll knows the socket, and
    another process may hold the same one.
    """

    def __init__(self) -> None:
        self._poll: select.epoll | None = None
        self._watchers: list[Watcher | None] = []  # by descriptor: a third of a dictionary
        self._masks = bytearray()

    def want(self, descriptor: int, mask: int, watcher: Watcher) -> None:
        """Tell `watcher` when what `mask` names is possible; 0 ends it. Raises HostError.

        An end or a reset is told with any mask but 0.
        """
        if descriptor >= len(self._masks):
            more = descriptor + 1 - len(self._masks)
            self._masks += bytes(more)
            self._watchers += (None,) * more
        before = self._masks[descriptor]
        if mask:
            self._watchers[descriptor] = watcher
        if mask == before:
            return
        self._masks[descriptor] = mask
        try:
            if not mask:
                self._watchers[descriptor] = None
                if self._poll is not None:
                    self._poll.unregister(descriptor)
            elif before:
                self._opened().modify(descriptor, mask)
            else:
                self._opened().register(descriptor, mask)
        except OSError as error:
            self._masks[descriptor] = 0
            self._watchers[descriptor] = None
            if mask:
                raise HostError(f"A connection cannot be watched: {error.strerror}.") from error

    def close(self) -> None:
        """Tell nobody anything any more."""
        poll, self._poll = self._poll, None
        self._watchers.clear()
        self._masks.clear()
        if poll is not None:
            asyncio.get_running_loop().remove_reader(poll.fileno())
            poll.close()

    def _opened(self) -> select.epoll:
        if self._poll is None:
            self._poll = select.epoll()
            asyncio.get_running_loop().add_reader(self._poll.fileno(), self._serve)
        return self._poll

    def _serve(self) -> None:
        if self._poll is None:
            return
        for descriptor, _ in self._poll.poll(0, EVENTS_MAX):
            # An earlier one of the batch may have ended this one, or put another in its place.
            if descriptor < len(self._watchers):
                watcher = self._watchers[descriptor]
                if watcher is not None:
                    try:
                        watcher.ready(descriptor)
                    except Exception:
                        # Level-triggered: it would fail for ever, and those behind it never come.
                        _log.exception("a watched socket is given up")
                        self.want(descriptor, 0, watcher)


def take(descriptor: int, maximum: int) -> bytes | None:
    """Return what is there, b"" at the end, None for nothing yet. Raises HostError."""
    try:
        return os.read(descriptor, maximum)
    except BlockingIOError:
        return None
    except OSError as error:
        raise HostError(f"The connection broke: {error.strerror}.") from error


def give(descriptor: int, data: bytes | bytearray) -> int:
    """Send what fits now and return how much that was. Raises HostError."""
    try:
        return os.write(descriptor, data)
    except BlockingIOError:
        return 0
    except OSError as error:
        raise HostError(f"The connection broke: {error.strerror}.") from error


def shut(descriptor: int) -> None:
    """End both directions of a socket that another process may have as well."""
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as sock:
        sock.shutdown(socket.SHUT_RDWR)


def let_go(descriptor: int, *, reset: bool) -> None:
    """Close a socket known by its descriptor: with a reset, or after the end of its direction."""
    sock = socket.SocketType(fileno=descriptor)  # the plain C object: no more is needed
    with contextlib.suppress(OSError):
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        else:
            sock.shutdown(socket.SHUT_WR)
    sock.close()
