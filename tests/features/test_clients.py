"""Section I: CLIENT MANAGEMENT of the owner, the first seed page."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.features.scenes import john
from tests.features.world import MISSING

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING or "-")


async def test_clt_21_add_a_client_for_alison(tmp_path: Path):
    async with john(tmp_path) as scene:
        page = await scene.world.signed_in("john", f"/sites/{scene.site}/clients")
        await page.get_by_role("button", name="add client for Alison").click()
        row = page.get_by_role("listitem").filter(has_text="Alison")
        await row.get_by_text("softnet-m://").wait_for()
