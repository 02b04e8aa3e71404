"""Section A: how people get an account, with mail over a real server and without any mail."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

from playwright.async_api import Error

from gateway.model.kinds import Authority
from gateway.registry import invitations, owners
from tests.features.entry_steps import (
    DAY,
    NO_REGISTRATION,
    account,
    ask_to_register,
    choose,
    fault,
    hand_over,
    letters,
    link_for,
    log_in,
    mailed_link,
    refusal,
    sign_up,
    use_mailbox,
)
from tests.features.steps import command, flat
from tests.features.world import ADMIN, PASSWORD, World, open_world
from tests.telemetry.mailbox import Mailbox

KEY = re.compile(r"[a-km-np-z][0-9a-km-np-z]{31}\Z")
"""An invitation's key: a letter first, then letters and digits, without l and o."""


async def _invitation(admin: Any, **values: str) -> str:
    """Make an invitation on the page; return the link that is shown for it."""
    await admin.goto("/admin/invitations")
    form = admin.locator("#new-invitation")
    for label, value in values.items():
        await form.get_by_label(label.replace("_", " ").capitalize()).fill(value)
    await form.get_by_role("button", name="Create invitation").click()
    return str(await admin.locator("li.open code").inner_text())


async def _visitor(world: World, path: str = "/") -> Any:
    page = await world.page()
    await page.goto(path)
    return page


async def test_reg_01_new_user_button_only_while_registration_is_free(tmp_path: Path):
    async with open_world(tmp_path) as world:
        admin = await world.signed_in(ADMIN, "/admin/settings")
        page = await world.page()
        for switch, free in (("on", True), ("off", False)):
            await admin.get_by_label("anyone can register").select_option(label=switch)
            await admin.get_by_role("button", name="Save anyone can register").click()
            await admin.get_by_text("Saved.").wait_for()
            for path in ("/", "/public", "/guest/browse", "/sign-in"):
                await page.goto(path)
                button = page.locator("header").get_by_role("link", name="New User")
                assert await button.count() == free, path
                hint = page.locator("header").get_by_text("Ask the administrator")
                assert await hint.count() == (not free), path
            await page.goto("/register")
            assert page.url == world.url + ("/register" if free else "/")
        assert "Ask the administrator of this box for an invitation" in await page.content()
        # No form leads there any more; one that was kept gets nothing either.
        await page.goto("/sign-in")
        assert await command(page, "/register", email="julia@example.org") == 403


async def test_reg_02_a_confirmation_mail_is_asked_for(tmp_path: Path):
    async with Mailbox() as mailbox, open_world(tmp_path) as world:
        admin = await world.signed_in(ADMIN)
        await use_mailbox(world, admin, mailbox)
        await choose(world, anyone_can_register=True)
        await world.registry.write(
            lambda tx: owners.add(
                tx, "markus", "Markus Schmidt", owners.stored_password(tx, ADMIN).record,
                email="markus@example.org",
            )
        )  # fmt: skip
        before = len(await letters(world))
        page = await _visitor(world)
        await page.locator("header").get_by_role("link", name="New User").click()
        assert page.url.endswith("/register")
        for wrong in ("julia", "julia@example", "ju lia@example.org", "Markus@Example.org"):
            await ask_to_register(page, wrong)
            assert "mail address" in (await fault(page)).lower(), wrong
            assert await page.locator("p.done").count() == 0
        assert len(await letters(world)) == before
        await ask_to_register(page, "julia@example.org")
        assert "a message is on its way" in await page.locator("p.done").inner_text()
        link, _ = await mailed_link(mailbox, "julia@example.org")
        assert link.startswith(f"{world.url}/sign-up/")
        assert len(await letters(world)) == before + 1
        await page.get_by_role("link", name="ok", exact=True).click()
        assert page.url == f"{world.url}/"


async def test_reg_03_the_confirmation_link_opens_the_form_and_is_refused_with_a_reason(
    tmp_path: Path,
):
    async with open_world(tmp_path) as world:
        await hand_over(world, anyone_can_register=True)
        admin, page = await world.signed_in(ADMIN), await world.page()
        await ask_to_register(page, "julia@example.org")
        link = await link_for(world, admin, "julia@example.org")
        await page.goto(link)
        assert (await page.locator("h1").inner_text()).upper() == "SIGN UP"
        address = page.get_by_label("Mail address")
        assert await address.input_value() == "julia@example.org"
        assert not await address.is_editable()
        altered = link[:-1] + ("A" if link[-1] != "A" else "B")
        assert "not known here" in await refusal(page, altered)
        await page.goto(link)
        await sign_up(page, "julia")
        assert "used" in await refusal(page, link)
        await ask_to_register(page, "robinson@example.org")
        late = await link_for(world, admin, "robinson@example.org")
        world.clock.forward(7 * DAY - 60)
        assert (await page.goto(late)).status == 200
        csrf = await page.locator("#link input[name=csrf]").input_value()
        world.clock.forward(61)
        assert "expired" in await refusal(page, late)
        answer = await page.request.post(late, form={
            "csrf": csrf, "full_name": "Late Comer", "account_name": "late", "password": PASSWORD,
        })  # fmt: skip
        assert answer.status == 403
        assert await account(world, "late") is None


