"""Tests here need a browser; all of a process share it and one event loop: that start is slow."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path
from typing import Any

import pytest

from tests.features import world
from tests.web import chromium

DEFAULT_TIMEOUT = 60.0
HERE = Path(__file__).parent
_RUNNER: list[asyncio.Runner] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:  # of all folders; those of this one that are coroutines drive the browser
        if HERE in item.path.parents and inspect.iscoroutinefunction(getattr(item, "obj", None)):
            item.add_marker(chromium.needed)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    if not _RUNNER:
        _RUNNER.append(asyncio.Runner())
    names = pyfuncitem._fixtureinfo.argnames
    arguments: dict[str, Any] = {name: pyfuncitem.funcargs[name] for name in names}
    marker = pyfuncitem.get_closest_marker("timeout_s")

    async def run() -> None:
        async with asyncio.timeout(float(marker.args[0]) if marker else DEFAULT_TIMEOUT):
            await pyfuncitem.obj(**arguments)

    _RUNNER[0].run(run())
    return True


def pytest_sessionfinish() -> None:
    if _RUNNER:
        with _RUNNER.pop() as runner:
            runner.run(world.close_browser())
