"""Receive windows that follow the rate: what is under way to a stalled client stays young.

All that a client did not take when it stalled is old when it looks again, so live video gets a
small window. The same window starves what is fast, a recording or a way with a long round trip:
reads become small, and splicing never begins. So a source that keeps moving fast gets a larger
window, at any step less than a second of its own rate, and loses it when it slows down.
"""

from __future__ import annotations

import math
import socket

from gateway.net.splice_link import Half

LOOK_SECONDS = 0.5
"""Rates are taken over this time: what a client catches up with after a pause is no rate."""


class Step:  # no dataclass: its imports would be a tenth of the relay process
    """A window for sources above `up` octets/s, until below `down`.

    `octets` is SO_RCVBUF, of which the kernel grants twice as much, as far as net.core.rmem_max
    allows. With `free` the kernel may enlarge it further by itself (net.ipv4.tcp_rmem).
    """

    __slots__ = ("down", "free", "octets", "up")

    def __init__(self, up: float, down: float, octets: int, free: bool = False) -> None:
        self.up = up
        self.down = down
        self.octets = octets
        self.free = free


STEPS = (
    Step(1e6, 0.75e6, 208 * 1024),
    Step(2.5e6, 1.5e6, 512 * 1024),
    Step(5e6, 3e6, 1024 * 1024),
    Step(16e6, 10e6, 4 * 1024 * 1024, free=True),
)
"""A camera's main stream is 0.5e6. What stays behind is twice the octets, and 0.2e6 more."""

_SO_BUF_LOCK = 72  # since Linux 5.14; 0: the kernel sizes the buffer by itself again


class _Pace:
    __slots__ = ("octets", "since", "step")

    def __init__(self, octets: int, since: float) -> None:
        self.octets = octets
        self.since = since
        self.step = 0  # 0: the window that the link asks for, else STEPS[step - 1]


class Windows:
    """The sources that move fast at present; `at` is when to call `look` next."""

    def __init__(self) -> None:
        self._paces: dict[Half, _Pace] = {}
        self.at = math.inf

    def note(self, half: Half, now: float) -> None:
        """Take note of a large read; only windows that the link bounds are ever changed."""
        link = half.link
        if not link.receive or half is not link.bounded or half in self._paces:
            return
        self._paces[half] = _Pace(half.octets, now)
        self.at = min(self.at, now + LOOK_SECONDS)

    def forget(self, half: Half) -> None:
        """Forget a half that ends."""
        self._paces.pop(half, None)

    def look(self, now: float) -> None:
        """Fit the windows to what moved since the last look."""
        for half, pace in list(self._paces.items()):
            seconds = now - pace.since
            if seconds < LOOK_SECONDS / 2:
                continue
            rate = (half.octets - pace.octets) / seconds
            pace.octets, pace.since = half.octets, now
            step = fitting(rate, pace.step)
            if step != pace.step:
                pace.step = step
                _open(half, step)
            if not step:
                del self._paces[half]
        self.at = now + LOOK_SECONDS if self._paces else math.inf


def fitting(rate: float, step: int) -> int:
    """Return the step for a rate in octets/s when `step` is in force: 0 up to len(STEPS)."""
    best = 0
    for number, each in enumerate(STEPS, 1):
        if rate >= (each.down if number <= step else each.up):
            best = number
    return best


def _open(half: Half, step: int) -> None:
    octets = max(half.link.receive, STEPS[step - 1].octets) if step else half.link.receive
    try:
        half.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, octets)
        if step and STEPS[step - 1].free:
            half.sock.setsockopt(socket.SOL_SOCKET, _SO_BUF_LOCK, 0)
    except OSError:
        pass  # an older kernel, or a socket that has just failed: its next read tells
