"""Links that let somebody do one thing without signing in (04 sections 3.4 and 10).

Random 32 octets, of which only the SHA-256 is stored; bound to one purpose. Opening a link shows
something, only sending the form acts, so that a mail scanner that follows links triggers nothing.
"""

from __future__ import annotations

import base64
import enum
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gateway.base.errors import Denied
from gateway.base.secret import Secret
from gateway.registry.database import Reader, Row, Tx

TOKEN_OCTETS = 32
TOKEN_TEXT_MAX = 64
"""What is longer cannot be a token and is not looked up."""
KEPT_SECONDS = 30 * 86_400
"""How long a used or expired link is remembered, so that it is refused with its reason."""

DAY = 86_400


class Purpose(enum.StrEnum):
    """What a link is for; the values stand in the file."""

    SIGN_UP = "signup"
    RESET_PASSWORD = "pwd_reset"  # noqa: S105  (a word)
    SET_EMAIL = "set_email"
    UNLOCK = "unlock"
    CREATE_GUEST = "guest_create"
    BROWSE_GUESTS = "guest_browse"
    EDIT_GUEST = "guest_edit"


LIFE: Mapping[Purpose, int] = MappingProxyType(
    {
        Purpose.SIGN_UP: 7 * DAY,
        Purpose.RESET_PASSWORD: 7 * DAY,
        Purpose.SET_EMAIL: 7 * DAY,
        Purpose.UNLOCK: 7 * DAY,
        Purpose.CREATE_GUEST: 3600,
        Purpose.BROWSE_GUESTS: 7 * DAY,
        Purpose.EDIT_GUEST: 1800,
    }
)
"""Seconds that a link is good for (04 section 3.4)."""
REUSABLE = frozenset({Purpose.BROWSE_GUESTS, Purpose.EDIT_GUEST})
"""What is good until it expires; every other link works once."""
PATHS: Mapping[Purpose, str] = MappingProxyType(
    {
        Purpose.SIGN_UP: "/sign-up/",
        Purpose.RESET_PASSWORD: "/reset/",
        Purpose.SET_EMAIL: "/confirm-mail/",
        Purpose.UNLOCK: "/unlock/",
        Purpose.CREATE_GUEST: "/guest/new/",
        Purpose.BROWSE_GUESTS: "/guest/browse/",
        Purpose.EDIT_GUEST: "/guest/edit/",
    }
)
"""Where a link leads; the token's text follows."""

UNKNOWN, EXPIRED, USED = "link-unknown", "link-expired", "link-used"
"""The codes with which a link is refused."""

_SELECT = """
SELECT id, purpose, owner_id, site_id, client_id, email, created_at, expires_at, used_at
  FROM action_token
"""


@dataclass(frozen=True, slots=True)
class ActionToken:
    """What is known of a link; what it is about depends on its purpose."""

    id: int
    purpose: Purpose
    owner_id: int | None
    site_id: int | None
    client_id: int | None
    email: str | None
    created_at: int
    expires_at: int
    used_at: int | None


def draw(
    tx: Tx,
    purpose: Purpose,
    *,
    owner_id: int | None = None,
    site_id: int | None = None,
    client_id: int | None = None,
    email: str | None = None,
) -> tuple[Secret, ActionToken]:
    """Make a link's token; return its text this one time. Forgets what is long over."""
    tx.run("DELETE FROM action_token WHERE expires_at <= ?", tx.now - KEPT_SECONDS)
    text = base64.urlsafe_b64encode(tx.entropy.octets(TOKEN_OCTETS)).rstrip(b"=").decode()
    token_id = tx.insert(
        "action_token",
        token_hash=_hash(text),
        purpose=str(purpose),
        owner_id=owner_id,
        site_id=site_id,
        client_id=client_id,
        email=email,
        created_at=tx.now,
        expires_at=tx.now + LIFE[purpose],
    )
    row = tx.one(f"{_SELECT} WHERE id = ?", token_id)
    assert row is not None
    return Secret(text), _token(row)


def look(reader: Reader, purpose: Purpose, token: Secret) -> ActionToken:
    """Return what a link is about without using it up.

    Raises Denied with code 'link-unknown', 'link-expired' or 'link-used' and a sentence for people.
    A link of another purpose is as unknown as an altered one.
    """
    text = token.reveal()
    row = None
    if len(text) <= TOKEN_TEXT_MAX:
        # Found by the hash of what was sent: nothing can be learned from how long this takes.
        row = reader.one(
            f"{_SELECT} WHERE token_hash = ? AND purpose = ?", _hash(text), str(purpose)
        )
    if row is None:
        raise Denied("This link is not known here. Check that it was copied whole.", UNKNOWN)
    found = _token(row)
    if found.used_at is not None:
        raise Denied("This link was used already. Ask for another one.", USED)
    if found.expires_at <= reader.now:
        raise Denied("This link has expired. Ask for another one.", EXPIRED)
    return found


def use(tx: Tx, purpose: Purpose, token: Secret) -> ActionToken:
    """Return what a link is about and use it up, unless its kind is good until it expires.

    Raises Denied as `look` does. What the caller raises later leaves the link unused.
    """
    found = look(tx, purpose, token)
    if purpose not in REUSABLE:
        tx.run("UPDATE action_token SET used_at = ? WHERE id = ?", tx.now, found.id)
        _clear_letters(tx, found.id)
    return found


def void(tx: Tx, owner_id: int, *purposes: Purpose) -> int:
    """Make every open link of an account for these purposes void; return how many there were."""
    ended = 0
    for purpose in purposes:
        open_ones = tx.rows(
            "SELECT id FROM action_token WHERE owner_id = ? AND purpose = ? AND used_at IS NULL",
            owner_id,
            str(purpose),
        )
        for (token_id,) in open_ones:
            tx.run("UPDATE action_token SET used_at = ? WHERE id = ?", tx.now, token_id)
            _clear_letters(tx, token_id)
        ended += len(open_ones)
    return ended


def _clear_letters(tx: Tx, token_id: int) -> None:
    """Have no letter lie around, or go out, with a link that is used up."""
    tx.run(
        "UPDATE outbox SET link = NULL, done_at = coalesce(done_at, ?),"
        " state = CASE state WHEN 'queued' THEN 'expired' ELSE state END WHERE token_id = ?",
        tx.now,
        token_id,
    )


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()


def _token(row: Row) -> ActionToken:
    return ActionToken(row[0], Purpose(row[1]), *row[2:])
