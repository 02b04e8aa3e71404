"""How operators prove who they are: web sessions, tokens of programs, the setup code.

Only hashes are stored; the plain value is returned once, by the function that draws it.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.base.errors import Conflict, InvalidInput, NotFound, QuotaExceeded
from gateway.base.secret import Secret
from gateway.model.accounts import ApiToken, Owner, Scope, WebSession
from gateway.model.kinds import Authority
from gateway.registry import owners
from gateway.registry.changes import OwnerChanged
from gateway.registry.database import Reader, Row, Tx
from gateway.registry.passwords import PasswordRecord

TOKEN_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"  # noqa: S105
TOKEN_LENGTH = 43
"""256 bits in an alphabet of 62."""
SESSION_SECONDS = 2 * 86_400
"""The life of a session (04 section 3.3)."""
PERSISTENT_SESSION_SECONDS = 30 * 86_400
"""The life of a session that was asked to be kept."""
LAST_USED_EVERY = 60
"""Seconds between two notes that a token was used."""
CODE_ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""What a person can read off a label: no 0, O, 1, I or L."""
CODE_LENGTH = 8
CODE_TRIES = 10
"""Wrong codes before the code is void: one guess in 85 thousand million for each."""


def token_hash(token: Secret) -> bytes:
    """Return what is stored of a session's or program's token."""
    return hashlib.sha256(token.reveal().encode("utf-8", "replace")).digest()


# -- web sessions ------------------------------------------------------------------------------


def open_session(tx: Tx, owner_id: int, *, persistent: bool = False) -> tuple[Secret, WebSession]:
    """Sign a browser in; return the token for its cookie and the session. Raises NotFound.

    The oldest sessions of the account end when it has too many.
    """
    owners.get(tx, owner_id)
    token = Secret(tx.entropy.text(TOKEN_ALPHABET, TOKEN_LENGTH))
    life = PERSISTENT_SESSION_SECONDS if persistent else SESSION_SECONDS
    tx.run("DELETE FROM web_session WHERE expires_at <= ?", tx.now)
    tx.run(
        "DELETE FROM web_session WHERE owner_id = ? AND token_hash NOT IN (SELECT token_hash"
        " FROM web_session WHERE owner_id = ? ORDER BY created_at DESC LIMIT ?)",
        owner_id,
        owner_id,
        tx.settings.sessions_per_owner - 1,
    )
    tx.insert(
        "web_session",
        token_hash=token_hash(token),
        owner_id=owner_id,
        csrf_key=tx.entropy.octets(32),
        persistent=int(persistent),
        created_at=tx.now,
        expires_at=tx.now + life,
    )
    found = session(tx, token)
    if found is None:
        raise Conflict("This account is disabled. Ask the administrator of this box.")
    return token, found


def session(reader: Reader, token: Secret) -> WebSession | None:
    """Return the session of a cookie; None when it is unknown, expired, or its account disabled."""
    row = reader.one(
        "SELECT owner_id, csrf_key, persistent, created_at, expires_at FROM web_session"
        " WHERE token_hash = ?",
        token_hash(token),
    )
    if row is None or row[4] <= reader.now:
        return None
    owner = owners.get(reader, row[0])
    return WebSession(owner, row[1], bool(row[2]), row[3], row[4]) if owner.enabled else None


def close_session(tx: Tx, token: Secret) -> None:
    """Sign a browser out; an unknown token is no error."""
    tx.run("DELETE FROM web_session WHERE token_hash = ?", token_hash(token))


def close_sessions(tx: Tx, owner_id: int) -> int:
    """Sign all browsers of an account out; return how many there were."""
    return tx.run("DELETE FROM web_session WHERE owner_id = ?", owner_id)


# -- tokens of programs ------------------------------------------------------------------------

_TOKEN = "SELECT id, name, owner_id, scopes, created_at, expires_at, last_used_at FROM api_token"  # noqa: S105


def add_token(
    tx: Tx,
    name: str,
    owner_id: int | None,
    scopes: Iterable[Scope],
    *,
    life_seconds: int | None = None,
) -> tuple[Secret, ApiToken]:
    """Create a token for a program; return it this one time.

    Without an owner it is the box's own, for local tools. Raises NotFound, InvalidInput,
    QuotaExceeded.
    """
    chosen = sorted(set(scopes))
    name = name.strip()
    if not 1 <= len(name) <= 64 or not name.isprintable():
        raise InvalidInput("The token's name must have 1 to 64 printable characters.", "name")
    if not chosen:
        raise InvalidInput("Choose what the token may do.", "scopes")
    if life_seconds is not None and life_seconds <= 0:
        raise InvalidInput("The token's life must be longer than 0 seconds.", "life_seconds")
    if owner_id is not None:
        owners.get(tx, owner_id)
    limit = tx.settings.tokens_per_owner
    if tx.number("SELECT count(*) FROM api_token WHERE owner_id IS ?", owner_id) >= limit:
        raise QuotaExceeded(f"An account can have {limit} tokens. Delete one first.")
    token = Secret(tx.entropy.text(TOKEN_ALPHABET, TOKEN_LENGTH))
    token_id = tx.insert(
        "api_token",
        token_hash=token_hash(token),
        name=name,
        owner_id=owner_id,
        scopes=" ".join(chosen),
        created_at=tx.now,
        expires_at=None if life_seconds is None else tx.now + life_seconds,
    )
    return token, get_token(tx, token_id)


