"""Section K, second half: who may do what to a contact's clients, and the end of sharing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.model.accounts import Scope
from gateway.model.kinds import ClientStatus
from gateway.registry import operators
from gateway.registry.database import Reader
from gateway.wire.codes import ErrorCode
from tests.features.scenes import Scene, markus
from tests.features.steps import command, interruptions
from tests.features.views import (
    Account,
    add_client,
    block,
    clients_of,
    connect,
    contact_of,
    generate_password,
    hosts,
    mark_of,
    may,
    new_account,
    offer_operations,
    ping_period,
    refused,
    row,
    shared_page,
    text_of,
)
from tests.features.world import until
from tests.web.callers import Program

SYSTEM = "Surveillance System"
REMOTE = "Cold Vision Remote Control. V: 2.1.1"
UNDERLINED = "e => getComputedStyle(e).textDecorationLine === 'underline'"


async def _julia_online(scene: Scene) -> tuple[Any, Account, Any]:
    """Set up Julia's client and connect it; return her page, its account and its program."""
    page = await shared_page(scene)
    account = await new_account(page, "Robinson", SYSTEM)
    program = await connect(scene.world, account, REMOTE)
    await page.goto(page.url.partition("?")[0])
    await row(page, account.key).get_by_text(REMOTE).wait_for()
    return page, account, program


async def _owners_page(scene: Scene) -> Any:
    return await scene.world.signed_in("markus", f"/sites/{scene.sites[SYSTEM]}/clients")


async def _token(scene: Scene, owner: int | None) -> Program:
    def make(tx: Any) -> Any:
        scopes = [Scope.MANAGE] if owner else [Scope.ADMINISTER]
        return operators.add_token(tx, "test", owner, scopes)

    secret, _ = await scene.world.registry.write(make)
    return Program(scene.world.url, secret.reveal())


async def test_shr_16_the_row_in_the_owners_account(tmp_path: Path):
    async with markus(tmp_path) as scene:
        _, account, _ = await _julia_online(scene)
        page = await _owners_page(scene)
        place = block(page, "Robinson")
        name = place.locator(".grow").first
        assert await text_of(name) == "Robinson <Julia Robinson> ( User )"
        assert await name.get_by_text("User", exact=True).evaluate(UNDERLINED)
        line = place.get_by_role("listitem")
        assert await text_of(line) == f"{account.key} {REMOTE} online"
        assert await mark_of(line) == "▪"


async def test_shr_17_no_add_client_for_the_owner_there(tmp_path: Path):
    async with markus(tmp_path) as scene:
        page = await _owners_page(scene)
        site, robinson = scene.sites[SYSTEM], scene.users["Robinson"]
        assert await block(page, "Robinson").get_by_role("button").count() == 0
        path = f"/sites/{site}/clients"
        assert await command(page, path, user_id=robinson) == 403
        shared = f"/contacts/{await contact_of(scene, 'Markus')}/domains/{scene.domain}"
        assert await command(page, f"{shared}{path}", user_id=robinson) in (403, 404)
        for owner in (scene.owner, None):
            program = await _token(scene, owner)
            try:
                status, _ = await program.call("POST", path, {"user_id": robinson})
                assert status == 403
            finally:
                await program.close()
        assert await clients_of(scene.world, site) == ()


async def test_shr_18_the_owner_only_views(tmp_path: Path):
    async with markus(tmp_path) as scene:
        _, account, program = await _julia_online(scene)
        site = scene.sites[SYSTEM]
        (client,) = await clients_of(scene.world, site)
        noted = interruptions(program)
        page = await _owners_page(scene)
        path = f"/sites/{site}/clients"
        shared = f"/contacts/{await contact_of(scene, 'Markus')}/domains/{scene.domain}"
        for address in (path, f"{path}?open={client.id}"):
            await page.goto(address)
            line = row(page, account.key)
            assert await line.locator("a, button, input").count() == 0
        for own in (f"{path}/{client.id}", f"{shared}/clients/{client.id}"):
            assert await command(page, f"{own}/password") in (403, 404)
            assert await command(page, f"{own}/ping-period", ping_period=30) in (403, 404)
            assert await command(page, f"{own}/delete") in (403, 404)
        for owner in (scene.owner, None):
            token = await _token(scene, owner)
            try:
                for method, rest, body in (
                    ("POST", "/password", {}), ("PUT", "/ping-period", {"ping_period": 30}),
                    ("DELETE", "", None),
                ):  # fmt: skip
                    status, _ = await token.call(method, f"/clients/{client.id}{rest}", body)
                    assert status in (403, 404), (method, rest)
            finally:
                await token.close()
        assert await clients_of(scene.world, site) == (client,)
        assert program.status is ClientStatus.ONLINE
        assert noted == []
        await scene.world.stop_program(program)
        await connect(scene.world, account)


