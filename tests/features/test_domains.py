"""Section B: MY DOMAINS and the page of a domain (guide 2.1, 3.1, 5)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.model.kinds import Authority, SiteKind
from gateway.registry import domains, members, sites
from tests.features import steps
from tests.features.scenes import john, markus, nothing_yet
from tests.features.steps import command, gone, shows, until_shown
from tests.features.world import PLAIN, until


async def _names(page: Any) -> list[str]:
    return await page.locator("#domains h3").all_inner_texts()


async def test_dom_01_my_domains_lists_exactly_mine(tmp_path: Path):
    async with nothing_yet(tmp_path) as scene:
        world = scene.world
        await world.registry.write(lambda tx: domains.add(tx, scene.owner, "Annex"))
        _, (foreign,) = await world.person("Mary Somerville", "mary", Authority.PROVIDER, "Office")
        page = await world.signed_in("john", "/domains")
        assert (await shows(page, "h1")).upper() == "MY DOMAINS"
        assert await _names(page) == ["Annex", "Home Surveillance"]
        assert "Office" not in await shows(page, "main")
        await page.get_by_role("link", name="Home Surveillance").click()
        await page.wait_for_url(f"**/domains/{scene.domain}")
        answer = await page.goto(f"/domains/{foreign}")
        assert answer.status == 404
        assert "Office" not in await page.content()
        other = await world.signed_in("mary", "/domains")
        assert await _names(other) == ["Office"]


async def test_dom_02_edit_and_view_mode(tmp_path: Path):
    async with nothing_yet(tmp_path) as scene:
        page = await scene.world.signed_in("john", "/domains")
        rename = page.get_by_role("link", name="Rename Home Surveillance")
        delete = page.locator("summary[aria-label='Delete Home Surveillance']")
        edit = page.get_by_role("link", name="edit", exact=True)
        view = page.get_by_role("link", name="view", exact=True)
        assert (await rename.count(), await delete.count(), await view.count()) == (0, 0, 0)
        await edit.click()
        await view.wait_for()
        assert await rename.inner_text() == "»"
        assert await delete.inner_text() == "X"
        assert await edit.count() == 0
        await view.click()
        await edit.wait_for()
        assert (await rename.count(), await delete.count(), await view.count()) == (0, 0, 0)
        await edit.click()
        await delete.click()
        await page.get_by_role("button", name="Delete", exact=True).click()
        await page.get_by_text("No domains yet").wait_for()
        assert (await edit.count(), await view.count()) == (0, 0)


async def test_dom_03_rename_a_domain(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        program = await steps.program_of(scene, "Owner")
        breaks = [*map(steps.interruptions, (program, *scene.devices))]
        page = await scene.world.signed_in("john", "/domains?edit=1")
        await page.get_by_role("link", name="Rename Home Surveillance").click()
        box = page.get_by_label("Name of the domain")
        assert await box.input_value() == "Home Surveillance"
        rename = f"/domains/{scene.domain}/rename"
        assert await command(page, rename, name="") == 422
        assert await command(page, rename, name="   ") == 422
        assert await command(page, rename, name="d" * 97) == 422
        found = await scene.world.registry.read(lambda reader: domains.get(reader, scene.domain))
        assert found.name == "Home Surveillance"
        longest = "Villa " + "v" * 90
        await box.fill(longest)
        await page.get_by_role("button", name="save").click()
        await page.get_by_role("link", name=f"Rename {longest}").wait_for()
        for path in ("/domains", f"/domains/{scene.domain}", f"/sites/{scene.site}",
                     f"/sites/{scene.site}/clients", "/home"):  # fmt: skip
            await page.goto(path)
            assert longest in await shows(page, "main"), path
            assert "Home Surveillance" not in await shows(page, "main"), path
        assert breaks == [[], []]
        assert program.status is steps.CLIENT_ONLINE


async def test_dom_04_delete_a_domain(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        program = await steps.program_of(scene, "Alison")
        page = await scene.world.signed_in("john", "/domains?edit=1")
        delete = page.locator("summary[aria-label='Delete Home Surveillance']")
        await delete.click()
        question = page.locator("details.ask[open]")
        assert "really?" in (await question.inner_text()).lower()
        await scene.world.picture(page, "dom-04")
        await question.get_by_text("Cancel").click()
        await delete.wait_for()
        assert program.status is steps.CLIENT_ONLINE
        assert [await steps.count(scene, name) for name in ("domain", "site", "client")] == [1] * 3
        await delete.click()
        await question.get_by_role("button", name="Delete", exact=True).click()
        await page.get_by_text("No domains yet").wait_for()
        left = ("domain", "site", "service", "domain_user", "client")
        assert [await steps.count(scene, name) for name in left] == [0] * 5
        await until(lambda: gone(scene.devices[0], steps.NO_SERVICE))
        await until(lambda: gone(program, steps.NO_CLIENT))


async def test_dom_05_create_a_domain(tmp_path: Path):
    async with nothing_yet(tmp_path) as scene:
        page = await scene.world.signed_in("john", "/domains")
        for typed, called in (("Summer House", "Summer House"), ("", "DOMAIN_")):
            await page.goto("/domains")
            assert await page.get_by_role("heading", name="NEW DOMAIN").count() == 1
            await page.get_by_label("Name (optional)").fill(typed)
            await page.get_by_role("button", name="Create").click()
            await page.get_by_role("heading", name="User list").wait_for()
            assert called in await shows(page, "h1")
            assert await page.locator("#users tbody tr td:first-child strong").all_inner_texts() \
                == ["Owner", "Guest"]  # fmt: skip
            assert await page.locator("#users tbody tr").count() == 2
            assert await page.locator("#sites .person").count() == 0
            assert "No sites yet." in await shows(page, "#sites")
            made = int(page.url.rpartition("/")[2])
            users = await scene.world.registry.read(
                lambda reader, made=made: members.list_users(reader, made)
            )
            assert [user.name for user in users] == ["Owner", "Guest"]
            assert await scene.world.registry.read(
                lambda reader, made=made: sites.list_for(reader, made)
            ) == ()  # fmt: skip


async def test_dom_06_the_user_table_of_a_domain(tmp_path: Path):
    async with markus(tmp_path) as scene:
        for name in ("Alarm System", "Surveillance System"):
            await scene.client_of("Robinson", name, creator=scene.users["Julia"])
        await scene.client_of("Robinson", "Surveillance System", creator=scene.users["Julia"])
        await scene.client_of("GuardPost", "Surveillance System")

        def change(tx: Any) -> None:
            members.set_dedicated(tx, scene.users["GuardPost"], True)
            members.set_user_enabled(tx, scene.users["GuardPost"], False)
            members.set_user_enabled(tx, scene.users["Assistant"], False)

        await scene.world.registry.write(change)
        page = await scene.world.signed_in("markus", f"/domains/{scene.domain}")
        heads = await page.locator("#users thead th").all_inner_texts()
        assert [head.lower() for head in heads] == ["user", "contact", "status", "clients"]
        rows = await page.locator("#users tbody tr").all()
        table = [
            [steps.flat(cell) for cell in await row.locator("td").all_inner_texts()] for row in rows
        ]
        await scene.world.picture(page, "dom-06")
        assert [[cells[0].removeprefix("» "), *cells[1:]] for cells in table] == [
            ["Owner", "", "", ""],
            ["Assistant", "", "Disabled", ""],
            ["GuardPost", "", "Disabled, Dedicated", "1"],
            ["Robinson", "Julia Robinson", "", "3"],
            ["Guest", "", "", ""],
        ]


async def test_dom_07_the_site_list_of_a_domain(tmp_path: Path):
    async with john(tmp_path, cameras=2) as scene:
        await scene.add_site("Alarm", SiteKind.SINGLE_SERVICE, PLAIN)
        page = await scene.world.signed_in("john", f"/domains/{scene.domain}")
        blank = await scene.world.registry.write(
            lambda tx: sites.add(tx, scene.domain, "Shed", SiteKind.SINGLE_SERVICE).id
        )
        built, plain = scene.sites["SITE_1"], scene.sites["Alarm"]
        await until_shown(page, f"#site-{blank}", "site blank")
        text = await shows(page, f"#site-{blank}")
        assert "Shed" in text
        assert "Service1 service type undefined" in text
        assert await page.get_by_role("link", name="clients of Shed").count() == 0
        assert await page.get_by_role("link", name="config of Shed").count() == 1

        text = await shows(page, f"#site-{built}")
        for words in ("SITE_1", "RTX-5 ( Cold Vision )", "list of services", "Entrance ver. 1.0",
                      "Garage ver. 1.0", "supported roles Administrator, Operator, User",
                      "users Owner ( Administrator ), Alison ( User )"):  # fmt: skip
            assert words in text, words
        assert "blank" not in text
        text = await shows(page, f"#site-{plain}")
        for words in ("iSentry ( Argus )", "access defaults Implicit users denied",
                      "users nobody"):  # fmt: skip
            assert words in text, words
        assert "roles" not in text
        await scene.world.picture(page, "dom-07")
        await page.get_by_role("link", name="clients of SITE_1").click()
        await page.wait_for_url(f"**/sites/{built}/clients")
        await page.goto(f"/domains/{scene.domain}")
        await page.get_by_role("link", name="config of SITE_1").click()
        await page.wait_for_url(f"**/sites/{built}")
        await page.goto(f"/domains/{scene.domain}")
        await page.get_by_role("link", name="Delete the site SITE_1").click()
        await page.wait_for_url(f"**/sites/{built}/delete")
