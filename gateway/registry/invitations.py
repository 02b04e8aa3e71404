"""Invitations to register, and accounts that people ask for (04 sections 4.6, 6.11 and 10)."""

from __future__ import annotations

from gateway.base.errors import Conflict, Denied, InvalidInput, NotFound, QuotaExceeded
from gateway.base.secret import Secret
from gateway.model import names
from gateway.model.accounts import AccountRequest, Invitation, InvitationState, Owner
from gateway.model.kinds import Authority
from gateway.registry import credentials, letters, outbox, owners, server_settings
from gateway.registry.action_tokens import EXPIRED, UNKNOWN, USED
from gateway.registry.changes import InvitationsChanged
from gateway.registry.database import Reader, Row, Tx
from gateway.registry.passwords import PasswordRecord

KEY_LENGTH = 32
TEXT_MAX = 1024
INVITATIONS_MAX = 1000
"""Invitations that are kept, valid ones and others; clearing the lists makes room."""
REQUESTS_MAX = 100
"""Accounts asked for and not decided; a stranger can ask, so this is small."""
DAY = 86_400

_SELECT = """
SELECT i.id, i.inviter_id, o.full_name, i.ikey, i.email, i.description, i.make_provider,
       i.created_at, i.expires_at, i.accepted_at, i.new_owner_id
  FROM invitation i JOIN owner o ON o.id = i.inviter_id
"""


def create(
    tx: Tx, inviter_id: int, *, email: str = "", text: str = "", make_provider: bool | None = None
) -> Invitation:
    """Invite a person to register; without a text it is named after the present moment.

    `make_provider` None takes the setting for new accounts. Raises InvalidInput, QuotaExceeded.
    """
    chosen = server_settings.load(tx)
    if tx.number("SELECT count(*) FROM invitation") >= INVITATIONS_MAX:
        raise QuotaExceeded(f"There are {INVITATIONS_MAX} invitations. Clear the old ones first.")
    invitation_id = tx.insert(
        "invitation",
        inviter_id=owners.get(tx, inviter_id).id,
        ikey=credentials.draw_key(tx.entropy, KEY_LENGTH),
        email=names.email(email) if email.strip() else None,
        description=_text(text) or f"Inv_{tx.now}",
        make_provider=int(
            chosen.new_users_are_providers if make_provider is None else make_provider
        ),
        created_at=tx.now,
        expires_at=tx.now + chosen.invitation_days * DAY,
    )
    tx.changed(InvitationsChanged(invitation_id))
    return get(tx, invitation_id)


def get(reader: Reader, invitation_id: int) -> Invitation:
    """Return an invitation. Raises NotFound."""
    row = reader.one(f"{_SELECT} WHERE i.id = ?", invitation_id)
    if row is None:
        raise NotFound("This invitation does not exist any more. Reload the page.")
    return _invitation(row, reader.now)


def list_all(reader: Reader, state: InvitationState) -> tuple[Invitation, ...]:
    """Return the invitations in this state, newest first."""
    rows = reader.rows(f"{_SELECT} ORDER BY i.id DESC")
    found = (_invitation(row, reader.now) for row in rows)
    return tuple(one for one in found if one.state is state)


def edit(tx: Tx, invitation_id: int, *, email: str, text: str, make_provider: bool) -> Invitation:
    """Change a valid invitation; its key stays. Raises NotFound, InvalidInput, Conflict."""
    found = _valid(tx, invitation_id)
    tx.run(
        "UPDATE invitation SET email = ?, description = ?, make_provider = ? WHERE id = ?",
        names.email(email) if email.strip() else None,
        _text(text) or found.text,
        int(make_provider),
        invitation_id,
    )
    tx.changed(InvitationsChanged(invitation_id))
    return get(tx, invitation_id)


def send(tx: Tx, invitation_id: int) -> bool:
    """Mail a valid invitation to its address; False when that had too many letters this hour.

    Raises NotFound, Conflict without an address or while letters have no way to travel.
    """
    found = _valid(tx, invitation_id)
    if found.email is None:
        raise Conflict("This invitation has no mail address. Copy its link instead.")
    letter = letters.send_invitation(
        tx,
        found.email,
        found.inviter_name,
        found.key,
        expires_at=found.expires_at,
        invitation_id=found.id,
    )
    return letter is not None


def delete(tx: Tx, invitation_id: int) -> None:
    """Delete an invitation, whatever became of it; no letter goes out with it. Raises NotFound."""
    get(tx, invitation_id)
    tx.run("DELETE FROM invitation WHERE id = ?", invitation_id)
    tx.changed(InvitationsChanged(invitation_id))


def clear(tx: Tx, state: InvitationState) -> int:
    """Delete the accepted or the expired invitations; return how many. Raises InvalidInput."""
    if state is InvitationState.VALID:
        raise InvalidInput("Only accepted and expired invitations are cleared.", "state")
    condition = {
        InvitationState.EXPIRED: "accepted_at IS NULL AND expires_at <= ?",
        InvitationState.ACCEPTED: "accepted_at IS NOT NULL AND ? IS NOT NULL",
    }.get(state, "accepted_at IS NOT NULL AND new_owner_id IS NULL AND ? IS NOT NULL")
    gone = tx.run(f"DELETE FROM invitation WHERE {condition}", tx.now)  # noqa: S608  (ours)
    if gone:
        tx.changed(InvitationsChanged(0))
    return gone


def path(invitation: Invitation) -> Secret:
    """Return the path of the page that an invitation opens; the key in it is all that is needed."""
    return Secret(letters.INVITATION_PATH + invitation.key)


