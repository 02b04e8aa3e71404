"""Users of a domain and their rights on its sites (04 sections 5 and 6.3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.access.membership import SiteRules, UserFacts, rights_of
from gateway.base.errors import Conflict, InvalidInput, NotFound, QuotaExceeded
from gateway.model import names
from gateway.model.kinds import ContactStatus, UserKind
from gateway.model.sites import DomainUser, Role, Site
from gateway.registry import sites
from gateway.registry.changes import (
    ClientDeleted,
    ContactsChanged,
    DomainChanged,
    SiteChanged,
    UserDeleted,
)
from gateway.registry.database import Reader, Row, Tx

_SELECT = """
SELECT u.id, u.domain_id, u.owner_id, u.kind, u.name, u.dedicated, u.enabled, u.contact_id,
       c.name, cs.status, c.partner_id, p.enabled,
       (SELECT count(*) FROM client k WHERE k.user_id = u.id), u.created_at
  FROM domain_user u
  LEFT JOIN contact c ON c.id = u.contact_id
  LEFT JOIN contact_state cs ON cs.id = u.contact_id
  LEFT JOIN owner p ON p.id = c.partner_id
"""
_ORDER = "ORDER BY (u.kind <> 1), (u.kind = 4), u.name, u.id"
"""Owner first, then by name, Guest last (04 section 5.4)."""


@dataclass(frozen=True, slots=True)
class UserRights:
    """A user of the domain as one site sees it; roles in declared order."""

    user: DomainUser
    allowed: bool
    explicit_roles: tuple[Role, ...]
    default_role: Role | None
    explicit: bool
    implicit: bool

    @property
    def role_names(self) -> tuple[str, ...]:
        """Return the effective role names: explicit ones as declared, then the default one."""
        default = () if self.default_role is None else (self.default_role.name,)
        return (*(role.name for role in self.explicit_roles), *default)


def add_user(
    tx: Tx,
    domain_id: int,
    kind: UserKind,
    name: str,
    *,
    dedicated: bool = False,
    enabled: bool = True,
    contact_id: int | None = None,
) -> DomainUser:
    """Create a Private user, or a Contact user of one of the owner's contacts.

    Raises NotFound, InvalidInput, Conflict for a name that is taken in whatever case,
    QuotaExceeded.
    """
    row = tx.one("SELECT owner_id FROM domain WHERE id = ?", domain_id)
    if row is None:
        raise NotFound("This domain does not exist any more. Reload the page.")
    owner_id = row[0]
    if kind not in (UserKind.PRIVATE, UserKind.CONTACT):
        raise InvalidInput("Only Private and Contact users can be created.", "kind")
    if (kind is UserKind.CONTACT) != (contact_id is not None):
        raise InvalidInput("Choose a contact for a Contact user, and none otherwise.", "contact_id")
    if contact_id is not None:
        _usable_contact(tx, owner_id, contact_id)
    name = names.user_name(name)
    _name_is_free(tx, domain_id, name)
    limit = tx.settings.users_per_domain
    if tx.number("SELECT count(*) FROM domain_user WHERE domain_id = ?", domain_id) >= limit:
        raise QuotaExceeded(f"A domain can have {limit} users. Delete one first.")
    limit = tx.settings.users_per_owner
    if tx.number("SELECT count(*) FROM domain_user WHERE owner_id = ?", owner_id) >= limit:
        raise QuotaExceeded(f"An owner can have {limit} users in all. Delete one first.")
    user_id = tx.insert(
        "domain_user",
        domain_id=domain_id,
        owner_id=owner_id,
        kind=int(kind),
        name=name,
        contact_id=contact_id,
        dedicated=int(dedicated),
        enabled=int(enabled),
        created_at=tx.now,
    )
    announce_domain(tx, domain_id)
    user = get_user(tx, user_id)
    _tell_partner(tx, user)
    return user


def get_user(reader: Reader, user_id: int) -> DomainUser:
    """Return a user of a domain. Raises NotFound."""
    row = reader.one(f"{_SELECT} WHERE u.id = ?", user_id)
    if row is None:
        raise NotFound("This user does not exist any more. Reload the page.")
    return _user(row)


def list_users(reader: Reader, domain_id: int) -> tuple[DomainUser, ...]:
    """Return the users of a domain: Owner, the others by name, Guest."""
    rows = reader.rows(f"{_SELECT} WHERE u.domain_id = ? {_ORDER}", domain_id)
    return tuple(_user(row) for row in rows)


def rename_user(tx: Tx, user_id: int, name: str) -> DomainUser:
    """Give a Private or Contact user another name. Raises Conflict, InvalidInput, NotFound."""
    user = _editable(tx, user_id)
    name = names.user_name(name)
    if name != user.name:
        _name_is_free(tx, user.domain_id, name, besides=user_id)
        tx.run("UPDATE domain_user SET name = ? WHERE id = ?", name, user_id)
        announce_domain(tx, user.domain_id)
    return get_user(tx, user_id)


def set_user_enabled(tx: Tx, user_id: int, enabled: bool) -> DomainUser:
    """Enable or disable any user of a domain, Owner and Guest included. Raises NotFound."""
    user = get_user(tx, user_id)
    if user.enabled != enabled:
        tx.run("UPDATE domain_user SET enabled = ? WHERE id = ?", int(enabled), user_id)
        announce_domain(tx, user.domain_id)
    return get_user(tx, user_id)


def set_dedicated(tx: Tx, user_id: int, dedicated: bool) -> DomainUser:
    """Have a user take only what it is given explicitly, or the defaults too."""
    user = _editable(tx, user_id)
    if user.dedicated != dedicated:
        tx.run("UPDATE domain_user SET dedicated = ? WHERE id = ?", int(dedicated), user_id)
        announce_domain(tx, user.domain_id)
    return get_user(tx, user_id)


def delete_user(tx: Tx, user_id: int) -> None:
    """Delete a Private or Contact user with its clients. Raises Conflict for Owner and Guest."""
    user = _editable(tx, user_id)
    sql = "SELECT site_id, id FROM client WHERE user_id = ? ORDER BY id"
    for site_id, client_id in tx.rows(sql, user_id):
        tx.changed(ClientDeleted(site_id, client_id))
    tx.run("DELETE FROM domain_user WHERE id = ?", user_id)
    tx.changed(UserDeleted(user.domain_id, user_id))
    announce_domain(tx, user.domain_id)
    _tell_partner(tx, user)


def set_roles(tx: Tx, site_id: int, user_id: int, role_ids: Iterable[int]) -> None:
    """Give a user exactly these roles of a site; none takes all explicit rights away.

    Raises NotFound for a role or user that is not the site's, Conflict for Guest, on a site
    without roles, and for a user whose contact is gone.
    """
    site = sites.get(tx, site_id)
    if not site.role_based:
        raise Conflict("This site has no roles. Add the user to the site instead.")
    _grantable(tx, site, user_id)
    wanted = set(role_ids)
    of_site = {row[0] for row in tx.rows("SELECT id FROM role WHERE site_id = ?", site_id)}
    if not wanted <= of_site:
        raise NotFound("A chosen role does not exist on the site any more. Reload the page.")
    held = {
        row[0]
        for row in tx.rows("SELECT role_id FROM user_role WHERE user_id = ?", user_id)
        if row[0] in of_site
    }
    for role_id in sorted(held - wanted):
        tx.run("DELETE FROM user_role WHERE user_id = ? AND role_id = ?", user_id, role_id)
    for role_id in sorted(wanted - held):
        tx.run("INSERT INTO user_role(user_id, role_id) VALUES (?, ?)", user_id, role_id)
    if held != wanted:
        tx.changed(SiteChanged(site_id))
        _tell_partner(tx, get_user(tx, user_id))


def add_site_user(tx: Tx, site_id: int, user_id: int) -> None:
    """Add a user to a built site without roles. Raises Conflict, NotFound."""
    site = _plain_site(tx, site_id)
    _grantable(tx, site, user_id)
    added = tx.run(
        "INSERT INTO site_user(site_id, user_id, domain_id) VALUES (?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        site_id,
        user_id,
        site.domain_id,
    )
    if added:
        tx.changed(SiteChanged(site_id))
        _tell_partner(tx, get_user(tx, user_id))


def remove_site_user(tx: Tx, site_id: int, user_id: int) -> None:
    """Take a user off a built site without roles. Raises Conflict, NotFound."""
    _plain_site(tx, site_id)
    if tx.run("DELETE FROM site_user WHERE site_id = ? AND user_id = ?", site_id, user_id):
        tx.changed(SiteChanged(site_id))


def rights(
    reader: Reader, site_id: int, users: Sequence[DomainUser] | None = None
) -> tuple[UserRights, ...]:
    """Return every user of the domain with what the site gives it; nothing on a blank site.

    Users with rights and without are told apart by `allowed`; the order is that of `list_users`.
    Disabled and unreachable users are judged as if they were not (04 section 5.2). `users` is what
    `list_users` gave, for a caller that asks about many sites of one domain.
    """
    site = sites.get(reader, site_id)
    rules = rules_of(site)
    if rules is None:
        return ()
    roles = {role.id: role for role in list_roles(reader, site_id)}
    granted = grants(reader, site_id, role_based=site.role_based)
    found = []
    for user in list_users(reader, site.domain_id) if users is None else users:
        facts = facts_of(user, granted)
        given = rights_of(rules, facts)
        explicit = (roles[role_id] for role_id in given.explicit_role_ids if role_id in roles)
        found.append(
            UserRights(
                user,
                given.allowed,
                tuple(sorted(explicit, key=lambda role: role.position)),
                None if given.default_role_id is None else roles.get(given.default_role_id),
                given.explicit,
                given.implicit,
            )
        )
    return tuple(found)


def list_roles(reader: Reader, site_id: int) -> tuple[Role, ...]:
    """Return the roles of a site in declared order."""
    rows = reader.rows(
        "SELECT id, site_id, name, idx FROM role WHERE site_id = ? ORDER BY idx, id", site_id
    )
    return tuple(Role(*row) for row in rows)


def rules_of(site: Site) -> SiteRules | None:
    """Return what a site says about rights; None while it is blank."""
    if not site.built:
        return None
    return SiteRules(
        site.role_based,
        site.guest_support,
        site.guest_allowed,
        site.default_role_id,
        site.implicit_users,
    )


def grants(reader: Reader, site_id: int, *, role_based: bool) -> dict[int, tuple[int, ...]]:
    """Return what was given explicitly on a site: role ids by user, empty ones on a plain site."""
    if not role_based:
        listed = reader.rows("SELECT user_id FROM site_user WHERE site_id = ?", site_id)
        return {user_id: () for (user_id,) in listed}
    found: dict[int, tuple[int, ...]] = {}
    sql = (
        "SELECT ur.user_id, ur.role_id FROM role r JOIN user_role ur ON ur.role_id = r.id"
        " WHERE r.site_id = ? ORDER BY ur.role_id"
    )
    for user_id, role_id in reader.rows(sql, site_id):
        found[user_id] = (*found.get(user_id, ()), role_id)
    return found


def facts_of(user: DomainUser, granted: dict[int, tuple[int, ...]]) -> UserFacts:
    """Return what the pure rules of `access.membership` need to know of a user."""
    return UserFacts(
        user.id,
        user.kind,
        user.name,
        user.dedicated,
        user.enabled,
        user.reachable,
        granted.get(user.id, ()),
        user.id in granted,
    )


def announce_sites(tx: Tx, domain_id: int) -> None:
    """Announce that the snapshot of every site of a domain may differ."""
    for (site_id,) in tx.rows("SELECT id FROM site WHERE domain_id = ? ORDER BY id", domain_id):
        tx.changed(SiteChanged(site_id))


def announce_shared(tx: Tx, partner_id: int) -> None:
    """Announce that the sites shared with an account may serve it differently."""
    shared = (
        "SELECT DISTINCT u.domain_id FROM domain_user u JOIN contact c ON c.id = u.contact_id"
        " WHERE c.partner_id = ? ORDER BY u.domain_id"
    )
    for (domain_id,) in tx.rows(shared, partner_id):
        announce_sites(tx, domain_id)


def announce_domain(tx: Tx, domain_id: int) -> None:
    """Announce that the users of a domain changed, and with them perhaps each of its sites."""
    tx.changed(DomainChanged(domain_id))
    announce_sites(tx, domain_id)
    sites.tell_partners(tx, domain_id)


def _tell_partner(tx: Tx, user: DomainUser) -> None:
    """Announce to the person behind a Contact user that what is shared with it changed."""
    if user.partner_id is not None:
        tx.changed(ContactsChanged(user.partner_id))


def _editable(tx: Tx, user_id: int) -> DomainUser:
    user = get_user(tx, user_id)
    if user.kind not in (UserKind.PRIVATE, UserKind.CONTACT):
        raise Conflict(f"{user.name} belongs to the domain. It can only be enabled or disabled.")
    return user


def _grantable(tx: Tx, site: Site, user_id: int) -> None:
    user = get_user(tx, user_id)
    if user.domain_id != site.domain_id:
        raise NotFound("This user does not exist in the site's domain. Reload the page.")
    if user.kind is UserKind.GUEST:
        raise Conflict("Guest gets no roles. Allow or deny guests on the site instead.")
    if user.contact_status is ContactStatus.PARTNER_DELETED:
        raise Conflict("The account behind this contact is gone. Delete the user.")


def _plain_site(tx: Tx, site_id: int) -> Site:
    site = sites.get(tx, site_id)
    if not site.built:
        raise Conflict("The site is blank. Connect its first device, then give rights.")
    if site.role_based:
        raise Conflict("This site gives rights by roles. Choose roles for the user instead.")
    return site


def _usable_contact(tx: Tx, owner_id: int, contact_id: int) -> None:
    row = tx.one(
        "SELECT status FROM contact_state WHERE id = ? AND owner_id = ?", contact_id, owner_id
    )
    if row is None:
        raise NotFound("This contact does not exist any more. Reload the page.")
    if row[0] == ContactStatus.PARTNER_DELETED:
        raise Conflict("The account behind this contact is gone. Choose another contact.")


def _name_is_free(tx: Tx, domain_id: int, name: str, besides: int = 0) -> None:
    sql = "SELECT name FROM domain_user WHERE domain_id = ? AND name = ? AND id <> ?"
    row = tx.one(sql, domain_id, name, besides)
    if row is not None:
        raise Conflict(f"The domain has a user {row[0]} already. Choose another name.")


def _user(row: Row) -> DomainUser:
    return DomainUser(
        id=row[0],
        domain_id=row[1],
        owner_id=row[2],
        kind=UserKind(row[3]),
        name=row[4],
        dedicated=bool(row[5]),
        enabled=bool(row[6]),
        contact_id=row[7],
        contact_name=row[8],
        contact_status=None if row[9] is None else ContactStatus(row[9]),
        partner_id=row[10],
        partner_enabled=None if row[11] is None else bool(row[11]),
        clients=row[12],
        created_at=row[13],
    )
