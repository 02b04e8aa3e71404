"""Section M: public services, for people who are logged in and for strangers (guide 12)."""

from __future__ import annotations

from pathlib import Path

from gateway.model.kinds import Authority, UserKind
from gateway.registry import domains, sites
from tests.features.guest_steps import (
    ALARM,
    MAIL,
    THERMOSTAT,
    WALL,
    ask_for,
    created_by,
    guest_account,
    guest_page,
    key_of,
    letters,
    office,
    post,
)
from tests.features.scenes import Scene
from tests.features.steps import command
from tests.features.views import clients_of, connect, lines_of, text_of
from tests.features.world import open_world


async def _deny(scene: Scene, *names: str) -> None:
    def within(tx: object) -> None:
        for name in names:
            sites.set_guest_allowed(tx, scene.sites[name], False)  # type: ignore[arg-type]

    await scene.world.registry.write(within)


async def test_pub_01_the_search_for_an_owner(tmp_path: Path):
    async with open_world(tmp_path) as world:
        for name in ("Markus Schmidt", "Martin Evans", "Julia Robinson"):
            await world.person(name, name.split(" ")[0].lower(), Authority.PROVIDER)
        for number in range(17):
            await world.person(f"Owner {number:02}", f"owner{number:02}", Authority.PROVIDER)
        await world.person("Marc Consumer", "marc", Authority.CONSUMER)
        stranger = await world.page()
        await stranger.goto("/")
        await stranger.get_by_role("link", name="Public Services").first.click()
        for page in (stranger, await world.signed_in("julia", "/public")):
            owners = page.get_by_label("Owners", exact=True)
            for text, wanted in (
                ("mar", ["Markus Schmidt", "Martin Evans"]), ("mar dt", ["Markus Schmidt"]),
                ("MAR DT", ["Markus Schmidt"]), ("dt mar", ["Nobody found."]),
            ):  # fmt: skip
                await page.get_by_role("searchbox").fill(text)
                await page.get_by_role("button", name="Search").click()
                await owners.get_by_text(wanted[0]).wait_for()
                found = await owners.get_by_role("link").all_inner_texts()
                assert (found or [await text_of(owners)]) == wanted, text
            await page.goto("/public")
            first = await owners.locator("li").all_inner_texts()
            await owners.get_by_role("link", name="next", exact=True).click()
            await owners.get_by_role("link", name="previous", exact=True).wait_for()
            rest = await owners.locator("li").all_inner_texts()
            assert (len(first), sorted(first + rest)) == (15, first + rest)
            assert "Marc Consumer" not in first + rest
            await page.get_by_role("link", name=rest[0], exact=True).click()
            assert (await text_of(page.locator("h1"))).endswith(rest[0])


async def test_pub_02_the_domains_of_an_owner(tmp_path: Path):
    async with office(tmp_path) as scene:
        await scene.world.registry.write(lambda tx: domains.add(tx, scene.owner, "Private House"))
        page = await scene.world.page()
        path = f"/public/owners/{scene.owner}"
        await page.goto(path)
        listed = page.get_by_label("Domains", exact=True)
        assert await lines_of(listed) == ["Office Automation"]
        owners = await scene.world.signed_in("markus")
        for left, name in ((1, WALL), (0, THERMOSTAT)):
            await owners.goto(f"/sites/{scene.sites[name]}")
            await owners.locator("form[action$='/guests'] button").click()
            await owners.get_by_text("Guest denied").wait_for()
            await page.goto(path)
            assert len(await lines_of(listed)) == left, name
        assert await text_of(listed) == "This owner offers nothing to the public now."
        assert (await page.goto(f"/public/domains/{scene.domain}")).status == 404
        assert (await page.goto("/public/owners/999")).status == 404


async def test_pub_03_a_domain_with_its_public_sites(tmp_path: Path):
    async with office(tmp_path) as scene:
        page = await scene.world.page()
        await page.goto(f"/public/owners/{scene.owner}")
        await page.get_by_role("link", name="Office Automation").click()
        shown = await page.locator("section h2").evaluate_all("all => all.map(e => e.textContent)")
        assert sorted(shown) == [WALL, THERMOSTAT]
        assert ALARM not in await page.content()
        text = await page.inner_text("main")
        assert not [one for one in ("supported roles", "Administrator", "Operator") if one in text]
        for site, scheme, services in (
            (WALL, "softnet-ms", ["Left ver. 1.0 online", "Right ver. 1.0 online"]),
            (THERMOSTAT, "softnet-ss", None),
        ):
            panel = page.get_by_label(site, exact=True)
            lines = await lines_of(panel.locator("ul").first)
            assert services in (None, lines)
            assert [one.endswith("ver. 1.0 online") for one in lines] == [True] * len(lines)
            assert len(lines) >= 1
            address = panel.locator("[id^=guest-page-]")
            assert await address.inner_text() == scene.world.url + await guest_page(scene, site)
            uri = f"{scheme}://{await key_of(scene, site)}@{scene.world.host}"
            assert await panel.locator("code[id^=shared-uri-]").inner_text() == uri
        await _deny(scene, WALL)
        await page.goto(page.url)
        assert WALL not in await page.content()
        await scene.world.picture(page, "pub-03")


async def test_pub_04_somebody_who_is_logged_in_adds_a_client(tmp_path: Path):
    async with office(tmp_path) as scene:
        page = await scene.world.signed_in("julia", f"/public/domains/{scene.domain}")
        account = await guest_account(page, THERMOSTAT)
        program = await connect(scene.world, account)
        assert program.user.name == "Guest"
        (made,) = await clients_of(scene.world, scene.sites[THERMOSTAT])
        assert (made.creator_id, made.user_kind) == (scene.users["Julia"], UserKind.GUEST)
        await page.goto("/guest-clients")
        await page.get_by_role("link", name="Office Automation").click()
        assert await page.locator(".key").all_inner_texts() == [account.key]
        await _deny(scene, WALL)
        await page.goto(f"/public/domains/{scene.domain}")
        for site in (WALL, ALARM):
            assert await command(page, f"/guest-clients/add/{scene.sites[site]}") == 404
            assert await clients_of(scene.world, scene.sites[site]) == ()


async def test_pub_05_a_stranger_asks_for_a_client(tmp_path: Path):
    async with office(tmp_path, mail=True) as scene:
        page = await scene.world.page()
        for site in (THERMOSTAT, WALL):
            await page.goto(f"/public/domains/{scene.domain}")
            panel = page.get_by_label(site, exact=True)
            button = panel.get_by_role("link", name="new guest client")
            box, around = await button.bounding_box(), await panel.bounding_box()
            assert box["x"] < around["x"] + around["width"] / 2
            assert box["y"] > around["y"] + around["height"] / 2
            await button.click()
            assert (await text_of(page.locator("h1"))).endswith(site)
            await ask_for(page)
            assert "Ask its operator" in await page.inner_text("main")
            account = await created_by(page, (await letters(scene))[0])
            await connect(scene.world, account)
            (made,) = await clients_of(scene.world, scene.sites[site])
            assert (made.key, made.creator_email) == (account.key, MAIL)
        await page.goto("/guest/browse")
        await ask_for(page)
        await page.goto((await letters(scene))[0])
        await page.get_by_role("link", name="Office Automation").click()
        assert account.key in await page.inner_text("main")
        await _deny(scene, WALL)
        form = {"site_key": await key_of(scene, WALL), "email": MAIL}
        assert await post(page, "/guest/new", **form) == 409
