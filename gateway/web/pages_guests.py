"""Public services, guest pages, one's own guest clients, and the home page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.access.operators import Action
from gateway.registry import guest_mail, guests, people, recent
from gateway.registry.database import Reader
from gateway.registry.guests import Creator, PublicDomain
from gateway.registry.people import Person
from gateway.web.authority import Kind
from gateway.web.operations_cameras import own_sites
from gateway.web.operations_contacts import page_keys, panel_view
from gateway.web.pages_contacts import editor_values, me_of, search_of
from gateway.web.panel_pages import page_of_panels
from gateway.web.routing import Page, Rendered, View

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.model.sites import Domain
    from gateway.web.desk import Desk


def _creator(page: Page) -> Creator:
    me = page.call.visitor.owner_id
    return guests.NOBODY if me is None else Creator(me)


async def home(desk: Desk, page: Page) -> Rendered:
    """Home: the domains and contacts that were used last."""
    me = me_of(page)
    visitor = page.call.visitor

    def read(reader: Reader) -> tuple[recent.Recent, dict[int, str]]:
        return recent.shown(reader, me), own_sites(reader, visitor)

    found, own = await desk.read(read)
    cameras = [one for one in desk.cameras.adopted() if one.site_id in own]
    online = sum(one.state == "online" for one in cameras)
    topics = (f"contacts:{me}", *(("cameras",) if visitor.may(Action.VIEW_CAMERA) else ()))
    return Rendered(
        "home.html", {"found": found, "cameras": len(cameras), "online": online}, topics
    )


async def owners_found(desk: Desk, page: Page) -> Rendered:
    """Public services: the search for an owner."""
    wanted = search_of(page)
    after, before = page_keys(wanted)
    found = await desk.read(
        lambda reader: guests.search_owners(reader, wanted["q"], after=after, before=before)
    )
    return Rendered("public.html", {"found": found, "wanted": wanted})


async def owner(desk: Desk, page: Page) -> Rendered:
    """Public services: the domains of an owner."""
    owner_id = page.call.id(Kind.PERSON)

    def read(reader: Reader) -> tuple[Person, tuple[Domain, ...]]:
        return people.person(reader, owner_id), guests.public_domains(reader, owner_id)

    person, found = await desk.read(read)
    return Rendered("public_owner.html", {"person": person, "domains": found})


async def _domain(
    desk: Desk,
    page: Page,
    found: PublicDomain,
    base: str,
    heading: str,
    keep: Mapping[str, str] | None = None,
) -> Rendered:
    editor = editor_values(page)
    panels = [site.panel for site in found.sites]
    listed = page_of_panels(panels, page.query, editor["open_client"], base, keep)
    by_id = {site.panel.site.id: site for site in found.sites}
    sites = [(by_id[one.site.id], panel_view(desk, page.call, one)) for one in listed.panels]
    return Rendered(
        "guest_domain.html",
        {
            "found": found,
            "sites": sites,
            "listed": listed,
            "heading": heading,
            "offered": await desk.read(guest_mail.offered),
            **editor,
        },
    )


async def public_domain(desk: Desk, page: Page) -> Rendered:
    """Public services: a domain with its public sites."""
    domain_id = page.call.id(Kind.DOMAIN)
    creator = _creator(page)
    found = await desk.read(lambda reader: guests.public_domain(reader, domain_id, creator))
    return await _domain(desk, page, found, f"/public/domains/{domain_id}", "Public services")


async def guest_page(desk: Desk, page: Page) -> Rendered:
    """The guest page of one site."""
    key = page.query.get("site", "")
    creator = _creator(page)
    site = await desk.read(lambda reader: guests.guest_page(reader, key, creator))
    found = PublicDomain(site.owner, site.domain, (site,))
    keep = {"site": site.panel.site.site_key}
    return await _domain(desk, page, found, "/guest", "Guest page", keep)


async def my_places(desk: Desk, page: Page) -> Rendered:
    """My guest clients: the owners and domains that hold them."""
    creator = _creator(page)
    found = await desk.read(lambda reader: guests.places(reader, creator))
    return Rendered("guest_places.html", {"places": found})


async def my_place(desk: Desk, page: Page) -> Rendered:
    """My guest clients in one domain."""
    domain_id = page.call.id(Kind.DOMAIN)
    creator = _creator(page)
    found = await desk.read(lambda reader: guests.place(reader, domain_id, creator))
    return await _domain(desk, page, found, f"/guest-clients/{domain_id}", "My guest clients")


HOME = View(Action.USE_ACCOUNT, Kind.ACCOUNT, home)
PUBLIC = View(Action.USE_PUBLIC_SERVICES, Kind.NONE, owners_found)
PUBLIC_OWNER = View(Action.USE_PUBLIC_SERVICES, Kind.NONE, owner)
PUBLIC_DOMAIN = View(Action.USE_PUBLIC_SERVICES, Kind.NONE, public_domain)
GUEST_PAGE = View(Action.USE_PUBLIC_SERVICES, Kind.NONE, guest_page)
MY_PLACES = View(Action.USE_ACCOUNT, Kind.ACCOUNT, my_places)
MY_PLACE = View(Action.USE_ACCOUNT, Kind.ACCOUNT, my_place)
