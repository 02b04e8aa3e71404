"""The rule on a virtual port or procedure, and whether an actor keeps it (02 and 03)."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.access.decision import ALLOWED, Decision
from gateway.model.kinds import GuestAccess, UserKind


@dataclass(frozen=True, slots=True)
class Actor:
    """Who stands behind a client, as the service's own member list says; guests have no roles."""

    kind: UserKind
    user_id: int = 0
    name: str = ""
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RolesRule:
    """Only users who hold one of these roles; names are compared exactly."""

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.names:
            raise ValueError("a rule that names no role would shut everybody out")


@dataclass(frozen=True, slots=True)
class GuestRule:
    """Every user with rights on the site, and guests as far as `access` says."""

    access: GuestAccess


AccessRule = RolesRule | GuestRule | None
"""None is no rule: whoever may be on the site may open the port, guests included."""


def decide(rule: AccessRule, actor: Actor) -> Decision:
    """Tell whether `actor` may use what `rule` guards."""
    if rule is None:
        return ALLOWED
    if isinstance(rule, RolesRule):
        if actor.kind.guest:
            return Decision(False, "Guests have no role, and this needs one.")
        if not set(rule.names).intersection(actor.roles):
            return Decision(False, f"This needs one of the roles: {', '.join(rule.names)}.")
        return ALLOWED
    if rule.access is GuestAccess.GUEST_DENIED and actor.kind.guest:
        return Decision(False, "Guests may not use this.")
    if rule.access is GuestAccess.STATELESS_GUEST_DENIED and actor.kind is UserKind.STATELESS_GUEST:
        return Decision(False, "Guests without a client of their own may not use this.")
    return ALLOWED
