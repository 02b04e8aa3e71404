"""Sites: virtual hosts of a domain, their switches and their kind (04 sections 4.1 and 6.6)."""

from __future__ import annotations

from gateway.base.errors import Conflict, NotFound, QuotaExceeded
from gateway.model import names
from gateway.model.kinds import GuestSupport, SiteKind
from gateway.model.sites import Site
from gateway.registry import credentials, domains
from gateway.registry.changes import (
    ContactsChanged,
    DomainChanged,
    ServiceAdded,
    SiteAdded,
    SiteChanged,
    SiteRestartRequired,
)
from gateway.registry.database import Reader, Row, Tx

_SELECT = """
SELECT s.id, s.uid, s.domain_id, d.owner_id, s.site_key, s.kind, s.description, s.enabled,
       s.structured, s.service_type, s.contract_author, s.ss_hash, s.guest_support,
       s.guest_allowed, s.rbac, s.default_role_id, s.implicit_users, s.created_at
  FROM site s JOIN domain d ON d.id = s.domain_id
"""


def add(
    tx: Tx, domain_id: int, description: str = "", kind: SiteKind = SiteKind.SINGLE_SERVICE
) -> Site:
    """Create a blank site; a single-service one with Service1, a multi-service one without any.

    An empty description becomes SITE_n. Raises NotFound, InvalidInput, QuotaExceeded.
    """
    domains.get(tx, domain_id)
    count = tx.number("SELECT count(*) FROM site WHERE domain_id = ?", domain_id)
    if count >= tx.settings.sites_per_domain:
        raise QuotaExceeded(
            f"A domain can have {tx.settings.sites_per_domain} sites. Delete one first."
        )
    site_id = tx.insert(
        "site",
        uid=tx.entropy.uid(),
        domain_id=domain_id,
        site_key=credentials.draw_free_key(
            tx.entropy,
            tx.settings.key_length,
            lambda key: tx.one("SELECT 1 FROM site WHERE site_key = ?", key) is not None,
        ),
        kind=int(kind),
        description=names.site_description(description) or _numbered(tx, domain_id),
        created_at=tx.now,
    )
    tx.changed(SiteAdded(site_id))
    tx.changed(DomainChanged(domain_id))
    if kind is SiteKind.SINGLE_SERVICE:
        insert_service(tx, site_id, "")
    return get(tx, site_id)


def insert_service(tx: Tx, site_id: int, hostname: str) -> int:
    """Insert a service row and announce it; an empty hostname becomes Service1, Service2, ..."""
    if hostname.strip():
        hostname = names.hostname(hostname)
    else:
        tx.run("UPDATE site SET service_seq = service_seq + 1 WHERE id = ?", site_id)
        number = tx.number("SELECT service_seq FROM site WHERE id = ?", site_id)
        hostname = f"Service{number}"
    service_id = tx.insert(
        "service", uid=tx.entropy.uid(), site_id=site_id, hostname=hostname, created_at=tx.now
    )
    tx.changed(ServiceAdded(site_id, service_id))
    tx.changed(SiteChanged(site_id))
    return service_id


def get(reader: Reader, site_id: int) -> Site:
    """Return a site. Raises NotFound."""
    row = reader.one(f"{_SELECT} WHERE s.id = ?", site_id)
    if row is None:
        raise NotFound("This site does not exist any more. Reload the page.")
    return _site(row)


def by_key(reader: Reader, site_key: str) -> Site | None:
    """Return the site with this key, or None."""
    row = reader.one(f"{_SELECT} WHERE s.site_key = ?", site_key)
    return None if row is None else _site(row)


def list_for(reader: Reader, domain_id: int) -> tuple[Site, ...]:
    """Return the sites of a domain, newest first (04 section 6.3)."""
    rows = reader.rows(f"{_SELECT} WHERE s.domain_id = ? ORDER BY s.id DESC", domain_id)
    return tuple(_site(row) for row in rows)


def list_owned(reader: Reader, owner_id: int) -> tuple[Site, ...]:
    """Return all sites of an owner, oldest first."""
    rows = reader.rows(f"{_SELECT} WHERE d.owner_id = ? ORDER BY s.id", owner_id)
    return tuple(_site(row) for row in rows)


def rename(tx: Tx, site_id: int, description: str) -> Site:
    """Give a site another description; blank restores SITE_n. No endpoint hears of it."""
    site = get(tx, site_id)
    text = names.site_description(description) or _numbered(tx, site.domain_id)
    if text != site.description:
        tx.run("UPDATE site SET description = ? WHERE id = ?", text, site_id)
        tx.changed(SiteChanged(site_id))
    return get(tx, site_id)


