"""Users as services see them, and whom a client acts as (01 sections 10.3, 10.4 and 12)."""

from __future__ import annotations

from gateway.model.kinds import GuestSupport
from gateway.model.snapshot import Member, SiteSnapshot
from gateway.wire.membership import (
    ActingGuest,
    ActingUser,
    GuestAllowed,
    GuestDenied,
    RoleEntry,
    UserEntry,
    UserIncluded,
    UserList,
    UserRemoved,
    UserUpdated,
    user_hash,
)

MANY_USERS = 8
"""More changes at once go as one whole list (01 section 10.7)."""


def entry(member: Member) -> UserEntry:
    """Return a member as it goes to services."""
    return UserEntry(member.user_id, member.name, member.role_ids)


class Roster:
    """The membership of one snapshot: its list, and the hashes that mean "unchanged"."""

    def __init__(self, snapshot: SiteSnapshot) -> None:
        structure = snapshot.structure
        self._snapshot = snapshot
        self._role_based = structure is not None and structure.role_based
        self._guests = structure is not None and structure.guest_support is not GuestSupport.NONE
        self.user_list = UserList(
            self._role_based,
            tuple(RoleEntry(role_id, name) for role_id, name in snapshot.roles)
            if self._role_based
            else (),
            tuple(entry(member) for member in snapshot.members),
        )
        self._hashes = (self.user_list.list_hash(), self.user_list.nested_list_hash())

    @property
    def guests_supported(self) -> bool:
        """Tell whether the structure knows guests at all."""
        return self._guests

    def knows(self, list_hash: bytes | None) -> bool:
        """Tell whether a service with this hash has the list; both forms count (01, 12.3)."""
        return list_hash in self._hashes

    def guest_message(self) -> GuestAllowed | GuestDenied:
        """Return what services are told about guests."""
        if self._snapshot.guest_allowed:
            return GuestAllowed(self._role_based)
        return GuestDenied(self._role_based)

    def acting_message(self, acting: Member) -> ActingUser | ActingGuest:
        """Return what a stateful client is told about itself."""
        if acting.kind.guest:
            return ActingGuest()
        roles = self._snapshot.role_names(acting.role_ids) if self._role_based else None
        return ActingUser(acting.user_id, acting.name, roles)

    def acting_hashes(self, acting: Member) -> tuple[bytes | None, ...]:
        """Return the hashes by which a client shows that it knows whom it acts as (01, 12.7)."""
        if acting.kind.guest:
            return (None,)
        if not self._role_based:
            return (user_hash(acting.user_id, acting.name, None),)
        roles = self._snapshot.role_names(acting.role_ids)
        exact = user_hash(acting.user_id, acting.name, roles)
        return (exact,) if roles else (exact, user_hash(acting.user_id, acting.name, None))

    def changes_from(
        self, old: SiteSnapshot
    ) -> list[UserIncluded | UserUpdated | UserRemoved | UserList]:
        """Return what services that know the old members must be told, one list when much."""
        before = {member.user_id: member for member in old.members}
        after = {member.user_id: member for member in self._snapshot.members}
        messages: list[UserIncluded | UserUpdated | UserRemoved | UserList] = [
            UserRemoved(self._role_based, user_id)
            for user_id in sorted(before.keys() - after.keys())
        ]
        for user_id, member in after.items():
            if user_id not in before:
                messages.append(UserIncluded(self._role_based, entry(member)))
            elif entry(before[user_id]) != entry(member):
                messages.append(UserUpdated(self._role_based, entry(member)))
        return messages if len(messages) <= MANY_USERS else [self.user_list]
