"""The answer to every question of access: yes or no, and why."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.base.errors import Denied, NotFound


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether something is allowed; `reason` is a sentence for people, empty when it is.

    `hidden` asks the caller to answer as if the object did not exist, so that ids of other owners
    cannot be tried out (04 section 5.5).
    """

    allowed: bool
    reason: str = ""
    hidden: bool = False

    def __bool__(self) -> bool:
        return self.allowed

    def enforce(self) -> None:
        """Raise Denied, or NotFound for a hidden object, unless it is allowed."""
        if self.hidden:
            raise NotFound(self.reason)
        if not self.allowed:
            raise Denied(self.reason)


ALLOWED = Decision(True)