def get_token(reader: Reader, token_id: int) -> ApiToken:
    """Return a token's facts. Raises NotFound."""
    row = reader.one(f"{_TOKEN} WHERE id = ?", token_id)
    if row is None:
        raise NotFound("This token does not exist any more. Reload the page.")
    return _token(row)


def find_token(reader: Reader, token: Secret) -> ApiToken | None:
    """Return the facts of a token that a program presents; None when unknown, expired or void.

    A token is void while the account that it belongs to is disabled.
    """
    row = reader.one(f"{_TOKEN} WHERE token_hash = ?", token_hash(token))
    if row is None or (row[5] is not None and row[5] <= reader.now):
        return None
    if row[2] is not None and not owners.get(reader, row[2]).enabled:
        return None
    return _token(row)


def token_used(tx: Tx, token_id: int) -> None:
    """Note that a token was used just now; call it at most once a minute for each."""
    tx.run(
        "UPDATE api_token SET last_used_at = ? WHERE id = ? AND coalesce(last_used_at, 0) <= ?",
        tx.now,
        token_id,
        tx.now - LAST_USED_EVERY,
    )


def list_tokens(reader: Reader, owner_id: int | None) -> tuple[ApiToken, ...]:
    """Return the tokens of an account, or with None those of the box itself."""
    rows = reader.rows(f"{_TOKEN} WHERE owner_id IS ? ORDER BY name COLLATE NOCASE, id", owner_id)
    return tuple(_token(row) for row in rows)


def delete_token(tx: Tx, token_id: int) -> None:
    """Make a token void. Raises NotFound."""
    if not tx.run("DELETE FROM api_token WHERE id = ?", token_id):
        raise NotFound("This token does not exist any more. Reload the page.")


# -- the setup code of an unclaimed box -----------------------------------------------------------


class SetupAnswer(enum.StrEnum):
    """What became of a setup code that somebody typed."""

    RIGHT = "right"
    WRONG = "wrong"
    VOID = "void"
    """Too many wrong ones, or none was issued: the box, or a restart, issues another."""
    CLAIMED = "claimed"


@dataclass(frozen=True, slots=True)
class Claim:
    """The outcome of `claim`; `owner` is set exactly when the code was right."""

    answer: SetupAnswer
    owner: Owner | None = None


def claimed(reader: Reader) -> bool:
    """Tell whether the box has an owner."""
    return owners.count(reader) > 0


def issue_setup_code(tx: Tx) -> Secret:
    """Draw the code that makes whoever enters it the first owner; earlier ones are void.

    Written as XXXX-XXXX. Raises Conflict when the box has an owner.
    """
    if claimed(tx):
        raise Conflict("This box has an owner already. Sign in instead.")
    drawn = tx.entropy.text(CODE_ALPHABET, CODE_LENGTH)
    salt = tx.entropy.octets(16)
    tx.run("DELETE FROM setup_code")
    tx.insert("setup_code", id=1, salt=salt, code_hash=_code_hash(salt, drawn), created_at=tx.now)
    return Secret(f"{drawn[:4]}-{drawn[4:]}")


def check_setup_code(tx: Tx, code: Secret) -> SetupAnswer:
    """Compare a typed code; a wrong one is counted, so do not raise in the same transaction."""
    if claimed(tx):
        return SetupAnswer.CLAIMED
    row = tx.one("SELECT salt, code_hash, tries FROM setup_code")
    if row is None or row[2] >= CODE_TRIES:
        return SetupAnswer.VOID
    typed = "".join(char for char in code.reveal().upper()[:64] if char.isalnum())
    if hmac.compare_digest(row[1], _code_hash(row[0], typed)):
        return SetupAnswer.RIGHT
    tx.run("UPDATE setup_code SET tries = tries + 1")
    return SetupAnswer.VOID if row[2] + 1 >= CODE_TRIES else SetupAnswer.WRONG


def claim(
    tx: Tx, code: Secret, account_name: str, full_name: str, password: Secret | PasswordRecord
) -> Claim:
    """Make whoever typed the right code the first owner, an administrator; the code is void then.

    A wrong code is an answer, not an error, so that it stays counted. Raises InvalidInput for a
    name or password that is not acceptable; the code is then still good.
    """
    answer = check_setup_code(tx, code)
    if answer is not SetupAnswer.RIGHT:
        return Claim(answer)
    owner = owners.add(tx, account_name, full_name, password, Authority.ADMINISTRATOR)
    tx.run("DELETE FROM setup_code")
    tx.changed(OwnerChanged(owner.id))
    return Claim(answer, owner)


def _code_hash(salt: bytes, code: str) -> bytes:
    return hashlib.sha256(salt + code.encode("utf-8", "replace")).digest()


def _token(row: Row) -> ApiToken:
    scopes = frozenset(Scope(word) for word in row[3].split())
    return ApiToken(row[0], row[1], row[2], scopes, row[4], row[5], row[6])
