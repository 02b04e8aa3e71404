"""The home page: domains and contacts that an account used lately (04 section 6.1)."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from gateway.base.errors import NotFound
from gateway.model.contacts import Contact
from gateway.model.sites import Domain
from gateway.registry import contacts, domains
from gateway.registry.database import Reader, Tx

SHOWN = 10
KEPT = 50
"""Entries of one account and kind; older ones are forgotten."""


class What(enum.StrEnum):
    """What is remembered; the values stand in the file."""

    DOMAIN = "domain"
    CONTACT = "contact"


@dataclass(frozen=True, slots=True)
class Recent:
    """Most recent first; contacts that became unusable apart."""

    domains: tuple[Domain, ...]
    contacts: tuple[Contact, ...]
    unusable: tuple[Contact, ...]


def used(tx: Tx, owner_id: int, what: What, ref_id: int) -> None:
    """Remember that an account opened a domain or a contact of its own. Raises NotFound."""
    if what is What.CONTACT:
        contacts.mine(tx, owner_id, ref_id)
    elif domains.get(tx, ref_id).owner_id != owner_id:
        raise NotFound("This domain does not exist any more. Reload the page.")
    # Two pages opened within one second keep their order by counting on.
    latest = tx.number("SELECT max(used_at) FROM recent_use WHERE owner_id = ?", owner_id)
    tx.run(
        "INSERT INTO recent_use(owner_id, what, ref_id, used_at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT(owner_id, what, ref_id) DO UPDATE SET used_at = excluded.used_at",
        owner_id,
        str(what),
        ref_id,
        max(tx.now, latest + 1),
    )
    tx.run(
        "DELETE FROM recent_use WHERE owner_id = ?1 AND what = ?2 AND ref_id NOT IN (SELECT ref_id"
        " FROM recent_use WHERE owner_id = ?1 AND what = ?2 ORDER BY used_at DESC LIMIT ?3)",
        owner_id,
        str(what),
        KEPT,
    )


def shown(reader: Reader, owner_id: int) -> Recent:
    """Return what the home page lists; what was deleted meanwhile is left out."""
    mine = {contact.id: contact for contact in contacts.list_for(reader, owner_id)}
    opened = [mine[one] for one in _refs(reader, owner_id, What.CONTACT) if one in mine]
    own = {domain.id: domain for domain in domains.list_for(reader, owner_id)}
    return Recent(
        tuple(own[one] for one in _refs(reader, owner_id, What.DOMAIN) if one in own)[:SHOWN],
        tuple(contact for contact in opened if contact.usable)[:SHOWN],
        tuple(contact for contact in opened if not contact.usable)[:SHOWN],
    )


def _refs(reader: Reader, owner_id: int, what: What) -> list[int]:
    rows = reader.rows(
        "SELECT ref_id FROM recent_use WHERE owner_id = ? AND what = ? ORDER BY used_at DESC",
        owner_id,
        str(what),
    )
    return [row[0] for row in rows]
