"""Section K: clients of shared devices, the second seed page, as the partner sees and uses them."""

from __future__ import annotations

from pathlib import Path

from gateway.model.kinds import Authority, ClientStatus, UserKind
from gateway.registry import domains
from tests.features.scenes import CAMERAS, Scene, markus
from tests.features.steps import command
from tests.features.views import (
    KEY,
    PASSWORD_LETTERS,
    add_client,
    block,
    clients_of,
    connect,
    contact_of,
    generate_password,
    hosts,
    lines_of,
    mark_of,
    may,
    new_account,
    offer_operations,
    row,
    shared_page,
    text_of,
)
from tests.features.world import until

SYSTEM = "Surveillance System"
UNDERLINED = "e => getComputedStyle(e).textDecorationLine === 'underline'"


async def test_shr_01_the_owner_sees_whom_the_site_is_shared_with(tmp_path: Path):
    async with markus(tmp_path) as scene:
        page = await scene.world.signed_in("markus", f"/sites/{scene.sites[SYSTEM]}")
        assert await text_of(page.locator("h1")) == f"SITE CONFIGURATION {SYSTEM}"
        users = page.get_by_label("Users", exact=True).get_by_role("listitem")
        line = users.filter(has_text="Robinson")
        assert await text_of(line.locator(".grow")) == "Robinson <Julia Robinson> ( User )"
        assert await line.get_by_text("User", exact=True).evaluate(UNDERLINED)
        given = users.filter(has_text="Assistant").locator(".roles")
        assert await text_of(given) == "( User )"
        assert not await given.evaluate(UNDERLINED)
        assert await given.locator(".default").count() == 0
        denied = await page.get_by_label("Users", exact=True).inner_text()
        assert "Robinson" not in denied.partition("DENIED USERS")[2]


async def test_shr_02_the_way_to_the_contact(tmp_path: Path):
    async with markus(tmp_path) as scene:
        page = await scene.world.signed_in("julia", "/")
        await page.get_by_role("link", name="Contacts", exact=True).first.click()
        assert (await text_of(page.locator("h1"))).upper() == "MY CONTACTS"
        await page.get_by_role("link", name="Markus Schmidt", exact=True).click()
        assert await text_of(page.locator("h1")) == "CONTACT Markus Schmidt"
        await page.get_by_role("link", name="refresh", exact=True).click()
        assert await text_of(page.locator("h1")) == "CONTACT Markus Schmidt"
        await page.get_by_role("link", name="back", exact=True).click()
        assert (await text_of(page.locator("h1"))).upper() == "MY CONTACTS"


async def test_shr_03_contact_domains(tmp_path: Path):
    async with markus(tmp_path, julia_is=Authority.PROVIDER) as scene:
        await scene.world.registry.write(lambda tx: domains.add(tx, scene.owner, "Private House"))
        contact = await contact_of(scene, "Julia")
        page = await scene.world.signed_in("julia", f"/contacts/{contact}")
        section = page.get_by_label("Contact domains", exact=True)
        assert await section.get_by_role("listitem").all_inner_texts() == ["Office Automation"]
        assert "that Markus Schmidt shares with you" in await text_of(section)
        assert "Private House" not in await page.content()
        right = await page.get_by_label("My shared domains", exact=True).bounding_box()
        left = await section.bounding_box()
        assert left["x"] + left["width"] < right["x"]


async def test_shr_04_my_shared_domains(tmp_path: Path):
    async with markus(tmp_path, julia_is=Authority.PROVIDER) as scene:
        contact = await contact_of(scene, "Julia")
        page = await scene.world.signed_in("julia", f"/contacts/{contact}")
        section = page.get_by_label("My shared domains", exact=True)
        assert await section.get_by_role("listitem").count() == 0
        assert "that you share with Markus Schmidt" in await text_of(section)
        await page.goto("/domains")
        await page.get_by_label("Name (optional)").fill("Summer House")
        await page.get_by_role("button", name="Create").click()
        await page.get_by_role("link", name="new user").click()
        await page.get_by_label("Contact", exact=True).select_option("Markus Schmidt")
        await page.get_by_label("User name").fill("Markus")
        await page.get_by_role("button", name="Create the contact user").click()
        await page.get_by_text("The user was added.").wait_for()
        await page.goto(f"/contacts/{contact}")
        assert await section.get_by_role("listitem").all_inner_texts() == ["Summer House"]


async def test_shr_05_open_a_domain_by_its_name(tmp_path: Path):
    async with markus(tmp_path) as scene:
        contact = await contact_of(scene, "Julia")
        page = await scene.world.signed_in("julia", f"/contacts/{contact}")
        await page.get_by_role("link", name="Office Automation").click()
        assert await text_of(page.locator("h1")) == "CONTACT DOMAIN Office Automation"
        above = page.locator(".crumbs")
        assert await text_of(above) == "Contact Markus Schmidt"
        await above.get_by_role("link", name="Markus Schmidt").click()
        assert page.url == f"{scene.world.url}/contacts/{contact}"


