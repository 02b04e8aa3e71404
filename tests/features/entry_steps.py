"""What people do before they have signed in, and the letters that they get meanwhile."""

from __future__ import annotations

import re
from typing import Any

from gateway.model.accounts import Owner
from gateway.registry import outbox, owners, server_settings
from gateway.registry.outbox import Letter
from tests.features.steps import flat
from tests.features.world import PASSWORD, World, until
from tests.telemetry.mailbox import HOST, Mailbox

DAY = 86_400
NO_REGISTRATION = "Ask the administrator of this box for an invitation."


async def choose(world: World, **values: bool | int | str | None) -> None:
    """Set settings as an administrator does on the page; links name the box as the browser does."""
    await world.registry.write(
        lambda tx: server_settings.change(tx, {"management_url": world.url, **values})
    )


async def hand_over(world: World, **values: bool | int | str | None) -> None:
    """Let links wait in the outbox, as on a box without a mail server."""
    await choose(world, hand_over=True, **values)


async def letters(world: World) -> tuple[Letter, ...]:
    """Return what the outbox has, newest first."""
    return await world.registry.read(outbox.list_all)


async def link_for(world: World, page: Any, address: str) -> str:
    """Read the link for an address off the administrator's outbox; the newest if there are more."""
    await page.goto("/admin/outbox")
    line = page.locator("#letters li").filter(has=page.get_by_text(address, exact=True)).first
    link = str(await line.locator("code").inner_text())
    assert link.startswith(f"{world.url}/")
    return link


async def use_mailbox(world: World, admin: Any, mailbox: Mailbox) -> None:
    """Name a real mail server on the box and press "Test", whose letter it takes."""
    await choose(
        world, smtp_host=HOST, smtp_port=mailbox.port, smtp_security="none",
        mail_address="box@example.org",
    )  # fmt: skip
    await admin.goto("/admin/settings")
    await admin.get_by_label("Send a test message to").fill("ada@example.org")
    await admin.get_by_role("button", name="Test", exact=True).click()
    await admin.get_by_text("The mail server took the message").wait_for()
    assert [receiver for _, receiver, _ in mailbox.taken] == ["ada@example.org"]
    mailbox.taken.clear()


async def mailed_link(mailbox: Mailbox, address: str) -> tuple[str, str]:
    """Wait for the one letter to an address; return its link and its whole text."""
    await until(lambda: mailbox.taken)
    ((_, receiver, letter),) = mailbox.taken
    assert receiver == address
    payload = letter.get_payload(decode=True)
    assert isinstance(payload, bytes)
    text = payload.decode()
    found = re.search(r"https?://\S+", text)
    assert found is not None, text
    mailbox.taken.clear()
    return found[0], text


async def ask_to_register(page: Any, address: str) -> None:
    """Fill in the page New User and send it; the browser's own check is put aside."""
    await page.goto("/register")
    await page.get_by_label("Mail address").fill(address)
    await page.get_by_role("button", name="send confirmation mail").click()
    await page.locator("p.done, p.fault").first.wait_for()


async def sign_up(
    page: Any, account_name: str, full_name: str = "Julia Robinson", password: str = PASSWORD
) -> None:
    """Fill in the form that a link or an invitation opens, and send it as it is."""
    await page.get_by_label("Your name").fill(full_name)
    await page.get_by_label("Account name").fill(account_name)
    await page.get_by_label("Password").fill(password)
    async with page.expect_navigation():
        await page.get_by_role("button", name="create account").click()


async def log_in(page: Any, account_name: str, password: str = PASSWORD) -> None:
    """Fill in the form of the Log In page and send it."""
    await page.goto("/sign-in")
    await page.get_by_label("Account name").fill(account_name)
    await page.get_by_label("Password").fill(password)
    async with page.expect_navigation():
        await page.get_by_role("button", name="Log In").click()


async def fault(page: Any) -> str:
    """Return the one sentence that says what was wrong."""
    return flat(await page.locator("p.fault, p.alert[role=alert]").inner_text())


async def refusal(page: Any, link: str) -> str:
    """Open a link that is not good; return the reason, without a form being offered."""
    answer = await page.goto(link)
    assert 400 <= answer.status < 500
    assert await page.locator("form#link").count() == 0
    return flat(await page.locator("#content .card").inner_text())


async def account(world: World, account_name: str) -> Owner | None:
    """Return an account as it is stored."""
    return await world.registry.read(lambda reader: owners.by_account_name(reader, account_name))


async def menu(page: Any) -> list[str]:
    """Return the words of the main menu."""
    return [flat(word) for word in await page.locator("nav.menu a").all_inner_texts()]
