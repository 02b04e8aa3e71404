"""The first seed page as a story: John, his four cameras and Alison, from an empty box on."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.model.kinds import ClientStatus, SiteKind
from tests.features.journey import (
    Story,
    claim,
    first_camera,
    give_roles,
    heading,
    new_domain,
    new_site,
    next_camera,
    private_user,
)
from tests.features.views import (
    KEY,
    add_client,
    block,
    connect,
    generate_password,
    hosts,
    lines_of,
    mark_of,
    may,
    offer_operations,
    row,
    text_of,
)
from tests.features.world import CAMERA, open_world

CONTROL = "Surveillance Control. V: 2.1.2"
VERSIONS = {"Camera 1": "2.3.1", "Camera 2": "2.3.3", "Camera 3": "2.3.3", "Camera 4": "2.3.2"}


@pytest.mark.timeout_s(180)
async def test_the_owner_with_four_cameras_and_one_family_member(tmp_path: Path):
    async with open_world(tmp_path, claimed=False) as world:
        story = Story("owner", world)
        page = await claim(story, "John", "john")
        await story.picture(page, "the-box-is-johns")

        # 3.1 and 3.2: a domain, and a site for several devices
        await new_domain(page, "Home Surveillance")
        await story.picture(page, "a-domain")
        await new_site(page, "Home Surveillance", "", SiteKind.SINGLE_SERVICE)
        assert await heading(page) == "SITE CONFIGURATION SITE_1"
        await page.get_by_role("link", name="multi-service hosting").click()
        await story.picture(page, "multi-service-hosting")
        await page.get_by_role("button", name="set as multi-service site").click()
        await page.get_by_role("heading", name="List of services").wait_for()

        # 3.3: four devices, each with URI and password read off the page
        devices = [await first_camera(world, page, "Camera 1", CAMERA, "2.3.1")]
        await page.get_by_role("link", name="clients", exact=True).wait_for()
        await story.picture(page, "the-first-camera-built-the-site")
        devices += [
            await next_camera(world, page, name, CAMERA, VERSIONS[name])
            for name in ("Camera 2", "Camera 3", "Camera 4")
        ]
        offer_operations(devices)
        await page.get_by_role("link", name="refresh", exact=True).click()
        site = page.url
        assert await lines_of(page.locator("#services")) == [
            f"» {name} ver. {version} online" for name, version in VERSIONS.items()
        ]
        await story.picture(page, "four-cameras-online")

        # 3.4: Alison and her rights
        await page.get_by_role("link", name="new user").click()
        await story.picture(page, "new-user")
        await page.get_by_role("link", name="back", exact=True).click()
        await private_user(page, "Alison")
        await give_roles(page, "Alison", "User")
        users = page.get_by_label("Users", exact=True)
        assert (await text_of(users)).startswith(
            "USERS new user » Owner ( Administrator ) » Alison ( User ) DENIED USERS"
        )
        await story.picture(page, "access-rights")

        # 3.5: CLIENT MANAGEMENT
        await page.get_by_role("link", name="clients", exact=True).click()
        assert await heading(page) == "CLIENT MANAGEMENT SITE_1"
        await story.picture(page, "client-management")
        uri = await add_client(page, "Owner")
        await story.picture(page, "a-client-for-owner")
        owners = await generate_password(page)
        assert owners.uri == uri == f"softnet-m://{owners.key}@{world.host}"
        assert KEY.match(owners.key)
        await story.picture(page, "its-password")
        await page.get_by_role("link", name="ok", exact=True).click()
        await page.get_by_role("link", name=f"Close client {owners.key}").click()
        control = await connect(world, owners, CONTROL)
        line = row(block(page, "Owner"), owners.key)
        await line.get_by_text(CONTROL).wait_for()
        assert await text_of(line) == f"{owners.key} {CONTROL} online"
        await story.picture(page, "owners-client-online")
        uri = await add_client(page, "Alison")
        assert await mark_of(line) == "»"
        await story.picture(page, "a-client-for-alison")
        hers = await generate_password(page)
        assert hers.uri == uri == f"softnet-m://{hers.key}@{world.host}"
        await story.picture(page, "alisons-password")
        await page.get_by_role("link", name="ok", exact=True).click()
        await page.get_by_role("link", name=f"Close client {hers.key}").click()
        second = await connect(world, hers, CONTROL)
        for user, account in (("Owner", owners), ("Alison", hers)):
            line = row(block(page, user), account.key)
            await line.get_by_text(CONTROL).wait_for()
            await line.get_by_text("online", exact=True).wait_for()
            assert await text_of(line) == f"{account.key} {CONTROL} online"
            assert await mark_of(line) == "»"
        await story.picture(page, "both-clients-online")

        # Each interacts with all cameras in accordance with the role of its user.
        for program, role, operations in (
            (control, "Administrator", ["Reboot"]), (second, "User", ["Look"]),
        ):  # fmt: skip
            seen = await hosts(program, 4)
            assert list(seen) == list(VERSIONS)
            assert program.user.roles == (role,)
            for service_id in seen.values():
                assert await may(program, service_id) == operations
        assert control.status is second.status is ClientStatus.ONLINE
        await page.goto(site)
        await story.picture(page, "site-configuration-at-the-end")
