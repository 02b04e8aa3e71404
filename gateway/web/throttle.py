"""Limits on guessing: wrong answers are counted, and too many bring a growing hold."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.base.errors import Denied

WRONG_MAX = 5
"""Wrong answers within the window that bring a hold."""
WINDOW = 600.0
"""Seconds in which wrong answers add up."""
FIRST_HOLD = 120.0
"""Seconds of the first hold; each further wrong answer doubles it."""
HOLD_MAX = 3600.0
"""Seconds of the longest hold, so that an owner never waits for a day."""
KEYS_MAX = 4096
"""Sources remembered at once; the one longest unused is forgotten."""


@dataclass(slots=True)
class _Record:
    wrong: list[float] = field(default_factory=list)
    held_until: float = 0.0
    holds: int = 0


class Throttle:
    """Counts wrong answers by source; `now` comes from a monotonic clock, in seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def admit(self, key: str) -> None:
        """Raise Denied with code 'throttled' while `key` is held."""
        record = self._records.get(key)
        left = 0.0 if record is None else record.held_until - self._now()
        if left > 0:
            wait = f"{-(-left // 60):.0f} minutes" if left > 90 else f"{max(1, left):.0f} seconds"
            raise Denied(f"Too many wrong attempts. Try again in {wait}.", "throttled")

    def wrong(self, key: str) -> None:
        """Count a wrong answer of `key`."""
        now = self._now()
        record = self._records.setdefault(key, _Record())
        self._records.move_to_end(key)
        while len(self._records) > KEYS_MAX:
            self._records.popitem(last=False)
        if record.holds and now - record.held_until > WINDOW:
            record.holds = 0
        record.wrong = [at for at in record.wrong if now - at < WINDOW]
        record.wrong.append(now)
        if record.holds or len(record.wrong) >= WRONG_MAX:
            record.held_until = now + min(HOLD_MAX, FIRST_HOLD * 2**record.holds)
            record.holds = min(record.holds + 1, 10)
            record.wrong.clear()

    def right(self, key: str) -> None:
        """Forget the wrong answers of `key`."""
        self._records.pop(key, None)
