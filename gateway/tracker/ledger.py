"""What endpoints said that changes nothing for others, written in batches: seen, described."""

from __future__ import annotations

import asyncio
import functools
import logging

from gateway.base.errors import GatewayError
from gateway.registry import presence
from gateway.registry.database import Registry, Tx
from gateway.site.happenings import StoreDescription

FLUSH_PERIOD = 1.0
"""Seconds for which such news may be lost in a power cut; one write for all of them."""
BATCH = 500
"""Rows in one transaction; bounds how long others wait for the writer."""

_log = logging.getLogger(__name__)


class Ledger:
    """Collects and writes; the last word of each endpoint counts."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._services: dict[int, None] = {}
        self._clients: dict[int, StoreDescription] = {}

    def seen(self, service_id: int) -> None:
        """Note that a service was here."""
        self._services[service_id] = None

    def described(self, description: StoreDescription) -> None:
        """Note what a client program said of itself."""
        self._clients[description.client_id] = description

    async def run(self) -> None:
        """Write what has collected, again and again."""
        while True:
            await asyncio.sleep(FLUSH_PERIOD)
            await self.flush()

    async def flush(self) -> None:
        """Write everything that has collected."""
        while self._services or self._clients:
            found = list(self._services)[:BATCH]
            told = list(self._clients.values())[:BATCH]
            for service_id in found:
                del self._services[service_id]
            for description in told:
                del self._clients[description.client_id]
            try:
                await self._registry.write(functools.partial(_write, seen=found, told=told))
            except GatewayError as error:
                _log.error("what endpoints said of themselves was not stored: %s", error)


def _write(tx: Tx, seen: list[int], told: list[StoreDescription]) -> None:
    presence.services_seen(tx, seen)
    presence.clients_described(
        tx,
        [(d.client_id, d.service_type, d.contract_author, d.description) for d in told],
    )