def by_key(reader: Reader, key: Secret) -> Invitation:
    """Return the valid invitation with this key, for the form that signs up.

    Raises Denied with code 'link-unknown', 'link-used' ("already applied") or 'link-expired'.
    """
    text = key.reveal()
    row = None
    if len(text) == KEY_LENGTH and text.isascii():
        row = reader.one(f"{_SELECT} WHERE i.ikey = ?", text)
    if row is None:
        raise Denied("This invitation is not known here. Check that it was copied whole.", UNKNOWN)
    found = _invitation(row, reader.now)
    if found.state in (InvitationState.ACCEPTED, InvitationState.ACCOUNT_GONE):
        raise Denied("This invitation was already applied. Log in instead.", USED)
    if found.state is InvitationState.EXPIRED:
        raise Denied("This invitation has expired. Ask for another one.", EXPIRED)
    return found


def accept(
    tx: Tx,
    key: Secret,
    account_name: str,
    full_name: str,
    password: Secret | PasswordRecord,
    email: str = "",
) -> Owner:
    """Create the account that an invitation offers; it works once.

    The address is confirmed when it is the one that the invitation was mailed to; any other is only
    remembered. Raises Denied as `by_key` does, InvalidInput, Conflict for a name that is taken.
    """
    found = by_key(tx, key)
    typed = names.email(email) if email.strip() else None
    mailed = found.email is not None and _was_mailed(tx, found)
    confirmed = typed is not None and mailed and typed.casefold() == (found.email or "").casefold()
    owner = owners.add(
        tx,
        account_name,
        full_name,
        password,
        Authority.PROVIDER if found.make_provider else Authority.CONSUMER,
        email=typed if confirmed else None,
    )
    if typed is not None and not confirmed:
        tx.run("UPDATE owner SET email_pending = ? WHERE id = ?", typed, owner.id)
    tx.run(
        "UPDATE invitation SET accepted_at = ?, new_owner_id = ? WHERE id = ?",
        tx.now,
        owner.id,
        found.id,
    )
    tx.run("DELETE FROM outbox WHERE invitation_id = ?", found.id)
    tx.changed(InvitationsChanged(found.id))
    return owners.get(tx, owner.id)


# -- accounts asked for where no mail can be sent -------------------------------------------------


def ask_for_account(tx: Tx, email: str, message: str, source: str) -> None:
    """Leave a request for the administrator; the answer is the same for a known address.

    Raises InvalidInput, QuotaExceeded, Denied when nobody may register.
    """
    if not server_settings.load(tx).anyone_can_register:
        raise Denied("Ask the administrator of this box for an invitation.", "registration")
    email = names.email(email)
    outbox.admit(tx, email, source)
    if tx.number("SELECT count(*) FROM account_request") >= REQUESTS_MAX:
        raise QuotaExceeded("Too many accounts were asked for. Ask the administrator directly.")
    if owners.by_email(tx, email) is not None:
        return
    tx.run(
        "INSERT INTO account_request(email, message, source, created_at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT(email) DO NOTHING",
        email,
        _text(message),
        source[:256],
        tx.now,
    )
    tx.changed(InvitationsChanged(0))


def requests(reader: Reader) -> tuple[AccountRequest, ...]:
    """Return the accounts asked for and not decided yet, oldest first."""
    rows = reader.rows("SELECT id, email, message, source, created_at FROM account_request")
    return tuple(AccountRequest(*row) for row in rows)


def approve(tx: Tx, request_id: int, inviter_id: int) -> Invitation:
    """Turn a request into an invitation. Raises NotFound."""
    row = tx.one("SELECT email, message FROM account_request WHERE id = ?", request_id)
    if row is None:
        raise NotFound("This request does not exist any more. Reload the page.")
    tx.run("DELETE FROM account_request WHERE id = ?", request_id)
    return create(tx, inviter_id, email=row[0], text=row[1])


def dismiss(tx: Tx, request_id: int) -> None:
    """Throw a request away. Raises NotFound."""
    if not tx.run("DELETE FROM account_request WHERE id = ?", request_id):
        raise NotFound("This request does not exist any more. Reload the page.")
    tx.changed(InvitationsChanged(0))


def _valid(reader: Reader, invitation_id: int) -> Invitation:
    found = get(reader, invitation_id)
    if found.state is not InvitationState.VALID:
        raise Conflict("This invitation was accepted or has expired. Create another one.")
    return found


def _was_mailed(reader: Reader, invitation: Invitation) -> bool:
    """Tell whether the key can be known only from a letter to the invitation's address.

    A link that the administrator copied proves nothing about the address.
    """
    sql = (
        "SELECT 1 FROM outbox WHERE invitation_id = ? AND state = 'sent' AND to_addr = ?"
        " COLLATE NOCASE"
    )
    return reader.one(sql, invitation.id, invitation.email) is not None


def _text(text: str) -> str:
    text = text.strip()
    if len(text) > TEXT_MAX or not text.isprintable():
        raise InvalidInput(f"The text has at most {TEXT_MAX} characters, in one line.", "text")
    return text


def _invitation(row: Row, now: int) -> Invitation:
    if row[9] is not None:
        gone = row[10] is None
        state = InvitationState.ACCOUNT_GONE if gone else InvitationState.ACCEPTED
    else:
        state = InvitationState.EXPIRED if row[8] <= now else InvitationState.VALID
    return Invitation(
        id=row[0],
        inviter_id=row[1],
        inviter_name=row[2],
        key=row[3],
        email=row[4],
        text=row[5],
        make_provider=bool(row[6]),
        state=state,
        created_at=row[7],
        expires_at=row[8],
        accepted_at=row[9],
        new_owner_id=row[10],
    )
