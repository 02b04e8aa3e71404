"""The users of a site as one service keeps them, across reconnects (01 sections 7.7 and 10.3)."""

from __future__ import annotations

from gateway.access.ports import Actor
from gateway.model.kinds import GuestSupport, UserKind
from gateway.model.structure import SiteStructure
from gateway.protocol.endpoint_events import SessionFailed
from gateway.wire.codes import ErrorCode
from gateway.wire.installer import MembershipState
from gateway.wire.membership import USERS_MAX, RoleEntry, UserEntry, UserList

GUEST = Actor(UserKind.GUEST, 0, "Guest", ())
STATELESS_GUEST = Actor(UserKind.STATELESS_GUEST, 0, "Stateless Guest", ())


def _inconsistent(what: str) -> SessionFailed:
    return SessionFailed(ErrorCode.INPUT_DATA_INCONSISTENT, f"The server named {what}.")


class Membership:
    """Users with rights, their roles, and whether guests are admitted."""

    def __init__(self, structure: SiteStructure) -> None:
        self._structure = structure
        self._roles: dict[int, str] = {}
        self._users: dict[int, UserEntry] = {}
        self.guest_allowed = False

    @property
    def _guests_supported(self) -> bool:
        return self._structure.guest_support is not GuestSupport.NONE

    def state(self) -> MembershipState:
        """Return what STATE tells the tracker about this copy (01 section 7.2)."""
        allowed = self.guest_allowed if self._guests_supported else None
        return MembershipState(self._list_hash(), allowed)

    def _list_hash(self) -> bytes | None:
        role_based = self._structure.role_based
        if role_based and not self._roles:
            return None
        roles = tuple(RoleEntry(number, name) for number, name in sorted(self._roles.items()))
        users = tuple(
            UserEntry(user.id, user.name, tuple(sorted(user.role_ids)))
            for _, user in sorted(self._users.items())
        )
        return UserList(role_based, roles if role_based else (), users).list_hash()

    def replace(self, message: UserList) -> None:
        """Take a whole list; raises SessionFailed when it contradicts the structure."""
        roles = {role.id: role.name for role in message.roles}
        if self._structure.role_based and (
            set(roles.values()) != set(self._structure.roles) or len(roles) != len(message.roles)
        ):
            raise _inconsistent("other roles than the site structure has")
        users = {user.id: user for user in message.users}
        if len(users) != len(message.users):
            raise _inconsistent("a user twice")
        for user in message.users:
            self._check_roles(user, roles)
        self._roles, self._users = roles, users

    def include(self, user: UserEntry) -> None:
        """Take one user more."""
        if user.id in self._users or len(self._users) >= USERS_MAX:
            raise _inconsistent("a user as new that is known")
        self._check_roles(user, self._roles)
        self._users[user.id] = user

    def update(self, user: UserEntry) -> None:
        """Take the new name or roles of a user."""
        if user.id not in self._users:
            raise _inconsistent("a user as changed that is not known")
        self._check_roles(user, self._roles)
        self._users[user.id] = user

    def remove(self, user_id: int) -> None:
        """Forget a user."""
        if self._users.pop(user_id, None) is None:
            raise _inconsistent("a user as removed that is not known")

    def admit_guests(self, allowed: bool) -> bool:
        """Take the guest switch; tell whether that changed anything (01 section 10.3)."""
        if not self._guests_supported or self.guest_allowed == allowed:
            return False
        self.guest_allowed = allowed
        return True

    @staticmethod
    def _check_roles(user: UserEntry, roles: dict[int, str]) -> None:
        if not set(user.role_ids) <= set(roles):
            raise _inconsistent("a role that is not declared")

    def actors(self) -> tuple[Actor, ...]:
        """Return all users with rights, sorted ordinally by name; their kind is not told."""
        found = (self._actor(UserKind.PRIVATE, user) for user in self._users.values())
        return tuple(sorted(found, key=lambda actor: actor.name))

    def resolve(self, kind: UserKind, user_id: int) -> Actor | None:
        """Return whom a client acts as, None when it may not act at all (02 section 4.2)."""
        if kind is UserKind.STATELESS_GUEST:
            served = self._structure.guest_support is GuestSupport.STATELESS
            return STATELESS_GUEST if served and self.guest_allowed else None
        user = None if kind.guest else self._users.get(user_id)
        if user is not None:
            return self._actor(kind, user)
        return GUEST if self._guests_supported and self.guest_allowed else None

    def _actor(self, kind: UserKind, user: UserEntry) -> Actor:
        names = tuple(self._roles[role_id] for role_id in sorted(user.role_ids))
        return Actor(kind, user.id, user.name, names)
