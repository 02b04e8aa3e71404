"""CLIENT MANAGEMENT (guide 3.5): the clients of a site by user, in pages that stay small."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.access.operators import Action
from gateway.model.kinds import UserKind
from gateway.model.sites import Client, Site
from gateway.registry import clients
from gateway.registry.database import Reader
from gateway.registry.members import UserRights
from gateway.registry.people import QUERY_MAX
from gateway.web.authority import Kind
from gateway.web.operations_people import CLIENT_PING, ClientRow, client_row, shown_clients
from gateway.web.operations_sites import service_row
from gateway.web.pages_sites import SiteFacts, service_fault, shared_uri, site_facts, site_state
from gateway.web.panel_pages import LEAST_OCTETS, LONG_LIST, PAGE_OCTETS, octets_of
from gateway.web.routing import Page, Rendered, View

if TYPE_CHECKING:
    from gateway.web.desk import Desk

USER_OCTETS, CLIENT_OCTETS, SERVICE_OCTETS = 700, 300, 300
"""What the HTML of a user, a client and a service takes, but for the texts in it."""


def type_conflict(site: Site, client: Client) -> bool:
    """Tell whether a client's program was built for another service (04 section 4.3)."""
    return (
        site.built
        and client.service_type is not None
        and (client.service_type, client.contract_author)
        != (site.service_type, site.contract_author)
    )


@dataclass(slots=True)
class Part:
    """A user with those of its clients that a page shows; `continued` from the page before."""

    given: UserRights
    continued: bool
    clients: list[Client] = field(default_factory=list)


def paged(
    facts: SiteFacts, rights: Iterable[UserRights], by_user: Mapping[int, Sequence[Client]]
) -> list[list[Part]]:
    """Spread users and their clients over as many pages as they need; one is there always.

    Each holds what stays of PAGE_OCTETS beside the services.
    """
    room = max(LEAST_OCTETS, PAGE_OCTETS - _octets_of_services(facts))
    pages: list[list[Part]] = [[]]
    taken = 0
    for given in rights:
        head = _octets_of_user(given)
        if pages[-1] and taken + head > room:
            pages.append([])
            taken = 0
        part = Part(given, False)
        pages[-1].append(part)
        taken += head
        for client in by_user[given.user.id]:
            octets = _octets_of_client(facts.site, client)
            if taken + octets > room and part.clients:
                part = Part(given, True)
                pages.append([part])
                taken = head
            part.clients.append(client)
            taken += octets
    return pages


def _octets_of_services(facts: SiteFacts) -> int:
    words = (word for each in facts.services for word in (each.hostname, each.version or ""))
    return SERVICE_OCTETS * len(facts.services) + octets_of(words)


def _octets_of_user(given: UserRights) -> int:
    words = (given.user.name, given.user.name, given.user.contact_name or "", *given.role_names)
    return USER_OCTETS + octets_of(words)


def _octets_of_client(site: Site, client: Client) -> int:
    words = [client.description]
    if type_conflict(site, client):
        words += [client.service_type or "", client.contract_author or ""]
    return CLIENT_OCTETS + octets_of(words)


async def client_management(desk: Desk, page: Page) -> Rendered:
    """CLIENT MANAGEMENT (guide 3.5)."""
    site_id = page.call.id(Kind.SITE)

    def read(reader: Reader) -> tuple[SiteFacts, tuple[Client, ...]]:
        return site_facts(reader, site_id), clients.list_for(reader, site_id)

    facts, every = await desk.read(read)
    found = shown_clients(every, page.call)
    by_user: dict[int, list[Client]] = {given.user.id: [] for given in facts.allowed}
    wanted = page.query.get("q", "")[:QUERY_MAX].strip()
    sought = wanted.casefold()
    for client in found:
        words = (client.key, client.user_name, client.description, client.service_type or "")
        if client.user_id in by_user and sought in " ".join(words).casefold():
            by_user[client.user_id].append(client)
    listed = [
        given
        for given in facts.allowed
        if by_user[given.user.id] or sought in given.user.name.casefold()
    ]
    pages = paged(facts, listed, by_user)
    opened = page.opened(Kind.CLIENT, "open")
    number = _page_of(pages, opened) or min(max(page.number("page"), 1), len(pages))
    parts = pages[number - 1]
    rows: dict[int, ClientRow] = {
        client.id: client_row(desk, page.call, client) for part in parts for client in part.clients
    }
    return Rendered(
        "clients.html",
        {
            "facts": facts,
            "site": facts.site,
            "rows": [service_row(desk, page.call, each) for each in facts.services],
            "parts": parts,
            "client_rows": rows,
            "number": number,
            "pages": len(pages),
            "guests_total": sum(1 for client in every if client.user_kind is UserKind.GUEST),
            "wanted": wanted,
            "long": len(found) > LONG_LIST or len(pages) > 1,
            "open_client": opened,
            "tab": "ping" if page.failed == CLIENT_PING.name else page.query.get("tab", "account"),
            "site_state": site_state,
            "service_fault": service_fault,
            "type_conflict": type_conflict,
            "shared_uri": shared_uri(desk, page, facts.site),
        },
        (f"site:{site_id}", f"domain:{facts.domain.id}"),
    )


def _page_of(pages: list[list[Part]], client_id: int) -> int:
    """Return the number of the page that shows a client, or 0."""
    for number, parts in enumerate(pages, 1):
        if any(client.id == client_id for part in parts for client in part.clients):
            return number
    return 0


CLIENTS = View(Action.VIEW_DOMAIN, Kind.SITE, client_management)
