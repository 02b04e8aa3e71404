"""Building a site from what a device declared, and rebuilding it from another (04 section 6.9)."""

from __future__ import annotations

import json
from typing import Any

from gateway.base.errors import Conflict, InvalidInput
from gateway.model.kinds import EventKind, GuestAccess, GuestSupport, UserKind
from gateway.model.sites import Role, Site
from gateway.model.structure import EVENTS_MAX, ROLES_MAX, EventDefinition, SiteStructure
from gateway.registry import members, services, sites
from gateway.registry.changes import SiteChanged, SiteRestartRequired
from gateway.registry.database import Reader, Tx


def store_for_service(
    tx: Tx, service_id: int, structure: SiteStructure, version: str, ss_hash: bytes
) -> None:
    """Store what a device declared about itself; `ss_hash` is the tracker's own 20 octets.

    This comes before any judgement, so that a conflict becomes visible (04 section 4.4).
    Raises NotFound for an unknown service.
    """
    service = services.get(tx, service_id)
    document = to_json(structure)
    old = tx.one("SELECT ss_doc, ss_hash, version FROM service WHERE id = ?", service_id)
    tx.run(
        "UPDATE service SET service_type = ?, contract_author = ?, version = ?, ss_hash = ?,"
        " ss_doc = ?, last_seen_at = ? WHERE id = ?",
        structure.service_type,
        structure.contract_author,
        version,
        ss_hash,
        document,
        tx.now,
        service_id,
    )
    if old != (document, ss_hash, version):
        tx.changed(SiteChanged(service.site_id))


def of_service(reader: Reader, service_id: int) -> SiteStructure | None:
    """Return the structure that a device last declared, or None. Raises NotFound."""
    services.get(reader, service_id)
    row = reader.one("SELECT ss_doc FROM service WHERE id = ?", service_id)
    return None if row is None or row[0] is None else from_json(row[0])


def build(tx: Tx, site_id: int, service_id: int) -> bool:
    """Build a blank site from the structure stored for one of its services.

    Returns False, and changes nothing, when the site is built already: another device was first.
    Raises Conflict when the service declared none, or is of another site.
    """
    if sites.get(tx, site_id).built:
        return False
    apply(tx, site_id, service_id)
    return True


def apply(tx: Tx, site_id: int, service_id: int) -> None:
    """Rebuild a site from the structure stored for one of its services, also when nothing differs.

    With the same type and author, roles and events of equal name keep their ids, assignments and
    subscriptions; otherwise everything is built anew. All endpoints of the site are judged anew.
    Raises NotFound, Conflict when the service declared none, or is of another site.
    """
    site = sites.get(tx, site_id)
    service = services.get(tx, service_id)
    structure = of_service(tx, service_id)
    if service.site_id != site_id:
        raise Conflict("The service belongs to another site. Reload the page.")
    if structure is None:
        raise Conflict("This service has not declared a structure yet. Connect its device first.")
    same_type = site.built and (site.service_type, site.contract_author) == (
        structure.service_type,
        structure.contract_author,
    )
    same_rules = same_type and structure.role_based == site.role_based
    if not same_type:
        tx.run("DELETE FROM event WHERE site_id = ?", site_id)
    if not same_rules:
        tx.run("DELETE FROM role WHERE site_id = ?", site_id)
        tx.run("DELETE FROM site_user WHERE site_id = ?", site_id)
        tx.run("UPDATE site SET implicit_users = 0, default_role_id = NULL WHERE id = ?", site_id)
    _write_site(tx, site, structure, service.ss_hash, same_type=same_type)
    _write_roles(tx, site_id, structure.roles)
    if not same_rules and structure.owner_role is not None:
        _grant_owner_role(tx, site, structure.owner_role)
    _write_events(tx, site_id, structure)
    tx.changed(SiteChanged(site_id))
    tx.changed(SiteRestartRequired(site_id))


def roles(reader: Reader, site_id: int) -> tuple[Role, ...]:
    """Return the roles of a site in declared order."""
    return members.list_roles(reader, site_id)


def events(reader: Reader, site_id: int) -> tuple[EventDefinition, ...]:
    """Return the events of a site in the order of their declaration."""
    allowed: dict[int, tuple[str, ...]] = {}
    sql = (
        "SELECT er.event_id, r.name FROM event e JOIN event_role er ON er.event_id = e.id"
        " JOIN role r ON r.id = er.role_id WHERE e.site_id = ? ORDER BY r.idx"
    )
    for event_id, name in reader.rows(sql, site_id):
        allowed[event_id] = (*allowed.get(event_id, ()), name)
    sql = (
        "SELECT id, kind, name, coalesce(life_time, 0), coalesce(queue_size, 0), guest_access"
        " FROM event WHERE site_id = ? ORDER BY id"
    )
    return tuple(
        EventDefinition(
            EventKind(kind), name, life, queue, GuestAccess(guests), allowed.get(event_id, ())
        )
        for event_id, kind, name, life, queue, guests in reader.rows(sql, site_id)
    )


