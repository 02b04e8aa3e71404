"""Accounts: who signs in, what it may do, and when it is locked out (04 sections 3.3 and 6.11)."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.base.errors import Conflict, Denied, NotFound
from gateway.base.secret import Secret
from gateway.model import names
from gateway.model.accounts import Owner
from gateway.model.kinds import Authority
from gateway.registry import domains, members
from gateway.registry.changes import (
    ClientDeleted,
    ContactsChanged,
    DomainDeleted,
    OwnerChanged,
    SiteChanged,
    SiteRestartRequired,
)
from gateway.registry.database import Reader, Registry, Row, Tx
from gateway.registry.passwords import (
    NOBODY,
    PasswordRecord,
    check_password,
    hash_password,
    outdated,
)
from gateway.registry.settings import RegistrySettings

_SELECT = """
SELECT id, account_name, full_name, authority, enabled, email, locked_at, created_at,
       last_login_at, email_pending
  FROM owner
"""


def add(
    tx: Tx,
    account_name: str,
    full_name: str,
    password: Secret | PasswordRecord,
    authority: Authority = Authority.CONSUMER,
    *,
    email: str | None = None,
) -> Owner:
    """Create an account.

    Give the record of `Registry.hash(lambda: hash_password(...))`; a plain Secret is hashed here,
    which holds up other writes. Raises InvalidInput, Conflict for a name that is taken.
    """
    account_name = names.account_name(account_name)
    full_name = names.full_name(full_name)
    email = None if email is None else names.email(email)
    if tx.one("SELECT 1 FROM owner WHERE account_name = ?", account_name) is not None:
        raise Conflict("This account name is taken. Choose another one.")
    if email is not None and tx.one("SELECT 1 FROM owner WHERE email = ?", email) is not None:
        raise Conflict("This mail address belongs to another account. Use another one.")
    owner_id = tx.insert(
        "owner",
        account_name=account_name,
        full_name=full_name,
        authority=int(authority),
        email=email,
        pw_record=str(_record(tx, password)),
        created_at=tx.now,
    )
    tx.changed(OwnerChanged(owner_id))
    return get(tx, owner_id)


def get(reader: Reader, owner_id: int) -> Owner:
    """Return an account. Raises NotFound."""
    row = reader.one(f"{_SELECT} WHERE id = ?", owner_id)
    if row is None:
        raise NotFound("This account does not exist any more. Reload the page.")
    return owner_of(row, reader.now, reader.settings)


def by_account_name(reader: Reader, account_name: str) -> Owner | None:
    """Return the account with this name in whatever case, or None."""
    row = reader.one(f"{_SELECT} WHERE account_name = ?", _storable(account_name))
    return None if row is None else owner_of(row, reader.now, reader.settings)


def by_email(reader: Reader, email: str) -> Owner | None:
    """Return the account with this confirmed mail address in whatever case, or None."""
    row = reader.one(f"{_SELECT} WHERE email = ?", _storable(email))
    return None if row is None else owner_of(row, reader.now, reader.settings)


def list_all(reader: Reader) -> tuple[Owner, ...]:
    """Return all accounts by name."""
    rows = reader.rows(f"{_SELECT} ORDER BY full_name, id")
    return tuple(owner_of(row, reader.now, reader.settings) for row in rows)


def count(reader: Reader) -> int:
    """Return how many accounts there are; 0 on an unclaimed box."""
    return reader.number("SELECT count(*) FROM owner")


def rename(tx: Tx, owner_id: int, full_name: str) -> Owner:
    """Give an account another full name. Raises NotFound, InvalidInput."""
    owner = get(tx, owner_id)
    full_name = names.full_name(full_name)
    if full_name != owner.full_name:
        tx.run("UPDATE owner SET full_name = ? WHERE id = ?", full_name, owner_id)
        tx.changed(OwnerChanged(owner_id))
    return get(tx, owner_id)


def set_password(
    tx: Tx, owner_id: int, password: Secret | PasswordRecord, *, keep_session: bytes | None = None
) -> None:
    """Store another password, unlock the account and end its web sessions.

    `keep_session` is the token hash of the one session that goes on. Raises NotFound, InvalidInput.
    """
    get(tx, owner_id)
    tx.run(
        "UPDATE owner SET pw_record = ?, failed_count = 0, failed_since = NULL, locked_at = NULL"
        " WHERE id = ?",
        str(_record(tx, password)),
        owner_id,
    )
    tx.run(
        "DELETE FROM web_session WHERE owner_id = ? AND token_hash <> ?",
        owner_id,
        keep_session or b"",
    )
    tx.changed(OwnerChanged(owner_id))


def set_enabled(tx: Tx, owner_id: int, enabled: bool) -> Owner:
    """Disable or enable an account; its sites are judged anew (04 section 7).

    Raises NotFound, Conflict for the last administrator.
    """
    owner = get(tx, owner_id)
    if owner.enabled != enabled:
        if not enabled:
            _keep_an_administrator(tx, owner)
            tx.run("DELETE FROM web_session WHERE owner_id = ?", owner_id)
        tx.run("UPDATE owner SET enabled = ? WHERE id = ?", int(enabled), owner_id)
        _announce_standing(tx, owner_id)
    return get(tx, owner_id)


def set_authority(tx: Tx, owner_id: int, authority: Authority) -> Owner:
    """Give an account another role on the server; its sites are judged anew (04 section 7).

    Raises NotFound, Conflict for the last administrator.
    """
    owner = get(tx, owner_id)
    if owner.authority is not authority:
        if authority is not Authority.ADMINISTRATOR:
            _keep_an_administrator(tx, owner)
        tx.run("UPDATE owner SET authority = ? WHERE id = ?", int(authority), owner_id)
        _announce_standing(tx, owner_id)
    return get(tx, owner_id)


def unlock(tx: Tx, owner_id: int) -> Owner:
    """Take back a lock that wrong passwords brought. Raises NotFound."""
    get(tx, owner_id)
    _forget_failures(tx, owner_id)
    tx.changed(OwnerChanged(owner_id))
    return get(tx, owner_id)


def delete(tx: Tx, owner_id: int) -> None:
    """Delete an account with its domains and every client that it created (04 section 8).

    Raises NotFound, Conflict for the last administrator.
    """
    _keep_an_administrator(tx, get(tx, owner_id))
    for domain in domains.list_for(tx, owner_id):
        for (site_id,) in tx.rows("SELECT id FROM site WHERE domain_id = ?", domain.id):
            domains.announce_site_deleted(tx, site_id)
        tx.changed(DomainDeleted(domain.id))
    elsewhere = (
        "SELECT k.site_id, k.id FROM client k JOIN domain d ON d.id = k.domain_id"
        " WHERE k.creator_id = ? AND d.owner_id <> ? ORDER BY k.id"
    )
    for site_id, client_id in tx.rows(elsewhere, owner_id, owner_id):
        tx.changed(ClientDeleted(site_id, client_id))
    members.announce_shared(tx, owner_id)
    _announce_partners(tx, owner_id)
    tx.run("DELETE FROM owner WHERE id = ?", owner_id)
    tx.changed(OwnerChanged(owner_id))


# -- signing in --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, repr=False)
class StoredPassword:
    """What signing in compares with; `locked_for` is in seconds, 0 when not locked."""

    owner_id: int
    record: PasswordRecord
    enabled: bool
    locked_for: int


async def sign_in(registry: Registry, account_name: str, password: Secret) -> Owner:
    """Check an account's password and return the account.

    Wrong passwords are counted and lock the account for a while; an unknown account takes as long
    and answers the same. Raises Denied with code 'credentials', 'locked', 'disabled' or 'busy'.
    """
    stored = await registry.read(lambda reader: stored_password(reader, account_name))
    if stored is not None and stored.locked_for:
        raise _locked(stored.locked_for)
    record = NOBODY if stored is None else stored.record
    right = await registry.hash(lambda: check_password(record, password))
    if stored is None:
        raise _refused()
    owner_id = stored.owner_id
    if not right:
        locked_for = await registry.write(lambda tx: record_failure(tx, owner_id))
        raise _locked(locked_for) if locked_for else _refused()
    if not stored.enabled:
        raise Denied("This account is disabled. Ask the administrator of this box.", "disabled")
    renewed = await registry.hash(lambda: hash_password(password)) if outdated(record) else None
    return await registry.write(lambda tx: record_success(tx, owner_id, renewed))


async def verify_password(registry: Registry, owner_id: int, password: Secret) -> bool:
    """Tell whether `password` is the account's, before a dangerous step say; counts failures.

    Raises NotFound, Denied with code 'locked' or 'busy'.
    """
    owner = await registry.read(lambda reader: get(reader, owner_id))
    try:
        await sign_in(registry, owner.account_name, password)
    except Denied as refused:
        if refused.code == "credentials":
            return False
        raise
    return True


def stored_password(reader: Reader, account_name: str) -> StoredPassword | None:
    """Return what is stored for an account's password, or None for an unknown account."""
    row = reader.one(
        "SELECT id, pw_record, enabled, locked_at FROM owner WHERE account_name = ?",
        _storable(account_name),
    )
    if row is None:
        return None
    until = _locked_until(row[3], reader.now, reader.settings)
    locked_for = 0 if until is None else until - reader.now
    return StoredPassword(row[0], PasswordRecord(row[1]), bool(row[2]), locked_for)