async def test_shr_19_the_owners_other_clients_stay_editable(tmp_path: Path):
    async with markus(tmp_path) as scene:
        _, account, _ = await _julia_online(scene)
        page = await _owners_page(scene)
        for user in ("Owner", "Assistant", "GuardPost", "GuardPost"):
            await add_client(page, user)
        entity = page.locator("li.open")
        await entity.get_by_role("link", name="ping period").click()
        await entity.get_by_label("Ping period, sec.").fill("30")
        await entity.get_by_role("button", name="Save").click()
        await page.goto(f"/sites/{scene.sites[SYSTEM]}/clients")
        for user, count in (("Owner", 1), ("Assistant", 1), ("GuardPost", 2)):
            assert await block(page, user).get_by_role("button", name="add client").count() == 1
            assert await block(page, user).locator("a.key").count() == count
            for line in await block(page, user).get_by_role("listitem").all():
                assert await mark_of(line) == "»"
        lines = await block(page, "GuardPost").get_by_role("listitem").all_inner_texts()
        assert ["P: 30" in line for line in lines] == [True, False]
        assert await mark_of(row(block(page, "Robinson"), account.key)) == "▪"


async def test_shr_20_the_partner_edits_its_clients(tmp_path: Path):
    async with markus(tmp_path) as scene:
        page, account, program = await _julia_online(scene)
        line = row(page, account.key)
        await line.get_by_role("link", name=account.key, exact=True).click()
        await line.get_by_role("link", name="ping period").click()
        await line.get_by_label("Ping period, sec.").fill("20")
        await line.get_by_role("button", name="Save").click()
        await until(lambda: ping_period(program) == 20)
        await line.get_by_role("link", name="account").click()
        changed = await generate_password(page)
        await refused(program, ErrorCode.PASSWORD_NOT_MATCHED)
        again = await connect(scene.world, changed, REMOTE)
        await page.get_by_role("link", name="ok", exact=True).click()
        await line.get_by_text("online", exact=True).wait_for()
        await line.get_by_label(f"Delete {account.key}").click()
        await line.get_by_role("button", name="Delete", exact=True).click()
        await line.wait_for(state="detached")
        await refused(again, ErrorCode.CLIENT_NOT_REGISTERED)
        assert await clients_of(scene.world, scene.sites[SYSTEM]) == ()


async def test_shr_21_setup_is_the_partners_own_work(tmp_path: Path):
    async with markus(tmp_path) as scene:
        site = scene.sites["Smart Thermostat"]
        page = await scene.world.signed_in("markus", f"/sites/{site}")
        await page.get_by_role("link", name="Roles of Robinson").click()
        await page.get_by_label("User", exact=True).check()
        await page.locator(".open").get_by_role("button", name="Save").click()
        await page.get_by_text("Saved.").wait_for()
        await page.context.close()  # the owner is done
        before = await _audited(scene)
        theirs = await shared_page(scene)
        account = await new_account(theirs, "Robinson", "Smart Thermostat")
        program = await connect(scene.world, account, REMOTE)
        assert list(await hosts(program, 1)) == [scene.devices[-1].hostname]
        done = (await _audited(scene))[len(before) :]
        assert {name for name, _ in done} == {"Julia Robinson"}
        assert [what for _, what in done] == ["client.add", "client.generate-password"]


async def _audited(scene: Scene) -> list[tuple[str, str]]:
    """Return who did what to clients, sites and users so far."""
    rows = await scene.world.registry.read(
        lambda reader: reader.rows(
            "SELECT o.full_name, a.action FROM audit a JOIN owner o ON o.id = a.actor_id"
            " WHERE a.action <> 'sign-in' ORDER BY a.id"
        )
    )
    return [(row[0], row[1]) for row in rows]


async def test_shr_22_the_partner_cannot_administer(tmp_path: Path):
    async with markus(tmp_path) as scene:
        page = await shared_page(scene)
        assert await page.get_by_role("link", name="config").count() == 0
        assert await page.get_by_text("X", exact=True).count() == 0
        own = f"/sites/{scene.sites[SYSTEM]}"
        robinson = scene.users["Robinson"]
        service = scene.world.registry.read(
            lambda reader: reader.number("SELECT max(id) FROM service")
        )
        unit = f"{own}/services/{await service}"
        for path, values in (
            (f"{own}/description", {"description": "Mine"}), (f"{own}/enabled", {"enabled": 0}),
            (f"{own}/multi", {}), (f"{own}/guests", {"allowed": 1}),
            (f"{own}/default-role", {"role_id": 0}), (f"{own}/delete", {}),
            (f"{own}/roles", {"user_id": robinson, "role_ids": 1}),
            (f"{own}/services", {"hostname": "Mine"}), (f"{unit}/password", {}),
            (f"{unit}/hostname", {"hostname": "Mine"}), (f"{unit}/enabled", {"enabled": 0}),
            (f"{unit}/ping-period", {"ping_period": 30}), (f"{unit}/structure", {}),
            (f"{unit}/delete", {}), (f"/domains/{scene.domain}/name", {"name": "Mine"}),
            (f"/domains/{scene.domain}/delete", {}),
        ):  # fmt: skip
            before = await _kept(scene)
            assert await command(page, path, **values) in (403, 404), path
            assert await _kept(scene) == before, path
        for path in (own, f"{own}/clients", f"/domains/{scene.domain}"):
            assert (await page.request.get(path, max_redirects=0)).status == 404


