"""Domains: an owner's projects, each with its Owner and Guest users (04 section 6.2)."""

from __future__ import annotations

from gateway.base.errors import NotFound, QuotaExceeded
from gateway.model import names
from gateway.model.kinds import UserKind
from gateway.model.sites import Domain
from gateway.registry.changes import DeviceChanged, DomainChanged, DomainDeleted, SiteDeleted
from gateway.registry.database import Reader, Tx

_SELECT = "SELECT id, owner_id, name, created_at FROM domain"


def add(tx: Tx, owner_id: int, name: str = "") -> Domain:
    """Create a domain with its Owner and Guest users; without a name it becomes DOMAIN_n.

    Raises NotFound, InvalidInput, QuotaExceeded.
    """
    if tx.one("SELECT 1 FROM owner WHERE id = ?", owner_id) is None:
        raise NotFound("This account does not exist any more. Reload the page.")
    count = tx.number("SELECT count(*) FROM domain WHERE owner_id = ?", owner_id)
    if count >= tx.settings.domains_per_owner:
        raise QuotaExceeded(
            f"An owner can have {tx.settings.domains_per_owner} domains. Delete one first."
        )
    name = names.domain_name(name) if name.strip() else _free_name(tx, owner_id, count + 1)
    domain_id = tx.insert("domain", owner_id=owner_id, name=name, created_at=tx.now)
    for kind, user_name in ((UserKind.OWNER, "Owner"), (UserKind.GUEST, "Guest")):
        tx.insert(
            "domain_user",
            domain_id=domain_id,
            owner_id=owner_id,
            kind=int(kind),
            name=user_name,
            created_at=tx.now,
        )
    tx.changed(DomainChanged(domain_id))
    return Domain(domain_id, owner_id, name, tx.now)


def get(reader: Reader, domain_id: int) -> Domain:
    """Return a domain. Raises NotFound."""
    row = reader.one(f"{_SELECT} WHERE id = ?", domain_id)
    if row is None:
        raise NotFound("This domain does not exist any more. Reload the page.")
    return Domain(*row)


def list_for(reader: Reader, owner_id: int) -> tuple[Domain, ...]:
    """Return the owner's domains by name."""
    rows = reader.rows(f"{_SELECT} WHERE owner_id = ? ORDER BY name COLLATE NOCASE, id", owner_id)
    return tuple(Domain(*row) for row in rows)


def rename(tx: Tx, domain_id: int, name: str) -> Domain:
    """Give a domain another name. Raises NotFound, InvalidInput."""
    domain = get(tx, domain_id)
    name = names.domain_name(name)
    if name != domain.name:
        tx.run("UPDATE domain SET name = ? WHERE id = ?", name, domain_id)
        tx.changed(DomainChanged(domain_id))
    return get(tx, domain_id)


def delete(tx: Tx, domain_id: int) -> None:
    """Delete a domain with its sites, users and everything below. Raises NotFound."""
    get(tx, domain_id)
    for (site_id,) in tx.rows("SELECT id FROM site WHERE domain_id = ? ORDER BY id", domain_id):
        announce_site_deleted(tx, site_id)
    tx.run("DELETE FROM domain WHERE id = ?", domain_id)
    tx.changed(DomainDeleted(domain_id))


def announce_site_deleted(tx: Tx, site_id: int) -> None:
    """Announce that a site goes, and that devices bound to its services are free again."""
    tx.changed(SiteDeleted(site_id))
    sql = "SELECT d.id FROM device d JOIN service s ON s.id = d.service_id WHERE s.site_id = ?"
    for (device_id,) in tx.rows(sql, site_id):
        tx.changed(DeviceChanged(device_id))


def _free_name(tx: Tx, owner_id: int, number: int) -> str:
    taken = {row[0] for row in tx.rows("SELECT name FROM domain WHERE owner_id = ?", owner_id)}
    while f"DOMAIN_{number}" in taken:
        number += 1
    return f"DOMAIN_{number}"
