"""Debian's Chromium, driven without a window; says why when it cannot be had."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
from collections.abc import AsyncIterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

PROGRAM = shutil.which("chromium-headless-shell") or shutil.which("chromium") or "chromium"
"""The shell is the same browser without the windows that nobody sees: three times as quick."""
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run"
    " --disable-background-networking --disable-component-update --disable-sync"
).split()
SCREENSHOTS = Path(__file__).resolve().parents[2] / "build" / "screenshots"
SIZES = {"desktop": (1280, 860), "phone": (390, 844)}


def missing() -> str:
    """Return why no browser can be driven here, or ''."""
    if not Path(PROGRAM).exists():
        return "Debian's chromium is not installed"
    if importlib.util.find_spec("playwright") is None:
        return "the Python package playwright is not installed"
    return ""


needed = pytest.mark.skipif(bool(missing()), reason=missing() or "-")
"""The mark of a test that drives a browser."""


def axe_source() -> str:
    """Return the accessibility checker, or '' where it is not installed."""
    if importlib.util.find_spec("axe_playwright_python") is None:
        return ""
    return resources.files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")


@contextlib.asynccontextmanager
async def browser_page(**more: Any) -> AsyncIterator[Any]:
    """Open a page whose complaints (scripts, policies) are kept in `page.complaints`."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=PROGRAM, args=FLAGS)
        try:
            context = await browser.new_context(**more)
            page = await context.new_page()
            complaints: list[str] = []
            page.complaints = complaints
            listen(page, complaints)
            yield page
        finally:
            await browser.close()


def listen(page: Any, complaints: list[str]) -> None:
    """Keep what a page complains of: a script that failed, a policy that was broken, a dialog."""

    def keep(message: Any) -> None:
        # A refused form is an answer with a status, which the console mentions; that is no fault.
        if message.type == "error" and "Failed to load resource" not in message.text:
            complaints.append(message.text)

    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(f"dialog {dialog.message}"))
    page.on("console", keep)


async def picture(page: Any, name: str) -> None:
    """Write the page in both sizes and both colour schemes, for people to look at."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        for size, (width, height) in SIZES.items():
            await page.set_viewport_size({"width": width, "height": height})
            await page.screenshot(
                path=str(SCREENSHOTS / f"{name}-{size}-{scheme}.png"), full_page=True
            )


async def look_over(page: Any, name: str, axe: str) -> list[str]:
    """Write pictures of a page; return what is wrong with it for somebody who cannot see well.

    Both colour schemes and both sizes are checked; nothing may be wider than a phone.
    """
    await picture(page, name)
    found: list[str] = []
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        for size, (width, height) in SIZES.items():
            await page.set_viewport_size({"width": width, "height": height})
            wide = await page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            if wide > 0:
                found.append(f"{name} {size}: {wide} pixels too wide")
            if axe:
                found += await _violations(page, f"{name} {size} {scheme}", axe)
    return found


async def _violations(page: Any, where: str, axe: str) -> list[str]:
    await page.evaluate(axe)
    report = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{where}: {one['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
        for one in report["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"][:3]
    ]
