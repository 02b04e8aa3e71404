"""What contacts and guests see of somebody's sites: in small pages, whatever the names are."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

from gateway.model import names
from gateway.model.kinds import Authority, UserKind
from gateway.registry import clients, contacts, members, services, sites
from gateway.registry.database import Tx
from tests.web.callers import Browser
from tests.web.rig import add_owner, build_site, build_structure, open_rig, share

OCTETS = 100_000
SITES, SERVICES, CLIENTS = 4, 15, 400


def _long(letter: str, number: int, length: int) -> str:
    return f"{letter}{number}".ljust(length, "&")


def _furnish(tx: Tx, owner: int, partner: int, longest: bool) -> tuple[dict[str, int], set[str]]:
    """Share sites with a partner who has clients and guest clients there; return their keys."""
    ids = share(tx, owner, partner)
    guest = next(user for user in members.list_users(tx, ids["domain"])
                 if user.kind is UserKind.GUEST)  # fmt: skip
    places = [ids["site"]]
    for _ in range(SITES - 1):
        site = sites.add(tx, ids["domain"], "Another")
        build_structure(tx, sites.make_multi(tx, site.id).id)
        sites.set_default_role(tx, site.id, members.list_roles(tx, site.id)[0].id)
        places.append(site.id)
    for place in places:
        sites.set_guest_allowed(tx, place, True)
        if longest:
            sites.rename(tx, place, _long("d", place, names.DESCRIPTION_MAX))
        for number in range(SERVICES):
            services.add(tx, place, _long("s", number, names.HOSTNAME_MAX if longest else 4))
    keys = {client.key for client in clients.list_for(tx, ids["site"])}
    for number in range(CLIENTS):
        user = guest.id if number % 2 else ids["user"]
        # Half of them are on the first site, which one page does not hold.
        place = places[number // 2 % SITES if number < CLIENTS / 2 else 0]
        client = clients.add(tx, place, user, partner)
        length = names.DECLARED_NAME_MAX if longest else 20
        words = (_long(letter, number, length) for letter in "tax")
        clients.store_description(tx, client.id, *words)
        keys.add(client.key)
        ids["last"] = client.id
        if number == 0:
            ids["first"] = client.id
    return ids, keys


async def _page_through(browser: Browser, path: str) -> tuple[list[str], int]:
    """Follow "more clients" to the end; return the keys in their order, and how many pages."""
    seen: list[str] = []
    pages = 0
    more: str | None = path
    while more:
        status, text, _ = await browser.get(more)
        pages += 1
        assert status == 200
        print(f"{len(text.encode()):8d} octets  {more}")
        assert len(text.encode()) < OCTETS, more
        seen += re.findall(r'class="key"(?: href="[^"]*")?>([^<]+)<', text)
        onward = re.search(r'href="([^"]+)">more clients<', text)
        more = html.unescape(onward.group(1)) if onward else None
        if more or pages > 1:
            assert f"page {pages} of" in text
    return seen, pages


@pytest.mark.timeout_s(120)
@pytest.mark.parametrize("longest", [False, True])
async def test_the_clients_of_contacts_and_guests_are_paged(tmp_path: Path, longest: bool):
    async with open_rig(tmp_path) as rig:
        rig.server.desk.claimed = True
        markus = await add_owner(rig.registry, "markus", Authority.PROVIDER)
        julia = await add_owner(rig.registry, "julia", Authority.CONSUMER)
        ids, keys = await rig.registry.write(lambda tx: _furnish(tx, markus, julia, longest))
        theirs, mine = [
            (await rig.registry.read(lambda r, who=who: contacts.list_for(r, who)))[0].id
            for who in (julia, markus)
        ]
        every = {one.key: one for place in range(1, ids["site"] + SITES)
                 for one in await rig.registry.read(
                     lambda r, place=place: clients.list_for(r, place))}  # fmt: skip
        guests = {key for key in keys if every[key].user_kind is UserKind.GUEST}
        site = await rig.registry.read(lambda r: sites.get(r, ids["site"]))
        of_site = {key for key in guests if every[key].site_id == site.id}
        browser, owner = rig.browser(), rig.browser()
        await browser.sign_in("julia")
        await owner.sign_in("markus")
        contact = f"/contacts/{theirs}/domains/{ids['domain']}"
        for who, path, wanted in (
            (browser, contact, keys),
            (owner, f"/contacts/{mine}/shared/{ids['domain']}", keys - guests),
            (browser, f"/public/domains/{ids['domain']}", guests),
            (browser, f"/guest-clients/{ids['domain']}", guests),
            (browser, f"/guest?site={site.site_key}", of_site),
        ):
            seen, pages = await _page_through(who, path)
            assert sorted(seen) == sorted(wanted), path
            assert pages > (2 if path == contact else 1 if longest else 0), path

        # Each is found: by its own address, by its key, and by what its program says.
        for number in (ids["first"], ids["last"]):
            key = next(one.key for one in every.values() if one.id == number)
            base = f"/guest-clients/{ids['domain']}" if key in guests else contact
            for query in (f"open={number}", f"q={key.upper()}", f"q={every[key].description[:9]}"):
                _, text, _ = await browser.get(f"{base}?{query.replace('&', '%26')}")
                assert key in text, query
                assert len(text.encode()) < OCTETS
            _, text, _ = await browser.get(f"{base}?open={number}")
            assert "generate password" in text
            closing = re.search(r'class="toggle" href="([^"]+)"', text)
            assert closing is not None
            _, text, _ = await browser.get(html.unescape(closing[1]))
            assert key in text, "closing it stays on its page"
        _, text, _ = await browser.get(f"{contact}?q=nothing+like+it")
        assert "No client found." in text
        _, text, _ = await browser.get(f"{contact}?page=9999")
        assert "more clients" not in text
        assert "previous" in text


async def test_few_clients_have_one_page_and_no_search(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        rig.server.desk.claimed = True
        markus = await add_owner(rig.registry, "markus", Authority.PROVIDER)
        julia = await add_owner(rig.registry, "julia", Authority.CONSUMER)
        ids = await rig.registry.write(lambda tx: share(tx, markus, julia))
        await rig.registry.write(lambda tx: build_site(tx, markus, "Not shared"))
        found = (await rig.registry.read(lambda reader: contacts.list_for(reader, julia)))[0]
        browser = rig.browser()
        await browser.sign_in("julia")
        _, text, _ = await browser.get(f"/contacts/{found.id}/domains/{ids['domain']}")
        assert "Surveillance System" in text
        assert 'role="search"' not in text
        assert "Pages of clients" not in text
