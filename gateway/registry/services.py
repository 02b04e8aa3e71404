"""Services: one entity for each device, its credentials and what the device said (04, 4.2)."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.base.errors import Conflict, NotFound, QuotaExceeded
from gateway.base.secret import Secret
from gateway.model import names
from gateway.model.kinds import SiteKind
from gateway.model.sites import Service
from gateway.registry import credentials, sites
from gateway.registry.changes import (
    DeviceChanged,
    ServiceCredentialsChanged,
    ServiceDeleted,
    ServicePingPeriodChanged,
    SiteChanged,
)
from gateway.registry.database import Reader, Row, Tx

_SELECT = """
SELECT id, uid, site_id, hostname, enabled, ping_period, service_type, contract_author, version,
       ss_hash, salted_pw IS NOT NULL, pw_set_at, created_at, last_seen_at
  FROM service
"""


@dataclass(frozen=True, slots=True, repr=False)
class ServiceLogin:
    """What the tracker needs to authenticate a service and to tell whether it has changed.

    `salt` and `salted_password` are None while no password was generated (error 98).
    """

    service_id: int
    site_id: int
    salt: bytes | None
    salted_password: bytes | None
    ping_period: int
    service_type: str | None
    contract_author: str | None
    version: str
    ss_hash: bytes | None
    storage_uid: bytes | None


_LOGIN = """
SELECT id, site_id, salt, salted_pw, ping_period, service_type, contract_author, version, ss_hash,
       storage_uid
  FROM service WHERE uid = ?
"""


def add(tx: Tx, site_id: int, hostname: str = "") -> Service:
    """Add a service to a multi-service site; an empty hostname is numbered.

    Raises NotFound, InvalidInput, Conflict on a single-service site, QuotaExceeded.
    """
    site = sites.get(tx, site_id)
    if site.kind is SiteKind.SINGLE_SERVICE:
        raise Conflict(
            "A single-service site holds exactly one service. Make it a multi-service site first."
        )
    limit = tx.settings.services_per_site
    if tx.number("SELECT count(*) FROM service WHERE site_id = ?", site_id) >= limit:
        raise QuotaExceeded(f"A site can have {limit} services. Delete one first.")
    limit = tx.settings.services_per_owner
    owned = tx.number(
        "SELECT count(*) FROM service v JOIN site s ON s.id = v.site_id"
        " JOIN domain d ON d.id = s.domain_id WHERE d.owner_id = ?",
        site.owner_id,
    )
    if owned >= limit:
        raise QuotaExceeded(f"An owner can have {limit} services in all. Delete one first.")
    return get(tx, sites.insert_service(tx, site_id, hostname))


def get(reader: Reader, service_id: int) -> Service:
    """Return a service. Raises NotFound."""
    row = reader.one(f"{_SELECT} WHERE id = ?", service_id)
    if row is None:
        raise NotFound("This service does not exist any more. Reload the page.")
    return _service(row)


def by_uid(reader: Reader, uid: bytes) -> Service | None:
    """Return the service with this uid, or None."""
    row = reader.one(f"{_SELECT} WHERE uid = ?", uid)
    return None if row is None else _service(row)


def list_for(reader: Reader, site_id: int) -> tuple[Service, ...]:
    """Return the services of a site, oldest first."""
    rows = reader.rows(f"{_SELECT} WHERE site_id = ? ORDER BY id", site_id)
    return tuple(_service(row) for row in rows)


def generate_password(tx: Tx, service_id: int) -> Secret:
    """Draw a new password, store it salted, and return it this one time. Raises NotFound."""
    password = credentials.draw_password(tx.entropy, tx.settings.service_password_length)
    store_password(tx, service_id, password)
    return password


def store_password(tx: Tx, service_id: int, password: Secret) -> None:
    """Store a password that was chosen elsewhere, a restored one say. Raises NotFound."""
    service = get(tx, service_id)
    salted = credentials.salt_password(tx.entropy, password)
    tx.run(
        "UPDATE service SET salt = ?, salted_pw = ?, pw_set_at = ? WHERE id = ?",
        salted.salt,
        salted.digest,
        tx.now,
        service_id,
    )
    tx.changed(ServiceCredentialsChanged(service.site_id, service_id))
    tx.changed(SiteChanged(service.site_id))


def set_hostname(tx: Tx, service_id: int, hostname: str) -> Service:
    """Give a service another name; the device and all clients are told. Raises InvalidInput."""
    service = get(tx, service_id)
    hostname = names.hostname(hostname)
    if hostname != service.hostname:
        tx.run("UPDATE service SET hostname = ? WHERE id = ?", hostname, service_id)
        tx.changed(SiteChanged(service.site_id))
    return get(tx, service_id)


def set_enabled(tx: Tx, service_id: int, enabled: bool) -> Service:
    """Switch a service of a multi-service site on or off. Raises Conflict on a single one."""
    service = get(tx, service_id)
    if sites.get(tx, service.site_id).kind is SiteKind.SINGLE_SERVICE:
        raise Conflict("On a single-service site switch the site itself on or off.")
    if service.enabled != enabled:
        tx.run("UPDATE service SET enabled = ? WHERE id = ?", int(enabled), service_id)
        tx.changed(SiteChanged(service.site_id))
    return get(tx, service_id)


def set_ping_period(tx: Tx, service_id: int, seconds: int) -> Service:
    """Set the ping period: 0 for the endpoint's own value, or 10-300 s. Raises InvalidInput."""
    service = get(tx, service_id)
    seconds = names.ping_period(seconds)
    if seconds != service.ping_period:
        tx.run("UPDATE service SET ping_period = ? WHERE id = ?", seconds, service_id)
        tx.changed(ServicePingPeriodChanged(service.site_id, service_id, seconds))
        tx.changed(SiteChanged(service.site_id))
    return get(tx, service_id)


