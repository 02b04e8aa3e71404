"""Loading all that a tracker must know of a site: one statement for each table."""

from __future__ import annotations

from gateway.access.membership import (
    SiteRules,
    UserFacts,
    effective_members,
    guests_admitted,
)
from gateway.base.errors import NotFound
from gateway.model.kinds import Authority, ContactStatus, GuestSupport, SiteKind, UserKind
from gateway.model.snapshot import Member, SiteSnapshot, SnapshotService
from gateway.model.structure import SiteStructure
from gateway.registry import members, structure
from gateway.registry.database import Reader, Row

_SITE = """
SELECT s.id, s.uid, s.kind, s.enabled, o.enabled AND o.authority >= ?, s.domain_id, s.structured,
       s.service_type, s.contract_author, s.ss_hash, s.guest_support, s.guest_allowed, s.rbac,
       s.default_role_id, s.implicit_users
  FROM site s JOIN domain d ON d.id = s.domain_id JOIN owner o ON o.id = d.owner_id
 WHERE s.id = ?
"""
_SERVICES = """
SELECT id, uid, hostname, enabled, version, ping_period, service_type, contract_author, ss_hash,
       storage_uid, coalesce(salt, x''),
       EXISTS (SELECT 1 FROM device WHERE device.service_id = service.id)
  FROM service WHERE site_id = ? ORDER BY id
"""
_USERS = """
SELECT u.id, u.kind, u.name, u.dedicated, u.enabled,
       u.contact_id IS NULL OR (cs.status = ? AND p.enabled = 1)
  FROM domain_user u
  LEFT JOIN contact_state cs ON cs.id = u.contact_id
  LEFT JOIN owner p ON p.id = cs.partner_id
 WHERE u.domain_id = ? ORDER BY u.id
"""


def load(reader: Reader, site_id: int) -> SiteSnapshot:
    """Return the site as it is now. Raises NotFound."""
    row = reader.one(_SITE, int(Authority.PROVIDER), site_id)
    if row is None:
        raise NotFound("This site does not exist any more.")
    kind, enabled, eligible, domain_id, built = row[2:7]
    rules = SiteRules(bool(row[12]), GuestSupport(row[10]), bool(row[11]), row[13], bool(row[14]))
    granted = members.grants(reader, site_id, role_based=rules.role_based) if built else {}
    facts = [
        UserFacts(
            user_id,
            UserKind(user_kind),
            name,
            bool(dedicated),
            bool(user_enabled),
            bool(reachable),
            granted.get(user_id, ()),
            user_id in granted,
        )
        for user_id, user_kind, name, dedicated, user_enabled, reachable in reader.rows(
            _USERS, int(ContactStatus.MUTUAL), domain_id
        )
    ]
    guest = next(user for user in facts if user.kind is UserKind.GUEST)
    roles = structure.roles(reader, site_id) if built else ()
    return SiteSnapshot(
        id=site_id,
        uid=row[1],
        kind=SiteKind(kind),
        enabled=bool(enabled),
        owner_eligible=bool(eligible),
        structure=SiteStructure(
            row[7],
            row[8],
            rules.guest_support,
            tuple(role.name for role in roles),
            None,  # who got the owner role is in the assignments; the site keeps no trace of it
            structure.events(reader, site_id),
        )
        if built
        else None,
        ss_hash=row[9],
        guest_allowed=bool(built) and guests_admitted(rules, guest.enabled),
        roles=tuple(sorted((role.id, role.name) for role in roles)),
        services=tuple(_service(found) for found in reader.rows(_SERVICES, site_id)),
        members=effective_members(rules, facts) if built else (),
        users={user.user_id: Member(user.user_id, user.kind, user.name) for user in facts},
        guest_user_id=guest.user_id,
    )


def _service(row: Row) -> SnapshotService:
    return SnapshotService(
        id=row[0],
        uid=row[1],
        hostname=row[2],
        enabled=bool(row[3]),
        version=row[4],
        ping_period=row[5],
        service_type=row[6],
        contract_author=row[7],
        ss_hash=row[8],
        storage_uid=row[9],
        credential_stamp=row[10],
        own=bool(row[11]),
    )
