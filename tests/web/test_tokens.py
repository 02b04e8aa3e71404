"""Tokens of programs on the owner's own page: made, shown once, used within their scope, void."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.base.clock import SystemClock
from gateway.model.kinds import Authority
from gateway.registry import operators
from tests.web import chromium
from tests.web.callers import PASSWORD, Program
from tests.web.chromium import browser_page, look_over
from tests.web.estate import make_estate
from tests.web.rig import Rig, add_owner, build_site, open_rig

DAY = 86_400
ADDRESS = "127.21.4.1"
NAME = "<b>Home</b> automation"


class AheadClock(SystemClock):
    """The machine's clock, set forward by the test."""

    ahead = 0.0

    def wall(self) -> float:
        return super().wall() + self.ahead


async def _sign_in(page: Any, rig: Rig, account: str) -> None:
    await page.goto(f"{rig.url}/sign-in")
    await page.get_by_label("Account name").fill(account)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log In").click()
    await page.wait_for_url("**/home")
    await page.goto(f"{rig.url}/account")


async def _make(page: Any, name: str, scope: str, days: str) -> None:
    await page.get_by_text("new token", exact=True).click()
    await page.get_by_label("What it is for").fill(name)
    await page.get_by_role("radio", name=scope).check()
    await page.get_by_label("Days until it expires").fill(days)
    await page.get_by_role("button", name="create the token").click()


@chromium.needed
@pytest.mark.timeout_s(180)
async def test_a_token_is_made_used_and_expires(tmp_path: Path) -> None:
    clock, axe = AheadClock(), chromium.axe_source()
    async with open_rig(tmp_path, address=ADDRESS, clock=clock) as rig, browser_page() as page:
        rig.server.desk.claimed = True
        await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        owner = await add_owner(rig.registry, "markus", Authority.PROVIDER)
        domain, _, _ = await rig.registry.write(lambda tx: build_site(tx, owner))
        other = await make_estate(rig, "other", Authority.PROVIDER)
        await _sign_in(page, rig, "markus")
        tokens = page.locator("#tokens")
        await tokens.get_by_text("No tokens yet.").wait_for()
        assert await page.get_by_role("radio", name="administer").count() == 0

        await _make(page, NAME, "manage", "30")
        await tokens.get_by_text("shown this one time").wait_for()
        secret = await page.locator("#shown-token").inner_text()
        assert len(secret) == operators.TOKEN_LENGTH
        await page.get_by_role("button", name="Copy the token").click()
        await page.get_by_role("button", name="Copied").wait_for()
        assert await page.evaluate("navigator.clipboard.readText()") == secret
        wrong = await look_over(page, "token-shown", axe)

        # Neither ok nor reading the page again shows it, nor makes another.
        await page.reload()
        await tokens.get_by_text(NAME, exact=True).wait_for()
        assert secret not in await page.content()
        await page.go_back()
        assert secret not in await page.content()
        await page.goto(f"{rig.url}/account")
        await _make(page, "Dashboard", "read", "")
        reading = await page.locator("#shown-token").inner_text()
        await page.get_by_role("link", name="ok", exact=True).click()
        await tokens.get_by_text("without an end; never used").wait_for()
        kept = await rig.registry.read(lambda reader: operators.list_tokens(reader, owner))
        assert [one.name for one in kept] == [NAME, "Dashboard"]

        manager, reader = Program(rig.url, secret), Program(rig.url, reading)
        try:
            await _within_its_scope(manager, reader, domain, other.ids["domain"])
            await page.goto(f"{rig.url}/account")
            assert await tokens.get_by_text("last used").count() == 2
            await page.get_by_text("new token", exact=True).click()
            wrong += await look_over(page, "tokens", axe)

            clock.ahead = 30 * DAY - 60
            assert (await manager.call("GET", "/domains"))[0] == 200
            clock.ahead = 30 * DAY + 1
            assert (await manager.call("GET", "/domains"))[0] == 401
            assert (await reader.call("GET", "/domains"))[0] == 200

            # The browser's own session has ended too by that time.
            await page.goto(f"{rig.url}/account")
            await _sign_in(page, rig, "markus")
            await tokens.locator(".red").get_by_text("expired").wait_for()
            await page.get_by_label("Delete the token Dashboard").click()
            await tokens.get_by_text(
                "Whatever uses the token Dashboard is refused from then on."
            ).wait_for()
            wrong += await look_over(page, "token-question", axe)
            await page.get_by_role("link", name="Cancel").click()
            assert (await reader.call("GET", "/domains"))[0] == 200
            await page.get_by_label("Delete the token Dashboard").click()
            await page.get_by_role("button", name="Delete", exact=True).click()
            await page.get_by_text("The token was deleted").wait_for()
            assert (await reader.call("GET", "/domains"))[0] == 401
        finally:
            await manager.close()
            await reader.close()
        assert (wrong, page.complaints) == ([], [])


