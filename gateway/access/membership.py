"""Who has which rights on a site, and whom a client acts as (04 section 5.2, 01 section 8.5)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.model.kinds import GuestSupport, UserKind
from gateway.model.snapshot import Member, SiteSnapshot

STATELESS_GUEST = Member(0, UserKind.STATELESS_GUEST, "Guest")
"""The one stateless guest; it is no row anywhere."""


@dataclass(frozen=True, slots=True)
class SiteRules:
    """What a built site says about rights."""

    role_based: bool
    guest_support: GuestSupport = GuestSupport.NONE
    guest_allowed: bool = False
    default_role_id: int | None = None
    implicit_users: bool = False


@dataclass(frozen=True, slots=True)
class UserFacts:
    """What a site's rules need to know of a user.

    `reachable` is False for a Contact user whose partnership or partner's account does not serve;
    `role_ids` are the roles ticked for it on this site, `listed` tells that it was added to a
    plain site.
    """

    user_id: int
    kind: UserKind
    name: str
    dedicated: bool = False
    enabled: bool = True
    reachable: bool = True
    role_ids: tuple[int, ...] = ()
    listed: bool = False


@dataclass(frozen=True, slots=True)
class Rights:
    """What a user is given on a site, before it is asked whether it is enabled and reachable."""

    allowed: bool
    explicit_role_ids: tuple[int, ...] = ()
    default_role_id: int | None = None
    explicit: bool = False
    implicit: bool = False

    @property
    def role_ids(self) -> tuple[int, ...]:
        """Return all role ids, ascending."""
        extra = () if self.default_role_id is None else (self.default_role_id,)
        return tuple(sorted((*self.explicit_role_ids, *extra)))


def rights_of(rules: SiteRules, user: UserFacts) -> Rights:
    """Return what the rules of a built site give a user; the pages sort their lists by it."""
    if user.kind.guest:
        return Rights(rules.guest_support > GuestSupport.NONE and rules.guest_allowed)
    takes_defaults = user.kind is UserKind.OWNER or not user.dedicated
    if not rules.role_based:
        implicit = not user.listed and rules.implicit_users and takes_defaults
        return Rights(user.listed or implicit, explicit=user.listed, implicit=implicit)
    default = rules.default_role_id if takes_defaults else None
    if default in user.role_ids:
        default = None
    return Rights(
        allowed=bool(user.role_ids) or default is not None,
        explicit_role_ids=user.role_ids,
        default_role_id=default,
        explicit=bool(user.role_ids),
    )


def effective_members(rules: SiteRules, users: Iterable[UserFacts]) -> tuple[Member, ...]:
    """Return the users with rights now, ascending by id; guests are never among them."""
    members = []
    for user in users:
        if user.kind.guest or not (user.enabled and user.reachable):
            continue
        rights = rights_of(rules, user)
        if rights.allowed:
            members.append(Member(user.user_id, user.kind, user.name, rights.role_ids))
    members.sort(key=lambda member: member.user_id)
    return tuple(members)


def guests_admitted(rules: SiteRules, guest_user_enabled: bool) -> bool:
    """Tell whether Guest may use the site now: supported, allowed, and not disabled."""
    return rules.guest_support > GuestSupport.NONE and rules.guest_allowed and guest_user_enabled


def act_as(site: SiteSnapshot, kind: UserKind, user_id: int = 0) -> Member | None:
    """Return whom a client acts as on a site, or None when it is denied (01 section 8.5).

    `kind` and `user_id` are those of the client's own user; STATELESS_GUEST needs no id. A client
    whose user has no rights falls back to Guest where guests are admitted (04 section 5.3).
    """
    if site.structure is None:
        return None
    if kind is UserKind.STATELESS_GUEST:
        served = site.structure.guest_support is GuestSupport.STATELESS
        return STATELESS_GUEST if served and site.guest_allowed else None
    if not kind.guest:
        member = site.member(user_id)
        if member is not None:
            return member
    if not site.guest_allowed:
        return None
    return site.users.get(site.guest_user_id) or Member(site.guest_user_id, UserKind.GUEST, "Guest")
