"""What administrators do to other accounts, and what is refused even to them (04 section 6.11).

Administrators themselves are changed with the local tool only. Every function takes who acts, so
that none can be called without the question being asked.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.access.operators import Standing, decide_about_owner
from gateway.base.errors import Denied
from gateway.base.secret import Secret
from gateway.model.accounts import Owner
from gateway.model.kinds import Authority
from gateway.registry import action_tokens, owners, people
from gateway.registry.action_tokens import Purpose
from gateway.registry.database import Reader, Tx
from gateway.registry.passwords import PasswordRecord
from gateway.registry.people import Key, Page


@dataclass(frozen=True, slots=True)
class UserPage:
    """An account as the administrator sees it; `editable` False for administrators."""

    owner: Owner
    editable: bool
    domains: int
    sites: int
    clients: int
    contacts: int


@dataclass(frozen=True, slots=True)
class Loss:
    """What goes with an account, for the question asked before it is deleted."""

    domains: int
    sites: int
    clients: int


def search(
    reader: Reader, text: str, *, after: Key | None = None, before: Key | None = None
) -> Page[Owner]:
    """Return accounts by name, 15 a page, disabled ones and administrators included."""
    found = people.search(reader, text, after=after, before=before)
    return Page(tuple(owners.get(reader, one) for one in found.rows), found.before, found.after)


def user_page(reader: Reader, owner_id: int) -> UserPage:
    """Return what the page of an account shows. Raises NotFound."""
    owner = owners.get(reader, owner_id)
    lost = loss(reader, owner_id)
    contacts = reader.number("SELECT count(*) FROM contact WHERE owner_id = ?", owner_id)
    editable = owner.authority is not Authority.ADMINISTRATOR
    return UserPage(owner, editable, lost.domains, lost.sites, lost.clients, contacts)


def loss(reader: Reader, owner_id: int) -> Loss:
    """Return how much goes with an account: its domains with all in them, clients it created."""
    own = "(SELECT id FROM domain WHERE owner_id = ?1)"
    row = reader.one(
        f"SELECT (SELECT count(*) FROM domain WHERE owner_id = ?1),"  # noqa: S608  (ours)
        f" (SELECT count(*) FROM site WHERE domain_id IN {own}),"
        f" (SELECT count(*) FROM client WHERE creator_id = ?1 OR domain_id IN {own})",
        owner_id,
    )
    return Loss(*row) if row else Loss(0, 0, 0)


def set_provider(tx: Tx, actor_id: int | None, owner_id: int, provider: bool) -> Owner:
    """Assign or revoke the Provider role; all endpoints of owned sites are judged anew.

    Raises NotFound, Denied for administrators and from anybody else.
    """
    changeable(tx, actor_id, owner_id)
    return owners.set_authority(
        tx, owner_id, Authority.PROVIDER if provider else Authority.CONSUMER
    )


def set_enabled(tx: Tx, actor_id: int | None, owner_id: int, enabled: bool) -> Owner:
    """Enable or disable an account; open links of a disabled one are void. Raises as above."""
    changeable(tx, actor_id, owner_id)
    if not enabled:
        _void_links(tx, owner_id)
    return owners.set_enabled(tx, owner_id, enabled)


def unlock(tx: Tx, actor_id: int | None, owner_id: int) -> Owner:
    """Take back a lock that wrong passwords brought, an administrator's too. Raises as above."""
    _is_administrator(tx, actor_id)
    return owners.unlock(tx, owner_id)


def set_password(
    tx: Tx, actor_id: int | None, owner_id: int, password: Secret | PasswordRecord
) -> None:
    """Give an account another password where no mail can; its sessions end. Raises as above."""
    changeable(tx, actor_id, owner_id)
    owners.set_password(tx, owner_id, password)
    _void_links(tx, owner_id)


def delete(tx: Tx, actor_id: int | None, owner_id: int) -> Loss:
    """Delete an account with all that 04 section 8 names; return how much. Raises as above."""
    changeable(tx, actor_id, owner_id)
    gone = loss(tx, owner_id)
    owners.delete(tx, owner_id)
    return gone


def changeable(reader: Reader, actor_id: int | None, owner_id: int) -> Owner:
    """Return the account, unless it is an administrator's and this is not the box's own token.

    Raises NotFound, Denied.
    """
    standing = _is_administrator(reader, actor_id)
    owner = owners.get(reader, owner_id)
    if actor_id is not None:
        decide_about_owner(standing, owner.authority).enforce()
    return owner


def _is_administrator(reader: Reader, actor_id: int | None) -> Standing:
    """Return the standing of who acts; None is the box's own token. Raises Denied."""
    if actor_id is None:
        return Standing.ADMINISTRATOR
    actor = owners.get(reader, actor_id)
    if not actor.enabled or actor.authority is not Authority.ADMINISTRATOR:
        raise Denied("Only an administrator of this box may do this.")
    return Standing.ADMINISTRATOR


def _void_links(tx: Tx, owner_id: int) -> None:
    action_tokens.void(tx, owner_id, Purpose.RESET_PASSWORD, Purpose.UNLOCK, Purpose.SET_EMAIL)
