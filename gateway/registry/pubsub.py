"""What the tracker keeps of events, in batches; read again when a site is loaded (03 section 4)."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.registry.database import Reader, Tx
from gateway.site.retained import Batch, Instance, Retained

_INSTANCE = """
INSERT INTO event_instance(site_id, id, event_id, service_id, client_id, instance_uid, created_at,
                           is_null, arguments)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9
 WHERE EXISTS (SELECT 1 FROM service WHERE id = ?4 AND site_id = ?1)
"""
_MARK = """
INSERT INTO event_mark(service_id, event_id, instance_uid)
SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT 1 FROM service WHERE id = ?1)
    ON CONFLICT DO UPDATE SET instance_uid = excluded.instance_uid
"""
_CURSOR = """
INSERT INTO event_subscription(cursor, client_id, event_id)
SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT 1 FROM client WHERE id = ?2)
    ON CONFLICT DO UPDATE SET cursor = excluded.cursor
"""
_SEQUENCE = """
INSERT INTO event_sequence(site_id, last_id) VALUES (?, ?)
    ON CONFLICT DO UPDATE SET last_id = max(last_id, excluded.last_id)
"""
_EXPIRED = """
DELETE FROM event_instance WHERE (site_id, id) IN (
  SELECT i.site_id, i.id FROM event e JOIN event_instance i ON i.event_id = e.id
   WHERE e.life_time IS NOT NULL AND i.created_at <= ? - e.life_time LIMIT ?)
"""
EXPIRED_AT_ONCE = 2_000
"""Instances that one sweep's transaction deletes; bounds how long others wait for the writer."""


def load(reader: Reader, site_id: int) -> Retained:
    """Return what is kept of a site's events."""
    instances = reader.rows(
        "SELECT e.name, i.id, i.service_id, i.instance_uid, i.created_at, i.arguments, i.is_null,"
        " i.client_id FROM event_instance i JOIN event e ON e.id = i.event_id"
        " WHERE i.site_id = ? ORDER BY i.id",
        site_id,
    )
    marks = reader.rows(
        "SELECT m.service_id, e.name, m.instance_uid FROM event e JOIN event_mark m"
        " ON m.event_id = e.id WHERE e.site_id = ?",
        site_id,
    )
    subscriptions = reader.rows(
        "SELECT s.client_id, e.name, s.cursor FROM event e JOIN event_subscription s"
        " ON s.event_id = e.id WHERE e.site_id = ?",
        site_id,
    )
    return Retained(
        reader.number("SELECT last_id FROM event_sequence WHERE site_id = ?", site_id),
        tuple(
            (name, Instance(number, service_id, uid, created, arguments, bool(null), client_id))
            for name, number, service_id, uid, created, arguments, null, client_id in instances
        ),
        tuple((row[0], row[1], row[2]) for row in marks),
        tuple((row[0], row[1], row[2]) for row in subscriptions),
    )


def keep(tx: Tx, batches: Sequence[tuple[int, Batch]]) -> None:
    """Store what changed on these sites, each given by its id.

    What belongs to an event, service or client that is gone meanwhile, or to a contract that the
    site was not rebuilt from, is passed over: its endpoints are on their way out.
    """
    for site_id, batch in batches:
        contract = tx.one("SELECT service_type, contract_author FROM site WHERE id = ?", site_id)
        if contract == batch.contract:
            _keep(tx, site_id, batch)


def _keep(tx: Tx, site_id: int, batch: Batch) -> None:
    many = tx.db.conn.executemany
    rows = tx.rows("SELECT name, id FROM event WHERE site_id = ?", site_id)
    events: dict[str, int] = dict(rows)
    if batch.gone:
        many(
            "DELETE FROM event_instance WHERE site_id = ? AND id = ?",
            [(site_id, number) for number in batch.gone],
        )
    if batch.instances:
        many(
            _INSTANCE,
            [
                (
                    site_id,
                    number,
                    events[name],
                    kept.service_id,
                    kept.client_id,
                    kept.instance_uid,
                    kept.created,
                    int(kept.null),
                    kept.arguments,
                )
                for number, (name, kept) in batch.instances.items()
                if name in events
            ],
        )
    if batch.marks:
        tx.run(_SEQUENCE, site_id, batch.last_instance_id)
        many(
            _MARK,
            [
                (service_id, events[name], uid)
                for (service_id, name), uid in batch.marks.items()
                if name in events
            ],
        )
    if batch.cursors:
        _keep_cursors(tx, batch, events)


def _keep_cursors(tx: Tx, batch: Batch, events: dict[str, int]) -> None:
    many = tx.db.conn.executemany
    moved, ended = [], []
    for (client_id, name), cursor in batch.cursors.items():
        event_id = events.get(name)
        if event_id is None:
            continue
        if cursor is None:
            ended.append((client_id, event_id))
        else:
            moved.append((cursor, client_id, event_id))
    if ended:
        many("DELETE FROM event_subscription WHERE client_id = ? AND event_id = ?", ended)
    if moved:
        sql = "UPDATE event_subscription SET cursor = ? WHERE client_id = ? AND event_id = ?"
        # Nearly always all of them are there; else the new ones are told apart.
        if many(sql, moved).rowcount != len(moved):
            many(_CURSOR, moved)


def expire(tx: Tx) -> bool:
    """Delete some of what has outlived its lifetime; return whether more may be left."""
    return tx.run(_EXPIRED, tx.now, EXPIRED_AT_ONCE) == EXPIRED_AT_ONCE
