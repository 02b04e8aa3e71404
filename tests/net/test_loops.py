"""The event loop is chosen by name."""

from __future__ import annotations

import asyncio
import gc

import pytest

from gateway.net.loops import CHOICES, COLLECTOR, calm_collector, give_back_memory, loop_factory


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_makes_a_loop_that_runs(choice: str) -> None:
    with asyncio.Runner(loop_factory=loop_factory(choice)) as runner:
        assert runner.run(asyncio.sleep(0, "ran")) == "ran"
        fast = type(runner.get_loop()).__module__.startswith("uvloop")
    assert fast is (choice != "asyncio")


def test_the_collector_is_called_seldom_and_still_works() -> None:
    before = gc.get_threshold()
    try:
        calm_collector()
        assert gc.get_threshold() == COLLECTOR
        assert gc.get_freeze_count() > 0
        cycle: list[object] = []
        cycle.append(cycle)
        del cycle
        assert gc.collect(1) >= 1
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def test_memory_is_given_back_and_nothing_else_happens() -> None:
    kept = bytearray(b"kept") * 1000
    give_back_memory()
    assert bytes(kept[:4]) == b"kept"
