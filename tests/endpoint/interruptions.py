"""Do something at the n-th await of a coroutine: while it waits, or when it is about to go on."""

from __future__ import annotations

import asyncio
import contextlib
import enum
from collections.abc import Callable, Coroutine, Generator, Iterator
from typing import Any


class Moment(enum.Enum):
    """When the n-th await is interrupted."""

    WAITING = "while it waits"
    DONE = "what it waits for has come, and it has not seen it yet"


class Interruption:
    """Calls `act` at one await of the first coroutine of a name that a task begins with.

    `name` is the qualified name, `Endpoint._keep` say; `happened` tells whether the coroutine came
    so far.
    """

    def __init__(self, name: str, place: int, moment: Moment, act: Callable[[], object]) -> None:
        self.name = name
        self.place = place
        self.moment = moment
        self.act = act
        self.found = False
        self.happened = False

    def takes(self, coroutine: Coroutine[Any, Any, Any]) -> bool:
        if self.found or coroutine.__qualname__ != self.name:
            return False
        self.found = True
        return True

    def waiting(self, number: int, awaited: asyncio.Future[Any] | None) -> None:
        if number != self.place:
            return
        if self.moment is Moment.DONE and awaited is not None:
            awaited.add_done_callback(self._interrupt)  # before the task hears of it
        else:
            self.happened = True
            asyncio.get_running_loop().call_soon(self.act)

    def _interrupt(self, _: asyncio.Future[Any]) -> None:
        self.happened = True
        self.act()


class _Watched:
    def __init__(self, coroutine: Coroutine[Any, Any, Any], told: Interruption) -> None:
        self._coroutine = coroutine
        self._told = told

    def __await__(self) -> Generator[Any, Any, Any]:
        steps, number = self._coroutine.__await__(), 0
        try:
            awaited = steps.send(None)
            while True:
                number += 1
                self._told.waiting(number, awaited)
                try:
                    yield awaited
                except BaseException as error:
                    awaited = steps.throw(error)
                else:
                    awaited = steps.send(None)
        except StopIteration as end:
            return end.value


async def _watched(coroutine: Coroutine[Any, Any, Any], told: Interruption) -> Any:
    return await _Watched(coroutine, told)


@contextlib.contextmanager
def interrupting(told: Interruption) -> Iterator[Interruption]:
    """Interrupt a task that is begun in here."""
    loop = asyncio.get_running_loop()

    def make(
        loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **more: Any
    ) -> asyncio.Task[Any]:
        if told.takes(coroutine):
            coroutine = _watched(coroutine, told)
        return asyncio.Task(coroutine, loop=loop, **more)

    before = loop.get_task_factory()
    loop.set_task_factory(make)
    try:
        yield told
    finally:
        loop.set_task_factory(before)
