"""What sites keep of events on its way to storage: batches of many sites in one transaction.

Somebody waits for an urgent batch, so it goes at the end of the loop's turn, or with the next
transaction while one is under way; the others wait for company, at most a second.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import Protocol

from gateway.base.errors import GatewayError
from gateway.net.tasks import TaskRoom
from gateway.registry import pubsub
from gateway.registry.database import Registry
from gateway.site.retained import Batch, EventStore

FLUSH_PERIOD = 1.0
"""Seconds that a change nobody waits for may stay in memory only."""
SITES_AT_ONCE = 200
"""Sites in one transaction; bounds how long others wait for the writer."""
SWEEP_PERIOD = 600.0
"""Seconds between two deletions of what has expired (03 section 7)."""

_log = logging.getLogger(__name__)


class KeepingSite(Protocol):
    """A loaded site as the journal knows it."""

    site_id: int

    @property
    def store(self) -> EventStore:
        """Return where its changes are taken from."""

    def kept(self, batch: int) -> None:
        """Learn that everything up to this batch is stored."""

    def not_kept(self, error: GatewayError) -> None:
        """Learn that a batch was lost; nothing of it was acknowledged."""


class Journal:
    """Writes what sites keep of events, in the order in which each of them changed."""

    def __init__(self, registry: Registry, room: TaskRoom) -> None:
        self._registry = registry
        self._room = room
        self._calm: dict[KeepingSite, None] = {}
        self._urgent: dict[KeepingSite, None] = {}
        self._open: Counter[int] = Counter()
        self._working = False
        self._written = asyncio.Event()

    def note(self, site: KeepingSite, *, urgent: bool) -> None:
        """Learn that a site has changes to store."""
        if site in self._urgent:
            return
        if site not in self._calm:
            self._open[site.site_id] += 1
        if urgent:
            self._calm.pop(site, None)
            self._urgent[site] = None
            self._start()
        else:
            self._calm[site] = None

    async def settled(self, site_id: int) -> None:
        """Wait until nothing of this site is on its way."""
        while site_id in self._open:
            self._written.clear()
            self.hurry()
            await self._written.wait()

    def hurry(self) -> None:
        """Write everything that has collected, without waiting for company."""
        self._urgent |= self._calm
        self._calm.clear()
        self._start()

    async def run(self) -> None:
        """Write what nobody waits for, again and again."""
        while True:
            await asyncio.sleep(FLUSH_PERIOD)
            self.hurry()

    async def sweep(self) -> None:
        """Delete what has expired, again and again."""
        while True:
            try:
                while await self._registry.write(pubsub.expire):
                    pass
            except GatewayError as error:
                _log.error("expired events stay in the registry: %s", error)
            await asyncio.sleep(SWEEP_PERIOD)

    # -- writing -------------------------------------------------------------------------------

    def _start(self) -> None:
        if self._urgent and not self._working:
            self._working = True
            self._room.start(self._work(), name="event journal")

    async def _work(self) -> None:
        try:
            while self._urgent:
                sites = list(self._urgent)[:SITES_AT_ONCE]
                for site in sites:
                    del self._urgent[site]
                await self._write([(site, site.store.take_batch()) for site in sites])
        finally:
            self._working = False

    async def _write(self, taken: list[tuple[KeepingSite, Batch]]) -> None:
        batches = [(site.site_id, batch) for site, batch in taken]
        failure: GatewayError | None = None
        try:
            await self._registry.write(lambda tx: pubsub.keep(tx, batches))
        except GatewayError as error:
            _log.error("events were not stored: %s", error)
            failure = error
        for site, batch in taken:
            self._open[site.site_id] -= 1
            if not self._open[site.site_id]:
                del self._open[site.site_id]
            if failure is None:
                site.kept(batch.number)
            else:
                site.not_kept(failure)
        self._written.set()
