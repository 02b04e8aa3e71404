"""Who did what, when, from where, with what outcome: rows in a hash chain that is only added to."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from gateway.model.accounts import AuditEntry
from gateway.registry.changes import AuditAppended, Change
from gateway.registry.database import Reader, Row, Tx

GENESIS = bytes(32)
"""What the first row continues."""
DETAIL_MAX = 4096
TEXT_MAX = 256
PAGE_MAX = 500
"""No page and no answer carries more rows."""

T = TypeVar("T")

_COLUMNS = "id, at, actor_id, actor_addr, action, object, detail, outcome, hash"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts and from where; without an account it is the gateway itself."""

    owner_id: int | None
    address: str = ""


@dataclass(frozen=True, slots=True)
class ChainReport:
    """The outcome of `verify`: how many rows hold, and the id of the first that does not.

    `missing` is the first and last id of rows that were removed before `broken_at`, or from the
    end; `finding` says in a sentence what is wrong, "" for a whole chain.
    """

    rows: int
    broken_at: int | None
    head: bytes
    missing: tuple[int, int] | None = None
    finding: str = ""

    @property
    def whole(self) -> bool:
        """Tell whether nothing was removed or changed."""
        return not self.finding


def by(
    actor: Actor,
    fn: Callable[[Tx], T],
    action: str = "",
    object: str = "",  # noqa: A002  (the word people know)
    detail: str = "",
) -> Callable[[Tx], T]:
    """Return `fn` as a write that also tells who did it, in the same transaction.

    With an `action` one row is added; without, one for every change that `fn` announced, so that no
    management change goes untold. What `fn` adds itself is left as it is.
    """

    def told(tx: Tx) -> T:
        result = fn(tx)
        changes = tx.changes
        if action:
            append(tx, actor.owner_id, actor.address, action, object, detail)
        elif not any(isinstance(change, AuditAppended) for change in changes):
            for change in changes:
                append(tx, actor.owner_id, actor.address, *_told(change))
        return result

    return told


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
    row = tx.one("SELECT hash FROM audit ORDER BY id DESC LIMIT 1")
    previous = GENESIS if row is None else row[0]
    texts = (
        _cut(address, TEXT_MAX),
        _cut(action, 64) or "?",
        _cut(object, TEXT_MAX),
        _cut(detail, DETAIL_MAX),
        _cut(outcome, 32) or "?",
    )
    # Never an id that was given before: a row removed from the end leaves a gap that shows.
    entry_id = _last_given(tx) + 1
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
    actor_id: int | None = None,
    outcome: str | None = None,
    since: int | None = None,
    until: int | None = None,
    text: str = "",
) -> tuple[AuditEntry, ...]:
    """Return rows newest first, at most `limit`, older than `before_id`; as asked.

    `since` is the first and `until` the first not wanted second, Unix time; an `action` that ends
    in * stands for all that begin so; `text` occurs in address, action, object or detail.
    """
    sql = f"SELECT {_COLUMNS} FROM audit WHERE id < ?"  # noqa: S608  (columns are ours)
    parameters: list[int | str] = [2**62 if before_id is None else before_id]
    if action is not None and action.endswith("*"):
        sql += " AND substr(action, 1, ?) = ?"
        parameters += [len(action) - 1, _cut(action[:-1], TEXT_MAX)]
        action = None
    for condition, wanted in (
        ("object = ?", object),
        ("action = ?", action),
        ("actor_id = ?", actor_id),
        ("outcome = ?", outcome),
        ("at >= ?", since),
        ("at < ?", until),
    ):
        if wanted is not None:
            sql += f" AND {condition}"
            parameters.append(_cut(wanted, TEXT_MAX) if isinstance(wanted, str) else wanted)
    if text.strip():
        whole = "casefold(actor_addr || char(10) || action || char(10) || object || char(10)"
        sql += f" AND instr({whole} || detail), ?) > 0"
        parameters.append(_cut(text.strip(), TEXT_MAX).casefold())
    sql += " ORDER BY id DESC LIMIT ?"
    return tuple(
        AuditEntry(*row) for row in reader.rows(sql, *parameters, max(1, min(limit, PAGE_MAX)))
    )


def actions(reader: Reader) -> tuple[str, ...]:
    """Return every action that occurs, for the filter."""
    return tuple(row[0] for row in reader.rows("SELECT DISTINCT action FROM audit ORDER BY action"))


CSV_HEADER = ("id", "time", "actor", "address", "action", "object", "detail", "outcome", "hash")


def csv_row(entry: AuditEntry, time_text: str, actor_name: str = "") -> tuple[str, ...]:
    """Return a row for a spreadsheet; a cell that it could take for a formula is made a text."""
    actor = "" if entry.actor_id is None else f"{entry.actor_id} {actor_name}".strip()
    cells = (time_text, actor, entry.address, entry.action, entry.object, entry.detail)
    safe = tuple(
        f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
        for cell in (*cells, entry.outcome)
    )
    return (str(entry.id), *safe, entry.hash.hex())


def verify(reader: Reader) -> ChainReport:
    """Recompute the chain from its beginning; this reads every row."""
    previous = GENESIS
    count = 0
    expected = 1
    sql = f"SELECT {_COLUMNS}, prev_hash FROM audit ORDER BY id"  # noqa: S608  (columns are ours)
    for row in reader.db.conn.execute(sql):
        entry: Row = row[:8]
        if row[0] != expected:
            gap = (expected, row[0] - 1)
            return ChainReport(count, row[0], previous, gap, f"{_rows(*gap)} removed.")
        if row[8] != _link(row[9], entry):
            return ChainReport(count, row[0], previous, None, f"Row {row[0]} was changed.")
        if row[9] != previous:
            finding = f"Row {row[0]} does not continue the row before it."
            return ChainReport(count, row[0], previous, None, finding)
        previous = row[8]
        count += 1
        expected += 1
    last = _last_given(reader)
    if last >= expected:
        gap = (expected, last)
        return ChainReport(count, expected, previous, gap, f"{_rows(*gap)} removed from the end.")
    return ChainReport(count, None, previous)


def _last_given(reader: Reader) -> int:
    """Return the highest id that a row ever had; SQLite itself keeps it."""
    kept = reader.number("SELECT seq FROM sqlite_sequence WHERE name = 'audit'")
    return max(kept, reader.number("SELECT max(id) FROM audit"))


def _rows(first: int, last: int) -> str:
    return f"Row {first} was" if first == last else f"Rows {first} to {last} were"


def _told(change: Change) -> tuple[str, str, str]:
    """Return action, object and detail of a change: SiteChanged(3) is "site.changed", "site 3"."""
    words = re.findall("[A-Z][a-z]*", type(change).__name__)
    action = ".".join((words[0].lower(), "-".join(word.lower() for word in words[1:]) or "changed"))
    fields = {
        name: getattr(change, name)
        for part in reversed(type(change).__mro__)
        for name in getattr(part, "__slots__", ())
    }
    name, value = list(fields.items())[-1]
    if name == "seconds":
        name, value = list(fields.items())[-2]
    detail = " ".join(f"{key}={given}" for key, given in fields.items() if key != name)
    return action, f"{name.removesuffix('_id')} {value}", detail


def _link(previous: bytes, entry: Row) -> bytes:
    text = json.dumps(entry, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(previous + text.encode("ascii")).digest()


def _cut(text: str, longest: int) -> str:
    # SQLite stores neither lone surrogates nor anything after a NUL reliably.
    clean = text.encode("utf-8", "replace").decode().replace("\0", "?")
    return clean if len(clean) <= longest else clean[: longest - 1] + "…"
