"""What people do for themselves by a mailed link: register, get back in, set an address (04, 10).

What could tell a stranger whether an account exists is answered the same either way; only
registering says that an address is in use (feature REG-02), and that is counted.
"""

from __future__ import annotations

import enum

from gateway.base.errors import Conflict, Denied
from gateway.base.secret import Secret
from gateway.model import names
from gateway.model.accounts import Owner
from gateway.model.kinds import Authority
from gateway.registry import action_tokens, letters, outbox, owners, server_settings
from gateway.registry.action_tokens import Purpose
from gateway.registry.changes import OwnerChanged
from gateway.registry.database import Reader, Tx
from gateway.registry.outbox import MailMode
from gateway.registry.passwords import PasswordRecord

TYPED_MAX = 256
"""Characters of what is looked at as an account name or a mail address."""


class Registration(enum.StrEnum):
    """What somebody without an account finds at the top of the pages."""

    CLOSED = "closed"
    """A hint to ask the administrator for an invitation."""
    BY_MAIL = "by-mail"
    """New User, confirmed by a link."""
    BY_REQUEST = "by-request"
    """No mail: a request that the administrator turns into an invitation."""


class Answer(enum.StrEnum):
    """What became of a request; an answer and not an error, so that the request stays counted."""

    ON_ITS_WAY = "on-its-way"
    ASK_OPERATOR = "ask-operator"
    """The link waits in the outbox for the operator of this box to hand it over."""
    ADDRESS_IN_USE = "address-in-use"
    STORED_UNCONFIRMED = "stored-unconfirmed"


# -- registering ---------------------------------------------------------------------------------


def registration(reader: Reader) -> Registration:
    """Return how a person without an account may get one."""
    if not server_settings.load(reader).anyone_can_register:
        return Registration.CLOSED
    off = outbox.mode(reader) is MailMode.OFF
    return Registration.BY_REQUEST if off else Registration.BY_MAIL


def ask_to_sign_up(tx: Tx, email: str, source: str) -> Answer:
    """Send the link that confirms a registration (REG-02).

    Raises InvalidInput, QuotaExceeded, Denied when nobody may register in this way.
    """
    if registration(tx) is not Registration.BY_MAIL:
        raise Denied("Ask the administrator of this box for an invitation.", "registration")
    email = names.email(email)
    outbox.admit(tx, email, source)
    if owners.by_email(tx, email) is not None:
        return Answer.ADDRESS_IN_USE
    letters.send(tx, email, action_tokens.draw(tx, Purpose.SIGN_UP, email=email))
    return _answer(tx)


def sign_up_address(reader: Reader, token: Secret) -> str:
    """Return the address that a registration link confirms, for the form. Raises Denied."""
    return action_tokens.look(reader, Purpose.SIGN_UP, token).email or ""


def sign_up(
    tx: Tx, token: Secret, account_name: str, full_name: str, password: Secret | PasswordRecord
) -> Owner:
    """Create the account that a registration link confirms (REG-04).

    A link that the operator handed over confirms the address by his word. Raises Denied for a bad
    link or while nobody may register, InvalidInput, Conflict for a name or address that is taken.
    """
    chosen = server_settings.load(tx)
    if not chosen.anyone_can_register:
        raise Denied("Ask the administrator of this box for an invitation.", "registration")
    found = action_tokens.use(tx, Purpose.SIGN_UP, token)
    authority = Authority.PROVIDER if chosen.new_users_are_providers else Authority.CONSUMER
    return owners.add(tx, account_name, full_name, password, authority, email=found.email)


# -- getting back in -----------------------------------------------------------------------------


def ask_for_password(tx: Tx, name_or_address: str, source: str) -> Answer:
    """Send the link that sets a new password, if there is such an account (ACC-03).

    Raises QuotaExceeded, Conflict while letters have no way to travel.
    """
    return _ask(tx, Purpose.RESET_PASSWORD, name_or_address, source)


def ask_to_unlock(tx: Tx, name_or_address: str, source: str) -> Answer:
    """Send the link that unlocks an account, if it is locked (ACC-02); raises as above."""
    return _ask(tx, Purpose.UNLOCK, name_or_address, source)


def account_of(reader: Reader, purpose: Purpose, token: Secret) -> Owner:
    """Return the account that a link is about, for the form it opens. Raises Denied."""
    return _enabled(reader, action_tokens.look(reader, purpose, token).owner_id)


def reset_password(tx: Tx, token: Secret, password: Secret | PasswordRecord) -> Owner:
    """Store the password chosen by a link; the account is unlocked, its sessions end.

    Raises Denied, InvalidInput.
    """
    owner = _enabled(tx, action_tokens.use(tx, Purpose.RESET_PASSWORD, token).owner_id)
    owners.set_password(tx, owner.id, password)
    action_tokens.void(tx, owner.id, Purpose.RESET_PASSWORD, Purpose.UNLOCK)
    return owners.get(tx, owner.id)


