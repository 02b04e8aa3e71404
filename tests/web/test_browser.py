"""The first stories in a real browser: claim, sign in, add a user, a client, its password."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from gateway.model.kinds import UserKind
from gateway.registry import clients, members, services, structure
from gateway.wire.structure import structure_hash
from tests.web import chromium
from tests.web.callers import PASSWORD
from tests.web.chromium import browser_page, look_over
from tests.web.rig import CAMERA_PASSWORD, CONTRACT, Found, Rig, Watching, build_structure, open_rig

pytestmark = chromium.needed

HOSTILE = "<img src=x onerror=alert(1)>"


async def _set_up(page: Any, rig: Rig) -> None:
    await page.goto(rig.url)
    assert page.url.endswith("/setup")
    await page.get_by_label("Setup code").fill(rig.code)
    await page.get_by_label("Your name").fill("Markus Schmidt")
    await page.get_by_label("Account name").fill("markus")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Make it mine").click()
    await page.wait_for_url("**/cameras")


@pytest.mark.timeout_s(120)
async def test_from_the_box_to_the_password_of_a_client(tmp_path: Path):
    async with open_rig(tmp_path) as rig, browser_page() as page:
        await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        await page.goto(rig.url)
        await page.get_by_label("Setup code").fill("AAAA-AAAA")
        await page.get_by_label("Your name").fill("Markus Schmidt")
        await page.get_by_label("Account name").fill("markus")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Make it mine").click()
        await page.get_by_text("This is not the setup code.").wait_for()
        assert await page.get_by_label("Your name").input_value() == "Markus Schmidt"
        assert await page.get_by_label("Setup code").get_attribute("aria-invalid") == "true"
        await _set_up(page, rig)
        await page.get_by_role("button", name="Log Out").click()
        await page.get_by_label("Account name").fill("markus")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Log In").click()
        await page.wait_for_url("**/home")

        await rig.registry.write(lambda tx: build_structure(tx, 1))
        await page.get_by_role("link", name="Domains", exact=True).click()
        await page.get_by_role("link", name="My Cameras").click()
        await page.get_by_role("link", name="new user").click()
        await page.get_by_label("Name of a private user").fill("Alison")
        await page.get_by_role("button", name="Create the private user").click()
        await page.get_by_text("The user was added.").wait_for()
        await page.get_by_role("link", name="config").click()
        await page.get_by_text("Denied users").wait_for()
        await page.get_by_role("link", name="Roles of Alison").click()
        await page.get_by_label("User", exact=True).check()
        await page.locator(".open").get_by_role("button", name="Save").click()
        await page.get_by_text("Alison ( User )").wait_for()

        await page.get_by_role("link", name="clients", exact=True).click()
        await page.get_by_role("button", name="add client for Alison").click()
        client = await rig.registry.read(lambda reader: clients.list_for(reader, 1)[0])
        await page.get_by_text(f"softnet-m://{client.key}@gateway.example").wait_for()
        await page.get_by_role("button", name="generate password").click()
        password = await page.locator("#shown-password").inner_text()
        assert len(password) == 16
        assert await page.locator("#shown-uri").inner_text() == client.uri("gateway.example")
        assert await page.locator("svg.qr").is_visible()
        assert await _copied(page, "Copy the password") == password
        assert await _copied(page, "Copy the URI") == client.uri("gateway.example")
        await page.get_by_role("link", name="ok", exact=True).click()
        await page.get_by_role("button", name="generate password").wait_for()
        assert password not in await page.content()
        for again in (page.go_back, page.reload):  # the way back is no way either
            await again()
            await page.get_by_role("button", name="generate password").wait_for()
            assert password not in await page.content()
        await page.goto(f"{rig.url}/sites/1/clients")

        # The program connects: seen without a reload.
        await page.locator("html[data-live]").wait_for()
        await rig.registry.write(
            lambda tx: clients.store_description(
                tx, client.id, CONTRACT.service_type, CONTRACT.contract_author,
                "Surveillance Control. V: 2.1.2",
            )
        )  # fmt: skip
        rig.live.client_online(1, client.id)
        row = page.get_by_role("listitem").filter(has_text=client.key)
        await row.get_by_text("Surveillance Control. V: 2.1.2").wait_for()
        await row.get_by_text("online").wait_for()
        assert page.complaints == []


async def _copied(page: Any, button: str) -> str:
    """Press a copy button and return what a paste would give."""
    await page.get_by_role("button", name=button).click()
    await page.get_by_role("button", name="Copied").wait_for()
    text = await page.evaluate("navigator.clipboard.readText()")
    await page.get_by_role("button", name=button).wait_for()
    return str(text)


@pytest.mark.timeout_s(120)
async def test_copying_works_without_https(tmp_path: Path):
    """Browsers keep the clipboard from pages without HTTPS; there is the old way."""
    async with open_rig(tmp_path) as rig, browser_page() as page:
        await page.add_init_script(
            "Object.defineProperty(navigator, 'clipboard', {value: undefined})"
        )
        await _set_up(page, rig)
        await rig.registry.write(lambda tx: build_structure(tx, 1))
        client = await rig.registry.write(lambda tx: clients.add(tx, 1, 1, 1))
        await page.goto(f"{rig.url}/sites/1/clients?open={client.id}")
        await page.get_by_role("button", name="Copy the URI").click()
        await page.get_by_role("button", name="Copied").wait_for()
        chosen = await page.evaluate("getSelection().toString()")
        assert chosen == client.uri("gateway.example")
        assert page.complaints == []


@pytest.mark.timeout_s(120)
async def test_a_camera_is_found_looked_at_and_added(tmp_path: Path):
    async with open_rig(tmp_path) as rig, browser_page() as page:
        await _set_up(page, rig)
        await page.get_by_text("No cameras yet").wait_for()
        await page.locator("html[data-live]").wait_for()
        rig.cameras.here = [Found("serial:1", HOSTILE, HOSTILE, "Dome 4")]
        rig.cameras.changed()
        await page.get_by_role("heading", name=HOSTILE).wait_for()
        await page.get_by_role("link", name=f"Add {HOSTILE}").click()
        await page.get_by_label("User name of the camera").fill("admin")
        await page.get_by_label("Password of the camera").fill("wrong")
        await page.get_by_role("button", name="Show me the picture").click()
        await page.get_by_text("The camera refused the user name or the password.").wait_for()
        assert await page.get_by_label("User name of the camera").input_value() == "admin"
        await page.get_by_label("Password of the camera").fill(CAMERA_PASSWORD)
        await page.get_by_role("button", name="Show me the picture").click()
        shown = page.get_by_role("img", name="What the camera sees now")
        await shown.wait_for()
        assert await shown.evaluate("image => image.naturalWidth") > 0
        await page.get_by_label("Name").fill("Front door")
        await page.get_by_role("button", name="Add camera").click()
        await page.get_by_text("The camera was added.").wait_for()
        await page.get_by_role("link", name="Front door").click()
        await page.get_by_text("Forget this camera").click()
        await page.get_by_role("link", name="Cancel").click()
        await page.get_by_text("Forget this camera").click()
        await page.get_by_role("button", name="Forget it").click()
        await page.get_by_text("The camera was forgotten.").wait_for()
        assert rig.cameras.cameras == {}
        assert page.complaints == []


@pytest.mark.timeout_s(120)
async def test_it_works_without_scripts(tmp_path: Path):
    async with open_rig(tmp_path) as rig, browser_page(java_script_enabled=False) as page:
        await _set_up(page, rig)
        await rig.registry.write(lambda tx: build_structure(tx, 1))
        await page.goto(f"{rig.url}/sites/1/clients")
        await page.get_by_role("button", name="add client for Owner").click()
        await page.get_by_role("button", name="generate password").click()
        assert len(await page.locator("#shown-password").inner_text()) == 16
        await page.get_by_role("link", name="ok", exact=True).click()
        await page.get_by_role("button", name=re.compile("^Delete ")).click()
        await page.get_by_text("The client was deleted.").wait_for()


@pytest.mark.timeout_s(120)
async def test_typing_is_not_disturbed_by_what_changes(tmp_path: Path):
    async with open_rig(tmp_path) as rig, browser_page() as page:
        await _set_up(page, rig)
        await rig.registry.write(lambda tx: build_structure(tx, 1))
        await page.goto(f"{rig.url}/sites/1?service=1&tab=hostname")
        await page.locator("html[data-live]").wait_for()
        field = page.get_by_label("Hostname", exact=True)
        await field.fill("Half a na")
        await rig.registry.write(lambda tx: members.add_user(tx, 1, UserKind.PRIVATE, "Alison"))
        await page.get_by_text("Alison").wait_for()
        assert await field.input_value() == "Half a na"
        assert page.complaints == []


async def _furnished(rig: Rig) -> int:
    """Fill the box with what every page can show; return a client to be opened."""
    for number, (name, state, why) in enumerate((
        ("Front door", "online", ""), ("Parking north", "offline", "The camera does not answer."),
        ("Loading ramp", "refused", "The camera refused the user name or the password."),
    )):  # fmt: skip
        device = await rig.cameras.adopt(1, 1, f"serial:{number}", None, name)
        kept = rig.cameras.cameras[device]
        rig.cameras.cameras[device] = type(kept)(
            device, 1, kept.service_id, name, state=state, reason=why, viewers=number
        )

    def within(tx: Any) -> int:
        found = services.list_for(tx, 1)
        for service in found:
            structure.store_for_service(tx, service.id, CONTRACT, "1.2", structure_hash(CONTRACT))
        structure.build(tx, 1, found[0].id)
        guard = members.add_user(tx, 1, UserKind.PRIVATE, "Night guard", dedicated=True)
        members.add_user(tx, 1, UserKind.PRIVATE, "Robert")
        members.set_roles(tx, 1, guard.id, [members.list_roles(tx, 1)[1].id])
        wrong = clients.add(tx, 1, guard.id, 1)
        clients.store_description(tx, wrong.id, "RTX-5", "Cold Vision", "Old program")
        return clients.add(tx, 1, guard.id, 1).id

    client = await rig.registry.write(within)
    rig.live.client_online(1, client)
    rig.cameras.here = [Found("serial:9", "", "Acme", "Dome 4"), Found("x", "Twin", conflict=True)]
    rig.cameras.watched = {"1": Watching("1", 1, "Front door")}
    return client


@pytest.mark.timeout_s(300)
async def test_every_page_for_every_eye(tmp_path: Path):
    """Pictures of every page; nothing too wide for a phone; axe finds nothing serious."""
    axe = chromium.axe_source()
    async with open_rig(tmp_path) as rig, browser_page() as page:
        wrong: list[str] = []
        await page.goto(rig.url)
        wrong += await look_over(page, "setup", axe)
        await _set_up(page, rig)
        wrong += await look_over(page, "cameras-empty", axe)
        client = await _furnished(rig)
        guard = await rig.registry.read(lambda reader: members.list_users(reader, 1)[1].id)
        for name, path in (
            ("cameras", "/cameras"), ("camera", "/cameras/1"), ("camera-add", "/cameras/add"),
            ("domains", "/domains"), ("domain", f"/domains/1?user={guard}"),
            ("site", f"/sites/1?user={guard}"), ("service", "/sites/1?service=1"),
            ("domain-list", "/domains/1"), ("domains-edit", "/domains?edit=1&domain=1"),
            ("user-new", "/domains/1/users/new?site=1"), ("site-delete", "/sites/1/delete"),
            ("clients", "/sites/1/clients"), ("client", f"/sites/1/clients?open={client}"),
            ("ping-period", f"/sites/1/clients?open={client}&tab=ping"), ("sessions", "/sessions"),
            ("audit", "/audit"), ("account", "/account"), ("problem", "/nothing"),
        ):  # fmt: skip
            await page.goto(rig.url + path)
            wrong += await look_over(page, name, axe)
        await page.goto(f"{rig.url}/sites/1/clients?open={client}")
        await page.get_by_role("button", name="generate password").click()
        wrong += await look_over(page, "client-password", axe)
        await page.goto(f"{rig.url}/domains/1?user={guard}")
        await page.locator("#delete-user summary").click()
        await page.get_by_text("The user goes with 2 clients.").wait_for()
        wrong += await look_over(page, "question", axe)
        await page.context.clear_cookies()
        await page.goto(rig.url)
        wrong += await look_over(page, "sign-in", axe)
        assert not wrong, "\n".join(wrong)
        assert page.complaints == []
    if not axe:
        pytest.skip("pages were looked over, but not by axe: axe-playwright-python is missing")
