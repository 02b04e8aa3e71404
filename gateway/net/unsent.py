"""What peers have asked for and do not take: how much may wait, and who is cut off first."""

from __future__ import annotations

import collections
import logging
from collections.abc import Callable
from dataclasses import dataclass

from gateway.net.listener import source_of

_log = logging.getLogger(__name__)

COUNTED = 4 * 1024
"""Octets that wait before a connection is counted at all: 20,000 below it are 80 MiB."""
PATIENCE = 256 * 1024
"""Octets that wait before no more is read: a second of a line of 2 Mbit/s, four of the largest
events; who is that far behind has enough to do for its next questions to wait."""
TOTAL = 128 * 1024 * 1024
"""Octets that wait in all: one largest event for each of 2,000 clients, and room left on a machine
of 1 GB."""
RELIEF = 8
"""Of too much so many parts are left out, one of them goes: looking for it is rare then."""
STUCK = 10.0
"""Seconds in which whoever took nothing goes before those that are slow."""
COMPLAINT_PERIOD = 60.0
"""Seconds between two lines in the log, however many do not read."""


@dataclass(slots=True, eq=False)
class Waiting:
    """One connection that is behind; `measure` asks how much waits, `cut` ends it at once."""

    source: str
    measure: Callable[[], int]
    cut: Callable[[], None]
    moved: float
    octets: int = 0
    choked: bool = False

    def looked(self, octets: int, now: float, added: int = 0) -> None:
        """Note how much waits now, `added` of it new."""
        if octets < self.octets + added:
            self.moved = now
        self.octets = octets


class Unsent:
    """What waits for all peers of one server, `limit` octets at most.

    Beyond it the address that has most waiting loses its connections, those first that take
    nothing; who reads, and who is slow beside it, is left alone.
    """

    def __init__(self, limit: int = TOTAL) -> None:
        self._limit = limit
        self._behind: dict[Waiting, None] = {}
        self._octets = 0
        self._quiet_until = float("-inf")
        self._untold = 0
        self.cut_off = 0
        """How many connections were cut off because they did not read."""

    @property
    def octets(self) -> int:
        """Return how many octets wait at most; what was taken meanwhile may not be seen yet."""
        return self._octets

    def enter(
        self, peer: str, measure: Callable[[], int], cut: Callable[[], None], now: float
    ) -> Waiting:
        """Begin to count a connection."""
        waiting = Waiting(source_of(peer), measure, cut, now)
        self._behind[waiting] = None
        return waiting

    def leave(self, waiting: Waiting) -> None:
        """Count a connection no more: it has taken everything, or is gone."""
        if self._behind.pop(waiting, waiting) is None:
            self._octets -= waiting.octets

    def note(self, waiting: Waiting, octets: int, now: float, added: int = 0) -> None:
        """Learn how much waits for a connection; others or it may be cut off here."""
        if waiting not in self._behind:
            return
        self._octets += octets - waiting.octets
        waiting.looked(octets, now, added)
        if self._octets > self._limit:
            self._relieve(now)

    def complain(self, peer: str, octets: int, now: float) -> None:
        """Say that somebody was cut off, once in a while."""
        self.cut_off += 1
        if now < self._quiet_until:
            self._untold += 1
            return
        more = f"; so were {self._untold} more since the last such line" if self._untold else ""
        self._quiet_until, self._untold = now + COMPLAINT_PERIOD, 0
        _log.warning("%s has %d octets unread and was cut off%s", peer, octets, more)

    def _relieve(self, now: float) -> None:
        for waiting in self._behind:
            octets = waiting.measure()
            self._octets += octets - waiting.octets
            waiting.looked(octets, now)
        enough = self._limit - self._limit // RELIEF
        for waiting in self._worst_first(now):
            if self._octets <= enough:
                return
            self.leave(waiting)
            self.complain(waiting.source, waiting.octets, now)
            waiting.cut()

    def _worst_first(self, now: float) -> list[Waiting]:
        """Return all connections: those of the worst address first, of it the worst first."""
        stuck: collections.Counter[str] = collections.Counter()
        whole: collections.Counter[str] = collections.Counter()
        for one in self._behind:
            whole[one.source] += one.octets
            stuck[one.source] += one.octets * (now - one.moved >= STUCK)

        def badness(one: Waiting) -> tuple[int, int, str, bool, int]:
            source = one.source
            return stuck[source], whole[source], source, now - one.moved >= STUCK, one.octets

        return sorted(self._behind, key=badness, reverse=True)
