"""Section J, second half: sharing with a contact, and what its end does to users and clients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.endpoint.client import ClientEndpoint
from gateway.model.kinds import Authority, ClientStatus, SiteKind, UserKind
from gateway.registry import contacts, domains, members
from gateway.wire.codes import ErrorCode
from tests.features.scenes import Scene, markus
from tests.features.steps import command, count, flat, users_of
from tests.features.views import (
    Account,
    add_client,
    clients_of,
    connect,
    contact_of,
    hosts,
    lines_of,
    new_account,
    refused,
    row,
    shared_page,
    text_of,
)
from tests.features.world import ADMIN, PLAIN, until

SYSTEM = "Surveillance System"


async def _julia_online(scene: Scene) -> tuple[Any, Account, ClientEndpoint]:
    """Set up a client of Julia with what her page shows; return page, account and program."""
    page = await shared_page(scene)
    account = await new_account(page, "Robinson", SYSTEM)
    return page, account, await connect(scene.world, account)


async def _julias_house(scene: Scene) -> Scene:
    """Have Julia share an alarm of hers with Markus, who is "Markus" there."""
    julia = scene.users["Julia"]
    domain = await scene.world.registry.write(lambda tx: domains.add(tx, julia, "Summer House"))
    house = Scene(scene.world, julia, domain.id)
    site = await house.add_site("Porch", SiteKind.SINGLE_SERVICE, PLAIN)
    contact = await contact_of(scene, "Julia")
    user = await house.add_user("Markus", kind=UserKind.CONTACT, contact_id=contact)
    await scene.world.registry.write(lambda tx: members.add_site_user(tx, site, user))
    return house


async def _markus_online(scene: Scene, house: Scene) -> ClientEndpoint:
    _, uri, password = await house.client_of("Markus", creator=scene.owner)
    return await connect(
        scene.world, Account(uri, password),
        service_type=PLAIN.service_type, contract_author=PLAIN.contract_author,
    )  # fmt: skip


def _asleep(program: ClientEndpoint) -> bool:
    return program.status is ClientStatus.ACCESS_DENIED


async def _admins_page(scene: Scene, owner_id: int) -> Any:
    return await scene.world.signed_in(ADMIN, f"/admin/users/{owner_id}")


async def _marked(page: Any) -> str:
    return flat(await page.locator("#contacts li").inner_text())


async def test_con_11_a_contact_is_deleted(tmp_path: Path):
    async with markus(tmp_path, julia_is=Authority.PROVIDER) as scene:
        house = await _julias_house(scene)
        mine = await _markus_online(scene, house)
        julia, _, program = await _julia_online(scene)
        theirs = julia.url.partition("?")[0]
        page = await scene.world.signed_in("markus", "/contacts?edit=1")
        await page.get_by_label("Delete Julia Robinson").click()
        question = page.locator("details.ask[open]")
        assert "with 1 user that you made for it and 1 client of theirs" in await text_of(question)
        await question.get_by_role("button", name="Delete").click()
        await page.get_by_text("The contact was deleted.").wait_for()
        assert await page.locator("#contacts").get_by_role("link").count() == 0
        await refused(program, ErrorCode.CLIENT_NOT_REGISTERED)
        assert "Robinson" not in await users_of(scene)
        assert await clients_of(scene.world, scene.sites[SYSTEM]) == ()
        await julia.goto("/contacts")
        assert await _marked(julia) == "Markus Schmidt (*)"
        await julia.goto(theirs)
        assert "The partner has deleted this contact." in await text_of(julia.locator("main"))
        assert "Office Automation" not in await julia.content()
        robinson = scene.users["Robinson"]
        path = f"/sites/{scene.sites[SYSTEM]}/clients"
        await julia.goto("/contacts?edit=1")
        assert await command(julia, f"{_path(theirs)}{path}", user_id=robinson) in (403, 404)
        await until(lambda: _asleep(mine))  # it sleeps, and is not lost
        assert len(await clients_of(scene.world, house.site)) == 1
        assert (await users_of(house))["Markus"].contact_id is not None


def _path(url: str) -> str:
    return "/" + url.split("/", 3)[3]


async def test_con_12_a_contact_is_restored(tmp_path: Path):
    async with markus(tmp_path, julia_is=Authority.PROVIDER) as scene:
        julia, account, program = await _julia_online(scene)
        await julia.goto("/contacts?edit=1")
        await julia.get_by_label("Delete Markus Schmidt").click()
        await julia.get_by_text("The contact was deleted.").wait_for()
        await until(lambda: _asleep(program))
        page = await scene.world.signed_in("markus", "/contacts")
        assert await _marked(page) == "Julia Robinson (*)"
        await page.goto(f"/sites/{scene.sites[SYSTEM]}")
        await julia.goto("/contacts/new")
        await julia.get_by_role("button", name="Markus Schmidt", exact=True).click()
        await julia.get_by_text("The contact works again.").wait_for()
        await until(lambda: program.status is ClientStatus.ONLINE)
        assert len(await hosts(program, 4)) == 4
        await page.goto("/contacts")
        assert await _marked(page) == "Julia Robinson"
        again = await shared_page(scene)
        await row(again, account.key).get_by_text("online", exact=True).wait_for()
        users = await users_of(scene)
        assert users["Robinson"].id == scene.users["Robinson"]
        assert await count(scene, "contact_invitation") == 0


async def test_con_13_the_partners_account_is_deleted(tmp_path: Path):
    async with markus(tmp_path) as scene:
        _, account, program = await _julia_online(scene)
        contact = await contact_of(scene, "Markus")
        admin = await _admins_page(scene, scene.users["Julia"])
        await admin.get_by_text("Delete this account").click()
        await admin.get_by_role("button", name="Delete julia").click()
        await admin.wait_for_url("**/admin/users*")
        await refused(program, ErrorCode.CLIENT_NOT_REGISTERED)
        page = await scene.world.signed_in("markus", "/contacts")
        assert await _marked(page) == "Julia Robinson (**)"
        mark = page.locator("#contacts li .red")
        assert await mark.inner_text() == "(**)"
        await page.goto(f"/contacts/{contact}")
        left = await text_of(page.locator("#contact-domains"))
        assert "The account behind this contact is gone." in left
        await page.goto("/contacts?edit=1")
        await page.get_by_role("link", name="Edit Julia Robinson").click()
        assert await page.get_by_label("Contact name").count() == 0
        assert await command(page, f"/contacts/{contact}/edit", name="Anybody") == 409
        await page.goto(f"/domains/{scene.domain}")
        line = page.locator("tr").filter(has_text="Robinson")
        assert "Julia Robinson (**)" in await text_of(line)
        await page.get_by_role("link", name="Edit Robinson").click()
        assert "The user should be removed." in await text_of(page.locator("tr.open"))
        await page.locator("tr.open").get_by_label("Delete Robinson").click()
        await page.get_by_text("The user was deleted.").wait_for()
        assert "Robinson" not in await users_of(scene)
        user = {"contact_id": contact, "name": "Robinson", "enabled": 1}
        assert await command(page, f"/domains/{scene.domain}/contact-users", **user) in (409, 422)
        gone = await scene.world.program(account.uri, account.password)
        await refused(gone, ErrorCode.CLIENT_NOT_REGISTERED)


async def test_con_14_the_partner_is_disabled(tmp_path: Path):
    async with markus(tmp_path, julia_is=Authority.PROVIDER) as scene:
        await _julias_house(scene)
        contact = await contact_of(scene, "Markus")
        _, account, program = await _julia_online(scene)
        page = await scene.world.signed_in("markus", f"/contacts/{contact}")
        assert await lines_of(page.locator("#contact-domains")) == ["Summer House"]
        await page.get_by_role("link", name="Summer House").click()
        inside = page.url
        admin = await _admins_page(scene, scene.users["Julia"])
        await admin.get_by_role("button", name="Disable", exact=True).click()
        await admin.get_by_role("button", name="Enable", exact=True).wait_for()
        await until(lambda: _asleep(program))
        await page.goto("/contacts")
        assert await _marked(page) == "Julia Robinson [disabled]"
        red, black = page.locator("#contacts li .red"), page.locator("#contacts li a")
        colour = "e => getComputedStyle(e).color"
        assert await red.inner_text() == "[disabled]"
        assert await red.evaluate(colour) != await black.evaluate(colour)
        for address in (f"/contacts/{contact}", inside):
            await page.goto(address)
            assert "disabled by the administrator" in await text_of(page.locator("main"))
            assert "Summer House" not in await page.content()
        await page.goto("/contacts?edit=1")
        site, user = await _porch(scene)
        assert await command(page, f"{_path(inside)}/sites/{site}/clients", user_id=user) in (
            403, 404,
        )  # fmt: skip
        await admin.get_by_role("button", name="Enable", exact=True).click()
        await until(lambda: program.status is ClientStatus.ONLINE)
        await page.goto(f"/contacts/{contact}")
        assert await lines_of(page.locator("#contact-domains")) == ["Summer House"]
        assert account.key in {
            one.key for one in await clients_of(scene.world, scene.sites[SYSTEM])
        }


async def _porch(scene: Scene) -> tuple[int, int]:
    """Return the ids of Julia's site and of the user for Markus there."""

    def read(reader: Any) -> tuple[int, int]:
        row = reader.one(
            "SELECT s.id, u.id FROM site s JOIN domain_user u ON u.domain_id = s.domain_id"
            " WHERE s.description = 'Porch' AND u.name = 'Markus'"
        )
        return row[0], row[1]

    return await scene.world.registry.read(read)


