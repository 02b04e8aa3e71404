"""Letters on their way: queued, limited, sent or handed over (04 section 10).

A letter's text has a mark where its link belongs; the link itself is kept apart and cleared as soon
as the letter is done or expired, because whoever reads it can use it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field

from gateway.base.errors import Conflict, NotFound, QuotaExceeded
from gateway.base.secret import Secret
from gateway.registry import server_settings, settings
from gateway.registry.changes import OutboxChanged
from gateway.registry.database import Reader, Row, Tx

PER_ADDRESS = 5
PER_SOURCE = 20
PER_BOX = 200
"""Letters in an hour, by receiver, by asking address, and in all (04 section 10)."""
WINDOW = 3600
KEPT_SECONDS = 30 * 86_400
"""How long a letter that is done stays listed."""
LINK_MARK = "{link}"
"""Where a letter's text has its link."""
ERROR_MAX = 256
PAGE_MAX = 200


class MailMode(enum.StrEnum):
    """How a letter gets to its reader."""

    SMTP = "smtp"
    HAND_OVER = "hand-over"
    OFF = "off"


class LetterState(enum.StrEnum):
    """What became of a letter; the values stand in the file."""

    QUEUED = "queued"
    SENT = "sent"
    FAILED = "failed"
    HANDED_OVER = "handed_over"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Letter:
    """A row of the outbox; `body` has LINK_MARK where the link belongs."""

    id: int
    purpose: str
    to: str
    subject: str
    body: str = field(repr=False)
    link: Secret | None
    state: LetterState
    attempts: int
    last_error: str
    created_at: int
    expires_at: int
    done_at: int | None
    next_at: int

    @property
    def text(self) -> Secret:
        """Return the whole text, link included, as it is mailed."""
        return Secret(self.body.replace(LINK_MARK, self.link.reveal() if self.link else ""))


_SELECT = """
SELECT id, purpose, to_addr, subject, body_text, link, state, attempts, last_error, created_at,
       expires_at, done_at, next_at
  FROM outbox
"""


def mode(reader: Reader) -> MailMode:
    """Return how letters travel now.

    SMTP takes a configured server that has taken a test letter; both other modes need none. Links
    name the configured address of the pages, never what a visitor's request called them: without
    that address nothing is sent.
    """
    chosen = server_settings.load(reader)
    if not chosen.management_url:
        return MailMode.OFF
    if chosen.smtp_host and settings.get(reader, server_settings.MAIL_TESTED) is not None:
        return MailMode.SMTP
    return MailMode.HAND_OVER if chosen.hand_over else MailMode.OFF


def admit(tx: Tx, asked_for: str, source: str) -> None:
    """Count a request for a letter; `asked_for` is the address or name typed, `source` who asked.

    Call it before looking whether the address or name is known, so that a refusal tells nothing.
    Raises QuotaExceeded when too many were asked for within the hour.
    """
    tx.run("DELETE FROM link_request WHERE at <= ? OR at > ?", tx.now - WINDOW, tx.now)
    asked_for, source = _storable(asked_for.strip()), _storable(source)
    for limit, condition, given in (
        (PER_ADDRESS, "asked_for = ?", (asked_for,)),
        (PER_SOURCE, "source = ?", (source,)),
        (PER_BOX, "1", ()),
    ):
        count = tx.number(f"SELECT count(*) FROM link_request WHERE {condition}", *given)  # noqa: S608
        if count >= limit:
            raise QuotaExceeded("Too many messages were asked for. Try again in an hour.")
    tx.insert("link_request", asked_for=asked_for, source=source, at=tx.now)


def put(
    tx: Tx,
    purpose: str,
    to: str,
    subject: str,
    body: str,
    *,
    link: Secret | None,
    expires_at: int,
    token_id: int | None = None,
    invitation_id: int | None = None,
) -> int | None:
    """Queue a letter and return its id; None when its receiver had too many within the hour.

    Raises Conflict while letters have no way to travel.
    """
    if mode(tx) is MailMode.OFF:
        raise Conflict("This box sends no mail. Ask its administrator.")
    recent = "SELECT count(*) FROM outbox WHERE to_addr = ? COLLATE NOCASE AND created_at > ?"
    if tx.number(recent, to, tx.now - WINDOW) >= PER_ADDRESS:
        return None
    letter_id = tx.insert(
        "outbox",
        purpose=purpose,
        to_addr=to,
        subject=subject,
        body_text=body,
        link=None if link is None else link.reveal(),
        created_at=tx.now,
        expires_at=expires_at,
        token_id=token_id,
        invitation_id=invitation_id,
        next_at=tx.now,
    )
    tx.changed(OutboxChanged(letter_id))
    return letter_id


def get(reader: Reader, letter_id: int) -> Letter:
    """Return a letter. Raises NotFound."""
    row = reader.one(f"{_SELECT} WHERE id = ?", letter_id)
    if row is None:
        raise NotFound("This message does not exist any more. Reload the page.")
    return _letter(row)


