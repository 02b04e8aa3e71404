"""Section A: logging in, being locked out, getting back in, one's own account, menu and home."""

from __future__ import annotations

from pathlib import Path

from gateway.model.kinds import Authority
from gateway.registry import contacts, owners
from gateway.registry.database import Tx
from tests.features.entry_steps import (
    DAY,
    account,
    fault,
    hand_over,
    link_for,
    log_in,
    mailed_link,
    menu,
    refusal,
    use_mailbox,
)
from tests.features.steps import command, flat
from tests.features.world import ADMIN, PASSWORD, World, open_world
from tests.telemetry.mailbox import Mailbox

WRONG = "not the password"
ANOTHER = "another good password"


async def _with_address(world: World, account_name: str, address: str) -> int:
    """Make Julia Robinson's account, whose address was confirmed."""

    def make(tx: Tx) -> int:
        record = owners.stored_password(tx, ADMIN)
        assert record is not None
        return owners.add(tx, account_name, "Julia Robinson", record.record, email=address).id

    return await world.registry.write(make)


async def _wrong_passwords(page, account_name: str, count: int) -> None:
    for _ in range(count):
        await log_in(page, account_name, WRONG)
        assert page.url.endswith("/sign-in")


async def test_acc_01_log_in(tmp_path: Path):
    async with open_world(tmp_path) as world:
        julia, _ = await world.person("Julia Robinson", "julia", Authority.CONSUMER)
        page = await world.page()
        await page.goto("/")
        await page.locator("header").get_by_role("link", name="Log In").click()
        keep = page.get_by_label("Keep me logged in")
        assert not await keep.is_checked()
        assert await page.get_by_role("link", name="Forgot your password?").count() == 1
        await log_in(page, "julia", WRONG)
        assert "wrong" in (await fault(page)).lower()
        assert await page.get_by_label("Account name").input_value() == "julia"
        assert await page.get_by_label("Password").input_value() == ""
        await log_in(page, "julia")
        assert page.url == f"{world.url}/home"
        name = page.locator("header .who .name")
        assert await name.inner_text() == "julia"
        box = await name.bounding_box()
        assert box["x"] > page.viewport_size["width"] / 2
        assert box["y"] < 80
        (cookie,) = [one for one in await page.context.cookies() if "session" in one["name"]]
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
        session_days = (cookie["expires"] - world.clock.wall()) / DAY
        await page.get_by_role("button", name="Log Out").click()
        await page.goto("/home")
        assert page.url.endswith("/sign-in")
        await page.get_by_label("Account name").fill("julia")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_label("Keep me logged in").check()
        await page.get_by_role("button", name="Log In").click()
        await page.locator("header .who .name").wait_for()
        (cookie,) = [one for one in await page.context.cookies() if "session" in one["name"]]
        assert session_days < 3
        assert 29 < (cookie["expires"] - world.clock.wall()) / DAY < 31
        await world.registry.write(lambda tx: owners.set_enabled(tx, julia, False))
        await page.goto("/home")
        assert page.url.endswith("/sign-in"), "a disabled account is out at its next request"
        await log_in(page, "julia", WRONG)
        assert "disabled" not in await fault(page)
        await log_in(page, "julia")
        assert "disabled" in await fault(page)


async def test_acc_02_lock_out(tmp_path: Path):
    async with open_world(tmp_path) as world:
        await hand_over(world)
        julia = await _with_address(world, "julia", "julia@example.org")
        admin, page = await world.signed_in(ADMIN), await world.page()
        # Four, and one more when ten minutes have gone by, do not add up to five.
        await _wrong_passwords(page, "julia", 4)
        world.clock.forward(601)
        await _wrong_passwords(page, "julia", 1)
        await log_in(page, "julia")
        assert page.url == f"{world.url}/home"
        await page.context.clear_cookies()
        await _wrong_passwords(page, "julia", 5)
        await log_in(page, "julia")
        assert "locked" in await fault(page)
        # The link opens the account when its form is sent, not when it is looked at.
        await page.get_by_role("link", name="Ask for a link that unlocks").click()
        await page.get_by_label("Account name or mail address").fill("julia")
        await page.get_by_role("button", name="send a link").click()
        await page.locator("p.done").wait_for()
        link = await link_for(world, admin, "julia@example.org")
        await page.goto(link)
        assert (await account(world, "julia")).locked_until is not None
        await page.get_by_role("button", name="unlock").click()
        await page.get_by_text("The account is unlocked").wait_for()
        await log_in(page, "julia")
        assert page.url == f"{world.url}/home"
        # So does the administrator.
        await page.context.clear_cookies()
        await _wrong_passwords(page, "julia", 5)
        await log_in(page, "julia")
        assert "locked" in await fault(page)
        await admin.goto("/admin/users")
        assert "[locked]" in await admin.locator("#content").inner_text()
        await admin.goto(f"/admin/users/{julia}")
        await admin.get_by_role("button", name="Unlock").click()
        await admin.get_by_text("Saved.").wait_for()
        await log_in(page, "julia")
        assert page.url == f"{world.url}/home"


