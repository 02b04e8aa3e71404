"""Section I: CLIENT MANAGEMENT of the owner, the first seed page, up to the owner's own client."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from gateway.base.errors import Conflict
from gateway.model.kinds import ClientStatus, SiteKind
from gateway.registry import clients
from gateway.wire.codes import ErrorCode
from tests.features.scenes import CAMERAS, john
from tests.features.steps import command
from tests.features.views import (
    KEY,
    PASSWORD_LETTERS,
    add_client,
    block,
    clients_of,
    connect,
    generate_password,
    hosts,
    mark_of,
    may,
    new_account,
    offer_operations,
    refused,
    row,
    text_of,
)
from tests.features.world import ADMIN, CAMERA, until


async def test_clt_01_the_button_clients_is_leftmost_and_leads_to_client_management(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        page = await scene.world.signed_in("john", f"/sites/{scene.site}")
        bar = page.locator(".strip")
        button = bar.get_by_role("link", name="clients", exact=True)
        left = (await button.bounding_box())["x"]
        others = [await one.bounding_box() for one in await bar.locator(":scope > *").all()]
        assert left == min(one["x"] for one in others)
        assert len(others) > 1
        await button.click()
        assert await text_of(page.locator("h1")) == "CLIENT MANAGEMENT SITE_1"
        assert page.url == f"{scene.world.url}/sites/{scene.site}/clients"


async def test_clt_02_the_frame_of_the_page(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        path = f"/sites/{scene.site}/clients"
        page = await scene.world.signed_in("john", path)
        assert await text_of(page.locator(".crumbs")) == "Domain Home Surveillance"
        bar = page.locator(".strip")
        assert await text_of(bar) == "config RTX-5 ( Cold Vision ) X"
        await page.get_by_role("link", name="refresh", exact=True).click()
        assert page.url.endswith(path)
        for link, heading in (
            (bar.get_by_role("link", name="config"), "SITE CONFIGURATION SITE_1"),
            (page.get_by_role("link", name="back", exact=True), "DOMAIN Home Surveillance"),
            (page.locator(".crumbs").get_by_role("link"), "DOMAIN Home Surveillance"),
            (bar.get_by_role("link", name="Delete the site SITE_1"), "DELETE SITE SITE_1"),
        ):
            await link.click()
            assert await text_of(page.locator("h1")) == heading
            await page.goto(path)


async def test_clt_03_the_services_with_versions_and_no_buttons(tmp_path: Path):
    versions = ("2.3.1", "2.3.3", "2.3.3", "2.3.2")
    names = ("Camera 1", "Camera 2", "Camera 3", "Camera 4")
    async with john(tmp_path, names=names, versions=versions) as scene:
        page = await scene.world.signed_in("john", f"/sites/{scene.site}/clients")
        section = page.get_by_label("List of services")
        lines = [await text_of(line) for line in await section.get_by_role("listitem").all()]
        assert lines == [
            f"{name} ver. {version} online" for name, version in zip(names, versions, strict=True)
        ]
        assert await text_of(section.get_by_role("heading")) == "LIST OF SERVICES"
        assert await section.locator("a, button, input, select, form, summary").count() == 0


async def test_clt_04_the_supported_roles_in_declared_order_read_only(tmp_path: Path):
    other = dataclasses.replace(
        CAMERA, service_type="Gate", roles=("Watchman", "Chief", "Deputy"), owner_role="Chief"
    )
    async with john(tmp_path, cameras=1) as scene:
        gate = await scene.add_site("Gate", SiteKind.SINGLE_SERVICE, other)
        page = await scene.world.signed_in("john", f"/sites/{scene.site}/clients")
        for site, roles in (
            (scene.site, "Administrator, Operator, User"), (gate, "Watchman, Chief, Deputy"),
        ):  # fmt: skip
            await page.goto(f"/sites/{site}/clients")
            section = page.locator("section").filter(
                has=page.get_by_role("heading", name="Supported roles")
            )
            assert await text_of(section.locator(".roles")) == roles
            assert await section.locator("a, button, input, select, form").count() == 0


async def test_clt_05_the_users_authorised_on_the_site(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        await scene.add_user("Nobody")
        page = await scene.world.signed_in("john", f"/sites/{scene.site}/clients")
        listed = page.get_by_label("Clients", exact=True).locator(".person")
        names = [(await text_of(one)).partition(" ")[0] for one in await listed.all()]
        assert names == ["Owner", "Alison"]
        await page.goto(f"/sites/{scene.site}")
        denied = await text_of(page.get_by_label("Users", exact=True))
        assert denied.partition("DENIED USERS")[2].split() == ["»", "Nobody", "▪", "Guest"]
        await scene.give("Nobody", "SITE_1", "Operator")
        await scene.give("Alison", "SITE_1")
        await page.goto(f"/sites/{scene.site}/clients")
        names = [(await text_of(one)).partition(" ")[0] for one in await listed.all()]
        assert names == ["Owner", "Nobody"]


async def test_clt_06_a_user_line_has_the_roles_in_parentheses_owner_first(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        await scene.add_user("Aaron", "SITE_1", "User", "Operator")
        page = await scene.world.signed_in("john", f"/sites/{scene.site}/clients")
        lines = [await text_of(one) for one in await page.locator(".person .grow").all()]
        assert lines == ["Owner ( Administrator )", "Aaron ( Operator, User )", "Alison ( User )"]
        bold = "e => Number(getComputedStyle(e).fontWeight) >= 600"
        for name, expected in (("Owner", True), ("Aaron", False), ("Alison", False)):
            assert await page.locator(f":text-is('{name}')").evaluate(bold) is expected


async def test_clt_07_add_client_to_the_right_of_each_user(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        page = await scene.world.signed_in("john", f"/sites/{scene.site}/clients")
        assert await page.get_by_role("button", name="add client").count() == 2
        for user in ("Owner", "Alison"):
            button = block(page, user).get_by_role("button", name="add client")
            assert await button.count() == 1
            beside = await button.bounding_box()
            name = await block(page, user).locator(f":text-is('{user}')").bounding_box()
            assert beside["x"] > name["x"] + name["width"]
            middle = name["y"] + name["height"] / 2
            assert beside["y"] < middle < beside["y"] + beside["height"]


async def test_clt_08_add_client_creates_one_entity_under_owner(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        page = await scene.world.signed_in("john", f"/sites/{scene.site}/clients")
        before = await block(page, "Alison").inner_text()
        uri = await add_client(page, "Owner")
        (made,) = await clients_of(scene.world, scene.site)
        assert (made.user_id, made.site_id) == (scene.users["Owner"], scene.site)
        assert made.key in uri
        assert made.creator_id == scene.owner
        assert await block(page, "Owner").get_by_role("listitem").count() == 1
        assert await block(page, "Alison").inner_text() == before


async def test_clt_09_the_new_entity_is_open(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        page = await scene.world.signed_in("john", f"/sites/{scene.site}/clients")
        uri = await add_client(page, "Owner")
        (made,) = await clients_of(scene.world, scene.site)
        entity = row(block(page, "Owner"), made.key)
        assert (await text_of(entity)).split() == (
            f"« {made.key} no password yet X account ping period Client URI {uri} Copy the URI"
            " generate password"
        ).split()
        style = await entity.evaluate("e => getComputedStyle(e).borderTopStyle")
        assert style == "dashed"
        assert await entity.get_by_role("link", name="account").get_attribute("aria-current")
        other = entity.get_by_role("link", name="ping period")
        assert await other.get_attribute("aria-current") is None
        assert (made.has_password, made.description) == (False, "")


async def test_clt_10_the_key_is_made_by_the_site(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        page = await scene.world.signed_in("john", f"/sites/{scene.site}/clients")
        form = block(page, "Owner").locator("form").filter(has_text="add client")
        assert await form.locator("input:not([type=hidden])").count() == 0
        keys = set()
        for user in ("Owner", "Alison", "Owner"):
            uri = await add_client(page, user)
            (key,) = (one.key for one in (await clients_of(scene.world, scene.site))[:1])
            assert KEY.match(key)
            assert f"://{key}@" in uri
            keys.add(key)
        owner, site, user = scene.owner, scene.site, scene.users["Owner"]
        many = await scene.world.registry.write(
            lambda tx: [clients.add(tx, site, user, owner) for _ in range(300)]
        )
        keys |= {one.key for one in many}
        assert len(keys) == 303
        assert all(KEY.match(key) for key in keys)
        assert set("".join(keys)) == set("0123456789abcdefghijkmnpqrstuvwxyz")
        # A chosen key is not taken, and no two on the server can be the same.
        form_values = {"user_id": user, "key": "chosenkey", "client_key": "chosenkey"}
        await command(page, f"/sites/{site}/clients", **form_values)
        assert "chosenkey" not in {one.key for one in await clients_of(scene.world, site)}
        with pytest.raises(Conflict, match="UNIQUE"):
            await scene.world.registry.write(
                lambda tx: tx.run(
                    "UPDATE client SET client_key = ? WHERE id = ?", many[0].key, many[1].id
                )
            )


async def test_clt_11_the_client_uri(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        page = await scene.world.signed_in("john", f"/sites/{scene.site}/clients")
        uri = await add_client(page, "Owner")
        (made,) = await clients_of(scene.world, scene.site)
        assert uri == f"softnet-m://{made.key}@{scene.world.host}"
        admin = await scene.world.signed_in(ADMIN, "/admin/settings")
        named = {"name": "server_address", "value": "cameras.example.net"}
        assert await command(admin, "/admin/settings", **named) == 303

        async def shown() -> bool:
            await page.reload()
            text = await block(page, "Owner").locator(".open code").inner_text()
            return str(text) == f"softnet-m://{made.key}@cameras.example.net"

        await until(shown)


async def test_clt_12_generate_password_shows_password_uri_and_ok(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        page = await scene.world.signed_in("john", f"/sites/{scene.site}/clients")
        uri = await add_client(page, "Owner")
        button = page.get_by_role("button", name="generate password")
        await button.click()
        once = page.get_by_role("status").filter(has_text="password:")
        assert await once.get_by_text(uri).is_visible()
        assert await once.locator("#shown-password").is_visible()
        assert await once.get_by_role("link", name="ok", exact=True).is_visible()
        assert await button.count() == 0
        label = once.get_by_text("password:", exact=True)
        red, green, blue = await label.evaluate(
            "e => getComputedStyle(e).color.match(/\\d+/g).map(Number)"
        )
        assert (red > green > blue, red - blue > 100) == (True, True)  # orange


async def test_clt_13_the_form_of_a_password(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        page = await scene.world.signed_in("john", f"/sites/{scene.site}/clients")
        first = await new_account(page, "Owner")
        await page.get_by_role("link", name="ok", exact=True).click()
        second = await generate_password(page)
        assert first.password != second.password
        assert first.uri == second.uri
        for account in (first, second):  # 16 characters by default, by decision 8
            assert len(account.password) == 16
            assert PASSWORD_LETTERS.match(account.password)
        admin = await scene.world.signed_in(ADMIN, "/admin/settings")
        shorter = {"name": "client_password_length", "value": 9}  # as in the guide's pictures
        assert await command(admin, "/admin/settings", **shorter) == 303
        await page.get_by_role("link", name="ok", exact=True).click()
        third = await generate_password(page)
        assert len(third.password) == 9
        assert PASSWORD_LETTERS.match(third.password)
        kept = (tmp_path / "registry.sqlite").read_bytes()
        kept += (tmp_path / "registry.sqlite-wal").read_bytes()
        for password in (first.password, second.password, third.password):
            assert password.encode() not in kept
            assert password.encode("utf-16-be") not in kept
        salt, digest = await scene.world.registry.read(
            lambda reader: reader.one("SELECT salt, salted_pw FROM client")
        )
        assert (len(salt), len(digest)) == (16, 20)


async def test_clt_14_uri_and_password_are_all_a_program_needs(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        world = scene.world
        page = await world.signed_in("john", f"/sites/{scene.site}/clients")
        account = await new_account(page, "Owner")
        await connect(world, account)
        for place in (0, 7, len(account.password) - 1):
            wrong = "A" if account.password[place] != "A" else "B"
            typed = account.password[:place] + wrong + account.password[place + 1 :]
            await refused(await world.program(account.uri, typed), ErrorCode.PASSWORD_NOT_MATCHED)


async def test_clt_15_the_box_shows_that_the_client_gets_online(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        world = scene.world
        page = await world.signed_in("john", f"/sites/{scene.site}/clients")
        account = await new_account(page, "Owner")
        await page.get_by_role("link", name="ok", exact=True).click()
        await page.locator("html[data-live]").wait_for()
        state = row(page, account.key).locator(".state")
        assert await state.inner_text() == "never connected"
        program = await connect(world, account)
        await row(page, account.key).get_by_text("online", exact=True).wait_for()
        await world.stop_program(program)
        await row(page, account.key).get_by_text("offline, seen just now").wait_for()


async def test_clt_16_the_row_after_the_first_connection(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        page = await scene.world.signed_in("john", f"/sites/{scene.site}/clients")
        account = await new_account(page, "Owner")
        await page.get_by_role("link", name="ok", exact=True).click()
        await page.get_by_role("link", name=f"Close client {account.key}").click()
        await page.locator("html[data-live]").wait_for()
        await connect(scene.world, account, "Surveillance Control. V: 2.1.2")
        line = row(block(page, "Owner"), account.key)
        await line.get_by_text("Surveillance Control. V: 2.1.2").wait_for()
        await line.get_by_text("online", exact=True).wait_for()
        assert await text_of(line) == f"{account.key} Surveillance Control. V: 2.1.2 online"
        assert await mark_of(line) == "»"
        assert await block(page, "Owner").get_by_role("button", name="add client").is_visible()


async def test_clt_17_the_description_comes_from_the_client(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        world = scene.world
        path = f"/sites/{scene.site}/clients"
        page = await world.signed_in("john", path)
        account = await new_account(page, "Owner")
        first = await connect(world, account, "Viewer & Co. V: 1.0 [beta] - 50% off!")
        await page.goto(path)
        await page.locator("html[data-live]").wait_for()
        line = row(page, account.key)
        await line.get_by_text("Viewer & Co. V: 1.0 [beta] - 50% off!", exact=True).wait_for()
        await world.stop_program(first)
        await connect(world, account, "Viewer V: 2.0")
        await line.get_by_text("Viewer V: 2.0", exact=True).wait_for()
        (made,) = await clients_of(world, scene.site)
        for tab in ("account", "ping"):
            await page.goto(f"{path}?open={made.id}&tab={tab}")
            assert await line.locator("input:not([type=hidden], [name=ping_period])").count() == 0
        for name in ("description", "name", ""):
            assert await command(page, f"{path}/{made.id}/{name}", description="Mine") in (404, 405)
        await command(page, f"{path}/{made.id}/ping-period", ping_period=30, description="Mine")
        (made,) = await clients_of(world, scene.site)
        assert (made.ping_period, made.description) == (30, "Viewer V: 2.0")


async def test_clt_18_the_description_is_optional(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        page = await scene.world.signed_in("john", f"/sites/{scene.site}/clients")
        account = await new_account(page, "Owner")
        await connect(scene.world, account, "")
        await page.goto(f"/sites/{scene.site}/clients")
        line = row(page, account.key)
        await line.get_by_text("online", exact=True).wait_for()
        assert await text_of(line) == f"{account.key} online"
        assert await mark_of(line) == "»"


async def test_clt_19_the_key_stays(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        world = scene.world
        path = f"/sites/{scene.site}/clients"
        page = await world.signed_in("john", path)
        uri = await add_client(page, "Owner")
        account = await generate_password(page)
        program = await connect(world, account)
        program.disconnect()
        program.connect()
        await until(lambda: program.status is ClientStatus.ONLINE)
        await page.goto(path)
        await page.locator("a.key").click()
        again = await generate_password(page)
        await refused(program, ErrorCode.PASSWORD_NOT_MATCHED)
        await world.stop_program(program)
        await connect(world, again)
        assert uri == account.uri == again.uri
        await page.goto(path)
        assert await page.locator(".key").all_inner_texts() == [account.key]


async def test_clt_20_owners_client_acts_as_administrator_on_every_camera(tmp_path: Path):
    async with john(tmp_path) as scene:
        offer_operations(scene.devices)
        page = await scene.world.signed_in("john", f"/sites/{scene.site}/clients")
        program = await connect(scene.world, await new_account(page, "Owner"))
        seen = await hosts(program, 4)
        assert set(seen) == set(CAMERAS)
        await until(lambda: program.user.roles == ("Administrator",))
        for service_id in seen.values():
            assert await may(program, service_id) == ["Reboot"]
        assert program.user.name == "Owner"
