"""Rooms of tasks: named, owned, awaited."""

from __future__ import annotations

import asyncio

import pytest

from gateway.net.tasks import TaskRoom


async def test_leaving_a_room_cancels_and_awaits_its_tasks_and_its_children() -> None:
    ended: list[str] = []

    async def wait(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    async with TaskRoom("house") as house:
        room = house.child("room")
        house.start(wait("outer"), name="outer")
        task = room.start(wait("inner"), name="inner")
        assert task.get_name() == "house/room: inner"
        await asyncio.sleep(0)
        assert len(house) == 1
    assert ended == ["inner", "outer"]
    assert len(house) == 0


async def test_a_failing_task_is_reported_and_the_others_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failures: list[tuple[str, str]] = []
    async with TaskRoom("r", lambda name, error: failures.append((name, str(error)))) as room:

        async def fail() -> None:
            raise ValueError("broken")

        other = room.start(asyncio.Event().wait(), name="other")
        with pytest.raises(ValueError, match="broken"):
            await room.start(fail(), name="fails")
        await asyncio.sleep(0)
        assert not other.done()
    assert failures == [("r: fails", "broken")]
    assert "task r: fails failed" in caplog.text


async def test_a_closed_room_takes_no_tasks() -> None:
    room = TaskRoom("r")
    await room.close()
    await room.close()
    with pytest.raises(RuntimeError, match="closed"):
        room.start(asyncio.sleep(0), name="late")


async def test_a_task_may_close_its_own_room() -> None:
    room = TaskRoom("r")
    await asyncio.wait_for(room.start(room.close(), name="closer"), 1)


async def test_a_child_that_has_closed_is_forgotten() -> None:
    house = TaskRoom("house")
    kept = house.child("kept")
    for number in range(3):
        await house.child(str(number)).close()
    assert list(house._children) == [kept]
    await house.close()
    assert kept.closed
    assert not house._children
