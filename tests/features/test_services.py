"""Section E: the services of a site and the devices behind them (guide 3.3, 6.4, 7.4)."""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import Any

from gateway.endpoint.calls import IncomingCall
from gateway.model.kinds import ClientStatus, ServiceStatus, SiteKind
from gateway.registry import services
from tests.features import steps
from tests.features.scenes import john, nothing_yet
from tests.features.steps import (
    command,
    gone,
    service_row,
    shows,
    until_reads,
    until_row,
)
from tests.features.world import ADMIN, CAMERA, PLAIN, until


async def test_svc_01_the_account_of_a_service(tmp_path: Path):
    async with nothing_yet(tmp_path) as scene:
        page = await scene.world.signed_in("john", f"/domains/{scene.domain}")
        await page.locator("#new-site").get_by_role("button", name="Create").click()
        await page.get_by_role("link", name="account", exact=True).click()
        before = await page.locator("#services code").inner_text()
        found = re.fullmatch(r"softnet-srv://([0-9a-f-]{36})@(.+)", before)
        assert str(uuid.UUID(found[1])) == found[1]
        assert found[2] == scene.world.host
        uri, _ = await steps.generate(page)
        assert uri == before
        await page.get_by_role("link", name="ok", exact=True).click()
        await page.get_by_role("button", name="generate password").wait_for()
        assert await page.locator("#services code").inner_text() == before


async def test_svc_02_the_password_is_shown_once(tmp_path: Path):
    async with nothing_yet(tmp_path) as scene:
        page = await scene.world.signed_in("john", f"/domains/{scene.domain}")
        await page.locator("#new-site").get_by_role("button", name="Create").click()
        await page.get_by_role("link", name="account", exact=True).click()
        uri, first = await steps.generate(page)
        await scene.world.picture(page, "svc-02")
        assert await page.get_by_role("button", name="generate password").count() == 0
        await page.get_by_role("link", name="ok", exact=True).click()
        await page.get_by_role("button", name="generate password").wait_for()
        assert first not in await page.content()
        _, second = await steps.generate(page)
        await page.reload()
        await page.get_by_role("button", name="generate password").wait_for()
        assert second not in await page.content()
        assert first != second
        for password in (first, second):  # 16 characters by default (decision 8)
            assert re.fullmatch(r"[0-9A-HJ-NP-Za-km-np-z]{16}", password)
        admin = await scene.world.signed_in(ADMIN, "/admin/settings")
        shorter = {"name": "service_password_length", "value": 10}
        assert await command(admin, "/admin/settings", **shorter) == 303
        _, third = await steps.generate(page)
        assert re.fullmatch(r"[0-9A-HJ-NP-Za-km-np-z]{10}", third)
        kept = b"".join(path.read_bytes() for path in tmp_path.glob("registry.sqlite*"))
        for password in (first, second, third):
            assert password.encode() not in kept
            assert password.encode("utf-16-be") not in kept
        salt, digest = await scene.world.registry.read(
            lambda reader: reader.one("SELECT salt, salted_pw FROM service")
        )
        assert (len(salt), len(digest)) == (16, 20)
        device = await scene.world.device(uri, third)
        await until(lambda: device.status is ServiceStatus.ONLINE)