async def test_acc_03_password_reset(tmp_path: Path):
    async with Mailbox() as mailbox, open_world(tmp_path) as world:
        admin = await world.signed_in(ADMIN)
        await use_mailbox(world, admin, mailbox)
        await _with_address(world, "julia", "julia@example.org")
        page = await world.page()
        answers = set()
        for asked in ("julia", "nobody", "JULIA@example.org", "nobody@example.org"):
            await page.goto("/sign-in")
            await page.get_by_role("link", name="Forgot your password?").click()
            await page.get_by_label("Account name or mail address").fill(asked)
            await page.get_by_role("button", name="send a link").click()
            answers.add(await page.locator("#content").inner_text())
            if asked.lower().startswith("julia"):
                link, text = await mailed_link(mailbox, "julia@example.org")
                assert "julia" in text
        assert len(answers) == 1
        assert "julia" not in answers.pop()
        assert mailbox.taken == []
        await page.goto(link)
        await page.get_by_label("Password").fill("short")
        await page.get_by_role("button", name="save the password").click()
        assert "8 to 64 characters" in await fault(page)
        await page.get_by_label("Password").fill(ANOTHER)
        await page.get_by_role("button", name="save the password").click()
        await page.get_by_text("The new password is good").wait_for()
        await log_in(page, "julia", PASSWORD)
        assert "wrong" in (await fault(page)).lower()
        await log_in(page, "julia", ANOTHER)
        assert page.url == f"{world.url}/home"
        assert "used" in await refusal(page, link)
        await page.context.clear_cookies()
        await page.goto("/forgot")
        await page.get_by_label("Account name or mail address").fill("julia")
        await page.get_by_role("button", name="send a link").click()
        late, _ = await mailed_link(mailbox, "julia@example.org")
        await page.goto(late)
        world.clock.forward(7 * DAY + 1)
        assert await command(page, late, password="one more password") == 403
        assert "expired" in await refusal(page, late)
        await log_in(page, "julia", ANOTHER)
        assert page.url == f"{world.url}/home"


async def test_acc_04_my_account_settings(tmp_path: Path):
    async with open_world(tmp_path) as world:
        await hand_over(world)
        await _with_address(world, "julia", "julia@example.org")
        admin = await world.signed_in(ADMIN)
        page = await world.signed_in("julia", "/")
        await page.locator("header .who .name").click()
        assert await page.get_by_label("Your name").count() == 0
        await page.get_by_role("link", name="edit", exact=True).click()
        await page.get_by_label("Your name").fill("Julia Roberts")
        await page.get_by_role("button", name="save the name").click()
        await page.get_by_text("Saved.").wait_for()
        assert (await account(world, "julia")).full_name == "Julia Roberts"
        await page.goto("/account?edit=1")
        await page.get_by_role("link", name="view", exact=True).click()
        assert await page.get_by_label("Your name").count() == 0
        await page.goto("/account?edit=1")
        await page.get_by_label("Mail address").fill("roberts@example.org")
        await page.get_by_role("button", name="save the mail address").click()
        await page.get_by_text("roberts@example.org is not confirmed yet.").wait_for()
        assert (await account(world, "julia")).email == "julia@example.org"
        link = await link_for(world, admin, "roberts@example.org")
        await page.goto(link)
        shown = await page.locator("#link").inner_text()
        assert "julia@example.org" in shown
        assert "roberts@example.org" in shown
        assert (await account(world, "julia")).email == "julia@example.org"
        await page.get_by_role("button", name="apply").click()
        await page.wait_for_url("**/home")
        assert (await account(world, "julia")).email == "roberts@example.org"
        await page.goto("/account?edit=1")
        await page.get_by_label("Present password").fill(PASSWORD)
        await page.get_by_label("New password").fill(ANOTHER)
        await page.get_by_role("button", name="save the password").click()
        await page.get_by_text("Your password was changed").wait_for()
        assert ANOTHER not in await page.content()
        other = await world.page()
        await log_in(other, "julia", PASSWORD)
        assert "wrong" in (await fault(other)).lower()
        await log_in(other, "julia", ANOTHER)
        assert other.url == f"{world.url}/home"


