"""What guests, and the owners who let them in, do and read on the pages."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from gateway.base.secret import Secret
from gateway.model.kinds import Authority, SiteKind
from gateway.model.structure import SiteStructure
from gateway.registry import clients, guests, outbox, server_settings, sites
from gateway.registry.guests import Creator
from tests.features.scenes import Scene
from tests.features.views import Account, generate_password
from tests.features.world import CAMERA, PLAIN, open_world

THERMOSTAT = "Lobby Thermostat"
WALL = "Camera Wall"
ALARM = "Alarm"
MAIL = "visitor@example.org"


@contextlib.asynccontextmanager
async def office(
    state: Path, *, structure: SiteStructure = CAMERA, allowed: bool = True, mail: bool = False
) -> AsyncIterator[Scene]:
    """Markus's *Office Automation*: three sites, one that cannot have guests; visitor Julia.

    `allowed`: guests are let in where they can be; `mail`: links go through the outbox.
    """
    async with open_world(state) as world:
        owner, (domain,) = await world.person(
            "Markus Schmidt", "markus", Authority.PROVIDER, "Office Automation"
        )
        julia, _ = await world.person("Julia Robinson", "julia", Authority.CONSUMER)
        scene = Scene(world, owner, domain)
        scene.users["Julia"] = julia
        await scene.add_site(THERMOSTAT, SiteKind.SINGLE_SERVICE, structure)
        await scene.add_site(WALL, SiteKind.MULTI_SERVICE, structure, "Left", "Right")
        await scene.add_site(ALARM, SiteKind.SINGLE_SERVICE, PLAIN)
        await scene._learn_users()

        def prepare(tx: Any) -> None:
            if allowed:
                for name in (THERMOSTAT, WALL):
                    sites.set_guest_allowed(tx, scene.sites[name], True)
            if mail:
                server_settings.change(tx, {"hand_over": True, "management_url": world.url})

        await world.registry.write(prepare)
        yield scene


async def key_of(scene: Scene, site: str) -> str:
    """Return the site key, which is the whole secret of a guest page."""
    found = await scene.world.registry.read(lambda reader: sites.get(reader, scene.sites[site]))
    return found.site_key


async def guest_page(scene: Scene, site: str) -> str:
    """Return the path of a site's guest page."""
    return f"/guest?site={await key_of(scene, site)}"


async def guest_client(scene: Scene, site: str, **creator: Any) -> tuple[int, Account]:
    """Make a guest client behind the page; return its id and its account."""

    def make(tx: Any) -> tuple[int, Account]:
        made = guests.add_client(tx, scene.sites[site], Creator(**creator))
        password = clients.generate_password(tx, made.id)
        return made.id, Account(made.uri(scene.world.host), password.reveal())

    return await scene.world.registry.write(make)


async def letters(scene: Scene) -> list[str]:
    """Return the links that wait in the outbox, newest first."""
    found = await scene.world.registry.read(outbox.list_all)
    return [_text(one.link) for one in found if one.link is not None]


def _text(link: Secret) -> str:
    return link.reveal()


async def ask_for(page: Any, address: str = MAIL) -> None:
    """Fill the mail box of a form for guests and send it."""
    await page.get_by_label("Mail address").fill(address)
    await page.get_by_role("button", name="send confirmation mail").click()
    await page.get_by_role("status").filter(has_text="operator").wait_for()


async def created_by(page: Any, link: str) -> Account:
    """Open a creating link and press its button; return what is shown this one time."""
    await page.goto(link)
    await page.get_by_role("button", name="create guest client").click()
    await page.locator("#shown-password").wait_for()
    uri = await page.locator("#shown-uri").inner_text()
    return Account(uri, await page.locator("#shown-password").inner_text())


async def guest_account(page: Any, site: str) -> Account:
    """Press "add client" of Guest as somebody who is logged in; return URI and password."""
    place = page.get_by_label(site, exact=True)
    await place.get_by_role("button", name="add client for Guest").click()
    await page.locator("li.open").wait_for()
    return await generate_password(page)


async def post(page: Any, path: str, **fields: Any) -> int:
    """Send a form of a page for everybody without its button; return the answer's status."""
    await page.goto("/sign-in")  # its form is bound to this browser like every other
    csrf = await page.locator("input[name=csrf]").first.input_value()
    answer = await page.request.post(
        path, form={"csrf": csrf, **{name: str(value) for name, value in fields.items()}},
        max_redirects=0,
    )  # fmt: skip
    return int(answer.status)
