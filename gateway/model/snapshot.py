"""Everything a tracker must know of one site, as one immutable value."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.model.kinds import SiteKind, UserKind
from gateway.model.structure import SiteStructure


@dataclass(frozen=True, slots=True)
class SnapshotService:
    """A service of the site as management knows it; `version` is '' when none was sent."""

    id: int
    uid: bytes
    hostname: str
    enabled: bool = True
    version: str = ""
    ping_period: int = 0
    service_type: str | None = None
    contract_author: str | None = None
    ss_hash: bytes | None = None
    storage_uid: bytes | None = None
    credential_stamp: bytes = b""
    """Changes whenever the password does; never sent anywhere."""
    own: bool = False
    """A camera of this gateway: its endpoint is known to take what the reference's breaks on."""


@dataclass(frozen=True, slots=True)
class Member:
    """A user with rights on the site; role ids ascending, empty on plain sites."""

    user_id: int
    kind: UserKind
    name: str
    role_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SiteSnapshot:
    """One site at one moment; the differences of two of them drive every live effect (04, 7).

    `members` are the users with effective rights now (04 section 5.2), ascending by id, guests
    never among them. `users` holds every user of the domain by id, so that a client whose user lost
    its rights can be told from one whose user is gone. `guest_allowed` is the effective value:
    supported, allowed on the site, and the Guest user enabled.
    """

    id: int
    uid: bytes
    kind: SiteKind
    enabled: bool
    owner_eligible: bool
    structure: SiteStructure | None = None
    ss_hash: bytes | None = None
    guest_allowed: bool = False
    roles: tuple[tuple[int, str], ...] = ()
    services: tuple[SnapshotService, ...] = ()
    members: tuple[Member, ...] = ()
    users: dict[int, Member] = field(default_factory=dict)
    guest_user_id: int = 0

    @property
    def blank(self) -> bool:
        """Tell whether no service has constructed the site yet."""
        return self.structure is None

    def service(self, service_id: int) -> SnapshotService | None:
        """Return the service with this id, or None."""
        return next((found for found in self.services if found.id == service_id), None)

    def member(self, user_id: int) -> Member | None:
        """Return the user with this id if it has rights on the site, or None."""
        return next((found for found in self.members if found.user_id == user_id), None)

    def role_names(self, role_ids: tuple[int, ...]) -> tuple[str, ...]:
        """Return the names of these roles in the order of the ids given."""
        names = dict(self.roles)
        return tuple(names[role_id] for role_id in role_ids if role_id in names)
