"""The event loop is chosen by name."""

from __future__ import annotations

import asyncio

import pytest

from gateway.net.loops import CHOICES, loop_factory


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_makes_a_loop_that_runs(choice: str) -> None:
    with asyncio.Runner(loop_factory=loop_factory(choice)) as runner:
        assert runner.run(asyncio.sleep(0, "ran")) == "ran"
        fast = type(runner.get_loop()).__module__.startswith("uvloop")
    assert fast is (choice != "asyncio")
