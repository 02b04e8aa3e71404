"""Clients: one entity for each client program, its key, password and self-description (04, 6.7)."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.base.errors import Conflict, Denied, NotFound, QuotaExceeded
from gateway.base.secret import Secret
from gateway.model import names
from gateway.model.kinds import ClientCategory, ContactStatus, SiteKind, UserKind
from gateway.model.sites import Client, DomainUser, Site
from gateway.registry import credentials, members, sites
from gateway.registry.changes import (
    ClientAdded,
    ClientCredentialsChanged,
    ClientDeleted,
    ClientDescribed,
    ClientPingPeriodChanged,
)
from gateway.registry.database import Reader, Row, Tx

_SELECT = """
SELECT k.id, k.client_key, k.site_id, s.kind, k.domain_id, k.user_id, u.kind, u.name, k.creator_id,
       k.creator_email, k.service_type, k.contract_author, k.description, k.ping_period,
       k.salted_pw IS NOT NULL, k.pw_set_at, k.created_at, k.last_seen_at
  FROM client k JOIN site s ON s.id = k.site_id JOIN domain_user u ON u.id = k.user_id
"""


@dataclass(frozen=True, slots=True, repr=False)
class ClientLogin:
    """What the tracker needs to authenticate a client and to tell whether it has changed.

    A stateless guest has `client_id` and `user_id` 0 and no password. `site_kind` must fit the
    category that the client claims (error 96); `salt` and `salted_password` are None while no
    password was generated (error 98).
    """

    client_id: int
    site_id: int
    site_kind: SiteKind
    user_id: int
    user_kind: UserKind
    salt: bytes | None = None
    salted_password: bytes | None = None
    ping_period: int = 0
    service_type: str | None = None
    contract_author: str | None = None
    description: str = ""


_TAKEN = """
SELECT 1 FROM client WHERE client_key = ? UNION ALL SELECT 1 FROM retired_key WHERE client_key = ?
"""
"""A key that a client has or had: programs that still use the old one must not meet another."""
_LOGIN = """
SELECT k.id, k.site_id, s.kind, k.user_id, u.kind, k.salt, k.salted_pw, k.ping_period,
       k.service_type, k.contract_author, k.description
  FROM client k JOIN site s ON s.id = k.site_id JOIN domain_user u ON u.id = k.user_id
 WHERE k.client_key = ?
"""


def add(
    tx: Tx, site_id: int, user_id: int, creator_id: int | None, *, creator_email: str | None = None
) -> Client:
    """Create a client of a user on a site, without a password yet.

    The clients of Owner and Private users are the owner's to create, those of a Contact user its
    partner's, those of Guest anybody's where guests are allowed (04 section 5.5). Guest clients
    alone may belong to a confirmed mail address instead of an account. Raises NotFound, Denied,
    Conflict, QuotaExceeded.
    """
    site = sites.get(tx, site_id)
    user = members.get_user(tx, user_id)
    if user.domain_id != site.domain_id:
        raise NotFound("This user does not exist in the site's domain. Reload the page.")
    _may_create(tx, site, user, creator_id)
    _within_quotas(tx, site, user, creator_id, creator_email)
    client_id = tx.insert(
        "client",
        client_key=credentials.draw_free_key(
            tx.entropy,
            tx.settings.key_length,
            lambda key: tx.one(_TAKEN, key, key) is not None,
        ),
        site_id=site_id,
        domain_id=site.domain_id,
        user_id=user_id,
        creator_id=creator_id,
        creator_email=creator_email,
        created_at=tx.now,
    )
    tx.changed(ClientAdded(site_id, client_id))
    return get(tx, client_id)


def get(reader: Reader, client_id: int) -> Client:
    """Return a client. Raises NotFound."""
    row = reader.one(f"{_SELECT} WHERE k.id = ?", client_id)
    if row is None:
        raise NotFound("This client does not exist any more. Reload the page.")
    return _client(row)


def by_key(reader: Reader, key: str) -> Client | None:
    """Return the client with this key, or None."""
    row = reader.one(f"{_SELECT} WHERE k.client_key = ?", key)
    return None if row is None else _client(row)


def list_for(reader: Reader, site_id: int) -> tuple[Client, ...]:
    """Return the clients of a site, newest first (04 section 6.7)."""
    rows = reader.rows(f"{_SELECT} WHERE k.site_id = ? ORDER BY k.id DESC", site_id)
    return tuple(_client(row) for row in rows)


def generate_password(tx: Tx, client_id: int) -> Secret:
    """Draw a new password, store it salted, and return it this one time. Raises NotFound."""
    password = credentials.draw_password(tx.entropy, tx.settings.client_password_length)
    store_password(tx, client_id, password)
    return password


def store_password(tx: Tx, client_id: int, password: Secret) -> None:
    """Store a password that was chosen elsewhere, a restored one say. Raises NotFound."""
    client = get(tx, client_id)
    salted = credentials.salt_password(tx.entropy, password)
    tx.run(
        "UPDATE client SET salt = ?, salted_pw = ?, pw_set_at = ? WHERE id = ?",
        salted.salt,
        salted.digest,
        tx.now,
        client_id,
    )
    tx.changed(ClientCredentialsChanged(client.site_id, client_id))


def set_ping_period(tx: Tx, client_id: int, seconds: int) -> Client:
    """Set the ping period: 0 for the endpoint's own value, or 10-300 s. Raises InvalidInput."""
    client = get(tx, client_id)
    seconds = names.ping_period(seconds)
    if seconds != client.ping_period:
        tx.run("UPDATE client SET ping_period = ? WHERE id = ?", seconds, client_id)
        tx.changed(ClientPingPeriodChanged(client.site_id, client_id, seconds))
    return get(tx, client_id)


