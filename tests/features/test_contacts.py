"""Section J: contacts (guide 8), from the search for a person to an accepted invitation."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from gateway.model.kinds import Authority, UserKind
from gateway.registry import contacts, outbox
from tests.features.scenes import markus
from tests.features.steps import command, flat, users_of
from tests.features.views import contact_of, lines_of, text_of
from tests.features.world import World, open_world, until

SOPHIE, CARL, MARKUS = "Sophie Germain", "Carl Gauss", "Markus Schmidt"


@contextlib.asynccontextmanager
async def _people(state: Path) -> AsyncIterator[tuple[World, dict[str, int]]]:
    """Sophie and Markus are providers, Carl is a consumer; nobody knows anybody."""
    async with open_world(state) as world:
        ids = {}
        for name, authority in (
            (SOPHIE, Authority.PROVIDER), (CARL, Authority.CONSUMER), (MARKUS, Authority.PROVIDER),
        ):  # fmt: skip
            ids[name], _ = await world.person(name, _account(name), authority)
        yield world, ids


def _account(name: str) -> str:
    return name.partition(" ")[0].lower()


async def _window(world: World, name: str, path: str = "/contacts") -> Any:
    """Open the window of a person, followed by the server."""
    page = await world.signed_in(_account(name), path)
    await page.locator("html[data-live]").wait_for()
    return page


async def _befriend(world: World, one: int, other: int) -> None:
    def within(tx: Any) -> None:
        contacts.invite(tx, one, other)
        contacts.accept(tx, other, one)

    await world.registry.write(within)


async def _invite(page: Any, name: str) -> None:
    """Send an invitation as a person does it: by a click on the name."""
    await page.goto("/contacts/new")
    await page.get_by_role("button", name=name, exact=True).click()
    await page.get_by_role("status").filter(has_text=name).wait_for()


async def _listed(page: Any, section: str) -> list[str]:
    """Return the names of a list of MY CONTACTS, without their ages and buttons."""
    found = page.locator(f"{section} li")
    names = [flat(line) for line in await found.all_inner_texts()]
    return [" ".join(name.split(" ")[:2]) for name in names]


async def test_con_01_my_contacts(tmp_path: Path):
    async with _people(tmp_path) as (world, ids):
        page = await _window(world, SOPHIE)
        assert await text_of(page.locator("h1")) == "MY CONTACTS"
        assert (await text_of(page.locator("#contacts"))).startswith("No contacts yet.")
        assert await text_of(page.locator("#sent")) == "INVITATIONS SENT None."
        await _befriend(world, ids[SOPHIE], ids[MARKUS])
        ada = await world.registry.read(lambda reader: contacts.search(reader, 0, "Ada").rows[0].id)
        await _befriend(world, ada, ids[SOPHIE])
        await world.registry.write(lambda tx: contacts.invite(tx, ids[SOPHIE], ids[CARL]))
        await page.goto("/contacts")
        links = page.locator("#contacts").get_by_role("link")
        assert await links.all_inner_texts() == ["Ada Admin", MARKUS]
        assert await _listed(page, "#sent") == [CARL]
        above = await page.locator("#contacts").bounding_box()
        below = await page.locator("#sent").bounding_box()
        assert above["y"] + above["height"] <= below["y"]
        await links.filter(has_text=MARKUS).click()
        assert await text_of(page.locator("h1")) == f"CONTACT {MARKUS}"
        carls = await _window(world, CARL)
        assert await _listed(carls, "#received") == [SOPHIE]
        assert await carls.locator("#contacts").get_by_role("link").count() == 0


async def test_con_02_edit_mode(tmp_path: Path):
    async with _people(tmp_path) as (world, ids):
        await _befriend(world, ids[SOPHIE], ids[MARKUS])
        await world.registry.write(lambda tx: contacts.invite(tx, ids[SOPHIE], ids[CARL]))
        page = await _window(world, SOPHIE)
        assert await page.locator("#contacts, #sent").get_by_role("button").count() == 0
        await page.get_by_role("link", name="edit", exact=True).click()
        heads = await page.locator("#contacts th").all_inner_texts()
        assert [one.lower() for one in heads[:3]] == ["contact", "user default name", "partner"]
        line = page.locator("#contacts tbody tr")
        assert await line.count() == 1
        cells = [flat(one) for one in await line.locator("td").all_inner_texts()]
        assert cells == [f"» {MARKUS}", "", MARKUS, "X"]
        assert await page.get_by_label(f"Withdraw the invitation to {CARL}").inner_text() == "X"
        await page.get_by_role("link", name=f"Edit {MARKUS}").click()
        await page.get_by_label("Contact name").wait_for()
        await page.get_by_role("link", name=f"Close {MARKUS}").click()
        await page.get_by_role("link", name="view", exact=True).click()
        assert await page.locator("#contacts, #sent").get_by_role("button").count() == 0


async def test_con_03_the_editor_of_a_contact(tmp_path: Path):
    async with markus(tmp_path) as scene:
        page = await scene.world.signed_in("markus", "/contacts?edit=1")
        await page.get_by_role("link", name="Edit Julia Robinson").click()
        editor = page.locator("tr.open")
        assert await text_of(editor.locator("dl")) == "Partner Julia Robinson"
        boxes = await editor.get_by_role("textbox").evaluate_all("all => all.map(e => e.name)")
        assert boxes == ["name", "user_default_name"]
        default = editor.get_by_label("User default name")
        for wrong in ("9 lives", "a  b", "Zoë", "so;so"):
            await default.fill(wrong)
            await editor.get_by_role("button", name="Save").click()
            fault = page.locator("tr.open .field:has(#f-user_default_name) .fault")
            await fault.wait_for()
            assert await default.input_value() == wrong
        await editor.get_by_label("Contact name").fill("Jule from the third floor, left")
        await default.fill("J. Robinson")
        await editor.get_by_role("button", name="Save").click()
        await page.get_by_text("Saved.").wait_for()
        cells = await page.locator("#contacts tbody td").all_inner_texts()
        assert [flat(one) for one in cells[:3]] == [
            "» Jule from the third floor, left", "J. Robinson", "Julia Robinson",
        ]  # fmt: skip
        await page.goto("/contacts")
        assert await lines_of(page.locator("#contacts")) == ["Jule from the third floor, left"]
        await page.goto(f"/sites/{scene.sites['Surveillance System']}")
        assert await page.get_by_text("<Jule from the third floo...>").first.is_visible()
        await page.goto(f"/domains/{scene.domain}/users/new")
        await page.get_by_label("Contact", exact=True).select_option(
            label="Jule from the third floor, left"
        )
        assert await page.get_by_label("User name").input_value() == "J. Robinson"
        await page.get_by_role("button", name="Create the contact user").click()
        await page.get_by_text("The user was added.").wait_for()
        assert (await users_of(scene))["J. Robinson"].kind is UserKind.CONTACT
        julias = await scene.world.signed_in("julia", "/contacts")
        assert await lines_of(julias.locator("#contacts")) == [MARKUS]
        foreign = await contact_of(scene, "Markus")
        assert await command(julias, f"/contacts/{foreign}/edit", name="Mine now") == 404


async def test_con_04_the_search_for_a_person(tmp_path: Path):
    async with _people(tmp_path) as (world, _):
        for number in range(30):
            await world.person(f"Zed {number:02}", f"zed{number:02}", Authority.CONSUMER)
        await world.person("Gerda Sommer", "gerda", Authority.CONSUMER)
        await world.person("anna Zorn", "anna", Authority.CONSUMER)
        page = await world.signed_in("markus", "/contacts")
        await page.get_by_role("link", name="new invitation").click()

        async def found(text: str) -> list[str]:
            await page.get_by_role("searchbox").fill(text)
            await page.get_by_role("button", name="Search").click()
            await page.wait_for_url(lambda url: "q=" in url)
            return list(await page.locator("#people form button").all_inner_texts())

        assert await found("s ger") == [SOPHIE]  # not Gerda Sommer: the order counts
        for same in ("S GER", "sophie germain", "hie main"):
            assert await found(same) == [SOPHIE]
        assert await found("ger s") == ["Gerda Sommer"]
        assert await found("nobody such") == []
        everybody = sorted(
            [SOPHIE, CARL, "Ada Admin", "Gerda Sommer", "anna Zorn",
             *(f"Zed {number:02}" for number in range(30))],
            key=str.lower,
        )  # fmt: skip
        seen = [await found("")]
        while await page.get_by_role("link", name="next", exact=True).count():
            await page.get_by_role("link", name="next", exact=True).click()
            await page.get_by_role("link", name="previous", exact=True).wait_for()
            await until(lambda: _other_page(page, seen[-1]))
            seen.append(await page.locator("#people form button").all_inner_texts())
        assert [len(one) for one in seen] == [15, 15, 5]
        assert [name for one in seen for name in one] == everybody


async def _other_page(page: Any, before: list[str]) -> bool:
    shown = await page.locator("#people form button").all_inner_texts()
    return bool(shown and shown != before)


async def test_con_05_an_invitation_is_sent_by_a_click(tmp_path: Path):
    async with _people(tmp_path) as (world, ids):
        page = await _window(world, SOPHIE)
        await page.get_by_role("link", name="new invitation").click()
        names = page.locator("#people form button")
        assert await names.all_inner_texts() == ["Ada Admin", CARL, MARKUS]
        await names.filter(has_text=CARL).click()
        await page.get_by_text(f"An invitation is sent to {CARL}.").wait_for()
        assert await names.all_inner_texts() == ["Ada Admin", MARKUS]
        await page.get_by_role("link", name="My contacts").click()
        assert await _listed(page, "#sent") == [CARL]
        assert await page.locator("#contacts").get_by_role("link").count() == 0
        assert await world.registry.read(outbox.list_all) == ()
        assert await command(page, f"/contacts/invite/{ids[SOPHIE]}") == 422
        assert await command(page, "/contacts/invite/999") == 404


async def test_con_06_an_invitation_is_withdrawn(tmp_path: Path):
    async with _people(tmp_path) as (world, ids):
        page, carls = await _window(world, SOPHIE), await _window(world, CARL)
        await _invite(page, CARL)
        await carls.get_by_role("link", name="Invitations: 1").wait_for()
        await page.goto("/contacts?edit=1")
        await page.get_by_label(f"Withdraw the invitation to {CARL}").click()
        await page.get_by_text("The invitation was withdrawn.").wait_for()
        await carls.get_by_role("link", name="Invitations: 1").wait_for(state="detached")
        assert await _listed(carls, "#received") == await _listed(page, "#sent") == []
        assert await command(carls, f"/contacts/accept/{ids[SOPHIE]}") == 404
        assert await command(page, f"/contacts/withdraw/{ids[CARL]}") == 404
        assert await world.registry.read(lambda r: contacts.list_for(r, ids[CARL])) == ()
        await page.goto("/contacts/new")
        assert CARL in await page.locator("#people form button").all_inner_texts()


async def test_con_07_the_badge(tmp_path: Path):
    async with _people(tmp_path) as (world, ids):
        page = await _window(world, MARKUS, "/domains")
        assert "Invitations:" not in await page.inner_text("header")
        await _invite(await _window(world, SOPHIE), MARKUS)
        badge = page.locator("#waiting a")
        for path in (
            "/home", "/cameras", "/domains", "/contacts", "/contacts/new", "/public", "/sessions",
            "/guest-clients", "/account",
        ):  # fmt: skip
            await page.goto(path)
            assert await badge.inner_text() == "Invitations: 1", path
        menu = await page.get_by_role("navigation", name="Main").bounding_box()
        box = await badge.bounding_box()
        assert box["x"] >= menu["x"] + menu["width"]
        await page.goto("/contacts")
        await page.locator("html[data-live]").wait_for()
        await world.registry.write(lambda tx: contacts.invite(tx, ids[CARL], ids[MARKUS]))
        await page.get_by_role("link", name="Invitations: 2").wait_for()
        await page.goto("/domains")
        await badge.click()
        await page.wait_for_url("**/contacts#received")
        assert await text_of(page.locator("#received h2")) == "INVITATIONS RECEIVED"
        assert await _listed(page, "#received") == [CARL, SOPHIE]
        await world.picture(page, "con-07")


async def test_con_08_an_invitation_is_accepted(tmp_path: Path):
    async with _people(tmp_path) as (world, ids):
        page, carls = await _window(world, SOPHIE), await _window(world, CARL)
        await _invite(page, CARL)
        await page.goto("/contacts")
        await page.locator("html[data-live]").wait_for()
        await carls.get_by_role("button", name="accept").click()
        await carls.get_by_text("You are contacts now.").wait_for()
        assert await lines_of(carls.locator("#contacts")) == [SOPHIE]
        await page.locator("#contacts").get_by_role("link", name=CARL, exact=True).wait_for()
        assert await _listed(page, "#sent") == await _listed(carls, "#received") == []
        assert await carls.locator("#waiting a").count() == 0
        assert await command(carls, f"/contacts/accept/{ids[MARKUS]}") == 404  # nobody asked
        found = await world.registry.read(lambda r: contacts.list_for(r, ids[CARL]))
        assert [one.name for one in found] == [SOPHIE]


async def test_con_09_an_invitation_is_refused(tmp_path: Path):
    async with _people(tmp_path) as (world, ids):
        page, carls = await _window(world, SOPHIE), await _window(world, CARL)
        await _invite(page, CARL)
        await page.goto("/contacts")
        await page.locator("html[data-live]").wait_for()
        assert await _listed(page, "#sent") == [CARL]
        await carls.get_by_label(f"Refuse the invitation of {SOPHIE}").click()
        await carls.get_by_text("The invitation was refused.").wait_for()
        await until(lambda: _none_sent(page))
        assert await _listed(carls, "#received") == []
        assert await carls.locator("#waiting a").count() == 0
        for whose in (SOPHIE, CARL):
            assert await world.registry.read(lambda r, w=whose: contacts.list_for(r, ids[w])) == ()
        assert await command(carls, f"/contacts/accept/{ids[SOPHIE]}") == 404


async def _none_sent(page: Any) -> bool:
    return await _listed(page, "#sent") == []


async def test_con_10_crossed_invitations(tmp_path: Path):
    async with _people(tmp_path) as (world, ids):
        page, carls = await _window(world, SOPHIE), await _window(world, CARL)
        await _invite(page, CARL)
        await carls.goto("/contacts/new")
        await carls.get_by_role("button", name=SOPHIE, exact=True).click()
        told = carls.get_by_role("status").filter(has_text="contact has been created")
        await told.wait_for()
        for window, name in ((page, CARL), (carls, SOPHIE)):
            await window.goto("/contacts")
            assert await lines_of(window.locator("#contacts")) == [name]
            assert await _listed(window, "#sent") == await _listed(window, "#received") == []
        assert await command(page, f"/contacts/invite/{ids[CARL]}") == 409