def to_json(structure: SiteStructure) -> str:
    """Return the canonical text that a structure is stored as."""
    document: dict[str, Any] = {
        "type": structure.service_type,
        "author": structure.contract_author,
        "guests": int(structure.guest_support),
        "roles": list(structure.roles),
        "owner_role": structure.owner_role,
        "events": [
            {
                "kind": int(event.kind),
                "name": event.name,
                "life": event.lifetime,
                "queue": event.queue_size,
                "guests": int(event.guest_access),
                "roles": list(event.roles),
            }
            for event in structure.events
        ],
    }
    return json.dumps(document, ensure_ascii=True, separators=(",", ":"), sort_keys=True)


def from_json(text: str) -> SiteStructure:
    """Return the structure that `to_json` made a text of."""
    document = json.loads(text)
    return SiteStructure(
        service_type=document["type"],
        contract_author=document["author"],
        guest_support=GuestSupport(document["guests"]),
        roles=tuple(document["roles"]),
        owner_role=document["owner_role"],
        events=tuple(
            EventDefinition(
                EventKind(event["kind"]),
                event["name"],
                event["life"],
                event["queue"],
                GuestAccess(event["guests"]),
                tuple(event["roles"]),
            )
            for event in document["events"]
        ),
    )


def _write_site(
    tx: Tx, site: Site, structure: SiteStructure, ss_hash: bytes | None, *, same_type: bool
) -> None:
    supported = structure.guest_support > GuestSupport.NONE
    tx.run(
        "UPDATE site SET structured = 1, service_type = ?, contract_author = ?, ss_hash = ?,"
        " rbac = ?, guest_support = ?, guest_allowed = ? WHERE id = ?",
        structure.service_type,
        structure.contract_author,
        ss_hash,
        int(structure.role_based),
        int(structure.guest_support),
        int(site.guest_allowed and supported and same_type),
        site.id,
    )


def _write_roles(tx: Tx, site_id: int, declared: tuple[str, ...]) -> None:
    """Have the site's roles be the declared ones; equal names keep their rows."""
    if len(declared) > ROLES_MAX:
        raise InvalidInput(f"A structure can have {ROLES_MAX} roles.", "roles")
    present = {role.name: role.id for role in members.list_roles(tx, site_id)}
    for name in present.keys() - set(declared):
        tx.run("DELETE FROM role WHERE id = ?", present[name])
    for position, name in enumerate(declared, 1):
        if name in present:
            tx.run("UPDATE role SET idx = ? WHERE id = ?", position, present[name])
        else:
            tx.insert("role", site_id=site_id, name=name, idx=position)


def _grant_owner_role(tx: Tx, site: Site, role_name: str) -> None:
    tx.run(
        "INSERT INTO user_role(user_id, role_id)"
        " SELECT u.id, r.id FROM domain_user u, role r"
        " WHERE u.domain_id = ? AND u.kind = ? AND r.site_id = ? AND r.name = ?",
        site.domain_id,
        int(UserKind.OWNER),
        site.id,
        role_name,
    )


def _write_events(tx: Tx, site_id: int, structure: SiteStructure) -> None:
    """Have the site's events be the declared ones; equal kind and name keep their rows."""
    if len(structure.events) > EVENTS_MAX:
        raise InvalidInput(f"A structure can have {EVENTS_MAX} events.", "events")
    present = {
        (kind, name): event_id
        for event_id, kind, name in tx.rows(
            "SELECT id, kind, name FROM event WHERE site_id = ?", site_id
        )
    }
    role_ids = {role.name: role.id for role in members.list_roles(tx, site_id)}
    declared = {(int(event.kind), event.name) for event in structure.events}
    for key in present.keys() - declared:
        tx.run("DELETE FROM event WHERE id = ?", present[key])
    for event in structure.events:
        event_id = present.get((int(event.kind), event.name))
        limits = {
            "life_time": event.lifetime or None,
            "queue_size": event.queue_size or None,
            "guest_access": int(event.guest_access),
        }
        if event_id is None:
            event_id = tx.insert(
                "event", site_id=site_id, kind=int(event.kind), name=event.name, **limits
            )
        else:
            tx.run(
                "UPDATE event SET life_time = ?, queue_size = ?, guest_access = ? WHERE id = ?",
                *limits.values(),
                event_id,
            )
            tx.run("DELETE FROM event_role WHERE event_id = ?", event_id)
        for name in event.roles:
            tx.insert("event_role", event_id=event_id, role_id=role_ids[name])
