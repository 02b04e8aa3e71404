"""The pipes through which the relay process splices: few, large, shared by all pairs.

Pipe pages are counted for a user over all its processes (fs.pipe-user-pages-soft: 16,384 pages);
beyond that a pipe is 8 KiB and cannot be enlarged. So a pipe is taken for one turn, and only a
direction that has to wait for its destination keeps one.
"""

from __future__ import annotations

import fcntl
import os

# 32 slots. On 1,448-octet segments half of it loses against copying, and twice as much moves a
# tenth less (measured by bench/relay.py, `small`).
PIPE_SIZE = 128 * 1024
PIPE_COUNT = 64  # an eighth of an unprivileged user's pipe pages

Pipe = tuple[int, int]
"""Reading and writing descriptor, both non-blocking."""


class PipePool:
    """Lends empty pipes of full size, or None when there is none to be had."""

    def __init__(self) -> None:
        self._free: list[Pipe] = []
        self._made = 0
        self._limit = PIPE_COUNT

    def take(self) -> Pipe | None:
        """Lend an empty pipe; the taker gives it back or discards it."""
        if self._free:
            return self._free.pop()
        if self._made >= self._limit:
            return None
        try:
            pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        self._made += 1
        try:
            size = fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, PIPE_SIZE)
        except OSError:
            size = 0
        if size < PIPE_SIZE:
            self.discard(pipe)
            self._limit = self._made
            return None
        return pipe

    def give_back(self, pipe: Pipe) -> None:
        """Take back a pipe that is empty. What lay in it would reach another connection."""
        self._free.append(pipe)

    def discard(self, pipe: Pipe) -> None:
        """Close a pipe that may hold octets."""
        os.close(pipe[0])
        os.close(pipe[1])
        self._made -= 1

    def hope(self) -> None:
        """Try again for the full number: pipe pages may have become free."""
        self._limit = PIPE_COUNT
