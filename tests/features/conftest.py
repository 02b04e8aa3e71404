"""All tests of a process share one event loop and one browser: that start is the slow part."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest

from tests.features import world

DEFAULT_TIMEOUT = 60.0
_RUNNER: list[asyncio.Runner] = []


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
