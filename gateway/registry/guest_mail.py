"""Guest clients of a mail address, without an account: three kinds of links (04 section 9).

Creating (1 hour, once), browsing (7 days, view only), editing (30 minutes, one client). The address
of a link is the creator of what is made by it.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.base.errors import Conflict
from gateway.base.secret import Secret
from gateway.model import names
from gateway.model.sites import Client
from gateway.registry import action_tokens, clients, guests, letters, outbox, sites
from gateway.registry.action_tokens import ActionToken, Purpose
from gateway.registry.database import Reader, Tx
from gateway.registry.guests import Creator, GuestPlace, GuestSite, PublicDomain
from gateway.registry.outbox import MailMode


@dataclass(frozen=True, slots=True)
class Made:
    """What a creating link shows once: the client and its password."""

    client: Client
    password: Secret


def offered(reader: Reader) -> bool:
    """Tell whether the mail forms are shown at all; else a sentence asks the visitor to log in."""
    return outbox.mode(reader) is not MailMode.OFF


# -- creating ------------------------------------------------------------------------------------


def ask_to_create(tx: Tx, site_id: int, email: str, source: str) -> MailMode:
    """Send the link that creates a guest client on a site; return how it travels.

    Raises InvalidInput, NotFound, Conflict when the site takes no guests or no mail is sent,
    QuotaExceeded.
    """
    email = _asked(tx, email, source)
    site = sites.get(tx, site_id)
    reason = guests.refusal(tx, site)
    if reason is not None:
        raise Conflict(str(reason))
    drawn = action_tokens.draw(tx, Purpose.CREATE_GUEST, site_id=site_id, email=email)
    letters.send(tx, email, drawn, site.description)
    return outbox.mode(tx)


def creation_form(reader: Reader, token: Secret) -> tuple[GuestSite, str]:
    """Return the site and the address that a creating link is about. Raises Denied, NotFound."""
    found = action_tokens.look(reader, Purpose.CREATE_GUEST, token)
    site = sites.get(reader, found.site_id or 0)
    return guests.guest_page(reader, site.site_key), found.email or ""


def create(tx: Tx, token: Secret) -> Made:
    """Create the client of a creating link; its password is returned this one time.

    Raises Denied, Conflict when the site takes no guests any more, QuotaExceeded.
    """
    found = action_tokens.use(tx, Purpose.CREATE_GUEST, token)
    client = guests.add_client(tx, found.site_id or 0, _creator(found))
    return Made(client, clients.generate_password(tx, client.id))


# -- browsing ------------------------------------------------------------------------------------


def ask_to_browse(tx: Tx, email: str, source: str) -> MailMode:
    """Send the link that lists an address' guest clients; the same whether it has any.

    Raises InvalidInput, Conflict when no mail is sent, QuotaExceeded.
    """
    email = _asked(tx, email, source)
    drawn = action_tokens.draw(tx, Purpose.BROWSE_GUESTS, email=email)
    letters.send(tx, email, drawn)
    return outbox.mode(tx)


def browse(reader: Reader, token: Secret) -> tuple[str, tuple[GuestPlace, ...]]:
    """Return the address of a browsing link and the domains with its clients. Raises Denied."""
    found = action_tokens.look(reader, Purpose.BROWSE_GUESTS, token)
    return found.email or "", guests.places(reader, _creator(found))


def browse_domain(reader: Reader, token: Secret, domain_id: int) -> PublicDomain:
    """Return the sites and clients of a browsing link in a domain. Raises Denied, NotFound."""
    found = action_tokens.look(reader, Purpose.BROWSE_GUESTS, token)
    return guests.place(reader, domain_id, _creator(found))


def ask_to_edit(tx: Tx, token: Secret, client_id: int, source: str) -> MailMode:
    """Send the link that edits one client of a browsing link's address.

    Raises Denied, NotFound for a client of another creator, Conflict, QuotaExceeded.
    """
    browsing = action_tokens.look(tx, Purpose.BROWSE_GUESTS, token)
    client = guests.own_client(tx, client_id, _creator(browsing))
    email = _asked(tx, browsing.email or "", source)
    drawn = action_tokens.draw(tx, Purpose.EDIT_GUEST, client_id=client_id, email=email)
    letters.send(tx, email, drawn, client.key)
    return outbox.mode(tx)


def ask_for_another(tx: Tx, token: Secret, site_id: int, source: str) -> MailMode:
    """Send a creating link from a browsing link (GST-10); raises as `ask_to_create`."""
    browsing = action_tokens.look(tx, Purpose.BROWSE_GUESTS, token)
    return ask_to_create(tx, site_id, browsing.email or "", source)


# -- editing -------------------------------------------------------------------------------------


def edited(reader: Reader, token: Secret) -> Client:
    """Return the client that an editing link is about. Raises Denied, NotFound."""
    found = action_tokens.look(reader, Purpose.EDIT_GUEST, token)
    return guests.own_client(reader, found.client_id or 0, _creator(found))


def generate_password(tx: Tx, token: Secret) -> Made:
    """Give the client of an editing link another password. Raises Denied, NotFound."""
    client = edited(tx, token)
    return Made(client, clients.generate_password(tx, client.id))


def set_ping_period(tx: Tx, token: Secret, seconds: int) -> Client:
    """Set the ping period of an editing link's client. Raises Denied, NotFound, InvalidInput."""
    return clients.set_ping_period(tx, edited(tx, token).id, seconds)


def delete(tx: Tx, token: Secret) -> None:
    """Delete the client of an editing link. Raises Denied, NotFound."""
    clients.delete(tx, edited(tx, token).id)


def _asked(tx: Tx, email: str, source: str) -> str:
    if not offered(tx):
        raise Conflict("This box sends no mail. Log in to create or edit guest clients.")
    email = names.email(email)
    outbox.admit(tx, email, source)
    return email


def _creator(token: ActionToken) -> Creator:
    return Creator(email=token.email or "")
