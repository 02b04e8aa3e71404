"""Section E: what a site says of a device that does not fit, and how it is made to fit."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from gateway.model.kinds import ClientStatus, ServiceStatus
from tests.features import steps
from tests.features.scenes import CAMERAS, Scene, john
from tests.features.steps import (
    command,
    service_row,
    shows,
    until_row,
    until_shown,
)
from tests.features.world import CAMERA, until

RENAMED = dataclasses.replace(
    CAMERA, roles=("administrator", "Operator", "User"), owner_role="administrator"
)
"""Cold Vision's camera with one role renamed by case only."""
OTHER = dataclasses.replace(CAMERA, service_type="RTX-9")
"""A device of another type."""


async def test_svc_12_service_type_undefined(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        page = await scene.world.signed_in("john", f"/sites/{scene.site}")
        await steps.add_service(page, scene.site, "Fresh")
        found = await steps.service_ids(scene, scene.site)
        red = page.locator(f"#service-{found['Fresh']} > .row .red")
        assert await red.inner_text() == "service type undefined"
        used = page.locator(f"#service-{found['Entrance']} > .row .red")
        assert await used.inner_text() == ""
        # A password alone is no use of it.
        await steps.service_account(page, scene.site, "Fresh")
        assert await red.inner_text() == "service type undefined"


async def _fault(
    scene: Scene, structure: Any, version: str
) -> tuple[Any, Any, Any, dict[str, int]]:
    """Connect a device that does not fit; return it, Alison's program, the page, the services."""
    program = await steps.program_of(scene, "Alison")
    page = await scene.world.signed_in("john", f"/sites/{scene.site}")
    breaks = [*map(steps.interruptions, (program, *scene.devices))]
    device = await steps.newcomer(scene, page, "Newcomer", structure, version)
    assert breaks == [[]] * len(breaks)  # nobody else was disturbed
    assert program.status is ClientStatus.ONLINE
    return device, program, page, await steps.service_ids(scene, scene.site)


async def test_svc_13_service_type_conflict(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        device, _, page, found = await _fault(scene, OTHER, "4.0")
        await until_row(
            page, found["Newcomer"],
            "Newcomer RTX-9 ( Cold Vision ) ver. 4.0 service type conflict",
        )  # fmt: skip
        await scene.world.picture(page, "svc-13")
        red = page.locator(f"#service-{found['Newcomer']} > .row .red")
        assert await red.inner_text() == "service type conflict"
        assert device.status == 6
        assert scene.devices[0].status is ServiceStatus.ONLINE
        assert await service_row(page, found["Entrance"]) == "Entrance ver. 1.0"


async def test_svc_14_site_structure_mismatch(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        device, _, page, found = await _fault(scene, RENAMED, "4.1")
        await until_row(page, found["Newcomer"], "Newcomer ver. 4.1 site structure mismatch")
        red = page.locator(f"#service-{found['Newcomer']} > .row .red")
        assert await red.inner_text() == "site structure mismatch"
        assert device.status == 5


async def test_svc_15_normal_status(tmp_path: Path):
    async with john(tmp_path) as scene:
        page = await scene.world.signed_in("john", f"/sites/{scene.site}")
        found = await steps.service_ids(scene, scene.site)
        assert [*found] == [*CAMERAS]
        for name, service_id in found.items():
            assert await service_row(page, service_id) == f"{name} ver. 1.0"
            assert await page.locator(f"#service-{service_id} .red").inner_text() == ""
        await page.goto(f"/sites/{scene.site}/clients")
        assert (
            await page.locator("main .red").all_inner_texts()
            == [""] * await page.locator("main .red").count()
        )


async def _apply(page: Any, site_id: int, hostname: str) -> None:
    """Apply the structure of a service to its site, on the page."""
    await page.goto(f"/sites/{site_id}")
    await page.get_by_role("link", name=f"Open {hostname}").click()
    await page.get_by_role("link", name="structure", exact=True).click()
    await page.get_by_role("button", name="apply structure to the site").click()
    await page.get_by_text("The structure was applied to the site.").wait_for()


async def test_svc_16_apply_structure(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        program = await steps.program_of(scene, "Alison")
        page = await scene.world.signed_in("john", f"/sites/{scene.site}")
        device = await steps.newcomer(scene, page, "Newcomer", RENAMED, "4.1")
        assert device.status is ServiceStatus.SITE_STRUCTURE_MISMATCH
        breaks = [*map(steps.interruptions, (device, program, *scene.devices))]
        await _apply(page, scene.site, "Newcomer")
        found = await steps.service_ids(scene, scene.site)
        await until(lambda: device.status is ServiceStatus.ONLINE)  # by itself
        await until_row(page, found["Newcomer"], "Newcomer ver. 4.1")
        assert await shows(page, "#access .roles") == "administrator, Operator, User"
        await until(lambda: all(breaks))  # every endpoint connected anew
        await until(lambda: program.status is ClientStatus.ONLINE)
        await until(lambda: scene.devices[0].status == 5)
        await until(lambda: [one.online for one in program.services] == [False, True])


async def test_svc_17_apply_and_the_others(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        page = await scene.world.signed_in("john", f"/sites/{scene.site}")
        uri, password = await steps.client_account(page, scene.site, "Alison")
        program = await scene.world.program(uri, password)
        await until(lambda: program.status is ClientStatus.ONLINE)
        found = await steps.service_ids(scene, scene.site)

        same_type = await steps.newcomer(scene, page, "Renamed", RENAMED, "4.1")
        await _apply(page, scene.site, "Renamed")
        await until_row(page, found["Entrance"], "Entrance ver. 1.0 site structure mismatch")
        await until(lambda: scene.devices[0].status == 5)
        await until(lambda: program.status is ClientStatus.ONLINE)

        other = await steps.newcomer(scene, page, "Foreign", OTHER, "5.0")
        await _apply(page, scene.site, "Foreign")
        await until(lambda: other.status is ServiceStatus.ONLINE)
        conflict = "RTX-5 ( Cold Vision ) ver. {} service type conflict"
        found = await steps.service_ids(scene, scene.site)
        await until_row(page, found["Entrance"], f"Entrance {conflict.format('1.0')}")
        await until_row(page, found["Renamed"], f"Renamed {conflict.format('4.1')}")
        assert await service_row(page, found["Foreign"]) == "Foreign ver. 5.0"
        await until(lambda: scene.devices[0].status == 6)
        await until(lambda: same_type.status == 6)
        await until(lambda: program.status == 5)
        # Rights went with the old type; given again, the client's own type is red in its row.
        await scene.give("Alison", "SITE_1", "User")
        await page.goto(f"/sites/{scene.site}/clients")
        await until_shown(page, "#clients", "RTX-5 ( Cold Vision )")
        await scene.world.picture(page, "svc-17")
        assert "RTX-5 ( Cold Vision )" in " ".join(
            await page.locator("#clients .red").all_inner_texts()
        )
        assert program.status == 5


async def test_svc_18_combined_status(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        page = await scene.world.signed_in("john", f"/sites/{scene.site}")
        device = await steps.newcomer(scene, page, "Newcomer", OTHER, "4.0")
        found = await steps.service_ids(scene, scene.site)
        await page.get_by_role("link", name="enable / disable").nth(0).click()
        await page.locator("#services").get_by_role("button", name="disable", exact=True).click()
        red = page.locator(f"#service-{found['Newcomer']} > .row .red")
        await until_shown(page, f"#service-{found['Newcomer']} > .row", "disabled")
        assert await red.inner_text() == "service type conflict; disabled"
        await steps.add_service(page, scene.site, "Fresh")
        fresh = (await steps.service_ids(scene, scene.site))["Fresh"]
        send = f"/sites/{scene.site}/services/{fresh}/enabled"
        assert await command(page, send, enabled=0) == 303
        await until_shown(page, f"#service-{fresh} .row", "service type undefined; disabled")
        assert device.status is ServiceStatus.SERVICE_TYPE_CONFLICT