def delete(tx: Tx, service_id: int) -> None:
    """Delete a service of a multi-service site; a device bound to it is free again.

    Raises NotFound, Conflict on a single-service site.
    """
    service = get(tx, service_id)
    if sites.get(tx, service.site_id).kind is SiteKind.SINGLE_SERVICE:
        raise Conflict("A single-service site keeps its service. Delete the site instead.")
    for (device_id,) in tx.rows("SELECT id FROM device WHERE service_id = ?", service_id):
        tx.changed(DeviceChanged(device_id))
    tx.run("DELETE FROM service WHERE id = ?", service_id)
    tx.changed(ServiceDeleted(service.site_id, service_id))
    tx.changed(SiteChanged(service.site_id))


def login(reader: Reader, uid: bytes) -> ServiceLogin | None:
    """Return the credentials of the service with this uid, or None (error 95)."""
    row = reader.one(_LOGIN, uid)
    return None if row is None else ServiceLogin(*row)


def seen(
    tx: Tx, service_id: int, *, version: str | None = None, storage_uid: bytes | None = None
) -> None:
    """Remember that the service was here and, where given, its version and event storage.

    A service that is gone meanwhile is not an error: the endpoint is on its way out.
    """
    row = tx.one("SELECT site_id, version, storage_uid FROM service WHERE id = ?", service_id)
    if row is None:
        return
    site_id, old_version, old_storage = row
    version = old_version if version is None else version
    storage_uid = old_storage if storage_uid is None else storage_uid
    tx.run(
        "UPDATE service SET last_seen_at = ?, version = ?, storage_uid = ? WHERE id = ?",
        tx.now,
        version,
        storage_uid,
        service_id,
    )
    if (version, storage_uid) != (old_version, old_storage):
        tx.changed(SiteChanged(site_id))


def _service(row: Row) -> Service:
    return Service(
        id=row[0],
        uid=row[1],
        site_id=row[2],
        hostname=row[3],
        enabled=bool(row[4]),
        ping_period=row[5],
        service_type=row[6],
        contract_author=row[7],
        version=row[8],
        ss_hash=row[9],
        has_password=bool(row[10]),
        password_set_at=row[11],
        created_at=row[12],
        last_seen_at=row[13],
    )