async def _kept(scene: Scene) -> list[Any]:
    tables = ("domain", "site", "service", "role", "user_role", "domain_user")

    def read(reader: Reader, table: str) -> list[tuple[Any, ...]]:
        columns = [row[1] for row in reader.rows(f"PRAGMA table_info({table})")]
        # When a device was seen is noted in its own time, a while after it came online.
        kept = ", ".join(name for name in columns if name != "last_seen_at")
        return list(reader.rows(f"SELECT {kept} FROM {table}"))

    return await scene.world.registry.read(lambda reader: [read(reader, table) for table in tables])


async def test_shr_23_the_owner_changes_the_partners_role(tmp_path: Path):
    async with markus(tmp_path) as scene:
        offer_operations(scene.devices)
        page, _, program = await _julia_online(scene)
        camera = next(iter((await hosts(program, 4)).values()))
        assert await may(program, camera) == ["Look"]
        noted = interruptions(program)
        await page.locator("html[data-live]").wait_for()
        owners = await scene.world.signed_in("markus", f"/sites/{scene.sites[SYSTEM]}")
        await owners.get_by_role("link", name="Roles of Robinson").click()
        await owners.get_by_label("Operator", exact=True).check()
        await owners.locator(".open").get_by_role("button", name="Save").click()
        panel = page.get_by_label(SYSTEM, exact=True)
        await panel.get_by_text("( Operator, User )").wait_for()
        await until(lambda: program.user.roles == ("Operator", "User"))

        async def gained() -> bool:
            return await may(program, camera) == ["Look", "Move"]

        await until(gained)
        assert noted == []


@pytest.mark.timeout_s(90)
async def test_shr_24_the_owner_stops_sharing(tmp_path: Path):
    async with markus(tmp_path) as scene:
        page, account, program = await _julia_online(scene)
        await page.locator("html[data-live]").wait_for()
        owners = await scene.world.signed_in("markus", f"/sites/{scene.sites[SYSTEM]}")
        await owners.get_by_role("button", name="Remove the user default role").click()
        await until(lambda: program.status is ClientStatus.ACCESS_DENIED)
        assert int(program.status) == 2
        await page.get_by_label(SYSTEM, exact=True).wait_for(state="detached")
        assert await page.get_by_label("Alarm System", exact=True).is_visible()
        (client,) = await clients_of(scene.world, scene.sites[SYSTEM])
        own = f"{page.url.partition('?')[0]}/clients/{client.id}"
        assert await command(page, f"{own}/password") in (403, 404)
        await scene.give("Robinson", SYSTEM, "User")
        await until(lambda: program.status is ClientStatus.ONLINE)
        await owners.goto(f"/domains/{scene.domain}")
        await owners.get_by_role("link", name="Edit Robinson").click()
        await owners.get_by_label("Delete Robinson").click()
        await owners.get_by_role("button", name="Delete", exact=True).click()
        await owners.get_by_text("The user was deleted.").wait_for()
        await refused(program, ErrorCode.CLIENT_NOT_REGISTERED)
        await page.get_by_text("This domain does not exist any more.").wait_for()
        await page.goto(f"/contacts/{await contact_of(scene, 'Julia')}")
        assert "Office Automation" not in await page.content()
        assert account.key not in {one.key for one in await clients_of(scene.world, scene.site)}


async def test_shr_25_my_shared_domain(tmp_path: Path):
    async with markus(tmp_path) as scene:
        _, account, _ = await _julia_online(scene)
        contact = await contact_of(scene, "Markus")
        page = await scene.world.signed_in("markus", f"/contacts/{contact}")
        shared = page.get_by_label("My shared domains", exact=True)
        await shared.get_by_role("link", name="Office Automation").click()
        assert await text_of(page.locator("h1")) == "MY SHARED DOMAIN Office Automation"
        names = await page.locator("section h2").evaluate_all("all => all.map(e => e.textContent)")
        assert sorted(names) == ["Alarm System", SYSTEM]
        panel = page.get_by_label(SYSTEM, exact=True)
        lines = [await text_of(one) for one in await panel.locator(".person .grow").all()]
        assert lines == ["Robinson <Julia Robinson> ( User )"]
        line = row(panel, account.key)
        assert await mark_of(line) == "▪"
        assert await text_of(line) == f"{account.key} {REMOTE} online"
        assert await page.locator("main").locator("button, input, form").count() == 0
        await panel.get_by_role("link", name="config").click()
        assert await text_of(page.locator("h1")) == f"SITE CONFIGURATION {SYSTEM}"
