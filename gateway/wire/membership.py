"""Users as services see them (modules 7 and 8) and as a client sees itself (9): 01 section 10."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated, Any, Self

from gateway.asn1.reader import SequenceReader
from gateway.asn1.writer import SequenceWriter
from gateway.wire.fields import Ia5, Int64, ListOf, Name, Nested, Tag, read_all
from gateway.wire.message import Message

USERS_MAX = 10_000
"""Users one list may name; far above any quota, bounds what a hostile server makes us keep."""

UserId = Annotated[int, Int64(1)]


@dataclass(frozen=True, slots=True)
class RoleEntry:
    """A role of the site with its id."""

    id: Annotated[int, Int64()]
    name: Name


@dataclass(frozen=True, slots=True)
class UserEntry:
    """A user with rights; role ids ascending, None on plain sites."""

    id: UserId
    name: Name
    role_ids: Annotated[tuple[int, ...], ListOf(Int64(), 30)] = ()


@dataclass(frozen=True, slots=True)
class PlainUserEntry:
    """A user with rights on a plain site."""

    id: UserId
    name: Name


def _user_writer(user: UserEntry, role_based: bool) -> SequenceWriter:
    writer = SequenceWriter().int64(user.id).ia5(user.name)
    if role_based:
        ids = SequenceWriter()
        for role_id in user.role_ids:
            ids.int64(role_id)
        writer.sequence(ids)
    return writer


@dataclass(frozen=True, slots=True)
class UserList(Message):
    """All users with rights; on role-based sites behind all roles."""

    role_based: bool
    roles: tuple[RoleEntry, ...] = ()
    users: tuple[UserEntry, ...] = ()

    def body(self) -> bytes:
        """Return the list; the body is also the input of its hash (01 12.2, 12.3)."""
        users = SequenceWriter()
        for user in self.users:
            users.sequence(_user_writer(user, self.role_based))
        if not self.role_based:
            return users.encode()
        roles = SequenceWriter()
        for role in self.roles:
            roles.sequence(SequenceWriter().int64(role.id).ia5(role.name))
        return SequenceWriter().sequence(roles).sequence(users).encode()

    @classmethod
    def from_body(cls, body: bytes, **fixed: Any) -> Self:
        """Read the list in the form that the module demands."""
        role_based = bool(fixed["role_based"])
        reader = SequenceReader.root(body)
        if not role_based:
            plain = read_all(Nested(PlainUserEntry), reader, USERS_MAX)
            return cls(False, (), tuple(UserEntry(user.id, user.name) for user in plain))
        roles = read_all(Nested(RoleEntry), reader.sequence(), 1000)
        users = read_all(Nested(UserEntry), reader.sequence(), USERS_MAX)
        reader.end()
        return cls(True, roles, users)

    def list_hash(self) -> bytes | None:
        """Return what a service and a tracker compare, None for an empty plain list."""
        if not self.role_based and not self.users:
            return None
        return hashlib.sha1(self.body()).digest()

    def nested_list_hash(self) -> bytes | None:
        """Return the form that the reference's plain service computes (01 section 12.3)."""
        if self.role_based or not self.users:
            return self.list_hash()
        users = SequenceWriter()
        for user in self.users:
            users.sequence(_user_writer(user, False))
        return hashlib.sha1(SequenceWriter().sequence(users).encode()).digest()


@dataclass(frozen=True, slots=True)
class _UserMessage(Message):
    role_based: bool
    user: UserEntry

    def body(self) -> bytes:
        """Return id, name and, on role-based sites, role ids."""
        return _user_writer(self.user, self.role_based).encode()

    @classmethod
    def from_body(cls, body: bytes, **_fixed: Any) -> Self:
        """Read the user; role ids are taken where they are, whatever the module says (01 10.3)."""
        reader = SequenceReader.root(body)
        user_id = reader.int64(1)
        name = reader.ia5(1, 256)
        if not reader.more:
            return cls(False, UserEntry(user_id, name))
        role_ids = read_all(Int64(), reader.sequence(), 30)
        reader.end()
        return cls(True, UserEntry(user_id, name, role_ids))


@dataclass(frozen=True, slots=True)
class UserIncluded(_UserMessage):
    """A user gained rights."""


@dataclass(frozen=True, slots=True)
class UserUpdated(_UserMessage):
    """A user was renamed or has other roles."""


@dataclass(frozen=True, slots=True)
class UserRemoved(Message):
    """A user lost its rights or is gone."""

    role_based: bool
    user_id: Annotated[int, Int64()]


@dataclass(frozen=True, slots=True)
class GuestAllowed(Message):
    """Guests may use the service now."""

    role_based: bool


@dataclass(frozen=True, slots=True)
class GuestDenied(Message):
    """Guests may not use the service any more."""

    role_based: bool


@dataclass(frozen=True, slots=True)
class ActingGuest(Message):
    """Tracker to client: you act as Guest now."""


@dataclass(frozen=True, slots=True)
class ActingUser(Message):
    """Tracker to client: you act as this user; role names present iff the site is role-based."""

    user_id: UserId
    name: Name
    roles: Annotated[tuple[str, ...] | None, ListOf(Ia5(1, 256), 30), Tag(1)] = None


def user_hash(user_id: int, name: str, roles: tuple[str, ...] | None) -> bytes:
    """Return the hash of an acting user; pass None for plain sites (01 section 12.7).

    The Java client leaves the roles out when there are none, the reference tracker does not:
    callers compare with both forms.
    """
    writer = SequenceWriter().int64(user_id).ia5(name)
    if roles is not None:
        names = SequenceWriter()
        for role in sorted(roles):
            names.ia5(role)
        writer.octets(names.encode(), 1)
    return hashlib.sha1(writer.encode()).digest()
