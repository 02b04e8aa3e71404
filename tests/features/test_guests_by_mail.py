"""Section L, second half: guest clients of a mail address (guide 11.1.2), by the outbox."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.model.kinds import UserKind
from gateway.registry import outbox
from gateway.wire.codes import ErrorCode
from tests.features.guest_steps import (
    MAIL,
    THERMOSTAT,
    WALL,
    ask_for,
    created_by,
    guest_client,
    guest_page,
    key_of,
    letters,
    office,
    post,
)
from tests.features.scenes import Scene
from tests.features.views import (
    Account,
    clients_of,
    connect,
    generate_password,
    lines_of,
    ping_period,
    refused,
    text_of,
)
from tests.features.world import ADMIN, until

MINUTE, HOUR, DAY = 60, 3600, 86400
OTHER = "somebody@example.org"


async def _barred(page: Any, link: str, reason: str) -> None:
    """Check that a link is not good any more, opened or used directly."""
    answer = await page.goto(link)
    assert answer.status == 403
    text = await page.inner_text("main")
    assert reason in text
    assert await page.locator("main form").count() == 0
    assert await post(page, link) in (403, 405)


async def _creating_link(scene: Scene, page: Any, site: str) -> str:
    """Ask for a creating link on the guest page of a site; return it from the outbox."""
    await page.goto(await guest_page(scene, site))
    await page.get_by_role("link", name="new guest client").click()
    await ask_for(page)
    return (await letters(scene))[0]


async def _browsing_link(scene: Scene, page: Any, address: str = MAIL) -> str:
    await page.goto("/")
    await page.get_by_role("link", name="Guest Clients by EMail").first.click()
    await ask_for(page, address)
    return (await letters(scene))[0]


async def _editing_link(scene: Scene, page: Any, account: Account) -> str:
    """Have the link sent that edits a client that the page lists."""
    await page.get_by_role("link", name=f"Open client {account.key}").click()
    await page.get_by_role("button", name="send an editing link").click()
    await page.get_by_role("status").filter(has_text="operator").wait_for()
    return (await letters(scene))[0]


async def test_gst_06_a_stranger_asks_by_mail(tmp_path: Path):
    async with office(tmp_path, mail=True) as scene:
        page = await scene.world.page()
        await page.goto(await guest_page(scene, WALL))
        assert await page.get_by_role("button", name="add client").count() == 0
        await page.get_by_role("link", name="new guest client").click()
        await page.get_by_label("Mail address").fill("nonsense")
        await page.get_by_role("button", name="send confirmation mail").click()
        await page.locator("#ask .fault").wait_for()
        assert await letters(scene) == []
        await ask_for(page)
        assert "This box sends no mail. Ask its operator" in await page.inner_text("main")
        assert await clients_of(scene.world, scene.sites[WALL]) == ()
        (link,) = await letters(scene)
        assert link not in await page.content()
        admin = await scene.world.signed_in(ADMIN, "/admin/outbox")
        entry = admin.locator("#letters li")
        assert f"{MAIL} Create a guest client" in await text_of(entry)
        assert await entry.locator("code").inner_text() == link
        markus = await scene.world.signed_in("markus")
        assert (await markus.goto("/admin/outbox")).status in (403, 404)


async def test_gst_06_a_box_without_mail_says_so(tmp_path: Path):
    async with office(tmp_path) as scene:
        page = await scene.world.page()
        await page.goto(await guest_page(scene, WALL))
        assert "This box sends no mail: log in" in await text_of(page.locator("main"))
        assert await page.get_by_role("link", name="new guest client").count() == 0
        for path in (f"/guest/new?site={await key_of(scene, WALL)}", "/guest/browse"):
            await page.goto(path)
            assert "This box sends no mail." in await page.inner_text("main")
            assert await page.locator("main form").count() == 0
        form = {"site_key": await key_of(scene, WALL), "email": MAIL}
        assert await post(page, "/guest/new", **form) == 409
        assert await post(page, "/guest/browse", email=MAIL) == 409
        assert await scene.world.registry.read(outbox.list_all) == ()


async def test_gst_07_the_link_that_creates(tmp_path: Path):
    async with office(tmp_path, mail=True) as scene:
        page = await scene.world.page()
        link = await _creating_link(scene, page, WALL)
        scene.world.clock.forward(HOUR - 2 * MINUTE)
        await page.goto(link)
        assert (await text_of(page.locator("h1"))).upper() == f"NEW GUEST CLIENT BY {MAIL.upper()}"
        buttons = page.locator("main button:not([data-copy])")
        assert await buttons.all_inner_texts() == ["create guest client"]
        assert await clients_of(scene.world, scene.sites[WALL]) == ()  # looking makes nothing
        account = await created_by(page, link)
        assert account.uri == f"softnet-m://{account.key}@{scene.world.host}"
        await scene.world.picture(page, "gst-07")
        (made,) = await clients_of(scene.world, scene.sites[WALL])
        assert (made.key, made.user_kind) == (account.key, UserKind.GUEST)
        assert (made.creator_id, made.creator_email) == (None, MAIL)
        program = await connect(scene.world, account)
        assert program.user.name == "Guest"
        await _barred(page, link, "used already")
        assert account.password not in await page.content()
        assert len(await clients_of(scene.world, scene.sites[WALL])) == 1
        late = await _creating_link(scene, page, WALL)
        scene.world.clock.forward(HOUR + 1)
        await _barred(page, late, "expired")
        assert len(await clients_of(scene.world, scene.sites[WALL])) == 1


async def test_gst_08_the_link_that_lists(tmp_path: Path):
    async with office(tmp_path, mail=True) as scene:
        mine = [await guest_client(scene, name, email=MAIL) for name in (WALL, THERMOSTAT)]
        foreign, theirs = await guest_client(scene, WALL, email=OTHER)
        _, julias = await guest_client(scene, WALL, owner_id=scene.users["Julia"])
        page = await scene.world.page()
        link = await _browsing_link(scene, page)
        scene.world.clock.forward(7 * DAY - HOUR)
        await page.goto(link)
        assert (await text_of(page.locator("h1"))).endswith(MAIL)
        assert await lines_of(page.locator("section")) == [
            "Markus Schmidt / Office Automation 2 clients"
        ]
        await page.get_by_role("link", name="Office Automation").click()
        shown = await page.locator("section h2").evaluate_all("all => all.map(e => e.textContent)")
        assert sorted(shown) == [WALL, THERMOSTAT]
        text = await page.inner_text("main")
        assert all(account.key in text for _, account in mine)
        assert not [one for one in (theirs, julias) if one.key in await page.content()]
        await page.get_by_role("link", name=f"Open client {mine[0][1].key}").click()
        buttons = await page.locator("main button:not([data-copy])").all_text_contents()
        assert sorted({one.partition(" on ")[0] for one in buttons}) == [
            "new guest client", "send an editing link",
        ]  # fmt: skip
        assert await page.locator("main input:not([type=hidden])").count() == 0
        secret = link.rpartition("/")[2]
        for rest in ("password", "ping-period", "delete"):  # a link that lists edits nothing
            assert await post(page, f"/guest/edit/{secret}/{rest}", ping_period=30) == 403
        asked = len(await letters(scene))
        path = f"/guest/browse/{secret}/{scene.domain}/edit"
        assert await post(page, path, client_id=foreign) == 404
        assert len(await letters(scene)) == asked
        assert len(await clients_of(scene.world, scene.sites[WALL])) == 3
        await connect(scene.world, mine[0][1])
        scene.world.clock.forward(HOUR + 1)
        await _barred(page, link, "expired")


async def test_gst_09_the_link_that_edits(tmp_path: Path):
    async with office(tmp_path, mail=True) as scene:
        client, account = await guest_client(scene, WALL, email=MAIL)
        _, second = await guest_client(scene, WALL, email=MAIL)
        page = await scene.world.page()
        await page.goto(f"{await _browsing_link(scene, page)}/{scene.domain}")
        listing = page.url
        link = await _editing_link(scene, page, account)
        program = await connect(scene.world, account)
        scene.world.clock.forward(29 * MINUTE)
        await page.goto(link)
        assert (await text_of(page.locator("h1"))).endswith(account.key)
        assert second.key not in await page.content()
        await page.get_by_role("link", name="ping period").click()
        await page.get_by_label("Ping period, sec.").fill("5")
        await page.get_by_role("button", name="Save").click()
        await page.locator(".fault").wait_for()
        await page.get_by_label("Ping period, sec.").fill("30")
        await page.get_by_role("button", name="Save").click()
        await until(lambda: ping_period(program) == 30)
        await page.get_by_role("link", name="account", exact=True).click()
        changed = await generate_password(page)
        assert changed.uri == account.uri
        await refused(program, ErrorCode.PASSWORD_NOT_MATCHED)
        again = await connect(scene.world, changed)
        scene.world.clock.forward(MINUTE + 1)
        await _barred(page, link, "expired")
        assert await post(page, f"{link}/delete") == 403
        assert client in [one.id for one in await clients_of(scene.world, scene.sites[WALL])]
        await page.goto(listing)
        await page.goto(await _editing_link(scene, page, account))
        await page.get_by_label(f"Delete {account.key}").click()
        await page.get_by_role("button", name="Delete", exact=True).click()
        await page.get_by_text("The client was deleted.").wait_for()
        await refused(again, ErrorCode.CLIENT_NOT_REGISTERED)
        left = [one.key for one in await clients_of(scene.world, scene.sites[WALL])]
        assert left == [second.key]


async def test_gst_10_a_new_client_from_browsing(tmp_path: Path):
    async with office(tmp_path, mail=True) as scene:
        await guest_client(scene, WALL, email=MAIL)
        page = await scene.world.page()
        browsing = f"{await _browsing_link(scene, page)}/{scene.domain}"
        await page.goto(browsing)
        await page.get_by_role("button", name=f"new guest client on {WALL}").click()
        await page.get_by_role("status").filter(has_text="operator").wait_for()
        link = (await letters(scene))[0]
        assert "/guest/new/" in link
        assert len(await clients_of(scene.world, scene.sites[WALL])) == 1
        account = await created_by(page, link)
        await connect(scene.world, account)
        await page.goto(browsing)
        assert account.key in await page.inner_text("main")
        await _barred(page, link, "used already")
