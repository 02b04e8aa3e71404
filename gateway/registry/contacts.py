"""Contacts: inviting, accepting, leaving and coming back (04 sections 4.5, 6.8 and 8).

A partnership is two rows, one for each side; a side names and deletes only its own. Deleting is
one-sided: my users for the partner go with their clients, while my own clients in the partner's
domains stay and sleep until the partnership is restored.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from gateway.base.errors import Conflict, InvalidInput, NotFound, QuotaExceeded
from gateway.model import names
from gateway.model.contacts import Contact, ContactInvitation
from gateway.model.kinds import Authority, ContactStatus
from gateway.registry import members, owners, people
from gateway.registry.changes import ClientDeleted, ContactsChanged, UserDeleted
from gateway.registry.database import Reader, Row, Tx
from gateway.registry.people import Key, Page, Person

CONTACTS_MAX = 1000
"""Contacts of one account."""
SENT_MAX = 200
"""Invitations of one account that wait for an answer."""

_SELECT = """
SELECT c.id, c.owner_id, c.partner_id, c.name, c.user_default_name, cs.status, p.full_name,
       p.authority, p.enabled, c.created_at
  FROM contact c JOIN contact_state cs ON cs.id = c.id LEFT JOIN owner p ON p.id = c.partner_id
"""
_NOT_LISTED = (
    "o.id <> ? AND o.id NOT IN (SELECT partner_id FROM contact WHERE owner_id = ?"
    " AND partner_id IS NOT NULL)"
    " AND o.id NOT IN (SELECT to_owner_id FROM contact_invitation WHERE from_owner_id = ?)"
)


class InviteOutcome(enum.StrEnum):
    """What became of clicking on a person's name."""

    SENT = "sent"
    CREATED = "created"
    """The other one had invited me: the contact exists at once."""
    RESTORED = "restored"
    """The other side had stayed: the contact works again at once."""


@dataclass(frozen=True, slots=True)
class Loss:
    """What goes when a contact is deleted, for the question asked before."""

    users: int
    clients: int


# -- looking for people and inviting them --------------------------------------------------------


def search(
    reader: Reader, me: int, text: str, *, after: Key | None = None, before: Key | None = None
) -> Page[Person]:
    """Return people to invite, by name, 15 a page: not oneself, no contacts, nobody invited."""
    found = people.search(
        reader, text, after=after, before=before, only=_NOT_LISTED, parameters=(me, me, me)
    )
    return people.persons(reader, found)


def invite(tx: Tx, me: int, other_id: int) -> InviteOutcome:
    """Invite a person to be a contact; where the other side exists already, they are at once.

    Inviting again changes nothing. Raises NotFound for an unknown person, InvalidInput for
    oneself, Conflict for a contact, QuotaExceeded.
    """
    if me == other_id:
        raise InvalidInput("You cannot invite yourself. Choose somebody else.", "owner_id")
    if tx.one("SELECT 1 FROM owner WHERE id = ?", other_id) is None:
        raise NotFound("This person was not found. Search again.")
    if _row_of(tx, me, other_id) is not None:
        raise Conflict("This person is among your contacts already.")
    if _row_of(tx, other_id, me) is not None:
        _befriend(tx, me, other_id)
        return InviteOutcome.RESTORED
    if _invited(tx, other_id, me):
        _befriend(tx, me, other_id)
        return InviteOutcome.CREATED
    sent = tx.number("SELECT count(*) FROM contact_invitation WHERE from_owner_id = ?", me)
    if sent >= SENT_MAX and not _invited(tx, me, other_id):
        raise QuotaExceeded(f"{SENT_MAX} of your invitations wait for an answer. Withdraw one.")
    _room_for_one(tx, me)
    added = tx.run(
        "INSERT INTO contact_invitation(from_owner_id, to_owner_id, created_at) VALUES (?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        me,
        other_id,
        tx.now,
    )
    if added:
        _announce(tx, me, other_id)
    return InviteOutcome.SENT


def withdraw(tx: Tx, me: int, to_id: int) -> None:
    """Take back an invitation that I sent. Raises NotFound when it was answered meanwhile."""
    _remove_invitation(tx, me, to_id)
    _announce(tx, me, to_id)


def refuse(tx: Tx, me: int, from_id: int) -> None:
    """Refuse an invitation that I received. Raises NotFound when it was withdrawn meanwhile."""
    _remove_invitation(tx, from_id, me)
    _announce(tx, me, from_id)