def set_enabled(tx: Tx, site_id: int, enabled: bool) -> Site:
    """Switch a site on or off; all its endpoints are judged anew (04 section 7)."""
    site = get(tx, site_id)
    if site.enabled != enabled:
        tx.run("UPDATE site SET enabled = ? WHERE id = ?", int(enabled), site_id)
        tx.changed(SiteChanged(site_id))
        tx.changed(SiteRestartRequired(site_id))
    return get(tx, site_id)


def set_guest_allowed(tx: Tx, site_id: int, allowed: bool) -> Site:
    """Let Guest in or shut it out. Raises Conflict when the service does not support guests."""
    site = get(tx, site_id)
    if allowed and site.guest_support is GuestSupport.NONE:
        raise Conflict("The services of this site do not support guests, so none can be allowed.")
    if site.guest_allowed != allowed:
        tx.run("UPDATE site SET guest_allowed = ? WHERE id = ?", int(allowed), site_id)
        tx.changed(SiteChanged(site_id))
        tell_partners(tx, site.domain_id)
    return get(tx, site_id)


def set_default_role(tx: Tx, site_id: int, role_id: int | None) -> Site:
    """Set or, with None, remove the role that Owner and undedicated users have by default.

    Raises Conflict on a site without roles, NotFound for a role of another site.
    """
    site = get(tx, site_id)
    if role_id is not None:
        if not site.role_based:
            raise Conflict("This site has no roles. Use its implicit users instead.")
        if tx.one("SELECT 1 FROM role WHERE id = ? AND site_id = ?", role_id, site_id) is None:
            raise NotFound("This role does not exist on the site any more. Reload the page.")
    if site.default_role_id != role_id:
        tx.run("UPDATE site SET default_role_id = ? WHERE id = ?", role_id, site_id)
        tx.changed(SiteChanged(site_id))
        tell_partners(tx, site.domain_id)
    return get(tx, site_id)


def set_implicit_users(tx: Tx, site_id: int, allowed: bool) -> Site:
    """Let undedicated users in without adding each. Raises Conflict unless built without roles."""
    site = get(tx, site_id)
    if allowed and (site.role_based or not site.built):
        raise Conflict("Implicit users exist only on a built site without roles.")
    if site.implicit_users != allowed:
        tx.run("UPDATE site SET implicit_users = ? WHERE id = ?", int(allowed), site_id)
        tx.changed(SiteChanged(site_id))
        tell_partners(tx, site.domain_id)
    return get(tx, site_id)


def tell_partners(tx: Tx, domain_id: int) -> None:
    """Announce to those behind a domain's Contact users that they may see other sites than before.

    Who does not see a site is not told when that changes, or strangers would learn of its life.
    """
    partners = (
        "SELECT DISTINCT c.partner_id FROM domain_user u JOIN contact c ON c.id = u.contact_id"
        " WHERE u.domain_id = ? AND c.partner_id IS NOT NULL ORDER BY c.partner_id"
    )
    for (partner_id,) in tx.rows(partners, domain_id):
        tx.changed(ContactsChanged(partner_id))


def make_multi(tx: Tx, site_id: int) -> Site:
    """Turn a blank single-service site into a multi-service one, for good. Raises Conflict."""
    site = get(tx, site_id)
    if site.kind is SiteKind.MULTI_SERVICE:
        return site
    if site.built:
        raise Conflict(
            "Only a blank site can become a multi-service site, and this one is built. "
            "Create a new site instead."
        )
    tx.run("UPDATE site SET kind = ? WHERE id = ?", int(SiteKind.MULTI_SERVICE), site_id)
    tx.changed(SiteChanged(site_id))
    tx.changed(SiteRestartRequired(site_id))
    return get(tx, site_id)


def delete(tx: Tx, site_id: int) -> None:
    """Delete a site with its services and clients. Raises NotFound."""
    get(tx, site_id)
    domains.announce_site_deleted(tx, site_id)
    tx.run("DELETE FROM site WHERE id = ?", site_id)


def _numbered(tx: Tx, domain_id: int) -> str:
    tx.run("UPDATE domain SET site_seq = site_seq + 1 WHERE id = ?", domain_id)
    number = tx.number("SELECT site_seq FROM domain WHERE id = ?", domain_id)
    return f"SITE_{number}"


def _site(row: Row) -> Site:
    return Site(
        id=row[0],
        uid=row[1],
        domain_id=row[2],
        owner_id=row[3],
        site_key=row[4],
        kind=SiteKind(row[5]),
        description=row[6],
        enabled=bool(row[7]),
        built=bool(row[8]),
        service_type=row[9],
        contract_author=row[10],
        ss_hash=row[11],
        guest_support=GuestSupport(row[12]),
        guest_allowed=bool(row[13]),
        role_based=bool(row[14]),
        default_role_id=row[15],
        implicit_users=bool(row[16]),
        created_at=row[17],
    )