async def test_reg_04_the_account_is_created(tmp_path: Path):
    async with open_world(tmp_path) as world:
        await hand_over(world, anyone_can_register=True, account_password_min_length=10)
        await world.person("Markus Schmidt", "markus")
        admin, page = await world.signed_in(ADMIN), await world.page()
        await ask_to_register(page, "julia@example.org")
        link = await link_for(world, admin, "julia@example.org")
        await page.goto(link)
        good = {"full_name": "Julia R.", "account_name": "julia", "password": "0123456789"}
        wrong = [
            {"full_name": "Jul"}, {"full_name": "J" * 65}, {"account_name": "jul"},
            {"account_name": "j" * 65}, {"account_name": " julia"}, {"account_name": "julia "},
            {"account_name": "markus"}, {"account_name": "MARKUS"}, {"password": "012345678"},
            {"password": "0" * 65}, {"password": " 0123456789"}, {"password": "0123456789 "},
        ]  # fmt: skip
        for one in wrong:
            assert 400 <= await command(page, link, **{**good, **one}) < 500, one
            assert await account(world, "julia") is None, one
        # One of them as it is seen; what was typed stays, but for the password.
        await sign_up(page, "MARKUS", password="0123456789")
        assert "taken" in await fault(page)
        assert await page.get_by_label("Account name").input_value() == "MARKUS"
        assert await page.get_by_label("Password").input_value() == ""
        await sign_up(page, "julia", "Juli", "0123456789")
        assert page.url.startswith(f"{world.url}/sign-in")
        assert "The account was created" in await page.locator("p.done").inner_text()
        made = await account(world, "JULIA")
        assert (made.full_name, made.email) == ("Juli", "julia@example.org")
        await log_in(page, "julia", "0123456789")
        assert flat(await page.locator("header .who .name").inner_text()) == "julia"


async def test_reg_05_invitation_mail_or_bare_url(tmp_path: Path):
    async with Mailbox() as mailbox, open_world(tmp_path) as world:
        admin = await world.signed_in(ADMIN)
        await use_mailbox(world, admin, mailbox)
        bare = await _invitation(admin, text="For the porter")
        assert await admin.get_by_role("button", name="Send mail to").count() == 0
        shown = await _invitation(admin, mail_address="julia@example.org")
        for link in (bare, shown):
            path, _, key = link.rpartition("/")
            assert path == f"{world.url}/invitation"
            assert KEY.match(key)
        assert bare != shown
        await admin.get_by_role("button", name="Send mail to julia@example.org").click()
        link, text = await mailed_link(mailbox, "julia@example.org")
        assert link == shown
        assert "Ada Admin" in text


async def test_reg_06_sign_up_by_invitation(tmp_path: Path):
    async with open_world(tmp_path) as world:
        await choose(world)
        admin, page = await world.signed_in(ADMIN), await world.page()
        for name, provider in (("julia", False), ("markus", True)):
            await admin.goto("/admin/invitations")
            form = admin.locator("#new-invitation")
            await form.get_by_label("The new account is a Provider").set_checked(provider)
            await form.get_by_role("button", name="Create invitation").click()
            link = str(await admin.locator("li.open code").inner_text())
            await page.goto(link)
            assert (await page.locator("h1").inner_text()).upper() == "SIGN UP BY INVITATION"
            assert "Ada Admin" in await page.locator("#link").inner_text()
            assert await page.get_by_label("Mail address").is_editable()
            csrf = await page.locator("#link input[name=csrf]").input_value()
            await sign_up(page, name, f"Called {name}")
            assert page.url.startswith(f"{world.url}/sign-in")
            await log_in(page, name)
            await page.context.clear_cookies()
            made = await account(world, name)
            assert made.authority is (Authority.PROVIDER if provider else Authority.CONSUMER)
            assert "already applied" in await refusal(page, link)
            again = {"full_name": "Another", "account_name": "another", "password": PASSWORD}
            answer = await page.request.post(link, form={"csrf": csrf, **again})
            assert answer.status == 403
        late = await _invitation(admin, text="Too late")
        world.clock.forward(14 * DAY + 1)
        assert "expired" in await refusal(page, late)
        await page.goto("/sign-in")
        answer = await command(page, late, **again)
        assert answer == 403
        assert await account(world, "another") is None


async def test_reg_07_works_without_mail_server(tmp_path: Path):
    async with open_world(tmp_path) as world:
        admin, page = await world.signed_in(ADMIN), await world.page()
        told: list[str] = []

        async def read(answer: Any) -> None:
            if answer.request.resource_type == "document" and not 300 <= answer.status < 400:
                text = ""
                with contextlib.suppress(Error):  # the browser forgets a page that was left
                    text = await answer.text()
                told.append(f"{answer.status} {text}")

        for window in (admin, page):
            window.on("response", read)
        await choose(world, anyone_can_register=True)
        await page.goto("/register")
        form = page.locator("form#link")
        assert "This box sends no mail" in await form.inner_text()
        await page.get_by_label("Mail address").fill("julia@example.org")
        await page.get_by_role("button", name="ask for an account").click()
        assert "administrator" in await page.locator("p.done").inner_text()
        for path in ("/forgot", "/locked"):
            await page.goto(path)
            assert "sends no mail" in await page.locator("#content").inner_text()
            assert await page.locator("form").count() == 0
        # The request becomes an invitation, whose address the administrator copies.
        await admin.goto("/admin/invitations")
        await admin.get_by_role("button", name="Invite", exact=True).click()
        link = str(await admin.locator("li.open code").inner_text())
        await admin.get_by_role("button", name="Send mail to julia@example.org").click()
        assert "sends no mail" in await fault(admin)
        await page.goto(link)
        await sign_up(page, "julia")
        await log_in(page, "julia")
        assert page.url == f"{world.url}/home"
        assert await world.registry.read(
            lambda reader: len(
                invitations.list_all(reader, invitations.InvitationState.ACCEPTED)
            )
        ) == 1  # fmt: skip
        assert await letters(world) == ()
        assert len(told) > 8
        for text in told:
            assert not text.startswith("5"), text[:200]
            for word in ("Traceback", "smtplib", "Connection refused", "gaierror"):
                assert word not in text
        assert NO_REGISTRATION not in told[0]
