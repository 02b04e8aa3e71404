"""The site structure: what a service application declares about its interface (01 section 7.3)."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.model.kinds import EventKind, GuestAccess, GuestSupport

ROLES_MAX = 30
"""More roles end in CONSTRAINT_VIOLATION (01 section 7.3)."""
EVENTS_MAX = 100
"""More events, all kinds together, end in CONSTRAINT_VIOLATION (01 section 7.3)."""


@dataclass(frozen=True, slots=True)
class EventDefinition:
    """One event of a structure.

    `lifetime` is in seconds and `queue_size` counts instances; both are 0 where the kind has none.
    At most one of `guest_access` and `roles` restricts the event.
    """

    kind: EventKind
    name: str
    lifetime: int = 0
    queue_size: int = 0
    guest_access: GuestAccess = GuestAccess.ALLOWED
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SiteStructure:
    """Service type, contract author, roles and events; roles in declared order."""

    service_type: str
    contract_author: str
    guest_support: GuestSupport = GuestSupport.NONE
    roles: tuple[str, ...] = ()
    owner_role: str | None = None
    events: tuple[EventDefinition, ...] = ()

    @property
    def role_based(self) -> bool:
        """Tell whether rights are given by roles; otherwise the site is plain."""
        return bool(self.roles)

    def events_of(self, kind: EventKind) -> tuple[EventDefinition, ...]:
        """Return the events of one kind sorted ordinally by name."""
        found = (event for event in self.events if event.kind is kind)
        return tuple(sorted(found, key=lambda event: event.name))
