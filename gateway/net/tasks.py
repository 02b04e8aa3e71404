"""Named, owned, awaited tasks: the only caller of the loop's task factory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Self

_log = logging.getLogger(__name__)


class TaskRoom:
    """Owns tasks: leaving the room cancels and awaits them all.

    A task that fails is logged and reported to `on_failure`; the others go on. Rooms may be
    nested: a child room is closed with its parent.
    """

    def __init__(
        self, name: str, on_failure: Callable[[str, BaseException], None] | None = None
    ) -> None:
        self.name = name
        self._on_failure = on_failure
        self._tasks: set[asyncio.Task[Any]] = set()
        self._children: dict[TaskRoom, None] = {}  # in their order
        self._left: Callable[[TaskRoom], None] | None = None
        self._closed = False

    def child(self, name: str) -> TaskRoom:
        """Return a room that is closed with this one."""
        room = TaskRoom(f"{self.name}/{name}", self._on_failure)
        room._left = self._leaves
        self._children[room] = None
        return room

    def start(self, coroutine: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Run a coroutine as a named task of this room."""
        if self._closed:
            coroutine.close()
            raise RuntimeError(f"the room {self.name} is closed")
        task = asyncio.get_running_loop().create_task(coroutine, name=f"{self.name}: {name}")
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            _log.error("task %s failed", task.get_name(), exc_info=error)
            if self._on_failure is not None:
                self._on_failure(task.get_name(), error)

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def closed(self) -> bool:
        """Tell whether the room takes no tasks any more."""
        return self._closed

    async def close(self) -> None:
        """Cancel and await every task, the children's first; safe to call again."""
        self._closed = True
        try:
            for child in tuple(self._children):
                await child.close()
            current = asyncio.current_task()
            tasks = [task for task in self._tasks if task is not current]
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            left, self._left = self._left, None
            if left is not None:
                left(self)

    def _leaves(self, child: TaskRoom) -> None:
        self._children.pop(child, None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