async def test_shr_06_several_sites_in_one_domain(tmp_path: Path):
    async with markus(tmp_path) as scene:
        page = await shared_page(scene)
        sites = page.locator("section h2")
        names = await sites.evaluate_all("all => all.map(e => e.textContent)")
        assert sorted(names) == ["Alarm System", SYSTEM]
        boxes = [await page.get_by_label(name, exact=True).bounding_box() for name in names]
        assert boxes[0]["x"] == boxes[1]["x"]
        assert boxes[0]["y"] + boxes[0]["height"] <= boxes[1]["y"]


async def test_shr_07_sites_without_rights_are_not_shown_nor_reachable(tmp_path: Path):
    async with markus(tmp_path) as scene:
        page = await shared_page(scene)
        assert "Smart Thermostat" not in await page.content()
        hidden, robinson = scene.sites["Smart Thermostat"], scene.users["Robinson"]
        for path in ("", "/clients", "/delete"):
            answer = await page.request.get(f"/sites/{hidden}{path}", max_redirects=0)
            assert answer.status == 404, path
        paths = (f"/sites/{hidden}/clients", f"{await _here(scene)}/sites/{hidden}/clients")
        for path in paths:
            assert await command(page, path, user_id=robinson) == 404
            assert (
                await command(page, path.replace(f"/{hidden}/", "/999/"), user_id=robinson) == 404
            )
        assert await clients_of(scene.world, hidden) == ()
        shown = f"{await _here(scene)}/sites/{scene.sites[SYSTEM]}/clients"
        assert await command(page, shown, user_id=robinson) == 303


async def _here(scene: Scene) -> str:
    return f"/contacts/{await contact_of(scene, 'Julia')}/domains/{scene.domain}"


async def test_shr_08_what_service_is_shared(tmp_path: Path):
    async with markus(tmp_path) as scene:
        owners = await scene.world.signed_in("markus", f"/sites/{scene.sites[SYSTEM]}")
        for user in ("Garage", "Backyard"):  # one is disabled, one is renamed
            await owners.goto(f"/sites/{scene.sites[SYSTEM]}")
            await owners.get_by_role("link", name=f"Open {user}").click()
            if user == "Garage":
                await owners.get_by_role("link", name="enable / disable").first.click()
                await owners.get_by_role("button", name="disable", exact=True).click()
            else:
                await owners.get_by_role("link", name="hostname").click()
                await owners.get_by_label("Hostname", exact=True).fill("Garden")
                await owners.locator(".open").get_by_role("button", name="Save").click()
        page = await shared_page(scene)
        for name, type_text, heading in (
            ("Alarm System", "iSentry ( Argus )", "service"),
            (SYSTEM, "RTX-5 ( Cold Vision )", "list of services"),
        ):
            panel = page.get_by_label(name, exact=True)
            assert await panel.get_by_text(type_text, exact=True).is_visible()
            assert await panel.get_by_role("heading", name=heading, exact=True).is_visible()
            await owners.goto(f"/sites/{scene.sites[name]}/clients")
            assert await text_of(owners.locator(".strip .type")) == type_text
            same = await lines_of(owners.locator("#services"))
            assert await lines_of(panel.locator("ul").first) == same
        assert same == [
            f"{CAMERAS[0]} ver. 1.0 online", "Garage ver. 1.0 disabled disabled",
            "Garden ver. 1.0 online", f"{CAMERAS[3]} ver. 1.0 online",
        ]  # fmt: skip


async def test_shr_09_with_what_permissions(tmp_path: Path):
    async with markus(tmp_path) as scene:
        page = await shared_page(scene)
        panel = page.get_by_label(SYSTEM, exact=True)
        supported = panel.locator(".part-line")
        assert await text_of(supported) == "supported roles Administrator, Operator, User"
        name = block(panel, "Robinson").locator(".grow").first
        assert await text_of(name) == "Robinson ( User )"
        alarm = page.get_by_label("Alarm System", exact=True)
        assert await text_of(block(alarm, "Robinson").locator(".grow").first) == "Robinson"
        assert "supported roles" not in await text_of(alarm)
        await scene.give("Robinson", SYSTEM, "Operator")
        await page.goto(page.url)
        assert await text_of(name) == "Robinson ( Operator, User )"


async def test_shr_10_my_users(tmp_path: Path):
    async with markus(tmp_path) as scene:
        theirs = (await clients_page_users(scene))[0]
        assert {"Owner", "GuardPost", "Assistant", "Robinson"} <= set(theirs)
        contact = await contact_of(scene, "Markus")
        await scene.add_user("Robinson jr", SYSTEM, kind=UserKind.CONTACT, contact_id=contact)
        for name in ("GuardPost", "Assistant", "Owner"):
            await scene.client_of(name, SYSTEM)
        page = await shared_page(scene)
        panel = page.get_by_label(SYSTEM, exact=True)
        assert await panel.get_by_role("heading", name="clients", exact=True).is_visible()
        lines = [await text_of(one) for one in await panel.locator(".person .grow").all()]
        assert lines == ["Robinson ( User )", "Robinson jr ( User )"]
        text = await page.inner_text("main")
        assert not [name for name in ("Owner", "Assistant", "GuardPost") if name in text]
        assert await page.locator(".key").count() == 0


