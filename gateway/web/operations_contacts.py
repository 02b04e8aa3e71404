"""What can be done with contacts and what they share, once for pages and programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.access.operators import Action
from gateway.base.errors import Conflict, InvalidInput, NotFound
from gateway.model.kinds import UserKind
from gateway.model.sites import Client, DomainUser, shared_guest_uri
from gateway.registry import contacts, guests, members, sharing, visibility
from gateway.registry.database import Reader, Tx
from gateway.registry.guests import Creator
from gateway.registry.panels import SitePanel
from gateway.registry.people import QUERY_MAX, Key
from gateway.web import fields, shapes
from gateway.web.authority import Kind
from gateway.web.doors import LiveEndpoint
from gateway.web.operations_people import ClientRow, client_row
from gateway.web.operations_sites import OFFLINE, require_owner
from gateway.web.routing import Call, Operation, Query

if TYPE_CHECKING:
    from gateway.web.desk import Desk

NO_GUESTS = "This site takes no guests now, or does not exist. Search for the service again."


@dataclass(frozen=True, slots=True)
class PanelView:
    """A site as somebody sees it who does not own it, with what is live of it."""

    panel: SitePanel
    services: dict[int, LiveEndpoint]
    rows: dict[int, ClientRow]
    shared_uri: str

    @property
    def guest_path(self) -> str:
        """Return the path of the guest page, "" when it is not shown."""
        return f"/guest?site={self.panel.site.site_key}" if self.panel.guest_page else ""


def panel_view(desk: Desk, call: Call, panel: SitePanel) -> PanelView:
    """Return a panel as it is shown."""
    live = desk.live.live(panel.site.id)
    return PanelView(
        panel,
        {line.service.id: live.services.get(line.service.id, OFFLINE) for line in panel.services},
        {
            line.client.id: client_row(desk, call, line.client)
            for user in panel.users
            for line in user.clients
        },
        shared_guest_uri(panel.site, desk.address(call)) if panel.guest_uri else "",
    )


def panel_views(desk: Desk, call: Call, found: tuple[SitePanel, ...]) -> tuple[PanelView, ...]:
    """Return panels as they are shown."""
    return tuple(panel_view(desk, call, panel) for panel in found)


# -- contacts ------------------------------------------------------------------------------------

CONTACT_LIST = Query(
    action=Action.USE_CONTACTS,
    kind=Kind.ACCOUNT,
    summary="List one's own contacts by name.",
    shape=shapes.CONTACT,
    many=True,
    read=lambda reader, call: contacts.list_for(reader, require_owner(call)),
)
CONTACT_GET = Query(
    action=Action.USE_CONTACTS,
    kind=Kind.CONTACT,
    summary="Return a contact with the domains that the two share.",
    shape=shapes.CONTACT_PAGE,
    read=lambda reader, call: sharing.contact_page(reader, _mine(reader, call), _contact(call)),
)
CONTACT_EDIT = Operation(
    name="contact.edit",
    action=Action.USE_CONTACTS,
    kind=Kind.CONTACT,
    summary="Name a contact, and what its users are called at first.",
    fields=(
        fields.text("name", maximum=64),
        fields.text("user_default_name", required=False, maximum=36),
    ),
    within=lambda tx, call: contacts.edit(
        tx, _mine(tx, call), _contact(call), call.values["name"], call.values["user_default_name"]
    ),
    shape=shapes.CONTACT,
)
CONTACT_DELETE = Operation(
    name="contact.delete",
    action=Action.USE_CONTACTS,
    kind=Kind.CONTACT,
    summary="Delete a contact with the users made for it and their clients.",
    within=lambda tx, call: contacts.delete(tx, _mine(tx, call), _contact(call)),
    detail=lambda _, gone: f"with {gone.users} users and {gone.clients} clients",
)


def _contact(call: Call) -> int:
    return call.id(Kind.CONTACT)


def _mine(reader: Reader, call: Call) -> int:
    """Return the account on whose side the contact stands; for the box's token, its holder."""
    if call.visitor.is_box:
        return contacts.get(reader, _contact(call)).owner_id
    return require_owner(call)


# -- invitations ---------------------------------------------------------------------------------

SENT = Query(
    action=Action.USE_CONTACTS,
    kind=Kind.ACCOUNT,
    summary="List the invitations that one has sent and nobody answered yet.",
    shape=shapes.CONTACT_INVITATION,
    many=True,
    read=lambda reader, call: contacts.sent(reader, require_owner(call)),
)
RECEIVED = Query(
    action=Action.USE_CONTACTS,
    kind=Kind.ACCOUNT,
    summary="List the invitations that wait for one's answer.",
    shape=shapes.CONTACT_INVITATION,
    many=True,
    read=lambda reader, call: contacts.received(reader, require_owner(call)),
)
SEARCH_FIELDS = (
    fields.text("q", required=False, maximum=QUERY_MAX),
    fields.text("after_name", required=False),
    fields.number("after_id", required=False),
    fields.text("before_name", required=False),
    fields.number("before_id", required=False),
)


def page_keys(values: Any) -> tuple[Key | None, Key | None]:
    """Return where a page of a search begins or ends, as asked."""

    def key(word: str) -> Key | None:
        number = values.get(f"{word}_id")
        return (values.get(f"{word}_name") or "", number) if number else None

    return key("after"), key("before")


