"""Pings at an endpoint and silence at a tracker (01 section 11)."""

from __future__ import annotations

import enum

SILENCE_LIMIT = 395.0
"""Seconds without a frame after which a tracker closes (01 section 11.2)."""
KEEP_ALIVE_PERIOD = 300.0
"""Seconds of own silence after which an endpoint says that it is there."""
PONG_WAIT_MAX = 60.0
"""Longest wait for an answer, seconds."""
DEFAULT_PERIOD = 300.0
_SLACK = 3.0


class Beat(enum.Enum):
    """What an endpoint's monitor wants done."""

    PING = "send a ping"
    KEEP_ALIVE = "send a keep-alive"
    LOST = "the connection is lost"


class PingMonitor:
    """An endpoint's schedule of pings; seconds of a monotonic clock throughout.

    The effective period is the management's, else the application's, else 300 (01 section 11.3).
    """

    __slots__ = ("_application", "_check", "_in", "_keep", "_management", "_out", "_sent", "_wait")

    def __init__(self, application_period: int = 0) -> None:
        self._application = application_period
        self._management = 0
        self._check: float | None = None
        self._keep: float | None = None
        self._in = 0.0
        self._out = 0.0
        self._sent = 0.0
        self._wait = False

    @property
    def period(self) -> float:
        """Return the effective ping period in seconds."""
        return float(self._management or self._application or DEFAULT_PERIOD)

    @property
    def deadline(self) -> float | None:
        """Return when check() is due, None before the endpoint is installed."""
        if self._check is None:
            return None
        return self._check if self._keep is None else min(self._check, self._keep)

    def received(self, now: float) -> None:
        """Note a frame from the tracker."""
        self._in = now

    def sent(self, now: float) -> None:
        """Note a frame to the tracker."""
        self._out = now

    def installed(self, now: float) -> None:
        """Start the schedule: the endpoint is online or parked."""
        self._wait = False
        self._keep = None
        self._check = now + self.period

    def set_management_period(self, seconds: int, now: float) -> None:
        """Take the period of PARAMS or SET_PING_PERIOD; other values than 0, 10..300 do nothing."""
        if seconds != 0 and not 10 <= seconds <= 300:
            return
        changed = seconds != self._management
        self._management = seconds
        if changed and self._check is not None and not self._wait:
            self._check = now

    def check(self, now: float) -> list[Beat]:
        """Return what is to be done now; call when the deadline has passed."""
        beats: list[Beat] = []
        if self._keep is not None and now >= self._keep:
            self._keep = None
            if now - self._out >= KEEP_ALIVE_PERIOD:
                self._out = now
                beats.append(Beat.KEEP_ALIVE)
        if self._check is None or now < self._check:
            return beats
        if self._wait and self._in < self._sent:
            self._check = None
            return [*beats, Beat.LOST]
        period = self.period
        age = min(max(now - self._in, 0.0), period)
        if period - age <= _SLACK:
            self._sent = self._out = now
            self._wait = True
            self._check = now + min(period, PONG_WAIT_MAX)
            beats.append(Beat.PING)
            return beats
        was_waiting, self._wait = self._wait, False
        self._check = now + period - age
        if not was_waiting and self._keep_alive(period - age, now):
            beats.append(Beat.KEEP_ALIVE)
        return beats

    def _keep_alive(self, following: float, now: float) -> bool:
        silent = min(max(now - self._out, 0.0), KEEP_ALIVE_PERIOD)
        if silent + following <= KEEP_ALIVE_PERIOD + _SLACK:
            return False
        if silent >= KEEP_ALIVE_PERIOD - _SLACK:
            self._out = now
            return True
        self._keep = now + KEEP_ALIVE_PERIOD - silent
        return False
