"""What a caller of the data path sees of one pair: its limits, its handle and its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from gateway.base.errors import Conflict
from gateway.net.splice_messages import SHUT, Command
from gateway.net.splice_messages import Reason as EndReason


@dataclass(frozen=True, slots=True)
class PairLimits:
    """Limits and socket options of one pair; 0 switches the one off."""

    idle: float = 720.0
    """Seconds without an octet in either direction (02 section 8.3: 720 or more)."""
    stall: float = 120.0
    """Seconds in which a destination takes nothing of what waits for it."""
    unsent: int = 64 * 1024
    """TCP_NOTSENT_LOWAT of both sockets, of a feed the destination: bounds stale video."""
    receive: int = 0
    """SO_RCVBUF of `b`, of a feed the source: bounds the window, so only for short round trips.
    The kernel grants twice as much, and what is spliced at once can be all of it: 104 KiB and
    64 KiB unsent are a second at 4 Mbit/s. A source that stays faster gets more (`splice_window`),
    so it must not be set before connecting: that bounds the window for good."""


@dataclass(frozen=True, slots=True)
class PairEnd:
    """How a pair ended: octets delivered from `a` to `b` and back, and its age."""

    octets_forward: int
    octets_back: int
    reason: EndReason
    seconds: float


class Pair:
    """Two sockets in the relay process; alive until `over`.

    Thousands of them wait side by side, so what only some callers want is made when it is asked
    for; `note` is the caller's own.
    """

    __slots__ = (
        "_command", "_end", "_ended", "_tell", "note", "number", "octets_back", "octets_forward",
        "one_way", "sent",
    )  # fmt: skip

    def __init__(
        self,
        number: int,
        one_way: bool,
        command: Callable[[int, Command, int], None],
        tell: Tell | None,
        note: object,
    ) -> None:
        self._command = command
        self._tell = tell
        self._end: PairEnd | None = None
        self._ended: asyncio.Future[PairEnd] | None = None
        self.note = note
        self.sent = False
        """Whether the relay process has seen it."""
        self.number = number
        self.one_way = one_way
        self.octets_forward = 0
        """As of the last `DataPath.measure()`."""
        self.octets_back = 0

    @property
    def over(self) -> bool:
        """Tell whether it has ended."""
        return self._end is not None

    @property
    def ended(self) -> asyncio.Future[PairEnd]:
        """Return the future of its end; cancel it not: see `wait`."""
        if self._ended is None:
            self._ended = asyncio.get_running_loop().create_future()
            if self._end is not None:
                self._ended.set_result(self._end)
        return self._ended

    def finish(self, end: PairEnd) -> None:
        """Note how it ended (the data path); only the first end counts."""
        if self._end is not None:
            return
        self._end = end
        self.octets_forward, self.octets_back = end.octets_forward, end.octets_back
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(end)
        if self._tell is not None:
            # Never within the call that began the pair.
            asyncio.get_running_loop().call_soon(self._tell, self, end)

    async def wait(self) -> PairEnd:
        """Wait for the end; unlike awaiting `ended` itself, cancelling this harms nobody."""
        return await asyncio.shield(self.ended)

    def kill(self, *, shut: bool = False) -> None:
        """Cut the pair now, with RST; of a feed the caller's sockets are only shut if `shut`."""
        if not self.over:
            self._command(self.number, Command.KILL, SHUT if shut else 0)

    async def reclaim(self) -> PairEnd:
        """Stop a feed reading, wait until what it took is delivered, and give control back.

        Afterwards the next octet that the caller reads from the source is the one that follows
        the last one delivered. Should the feed have ended otherwise meanwhile, that is returned.
        """
        self.call_back()
        return await self.wait()

    def call_back(self) -> None:
        """Begin what `reclaim` does without waiting; the end is told as every other."""
        if not self.one_way:
            raise Conflict("Only a one-way pair can be reclaimed.")
        if not self.over:
            self._command(self.number, Command.RECLAIM, 0)


Tell = Callable[[Pair, PairEnd], None]
"""Called once with a pair and its end."""