def _people(reader: Reader, call: Call) -> Any:
    after, before = page_keys(call.values)
    me, text = require_owner(call), call.values["q"] or ""
    return contacts.search(reader, me, text, after=after, before=before)


PEOPLE = Query(
    action=Action.USE_CONTACTS,
    kind=Kind.ACCOUNT,
    summary="Search people to invite, 15 by name; words must occur in this order.",
    shape=shapes.PERSON,
    many=True,
    fields=SEARCH_FIELDS,
    read=lambda reader, call: _people(reader, call).rows,
)


@dataclass(frozen=True, slots=True)
class Invited:
    """What became of inviting a person."""

    outcome: str


def _invite(tx: Tx, call: Call) -> Invited:
    return Invited(contacts.invite(tx, require_owner(call), call.id(Kind.PERSON)).value)


CONTACT_INVITE = Operation(
    name="contact.invite",
    action=Action.USE_CONTACTS,
    kind=Kind.PERSON,
    summary="Invite a person to be a contact.",
    within=_invite,
    detail=lambda _, invited: invited.outcome,
    shape=shapes.INVITED,
)
CONTACT_WITHDRAW = Operation(
    name="contact.withdraw",
    action=Action.USE_CONTACTS,
    kind=Kind.PERSON,
    summary="Take back an invitation that one has sent.",
    within=lambda tx, call: contacts.withdraw(tx, require_owner(call), call.id(Kind.PERSON)),
)
CONTACT_ACCEPT = Operation(
    name="contact.accept",
    action=Action.USE_CONTACTS,
    kind=Kind.PERSON,
    summary="Accept an invitation: both sides have the contact then.",
    within=lambda tx, call: contacts.accept(tx, require_owner(call), call.id(Kind.PERSON)),
    shape=shapes.CONTACT,
)
CONTACT_REFUSE = Operation(
    name="contact.refuse",
    action=Action.USE_CONTACTS,
    kind=Kind.PERSON,
    summary="Refuse an invitation.",
    within=lambda tx, call: contacts.refuse(tx, require_owner(call), call.id(Kind.PERSON)),
)


# -- what is shared ------------------------------------------------------------------------------

CONTACT_DOMAIN = Query(
    action=Action.USE_CONTACTS,
    kind=Kind.CONTACT,
    summary="List the sites of a partner's domain where one has rights.",
    shape=shapes.SHARED_SITE,
    many=True,
    read=lambda reader, call: (
        sharing.contact_domain(
            reader, _mine(reader, call), _contact(call), call.id(Kind.DOMAIN)
        ).panels
    ),
    finish=panel_views,
)
SHARED_DOMAIN = Query(
    action=Action.USE_CONTACTS,
    kind=Kind.CONTACT,
    summary="List the sites of one's own domain where a contact has rights.",
    shape=shapes.SHARED_SITE,
    many=True,
    read=lambda reader, call: (
        sharing.shared_domain(
            reader, _mine(reader, call), _contact(call), call.id(Kind.DOMAIN)
        ).panels
    ),
    finish=panel_views,
)


def _add_contact_user(tx: Tx, call: Call) -> DomainUser:
    values = call.values
    if values["contact_id"] is None:
        raise InvalidInput("Choose a contact.", "contact_id")
    name = values["name"].strip()
    if not name:
        owner_id = members.list_users(tx, call.id(Kind.DOMAIN))[0].owner_id
        found = contacts.mine(tx, owner_id, values["contact_id"])
        name = found.user_default_name or ""
    return members.add_user(
        tx,
        call.id(Kind.DOMAIN),
        UserKind.CONTACT,
        name,
        dedicated=values["dedicated"],
        enabled=values["enabled"],
        contact_id=values["contact_id"],
    )


USER_SHARE = Operation(
    name="user.share",
    action=Action.SHARE,
    kind=Kind.DOMAIN,
    summary="Create a Contact user; without a name it is called as the contact says.",
    fields=(
        fields.number("contact_id"),
        fields.text("name", required=False, maximum=36),
        fields.flag("dedicated", required=False, default=True),
        fields.flag("enabled", required=False, default=True),
    ),
    within=_add_contact_user,
    shape=shapes.USER,
)


def _add_guest_client(tx: Tx, call: Call) -> Client:
    try:
        return guests.add_client(tx, call.id(Kind.SITE), Creator(require_owner(call)))
    except (NotFound, Conflict):
        # The same words for both: ids must not tell which private sites there are.
        raise NotFound(NO_GUESTS) from None


GUEST_CLIENT_ADD = Operation(
    name="guest-client.add",
    action=Action.USE_ACCOUNT,
    kind=Kind.ACCOUNT,
    summary="Add a guest client of one's own on a public site.",
    within=_add_guest_client,
    detail=lambda _, client: f"client {client.key} on site {client.site_id}",
    shape=shapes.CLIENT,
    finish=client_row,
)


# -- the two reverse questions -------------------------------------------------------------------

VIEWERS = Query(
    action=Action.VIEW_DOMAIN,
    kind=Kind.SERVICE,
    summary="Say who can see what a service offers, and why.",
    shape=shapes.AUDIENCE,
    read=lambda reader, call: visibility.who_can_see(reader, call.id(Kind.SERVICE)),
)
SIGHTS = Query(
    action=Action.VIEW_DOMAIN,
    kind=Kind.USER,
    summary="Say what a user can see, and why.",
    shape=shapes.OUTLOOK,
    read=lambda reader, call: visibility.what_can_see(reader, call.id(Kind.USER)),
)
