"""The browser and resolver: one zeroconf, callbacks that only note a name, tasks that resolve.

What comes out are plain answers; cleaning, matching and merging are done elsewhere, and pure.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from zeroconf import Error as ZeroconfError
from zeroconf import ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from gateway.base.clock import Clock
from gateway.base.errors import ConnectFailed
from gateway.net.tasks import TaskRoom

PENDING_MAX = 2048
"""Names that wait to be resolved; more come only from somebody who floods."""

RESOLVES_AT_ONCE = 16
"""Running queries for names of which the cache does not know everything."""

RESOLVES_PER_SECOND = 64
"""Names looked at in a second; one that must be asked for costs up to three small queries."""

KNOWN_MAX = 4096
"""Names that are asked again from time to time."""

QUERY_MILLISECONDS = 3000
"""Patience of one resolve; answers on a LAN take 20 to 120 ms, sleepy Wi-Fi seconds."""

TRIES = 3
"""Failing resolves of one name before it counts as left."""

SETTLE_SECONDS = 2.5
"""After an update old addresses stay in the cache for a second (RFC 6762 section 10.2)."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A resolved announcement, as it came."""

    service_type: str
    name: str
    host: str
    addresses: tuple[str, ...]
    port: int
    properties: Mapping[bytes, bytes | None] = field(repr=False)


@dataclass(slots=True)
class _Known:
    asked_at: float
    failures: int = 0