async def test_acc_05_main_menu_by_role(tmp_path: Path):
    consumer = ["Home", "Contacts", "Public"]
    provider = ["Home", "Domains", "Contacts", "Public"]
    ours = {"Cameras", "Sessions"}
    """What the gateway has beside the guide: pages of one's own cameras, for providers."""
    async with open_world(tmp_path) as world:
        await world.person("Julia Robinson", "julia", Authority.CONSUMER)
        await world.person("Markus Schmidt", "markus", Authority.PROVIDER)
        page = await world.page()
        await page.goto("/")
        assert await menu(page) == ["Home", "Public Services", "Guest Clients by EMail"]
        for path in ("/home", "/contacts", "/domains", "/admin/users", "/audit"):
            await page.goto(path)
            assert page.url.endswith("/sign-in"), path
        for name, words, forbidden in (
            ("julia", consumer, ("/domains", "/admin/users", "/admin/settings", "/audit")),
            ("markus", provider, ("/admin/users", "/admin/invitations", "/admin/outbox", "/audit")),
            (ADMIN, [*provider, "Admin"], ()),
        ):
            page = await world.signed_in(name, "/home")
            shown = await menu(page)
            assert [word for word in shown if word not in ours] == words
            assert ours.isdisjoint(shown) == (name == "julia")
            for path in forbidden:
                answer = await page.goto(path)
                assert answer.status == 403, (name, path)
            for word in words:
                await page.locator("nav.menu").get_by_role("link", name=word, exact=True).click()
                current = page.locator("nav.menu [aria-current]")
                assert await current.all_inner_texts() == [word]


async def test_acc_06_home_page(tmp_path: Path):
    async with open_world(tmp_path) as world:
        john, (first, second) = await world.person(
            "John", "john", Authority.PROVIDER, "Home Surveillance", "Office Automation"
        )
        partners = [
            (await world.person(name, name.split()[0].lower()))[0]
            for name in ("Julia Robinson", "Alison Grey", "Markus Schmidt")
        ]

        def befriend(tx: Tx) -> dict[str, int]:
            for partner in partners:
                contacts.invite(tx, partner, john)
                contacts.accept(tx, john, partner)
            return {one.name: one.id for one in contacts.list_for(tx, john)}

        ids = await world.registry.write(befriend)
        page = await world.signed_in("john", "/home")
        hints = await page.locator("#recent").inner_text()
        assert hints.count("None yet") == 2
        for name, path in (("My domains", "/domains"), ("Contacts", "/contacts")):
            link = page.locator("#recent").get_by_role("link", name=name, exact=True)
            assert await link.get_attribute("href") == path
        await page.goto(f"/domains/{first}")
        await page.goto(f"/domains/{second}")
        await page.goto(f"/contacts/{ids['Julia Robinson']}")
        await page.goto(f"/contacts/{ids['Alison Grey']}")

        async def listed() -> list[list[str]]:
            await page.goto("/home")
            return [
                [flat(text) for text in await part.locator("ul").first.locator("li a")
                 .all_inner_texts()]
                for part in await page.locator("#recent section").all()
            ]  # fmt: skip

        people = ["Alison Grey", "Julia Robinson"]
        assert await listed() == [["Office Automation", "Home Surveillance"], people]
        await page.goto(f"/domains/{first}")
        assert await listed() == [["Home Surveillance", "Office Automation"], people]
        # A contact that can not be used any more stands apart.
        await world.registry.write(lambda tx: owners.set_enabled(tx, partners[0], False))
        assert (await listed())[1] == ["Alison Grey"]
        apart = page.locator("#recent h3 + ul")
        assert "Julia Robinson" in await apart.inner_text()
        assert "disabled" in await apart.inner_text()
