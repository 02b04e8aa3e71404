"""Section F: a structure that changes while a device is being developed (guide 13)."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

from gateway.endpoint.service import ServiceEndpoint
from gateway.model.kinds import (
    ClientStatus,
    EventKind,
    GuestAccess,
    GuestSupport,
    ServiceStatus,
    SiteKind,
)
from gateway.model.structure import EventDefinition, SiteStructure
from gateway.registry import members, sites
from tests.features import steps
from tests.features.scenes import Scene, nothing_yet
from tests.features.steps import until_users
from tests.features.world import until

HOUR = 3600
BASE = SiteStructure(
    "RTX-5", "Cold Vision", GuestSupport.STATEFUL, ("Admin", "User"), "Admin",
    (
        EventDefinition(EventKind.REPLACING, "Status", guest_access=GuestAccess.GUEST_DENIED),
        EventDefinition(EventKind.QUEUEING, "Alarm", HOUR, 10, roles=("Admin",)),
        EventDefinition(EventKind.QUEUEING, "Motion", HOUR, 10),
        EventDefinition(EventKind.PRIVATE, "Answer", HOUR),
    ),
)  # fmt: skip


def _with(**more: Any) -> SiteStructure:
    return dataclasses.replace(BASE, **more)


def _event(which: str, /, **more: Any) -> SiteStructure:
    changed = (
        dataclasses.replace(event, **more) if event.name == which else event
        for event in BASE.events
    )
    return _with(events=tuple(changed))


MISMATCHES = {
    "lifetime of a queueing event": _event("Motion", lifetime=2 * HOUR),
    "lifetime of a private event": _event("Answer", lifetime=2 * HOUR),
    "queue size": _event("Motion", queue_size=11),
    "guests may receive it": _event("Status", guest_access=GuestAccess.ALLOWED),
    "stateless guests may not": _event("Status", guest_access=GuestAccess.STATELESS_GUEST_DENIED),
    "roles of an event": _event("Alarm", roles=("Admin", "User")),
    "rule of an event gone": _event("Alarm", roles=()),
    "event renamed": _event("Motion", name="Movement"),
    "event added": _with(events=(*BASE.events, EventDefinition(EventKind.REPLACING, "Mode"))),
    "role renamed": _with(roles=("Admin", "Viewer")),
    "role renamed by case": _with(roles=("Admin", "user")),
    "role added": _with(roles=("Admin", "User", "Operator")),
    "stateless guests supported": _with(guest_support=GuestSupport.STATELESS),
    "guests not supported": _with(guest_support=GuestSupport.NONE),
}
CONFLICTS = {
    "type": _with(service_type="RTX-6"),
    "author": _with(contract_author="Warm Vision"),
}
NEITHER = {
    "order of roles": _with(roles=("User", "Admin")),
    "owner role": _with(owner_role="User"),
    "no owner role": _with(owner_role=None),
    "order of events": _with(events=BASE.events[::-1]),
}


async def _site(scene: Scene, structure: SiteStructure = BASE) -> tuple[Any, str, str]:
    """Build a single-service site with a device; return a page, URI and password read off it."""
    await scene.add_site("SITE_1", SiteKind.SINGLE_SERVICE, structure)
    page = await scene.world.signed_in("john", f"/sites/{scene.site}")
    await scene.world.stop_program(scene.devices.pop())
    return page, *await steps.service_account(page, scene.site, "Service1")


async def _released(scene: Scene, uri: str, password: str, structure: Any) -> ServiceEndpoint:
    """Connect the next release of the device's program; wait for its verdict."""
    device = await scene.world.device(uri, password, structure, "2.0")
    await until(lambda: device.status is not ServiceStatus.OFFLINE)
    return device


async def _rebuilt(scene: Scene, page: Any, uri: str, password: str, structure: Any) -> Any:
    """Connect the next release, apply its structure on the page, wait until it is served."""
    device = await _released(scene, uri, password, structure)
    assert device.status is ServiceStatus.SITE_STRUCTURE_MISMATCH
    await page.goto(f"/sites/{scene.site}")
    await page.get_by_role("link", name="structure", exact=True).click()
    await page.get_by_role("button", name="apply structure to the site").click()
    await page.get_by_text("The structure was applied to the site.").wait_for()
    await until(lambda: device.status is ServiceStatus.ONLINE)
    return device


async def test_dev_01_what_makes_a_mismatch(tmp_path: Path):
    async with nothing_yet(tmp_path) as scene:
        page, uri, password = await _site(scene)
        wanted = (
            (MISMATCHES, ServiceStatus.SITE_STRUCTURE_MISMATCH, "site structure mismatch"),
            (CONFLICTS, ServiceStatus.SERVICE_TYPE_CONFLICT, "service type conflict"),
            (NEITHER, ServiceStatus.ONLINE, ""),
        )
        for changes, status, words in wanted:
            for what, structure in changes.items():
                device = await _released(scene, uri, password, structure)
                assert device.status is status, what
                await page.goto(f"/sites/{scene.site}")
                red = page.locator("#services .row .red")
                assert await red.inner_text() == words, what
                await scene.world.stop_program(device)
        device = await _released(scene, uri, password, BASE)
        assert device.status is ServiceStatus.ONLINE