class MdnsBrowser:
    """Browses service types (without domain) on given places; ``close`` ends it for good."""

    def __init__(
        self,
        *,
        places: list[str | int],
        service_types: tuple[str, ...],
        refresh_seconds: float,
        room: TaskRoom,
        clock: Clock,
        answered: Callable[[Answer], None],
        left: Callable[[tuple[str, str]], None],
        remembered: Iterable[tuple[str, str]] = (),
    ) -> None:
        """``remembered``: names known to an earlier browser, to be asked for at once."""
        self._places = places
        self._types = {f"{each}.local.".lower(): each for each in service_types}
        self._full_types = [f"{each}.local." for each in service_types]
        self._refresh_seconds = refresh_seconds
        self._room = room
        self._clock = clock
        self._answered = answered
        self._left = left
        long_ago = clock.monotonic() - 2 * refresh_seconds
        self._known = {key: _Known(long_ago) for key in remembered}
        self._pending: dict[tuple[str, str], None] = {}
        self._wake = asyncio.Event()
        self._queries: dict[tuple[str, str], None] = {}
        self._asking = 0
        self._zeroconf: AsyncZeroconf | None = None
        self._browser: AsyncServiceBrowser | None = None

    @property
    def zeroconf(self) -> AsyncZeroconf:
        """The one zeroconf, for the gateway's own record. Only between start and close."""
        assert self._zeroconf is not None, "the browser is not started"
        return self._zeroconf

    @property
    def known(self) -> tuple[tuple[str, str], ...]:
        """The full types and names that are believed to be there."""
        return tuple(self._known)

    async def start(self) -> None:
        """Begin. Raises ConnectFailed when the mDNS port cannot be used."""
        try:
            self._zeroconf = AsyncZeroconf(interfaces=self._places)
        except (OSError, RuntimeError, ValueError) as error:
            raise ConnectFailed(
                f"mDNS cannot be used on this machine: {error}. Is UDP port 5353 taken?"
            ) from error
        self._browser = AsyncServiceBrowser(
            self._zeroconf.zeroconf, self._full_types, handlers=[self._changed]
        )
        self._room.start(self._dispatch(), name="mdns dispatch")
        self._room.start(self._refresh(), name="mdns refresh")

    async def close(self) -> None:
        """End browsing and close the sockets; a goodbye for own records goes out first."""
        await self._room.close()
        browser, self._browser = self._browser, None
        zeroconf, self._zeroconf = self._zeroconf, None
        if browser is not None:
            await browser.async_cancel()
        if zeroconf is not None:
            await zeroconf.async_close()

    def _changed(
        self,
        zeroconf: Zeroconf,  # noqa: ARG002  (zeroconf hands itself over by this name)
        service_type: str,
        name: str,
        state_change: ServiceStateChange,
    ) -> None:
        """Note the name and nothing else: zeroconf calls this while it handles a packet."""
        key = (service_type, name)
        if state_change is ServiceStateChange.Removed:
            self._pending.pop(key, None)
            self._queries.pop(key, None)
            self._forget(key)
            return
        self._want(key)
        if state_change is ServiceStateChange.Updated:
            # Not a task for each: the refresher looks at due times every few moments.
            known = self._known.get(key)
            if known is not None:
                known.asked_at = self._clock.monotonic() - self._refresh_seconds + SETTLE_SECONDS

    def _want(self, key: tuple[str, str]) -> None:
        if len(self._pending) < PENDING_MAX:
            self._pending[key] = None
            self._wake.set()

    def _forget(self, key: tuple[str, str]) -> None:
        if self._known.pop(key, None) is not None:
            plain = self._plain(key)
            if plain is not None:
                self._left(plain)

    def _plain(self, key: tuple[str, str]) -> tuple[str, str] | None:
        """Return (type, instance name) without domain, in the spelling of the manifests."""
        full_type, full_name = key
        service_type = self._types.get(full_type.lower())
        if service_type is None or not full_name.lower().endswith("." + full_type.lower()):
            return None
        return service_type, full_name[: -len(full_type) - 1]

    async def _dispatch(self) -> None:
        pause = 1.0 / RESOLVES_PER_SECOND
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._pending:
                key = next(iter(self._pending))
                del self._pending[key]
                # An announcement usually comes whole. Only what is not in the cache has to wait
                # for a free place, so that made-up names cannot hold real cameras up.
                if not self._take_cached(key) and len(self._queries) < PENDING_MAX:
                    self._queries[key] = None
                    self._start_queries()
                await asyncio.sleep(pause)

    def _take_cached(self, key: tuple[str, str]) -> bool:
        """Answer from the cache; True when the name is dealt with."""
        if self._zeroconf is None or self._plain(key) is None:
            return True
        try:
            info = AsyncServiceInfo(*key)
            complete = info.load_from_cache(self._zeroconf.zeroconf)
        except (ZeroconfError, ValueError) as error:
            _log.debug("mDNS name %r cannot be resolved: %s", key[1][:80], error)
            return True
        return complete and self._take(key, info)

    def _start_queries(self) -> None:
        while self._queries and self._asking < RESOLVES_AT_ONCE and not self._room.closed:
            key = next(iter(self._queries))
            del self._queries[key]
            self._asking += 1
            self._room.start(self._query(key), name=f"mdns resolve {key[1][:80]!r}")

    async def _query(self, key: tuple[str, str]) -> None:
        try:
            if self._zeroconf is None:
                return
            info = AsyncServiceInfo(*key)
            try:
                await info.async_request(self._zeroconf.zeroconf, QUERY_MILLISECONDS)
            except (ZeroconfError, OSError, ValueError) as error:
                _log.debug("mDNS name %r cannot be resolved: %s", key[1][:80], error)
            if not self._take(key, info):
                self._failed(key)
        finally:
            self._asking -= 1
            self._start_queries()

    def _take(self, key: tuple[str, str], info: AsyncServiceInfo) -> bool:
        """Hand a resolved name on; False when it says neither port nor address."""
        plain = self._plain(key)
        addresses = tuple(info.parsed_scoped_addresses())
        if plain is None or not info.port or not addresses:
            return False
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= KNOWN_MAX:
                return True
            known = self._known[key] = _Known(self._clock.monotonic())
        elif known.asked_at < self._clock.monotonic() - self._refresh_seconds:
            known.asked_at = self._clock.monotonic()
        known.failures = 0
        self._answered(
            Answer(
                service_type=plain[0],
                name=plain[1],
                host=(info.server or "").removesuffix("."),
                addresses=addresses,
                port=info.port,
                properties=dict(info.properties),
            )
        )
        return True

    def _failed(self, key: tuple[str, str]) -> None:
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= KNOWN_MAX:
                return
            known = self._known[key] = _Known(self._clock.monotonic())
        known.failures += 1
        # Asked again soon by the refresher, until the tries are used up.
        known.asked_at = self._clock.monotonic() - self._refresh_seconds + SETTLE_SECONDS
        if known.failures >= TRIES:
            self._forget(key)

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(min(1.0, self._refresh_seconds / 4))
            due = self._clock.monotonic() - self._refresh_seconds
            for key, known in tuple(self._known.items()):
                if known.asked_at <= due:
                    if not known.failures:
                        known.asked_at = self._clock.monotonic()
                    self._want(key)
