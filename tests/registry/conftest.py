"""A real registry in a temporary folder, with a clock that tests can turn."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.base.entropy import SystemEntropy
from gateway.registry.changes import Change
from gateway.registry.database import Registry
from gateway.registry.settings import RegistrySettings
from tests.registry.furnished import Opened, OpenRegistry, TurnedClock


@pytest.fixture
def open_registry(tmp_path: Path) -> OpenRegistry:
    @asynccontextmanager
    async def opened(
        settings: RegistrySettings | None = None, name: str = "registry.sqlite"
    ) -> AsyncIterator[Opened]:
        clock = TurnedClock()
        registry = await Registry.open(
            tmp_path / name, clock=clock, entropy=SystemEntropy(), settings=settings
        )
        room = Opened(registry, clock)

        def hear(changes: Sequence[Change]) -> None:
            room.heard.append(tuple(changes))

        registry.subscribe(hear)
        try:
            yield room
        finally:
            await registry.close()

    return opened
