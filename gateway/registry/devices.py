"""Devices: cameras that were sighted, adopted as services, or waved aside."""

from __future__ import annotations

import dataclasses
import json
import unicodedata
from collections.abc import Mapping

from gateway.base.errors import Conflict, InvalidInput, NotFound, QuotaExceeded
from gateway.model.devices import Device, DeviceState, Sighting
from gateway.registry import services
from gateway.registry.changes import DeviceChanged, DeviceDeleted
from gateway.registry.database import Reader, Row, Tx

IDENTITY_MAX = 256
TEXT_MAX = 256
PATH_MAX = 2048
PROPERTIES_MAX = 64
"""A camera tells a dozen things about itself; more is noise or malice."""
SEEN_EVERY = 300
"""Seconds between two notes of an unchanged sighting: discovery may repeat itself every few."""

_SELECT = """
SELECT d.id, d.identity, d.driver, d.name, d.maker, d.model, d.firmware, d.serial, d.mac, d.address,
       d.port, d.path, d.properties, d.state, d.service_id, s.site_id, d.created_at,
       d.last_seen_at, d.adopted_at
  FROM device d LEFT JOIN service s ON s.id = d.service_id
"""
_TEXTS = ("driver", "name", "maker", "model", "firmware", "serial", "mac", "address", "path")


def upsert_sighting(tx: Tx, sighting: Sighting) -> Device:
    """Remember a device, new or known, with what was seen of it now.

    Texts come from the network: they are cut and cleaned. Facts that this sighting lacks are kept,
    and an adopted device keeps its name and driver. Raises InvalidInput without an identity,
    QuotaExceeded when too many devices wait already.
    """
    identity = _identity(sighting.identity)
    row = tx.one(f"{_SELECT} WHERE d.identity = ?", identity)
    if row is None:
        return _insert(tx, dataclasses.replace(sighting, identity=identity))
    known = _device(row)
    merged = _merged(known, sighting)
    if merged != known.seen:
        _update(tx, known.id, merged)
        tx.changed(DeviceChanged(known.id))
    elif tx.now - known.last_seen_at >= SEEN_EVERY:
        tx.run("UPDATE device SET last_seen_at = ? WHERE id = ?", tx.now, known.id)
    return get(tx, known.id)


def adopt(tx: Tx, device_id: int, service_id: int) -> Device:
    """Bind a device to the service that stands for it.

    Raises NotFound, Conflict when the device or the service is bound already.
    """
    device = get(tx, device_id)
    services.get(tx, service_id)
    if device.state is DeviceState.ADOPTED:
        if device.service_id == service_id:
            return device
        raise Conflict(f"{device.name} is adopted already. Forget it first.")
    if by_service(tx, service_id) is not None:
        raise Conflict("Another device is bound to this service already. Add a service for it.")
    tx.run(
        "UPDATE device SET state = ?, service_id = ?, adopted_at = ? WHERE id = ?",
        str(DeviceState.ADOPTED),
        service_id,
        tx.now,
        device_id,
    )
    tx.changed(DeviceChanged(device_id))
    return get(tx, device_id)


def set_state(tx: Tx, device_id: int, state: DeviceState) -> Device:
    """Set a device free (PENDING) or wave it aside (IGNORED); ADOPTED is what `adopt` is for.

    The service of an adopted device stays. Raises NotFound, InvalidInput.
    """
    device = get(tx, device_id)
    if state is DeviceState.ADOPTED and device.state is not DeviceState.ADOPTED:
        raise InvalidInput("A device is adopted onto a service. Choose the service.", "state")
    if state is not device.state:
        tx.run(
            "UPDATE device SET state = ?, service_id = NULL, adopted_at = NULL WHERE id = ?",
            str(state),
            device_id,
        )
        tx.changed(DeviceChanged(device_id))
    return get(tx, device_id)


def get(reader: Reader, device_id: int) -> Device:
    """Return a device. Raises NotFound."""
    row = reader.one(f"{_SELECT} WHERE d.id = ?", device_id)
    if row is None:
        raise NotFound("This device does not exist any more. Reload the page.")
    return _device(row)


def by_identity(reader: Reader, identity: str) -> Device | None:
    """Return the device with this stable identity, or None."""
    row = reader.one(f"{_SELECT} WHERE d.identity = ?", identity)
    return None if row is None else _device(row)


def by_service(reader: Reader, service_id: int) -> Device | None:
    """Return the device bound to a service, or None."""
    row = reader.one(f"{_SELECT} WHERE d.service_id = ?", service_id)
    return None if row is None else _device(row)