def unlock(tx: Tx, token: Secret) -> Owner:
    """Unlock the account that a link is about. Raises Denied."""
    owner = _enabled(tx, action_tokens.use(tx, Purpose.UNLOCK, token).owner_id)
    return owners.unlock(tx, owner.id)


# -- the mail address of an account --------------------------------------------------------------


def ask_for_address(tx: Tx, owner_id: int, email: str, source: str) -> Answer:
    """Remember a new mail address and send the link that confirms it (ACC-04).

    Until then the old one stays. Without mail it stays unconfirmed, which is of no use for getting
    back in. Raises InvalidInput, Conflict for an address in use, QuotaExceeded.
    """
    email = names.email(email)
    owner = owners.get(tx, owner_id)
    holder = owners.by_email(tx, email)
    if holder is not None and holder.id == owner_id:
        raise Conflict("This is your mail address already.")
    if holder is not None:
        raise Conflict("This mail address belongs to another account. Use another one.")
    action_tokens.void(tx, owner_id, Purpose.SET_EMAIL)
    tx.run("UPDATE owner SET email_pending = ? WHERE id = ?", email, owner_id)
    tx.changed(OwnerChanged(owner_id))
    if outbox.mode(tx) is MailMode.OFF:
        return Answer.STORED_UNCONFIRMED
    outbox.admit(tx, email, source)
    drawn = action_tokens.draw(tx, Purpose.SET_EMAIL, owner_id=owner_id, email=email)
    letters.send(tx, email, drawn, owner.account_name)
    return _answer(tx)


def addresses_of(reader: Reader, token: Secret) -> tuple[str | None, str]:
    """Return the old address and the one that a link confirms, for its form. Raises Denied."""
    found = action_tokens.look(reader, Purpose.SET_EMAIL, token)
    return _enabled(reader, found.owner_id).email, found.email or ""


def confirm_address(tx: Tx, token: Secret) -> Owner:
    """Make the address that a link confirms the account's; other links to it are void.

    Raises Denied, Conflict for an address that another account took meanwhile.
    """
    found = action_tokens.use(tx, Purpose.SET_EMAIL, token)
    owner = _enabled(tx, found.owner_id)
    holder = owners.by_email(tx, found.email or "")
    if holder is not None and holder.id != owner.id:
        raise Conflict("This mail address belongs to another account now. Use another one.")
    tx.run("UPDATE owner SET email = ?, email_pending = NULL WHERE id = ?", found.email, owner.id)
    action_tokens.void(tx, owner.id, Purpose.SET_EMAIL, Purpose.RESET_PASSWORD, Purpose.UNLOCK)
    tx.changed(OwnerChanged(owner.id))
    return owners.get(tx, owner.id)


def forget_address(tx: Tx, owner_id: int) -> Owner:
    """Take the mail address off an account, confirmed or not. Raises NotFound."""
    owners.get(tx, owner_id)
    tx.run("UPDATE owner SET email = NULL, email_pending = NULL WHERE id = ?", owner_id)
    action_tokens.void(tx, owner_id, Purpose.SET_EMAIL, Purpose.RESET_PASSWORD, Purpose.UNLOCK)
    tx.changed(OwnerChanged(owner_id))
    return owners.get(tx, owner_id)


def _ask(tx: Tx, purpose: Purpose, name_or_address: str, source: str) -> Answer:
    if outbox.mode(tx) is MailMode.OFF:
        raise Conflict("This box sends no mail. Ask its administrator.")
    typed = name_or_address.strip()[:TYPED_MAX]
    outbox.admit(tx, typed, source)
    owner = owners.by_account_name(tx, typed) or owners.by_email(tx, typed)
    reachable = owner is not None and owner.enabled and owner.email is not None
    if owner is not None and purpose is Purpose.UNLOCK:
        reachable = reachable and owner.locked_until is not None
    if owner is not None and owner.email is not None and reachable:
        drawn = action_tokens.draw(tx, purpose, owner_id=owner.id, email=owner.email)
        letters.send(tx, owner.email, drawn, owner.account_name)
    return _answer(tx)


def _answer(reader: Reader) -> Answer:
    smtp = outbox.mode(reader) is MailMode.SMTP
    return Answer.ON_ITS_WAY if smtp else Answer.ASK_OPERATOR


def _enabled(reader: Reader, owner_id: int | None) -> Owner:
    owner = owners.get(reader, owner_id or 0)
    if not owner.enabled:
        raise Denied("This account is disabled. Ask the administrator of this box.", "disabled")
    return owner