async def clients_page_users(scene: Scene) -> list[list[str]]:
    page = await scene.world.signed_in("markus", f"/sites/{scene.sites[SYSTEM]}/clients")
    lines = [await text_of(one) for one in await page.locator(".person .grow").all()]
    return [[line.split(" ")[0] for line in lines]]


async def test_shr_11_add_client_for_each_of_my_users(tmp_path: Path):
    async with markus(tmp_path) as scene:
        contact = await contact_of(scene, "Markus")
        await scene.add_user("Robinson jr", SYSTEM, kind=UserKind.CONTACT, contact_id=contact)
        page = await shared_page(scene)
        for site, users in (("Alarm System", ["Robinson"]), (SYSTEM, ["Robinson", "Robinson jr"])):
            panel = page.get_by_label(site, exact=True)
            assert await panel.get_by_role("button").count() == len(users)
            for user in users:
                line = block(panel, user)
                button = await line.get_by_role("button", name="add client").bounding_box()
                name = await line.locator(f":text-is('{user}')").bounding_box()
                assert button["x"] > name["x"] + name["width"]
                assert abs(button["y"] + button["height"] / 2 - name["y"]) < 30


async def test_shr_12_add_a_client(tmp_path: Path):
    async with markus(tmp_path) as scene:
        page = await shared_page(scene)
        for site in (SYSTEM, "Alarm System"):
            uri = await add_client(page, "Robinson", site)
            (made,) = await clients_of(scene.world, scene.sites[site])
            assert f"://{made.key}@" in uri
            assert made.creator_id == scene.users["Julia"] != scene.owner
            assert (made.user_id, made.user_kind) == (scene.users["Robinson"], UserKind.CONTACT)
            assert made.has_password is False


async def test_shr_13_account_data_of_the_entity(tmp_path: Path):
    async with markus(tmp_path) as scene:
        page = await shared_page(scene)
        uri = await add_client(page, "Robinson", SYSTEM)
        key = uri.partition("://")[2].partition("@")[0]
        assert KEY.match(key)
        assert uri == f"softnet-m://{key}@{scene.world.host}"
        entity = page.locator("li.open")
        assert (await text_of(entity)).split() == (
            f"« {key} no password yet X account ping period Client URI {uri} Copy the URI"
            " generate password"
        ).split()
        assert await entity.evaluate("e => getComputedStyle(e).borderTopStyle") == "dashed"
        assert await entity.get_by_role("link", name="account").get_attribute("aria-current")
        account = await generate_password(page)
        assert (account.uri, len(account.password)) == (uri, 16)
        assert PASSWORD_LETTERS.match(account.password)
        assert await entity.get_by_role("button", name="generate password").count() == 0
        await entity.get_by_role("link", name="ok", exact=True).click()
        await entity.get_by_role("button", name="generate password").wait_for()
        assert account.password not in await page.content()
        await entity.get_by_role("link", name="ping period").click()
        assert await entity.get_by_label("Ping period, sec.").input_value() == "0"
        await entity.get_by_role("link", name=f"Close client {key}").click()
        await entity.wait_for(state="detached")


async def test_shr_14_consume_the_service(tmp_path: Path):
    async with markus(tmp_path) as scene:
        offer_operations(scene.devices)
        account = await new_account(await shared_page(scene), "Robinson", SYSTEM)
        program = await connect(scene.world, account, "Cold Vision Remote Control")
        seen = await hosts(program, 4)
        assert set(seen) == set(CAMERAS)
        assert (program.user.name, program.user.roles) == ("Robinson", ("User",))
        for service_id in seen.values():
            assert await may(program, service_id) == ["Look"]


async def test_shr_15_the_row_in_the_partners_account(tmp_path: Path):
    async with markus(tmp_path) as scene:
        page = await shared_page(scene)
        account = await new_account(page, "Robinson", SYSTEM)
        await page.goto(await _here(scene))
        await page.locator("html[data-live]").wait_for()
        program = await connect(scene.world, account, "Cold Vision Remote Control. V: 2.1.1")
        line = row(block(page.get_by_label(SYSTEM, exact=True), "Robinson"), account.key)
        await line.get_by_text("Cold Vision Remote Control. V: 2.1.1").wait_for()
        await line.get_by_text("online", exact=True).wait_for()
        assert await text_of(line) == f"{account.key} Cold Vision Remote Control. V: 2.1.1 online"
        assert await mark_of(line) == "»"
        assert program.status is ClientStatus.ONLINE
        await scene.world.stop_program(program)
        await until(lambda: line.get_by_text("offline, seen").is_visible())