async def _within_its_scope(manager: Program, reader: Program, mine: int, foreign: int) -> None:
    name = {"name": "Renamed"}
    assert (await manager.call("PUT", f"/domains/{mine}/name", name))[0] == 200
    status, told = await manager.call("GET", "/audit")
    assert (status, "scope" in told["detail"]) == (403, True), told
    listed = await reader.good("GET", "/domains")
    assert [one["name"] for one in listed["items"]] == ["Renamed"]
    status, told = await reader.call("PUT", f"/domains/{mine}/name", {"name": "Not this"})
    assert (status, "scope" in told["detail"]) == (403, True), told
    for program in (manager, reader):  # another owner's domain is none that there is
        assert (await program.call("GET", f"/domains/{foreign}"))[0] == 404
    status, _ = await reader.call("POST", "/tokens", {"name": "more", "scope": "manage"})
    assert status == 403


@pytest.mark.parametrize("authority", list(Authority), ids=lambda one: one.name.lower())
async def test_administration_is_offered_to_administrators(
    tmp_path: Path, authority: Authority
) -> None:
    async with open_rig(tmp_path, address=ADDRESS) as rig:
        rig.server.desk.claimed = True
        await add_owner(rig.registry, "markus", authority)
        browser = rig.browser()
        try:
            await browser.sign_in("markus")
            _, text, _ = await browser.get("/account")
            assert 'value="manage"' in text
            assert ('value="administer"' in text) == (authority is Authority.ADMINISTRATOR)
        finally:
            await browser.close()


async def test_the_rules_of_the_page_are_those_of_the_api(tmp_path: Path) -> None:
    async with open_rig(tmp_path, address=ADDRESS) as rig:
        rig.server.desk.claimed = True
        owner = await add_owner(rig.registry, "markus", Authority.PROVIDER)
        other = await make_estate(rig, "other", Authority.PROVIDER)
        browser = rig.browser()
        try:
            await browser.sign_in("markus")
            for form, told in (
                ({"name": "", "scope": "read"}, "Fill in the name."),
                ({"name": "x" * 65, "scope": "read"}, "at most 64 characters"),
                ({"name": "kept words", "scope": "all"}, "The scope must be one of"),
                ({"name": "kept words", "scope": "read", "days": "3651"}, "up to 3650"),
                ({"name": "kept words", "scope": "read", "days": "-1"}, "a whole number"),
            ):
                status, text, _ = await browser.post("/account/tokens", form)
                assert (status, told in text) == (422, True), (status, form)
                assert form["name"] in text
                assert 'id="new-token" open' in text
                assert 'action="/account/name"' not in text  # the rest is not being edited
            gone = f"/account/tokens/{other.ids['token']}/delete"
            status, text, _ = await browser.post(gone)
            assert (status, "does not exist any more" in text) == (404, True)
            assert await rig.registry.read(
                lambda reader: operators.get_token(reader, other.ids["token"])
            )
            assert (await browser.post("/account/tokens", {"csrf": "no", "name": "x"}))[0] == 403
            status, _, headers = await browser.post(
                "/account/tokens", {"name": "good", "scope": "read", "days": "1"}
            )
            assert (status, "no-store" in headers["Cache-Control"]) == (200, True)
            (kept,) = await rig.registry.read(lambda reader: operators.list_tokens(reader, owner))
            assert kept.expires_at == kept.created_at + DAY
            status, _, headers = await browser.post(f"/account/tokens/{kept.id}/delete")
            assert (status, headers["Location"]) == (303, "/account?done=token.delete#tokens")
        finally:
            await browser.close()
