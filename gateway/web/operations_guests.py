"""What strangers do by mailed links: ask for one, create, list and edit guest clients (04, 9).

A link's secret travels in the body, never in the address of a call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.access.operators import Action
from gateway.base.errors import Conflict, NotFound
from gateway.base.secret import Secret
from gateway.net.listener import source_of
from gateway.registry import guest_mail, sites
from gateway.registry.database import Reader, Tx
from gateway.registry.guests import GuestSite
from gateway.registry.outbox import MailMode
from gateway.web import fields, shapes
from gateway.web.authority import Kind
from gateway.web.entry_links import LINK
from gateway.web.operations_account import Asked
from gateway.web.operations_contacts import NO_GUESTS, PanelView, panel_view
from gateway.web.operations_people import client_row
from gateway.web.routing import Call, Credentials, Operation

if TYPE_CHECKING:
    from gateway.web.desk import Desk

EMAIL = fields.text("email")
KEY_MAX = 32


@dataclass(frozen=True, slots=True)
class GuestEntry:
    """A site that holds guest clients of an address, as it is shown."""

    site: GuestSite
    view: PanelView


@dataclass(frozen=True, slots=True)
class GuestList:
    """What a browsing link shows."""

    email: str
    entries: tuple[GuestEntry, ...]


def link_of(call: Call) -> Secret:
    """Return the secret of the link that a call is made by."""
    given: Secret = call.values["link"]
    return given


def _source(call: Call) -> str:
    return source_of(call.visitor.address)


def _asked(mode: MailMode) -> Asked:
    return Asked("on-its-way" if mode is MailMode.SMTP else "ask-operator")


def _ask_to_create(tx: Tx, call: Call) -> Asked:
    key = call.values["site_key"]
    site = sites.by_key(tx, key) if key.isascii() else None
    if site is None:
        raise NotFound(NO_GUESTS)
    return _asked(guest_mail.ask_to_create(tx, site.id, call.values["email"], _source(call)))


def _ask_for_another(tx: Tx, call: Call) -> Asked:
    try:
        mode = guest_mail.ask_for_another(tx, link_of(call), call.values["site_id"], _source(call))
    except NotFound:
        raise NotFound(NO_GUESTS) from None
    except Conflict as refused:
        if not guest_mail.offered(tx):
            raise
        # The same words for both: ids must not tell which private sites there are.
        raise NotFound(NO_GUESTS) from refused
    return _asked(mode)


def _ask_to_edit(tx: Tx, call: Call) -> Asked:
    return _asked(
        guest_mail.ask_to_edit(tx, link_of(call), call.values["client_id"], _source(call))
    )


def _list(reader: Reader, call: Call) -> tuple[str, tuple[GuestSite, ...]]:
    email, found = guest_mail.browse(reader, link_of(call))
    every = (guest_mail.browse_domain(reader, link_of(call), one.domain.id) for one in found)
    return email, tuple(site for domain in every for site in domain.sites)


def _listed(desk: Desk, call: Call, found: tuple[str, tuple[GuestSite, ...]]) -> GuestList:
    email, every = found
    return GuestList(
        email, tuple(GuestEntry(site, panel_view(desk, call, site.panel)) for site in every)
    )


def _credentials(desk: Desk, call: Call, made: guest_mail.Made) -> Credentials:
    return Credentials(made.client.id, made.client.uri(desk.address(call)), made.password)


def _whose(_: Call, made: guest_mail.Made) -> str:
    return f"client {made.client.key} of {made.client.creator_email}"


def _operation(name: str, summary: str, **more: Any) -> Operation:
    return Operation(
        name=name, action=Action.CREATE_GUEST_CLIENT, kind=Kind.NONE, summary=summary, **more
    )


ASK_TO_CREATE = _operation(
    "guest-link.create",
    "Have the link sent that creates a guest client on a public site; good for an hour, once.",
    fields=(fields.text("site_key", maximum=KEY_MAX), EMAIL),
    within=_ask_to_create,
    shape=shapes.ASKED,
)
ASK_TO_BROWSE = _operation(
    "guest-link.browse",
    "Have the link sent that lists the guest clients of a mail address; good for 7 days.",
    fields=(EMAIL,),
    within=lambda tx, call: _asked(
        guest_mail.ask_to_browse(tx, call.values["email"], _source(call))
    ),
    shape=shapes.ASKED,
)
ASK_TO_EDIT = _operation(
    "guest-link.edit",
    "From a browsing link, have the link sent that edits one client; good for 30 minutes.",
    fields=(LINK, fields.number("client_id")),
    within=_ask_to_edit,
    shape=shapes.ASKED,
)
ASK_FOR_ANOTHER = _operation(
    "guest-link.another",
    "From a browsing link, have a link sent that creates another guest client.",
    fields=(LINK, fields.number("site_id")),
    within=_ask_for_another,
    shape=shapes.ASKED,
)
LIST = _operation(
    "guest-link.list",
    "List the sites and guest clients of a browsing link's address.",
    fields=(LINK,),
    within=_list,
    finish=_listed,
    noted=False,
    shape=shapes.GUEST_LIST,
)
CREATE = _operation(
    "guest-link.use",
    "Create the client of a creating link; URI and password are shown this one time.",
    fields=(LINK,),
    within=lambda tx, call: guest_mail.create(tx, link_of(call)),
    finish=_credentials,
    detail=_whose,
    shape=shapes.CREDENTIALS,
)
PASSWORD = _operation(
    "guest-link.password",
    "Draw a new password for the client of an editing link; it is shown this one time.",
    fields=(LINK,),
    within=lambda tx, call: guest_mail.generate_password(tx, link_of(call)),
    finish=_credentials,
    detail=_whose,
    shape=shapes.CREDENTIALS,
)
PING = _operation(
    "guest-link.ping-period",
    "Set the ping period of an editing link's client: 10 to 300 seconds, or 0.",
    fields=(LINK, fields.number("ping_period", maximum=100_000)),
    within=lambda tx, call: guest_mail.set_ping_period(
        tx, link_of(call), call.values["ping_period"]
    ),
    finish=client_row,
    shape=shapes.CLIENT,
)
DELETE = _operation(
    "guest-link.delete",
    "Delete the client of an editing link.",
    fields=(LINK,),
    within=lambda tx, call: guest_mail.delete(tx, link_of(call)),
)