def list_all(reader: Reader, state: DeviceState | None = None) -> tuple[Device, ...]:
    """Return all devices, or those in one state, by name."""
    rows = reader.rows(
        f"{_SELECT} WHERE ? IS NULL OR d.state = ? ORDER BY d.name COLLATE NOCASE, d.id",
        state,
        state,
    )
    return tuple(_device(row) for row in rows)


def rename(tx: Tx, device_id: int, name: str) -> Device:
    """Give a device a name; an adopted one's service takes it as its hostname.

    Raises NotFound, InvalidInput.
    """
    device = get(tx, device_id)
    if device.service_id is not None:
        name = services.set_hostname(tx, device.service_id, name).hostname
    name = clean(name)
    if not name:
        raise InvalidInput("The name must have at least one character.", "name")
    if name != device.seen.name:
        tx.run("UPDATE device SET name = ? WHERE id = ?", name, device_id)
        tx.changed(DeviceChanged(device_id))
    return get(tx, device_id)


def forget(tx: Tx, device_id: int) -> None:
    """Delete a device's row; its service, if it has one, stays. Raises NotFound."""
    get(tx, device_id)
    tx.run("DELETE FROM device WHERE id = ?", device_id)
    tx.changed(DeviceDeleted(device_id))


def clean(text: str, longest: int = TEXT_MAX) -> str:
    """Return a text from the network without controls and double blanks, trimmed and cut."""
    kept = (char if unicodedata.category(char)[0] != "C" else " " for char in text[: longest * 2])
    return " ".join("".join(kept).split())[:longest].strip()


def _insert(tx: Tx, sighting: Sighting) -> Device:
    limit = tx.settings.pending_devices
    if tx.number("SELECT count(*) FROM device WHERE state <> 'adopted'") >= limit:
        raise QuotaExceeded(f"{limit} devices wait already. Adopt or forget some.")
    blank = Sighting(sighting.identity, sighting.driver)
    values = _columns(_combined(blank, sighting))
    device_id = tx.insert(
        "device", identity=sighting.identity, created_at=tx.now, last_seen_at=tx.now, **values
    )
    tx.changed(DeviceChanged(device_id))
    return get(tx, device_id)


def _update(tx: Tx, device_id: int, sighting: Sighting) -> None:
    values = _columns(sighting)
    assignments = ", ".join(f"{column} = ?" for column in values)
    sql = f"UPDATE device SET {assignments}, last_seen_at = ? WHERE id = ?"  # noqa: S608
    tx.run(sql, *values.values(), tx.now, device_id)


def _merged(known: Device, sighting: Sighting) -> Sighting:
    merged = _combined(known.seen, sighting)
    if known.state is DeviceState.ADOPTED:
        merged = dataclasses.replace(merged, name=known.seen.name, driver=known.seen.driver)
    return merged


def _combined(old: Sighting, new: Sighting) -> Sighting:
    texts = {
        name: clean(getattr(new, name), PATH_MAX if name == "path" else TEXT_MAX)
        or getattr(old, name)
        for name in _TEXTS
    }
    texts["driver"] = texts["driver"][:64]
    texts["mac"] = texts["mac"][:32]
    return Sighting(
        identity=old.identity,
        port=new.port if 0 < new.port <= 65_535 else old.port,
        properties=_properties({**old.properties, **new.properties}),
        **texts,
    )


def _properties(raw: Mapping[str, str]) -> dict[str, str]:
    named = sorted((clean(key, 64), clean(value, 200)) for key, value in raw.items())
    return dict(named[:PROPERTIES_MAX])


def _columns(sighting: Sighting) -> dict[str, object]:
    texts = {name: getattr(sighting, name) for name in _TEXTS}
    properties = json.dumps(dict(sighting.properties), separators=(",", ":"), ensure_ascii=False)
    return {**texts, "port": sighting.port, "properties": properties}


def _identity(text: str) -> str:
    cleaned = clean(text, IDENTITY_MAX)
    if not cleaned or cleaned != text:
        raise InvalidInput(
            f"A device needs an identity of 1 to {IDENTITY_MAX} printable characters.", "identity"
        )
    return cleaned


def _device(row: Row) -> Device:
    return Device(
        id=row[0],
        seen=Sighting(*(*row[1:12], json.loads(row[12]))),
        state=DeviceState(row[13]),
        service_id=row[14],
        site_id=row[15],
        created_at=row[16],
        last_seen_at=row[17],
        adopted_at=row[18],
    )
