"""Section I, second half: clients of two users side by side, and how an owner manages them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.model.accounts import Scope
from gateway.model.kinds import ClientStatus, SiteKind
from gateway.registry import credentials, operators
from gateway.wire.codes import ErrorCode
from tests.features.scenes import john, markus
from tests.features.steps import command, interruptions
from tests.features.views import (
    add_client,
    ask,
    block,
    clients_of,
    connect,
    generate_password,
    hosts,
    mark_of,
    may,
    new_account,
    offer_operations,
    owner_online,
    ping_period,
    refused,
    row,
    text_of,
)
from tests.features.world import PLAIN, until
from tests.web.callers import Program


async def test_clt_21_add_a_client_for_alison(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        page, account, program = await owner_online(scene)
        noted = interruptions(program)
        before = await text_of(block(page, "Owner"))
        uri = await add_client(page, "Alison")
        made, old = await clients_of(scene.world, scene.site)
        assert made.user_id == scene.users["Alison"]
        assert f"://{made.key}@" in uri
        assert (old.key, old.user_id) == (account.key, scene.users["Owner"])
        assert await text_of(block(page, "Owner")) == before
        assert await mark_of(row(page, account.key)) == "»"
        above = await block(page, "Owner").bounding_box()
        assert above["y"] < (await block(page, "Alison").bounding_box())["y"]
        assert noted == []
        assert program.status is ClientStatus.ONLINE


async def test_clt_22_only_her_clients_password_is_set(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        page, owners, program = await owner_online(scene)
        noted = interruptions(program)
        hers = await new_account(page, "Alison")
        assert await block(page, "Owner").locator("#shown-password").count() == 0
        assert await block(page, "Alison").locator("#shown-password").count() == 1
        assert hers.password != owners.password
        await connect(scene.world, hers)
        assert noted == []
        await scene.world.stop_program(program)
        await connect(scene.world, owners)
        crossed = await scene.world.program(owners.uri, hers.password)
        await refused(crossed, ErrorCode.PASSWORD_NOT_MATCHED)


async def test_clt_23_alisons_uri_differs_in_its_key_alone(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        page = await scene.world.signed_in("john", f"/sites/{scene.site}/clients")
        owners = await new_account(page, "Owner")
        hers = await new_account(page, "Alison")
        assert owners.key != hers.key
        assert hers.uri == f"softnet-m://{hers.key}@{owners.host}"
        assert owners.uri == f"softnet-m://{owners.key}@{owners.host}"


async def test_clt_24_alisons_client_online(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        page, owners, _ = await owner_online(scene)
        hers = await new_account(page, "Alison")
        await connect(scene.world, hers)
        await page.goto(f"/sites/{scene.site}/clients")
        for user, account in (("Owner", owners), ("Alison", hers)):
            line = block(page, user).get_by_role("listitem")
            await line.get_by_text("Surveillance Control. V: 2.1.2").wait_for()
            await line.get_by_text("online", exact=True).wait_for()
            assert await text_of(line) == f"{account.key} Surveillance Control. V: 2.1.2 online"
            assert await mark_of(line) == "»"


async def test_clt_25_two_programs_at_once(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        page, owners, first = await owner_online(scene)
        noted = interruptions(first)
        hers = await new_account(page, "Alison")
        await page.get_by_role("link", name="ok", exact=True).click()
        await page.locator("html[data-live]").wait_for()
        second = await connect(scene.world, hers)
        for user, account in (("Owner", owners), ("Alison", hers)):
            state = row(block(page, user), account.key).get_by_text("online", exact=True)
            await state.wait_for()
        assert first.status is second.status is ClientStatus.ONLINE
        assert noted == []


async def test_clt_26_each_acts_by_its_users_role(tmp_path: Path):
    async with john(tmp_path, cameras=2) as scene:
        offer_operations(scene.devices)
        page, _, owners = await owner_online(scene)
        hers = await connect(scene.world, await new_account(page, "Alison"))
        for program, roles, operations in (
            (owners, ("Administrator",), ["Reboot"]), (hers, ("User",), ["Look"]),
        ):  # fmt: skip
            for service_id in (await hosts(program, 2)).values():
                assert await may(program, service_id) == operations
            assert program.user.roles == roles


async def test_clt_27_all_cameras_of_the_site(tmp_path: Path):
    names = ("Camera 1", "Camera 2", "Camera 3", "Camera 4")
    versions = ("2.3.1", "2.3.3", "2.3.3", "2.3.2")
    async with john(tmp_path, names=names, versions=versions) as scene:
        offer_operations(scene.devices)
        page, _, owners = await owner_online(scene)
        hers = await connect(scene.world, await new_account(page, "Alison"))
        for program, user, operation in ((owners, "Owner", "Reboot"), (hers, "Alison", "Look")):
            await hosts(program, 4)
            seen = [(one.hostname, one.version) for one in program.services]
            assert seen == list(zip(names, versions, strict=True))
            for service in program.services:
                heard = await ask(program, service.id, operation)
                assert heard == f"{service.hostname} heard {user}"


async def test_clt_28_roles_from_the_rights_page_count_at_once(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        offer_operations(scene.devices)
        page = await scene.world.signed_in("john", f"/sites/{scene.site}/clients")
        program = await connect(scene.world, await new_account(page, "Alison"))
        (camera,) = (await hosts(program, 1)).values()
        assert await may(program, camera) == ["Look"]
        noted = interruptions(program)
        await page.goto(f"/sites/{scene.site}")
        await page.get_by_role("link", name="Roles of Alison").click()
        await page.get_by_label("Operator", exact=True).check()
        await page.locator(".open").get_by_role("button", name="Save").click()
        await until(lambda: program.user.roles == ("Operator", "User"))

        async def gained() -> bool:
            return await may(program, camera) == ["Look", "Move"]

        await until(gained)
        assert noted == []
        await page.goto(f"/sites/{scene.site}/clients")
        assert "Alison ( Operator, User )" in await text_of(block(page, "Alison"))


async def test_clt_29_the_page_points_to_contacts(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        page = await scene.world.signed_in("john", f"/sites/{scene.site}/clients")
        help_text = page.locator("#clients").get_by_text("other people")
        assert "Contacts" in await help_text.inner_text()
        for link in (
            page.get_by_role("navigation", name="Main").get_by_role("link", name="Contacts"),
            help_text.get_by_role("link", name="Contacts"),
        ):
            await page.goto(f"/sites/{scene.site}/clients")
            await link.click()
            assert (await text_of(page.locator("h1"))).upper() == "MY CONTACTS"


async def test_clt_30_a_single_service_site(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        site = await scene.add_site("Alarm", SiteKind.SINGLE_SERVICE, PLAIN)
        page = await scene.world.signed_in("john", f"/sites/{site}")
        await page.get_by_role("button", name="add Owner").click()
        await page.goto(f"/sites/{site}/clients")
        assert await page.get_by_role("heading", name="Service", exact=True).is_visible()
        account = await new_account(page, "Owner")
        assert account.uri == f"softnet-s://{account.key}@{scene.world.host}"
        kind = {"service_type": PLAIN.service_type, "contract_author": PLAIN.contract_author}
        await connect(scene.world, account, **kind)
        other = account.uri.replace("softnet-s:", "softnet-m:")
        wrong = await scene.world.program(other, account.password, **kind)
        await refused(wrong, ErrorCode.INVALID_CLIENT_CATEGORY)


async def test_clt_31_several_clients_of_a_user_newest_first(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        page = await scene.world.signed_in("john", f"/sites/{scene.site}/clients")
        accounts = [await new_account(page, "Alison") for _ in range(3)]
        await page.goto(f"/sites/{scene.site}/clients")
        keys = await block(page, "Alison").locator(".key").all_inner_texts()
        assert keys == [account.key for account in reversed(accounts)]
        first, second, third = accounts
        program = await connect(scene.world, first)
        await page.get_by_role("link", name=second.key).click()
        changed = await generate_password(page)
        assert changed.key == second.key
        await connect(scene.world, changed)
        await connect(scene.world, third)
        stale = await scene.world.program(second.uri, second.password)
        await refused(stale, ErrorCode.PASSWORD_NOT_MATCHED)
        assert program.status is ClientStatus.ONLINE


async def test_clt_32_the_client_editor(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        page = await scene.world.signed_in("john", f"/sites/{scene.site}/clients")
        uris = {user: await add_client(page, user) for user in ("Owner", "Alison")}
        opened = page.locator("li.open")
        for user in ("Owner", "Alison"):
            key = uris[user].partition("://")[2].partition("@")[0]
            await page.goto(f"/sites/{scene.site}/clients")
            assert await opened.count() == 0
            for other in ("Alison", "Owner"):
                await block(page, other).locator("a.key").click()
                assert await opened.count() == 1
            if user == "Alison":
                await block(page, user).locator("a.key").click()
            assert key in await text_of(opened)
            assert await opened.get_by_text(uris[user]).is_visible()
            tabs = opened.get_by_role("navigation").get_by_role("link")
            assert await tabs.all_inner_texts() == ["account", "ping period"]
            await tabs.nth(1).click()
            assert await opened.get_by_label("Ping period, sec.").is_visible()
            assert await opened.get_by_text(uris[user]).count() == 0
            await opened.get_by_role("link", name=f"Close client {key}").click()
            assert await opened.count() == 0


async def test_clt_33_the_clients_ping_period(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        page, account, program = await owner_online(scene)
        path = f"/sites/{scene.site}/clients"
        (made,) = await clients_of(scene.world, scene.site)
        default = ping_period(program)
        line = row(page, account.key)
        await line.get_by_role("link", name=account.key).click()
        await line.get_by_role("link", name="ping period").click()
        hint = await line.locator(".hint").inner_text()
        assert all(number in hint for number in ("10", "300", "0"))
        for value in (10, 300, 30):
            await page.goto(f"{path}?open={made.id}&tab=ping")
            await line.get_by_label("Ping period, sec.").fill(str(value))
            await line.get_by_role("button", name="Save").click()
            tag = line.get_by_text(f"P: {value}", exact=True)
            await tag.wait_for()
            await until(lambda value=value: ping_period(program) == value)
        red, green, blue = await tag.evaluate(
            "e => getComputedStyle(e).color.match(/\\d+/g).map(Number)"
        )
        assert green > max(red, blue)
        own = f"{path}/{made.id}/ping-period"
        for bad in (9, 301, -10, "ten", "", "1e2"):
            assert await command(page, own, ping_period=bad) in (400, 422)
        await page.goto(f"{path}?open={made.id}&tab=ping")
        await line.get_by_label("Ping period, sec.").fill("9")
        await line.get_by_role("button", name="Save").click()
        assert "10" in await line.locator(".fault").inner_text()
        (kept,) = await clients_of(scene.world, scene.site)
        assert (kept.ping_period, ping_period(program)) == (30, 30.0)
        assert await command(page, own, ping_period=0) == 303
        await until(lambda: ping_period(program) == default)
        await page.goto(path)
        assert "P:" not in await text_of(line)


async def test_clt_34_a_client_of_another_type(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        page = await scene.world.signed_in("john", f"/sites/{scene.site}/clients")
        account = await new_account(page, "Owner")
        wrong = await scene.world.program(
            *(account.uri, account.password, "Other Control"),
            service_type="Thermo 5", contract_author="Warm Homes",
        )  # fmt: skip
        await until(lambda: wrong.status is ClientStatus.SERVICE_TYPE_CONFLICT)
        assert int(wrong.status) == 5
        await page.goto(f"/sites/{scene.site}/clients")
        await page.locator("html[data-live]").wait_for()
        line = row(page, account.key)
        red = line.get_by_text("Thermo 5 ( Warm Homes )", exact=True)
        await red.wait_for()
        colour = await red.evaluate("e => getComputedStyle(e).color.match(/\\d+/g).map(Number)")
        assert colour[0] > 2 * max(colour[1:])
        await scene.world.stop_program(wrong)
        await connect(scene.world, account)
        await red.wait_for(state="detached")
        await line.get_by_text("Surveillance Control. V: 2.1.2").wait_for()


async def test_clt_35_delete_a_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with john(tmp_path, cameras=1) as scene:
        page, account, program = await owner_online(scene)
        other = await new_account(page, "Alison")
        hers = await connect(scene.world, other)
        await page.goto(f"/sites/{scene.site}/clients")
        await page.get_by_role("link", name=account.key).click()
        line = row(page, account.key)
        await line.get_by_label(f"Delete {account.key}").click()
        await line.get_by_role("button", name="Delete", exact=True).click()
        await line.wait_for(state="detached")
        await refused(program, ErrorCode.CLIENT_NOT_REGISTERED)
        assert [one.key for one in await clients_of(scene.world, scene.site)] == [other.key]
        assert hers.status is ClientStatus.ONLINE
        # Chance would have it that the deleted key is drawn again, and one that is in use.
        drawn = iter((account.key, other.key, "anewkey23"))
        monkeypatch.setattr(credentials, "draw_key", lambda _entropy, _length: next(drawn))
        assert "://anewkey23@" in await add_client(page, "Owner")


async def test_clt_36_a_new_password_throws_off(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        page, old, program = await owner_online(scene)
        await page.get_by_role("link", name=old.key).click()
        new = await generate_password(page)
        await refused(program, ErrorCode.PASSWORD_NOT_MATCHED)
        await scene.world.stop_program(program)
        again = await scene.world.program(old.uri, old.password)
        await refused(again, ErrorCode.PASSWORD_NOT_MATCHED)
        await connect(scene.world, new)


async def test_clt_37_the_password_is_shown_once(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        world = scene.world
        page = await world.signed_in("john", f"/sites/{scene.site}/clients")
        await add_client(page, "Owner")
        (made,) = await clients_of(world, scene.site)
        shown = []
        for leave in (page.get_by_role("link", name="ok", exact=True).click, page.reload):
            shown.append(await generate_password(page))
            await leave()
            await page.get_by_role("button", name="generate password").wait_for()
            for path in (
                page.url,
                f"/sites/{scene.site}/clients",
                f"/sites/{scene.site}",
                "/audit",
            ):
                text = await (await page.request.get(path)).text()
                assert not [one for one in shown if one.password in text], path
        # Reading the page again drew no third password: the second is good.
        await connect(world, shown[1])
        _, token = await world.registry.write(
            lambda tx: operators.add_token(tx, "test", scene.owner, [Scope.MANAGE])[::-1]
        )
        program = Program(world.url, token.reveal())
        try:
            for path in (f"/sites/{scene.site}/clients", f"/clients/{made.id}"):
                _, answer = await program.call("GET", path)
                assert not [one for one in shown if one.password in str(answer)]
        finally:
            await program.close()


async def test_clt_38_lost_rights_hide_clients(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        page = await scene.world.signed_in("john", f"/sites/{scene.site}/clients")
        account = await new_account(page, "Alison")
        program = await connect(scene.world, account)
        await page.goto(f"/sites/{scene.site}/clients")
        await page.locator("html[data-live]").wait_for()
        await scene.give("Alison", "SITE_1")
        await block(page, "Alison").wait_for(state="detached")
        assert account.key not in await page.content()
        await until(lambda: program.status is ClientStatus.ACCESS_DENIED)
        (kept,) = await clients_of(scene.world, scene.site)
        assert kept.key == account.key
        await scene.give("Alison", "SITE_1", "Operator")
        await row(block(page, "Alison"), account.key).wait_for()
        await until(lambda: program.status is ClientStatus.ONLINE)
        await scene.world.stop_program(program)
        await connect(scene.world, account)


async def test_clt_39_contact_users_have_no_add_client(tmp_path: Path):
    async with markus(tmp_path) as scene:
        site = scene.sites["Surveillance System"]
        path = f"/sites/{site}/clients"
        page = await scene.world.signed_in("markus", path)
        line = block(page, "Robinson")
        assert await text_of(line) == "Robinson <Julia Robinson> ( User )"
        assert await line.get_by_role("button").count() == 0
        for user, status in (("Robinson", 403), ("Assistant", 303)):
            assert await command(page, path, user_id=scene.users[user]) == status
        (made,) = await clients_of(scene.world, site)
        assert made.user_name == "Assistant"
