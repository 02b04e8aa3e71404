"""Which attempt of an endpoint waits how long: the tables of 01 section 5.3 as data."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from gateway.wire.codes import ErrorCode, Reaction, reaction


@dataclass(frozen=True, slots=True)
class BackOffTable:
    """Seconds to wait; the last value of a row stands for all later attempts.

    The defaults are those of 01 section 5.3; tests use shorter ones.
    """

    balancer: tuple[float, ...] = (2, 5, 10, 20, 30, 60)
    """A: after the nth failure to reach the balancer, n from 1."""
    tracker: tuple[float, ...] = (1, 1, 2, 5, 10, 20, 40, 60)
    """C: with n balancer procedures since the last install, n from 0."""
    minute: float = 60
    """B and D: after an answer that more haste would not change."""
    no_address: float = 600
    """A: the name has no address at all."""
    resolve_again: float = 600
    """Age of a name's addresses after which they are asked for again."""
    stale_after: int = 5
    """Failures in a row that make old addresses suspect."""


class Asked(enum.Enum):
    """Who gave the answer that ended an attempt."""

    BALANCER = "balancer"
    TRACKER = "tracker"


class BackOff:
    """Counts the attempts of one endpoint and says what to do after each failure."""

    __slots__ = ("_failures", "_procedures", "_service", "_table")

    def __init__(self, table: BackOffTable, *, service: bool) -> None:
        self._table = table
        self._service = service
        self._failures = 0
        self._procedures = 0

    @property
    def table(self) -> BackOffTable:
        """Return the waiting times in force."""
        return self._table

    def restarted(self) -> None:
        """Note a connect() by the application: all counters begin anew."""
        self._failures = 0
        self._procedures = 0

    def procedure_started(self) -> None:
        """Note that the balancer is about to be asked."""
        self._procedures += 1
        self._failures = 0

    def installed(self) -> None:
        """Note that the endpoint is online or parked."""
        self._procedures = 0

    def unreachable(self) -> float:
        """Return the wait after a failure to resolve the name or to reach the balancer."""
        self._failures += 1
        row = self._table.balancer
        return row[min(self._failures, len(row)) - 1]

    def unknown_name(self) -> float:
        """Return the wait when the name has no address."""
        self._failures += 1
        return self._table.no_address

    def resolve_again(self, age: float) -> bool:
        """Tell whether addresses that are `age` seconds old are to be asked for again."""
        old = age >= self._table.resolve_again
        return old and (self._failures == 0 or self._failures > self._table.stale_after)

    def after(self, code: ErrorCode, asked: Asked) -> float | None:
        """Return the wait before the next procedure, None when there must be none (table E)."""
        found = reaction(code, service=self._service, balancer=asked is Asked.BALANCER)
        if found is Reaction.DOWN:
            return None
        if found is Reaction.MINUTE or asked is Asked.BALANCER:
            return self._table.minute
        row = self._table.tracker
        return row[min(self._procedures, len(row) - 1)]