def record_failure(tx: Tx, owner_id: int) -> int:
    """Count a wrong password; return for how many seconds the account is locked now, or 0."""
    row = tx.one("SELECT failed_count, failed_since, locked_at FROM owner WHERE id = ?", owner_id)
    if row is None:
        return 0
    failures, since, locked_at = row
    until = _locked_until(locked_at, tx.now, tx.settings)
    if until is not None:
        return until - tx.now
    if since is None or not 0 <= tx.now - since < tx.settings.lock_window:
        failures, since = 0, tx.now
    failures += 1
    locks = failures >= tx.settings.lock_after
    tx.run(
        "UPDATE owner SET failed_count = ?, failed_since = ?, locked_at = ? WHERE id = ?",
        0 if locks else failures,
        None if locks else since,
        tx.now if locks else None,
        owner_id,
    )
    if locks:
        tx.changed(OwnerChanged(owner_id))
    return tx.settings.lock_time if locks else 0


def record_success(tx: Tx, owner_id: int, renewed: PasswordRecord | None = None) -> Owner:
    """Remember a sign-in and forget earlier failures; store a renewed record where given.

    Raises Denied when the account was locked or disabled while its password was checked.
    """
    owner = get(tx, owner_id)
    if owner.locked_until is not None:
        raise _locked(owner.locked_until - tx.now)
    if not owner.enabled:
        raise Denied("This account is disabled. Ask the administrator of this box.", "disabled")
    _forget_failures(tx, owner_id)
    tx.run("UPDATE owner SET last_login_at = ? WHERE id = ?", tx.now, owner_id)
    if renewed is not None:
        tx.run("UPDATE owner SET pw_record = ? WHERE id = ?", str(renewed), owner_id)
    return get(tx, owner_id)


