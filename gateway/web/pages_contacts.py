"""The pages of contacts: MY CONTACTS, invitations, CONTACT DOMAINS, MY SHARED DOMAINS, who sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gateway.access.operators import Action
from gateway.base.errors import Denied, NotFound
from gateway.registry import contacts, people, recent, sharing, sites, visibility
from gateway.registry.database import Reader
from gateway.registry.people import QUERY_MAX
from gateway.registry.recent import What
from gateway.web.authority import Kind
from gateway.web.live import TOPICS_MAX
from gateway.web.operations_contacts import page_keys, panel_views
from gateway.web.operations_people import CLIENT_PING
from gateway.web.panel_pages import page_of_panels
from gateway.web.routing import Page, Rendered, View

if TYPE_CHECKING:
    from gateway.model.sites import Site
    from gateway.web.desk import Desk


def me_of(page: Page) -> int:
    """Return the account whose page this is."""
    return page.call.visitor.owner_id or 0


def search_of(page: Page) -> dict[str, Any]:
    """Return what a page of a search asks for, from its address."""
    return {
        "q": page.query.get("q", "")[:QUERY_MAX],
        "after_name": page.query.get("after_name", "")[:256],
        "after_id": page.number("after_id"),
        "before_name": page.query.get("before_name", "")[:256],
        "before_id": page.number("before_id"),
    }


async def remember(desk: Desk, page: Page, what: What, ref_id: int) -> None:
    """Have the home page list what was opened; what it lists first already is not written again."""
    if page.request.method != "GET":
        return
    me = me_of(page)
    found = await desk.read(lambda reader: recent.shown(reader, me))
    listed = found.domains if what is What.DOMAIN else (*found.contacts, *found.unusable)
    if me and not (listed and listed[0].id == ref_id):
        await desk.registry.write(lambda tx: recent.used(tx, me, what, ref_id))


def editor_values(page: Page) -> dict[str, Any]:
    """Return which client is open for editing and on which tab."""
    failed = page.failed == CLIENT_PING.name
    return {
        "open_client": page.opened(Kind.CLIENT, "open"),
        "tab": "ping" if failed else page.query.get("tab", "account"),
    }


async def my_contacts(desk: Desk, page: Page) -> Rendered:
    """MY CONTACTS, with the invitations sent and received."""
    me = me_of(page)

    def read(reader: Reader) -> Mapping[str, Any]:
        listed = contacts.list_for(reader, me)
        opened = page.opened(Kind.CONTACT, "contact")
        editing = bool(opened) or bool(page.query.get("edit"))
        return {
            "contacts": listed,
            "sent": contacts.sent(reader, me),
            "received": contacts.received(reader, me),
            "opened": opened,
            "editing": editing,
            "losses": {one.id: contacts.loss(reader, one.id) for one in listed} if editing else {},
        }

    return Rendered("contacts.html", await desk.read(read), (f"contacts:{me}",))


async def new_contact(desk: Desk, page: Page) -> Rendered:
    """The search for people to invite."""
    me, wanted = me_of(page), search_of(page)
    after, before = page_keys(wanted)
    found = await desk.read(
        lambda reader: contacts.search(reader, me, wanted["q"], after=after, before=before)
    )
    invited = await _invited(desk, page)
    return Rendered(
        "contacts_new.html",
        {"found": found, "wanted": wanted, "invited": invited},
        (f"contacts:{me}",),
    )


async def _invited(desk: Desk, page: Page) -> str:
    """Return the name of the person who was just invited, for the line that confirms it."""
    person_id = page.number("to") if page.query.get("done", "").startswith("contact.") else 0
    if not person_id:
        return ""
    try:
        return (await desk.read(lambda reader: people.person(reader, person_id))).full_name
    except NotFound:
        return ""


async def contact(desk: Desk, page: Page) -> Rendered:
    """CONTACT: CONTACT DOMAINS on the left, MY SHARED DOMAINS on the right (guide 10.2)."""
    me, contact_id = me_of(page), page.call.id(Kind.CONTACT)
    shown = await desk.read(lambda reader: sharing.contact_page(reader, me, contact_id))
    await remember(desk, page, What.CONTACT, contact_id)
    return Rendered("contact.html", {"shown": shown}, (f"contacts:{me}",))


async def contact_domain(desk: Desk, page: Page) -> Rendered:
    """CONTACT DOMAIN: what a partner shares, and one's own clients there (guide 10.2)."""
    me, contact_id = me_of(page), page.call.id(Kind.CONTACT)
    domain_id = page.call.id(Kind.DOMAIN)
    try:
        shown = await desk.read(
            lambda reader: sharing.contact_domain(reader, me, contact_id, domain_id)
        )
    except Denied as error:
        if error.code != sharing.UNUSABLE:
            raise
        return await contact(desk, page)  # it says why nothing is shared now
    await remember(desk, page, What.CONTACT, contact_id)
    topics = (f"contacts:{me}", *(f"shared:{panel.site.id}" for panel in shown.panels))
    editor = editor_values(page)
    path = f"/contacts/{contact_id}/domains/{domain_id}"
    listed = page_of_panels(shown.panels, page.query, editor["open_client"], path)
    return Rendered(
        "contact_domain.html",
        {
            "shown": shown,
            "views": panel_views(desk, page.call, listed.panels),
            "listed": listed,
            **editor,
        },
        topics[:TOPICS_MAX],
    )