async def test_con_15_share_with_a_contact(tmp_path: Path):
    async with markus(tmp_path) as scene:
        robinson = scene.users["Robinson"]
        await scene.world.registry.write(lambda tx: members.delete_user(tx, robinson))
        contact = await contact_of(scene, "Julia")
        julia = await scene.world.signed_in("julia", f"/contacts/{contact}")
        await julia.locator("html[data-live]").wait_for()
        assert await lines_of(julia.locator("#contact-domains")) == []
        theirs = f"/contacts/{contact}/domains/{scene.domain}"
        assert (await julia.request.get(theirs)).status == 404
        page = await scene.world.signed_in("markus", f"/domains/{scene.domain}")
        await page.get_by_role("link", name="new user").click()
        await page.get_by_label("Contact", exact=True).select_option(label="Julia Robinson")
        await page.get_by_label("User name").fill("Robinson")
        await page.get_by_role("button", name="Create the contact user").click()
        await page.get_by_text("The user was added.").wait_for()
        user = (await users_of(scene))["Robinson"]
        await julia.get_by_role("link", name="Office Automation").click()  # at once, by itself
        await julia.locator("html[data-live]").wait_for()
        assert "No sites You have no rights" in await text_of(julia.locator("#sites"))
        path = f"{theirs}/sites/{scene.sites[SYSTEM]}/clients"
        assert await command(julia, path, user_id=user.id) == 404
        await page.goto(f"/sites/{scene.sites[SYSTEM]}")
        await page.get_by_role("link", name="Roles of Robinson").click()
        await page.locator(".open").get_by_label("User", exact=True).check()
        await page.locator(".open").get_by_role("button", name="Save").click()
        await page.get_by_text("Saved.").wait_for()
        await julia.get_by_role("heading", name=SYSTEM, exact=True).wait_for()
        shown = await julia.locator("section h2").evaluate_all("all => all.map(e => e.textContent)")
        assert shown == [SYSTEM]
        uri = await add_client(julia, "Robinson", SYSTEM)
        (made,) = await clients_of(scene.world, scene.sites[SYSTEM])
        assert (made.key in uri, made.user_id) == (True, user.id)
        found = await scene.world.registry.read(lambda r: contacts.list_for(r, scene.owner))
        assert [one.name for one in found] == ["Julia Robinson"]
