"""Section H: who may do what on a site (guide 2.3, 3.4, 9.3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.access.ports import RolesRule
from gateway.endpoint.calls import EMPTY, IncomingCall
from gateway.endpoint.errors import AccessDenied
from gateway.model.kinds import ClientStatus, SiteKind
from gateway.registry import contacts, members, sites
from tests.features import steps
from tests.features.scenes import Scene, john, markus, nothing_yet
from tests.features.steps import command, shows, until_users
from tests.features.world import PLAIN, until

OPERATIONS = {"Look": "User", "Move": "Operator", "Reset": "Administrator"}


async def _answer(_: IncomingCall) -> bytes:
    return EMPTY


def _operate(scene: Scene) -> None:
    """Have the first camera offer an operation for each role."""
    for name, role in OPERATIONS.items():
        scene.devices[0].offer(name, _answer, rule=RolesRule((role,)))


async def _allowed(program: Any) -> set[str]:
    """Return the operations of the first camera that a program may use."""
    done = set()
    for name in OPERATIONS:
        try:
            await program.call(program.services[0].id, name)
        except AccessDenied:
            continue
        done.add(name)
    return done


async def _tick(page: Any, user: str, *roles: str) -> None:
    """Open the roles of a user, tick exactly these, save."""
    await page.get_by_role("link", name=f"Roles of {user}", exact=True).click()
    row = page.locator("#users li.open")
    await row.wait_for()
    for box in await row.get_by_role("checkbox").all():
        label = steps.flat(await box.locator("xpath=..").inner_text())
        await box.set_checked(label in roles)
    await row.get_by_role("button", name="Save").click()
    await page.get_by_text("Saved.").wait_for()


async def test_rgt_01_the_role_editor(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        await scene.add_user("Boris")
        page = await scene.world.signed_in("john", f"/sites/{scene.site}")
        await until_users(page, "Users", ["Owner ( Administrator )", "Alison ( User )"])
        await until_users(page, "Denied users", ["Boris", "Guest"])
        left = await page.get_by_role("link", name="Roles of Boris").bounding_box()
        name = await page.locator("#users").get_by_text("Boris", exact=True).bounding_box()
        assert left["x"] < name["x"]
        await page.get_by_role("link", name="Roles of Boris").click()
        boxes = page.locator("#users li.open").get_by_role("checkbox")
        assert [await box.is_checked() for box in await boxes.all()] == [False] * 3
        assert await page.get_by_text("«").count() == 1
        await scene.world.picture(page, "rgt-01")
        await page.get_by_role("link", name="Close the roles of Boris").click()
        await _tick(page, "Boris", "Operator")
        await until_users(
            page, "Users", ["Owner ( Administrator )", "Alison ( User )", "Boris ( Operator )"]
        )
        await until_users(page, "Denied users", ["Guest"])
        roles = await steps.roles_of(scene, scene.site)
        assert roles["Boris"] == ("Operator",)
        await _tick(page, "Boris")
        await until_users(page, "Denied users", ["Boris", "Guest"])
        assert (await steps.roles_of(scene, scene.site))["Boris"] == ()


async def test_rgt_02_several_roles(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        _operate(scene)
        page = await scene.world.signed_in("john", f"/sites/{scene.site}")
        await _tick(page, "Alison", "User", "Operator")
        await until_users(page, "Users", ["Owner ( Administrator )", "Alison ( Operator, User )"])
        uri, password = await steps.client_account(page, scene.site, "Alison")
        program = await scene.world.program(uri, password)
        await until(lambda: any(one.online for one in program.services))
        assert {*program.user.roles} == {"Operator", "User"}
        assert await _allowed(program) == {"Look", "Move"}


async def test_rgt_03_remove_all_roles(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        program = await steps.program_of(scene, "Alison")
        page = await scene.world.signed_in("john", f"/sites/{scene.site}")
        await _tick(page, "Alison")
        await until_users(page, "Users", ["Owner ( Administrator )"])
        await until_users(page, "Denied users", ["Alison", "Guest"])
        await until(lambda: program.status == 2)
        await page.locator("form[action$='/guests'] button").click()
        await until(lambda: program.status is ClientStatus.ONLINE)
        assert program.user.kind.guest
        await page.goto(f"/sites/{scene.site}")
        await _tick(page, "Alison", "Administrator")
        await until(lambda: program.user.roles == ("Administrator",))
        await _tick(page, "Alison")
        await until(lambda: program.user.kind.guest)
        assert program.status is ClientStatus.ONLINE


async def test_rgt_04_a_contact_user_in_the_list(tmp_path: Path):
    async with markus(tmp_path) as scene:
        system = scene.sites["Surveillance System"]
        page = await scene.world.signed_in("markus", f"/sites/{system}")
        assert "Robinson <Julia Robinson> ( User )" in await steps.users_under(page, "Users")
        (contact,) = await scene.world.registry.read(
            lambda reader: contacts.list_for(reader, scene.owner)
        )
        for name, shown in (
            ("Julia Hall Bowman Robins", "Julia Hall Bowman Robins"),
            ("Julia Hall Bowman Robinson", "Julia Hall Bowman Robins..."),
        ):
            await scene.world.registry.write(
                lambda tx, name=name: contacts.edit(tx, scene.owner, contact.id, name)
            )
            for path in (f"/sites/{system}", f"/sites/{system}/clients"):
                await page.goto(path)
                assert f"Robinson <{shown}> ( User )" in await shows(page, "main"), path


async def test_rgt_05_the_default_role(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        program = await steps.program_of(scene, "Owner")
        await scene.add_user("Boris")
        await scene.add_user("Carl")
        carl = scene.users["Carl"]
        await scene.world.registry.write(lambda tx: members.set_dedicated(tx, carl, True))
        page = await scene.world.signed_in("john", f"/sites/{scene.site}")
        choice = page.get_by_label("User default role", exact=True)
        await choice.select_option(label="User")  # at once, no button
        await until_users(
            page, "Users",
            ["Owner ( Administrator, User )", "Alison ( User )", "Boris ( User )"],
        )  # fmt: skip
        await until_users(page, "Denied users", ["Carl", "Guest"])
        await scene.world.picture(page, "rgt-05")
        underlined = """() => [...document.querySelectorAll("#users li")].map(li => [
          li.querySelector(".grow").innerText.trim().split(" ")[0],
          [...li.querySelectorAll(".roles *")].filter(
            e => getComputedStyle(e).textDecorationLine.includes("underline")
          ).map(e => e.innerText).join()])"""
        # Alison has User explicitly, and Guest never has it.
        assert dict(await steps.steadily(lambda: page.evaluate(underlined))) == {
            "Owner": "User", "Alison": "", "Boris": "User", "Carl": "", "Guest": ""
        }  # fmt: skip
        chosen = page.locator("#access .default")
        assert await chosen.inner_text() == "User"
        assert "underline" in await chosen.evaluate("e => getComputedStyle(e).textDecorationLine")
        remove = page.get_by_label("Remove the user default role")
        assert await remove.inner_text() == "X"
        await until(lambda: {*program.user.roles} == {"Administrator", "User"})


async def test_rgt_06_remove_the_default_role(tmp_path: Path):
    async with markus(tmp_path) as scene:
        system = scene.sites["Surveillance System"]
        program = await steps.program_of(
            scene, "Robinson", "Surveillance System", creator=scene.users["Julia"]
        )  # a Contact user that has nothing but the default
        assert program.status is ClientStatus.ONLINE
        page = await scene.world.signed_in("markus", f"/sites/{system}")
        await until_users(page, "Users", [
            "Owner ( Administrator, User )", "Assistant ( User )", "GuardPost ( Operator, User )",
            "Robinson <Julia Robinson> ( User )",
        ])  # fmt: skip
        await page.get_by_label("Remove the user default role").click()
        await until_users(page, "Users", [
            "Owner ( Administrator )", "Assistant ( User )", "GuardPost ( Operator )",
        ])  # fmt: skip
        await until_users(page, "Denied users", ["Robinson <Julia Robinson>", "Guest"])
        await until(lambda: program.status == 2)
        assert await page.locator("#access .default").count() == 0


async def test_rgt_07_dedicated_users(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        await scene.add_user("Boris")

        def choose(tx: Any) -> None:
            by_name = {role.name: role.id for role in members.list_roles(tx, scene.site)}
            sites.set_default_role(tx, scene.site, by_name["Operator"])

        await scene.world.registry.write(choose)
        page = await scene.world.signed_in("john", f"/sites/{scene.site}")
        await until_users(page, "Users", [
            "Owner ( Administrator, Operator )", "Alison ( User, Operator )", "Boris ( Operator )",
        ])  # fmt: skip
        for name in ("Alison", "Boris"):
            await page.goto(f"/domains/{scene.domain}?user={scene.users[name]}")
            await page.get_by_label("Dedicated").check()
            await page.locator("tr.open").get_by_role("button", name="Save").click()
            await page.locator("#sites").wait_for()
        await page.goto(f"/sites/{scene.site}")
        await until_users(page, "Users", ["Owner ( Administrator, Operator )", "Alison ( User )"])
        await until_users(page, "Denied users", ["Boris", "Guest"])
        for name, line in (("Alison", "underline"), ("Boris", "underline"), ("Owner", "none")):
            drawn = page.locator("#users li .grow span").filter(has_text=name).first
            style = await drawn.evaluate("e => getComputedStyle(e).textDecorationLine")
            assert style == line, name
        await page.goto(f"/domains/{scene.domain}?user={scene.users['Boris']}")
        await page.get_by_label("Dedicated").uncheck()
        await page.locator("tr.open").get_by_role("button", name="Save").click()
        await page.goto(f"/sites/{scene.site}")
        await until_users(page, "Users", [
            "Owner ( Administrator, Operator )", "Alison ( User )", "Boris ( Operator )",
        ])  # fmt: skip


async def _plain(scene: Scene) -> Any:
    """Make a site without roles whose users are Boris and, dedicated, Carl; open it."""
    await scene.add_site("Alarm", SiteKind.SINGLE_SERVICE, PLAIN)
    await scene.add_user("Boris")
    await scene.add_user("Carl")
    carl = scene.users["Carl"]
    await scene.world.registry.write(lambda tx: members.set_dedicated(tx, carl, True))
    return await scene.world.signed_in("john", f"/sites/{scene.site}")


async def _program(scene: Scene, user: str) -> Any:
    return await steps.program_of(
        scene, user, service_type=PLAIN.service_type, contract_author=PLAIN.contract_author
    )


async def test_rgt_08_add_and_rem_without_roles(tmp_path: Path):
    async with nothing_yet(tmp_path) as scene:
        page = await _plain(scene)
        program = await _program(scene, "Boris")
        assert program.status == 2
        await until_users(page, "Denied users", ["Owner", "Boris", "Carl", "Guest"])
        await page.get_by_role("button", name="add Boris").click()
        await until_users(page, "Explicit users", ["Boris"])
        await until_users(page, "Denied users", ["Owner", "Carl", "Guest"])
        await until(lambda: program.status is ClientStatus.ONLINE)
        remove = await steps.steadily(page.get_by_role("button", name="rem ").all_inner_texts)
        assert [*map(steps.flat, remove)] == ["rem Boris"]
        await page.get_by_role("button", name="rem Boris").click()
        await until_users(page, "Explicit users", [])
        await until_users(page, "Denied users", ["Owner", "Boris", "Carl", "Guest"])
        await until(lambda: program.status == 2)


async def test_rgt_09_implicit_users(tmp_path: Path):
    async with nothing_yet(tmp_path) as scene:
        page = await _plain(scene)
        scene.devices[0].offer("Look", _answer)
        programs = {name: await _program(scene, name) for name in ("Owner", "Boris", "Carl")}
        assert [one.status for one in programs.values()] == [ClientStatus.ACCESS_DENIED] * 3
        access = page.locator("#access")
        assert "Implicit users denied" in await shows(page, "#access")
        await until_users(page, "Implicit users", None)
        await access.get_by_role("button", name="allow").click()
        await page.get_by_text("Implicit users allowed").wait_for()
        await until_users(page, "Implicit users", ["Owner", "Boris"])
        await until_users(page, "Denied users", ["Carl", "Guest"])
        await scene.world.picture(page, "rgt-09")
        for name in ("Owner", "Boris"):
            program = programs[name]
            await until(lambda program=program: any(one.online for one in program.services))
            assert await program.call(program.services[0].id, "Look") == EMPTY
        assert programs["Carl"].status is ClientStatus.ACCESS_DENIED
        # Explicit or implicit is the same access.
        await page.get_by_role("button", name="add Carl").click()
        await until(lambda: any(one.online for one in programs["Carl"].services))
        carl = programs["Carl"]
        assert await carl.call(carl.services[0].id, "Look") == EMPTY
        await access.get_by_role("button", name="deny").click()
        await until_users(page, "Denied users", ["Owner", "Boris", "Guest"])
        await until(lambda: programs["Boris"].status is ClientStatus.ACCESS_DENIED)
        assert carl.status is ClientStatus.ONLINE


async def test_rgt_10_exp_makes_an_implicit_user_explicit(tmp_path: Path):
    async with nothing_yet(tmp_path) as scene:
        page = await _plain(scene)
        await page.locator("#access").get_by_role("button", name="allow").click()
        await until_users(page, "Implicit users", ["Owner", "Boris"])
        program = await _program(scene, "Boris")
        assert program.status is ClientStatus.ONLINE
        breaks = steps.interruptions(program)
        await page.get_by_role("button", name="exp Boris").click()
        await until_users(page, "Explicit users", ["Boris"])
        await until_users(page, "Implicit users", ["Owner"])
        await page.locator("#access").get_by_role("button", name="deny").click()
        await until_users(page, "Denied users", ["Owner", "Carl", "Guest"])
        await until_users(page, "Explicit users", ["Boris"])
        assert breaks == []
        assert program.status is ClientStatus.ONLINE


async def test_rgt_11_a_change_reaches_live_endpoints(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        _operate(scene)
        (device,) = scene.devices
        program = await steps.program_of(scene, "Alison")
        await until(lambda: any(one.online for one in program.services))
        breaks = [*map(steps.interruptions, (program, device))]
        page = await scene.world.signed_in("john", f"/sites/{scene.site}")

        def roles_there() -> set[str]:
            return {role for one in device.members if one.name == "Alison" for role in one.roles}

        for roles, operations in (
            (("Operator", "User"), {"Look", "Move"}),
            (("Administrator",), {"Reset"}),
            (("User",), {"Look"}),
        ):
            await _tick(page, "Alison", *roles)
            await until(
                lambda roles=roles: {*program.user.roles} == roles_there() == {*roles}, seconds=2
            )
            assert await _allowed(program) == operations
        assert breaks == [[], []]
        await _tick(page, "Alison")
        await until(lambda: roles_there() == set(), seconds=2)
        assert "Alison" not in [one.name for one in device.members]


async def test_rgt_12_guest_has_no_rights_buttons(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        guest = scene.users["Guest"]
        page = await scene.world.signed_in("john", f"/sites/{scene.site}")
        row = page.locator(f"#user-{guest}")
        assert await row.locator("a, button, input").count() == 0
        roles = await scene.world.registry.read(
            lambda reader: members.list_roles(reader, scene.site)
        )
        give = {"user_id": guest, "role_ids": roles[0].id}
        assert await command(page, f"/sites/{scene.site}/roles", **give) == 409
        await until_users(page, "Denied users", ["Guest"])
        await page.locator("form[action$='/guests'] button").click()
        await until_users(page, "Users", ["Owner ( Administrator )", "Alison ( User )", "Guest"])
        assert await steps.users_under(page, "Denied users") is None
        assert await row.locator("a, button, input").count() == 0
        assert await command(page, f"/sites/{scene.site}/roles", **give) == 409
        plain = await scene.add_site("Alarm", SiteKind.SINGLE_SERVICE, PLAIN)
        await page.goto(f"/sites/{plain}")
        assert await row.locator("a, button, input").count() == 0
        assert await command(page, f"/sites/{plain}/users", user_id=guest) == 409
        assert "Guest" in await steps.users_under(page, "Denied users")