async def shared_domain(desk: Desk, page: Page) -> Rendered:
    """MY SHARED DOMAIN: the same from the owner's side, read only."""
    me, contact_id = me_of(page), page.call.id(Kind.CONTACT)
    domain_id = page.call.id(Kind.DOMAIN)
    shown, of_domain = await desk.read(
        lambda reader: (
            sharing.shared_domain(reader, me, contact_id, domain_id),
            sites.list_for(reader, domain_id),
        )
    )
    # Those where the contact has no rights too: it may get some by what the site gives to all.
    topics = (f"domain:{domain_id}", *(f"site:{site.id}" for site in of_domain))
    listed = page_of_panels(shown.panels, page.query, 0, page.request.path)
    return Rendered(
        "shared_domain.html",
        {
            "shown": shown,
            "views": panel_views(desk, page.call, listed.panels),
            "listed": listed,
        },
        topics[:TOPICS_MAX],
    )


async def viewers(desk: Desk, page: Page) -> Rendered:
    """Who can see this camera, and why."""
    service_id = page.call.id(Kind.SERVICE)
    found = await desk.read(lambda reader: visibility.who_can_see(reader, service_id))
    topics = (f"site:{found.site.id}", f"domain:{found.domain.id}")
    return Rendered("viewers.html", {"found": found}, topics)


async def sights(desk: Desk, page: Page) -> Rendered:
    """What this user can see, and why."""
    user_id = page.call.id(Kind.USER)

    def read(reader: Reader) -> tuple[visibility.Outlook, tuple[Site, ...]]:
        found = visibility.what_can_see(reader, user_id)
        return found, sites.list_for(reader, found.domain.id)

    found, of_domain = await desk.read(read)
    topics = (f"domain:{found.domain.id}", *(f"site:{site.id}" for site in of_domain))
    return Rendered("sights.html", {"found": found}, topics[:TOPICS_MAX])


CONTACTS = View(Action.USE_CONTACTS, Kind.ACCOUNT, my_contacts)
NEW_CONTACT = View(Action.USE_CONTACTS, Kind.ACCOUNT, new_contact)
CONTACT = View(Action.USE_CONTACTS, Kind.CONTACT, contact)
CONTACT_DOMAIN = View(Action.USE_CONTACTS, Kind.CONTACT, contact_domain)
SHARED_DOMAIN = View(Action.USE_CONTACTS, Kind.CONTACT, shared_domain)
VIEWERS = View(Action.VIEW_DOMAIN, Kind.SERVICE, viewers)
SIGHTS = View(Action.VIEW_DOMAIN, Kind.USER, sights)
