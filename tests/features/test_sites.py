"""Sections C and D: making a site, what its first device makes of it, its switches (guide 6, 7)."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from gateway.endpoint.calls import EMPTY, IncomingCall
from gateway.endpoint.errors import RequestRefused
from gateway.model.kinds import ClientStatus, ServiceStatus, SiteKind
from gateway.registry import services, sites
from tests.features import steps
from tests.features.scenes import Scene, john, markus, nothing_yet
from tests.features.steps import command, gone, shows, until_shown, until_users
from tests.features.world import ADMIN, CAMERA, PLAIN, until

NO_OWNER_ROLE = dataclasses.replace(CAMERA, owner_role=None)


async def _blank(scene: Scene, kind: SiteKind = SiteKind.SINGLE_SERVICE) -> int:
    """Make a blank site; a multi-service one by the button, so that it has Service1."""

    def make(tx: Any) -> int:
        site = sites.add(tx, scene.domain, "", SiteKind.SINGLE_SERVICE)
        if kind is SiteKind.MULTI_SERVICE:
            sites.make_multi(tx, site.id)
        return site.id

    return await scene.world.registry.write(make)


async def _connect_first(scene: Scene, page: Any, site_id: int, structure: Any = CAMERA) -> Any:
    """Connect the first device with what the page shows; the page is left open."""
    uri, password = await steps.service_account(page, site_id, "Service1")
    device = await scene.world.device(uri, password, structure, "2.3.1")
    await until(lambda: device.status is ServiceStatus.ONLINE)
    await until_shown(page, "#services", "online")
    return device


async def test_site_01_new_site(tmp_path: Path):
    async with nothing_yet(tmp_path) as scene:
        page = await scene.world.signed_in("john", f"/domains/{scene.domain}")
        for typed, called in (("", "SITE_1"), ("Summer House", "Summer House"), ("", "SITE_")):
            await page.goto(f"/domains/{scene.domain}")
            assert await page.get_by_role("heading", name="NEW SITE").count() == 1
            await page.get_by_label("Description (optional)").fill(typed)
            await page.locator("#new-site").get_by_role("button", name="Create").click()
            await page.wait_for_url("**/sites/*")
            assert (await shows(page, "h1")).upper().startswith("SITE CONFIGURATION")
            assert called in await shows(page, "h1")
        found = await scene.world.registry.read(lambda reader: sites.list_for(reader, scene.domain))
        assert sorted(one.description for one in found) == ["SITE_1", "SITE_2", "Summer House"]


async def test_site_02_the_view_of_a_blank_site(tmp_path: Path):
    async with nothing_yet(tmp_path) as scene:
        site_id = await _blank(scene)
        page = await scene.world.signed_in("john", f"/sites/{site_id}")
        await scene.world.picture(page, "site-02")
        red = await page.locator("main .red").all_inner_texts()
        assert [text for text in red if text] == ["site blank", "service type undefined"]
        assert await shows(page, "#services h2") == "SERVICE"
        assert await page.locator("#services li").count() == 1
        assert "Service1" in await shows(page, "#services li .grow")
        tabs = page.get_by_label("Site", exact=True).get_by_role("link")
        assert await tabs.all_inner_texts() == [
            "description", "enable / disable", "multi-service hosting"
        ]  # fmt: skip
        tabs = page.get_by_label("Service Service1").get_by_role("link")
        assert await tabs.all_inner_texts() == ["account", "hostname"]
        for absent in ("clients", "new user", "ping period", "structure"):
            assert await page.get_by_role("link", name=absent, exact=True).count() == 0, absent
        headings = await page.get_by_role("heading").all_inner_texts()
        assert [one.upper() for one in headings[1:]] == ["SERVICE", "SITE"]
        assert await page.get_by_role("button", name="Save").count() == 0


async def test_site_03_multi_service_hosting_is_asked_first(tmp_path: Path):
    async with nothing_yet(tmp_path) as scene:
        site_id = await _blank(scene)
        page = await scene.world.signed_in("john", f"/sites/{site_id}")
        second = page.get_by_role("button", name="set as multi-service site")
        assert await second.count() == 0
        await page.get_by_role("link", name="multi-service hosting").click()
        await second.wait_for()
        warning = page.locator("#site-editor").get_by_text("must be of one type")
        assert await warning.is_visible()
        assert (await steps.site_of(scene, site_id)).kind is SiteKind.SINGLE_SERVICE
        assert await shows(page, "#services h2") == "SERVICE"
        await second.click()
        await page.get_by_role("heading", name="list of services").wait_for()
        assert (await steps.site_of(scene, site_id)).kind is SiteKind.MULTI_SERVICE


async def test_site_04_what_the_conversion_gives(tmp_path: Path):
    async with nothing_yet(tmp_path) as scene:
        site_id = await _blank(scene)
        page = await scene.world.signed_in("john", f"/sites/{site_id}")
        await page.get_by_role("link", name="account", exact=True).click()
        before, password = await steps.generate(page)
        await page.goto(f"/sites/{site_id}?edit=hosting")
        await page.get_by_role("button", name="set as multi-service site").click()
        await page.get_by_role("heading", name="list of services").wait_for()
        assert await page.locator("#new-service summary").inner_text() == "new service"
        assert await page.get_by_role("link", name="multi-service hosting").count() == 0
        await page.get_by_role("link", name="Open Service1").click()
        await until_shown(page, "#services code", before)
        device = await scene.world.device(before, password)
        await until(lambda: device.status is ServiceStatus.ONLINE)
        uri, password = await steps.client_account(page, site_id, "Owner")
        assert uri.startswith("softnet-m://")
        program = await scene.world.program(uri, password)
        await until(lambda: program.status is ClientStatus.ONLINE)


async def test_site_05_conversion_only_while_blank(tmp_path: Path):
    async with nothing_yet(tmp_path) as scene:
        site_id = await _blank(scene)
        page = await scene.world.signed_in("john", f"/sites/{site_id}")
        offer = page.get_by_role("link", name="multi-service hosting")
        assert await offer.count() == 1
        await _connect_first(scene, page, site_id)
        await page.goto(f"/sites/{site_id}?edit=hosting")
        assert await offer.count() == 0
        assert await page.get_by_role("button", name="set as multi-service site").count() == 0
        assert await command(page, f"/sites/{site_id}/multi") == 409
        assert (await steps.site_of(scene, site_id)).kind is SiteKind.SINGLE_SERVICE


async def test_site_06_a_multi_service_site_stays_one(tmp_path: Path):
    async with nothing_yet(tmp_path) as scene:
        site_id = await _blank(scene, SiteKind.MULTI_SERVICE)
        page = await scene.world.signed_in("john", f"/sites/{site_id}")
        assert await page.get_by_role("link", name="hosting").count() == 0
        assert await command(page, f"/sites/{site_id}/single") == 404
        assert await command(page, f"/sites/{site_id}/multi", kind="single", multi="0") == 303
        token = await page.locator("input[name=csrf]").first.input_value()
        answer = await page.request.put(
            f"/api/v1/sites/{site_id}/multi", data={"multi": False},
            headers={"X-CSRF-Token": token},
        )  # fmt: skip
        assert answer.status in (404, 405, 409, 422)
        assert (await steps.site_of(scene, site_id)).kind is SiteKind.MULTI_SERVICE


async def test_site_07_the_first_device_builds_the_site(tmp_path: Path):
    async with nothing_yet(tmp_path) as scene:
        site_id = await _blank(scene)
        page = await scene.world.signed_in("john", f"/sites/{site_id}")
        uri, password = await steps.service_account(page, site_id, "Service1")
        assert "site blank" in await shows(page, "#state")
        assert "service type undefined" in await shows(page, "#services")
        for absent in ("clients", "new user"):
            assert await page.get_by_role("link", name=absent, exact=True).count() == 0
        device = await scene.world.device(uri, password, version="2.3.1")
        await until_shown(page, "#state", "RTX-5 ( Cold Vision )")  # without a reload
        await until_shown(page, "#services .row .grow", "Service1 ver. 2.3.1")
        await scene.world.picture(page, "site-07")
        text = await shows(page, "main")
        assert "blank" not in text
        assert "undefined" not in text
        await page.get_by_role("link", name="new user", exact=True).wait_for()
        assert device.status is ServiceStatus.ONLINE
        await page.get_by_role("link", name="clients", exact=True).click()
        assert (await shows(page, "h1")).upper().startswith("CLIENT MANAGEMENT")


async def test_site_08_the_parameters_of_a_site_with_roles(tmp_path: Path):
    declared = ("Viewer", "Administrator", "Operator")
    structure = dataclasses.replace(CAMERA, roles=declared, owner_role="Administrator")
    async with nothing_yet(tmp_path) as scene:
        site_id = await _blank(scene)
        page = await scene.world.signed_in("john", f"/sites/{site_id}")
        await _connect_first(scene, page, site_id, structure)
        headings = await page.get_by_role("heading").all_inner_texts()
        for heading in ("SUPPORTED ROLES", "USER DEFAULT ROLE", "USERS", "DENIED USERS"):
            assert heading in [one.upper() for one in headings], heading
        assert await shows(page, "#access .roles") == "Viewer, Administrator, Operator"
        choice = page.get_by_label("User default role")
        assert await choice.input_value() == "0"
        assert await choice.locator("option").all_inner_texts() == ["none", *declared]
        assert await page.locator("#access .default").count() == 0


async def test_site_09_owners_role_comes_from_the_device(tmp_path: Path):
    async with nothing_yet(tmp_path) as scene:
        page = await scene.world.signed_in("john", "/domains")
        site_id = await _blank(scene)
        await _connect_first(scene, page, site_id, CAMERA)
        await until_users(page, "Users", ["Owner ( Administrator )"])
        await until_users(page, "Denied users", ["Guest"])
        site_id = await _blank(scene)
        await _connect_first(scene, page, site_id, NO_OWNER_ROLE)
        await until_users(page, "Users", [])
        await until_users(page, "Denied users", ["Owner", "Guest"])


async def test_site_10_the_parameters_of_a_site_without_roles(tmp_path: Path):
    async with nothing_yet(tmp_path) as scene:
        site_id = await _blank(scene)
        page = await scene.world.signed_in("john", f"/sites/{site_id}")
        await _connect_first(scene, page, site_id, PLAIN)
        assert "Implicit users denied" in await shows(page, "#access")
        assert await page.locator("#access").get_by_role("button").all_inner_texts() == ["allow"]
        await until_users(page, "Denied users", ["Owner", "Guest"])
        await until_users(page, "Explicit users", [])
        assert await page.get_by_role("button", name="add Owner").count() == 1
        headings = [one.upper() for one in await page.get_by_role("heading").all_inner_texts()]
        assert "ACCESS DEFAULTS" in headings
        assert not [one for one in headings if "ROLE" in one]
        await scene.world.picture(page, "site-10")


async def test_site_11_the_version_is_optional(tmp_path: Path):
    async with nothing_yet(tmp_path) as scene:
        site_id = await _blank(scene)
        page = await scene.world.signed_in("john", f"/sites/{site_id}")
        uri, password = await steps.service_account(page, site_id, "Service1")
        device = await scene.world.device(uri, password, version="")
        await until_shown(page, "#services", "online")
        for path in (f"/sites/{site_id}", f"/sites/{site_id}/clients", f"/domains/{scene.domain}"):
            await page.goto(path)
            assert "Service1" in await shows(page, "main")
            assert "ver." not in await shows(page, "main"), path
        await page.evaluate("window.kept = true")
        await scene.world.stop_program(device)
        await scene.world.device(uri, password, version="3.0")
        await until_shown(page, "#sites", "Service1 ver. 3.0")
        assert await page.evaluate("window.kept"), "the page was loaded anew for a mere change"


async def test_site_12_site_key_and_uids(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        world = scene.world
        page = await world.signed_in("john", f"/sites/{scene.site}")
        await page.locator("form[action$='/guests'] button").click()
        address = await page.locator("#guest-page").inner_text()
        shared = await page.locator("#shared-uri").inner_text()
        key = re.fullmatch(r"http://[^/]+/guest\?site=(\w+)", address)[1]
        assert re.fullmatch(r"[a-km-np-z][0-9a-km-np-z]{8}", key)
        assert shared == f"softnet-ms://{key}@{world.host}"
        guest = await world.program(shared, None)
        await until(lambda: guest.status is ClientStatus.ONLINE)
        visitor = await world.page()
        await visitor.goto(address)
        assert "SITE_1" in await shows(visitor, "main")

        def many(tx: Any) -> list[Any]:
            return [sites.add(tx, scene.domain, "", SiteKind.SINGLE_SERVICE) for _ in range(40)]

        made = await world.registry.write(many)
        assert len({site.site_key for site in made} | {key}) == 41
        assert len({site.uid for site in made}) == 40
        admin = await world.signed_in(ADMIN, "/admin/settings")
        assert await command(admin, "/admin/settings", name="key_length", value=12) == 303
        longer = await world.registry.write(lambda tx: sites.add(tx, scene.domain))
        assert re.fullmatch(r"[a-km-np-z][0-9a-km-np-z]{11}", longer.site_key)


async def test_site_20_change_the_description(tmp_path: Path):
    async with markus(tmp_path) as scene:
        system = scene.sites["Surveillance System"]
        program = await steps.program_of(scene, "GuardPost", "Surveillance System")
        breaks = [*map(steps.interruptions, (program, *scene.devices))]
        julia = await scene.world.signed_in("julia", "/contacts")
        await julia.get_by_role("link", name="Markus Schmidt", exact=True).click()
        await julia.get_by_role("link", name="Office Automation").click()
        await julia.get_by_text("Surveillance System").first.wait_for()
        page = await scene.world.signed_in("markus", f"/sites/{system}")
        await page.get_by_role("link", name="description", exact=True).click()
        longest = "Yard & Gate " + "y" * 84
        await page.get_by_label("Description").fill(longest)
        await page.locator("#site-editor").get_by_role("button", name="Save").click()
        await page.get_by_role("heading", name=longest).wait_for()
        assert await command(page, f"/sites/{system}/description", description="d" * 97) == 422
        for path in (f"/sites/{system}", f"/sites/{system}/clients", f"/domains/{scene.domain}",
                     "/domains", f"/sites/{system}/delete"):  # fmt: skip
            await page.goto(path)
            assert longest in await shows(page, "main"), path
            assert "Surveillance System" not in await shows(page, "main"), path
        await until_shown(julia, "main", longest)
        assert breaks == [[]] * 7
        assert program.status is ClientStatus.ONLINE


async def _answer(_: IncomingCall) -> bytes:
    return EMPTY


async def test_site_21_disable_a_site(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        (device,) = scene.devices
        device.offer("Look", _answer)
        program = await steps.program_of(scene, "Alison")
        await until(lambda: any(one.online for one in program.services))
        camera = program.services[0].id
        assert await program.call(camera, "Look") == EMPTY
        page = await scene.world.signed_in("john", f"/sites/{scene.site}")
        await page.get_by_role("link", name="enable / disable").click()
        assert "Site enabled" in await shows(page, "#site-editor")
        assert "disabled" not in await shows(page, "#state")
        await page.get_by_role("button", name="disable", exact=True).click()
        await until_shown(page, "#state .red", "site disabled")
        await until(lambda: device.status == 3)
        await until(lambda: program.status == 3)
        with pytest.raises(RequestRefused):
            await program.call(camera, "Look")
        with pytest.raises(RequestRefused):
            await program.connect_tcp(camera, 554)
        await page.goto(f"/domains/{scene.domain}")
        assert "site disabled" in await shows(page, f"#site-{scene.site}")


async def test_site_22_enable_a_site(tmp_path: Path):
    async with john(tmp_path, cameras=2) as scene:
        program = await steps.program_of(scene, "Alison")
        page = await scene.world.signed_in("john", f"/sites/{scene.site}?edit=status")
        await page.get_by_role("button", name="disable", exact=True).click()
        await until(lambda: program.status is ClientStatus.SITE_DISABLED)
        await until(lambda: all(one.status is ServiceStatus.SITE_DISABLED for one in scene.devices))
        assert "Site disabled" in await shows(page, "#site-editor")
        await page.get_by_role("button", name="enable", exact=True).click()
        await until(lambda: all(one.status is ServiceStatus.ONLINE for one in scene.devices))
        await until(lambda: program.status is ClientStatus.ONLINE)
        await until(lambda: [one.online for one in program.services] == [True, True])
        await until_shown(page, "#site-editor", "Site enabled")
        assert "disabled" not in await shows(page, "#state")


async def test_site_23_delete_a_site(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        program = await steps.program_of(scene, "Alison")
        page = await scene.world.signed_in("john", f"/sites/{scene.site}")
        leave = page.get_by_role("link", name="Delete the site SITE_1")
        await leave.click()
        assert (await shows(page, "h1")).upper() == "DELETE SITE SITE_1"
        assert "1 service and 1 client." in await shows(page, "main")
        await page.get_by_role("link", name="Cancel").click()
        await page.wait_for_url(f"**/sites/{scene.site}")
        await scene.client_of("Owner")
        await scene.world.registry.write(lambda tx: services.add(tx, scene.site, ""))
        await leave.click()
        await scene.world.picture(page, "site-23")
        assert "2 services and 2 clients." in await shows(page, "main")
        assert program.status is ClientStatus.ONLINE
        await page.get_by_role("button", name="Delete", exact=True).click()
        await page.get_by_text("No sites yet.").wait_for()
        assert page.url.split("?")[0].endswith(f"/domains/{scene.domain}")
        left = ("site", "service", "client", "role")
        assert [await steps.count(scene, name) for name in left] == [0] * 4
        await until(lambda: gone(scene.devices[0], steps.NO_SERVICE))
        await until(lambda: gone(program, steps.NO_CLIENT))


async def test_site_24_the_page_follows_the_structure(tmp_path: Path):
    async with nothing_yet(tmp_path) as scene:
        page = await scene.world.signed_in("john", "/domains")
        await scene.world.person("Mary Somerville", "mary")
        for kind, structure, services_are, users_are, access in (
            (SiteKind.SINGLE_SERVICE, CAMERA, "SERVICE", "USERS", "SUPPORTED ROLES"),
            (SiteKind.SINGLE_SERVICE, PLAIN, "SERVICE", "EXPLICIT USERS", "ACCESS DEFAULTS"),
            (SiteKind.MULTI_SERVICE, CAMERA, "LIST OF SERVICES", "USERS", "SUPPORTED ROLES"),
            (SiteKind.MULTI_SERVICE, PLAIN, "LIST OF SERVICES", "EXPLICIT USERS",
             "ACCESS DEFAULTS"),
        ):  # fmt: skip
            site_id = await scene.add_site(f"Site {kind} {structure.service_type}", kind,
                                           structure, "Gate")  # fmt: skip
            # What the address asks for and this kind of site does not have is not shown.
            await page.goto(f"/sites/{site_id}?user={scene.users['Owner']}&edit=hosting")
            assert await page.locator("#users input[type=checkbox]").count() == (
                3 if structure.role_based else 0
            )
            assert await page.get_by_role("button", name="set as multi").count() == 0
            assert await shows(page, "#services h2") == services_are
            assert await page.locator("#users h2").first.inner_text() == users_are
            assert await page.locator("#access h2").first.inner_text() == access
            assert await page.locator("#new-service").count() == (
                1 if kind is SiteKind.MULTI_SERVICE else 0
            )
        # A site that is gone, or somebody else's: no page of the wrong site, a way back.
        somebody = await scene.world.signed_in("mary", "/domains")
        assert (await somebody.goto(f"/sites/{site_id}")).status == 404
        await page.goto(f"/sites/{site_id}/delete")
        await page.get_by_role("button", name="Delete", exact=True).click()
        await page.wait_for_url(f"**/domains/{scene.domain}*")
        assert (await page.goto(f"/sites/{site_id}")).status == 404
        await page.locator("main").get_by_role("link").click()
        await page.get_by_role("link", name="Domains", exact=True).click()
        await page.get_by_role("link", name="Home Surveillance").click()
        await page.wait_for_url(f"**/domains/{scene.domain}")