def owner_of(row: Row, now: int, settings: RegistrySettings) -> Owner:
    """Return the account that a row of the columns of this module's queries stands for."""
    return Owner(
        id=row[0],
        account_name=row[1],
        full_name=row[2],
        authority=Authority(row[3]),
        enabled=bool(row[4]),
        email=row[5],
        locked_until=_locked_until(row[6], now, settings),
        created_at=row[7],
        last_login_at=row[8],
        email_pending=row[9],
    )


def acceptable_password(reader: Reader, password: Secret) -> Secret:
    """Return a new password that may be hashed and stored. Raises InvalidInput."""
    names.account_password(password.reveal(), reader.settings.account_password_min_length)
    return password


def _record(tx: Tx, password: Secret | PasswordRecord) -> PasswordRecord:
    if isinstance(password, PasswordRecord):
        return password
    return hash_password(acceptable_password(tx, password))


def _storable(text: str) -> str:
    # What somebody typed may hold a lone surrogate, which SQLite does not take.
    return text.encode("utf-8", "replace").decode()


def _locked_until(locked_at: int | None, now: int, settings: RegistrySettings) -> int | None:
    # A clock that was set back must not lock anybody out for longer than the lock time.
    if locked_at is None or not 0 <= now - locked_at < settings.lock_time:
        return None
    return locked_at + settings.lock_time


def _forget_failures(tx: Tx, owner_id: int) -> None:
    tx.run(
        "UPDATE owner SET failed_count = 0, failed_since = NULL, locked_at = NULL WHERE id = ?",
        owner_id,
    )


def _keep_an_administrator(tx: Tx, owner: Owner) -> None:
    others = "SELECT count(*) FROM owner WHERE authority = ? AND enabled = 1 AND id <> ?"
    if (
        owner.authority is Authority.ADMINISTRATOR
        and owner.enabled
        and tx.number(others, int(Authority.ADMINISTRATOR), owner.id) == 0
    ):
        raise Conflict("This is the last administrator. Make another account one first.")


def _announce_standing(tx: Tx, owner_id: int) -> None:
    """Announce that an account is served differently: its own sites and those shared with it."""
    tx.changed(OwnerChanged(owner_id))
    _announce_partners(tx, owner_id)
    own = "SELECT s.id FROM site s JOIN domain d ON d.id = s.domain_id WHERE d.owner_id = ?"
    for (site_id,) in tx.rows(f"{own} ORDER BY s.id", owner_id):
        tx.changed(SiteChanged(site_id))
        tx.changed(SiteRestartRequired(site_id))
    members.announce_shared(tx, owner_id)


def _announce_partners(tx: Tx, owner_id: int) -> None:
    """Announce whose lists of contacts or invitations show an account, and show it differently."""
    rows = tx.rows(
        "SELECT owner_id FROM contact WHERE partner_id = ?1"
        " UNION SELECT to_owner_id FROM contact_invitation WHERE from_owner_id = ?1"
        " UNION SELECT from_owner_id FROM contact_invitation WHERE to_owner_id = ?1",
        owner_id,
    )
    for (other_id,) in rows:
        tx.changed(ContactsChanged(other_id))


def _refused() -> Denied:
    return Denied("The account name or the password is wrong. Try again.", "credentials")


def _locked(seconds: int) -> Denied:
    minutes = max(1, -(-seconds // 60))
    wait = "a minute" if minutes == 1 else f"{minutes} minutes"
    return Denied(
        f"Too many wrong passwords: the account is locked. Try again in {wait}, "
        "or ask an administrator to unlock it.",
        "locked",
    )