def accept(tx: Tx, me: int, from_id: int) -> Contact:
    """Accept an invitation: both sides have the contact then, named as the partner is.

    Raises NotFound when it was withdrawn meanwhile, QuotaExceeded.
    """
    if not _invited(tx, from_id, me):
        raise NotFound("This invitation does not exist any more. Reload the page.")
    _befriend(tx, me, from_id)
    found = _row_of(tx, me, from_id)
    if found is None:
        raise NotFound("This contact does not exist any more. Reload the page.")
    return get(tx, found)


def sent(reader: Reader, me: int) -> tuple[ContactInvitation, ...]:
    """Return the invitations that I sent and nobody answered yet, by name."""
    return _invitations(reader, "to_owner_id", "from_owner_id", me)


def received(reader: Reader, me: int) -> tuple[ContactInvitation, ...]:
    """Return the invitations that wait for my answer, by name."""
    return _invitations(reader, "from_owner_id", "to_owner_id", me)


def waiting(reader: Reader, me: int) -> int:
    """Return how many invitations wait for my answer: the number in the menu."""
    return reader.number("SELECT count(*) FROM contact_invitation WHERE to_owner_id = ?", me)


# -- one's own side ------------------------------------------------------------------------------


def get(reader: Reader, contact_id: int) -> Contact:
    """Return a contact. Raises NotFound."""
    row = reader.one(f"{_SELECT} WHERE c.id = ?", contact_id)
    if row is None:
        raise _gone()
    return _contact(row)


def mine(reader: Reader, me: int, contact_id: int) -> Contact:
    """Return a contact of mine. Raises NotFound for anybody else's."""
    found = get(reader, contact_id)
    if found.owner_id != me:
        raise _gone()
    return found


def list_for(reader: Reader, me: int) -> tuple[Contact, ...]:
    """Return my contacts by name."""
    rows = reader.rows(f"{_SELECT} WHERE c.owner_id = ? ORDER BY casefold(c.name), c.id", me)
    return tuple(_contact(row) for row in rows)


def to_share_with(reader: Reader, me: int) -> tuple[Contact, ...]:
    """Return the contacts that the form of a Contact user offers: status 0 and 1 (04, 6.4)."""
    gone = ContactStatus.PARTNER_DELETED
    return tuple(found for found in list_for(reader, me) if found.status is not gone)


def edit(tx: Tx, me: int, contact_id: int, name: str, user_default_name: str = "") -> Contact:
    """Name a contact, and what its users are called at first; an empty default name is none.

    No endpoint hears of it. Raises NotFound, InvalidInput, Conflict when the account is gone.
    """
    found = mine(tx, me, contact_id)
    if found.status is ContactStatus.PARTNER_DELETED:
        raise Conflict("The account behind this contact is gone. It can only be deleted.")
    name = names.contact_name(name)
    default = _default_name(user_default_name)
    if (name, default) != (found.name, found.user_default_name):
        tx.run(
            "UPDATE contact SET name = ?, user_default_name = ? WHERE id = ?",
            name,
            default,
            contact_id,
        )
        tx.changed(ContactsChanged(me))
    return get(tx, contact_id)


def _default_name(text: str) -> str | None:
    if not text.strip():
        return None
    try:
        return names.user_name(text)
    except InvalidInput as error:
        # The form has two names: the fault belongs to this one.
        raise InvalidInput(str(error), "user_default_name") from None


def loss(reader: Reader, contact_id: int) -> Loss:
    """Return how many users and clients go when a contact is deleted."""
    row = reader.one(
        "SELECT count(DISTINCT u.id), count(k.id) FROM domain_user u"
        " LEFT JOIN client k ON k.user_id = u.id WHERE u.contact_id = ?",
        contact_id,
    )
    return Loss(*row) if row else Loss(0, 0)


