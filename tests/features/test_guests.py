"""Section L: guests with an account of their own, stateless guests, and who lets them in (11)."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from gateway.base.errors import InvalidInput
from gateway.endpoint.calls import IncomingCall
from gateway.endpoint.client import ClientEndpoint
from gateway.model.kinds import Authority, ClientStatus, EventKind, GuestSupport, SiteKind, UserKind
from gateway.model.structure import EventDefinition
from gateway.protocol.endpoint_inbox import IncomingEvent
from gateway.registry import members, sites
from gateway.wire.codes import ErrorCode
from tests.features.guest_steps import (
    ALARM,
    THERMOSTAT,
    WALL,
    guest_account,
    guest_client,
    guest_page,
    key_of,
    office,
    post,
)
from tests.features.scenes import Scene
from tests.features.steps import command, until_users, users_under
from tests.features.views import (
    KEY,
    Account,
    block,
    clients_of,
    connect,
    generate_password,
    lines_of,
    mark_of,
    ping_period,
    refused,
    row,
    text_of,
)
from tests.features.world import CAMERA, until


async def test_gst_01_the_guest_sections_appear(tmp_path: Path):
    async with office(tmp_path) as scene:
        page = await scene.world.signed_in("markus")
        for site, shown in ((THERMOSTAT, True), (WALL, True), (ALARM, False)):
            for path in (f"/sites/{scene.sites[site]}", f"/sites/{scene.sites[site]}/clients"):
                await page.goto(path)
                heads = [one.upper() for one in await page.get_by_role("heading").all_inner_texts()]
                assert ("GUEST STATUS" in heads) is shown, path
                assert ("GUEST PAGE" in heads) is shown, path
                assert ("guest?site=" in await page.inner_text("main")) is shown, path
        await page.goto(f"/sites/{scene.sites[ALARM]}")
        assert await command(page, f"/sites/{scene.sites[ALARM]}/guests", allowed=1) == 409
        stored = await scene.world.registry.read(lambda r: sites.get(r, scene.sites[ALARM]))
        assert stored.guest_allowed is False
        assert await users_under(page, "Denied users") is not None


async def test_gst_02_allow_and_deny(tmp_path: Path):
    async with office(tmp_path, allowed=False) as scene:
        page = await scene.world.signed_in("markus", f"/sites/{scene.sites[WALL]}")
        assert await users_under(page, "Users") == ["Owner ( Administrator )"]
        assert "Guest" in (await users_under(page, "Denied users") or [])
        form = page.locator("form[action$='/guests']")
        assert await text_of(form) == "Guest denied allow"
        await form.get_by_role("button", name="allow").click()
        await form.get_by_text("Guest allowed").wait_for()
        assert await text_of(form) == "Guest allowed deny"
        await until_users(page, "Users", ["Owner ( Administrator )", "Guest"])
        assert "Guest" not in (await users_under(page, "Denied users") or [])
        _, account = await guest_client(scene, WALL, owner_id=scene.users["Julia"])
        program = await connect(scene.world, account)
        shared = await scene.world.program(
            f"softnet-ms://{await key_of(scene, WALL)}@{scene.world.host}", None
        )
        await until(lambda: shared.status is ClientStatus.ONLINE)
        await form.get_by_role("button", name="deny").click()
        await until(lambda: program.status is ClientStatus.ACCESS_DENIED)
        await until(lambda: shared.status is not ClientStatus.ONLINE)
        await until_users(page, "Users", ["Owner ( Administrator )"])
        assert "Guest" in (await users_under(page, "Denied users") or [])
        await form.get_by_role("button", name="allow").click()
        await until(lambda: program.status is ClientStatus.ONLINE)
        julia = await scene.world.signed_in("julia", "/contacts/new")
        assert await command(julia, f"/sites/{scene.sites[WALL]}/guests", allowed=0) == 404


async def test_gst_03_the_address_of_the_guest_page(tmp_path: Path):
    async with office(tmp_path) as scene:
        page = await scene.world.signed_in("markus", f"/sites/{scene.sites[THERMOSTAT]}")
        address = await page.locator("#guest-page").inner_text()
        assert address == f"{scene.world.url}/guest?site={await key_of(scene, THERMOSTAT)}"
        stranger = await scene.world.page()
        for window in (stranger, page, await scene.world.signed_in("julia")):
            answer = await window.goto(address)
            assert answer.status == 200
            text = await window.inner_text("main")
            for shown in ("Markus Schmidt", "Office Automation", "RTX-5 ( Cold Vision )"):
                assert shown in text
            assert await window.get_by_role("heading", name=THERMOSTAT, exact=True).is_visible()
            assert await window.get_by_role("heading", name=WALL).count() == 0
        for wrong in ("/guest?site=unknown00", "/guest?site=", "/guest"):
            assert (await stranger.goto(wrong)).status == 404, wrong
            assert "There is no such guest page." in await stranger.inner_text("main")
        assert (await stranger.goto(address.replace("/guest?", "/guest.aspx?"))).status == 200


async def test_gst_04_a_guest_client_of_somebody_who_is_logged_in(tmp_path: Path):
    async with office(tmp_path) as scene:
        page = await scene.world.signed_in("julia", await guest_page(scene, WALL))
        account = await guest_account(page, WALL)
        assert KEY.match(account.key)
        program = await connect(scene.world, account)
        assert program.user.name == "Guest"
        (made,) = await clients_of(scene.world, scene.sites[WALL])
        assert (made.user_kind, made.creator_id) == (UserKind.GUEST, scene.users["Julia"])
        await page.goto(await guest_page(scene, WALL))
        line = row(page.get_by_label(WALL, exact=True), account.key)
        assert await mark_of(line) == "»"
        owners = await scene.world.signed_in("markus", f"/sites/{scene.sites[WALL]}/clients")
        place = block(owners, "Guest")
        assert "guest clients total: 1" in await text_of(place)
        assert account.key not in await owners.content()
        own = f"/sites/{scene.sites[WALL]}/clients/{made.id}"
        assert await command(owners, f"{own}/password") in (403, 404)
        assert await command(owners, f"{own}/delete") in (403, 404)
        await place.get_by_role("button", name="add client").click()
        await place.get_by_text("guest clients total: 2").wait_for()
        assert await place.locator(".open code").count() == 1
        assert program.status is ClientStatus.ONLINE


async def test_gst_05_my_guest_clients(tmp_path: Path):
    async with office(tmp_path) as scene:
        carl, _ = await scene.world.person("Carl Gauss", "carl", Authority.CONSUMER)
        julia = scene.users["Julia"]
        mine = [await guest_client(scene, name, owner_id=julia) for name in (WALL, THERMOSTAT)]
        foreign, theirs = await guest_client(scene, WALL, owner_id=carl)
        page = await scene.world.signed_in("julia", "/public")
        await page.get_by_role("link", name="My Guest Clients").click()
        assert (await text_of(page.locator("section h2"))).upper() == "OWNERS AND DOMAINS"
        assert await lines_of(page.locator("section")) == [
            "Markus Schmidt / Office Automation 2 clients"
        ]
        await page.get_by_role("link", name="Office Automation").click()
        here = page.url
        shown = await page.locator("section h2").evaluate_all("all => all.map(e => e.textContent)")
        assert sorted(shown) == [WALL, THERMOSTAT]
        keys = await page.locator(".key").all_inner_texts()
        assert sorted(keys) == sorted(account.key for _, account in mine)
        line = row(page.get_by_label(WALL, exact=True), mine[0][1].key)
        program = await connect(scene.world, mine[0][1])
        await line.get_by_role("link", name=mine[0][1].key).click()
        await page.get_by_role("link", name="ping period").click()
        await page.get_by_label("Ping period, sec.").fill("30")
        await page.get_by_role("button", name="Save").click()
        await until(lambda: ping_period(program) == 30)
        await page.get_by_role("link", name="account", exact=True).click()
        changed = await generate_password(page)
        await refused(program, ErrorCode.PASSWORD_NOT_MATCHED)
        await connect(scene.world, changed)
        assert await command(page, f"{_path(here)}/clients/{foreign}/password") in (403, 404)
        assert await command(page, f"{_path(here)}/clients/{foreign}/delete") in (403, 404)
        await connect(scene.world, theirs)
        carls = await scene.world.signed_in("markus", "/guest-clients")
        assert "None yet." in await carls.inner_text("main")
        assert (await carls.goto(here)).status == 404


def _path(url: str) -> str:
    return "/" + url.split("/", 3)[3].partition("?")[0]


PRIVATE = dataclasses.replace(
    CAMERA, events=(*CAMERA.events, EventDefinition(EventKind.PRIVATE, "Note", 3600))
)


async def test_gst_11_private_events_reach_stateful_guests_only(tmp_path: Path):
    async with office(tmp_path, structure=PRIVATE) as scene:
        page = await scene.world.signed_in("julia", await guest_page(scene, THERMOSTAT))
        account = await guest_account(page, THERMOSTAT)
        device = scene.devices[0]
        asked: list[int] = []

        async def who(call: IncomingCall) -> bytes:
            asked.append(call.client_id)
            return b"\x30\x00"

        device.offer("Who", who)
        heard: list[IncomingEvent] = []
        program = await _listening(scene, account, heard)
        await program.call(program.services[0].id, "Who")
        await scene.world.stop_program(program)
        device.events.raise_private("Note", asked[0])
        await device.events.taken()
        assert heard == []  # nobody is there: it waits on the server
        await _listening(scene, account, heard)
        await until(lambda: len(heard) == 1)
        assert (heard[0].name, heard[0].kind) == ("Note", EventKind.PRIVATE)
        uri = await page.locator("code[id^=shared-uri-]").inner_text()
        stateless = await scene.world.program(uri, None, connect=False)
        with pytest.raises(InvalidInput, match="with an account"):
            stateless.events.subscribe(EventKind.PRIVATE, "Note", _nothing)


async def _nothing(_: IncomingEvent) -> None:
    raise AssertionError


async def _listening(scene: Scene, account: Account, heard: list[IncomingEvent]) -> ClientEndpoint:
    async def take(event: IncomingEvent) -> None:
        heard.append(event)

    program = await scene.world.program(account.uri, account.password, connect=False)
    program.events.subscribe(EventKind.PRIVATE, "Note", take)
    program.connect()
    await until(lambda: program.status is ClientStatus.ONLINE and program.services)
    return program


async def _stateless(state: Path, site: str, scheme: str) -> None:
    async with office(state, allowed=False) as scene:
        other = await scene.add_site(
            "Stateful", SiteKind.SINGLE_SERVICE,
            dataclasses.replace(CAMERA, guest_support=GuestSupport.STATEFUL),
        )  # fmt: skip
        await scene.world.registry.write(lambda tx: sites.set_guest_allowed(tx, other, True))
        stranger = await scene.world.page()
        uri = f"{scheme}://{await key_of(scene, site)}@{scene.world.host}"
        await stranger.goto(await guest_page(scene, "Stateful"))
        assert "softnet-" not in await stranger.inner_text("main")  # not supported
        await stranger.goto(await guest_page(scene, site))
        assert "softnet-" not in await stranger.inner_text("main")  # not allowed
        early = await scene.world.program(uri, None)
        await until(lambda: early.connectivity.error or early.status is ClientStatus.ACCESS_DENIED)
        assert early.status is not ClientStatus.ONLINE
        page = await scene.world.signed_in("markus", f"/sites/{scene.sites[site]}")
        assert await page.locator("#shared-uri").count() == 0
        await page.locator("form[action$='/guests'] button").click()
        assert await page.locator("#shared-uri").inner_text() == uri
        for path in (f"/sites/{scene.sites[site]}/clients", f"/domains/{scene.domain}"):
            await page.goto(path)
            assert uri in (await page.inner_text("main")).replace("\n", "")
        for path in (await guest_page(scene, site), f"/public/domains/{scene.domain}"):
            await stranger.goto(path)
            shown = stranger.get_by_label(site, exact=True).locator("code[id^=shared-uri-]")
            assert await shown.inner_text() == uri
        program = await scene.world.program(uri, None)  # without a password
        await until(lambda: program.status is ClientStatus.ONLINE)
        assert program.user.name == "Stateless Guest"
        again = await scene.world.program(uri, None)  # all share the key of the site
        await until(lambda: again.status is ClientStatus.ONLINE)
        assert await clients_of(scene.world, scene.sites[site]) == ()
        bare = f"{scheme}://{await key_of(scene, 'Stateful')}@{scene.world.host}"
        barred = await scene.world.program(bare, None)
        await until(lambda: barred.connectivity.error or int(barred.status) > 1)
        assert barred.status is not ClientStatus.ONLINE


async def test_gst_12_the_shared_uri_of_a_multi_service_site(tmp_path: Path):
    await _stateless(tmp_path, WALL, "softnet-ms")


async def test_gst_13_the_shared_uri_of_a_single_service_site(tmp_path: Path):
    await _stateless(tmp_path, THERMOSTAT, "softnet-ss")


async def test_gst_14_guests_are_not_possible(tmp_path: Path):
    async with office(tmp_path, mail=True) as scene:
        client, account = await guest_client(scene, WALL, owner_id=scene.users["Julia"])
        site, guest = scene.sites[WALL], scene.users["Guest"]
        julia, stranger = await scene.world.signed_in("julia"), await scene.world.page()

        def switch(change: Any, on: bool) -> Any:
            return scene.world.registry.write(lambda tx: change(tx, on))

        cases: tuple[tuple[str, str, Any], ...] = (
            (ALARM, "The service does not support guests.", None),
            (WALL, "The owner does not allow guests here.",
             lambda tx, on: sites.set_guest_allowed(tx, site, on)),
            (WALL, "The owner has disabled guests in this domain.",
             lambda tx, on: members.set_user_enabled(tx, guest, on)),
            (WALL, "The owner has switched this site off.",
             lambda tx, on: sites.set_enabled(tx, site, on)),
        )  # fmt: skip
        for name, reason, change in cases:
            if change is not None:
                await switch(change, False)
            path = await guest_page(scene, name)
            for window in (julia, stranger):
                await window.goto(path)
                panel = window.get_by_label(name, exact=True)
                assert await panel.locator(".red").filter(has_text=reason).count() == 1, reason
                assert await panel.get_by_role("button", name="add client").count() == 0
                assert await panel.get_by_role("link", name="new guest client").count() == 0
            form = {"site_key": await key_of(scene, name), "email": "visitor@example.org"}
            assert await post(stranger, "/guest/new", **form) in (404, 409), reason
            await julia.goto("/guest-clients")
            assert await command(julia, f"/guest-clients/add/{scene.sites[name]}") == 404, reason
            assert len(await clients_of(scene.world, scene.sites[name])) == (name == WALL)
            if change is not None:
                await julia.goto(path)
                assert await row(julia.get_by_label(WALL, exact=True), account.key).is_visible()
                await switch(change, True)
        await switch(cases[1][2], False)
        own = f"/guest-clients/{scene.domain}/clients/{client}/delete"
        assert await command(julia, own) == 303  # what exists can be deleted
        assert await clients_of(scene.world, site) == ()
