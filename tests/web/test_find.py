"""Search in long lists: rows that do not contain all the words are not shown, live or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.model.kinds import Authority, UserKind
from gateway.registry import members, services
from gateway.registry.database import Tx
from tests.web import chromium
from tests.web.callers import PASSWORD
from tests.web.chromium import axe_source, browser_page, look_over
from tests.web.rig import add_owner, build_site, open_rig

pytestmark = chromium.needed


async def _shown(page: Any, rows: str) -> list[str]:
    texts = await page.locator(rows).all_inner_texts()
    return [" ".join(text.split()) for text in texts if text.strip()]


@pytest.mark.timeout_s(120)
async def test_a_long_list_is_searched(tmp_path: Path):
    async with open_rig(tmp_path) as rig, browser_page() as page:
        rig.server.desk.claimed = True
        owner = await add_owner(rig.registry, "markus", Authority.PROVIDER)

        def furnish(tx: Tx) -> tuple[int, int]:
            domain, site, _ = build_site(tx, owner)
            for number in range(15):
                services.add(tx, site, f"Hall {number}")
                members.add_user(tx, domain, UserKind.PRIVATE, f"Guard {number}")
            return domain, site

        domain, site = await rig.registry.write(furnish)
        await page.goto(f"{rig.url}/sign-in")
        await page.get_by_label("Account name").fill("markus")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Log In").click()
        await page.wait_for_url("**/home")

        await page.goto(f"{rig.url}/sites/{site}")
        rows = "#services ul.rows > li:visible"
        assert len(await _shown(page, rows)) == 16
        await page.get_by_label("Find a service").fill("hall 14")
        assert [text[:9] for text in await _shown(page, rows)] == ["» Hall 14"]
        # A change of the list leaves the search and the typing as they are.
        await page.locator("html[data-live]").wait_for()
        await rig.registry.write(lambda tx: services.add(tx, site, "Hall 144"))
        await page.locator("#services").get_by_text("Hall 144").wait_for()
        assert len(await _shown(page, rows)) == 2
        assert await page.get_by_label("Find a service").input_value() == "hall 14"
        assert await page.evaluate("document.activeElement.id") == "find-services"
        await page.keyboard.type("4")
        assert len(await _shown(page, rows)) == 1

        await page.goto(f"{rig.url}/domains/{domain}")
        await page.get_by_label("Find a user").fill("GUARD 7")
        assert [t.split()[1:3] for t in await _shown(page, "#users tbody > tr:visible")] == [
            ["Guard", "7"]
        ]
        assert await look_over(page, "find", axe_source()) == []
        assert page.complaints == []
