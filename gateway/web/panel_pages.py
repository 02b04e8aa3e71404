"""Panels of sites in pages that stay small: what contacts and guests see of somebody's sites.

CLIENT MANAGEMENT has pages of its own (`pages_clients`); here they go over the sites of a domain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from markupsafe import escape

from gateway.model.kinds import UserKind
from gateway.registry.panels import ClientLine, SitePanel, UserLine
from gateway.registry.people import QUERY_MAX

LONG_LIST = 12
"""More clients than this bring a box to search them, and so do two pages."""
PAGE_OCTETS, LEAST_OCTETS = 80_000, 20_000
"""What a page may take, and what it has for users and clients beside a site at least."""
SITE_OCTETS, USER_OCTETS, CLIENT_OCTETS, SERVICE_OCTETS = 2000, 900, 400, 300
"""What the HTML of each takes, but for the texts in it."""


@dataclass(frozen=True, slots=True)
class PanelPage:
    """One page of panels; `continued` are the ids of users that began on the page before, by site.

    `path` and `keep` are its address without page and search; `total` counts the clients sought.
    """

    panels: tuple[SitePanel, ...]
    number: int
    pages: int
    path: str
    keep: Mapping[str, str]
    wanted: str
    total: int
    continued: frozenset[tuple[int, int]]

    @property
    def searched(self) -> bool:
        """Tell whether there is a box to search the clients."""
        return self.total > LONG_LIST or self.pages > 1 or bool(self.wanted)

    @property
    def here(self) -> str:
        """Return the address of this page."""
        return self.at(self.number)

    def at(self, number: int) -> str:
        """Return the address of a page of the same search."""
        query = {**self.keep, **({"q": self.wanted} if self.wanted else {})}
        if number > 1:
            query["page"] = str(number)
        return f"{self.path}?{urlencode(query)}" if query else self.path


def page_of_panels(
    panels: Sequence[SitePanel],
    query: Mapping[str, str],
    opened: int,
    path: str,
    keep: Mapping[str, str] | None = None,
) -> PanelPage:
    """Return the page that an address asks for, or the one with the client that is `opened`."""
    wanted = query.get("q", "")[:QUERY_MAX].strip()
    found = tuple(_sought(panels, wanted)) if wanted else tuple(panels)
    pages = paged(found)
    given = query.get("page", "")
    number = int(given) if given.isascii() and given.isdigit() and len(given) < 10 else 1
    number = _page_with(pages, opened) or min(max(number, 1), len(pages))
    shown = tuple(pages[number - 1])
    before = _users_of(panel for one in pages[: number - 1] for panel in one)
    return PanelPage(
        shown, number, len(pages), path, keep or {}, wanted,
        sum(len(user.clients) for panel in found for user in panel.users),
        _users_of(shown) & before,
    )  # fmt: skip


def paged(panels: Iterable[SitePanel]) -> list[list[SitePanel]]:
    """Spread panels with their users and clients over pages; one is there always.

    A site goes on with the same services on the next page where its users or clients need one.
    """
    pages: list[list[SitePanel]] = [[]]
    taken = 0
    for panel in panels:
        head = _octets_of_site(panel)
        least = head + sum(_octets_of_user(panel, user) for user in panel.users[:1])
        if pages[-1] and taken + least > PAGE_OCTETS:
            pages.append([])
            taken = 0
        taken += head
        users: list[UserLine] = []
        for user in panel.users:
            of_user = _octets_of_user(panel, user)
            shown: list[ClientLine] = []
            if users and taken + of_user > _limit(head):
                pages[-1].append(replace(panel, users=tuple(users)))
                pages.append([])
                users, taken = [], head
            taken += of_user
            for line in user.clients:
                octets = CLIENT_OCTETS + octets_of((line.client.description, line.own_type))
                if shown and taken + octets > _limit(head):
                    users.append(replace(user, clients=tuple(shown)))
                    pages[-1].append(replace(panel, users=tuple(users)))
                    pages.append([])
                    users, shown, taken = [], [], head + of_user
                shown.append(line)
                taken += octets
            users.append(replace(user, clients=tuple(shown)))
        pages[-1].append(replace(panel, users=tuple(users)))
    return pages


def _limit(head: int) -> int:
    return max(PAGE_OCTETS, head + LEAST_OCTETS)


def _sought(panels: Iterable[SitePanel], wanted: str) -> Iterable[SitePanel]:
    """Return what a search finds: clients by key, user, description or type, users by name."""
    sought = wanted.casefold()
    for panel in panels:
        users = []
        for user in panel.users:
            named = user.user.kind is not UserKind.GUEST and sought in user.user.name.casefold()
            kept = tuple(line for line in user.clients if named or sought in _words(line))
            if kept or named:
                users.append(replace(user, clients=kept))
        if users:
            yield replace(panel, users=tuple(users))


def _words(line: ClientLine) -> str:
    client = line.client
    return " ".join((client.key, client.description, client.service_type or "")).casefold()


def _users_of(panels: Iterable[SitePanel]) -> frozenset[tuple[int, int]]:
    return frozenset((panel.site.id, user.user.id) for panel in panels for user in panel.users)


def _page_with(pages: Sequence[Sequence[SitePanel]], client_id: int) -> int:
    """Return the number of the page that shows a client, or 0."""
    for number, panels in enumerate(pages, 1):
        users = (user for panel in panels for user in panel.users)
        if any(line.client.id == client_id for user in users for line in user.clients):
            return number
    return 0


def _octets_of_site(panel: SitePanel) -> int:
    words = [panel.site.description, panel.site.description, panel.type_text]
    for line in panel.services:
        words += [line.service.hostname, line.service.version or "", line.own_type]
    words += [role.name for role in panel.roles]
    return SITE_OCTETS + SERVICE_OCTETS * len(panel.services) + octets_of(words)


def _octets_of_user(panel: SitePanel, line: UserLine) -> int:
    words = (line.user.name, line.user.name, line.contact, panel.site.description,
             *(role.name for role in line.roles))  # fmt: skip
    return USER_OCTETS + octets_of(words)


def octets_of(words: Iterable[str]) -> int:
    """Return what texts take in a page, where some signs are written in five."""
    return sum(len(str(escape(word)).encode()) for word in words)
