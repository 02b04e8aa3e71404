"""Who did what, when, from where, with what outcome: rows in a hash chain that is only added to."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from gateway.model.accounts import AuditEntry
from gateway.registry.changes import AuditAppended
from gateway.registry.database import Reader, Row, Tx

GENESIS = bytes(32)
"""What the first row continues."""
DETAIL_MAX = 4096
TEXT_MAX = 256
PAGE_MAX = 500
"""No page and no answer carries more rows."""

_COLUMNS = "id, at, actor_id, actor_addr, action, object, detail, outcome, hash"


@dataclass(frozen=True, slots=True)
class ChainReport:
    """The outcome of `verify`: how many rows hold, and the id of the first that does not."""

    rows: int
    broken_at: int | None
    head: bytes


def append(
    tx: Tx,
    actor_id: int | None,
    address: str,
    action: str,
    object: str,  # noqa: A002  (the word people know)
    detail: str = "",
    outcome: str = "done",
) -> int:
    """Add a row to the chain and return its id; overlong texts are cut.

    `actor_id` is an account, or None for the gateway itself, a client or nobody. A row written in
    the transaction of what it tells of stands or falls with it.
    """
    row = tx.one("SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1")
    last_id, previous = (0, GENESIS) if row is None else row
    texts = (
        _cut(address, TEXT_MAX),
        _cut(action, 64) or "?",
        _cut(object, TEXT_MAX),
        _cut(detail, DETAIL_MAX),
        _cut(outcome, 32) or "?",
    )
    entry_id: int = last_id + 1
    tx.run(
        "INSERT INTO audit(id, at, actor_id, actor_addr, action, object, detail, outcome,"
        " prev_hash, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        entry_id,
        tx.now,
        actor_id,
        *texts,
        previous,
        _link(previous, (entry_id, tx.now, actor_id, *texts)),
    )
    tx.changed(AuditAppended(entry_id))
    return entry_id


def get(reader: Reader, entry_id: int) -> AuditEntry | None:
    """Return a row, or None."""
    row = reader.one(f"SELECT {_COLUMNS} FROM audit WHERE id = ?", entry_id)  # noqa: S608
    return None if row is None else AuditEntry(*row)


def list_all(
    reader: Reader,
    *,
    limit: int = 100,
    before_id: int | None = None,
    object: str | None = None,  # noqa: A002
    action: str | None = None,
) -> tuple[AuditEntry, ...]:
    """Return rows newest first, at most `limit`, older than `before_id`; as asked."""
    sql = f"SELECT {_COLUMNS} FROM audit WHERE id < ?"  # noqa: S608  (columns are ours)
    parameters: list[int | str] = [2**62 if before_id is None else before_id]
    for column, wanted in (("object", object), ("action", action)):
        if wanted is not None:
            sql += f" AND {column} = ?"
            parameters.append(wanted)
    sql += " ORDER BY id DESC LIMIT ?"
    return tuple(
        AuditEntry(*row) for row in reader.rows(sql, *parameters, max(1, min(limit, PAGE_MAX)))
    )


def verify(reader: Reader) -> ChainReport:
    """Recompute the chain from its beginning; this reads every row."""
    previous = GENESIS
    count = 0
    sql = f"SELECT {_COLUMNS}, prev_hash FROM audit ORDER BY id"  # noqa: S608  (columns are ours)
    for row in reader.db.conn.execute(sql):
        entry: Row = row[:8]
        if row[9] != previous or row[8] != _link(previous, entry):
            return ChainReport(count, row[0], previous)
        previous = row[8]
        count += 1
    return ChainReport(count, None, previous)


def _link(previous: bytes, entry: Row) -> bytes:
    text = json.dumps(entry, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(previous + text.encode("ascii")).digest()


def _cut(text: str, longest: int) -> str:
    # SQLite stores neither lone surrogates nor anything after a NUL reliably.
    clean = text.encode("utf-8", "replace").decode().replace("\0", "?")
    return clean if len(clean) <= longest else clean[: longest - 1] + "…"