async def test_svc_03_a_lost_password_is_replaced(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        page = await scene.world.signed_in("john", f"/sites/{scene.site}")
        uri, old = await steps.service_account(page, scene.site, "Entrance")
        await until(lambda: gone(scene.devices[0], steps.WRONG_PASSWORD))
        device = await scene.world.device(uri, old)
        await until(lambda: device.status is ServiceStatus.ONLINE)
        _, new = await steps.service_account(page, scene.site, "Entrance")
        await until(lambda: gone(device, steps.WRONG_PASSWORD))
        late = await scene.world.device(uri, old)
        await until(lambda: gone(late, steps.WRONG_PASSWORD))
        again = await scene.world.device(uri, new)
        await until(lambda: again.status is ServiceStatus.ONLINE)


async def test_svc_04_the_hostname(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        (device,) = scene.devices
        program = await steps.program_of(scene, "Alison")
        await until(lambda: [one.hostname for one in program.services] == ["Entrance"])
        breaks = [*map(steps.interruptions, (program, device))]
        page = await scene.world.signed_in("john", f"/sites/{scene.site}")
        await page.get_by_role("link", name="Open Entrance").click()
        await page.get_by_role("link", name="hostname", exact=True).click()
        box = page.get_by_label("Hostname", exact=True)
        assert await box.input_value() == "Entrance"
        longest = "2nd gate $.*+#@%&=':^()[]-/!_" + "x" * 13
        assert len(longest) == 42
        await box.fill(longest)
        await page.locator("li.open").get_by_role("button", name="Save").click()
        await page.get_by_role("link", name=f"Close {longest}").wait_for()
        await until(lambda: [one.hostname for one in program.services] == [longest])
        await until(lambda: device.hostname == longest)
        (service_id,) = (await steps.service_ids(scene, scene.site)).values()
        send = f"/sites/{scene.site}/services/{service_id}/hostname"
        for bad in ("", "x" * 43, "a  b", "a<b", "Tür", 'a"b', "a;b"):
            assert await command(page, send, hostname=bad) == 422, bad
        assert await command(page, send, hostname="x") == 303
        await until(lambda: device.hostname == "x")
        assert breaks == [[], []]


async def test_svc_05_a_new_service(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        page = await scene.world.signed_in("john", f"/sites/{scene.site}")
        await steps.add_service(page, scene.site, "Camera 2")
        await steps.add_service(page, scene.site, "")
        await steps.add_service(page, scene.site, "")
        found = await steps.service_ids(scene, scene.site)
        assert [*found] == ["Entrance", "Camera 2", "Service1", "Service2"]
        await page.goto(f"/sites/{scene.site}")
        for hostname in ("Camera 2", "Service1", "Service2"):
            row = await service_row(page, found[hostname])
            assert row == f"{hostname} service type undefined"


async def test_svc_06_the_editor_of_a_service(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        page = await scene.world.signed_in("john", f"/sites/{scene.site}")
        assert await page.locator("#services .tabs").count() == 0
        await page.get_by_role("link", name="Open Entrance").click()
        tabs = page.get_by_label("Service Entrance").get_by_role("link")
        words = await tabs.all_inner_texts()
        assert sorted(words) == sorted(
            ["account", "hostname", "enable / disable", "structure", "ping period"]
        )
        assert words[0] == "account"
        opened = page.locator("#services .tabs [aria-current]")
        assert await opened.all_inner_texts() == ["account"]
        assert "softnet-srv://" in await shows(page, "#services")
        assert await page.get_by_label("Delete Entrance").inner_text() == "X"
        await scene.world.picture(page, "svc-06")
        for tab, control in (
            ("hostname", page.get_by_label("Hostname", exact=True)),
            ("enable / disable", page.get_by_role("button", name="disable")),
            ("structure", page.get_by_role("button", name="apply structure to the site")),
            ("ping period", page.get_by_label("Ping period, sec.")),
        ):
            assert await control.count() == 0
            await page.get_by_label("Service Entrance").get_by_role("link", name=tab).click()
            await control.wait_for()
        close = page.get_by_role("link", name="Close Entrance")
        assert await close.inner_text() == "«"
        await close.click()
        await page.get_by_role("link", name="Open Entrance").wait_for()
        assert await page.locator("#services .tabs").count() == 0
        await steps.add_service(page, scene.site, "Fresh")
        tabs = page.get_by_label("Service Fresh").get_by_role("link")
        assert "structure" not in await tabs.all_inner_texts()
        assert await opened.all_inner_texts() == ["account"]


async def test_svc_07_a_second_device_of_the_same_structure(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        program = await steps.program_of(scene, "Alison")
        page = await scene.world.signed_in("john", f"/sites/{scene.site}")
        device = await steps.newcomer(scene, page, "Camera 2", CAMERA, "2.3.3")
        assert device.status is ServiceStatus.ONLINE
        found = await steps.service_ids(scene, scene.site)
        await until_row(page, found["Camera 2"], "Camera 2 ver. 2.3.3")
        assert await service_row(page, found["Entrance"]) == "Entrance ver. 1.0"
        await until(lambda: [(one.hostname, one.version, one.online) for one in program.services]
                    == [("Entrance", "1.0", True), ("Camera 2", "2.3.3", True)])  # fmt: skip


async def test_svc_08_four_cameras(tmp_path: Path):
    async with nothing_yet(tmp_path) as scene:
        page = await scene.world.signed_in("john", f"/domains/{scene.domain}")
        await page.locator("#new-site").get_by_role("button", name="Create").click()
        await page.get_by_role("link", name="multi-service hosting").click()
        await page.get_by_role("button", name="set as multi-service site").click()
        await page.get_by_role("heading", name="list of services").wait_for()
        (site_id,) = await steps.sites_of(scene)
        versions = ("2.3.1", "2.3.3", "2.3.3", "2.3.2")
        names = ("Service1", "Camera 2", "Camera 3", "Camera 4")
        for number, (name, version) in enumerate(zip(names, versions, strict=True)):
            if number:
                await steps.add_service(page, site_id, name)
            uri, password = await steps.service_account(page, site_id, name)
            device = await scene.world.device(uri, password, CAMERA, version)
            _offer_its_name(device, name)
            await until(lambda device=device: device.status is ServiceStatus.ONLINE)
        rows = page.locator("#services > ul > li > .row > .grow")
        wanted = [f"{name} ver. {version}" for name, version in zip(names, versions, strict=True)]

        async def shown() -> list[str]:
            return [steps.flat(row) for row in await rows.all_inner_texts()]

        await until_reads(shown, wanted)
        await scene.world.picture(page, "svc-08")
        uri, password = await steps.client_account(page, site_id, "Owner")
        program = await scene.world.program(uri, password)
        await until(lambda: [one.online for one in program.services] == [True] * 4)
        reached = [await program.call(one.id, "Name") for one in program.services]
        assert reached == [_sequence(one.hostname) for one in program.services]
        assert sorted(one.hostname for one in program.services) == sorted(names)


def _sequence(text: str) -> bytes:
    inner = b"\x04" + bytes([len(text)]) + text.encode()
    return b"\x30" + bytes([len(inner)]) + inner


def _offer_its_name(device: Any, name: str) -> None:
    async def answer(_: IncomingCall) -> bytes:
        return _sequence(name)

    device.offer("Name", answer)


async def test_svc_09_disable_and_enable_a_service(tmp_path: Path):
    async with john(tmp_path, cameras=2) as scene:
        entrance, garage = scene.devices
        program = await steps.program_of(scene, "Alison")
        await until(lambda: [one.online for one in program.services] == [True, True])
        found = await steps.service_ids(scene, scene.site)
        page = await scene.world.signed_in("john", f"/sites/{scene.site}")
        await page.get_by_role("link", name="Open Entrance").click()
        await page.get_by_role("link", name="enable / disable").nth(0).click()
        assert "Service enabled" in await shows(page, "#services")
        await page.locator("#services").get_by_role("button", name="disable", exact=True).click()
        await until_row(page, found["Entrance"], "Entrance ver. 1.0 disabled")
        red = page.locator(f"#service-{found['Entrance']} > .row .red")
        assert await red.inner_text() == "disabled"
        assert "Service disabled" in await shows(page, "#services")
        await until(lambda: entrance.status == 2)
        await until(lambda: [one.hostname for one in program.services] == ["Garage"])
        assert garage.status is ServiceStatus.ONLINE
        await page.locator("#services").get_by_role("button", name="enable", exact=True).click()
        await until(lambda: entrance.status is ServiceStatus.ONLINE)
        await until(lambda: [one.online for one in program.services] == [True, True])
        await until_row(page, found["Entrance"], "Entrance ver. 1.0")

        single = await scene.add_site("Alarm", SiteKind.SINGLE_SERVICE, PLAIN)
        await page.goto(f"/sites/{single}")
        assert await page.locator("#services").get_by_text("able").count() == 0
        (only,) = (await steps.service_ids(scene, single)).values()
        assert await command(page, f"/sites/{single}/services/{only}/enabled", enabled=0) == 409
        assert scene.devices[-1].status is ServiceStatus.ONLINE


async def test_svc_10_delete_a_service(tmp_path: Path):
    async with john(tmp_path, cameras=2) as scene:
        program = await steps.program_of(scene, "Alison")
        await until(lambda: [one.online for one in program.services] == [True, True])
        page = await scene.world.signed_in("john", f"/sites/{scene.site}")
        await steps.add_service(page, scene.site, "Spare")
        spare = page.get_by_label("Delete Spare")
        await spare.click()  # nothing is connected: no question
        await page.get_by_text("The service was deleted.").wait_for()
        assert [*await steps.service_ids(scene, scene.site)] == ["Entrance", "Garage"]
        await page.get_by_role("link", name="Open Entrance").click()
        await page.get_by_label("Delete Entrance").click()
        sure = page.locator("details.ask[open]").get_by_role("button")
        if await sure.count():  # its device is online: cutting it off is confirmed
            await scene.world.picture(page, "svc-10")
            await sure.click()
        await page.get_by_text("The service was deleted.").wait_for()
        assert await page.get_by_text("Entrance").count() == 0
        await until(lambda: gone(scene.devices[0], steps.NO_SERVICE))
        await until(lambda: [one.hostname for one in program.services] == ["Garage"])
        assert program.status is ClientStatus.ONLINE
        single = await scene.add_site("Alarm", SiteKind.SINGLE_SERVICE, PLAIN)
        await page.goto(f"/sites/{single}")
        assert await page.locator("#services").get_by_text("X", exact=True).count() == 0
        (only,) = (await steps.service_ids(scene, single)).values()
        assert await command(page, f"/sites/{single}/services/{only}/delete") == 409
        assert scene.devices[-1].status is ServiceStatus.ONLINE


async def test_svc_11_the_ping_period_of_a_service(tmp_path: Path):
    async with john(tmp_path, cameras=1) as scene:
        (device,) = scene.devices
        found = await steps.service_ids(scene, scene.site)
        page = await scene.world.signed_in("john", f"/sites/{scene.site}")
        await page.get_by_role("link", name="Open Entrance").click()
        await page.get_by_role("link", name="ping period", exact=True).click()
        hint = await shows(page, "#ping-about")
        assert ("10" in hint, "300" in hint, "0 " in hint) == (True, True, True)
        own = device._session._monitor.period
        box = page.get_by_label("Ping period, sec.")
        for seconds in (30, 10, 300, 0):
            await box.fill(str(seconds))
            await page.locator("#services").get_by_role("button", name="Save").click()
            tag = f" P: {seconds}" if seconds else ""
            await until_row(page, found["Entrance"], f"Entrance ver. 1.0{tag}")
            await until(lambda seconds=seconds: device._session._monitor.period == (seconds or own))
        send = f"/sites/{scene.site}/services/{found['Entrance']}/ping-period"
        assert await command(page, send, ping_period=45) == 303
        for bad in (9, 1, 301, -10, "soon", "", "30.5"):
            assert await command(page, send, ping_period=bad) == 422, bad
        (service,) = await scene.world.registry.read(
            lambda reader: services.list_for(reader, scene.site)
        )
        assert service.ping_period == 45
        assert device.status is ServiceStatus.ONLINE
