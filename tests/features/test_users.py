"""Section G: the users of a domain (guide 2.3, 3.4, 9, 9.2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.model.kinds import Authority, ClientStatus, SiteKind, UserKind
from gateway.registry import contacts, members, sites
from tests.features import steps
from tests.features.scenes import Scene, john, markus, nothing_yet
from tests.features.steps import command, gone, shows, until_users
from tests.features.world import CAMERA, PLAIN, until


async def _rows(page: Any) -> list[str]:
    """Return the lines of USER LIST without the mark that opens them."""
    lines = await steps.steadily(page.locator("#users tbody tr").all_inner_texts)
    return [steps.flat(line).removeprefix("» ") for line in lines]


async def _edit(page: Any, domain_id: int, name: str) -> Any:
    """Open a user of USER LIST; return its row."""
    await page.goto(f"/domains/{domain_id}")
    await page.get_by_role("link", name=f"Edit {name}", exact=True).click()
    row = page.locator("#users tr.open")
    await row.wait_for()
    return row


async def test_usr_01_owner_and_guest(tmp_path: Path):
    async with nothing_yet(tmp_path) as scene:
        await scene.add_user("Alison")
        page = await scene.world.signed_in("john", f"/domains/{scene.domain}")
        assert await _rows(page) == ["Owner", "Alison", "Guest"]
        bold = page.locator("#users tbody strong")
        assert await bold.all_inner_texts() == ["Owner", "Guest"]
        assert await bold.first.evaluate("e => Number(getComputedStyle(e).fontWeight)") >= 600
        before = await steps.users_of(scene)
        for name in ("Owner", "Guest"):
            row = await _edit(page, scene.domain, name)
            assert await row.get_by_label("Name").count() == 0
            assert await row.get_by_label("Dedicated").count() == 0
            assert await row.get_by_label("Disabled").count() == 1
            assert await row.locator("summary, form[action$='/delete']").count() == 0
            own = f"/domains/{scene.domain}/users/{scene.users[name]}"
            assert await command(page, own, name="Somebody") == 409
            assert await command(page, own, name=name, dedicated=1) == 409
            assert await command(page, f"{own}/delete") == 409
            csrf = await page.locator("input[name=csrf]").first.input_value()
            for method, path, data in (
                ("PUT", "/name", {"name": "Somebody"}), ("PUT", "/dedicated", {"dedicated": True}),
                ("DELETE", "", None),
            ):  # fmt: skip
                answer = await page.request.fetch(
                    f"/api/v1/users/{scene.users[name]}{path}", method=method, data=data,
                    headers={"X-CSRF-Token": csrf},
                )  # fmt: skip
                assert answer.status == 409, (method, path)
        assert await steps.users_of(scene) == before
        row = await _edit(page, scene.domain, "Alison")  # of others all of it can be set
        assert await row.get_by_label("Name").count() == 1
        assert await row.get_by_label("Dedicated").count() == 1
        assert await row.get_by_label("Delete Alison").count() == 1


async def test_usr_02_the_page_new_user(tmp_path: Path):
    async with markus(tmp_path) as scene:
        system = scene.sites["Surveillance System"]
        page = await scene.world.signed_in("markus", "/domains")
        back = {f"/domains/{scene.domain}": "Berta", f"/sites/{system}": "Carl"}
        for start, name in back.items():
            await page.goto(start)
            await page.get_by_role("link", name="new user", exact=True).click()
            assert (await shows(page, "h1")).upper().startswith("NEW USER")
            headings = [one.upper() for one in await page.get_by_role("heading").all_inner_texts()]
            assert headings[1:] == ["PRIVATE USER", "CONTACT USER", "EXISTING USERS"]
            existing = page.locator("section[aria-labelledby=existing] li")
            listed = [steps.flat(one) for one in await existing.all_inner_texts()]
            for there in ("Owner", "Guest", "GuardPost", "Robinson <Julia Robinson>"):
                assert there in listed
            form = page.locator("#private-user")
            await form.get_by_label("Name of a private user").fill("9 lives")
            await form.get_by_role("button", name="Create").click()
            await page.locator("#private-user [aria-invalid]").wait_for()
            await form.get_by_label("Name of a private user").fill(name)
            await form.get_by_role("button", name="Create").click()
            await page.get_by_text("The user was added.").wait_for()
            assert page.url.split("?")[0].endswith(start)
        await page.goto(f"/sites/{system}")
        await page.get_by_role("link", name="new user", exact=True).click()
        await page.get_by_label("Contact", exact=True).select_option(label="Julia Robinson")
        await page.get_by_label("User name").fill("Julia")
        await page.locator("#contact-user").get_by_role("button", name="Create").click()
        await page.get_by_text("The user was added.").wait_for()
        assert page.url.split("?")[0].endswith(f"/sites/{system}")
        await scene.world.picture(page, "usr-02")


async def test_usr_03_create_a_private_user(tmp_path: Path):
    async with markus(tmp_path) as scene:
        page = await scene.world.signed_in("markus", f"/domains/{scene.domain}/users/new")
        form = page.locator("#private-user")
        assert not await form.get_by_label("Dedicated").is_checked()
        await form.get_by_label("Name of a private user").fill("Alison")
        await form.get_by_role("button", name="Create").click()
        await page.get_by_text("The user was added.").wait_for()
        await page.get_by_role("link", name="new user", exact=True).click()
        await form.get_by_label("Name of a private user").fill("Boris")
        await form.get_by_label("Dedicated").check()
        await form.get_by_role("button", name="Create").click()
        await page.get_by_text("The user was added.").wait_for()
        assert await _rows(page) == [
            "Owner", "Alison", "Assistant", "Boris Dedicated", "GuardPost",
            "Robinson Julia Robinson", "Guest",
        ]  # fmt: skip
        users = await steps.users_of(scene)
        assert (users["Alison"].kind, users["Alison"].dedicated) == (UserKind.PRIVATE, False)
        # Where there is a default role Alison has it; nothing is given anywhere else.
        await page.goto(f"/sites/{scene.sites['Surveillance System']}")
        assert "Alison ( User )" in await steps.users_under(page, "Users")
        assert "Boris" in await steps.users_under(page, "Denied users")
        for name in ("Smart Thermostat", "Alarm System"):
            await page.goto(f"/sites/{scene.sites[name]}")
            denied = await steps.users_under(page, "Denied users")
            assert {"Alison", "Boris"} <= {*denied}


GOOD_NAMES = (
    "A", "a1", "Zoe_2", "Mary Ann", "x" * 36, "K.", "B$.*+#@%&=':^()[]-/!", "Guest2", "Own er",
)  # fmt: skip
BAD_NAMES = (
    "1st", "9 lives", "_x", "-x", "(x)", "Mary  Ann", "Mary ", " Mary", "Jürgen", "Ärzte", "Ивана",
    "x" * 37, "", "   ", "OWNER", "owner", "Guest", "GUEST", "zoe_2", 'a"b', "a<b>", "a,b",
    "a;b", "a?b", "a~b", "a\\b", "a|b", "a{b}", "a`b", "a\tb",
)  # fmt: skip


async def test_usr_04_the_rules_of_user_names(tmp_path: Path):
    async with nothing_yet(tmp_path) as scene:
        page = await scene.world.signed_in("john", f"/domains/{scene.domain}/users/new")
        add = f"/domains/{scene.domain}/users"
        for name in GOOD_NAMES:
            assert await command(page, add, name=name) == 303, name
        for name in BAD_NAMES:
            assert await command(page, add, name=name) in (409, 422), name
        users = await steps.users_of(scene)
        assert {*users} == {*GOOD_NAMES, "Owner", "Guest"}
        box = page.get_by_label("Name of a private user")
        await box.fill("Jürgen")
        await page.locator("#private-user").get_by_role("button", name="Create").click()
        told = page.locator("#private-user .fault")
        await told.wait_for()
        await scene.world.picture(page, "usr-04")
        assert "letter" in await told.inner_text()
        assert "$" in await shows(page, "#private-user")
        assert await box.input_value() == "Jürgen"


async def test_usr_05_create_a_contact_user(tmp_path: Path):
    async with markus(tmp_path) as scene:
        await scene.world.person("Sophie Germain", "sophie", Authority.CONSUMER)
        page = await scene.world.signed_in("markus", f"/domains/{scene.domain}/users/new")
        form = page.locator("#contact-user")
        assert await form.get_by_label("Dedicated").is_checked()
        assert await form.get_by_label("Enabled").is_checked()
        offered = await form.locator("option").all_inner_texts()
        assert offered == ["choose a contact", "Julia Robinson"]  # contacts only
        before = await steps.users_of(scene)
        await form.get_by_label("User name").fill("Nobody")
        await form.get_by_role("button", name="Create").click()
        fault = form.locator(".fault")
        await fault.wait_for()
        assert "contact" in await fault.inner_text()
        assert await steps.users_of(scene) == before
        await form.get_by_label("Contact", exact=True).select_option(label="Julia Robinson")
        await form.get_by_label("User name").fill("Julia 2")
        await form.get_by_role("button", name="Create").click()
        await page.get_by_text("The user was added.").wait_for()
        assert "Julia 2 Julia Robinson Dedicated" in await _rows(page)
        made = (await steps.users_of(scene))["Julia 2"]
        assert (made.kind, made.dedicated, made.enabled) == (UserKind.CONTACT, True, True)


async def test_usr_06_the_user_default_name_fills_in(tmp_path: Path):
    async with markus(tmp_path) as scene:
        other, _ = await scene.world.person("Sophie Germain", "sophie", Authority.CONSUMER)

        def befriend(tx: Any) -> None:
            contacts.invite(tx, other, scene.owner)
            made = contacts.accept(tx, scene.owner, other)
            contacts.edit(tx, scene.owner, made.id, "Sophie Germain", "Sophie")

        await scene.world.registry.write(befriend)
        page = await scene.world.signed_in("markus", f"/domains/{scene.domain}/users/new")
        choice, box = page.get_by_label("Contact", exact=True), page.get_by_label("User name")
        await choice.select_option(label="Sophie Germain")
        assert await box.input_value() == "Sophie"
        await choice.select_option(label="Julia Robinson")
        assert await box.input_value() == ""
        await choice.select_option(label="Sophie Germain")
        await page.locator("#contact-user").get_by_role("button", name="Create").click()
        await page.get_by_text("The user was added.").wait_for()
        assert (await steps.users_of(scene))["Sophie"].contact_name == "Sophie Germain"


async def test_usr_07_edit_a_user(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        page = await scene.world.signed_in("john", f"/domains/{scene.domain}")
        assert await page.locator("#sites").count() == 1
        row = await _edit(page, scene.domain, "Alison")
        assert await page.locator("#sites").count() == 0
        await scene.world.picture(page, "usr-07")
        await row.get_by_label("Name").fill("Alice")
        await row.get_by_label("Disabled").check()
        await row.get_by_label("Dedicated").check()
        before = await steps.users_of(scene)
        await row.get_by_role("link", name="Cancel").click()
        await page.locator("#sites").wait_for()
        assert await _rows(page) == ["Owner", "Alison", "Guest"]
        assert await steps.users_of(scene) == before

        row = await _edit(page, scene.domain, "Alison")
        await row.get_by_label("Name").fill("Alice")
        await row.get_by_label("Disabled").check()
        await row.get_by_label("Dedicated").check()
        await row.get_by_role("button", name="Save").click()
        await page.locator("#sites").wait_for()
        assert await _rows(page) == ["Owner", "Alice Disabled, Dedicated", "Guest"]
        user = (await steps.users_of(scene))["Alice"]
        assert (user.enabled, user.dedicated) == (False, True)

        row = await _edit(page, scene.domain, "Alice")
        assert await row.get_by_label("Disabled").is_checked()
        await row.get_by_label("Disabled").uncheck()
        await row.get_by_label("Dedicated").uncheck()
        await row.get_by_role("button", name="Save").click()
        await page.locator("#sites").wait_for()
        assert await _rows(page) == ["Owner", "Alice", "Guest"]

        row = await _edit(page, scene.domain, "Alice")
        await row.get_by_label("Name").fill("Guest")
        await row.get_by_role("button", name="Save").click()
        await row.locator(".alert, .fault").first.wait_for()  # refused, and still open
        assert {*await steps.users_of(scene)} == {"Owner", "Alice", "Guest"}
        await row.get_by_label("Delete Alice").click()
        await page.get_by_text("The user was deleted.").wait_for()
        assert await _rows(page) == ["Owner", "Guest"]


async def _set(page: Any, scene: Scene, name: str, box: str, *, to: bool) -> None:
    """Tick or untick a box of a user and save."""
    row = await _edit(page, scene.domain, name)
    await row.get_by_label(box).set_checked(to)
    await row.get_by_role("button", name="Save").click()
    await page.locator("#sites").wait_for()


async def test_usr_08_disable_a_user(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        program = await steps.program_of(scene, "Alison")
        await until(lambda: program.status is ClientStatus.ONLINE)
        page = await scene.world.signed_in("john", f"/domains/{scene.domain}")
        await _set(page, scene, "Alison", "Disabled", to=True)
        assert "Alison Disabled 1" in await _rows(page)
        red = await page.locator("#users .red").all_inner_texts()
        assert {*red} == {"Alison", "Disabled"}
        await until(lambda: program.status == 2)
        await page.goto(f"/sites/{scene.site}/clients")
        assert "Alison" in await page.locator("#clients .red").all_inner_texts()
        await _set(page, scene, "Alison", "Disabled", to=False)
        await until(lambda: program.status is ClientStatus.ONLINE)
        assert program.user.roles == ("User",)

        await page.goto(f"/sites/{scene.site}")
        await page.locator("form[action$='/guests'] button").click()
        await page.get_by_text("Guest allowed").wait_for()
        await _set(page, scene, "Alison", "Disabled", to=True)
        await until(lambda: program.user.kind.guest)
        assert program.status is ClientStatus.ONLINE
        await _set(page, scene, "Alison", "Disabled", to=False)
        await until(lambda: program.user.roles == ("User",))


async def test_usr_09_delete_a_user(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        other = await scene.add_site("Alarm", SiteKind.SINGLE_SERVICE, PLAIN)
        alison = scene.users["Alison"]
        await scene.world.registry.write(lambda tx: members.add_site_user(tx, other, alison))
        programs = [
            await steps.program_of(scene, "Alison"),
            await steps.program_of(
                scene, "Alison", "Alarm", service_type=PLAIN.service_type,
                contract_author=PLAIN.contract_author,
            ),
            await steps.program_of(scene, "Owner"),
        ]  # fmt: skip
        assert [one.status for one in programs] == [ClientStatus.ONLINE] * 3
        page = await scene.world.signed_in("john", f"/domains/{scene.domain}")
        assert await page.get_by_label("Delete Alison").count() == 0  # in edit mode only
        row = await _edit(page, scene.domain, "Alison")
        drop = row.get_by_label("Delete Alison")
        assert await drop.inner_text() == "X"
        await drop.click()
        question = row.locator("details.ask[open]")
        assert "2 clients" in await question.inner_text()
        await question.get_by_role("button", name="Delete").click()
        await page.get_by_text("The user was deleted.").wait_for()
        assert await _rows(page) == ["Owner 1", "Guest"]
        await until(lambda: gone(programs[0], steps.NO_CLIENT))
        await until(lambda: gone(programs[1], steps.NO_CLIENT))
        assert programs[2].status is ClientStatus.ONLINE
        assert await steps.count(scene, "client") == 1
        for site_id in (scene.site, other):
            await page.goto(f"/sites/{site_id}")
            assert "Alison" not in await shows(page, "main")


async def test_usr_10_guest_can_only_be_disabled(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        second = await scene.add_site("SITE_2", SiteKind.SINGLE_SERVICE, CAMERA)
        page = await scene.world.signed_in("john", f"/sites/{scene.site}")
        guests = []
        for site_id in (scene.site, second):
            await page.goto(f"/sites/{site_id}")
            await page.locator("form[action$='/guests'] button").click()
            uri = await page.locator("#shared-uri").inner_text()
            guests.append(await scene.world.program(uri, None))
        await until(lambda: [one.status for one in guests] == [ClientStatus.ONLINE] * 2)
        row = await _edit(page, scene.domain, "Guest")
        inputs = row.locator("input:not([type=hidden])")
        assert await inputs.count() == 1
        assert await inputs.get_attribute("name") == "disabled"
        await inputs.check()
        await row.get_by_role("button", name="Save").click()
        await page.locator("#sites").wait_for()
        assert "Guest Disabled" in await _rows(page)
        await until(lambda: ClientStatus.ONLINE not in [one.status for one in guests])
        late = await scene.world.program(uri, None)
        await until(lambda: late.connectivity.error or late.status is not ClientStatus.OFFLINE)
        assert late.status is not ClientStatus.ONLINE
        # The sites themselves still say that guests may come.
        found = await scene.world.registry.read(
            lambda reader: [sites.get(reader, one).guest_allowed for one in (scene.site, second)]
        )
        assert found == [True, True]
        await until_users(await _opened(page, scene.site), "Users", [
            "Owner ( Administrator )", "Alison ( User )", "Guest user disabled"
        ])  # fmt: skip
        await _set(page, scene, "Guest", "Disabled", to=False)
        await until(lambda: [one.status for one in guests] == [ClientStatus.ONLINE] * 2)


async def _opened(page: Any, site_id: int) -> Any:
    await page.goto(f"/sites/{site_id}")
    return page