def delete(tx: Tx, client_id: int) -> None:
    """Delete a client. Raises NotFound."""
    client = get(tx, client_id)
    tx.run("DELETE FROM client WHERE id = ?", client_id)
    tx.changed(ClientDeleted(client.site_id, client_id))


def login(reader: Reader, category: ClientCategory, key: str) -> ClientLogin | None:
    """Return the credentials of the client, or site, with this key, or None (error 97).

    Client keys and site keys are two name spaces; `category` tells which (04 section 2.3).
    """
    if category.stateless:
        row = reader.one("SELECT id, kind FROM site WHERE site_key = ?", key)
        if row is None:
            return None
        return ClientLogin(0, row[0], SiteKind(row[1]), 0, UserKind.STATELESS_GUEST)
    row = reader.one(_LOGIN, key)
    if row is None:
        return None
    return ClientLogin(row[0], row[1], SiteKind(row[2]), row[3], UserKind(row[4]), *row[5:])


def store_description(
    tx: Tx, client_id: int, service_type: str, contract_author: str, description: str
) -> None:
    """Remember what a client program said about itself and that it was here now.

    A client that is gone meanwhile is not an error: the endpoint is on its way out.
    """
    row = tx.one(
        "SELECT site_id, service_type, contract_author, description FROM client WHERE id = ?",
        client_id,
    )
    if row is None:
        return
    tx.run(
        "UPDATE client SET service_type = ?, contract_author = ?, description = ?,"
        " last_seen_at = ? WHERE id = ?",
        service_type,
        contract_author,
        description,
        tx.now,
        client_id,
    )
    if row[1:] != (service_type, contract_author, description):
        tx.changed(ClientDescribed(row[0], client_id))


def _may_create(tx: Tx, site: Site, user: DomainUser, creator_id: int | None) -> None:
    if user.kind is UserKind.GUEST:
        if not (site.guest_allowed and user.enabled):
            raise Conflict("Guests are not allowed on this site. Allow them first.")
    elif user.kind is UserKind.CONTACT:
        mine = creator_id is not None and user.partner_id == creator_id
        if not mine or user.contact_status is not ContactStatus.MUTUAL:
            raise Denied("Only the contact behind this user can create its clients.")
        found = members.rights(tx, site.id)
        if not any(rights.allowed for rights in found if rights.user.id == user.id):
            raise Denied("This user has no rights on the site any more. Ask the domain's owner.")
    elif site.owner_id != creator_id:
        raise Denied("Only the owner of the domain can create clients of this user.")


def _within_quotas(
    tx: Tx, site: Site, user: DomainUser, creator_id: int | None, creator_email: str | None
) -> None:
    settings = tx.settings
    kinds, limit, what = {
        UserKind.CONTACT: ((3, 3), settings.contact_clients_per_owner, "clients of contacts"),
        UserKind.GUEST: ((4, 4), settings.guest_clients_per_owner, "guest clients"),
    }.get(user.kind, ((1, 2), settings.private_clients_per_owner, "clients"))
    sql = (
        "SELECT count(*) FROM domain_user u JOIN client k ON k.user_id = u.id"
        " WHERE u.owner_id = ? AND u.kind BETWEEN ? AND ?"
    )
    if tx.number(sql, site.owner_id, *kinds) >= limit:
        raise QuotaExceeded(f"An owner's domains can have {limit} {what}. Delete one first.")
    if creator_email is not None:
        limit = settings.clients_per_address
        if tx.number("SELECT count(*) FROM client WHERE creator_email = ?", creator_email) >= limit:
            raise QuotaExceeded(f"One mail address can create {limit} clients. Delete one first.")
        return
    limit = settings.clients_per_creator
    if tx.number("SELECT count(*) FROM client WHERE creator_id = ?", creator_id) >= limit:
        raise QuotaExceeded(f"One account can create {limit} clients. Delete one first.")


def _client(row: Row) -> Client:
    return Client(
        id=row[0],
        key=row[1],
        site_id=row[2],
        site_kind=SiteKind(row[3]),
        domain_id=row[4],
        user_id=row[5],
        user_kind=UserKind(row[6]),
        user_name=row[7],
        creator_id=row[8],
        creator_email=row[9],
        service_type=row[10],
        contract_author=row[11],
        description=row[12],
        ping_period=row[13],
        has_password=bool(row[14]),
        password_set_at=row[15],
        created_at=row[16],
        last_seen_at=row[17],
    )
