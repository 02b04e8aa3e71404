"""The second seed page as a story: Markus shares his office's devices, Julia consumes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.model.kinds import SiteKind
from tests.features.journey import (
    Story,
    claim,
    first_camera,
    give_roles,
    heading,
    new_domain,
    new_site,
    next_camera,
    only_device,
    private_user,
)
from tests.features.views import (
    KEY,
    add_client,
    block,
    connect,
    generate_password,
    hosts,
    mark_of,
    may,
    offer_operations,
    row,
    text_of,
)
from tests.features.world import CAMERA, PASSWORD, PLAIN, World, open_world

SYSTEM = "Surveillance System"
REMOTE = "Cold Vision Remote Control. V: 2.1.1"
CAMERAS = {"Entrance": "2.3.1", "Hall": "2.3.3", "Office": "2.3.3", "Storage": "2.3.2"}


@pytest.mark.timeout_s(240)
async def test_the_device_owner_and_the_contact_who_consumes(tmp_path: Path):
    async with open_world(tmp_path, claimed=False) as world:
        story = Story("contact", world)
        markus = await claim(story, "Markus Schmidt", "markus")
        devices = await _office(world, markus)
        await story.picture(markus, "the-office-of-markus")

        # 1.2: Markus runs the box, so he invites Julia to have an account on it.
        await markus.get_by_role("link", name="Admin", exact=True).click()
        await markus.get_by_role("link", name="Invitations", exact=True).click()
        await markus.locator("#new-invitation").get_by_label("Text (optional)").fill("For Julia")
        await markus.locator("#new-invitation").get_by_label("The new account").check()
        await markus.get_by_role("button", name="Create invitation").click()
        link = await markus.locator("code[id^=link-]").inner_text()
        await story.picture(markus, "an-invitation-to-register")
        julia = await world.page()
        await julia.goto(link)
        await julia.get_by_label("Your name").fill("Julia Robinson")
        await julia.get_by_label("Account name").fill("julia")
        await julia.get_by_label("Password").fill(PASSWORD)
        await story.picture(julia, "julia-signs-up")
        await julia.locator("#link").get_by_role("button").click()
        await julia.get_by_text("The account was created.").wait_for()
        await julia.get_by_label("Account name").fill("julia")
        await julia.get_by_label("Password").fill(PASSWORD)
        await julia.get_by_role("button", name="Log In").click()
        await julia.get_by_role("button", name="Log Out").wait_for()
        await story.picture(julia, "julia-is-in")

        # 8.2 and 8.3: they become contacts.
        await markus.get_by_role("link", name="Contacts", exact=True).click()
        await markus.get_by_role("link", name="new invitation").click()
        await markus.get_by_role("button", name="Julia Robinson", exact=True).click()
        await markus.get_by_role("status").filter(has_text="invitation").wait_for()
        await story.picture(markus, "the-invitation-is-sent")
        await julia.get_by_role("link", name="Invitations: 1").wait_for()
        await julia.get_by_role("link", name="Invitations: 1").click()
        await story.picture(julia, "invitations-received")
        await julia.get_by_role("button", name="accept").click()
        await julia.get_by_text("You are contacts now.").wait_for()

        await _share(story, markus)

        # 10.2: Julia's way to the devices, one picture after the other.
        await julia.get_by_role("link", name="Contacts", exact=True).click()
        await julia.get_by_role("link", name="Markus Schmidt", exact=True).click()
        assert await heading(julia) == "CONTACT Markus Schmidt"
        await story.picture(julia, "the-contact-page")
        theirs = julia.get_by_label("Contact domains", exact=True)
        await theirs.get_by_role("link", name="Office Automation").click()
        assert await heading(julia) == "CONTACT DOMAIN Office Automation"
        shown = await julia.locator("section h2").all_inner_texts()
        assert sorted(name.upper() for name in shown) == ["ALARM SYSTEM", SYSTEM.upper()]
        await story.picture(julia, "the-contact-domain")
        uri = await add_client(julia, "Robinson", SYSTEM)
        await story.picture(julia, "a-new-client-entity")
        account = await generate_password(julia)
        assert account.uri == uri == f"softnet-m://{account.key}@{world.host}"
        assert KEY.match(account.key)
        await story.picture(julia, "its-account-data")
        await julia.get_by_role("link", name="ok", exact=True).click()
        await julia.get_by_role("link", name=f"Close client {account.key}").click()
        program = await connect(world, account, REMOTE)
        line = row(block(julia.get_by_label(SYSTEM, exact=True), "Robinson"), account.key)
        await line.get_by_text(REMOTE).wait_for()
        await line.get_by_text("online", exact=True).wait_for()
        assert await mark_of(line) == "»"
        await story.picture(julia, "julias-client-online")
        seen = await hosts(program, 4)
        assert set(seen) == set(CAMERAS)
        for service_id in seen.values():
            assert await may(program, service_id) == ["Look"]
        assert len(devices) == 6

        # The last picture: how this client appears in the account of Markus.
        await markus.get_by_role("link", name="clients", exact=True).click()
        place = block(markus, "Robinson")
        assert await text_of(place) == (
            f"Robinson <Julia Robinson> ( User ) {account.key} {REMOTE} online"
        )
        assert await mark_of(place.get_by_role("listitem")) == "▪"
        assert await place.locator("a, button").count() == 0
        assert await block(markus, "GuardPost").get_by_text("P: 30").is_visible()
        await story.picture(markus, "the-owners-view")


async def _office(world: World, page: Any) -> list[Any]:
    """Make Office Automation with its three sites and six devices; stay at the cameras' site."""
    await new_domain(page, "Office Automation")
    devices = []
    for description, structure in (("Alarm System", PLAIN), ("Smart Thermostat", CAMERA)):
        await new_site(page, "Office Automation", description, SiteKind.SINGLE_SERVICE)
        devices.append(await only_device(world, page, structure))
    await new_site(page, "Office Automation", SYSTEM, SiteKind.MULTI_SERVICE)
    (first, version), *others = CAMERAS.items()
    cameras = [await first_camera(world, page, first, CAMERA, version)]
    for name, version in others:
        cameras.append(await next_camera(world, page, name, CAMERA, version))
    offer_operations(cameras)
    await page.get_by_role("link", name="refresh", exact=True).click()
    await private_user(page, "GuardPost")
    await give_roles(page, "GuardPost", "Operator")
    await page.get_by_role("link", name="clients", exact=True).click()
    await add_client(page, "GuardPost")
    await page.get_by_role("link", name="ping period").click()
    await page.get_by_label("Ping period, sec.").fill("30")
    await page.get_by_role("button", name="Save").click()
    await page.get_by_text("P: 30").wait_for()
    await page.get_by_role("link", name="config", exact=True).click()
    return devices + cameras


