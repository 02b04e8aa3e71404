"""Section N: what administrators do on the page, and with the tool on the box itself."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.model.kinds import Authority, ClientStatus, ServiceStatus
from gateway.web.server import CODE_FILE, TOKEN_FILE
from tests.features.entry_steps import (
    DAY,
    account,
    choose,
    fault,
    hand_over,
    letters,
    log_in,
    menu,
    sign_up,
)
from tests.features.scenes import john, markus
from tests.features.steps import command, flat, generate, program_of, service_account
from tests.features.world import ADMIN, PASSWORD, open_world, until


async def _press(page: Any, button: str, *, said: str = "Saved.") -> None:
    await page.get_by_role("button", name=button, exact=True).click()
    await page.locator("p.done").get_by_text(said).wait_for()


async def test_adm_01_user_management(tmp_path: Path):
    async with markus(tmp_path) as scene:
        world = scene.world
        await world.person("Grace Hopper", "grace", Authority.ADMINISTRATOR)
        program = await program_of(scene, "GuardPost", "Surveillance System")
        admin = await world.signed_in(ADMIN, "/home")
        await admin.locator("nav.menu").get_by_role("link", name="Admin").click()
        await admin.get_by_role("searchbox").fill("jul rob")
        await admin.get_by_role("button", name="search").click()
        users = admin.get_by_label("Users", exact=True).get_by_role("listitem")
        assert [flat(one) for one in await users.all_inner_texts()] == [
            "Julia Robinson julia consumer"
        ]
        await admin.get_by_role("link", name="Julia Robinson").click()
        facts = flat(await admin.locator("dl.facts").inner_text())
        for word in ("julia", "Consumer", "enabled"):
            assert word in facts
        await _press(admin, "Assign the Provider role")
        assert (await account(world, "julia")).authority is Authority.PROVIDER
        # Disabled: thrown out, not let in, and what is theirs is parked (04 section 7).
        page = await world.signed_in("markus", "/domains")
        await admin.goto(f"/admin/users/{scene.owner}")
        await _press(admin, "Disable")
        await until(lambda: all(one.status is ServiceStatus.OWNER_DISABLED
                                for one in scene.devices))  # fmt: skip
        await until(lambda: program.status is ClientStatus.OWNER_DISABLED)
        await page.goto("/domains")
        assert page.url.endswith("/sign-in")
        await log_in(page, "markus")
        assert "disabled" in await fault(page)
        await admin.goto("/admin/users")
        line = users.filter(has_text="Markus Schmidt")
        assert "[disabled]" in await line.inner_text()
        await admin.goto(f"/admin/users/{scene.owner}")
        await _press(admin, "Enable")
        await until(lambda: all(one.status is ServiceStatus.ONLINE for one in scene.devices))
        await until(lambda: program.status is ClientStatus.ONLINE)
        # Nothing of this is for administrators: no button, and no command that is called directly.
        for name in ("grace", ADMIN):
            other = await account(world, name)
            await admin.goto(f"/admin/users/{other.id}")
            assert await admin.locator("main form").count() == 0
            assert "command line on the box" in await admin.locator("main").inner_text()
            for path, fields in (
                ("authority", {"authority": "consumer"}), ("enabled", {"enabled": "0"}),
                ("password", {"password": "another good one"}), ("delete", {}),
            ):  # fmt: skip
                assert await command(admin, f"/admin/users/{other.id}/{path}", **fields) == 403
            assert await account(world, name) == other
        julia = scene.users["Julia"]
        raised = await command(admin, f"/admin/users/{julia}/authority", authority="administrator")
        assert raised == 403
        assert (await account(world, "julia")).authority is Authority.PROVIDER


async def test_adm_02_revoke_provider(tmp_path: Path):
    async with john(tmp_path, cameras=2) as scene:
        world = scene.world
        programs = [await program_of(scene, name) for name in ("Owner", "Alison")]
        assert [one.status for one in programs] == [ClientStatus.ONLINE] * 2
        page = await world.signed_in("john", "/home")
        assert "Domains" in await menu(page)
        admin = await world.signed_in(ADMIN, f"/admin/users/{scene.owner}")
        await _press(admin, "Revoke the Provider role")
        await until(lambda: [int(one.status) for one in scene.devices] == [4, 4])
        await until(lambda: [int(one.status) for one in programs] == [4, 4])
        await page.goto("/home")
        assert "Domains" not in await menu(page)
        for path in ("/domains", f"/domains/{scene.domain}", f"/sites/{scene.site}"):
            assert (await page.goto(path)).status in (403, 404), path
        await page.goto("/account")
        assert await command(page, "/domains", name="Another") == 403
        await _press(admin, "Assign the Provider role")
        await until(lambda: all(one.status is ServiceStatus.ONLINE for one in scene.devices))
        await until(lambda: all(one.status is ClientStatus.ONLINE for one in programs))
        await page.goto("/home")
        assert "Domains" in await menu(page)
        assert (await page.goto(f"/sites/{scene.site}")).status == 200


async def test_adm_03_invitations(tmp_path: Path):
    async with open_world(tmp_path) as world:
        await choose(world)
        admin, page = await world.signed_in(ADMIN, "/admin/invitations"), await world.page()

        async def make(text: str) -> str:
            form = admin.locator("#new-invitation")
            await form.get_by_label("Text (optional)").fill(text)
            await form.get_by_role("button", name="Create invitation").click()
            await admin.locator("li.open").filter(has_text=text).wait_for()
            return str(await admin.locator("li.open code").inner_text())

        async def listed(state: str) -> list[str]:
            await admin.goto("/admin/invitations")
            lines = await admin.locator(f"#list-{state} li > .row > .grow").all_inner_texts()
            return [flat(line) for line in lines]

        julia, late = await make("For Julia"), await make("For nobody")
        assert await listed("valid") == ["For nobody", "For Julia"]
        await admin.get_by_role("link", name="Open For Julia").click()
        assert await admin.locator("li.open code").inner_text() == julia
        open_line = admin.locator("li.open")
        await open_line.get_by_label("Text").fill("For Julia Robinson")
        await open_line.get_by_label("The new account is a Provider").check()
        await open_line.get_by_role("button", name="Save").click()
        await admin.locator("li.open").filter(has_text="For Julia Robinson").wait_for()
        assert await admin.locator("li.open code").inner_text() == julia, "the key stays"
        await page.goto(julia)
        await sign_up(page, "julia")
        assert await listed("accepted") == ["For Julia Robinson Provider"]
        assert await listed("valid") == ["For nobody"]
        made = await account(world, "julia")
        await admin.locator("#list-accepted").get_by_role("link", name="account").click()
        assert admin.url == f"{world.url}/admin/users/{made.id}"
        world.clock.forward(14 * DAY + 1)
        admin = await world.signed_in(ADMIN)
        assert await listed("expired") == ["For nobody"]
        assert await listed("valid") == []
        await make("To be deleted")
        gone = await admin.locator("li.open code").inner_text()
        await admin.locator("#delete-invitation summary").click()
        await admin.get_by_role("button", name="Delete this invitation").click()
        await admin.locator("p.done").wait_for()
        assert await listed("valid") == []
        assert (await page.goto(gone)).status == 403
        for state in ("accepted", "expired"):
            assert len(await listed(state)) == 1
            part = admin.locator(f"#list-{state}")
            await part.get_by_role("button", name="Clear this list").click()
            await admin.locator("p.done").wait_for()
            assert await listed(state) == []
        assert "not known" in await (await page.goto(late)).text()
        assert await account(world, "julia") is not None


async def test_adm_04_settings(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        world = scene.world
        admin = await world.signed_in(ADMIN, "/admin/settings")
        wrong = (
            ("key length", "3"), ("key length", "33"), ("key length", "nine"),
            ("service password length", "33"), ("client password length", "3"),
            ("account password min length", "33"), ("invitation days", "0"),
            ("server address", "box.example:7740"), ("server address", "[2001:db8::1]"),
            ("management url", "box.example"), ("mail address", "nobody"), ("smtp port", "65536"),
        )  # fmt: skip
        for name, value in wrong:
            field = admin.locator(f"#v-{name.replace(' ', '_')}")
            before = await field.input_value()
            await field.fill(value)
            await admin.get_by_role("button", name=f"Save {name}", exact=True).click()
            assert await admin.locator("p.fault").count() == 1, name
            assert await field.get_attribute("aria-invalid") == "true"
            await admin.goto("/admin/settings")
            assert await field.input_value() == before, name
        for name, value in (
            ("key length", "12"), ("client password length", "20"),
            ("service password length", "24"), ("server address", world.host),
            ("account password min length", "12"),
        ):  # fmt: skip
            await admin.locator(f"#v-{name.replace(' ', '_')}").fill(value)
            await _press(admin, f"Save {name}")
        page = await world.signed_in("john", f"/sites/{scene.site}/clients")
        await page.get_by_role("button", name="add client for Alison", exact=True).click()
        uri, password = await generate(page)
        key, _, host = uri.partition("://")[2].partition("@")
        assert (len(key), len(password), host) == (12, 20, world.host)
        _, password = await service_account(page, scene.site, "Entrance")
        assert len(password) == 24
        await page.goto("/account?edit=1")
        await page.get_by_label("Present password").fill(PASSWORD)
        await page.get_by_label("New password").fill("only eleven")
        await page.get_by_role("button", name="save the password").click()
        assert "12 to 64" in await page.locator("p.fault").inner_text()


@pytest.mark.timeout_s(120)
async def test_adm_05_local_administrator_tool(tmp_path: Path):
    async with open_world(tmp_path, claimed=False) as world:
        secret = tmp_path / "password"
        secret.write_text(PASSWORD)

        async def ctl(*words: str) -> tuple[int, str, str]:
            program = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "gateway", "ctl", *words, "--url", world.url,
                "--token-file", str(tmp_path / TOKEN_FILE),
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            out, err = await program.communicate()
            return program.returncode or 0, out.decode(), err.decode()

        page = await world.page()
        await page.goto("/")
        assert page.url.endswith("/setup")
        assert (tmp_path / CODE_FILE).exists()
        code, out, err = await ctl(
            "owner", "claim", "ada-admin", "Ada Admin", "--password-file", str(secret), "--json"
        )
        assert (code, err) == (0, "")
        assert json.loads(out)["authority"] == "administrator"
        assert PASSWORD not in out
        await log_in(page, "ada-admin")
        assert "Admin" in await menu(page)
        # On a box that has one: another administrator, and back to a provider.
        code, _, err = await ctl(
            "owner", "add", "grace", "Grace Hopper", "--authority", "administrator",
            "--password-file", str(secret),
        )  # fmt: skip
        assert (code, err) == (0, "")
        grace = await account(world, "grace")
        assert grace.authority is Authority.ADMINISTRATOR
        assert (await ctl("owner", "set-authority", str(grace.id), "provider"))[0] == 0
        assert (await account(world, "grace")).authority is Authority.PROVIDER
        first = await account(world, "ada-admin")
        code, _, err = await ctl("owner", "set-authority", str(first.id), "provider")
        assert code != 0
        assert "last administrator" in err.lower()
        assert (await account(world, "ada-admin")).authority is Authority.ADMINISTRATOR
        assert await letters(world) == ()


async def test_adm_06_outbox(tmp_path: Path):
    async with open_world(tmp_path) as world:
        await hand_over(world, anyone_can_register=True)
        await world.person("Markus Schmidt", "markus", Authority.PROVIDER)
        page = await world.page()
        await page.goto("/register")
        await page.get_by_label("Mail address").fill("julia@example.org")
        await page.get_by_role("button", name="send confirmation mail").click()
        assert "Ask its operator" in await page.locator("p.done").inner_text()
        admin = await world.signed_in(ADMIN, "/admin/outbox")
        line = admin.locator("#letters li")
        link = await line.locator("code").inner_text()
        said = flat(await line.inner_text())
        assert "julia@example.org" in said
        assert "good until" in said
        (letter,) = await letters(world)
        moment = await line.locator("p time").get_attribute("datetime")
        assert moment.startswith("20")
        assert letter.expires_at - letter.created_at == 7 * DAY
        other = await world.signed_in("markus", "/home")
        assert (await other.goto("/admin/outbox")).status == 403
        assert (await other.request.get("/api/v1/outbox")).status == 403
        await other.goto("/account")
        for path in ("hand-over", "retry", "delete"):
            assert await command(other, f"/admin/outbox/{letter.id}/{path}") == 403
        assert (await letters(world))[0].link is not None
        await admin.get_by_role("button", name="Handed over").click()
        await admin.locator("p.done").wait_for()
        assert "handed over" in (await line.inner_text()).lower()
        assert await line.locator("code").count() == 0
        assert link not in await admin.content()
        assert (await letters(world))[0].link is None
        assert link.rpartition("/")[2] not in (await (await admin.request.get("/api/v1/outbox"))
                                               .text())  # fmt: skip
        # Its reader can still use it: what was forgotten is our copy.
        await page.goto(link)
        await sign_up(page, "julia")
        assert await account(world, "julia") is not None