def list_all(
    reader: Reader,
    states: Iterable[LetterState] = tuple(LetterState),
    *,
    before_id: int | None = None,
    limit: int = 50,
) -> tuple[Letter, ...]:
    """Return letters newest first, those older than `before_id`, of these states."""
    chosen = tuple(str(state) for state in states)
    marks = ", ".join("?" * len(chosen))
    rows = reader.rows(
        f"{_SELECT} WHERE id < ? AND state IN ({marks}) ORDER BY id DESC LIMIT ?",
        2**62 if before_id is None else before_id,
        *chosen,
        max(1, min(limit, PAGE_MAX)),
    )
    return tuple(_letter(row) for row in rows)


def hand_over(tx: Tx, letter_id: int) -> Letter:
    """Note that the administrator has given the link to its reader; the link is forgotten.

    Raises NotFound, Conflict for a letter that is done or expired.
    """
    found = get(tx, letter_id)
    if found.state not in (LetterState.QUEUED, LetterState.FAILED) or found.expires_at <= tx.now:
        raise Conflict("This message is done or expired. Reload the page.")
    _done(tx, letter_id, LetterState.HANDED_OVER)
    return get(tx, letter_id)


def delete(tx: Tx, letter_id: int) -> None:
    """Take a letter out of the outbox; its link stays good. Raises NotFound."""
    get(tx, letter_id)
    tx.run("DELETE FROM outbox WHERE id = ?", letter_id)
    tx.changed(OutboxChanged(letter_id))


def retry(tx: Tx, letter_id: int) -> Letter:
    """Have a letter that failed be sent once more. Raises NotFound, Conflict."""
    found = get(tx, letter_id)
    if found.state is not LetterState.FAILED or found.expires_at <= tx.now:
        raise Conflict("Only a message that failed and has not expired can be sent again.")
    tx.run(
        "UPDATE outbox SET state = 'queued', attempts = 0, next_at = ? WHERE id = ?",
        tx.now,
        letter_id,
    )
    tx.changed(OutboxChanged(letter_id))
    return get(tx, letter_id)


# -- for the sender ------------------------------------------------------------------------------


def due(reader: Reader, limit: int = 20) -> tuple[Letter, ...]:
    """Return the letters to be mailed now, those that waited longest first."""
    rows = reader.rows(
        f"{_SELECT} WHERE state = 'queued' AND next_at <= ? AND expires_at > ?"
        " ORDER BY next_at, id LIMIT ?",
        reader.now,
        reader.now,
        limit,
    )
    return tuple(_letter(row) for row in rows)


def next_due(reader: Reader) -> int | None:
    """Return when the next letter is to be mailed, Unix seconds, or None."""
    row = reader.one(
        "SELECT min(next_at) FROM outbox WHERE state = 'queued' AND expires_at > ?", reader.now
    )
    return None if row is None else row[0]


def sent(tx: Tx, letter_id: int) -> None:
    """Note that the mail server has taken a letter; one that is gone meanwhile is no error."""
    tx.run("UPDATE outbox SET attempts = attempts + 1 WHERE id = ?", letter_id)
    _done(tx, letter_id, LetterState.SENT)


def not_sent(tx: Tx, letter_id: int, error: str, retry_in: int | None) -> None:
    """Note a failed attempt; after `retry_in` seconds there is another, with None there is none.

    The link of a letter that failed for good is kept until it expires: it can be handed over.
    """
    tx.run(
        "UPDATE outbox SET attempts = attempts + 1, last_error = ?, state = ?, next_at = ?"
        " WHERE id = ? AND state = 'queued'",
        _storable(error),
        str(LetterState.FAILED if retry_in is None else LetterState.QUEUED),
        tx.now + (retry_in or 0),
        letter_id,
    )
    tx.changed(OutboxChanged(letter_id))


def tidy(tx: Tx) -> int:
    """Expire letters whose time is over, forget old ones; return how many expired."""
    expired = tx.rows(
        "SELECT id FROM outbox WHERE state IN ('queued', 'failed') AND expires_at <= ?", tx.now
    )
    for (letter_id,) in expired:
        _done(tx, letter_id, LetterState.EXPIRED)
    tx.run(
        "DELETE FROM outbox WHERE done_at IS NOT NULL AND created_at <= ?", tx.now - KEPT_SECONDS
    )
    return len(expired)


def _done(tx: Tx, letter_id: int, state: LetterState) -> None:
    tx.run(
        "UPDATE outbox SET state = ?, link = NULL, done_at = ? WHERE id = ?",
        str(state),
        tx.now,
        letter_id,
    )
    tx.changed(OutboxChanged(letter_id))


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\0", "?")[:ERROR_MAX]


def _letter(row: Row) -> Letter:
    return Letter(
        id=row[0],
        purpose=row[1],
        to=row[2],
        subject=row[3],
        body=row[4],
        link=None if row[5] is None else Secret(row[5]),
        state=LetterState(row[6]),
        attempts=row[7],
        last_error=row[8] or "",
        created_at=row[9],
        expires_at=row[10],
        done_at=row[11],
        next_at=row[12],
    )