async def _share(story: Story, page: Any) -> None:
    """8.4: a Contact user for Julia, the default role for the cameras, access to the alarm."""
    await page.get_by_role("navigation", name="Main").get_by_role("link", name="Domains").click()
    await page.get_by_role("link", name=SYSTEM, exact=True).click()
    await page.get_by_label("User default role", exact=True).select_option("User")
    await page.get_by_text("Saved.").wait_for()
    await page.get_by_role("link", name="new user").click()
    await page.get_by_label("Contact", exact=True).select_option("Julia Robinson")
    await page.get_by_label("User name").fill("Robinson")
    await page.locator("#contact-user").get_by_label("Dedicated").uncheck()
    await story.picture(page, "a-contact-user")
    await page.get_by_role("button", name="Create the contact user").click()
    line = page.locator("#users").get_by_role("listitem").filter(has_text="Robinson")
    await line.get_by_text("( User )").wait_for()
    await story.picture(page, "the-cameras-are-shared")
    await page.get_by_role("navigation", name="Main").get_by_role("link", name="Domains").click()
    await page.get_by_role("link", name="Alarm System", exact=True).click()
    await page.get_by_role("button", name="add Robinson").click()
    await page.get_by_role("button", name="rem Robinson").wait_for()
    await story.picture(page, "the-alarm-is-shared")
    await page.get_by_role("navigation", name="Main").get_by_role("link", name="Domains").click()
    await page.get_by_role("link", name=SYSTEM, exact=True).click()