def delete(tx: Tx, me: int, contact_id: int) -> Loss:
    """Delete my side: my users for the partner go with their clients; the partner's row stays.

    My own clients in the partner's domains stay too, without rights, until it is restored.
    Raises NotFound.
    """
    found = mine(tx, me, contact_id)
    gone = loss(tx, contact_id)
    touched = []
    sql = "SELECT id, domain_id FROM domain_user WHERE contact_id = ? ORDER BY id"
    for user_id, domain_id in tx.rows(sql, contact_id):
        for site_id, client_id in tx.rows(
            "SELECT site_id, id FROM client WHERE user_id = ? ORDER BY id", user_id
        ):
            tx.changed(ClientDeleted(site_id, client_id))
        tx.changed(UserDeleted(domain_id, user_id))
        touched.append(domain_id)
    tx.run("DELETE FROM contact WHERE id = ?", contact_id)
    for domain_id in touched:
        members.announce_domain(tx, domain_id)
    if found.partner_id is not None:
        _announce_shared(tx, found.partner_id, me)
        _announce(tx, me, found.partner_id)
    tx.changed(ContactsChanged(me))
    return gone


# -- both sides ----------------------------------------------------------------------------------


def _befriend(tx: Tx, one: int, other: int) -> None:
    """Have both rows exist and no invitation between the two; users come to life again."""
    for owner_id, partner_id in ((one, other), (other, one)):
        if _row_of(tx, owner_id, partner_id) is None:
            _room_for_one(tx, owner_id)
            tx.insert(
                "contact",
                owner_id=owner_id,
                partner_id=partner_id,
                name=owners.get(tx, partner_id).full_name,
                created_at=tx.now,
            )
        tx.run(
            "DELETE FROM contact_invitation WHERE from_owner_id = ? AND to_owner_id = ?",
            owner_id,
            partner_id,
        )
    _announce_shared(tx, one, other)
    _announce_shared(tx, other, one)
    _announce(tx, one, other)


def _announce_shared(tx: Tx, owner_id: int, partner_id: int) -> None:
    """Announce the sites on which one account's users for the other may be served differently."""
    sql = (
        "SELECT DISTINCT u.domain_id FROM contact c JOIN domain_user u ON u.contact_id = c.id"
        " WHERE c.owner_id = ? AND c.partner_id = ? ORDER BY u.domain_id"
    )
    for (domain_id,) in tx.rows(sql, owner_id, partner_id):
        members.announce_domain(tx, domain_id)


def _announce(tx: Tx, *owner_ids: int) -> None:
    for owner_id in owner_ids:
        tx.changed(ContactsChanged(owner_id))


def _row_of(reader: Reader, owner_id: int, partner_id: int) -> int | None:
    row = reader.one(
        "SELECT id FROM contact WHERE owner_id = ? AND partner_id = ?", owner_id, partner_id
    )
    return None if row is None else row[0]


def _invited(reader: Reader, from_id: int, to_id: int) -> bool:
    sql = "SELECT 1 FROM contact_invitation WHERE from_owner_id = ? AND to_owner_id = ?"
    return reader.one(sql, from_id, to_id) is not None


def _remove_invitation(tx: Tx, from_id: int, to_id: int) -> None:
    if not tx.run(
        "DELETE FROM contact_invitation WHERE from_owner_id = ? AND to_owner_id = ?", from_id, to_id
    ):
        raise NotFound("This invitation does not exist any more. Reload the page.")


def _invitations(
    reader: Reader, other: str, mine_as: str, me: int
) -> tuple[ContactInvitation, ...]:
    rows = reader.rows(
        f"SELECT o.id, o.full_name, o.authority, i.created_at FROM contact_invitation i"  # noqa: S608
        f" JOIN owner o ON o.id = i.{other} WHERE i.{mine_as} = ?"
        " ORDER BY casefold(o.full_name), o.id",
        me,
    )
    return tuple(ContactInvitation(row[0], row[1], Authority(row[2]), row[3]) for row in rows)


def _room_for_one(tx: Tx, owner_id: int) -> None:
    if tx.number("SELECT count(*) FROM contact WHERE owner_id = ?", owner_id) >= CONTACTS_MAX:
        raise QuotaExceeded(f"An account can have {CONTACTS_MAX} contacts. Delete one first.")


def _gone() -> NotFound:
    return NotFound("This contact does not exist any more. Reload the page.")


def _contact(row: Row) -> Contact:
    return Contact(
        id=row[0],
        owner_id=row[1],
        partner_id=row[2],
        name=row[3],
        user_default_name=row[4],
        status=ContactStatus(row[5]),
        partner_name=row[6],
        partner_authority=None if row[7] is None else Authority(row[7]),
        partner_enabled=None if row[8] is None else bool(row[8]),
        created_at=row[9],
    )
