"""Runs coroutine tests on a debug loop with a time limit and fails on what they leave behind."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest

DEFAULT_TIMEOUT = 30.0


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "timeout_s(seconds): time limit of a coroutine test")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments: dict[str, Any] = {name: pyfuncitem.funcargs[name] for name in names}
    marker = pyfuncitem.get_closest_marker("timeout_s")
    limit = float(marker.args[0]) if marker else DEFAULT_TIMEOUT

    async def run() -> None:
        async with asyncio.timeout(limit):
            await pyfuncitem.obj(**arguments)
        await asyncio.sleep(0)
        mine = asyncio.current_task()
        left = [task for task in asyncio.all_tasks() if task is not mine and not task.done()]
        assert not left, f"tasks left behind: {[task.get_name() for task in left]}"

    with asyncio.Runner(debug=True) as runner:
        runner.get_loop().slow_callback_duration = 1.0
        runner.run(run())
    return True
