"""Typed notices: a room announces what happened to it; nobody acts on them, many show them."""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

_log = logging.getLogger(__name__)


class Severity(enum.IntEnum):
    """How much attention a notice wants; the numbers are those of syslog."""

    ERROR = 3
    WARNING = 4
    NOTE = 5
    INFO = 6
    DEBUG = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Base of all notices."""

    severity: Severity = Severity.INFO


N = TypeVar("N", bound=Notice)


class NoticeHub:
    """Delivers notices to whoever subscribed to their class or one of its bases."""

    def __init__(self) -> None:
        self._subscribers: list[tuple[type[Notice], Callable[[Notice], None]]] = []

    def subscribe(self, kind: type[N], receive: Callable[[N], None]) -> Callable[[], None]:
        """Call `receive` for each later notice of `kind`; return what ends the subscription."""

        def deliver(notice: Notice) -> None:
            if isinstance(notice, kind):
                receive(notice)

        entry: tuple[type[Notice], Callable[[Notice], None]] = (kind, deliver)
        self._subscribers.append(entry)

        def unsubscribe() -> None:
            if entry in self._subscribers:
                self._subscribers.remove(entry)

        return unsubscribe

    def post(self, notice: Notice) -> None:
        """Hand `notice` to its subscribers at once; a failing one does not stop the others."""
        for kind, deliver in tuple(self._subscribers):
            if isinstance(notice, kind):
                try:
                    deliver(notice)
                except Exception:
                    _log.exception("a subscriber of %s failed", type(notice).__name__)