async def test_dev_02_a_renamed_role_is_lost(tmp_path: Path):
    async with nothing_yet(tmp_path) as scene:
        page, uri, password = await _site(scene)
        await scene.add_user("Alison", "SITE_1", "User")
        await scene.add_user("Boris", "SITE_1", "Admin", "User")
        await page.goto(f"/sites/{scene.site}")
        await until_users(
            page, "Users", ["Owner ( Admin )", "Alison ( User )", "Boris ( Admin, User )"]
        )
        renamed = _with(
            roles=("admin", "User"), owner_role="admin",
            events=_event("Alarm", roles=("admin",)).events,
        )  # fmt: skip
        await _rebuilt(scene, page, uri, password, renamed)
        await until_users(page, "Users", ["Alison ( User )", "Boris ( User )"])
        await until_users(page, "Denied users", ["Owner", "Guest"])
        assert await page.locator("#access .roles").first.inner_text() == "admin, User"


async def test_dev_03_a_renamed_default_role(tmp_path: Path):
    async with nothing_yet(tmp_path) as scene:
        page, uri, password = await _site(scene)
        await scene.add_user("Alison")
        await scene.add_user("Boris", "SITE_1", "Admin")

        def choose(tx: Any) -> None:
            by_name = {role.name: role.id for role in members.list_roles(tx, scene.site)}
            sites.set_default_role(tx, scene.site, by_name["User"])

        await scene.world.registry.write(choose)
        await page.goto(f"/sites/{scene.site}")
        assert await page.locator("#access .default").inner_text() == "User"
        await until_users(
            page, "Users", ["Owner ( Admin, User )", "Alison ( User )", "Boris ( Admin, User )"]
        )
        await _rebuilt(scene, page, uri, password, _with(roles=("Admin", "Viewer")))
        assert await page.locator("#access .default").count() == 0
        assert await page.get_by_label("User default role", exact=True).input_value() == "0"
        await until_users(page, "Users", ["Owner ( Admin )", "Boris ( Admin )"])
        await until_users(page, "Denied users", ["Alison", "Guest"])


async def test_dev_04_roles_of_the_same_name_are_kept(tmp_path: Path):
    async with nothing_yet(tmp_path) as scene:
        page, uri, password = await _site(scene)
        await scene.add_user("Alison", "SITE_1", "User")
        await scene.add_user("Boris", "SITE_1", "Admin", "User")
        program = await steps.program_of(scene, "Alison")
        assert program.user.roles == ("User",)
        third = _with(roles=("Operator", "User", "Admin"))
        await _rebuilt(scene, page, uri, password, third)
        assert await page.locator("#access .roles").first.inner_text() == "Operator, User, Admin"
        await until_users(
            page, "Users", ["Owner ( Admin )", "Alison ( User )", "Boris ( User, Admin )"]
        )
        await until(lambda: program.status is ClientStatus.ONLINE)
        assert program.user.roles == ("User",)
        await page.get_by_role("link", name="Roles of Alison").click()
        boxes = page.locator("#users li.open label")
        assert [one.strip() for one in await boxes.all_inner_texts()] == [*third.roles]


async def test_dev_05_what_waited_of_a_renamed_event_is_gone(tmp_path: Path):
    async with nothing_yet(tmp_path) as scene:
        page, uri, password = await _site(scene)
        device = await _released(scene, uri, password, BASE)
        _, client_uri, client_password = await scene.client_of("Owner")
        program = await scene.world.program(client_uri, client_password, connect=False)
        heard: list[tuple[str, bytes | None]] = []
        more = asyncio.Event()

        async def note(event: Any) -> None:
            heard.append((event.name, event.arguments))
            more.set()

        for name in ("Alarm", "Motion", "Alert"):
            program.events.subscribe(EventKind.QUEUEING, name, note)
        program.connect()
        await until(lambda: program.status is ClientStatus.ONLINE)
        device.events.raise_queueing("Alarm", _number(1))
        device.events.raise_queueing("Motion", _number(2))
        await until(lambda: len(heard) == 2)  # both reach it as long as it is there
        heard.clear()
        program.disconnect()
        await until(lambda: program.status is ClientStatus.OFFLINE)
        for number in (3, 4):
            device.events.raise_queueing("Alarm", _number(number))
        device.events.raise_queueing("Motion", _number(5))
        await device.events.taken()
        await scene.world.stop_program(device)

        device = await _rebuilt(scene, page, uri, password, _event("Alarm", name="Alert"))
        program.connect()
        await until(lambda: heard)
        device.events.raise_queueing("Alert", _number(6))
        device.events.raise_queueing("Motion", _number(7))
        await until(lambda: ("Motion", _number(7)) in heard and ("Alert", _number(6)) in heard)
        by_name = {name: [one for called, one in heard if called == name] for name, _ in heard}
        assert by_name == {"Motion": [_number(5), _number(7)], "Alert": [_number(6)]}


def _number(value: int) -> bytes:
    return bytes((0x30, 3, 2, 1, value))
