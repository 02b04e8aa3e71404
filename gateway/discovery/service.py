"""What other rooms use of discovery: devices as records, and events when something changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gateway.base.clock import Clock
from gateway.base.errors import HostError
from gateway.base.notices import Notice, NoticeHub, Severity
from gateway.discovery.announce import GatewayAnnouncement, GatewayRecord
from gateway.discovery.interfaces import chosen_networks, local_networks, multicast_places
from gateway.discovery.matching import (
    NAME_MAX,
    LocalNetwork,
    Sighting,
    browse_types,
    candidates,
    clean_properties,
    clean_text,
    usable_addresses,
)
from gateway.discovery.mdns import Answer, MdnsBrowser
from gateway.discovery.settings import DiscoverySettings
from gateway.discovery.sightings import (
    DeviceGone,
    DeviceMoved,
    DeviceRecord,
    DeviceSeen,
    DiscoveryEvent,
    SightingBook,
    by_identity,
)
from gateway.driverkit.addresses import AddressPolicy
from gateway.driverkit.manifest import DriverManifest
from gateway.net.tasks import TaskRoom

NETWORKS_SECONDS = 5.0
"""How often the machine's own addresses are looked at; DHCP and cables change them."""

TICK_SECONDS = 1.0
"""How often the book's due times are looked at."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSighted(Notice):
    """A device was seen, moved or is gone; for information only."""

    identity: str
    driver: str
    change: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryTroubled(Notice):
    """mDNS cannot be used at present; it is tried again."""

    reason: str
    severity: Severity = Severity.WARNING


class DiscoveryService:
    """Finds devices that the manifests describe, for as long as it is started."""

    def __init__(
        self,
        settings: DiscoverySettings,
        manifests: Iterable[DriverManifest],
        *,
        notices: NoticeHub,
        clock: Clock,
        room: TaskRoom,
    ) -> None:
        self._settings = settings
        self._manifests = tuple(manifests)
        self._notices = notices
        self._clock = clock
        self._room = room.child("discovery")
        self._book = SightingBook(
            gone_after=settings.gone_after_seconds, forget_after=settings.forget_after_seconds
        )
        self._receivers: list[Callable[[DiscoveryEvent], None]] = []
        self._all_networks: tuple[LocalNetwork, ...] = ()
        self._networks: tuple[LocalNetwork, ...] = ()
        self._browser: MdnsBrowser | None = None
        self._remembered: tuple[tuple[str, str], ...] = ()
        self._record: GatewayRecord | None = None
        self._announcement = GatewayAnnouncement()
        self._lock = asyncio.Lock()
        self._trouble = ""

    @property
    def sightings(self) -> tuple[DeviceRecord, ...]:
        """All devices known at present, those that are gone included."""
        return self._book.records

    def by_identity(self, identity: str) -> DeviceRecord | None:
        """Return the record of an identity, or None."""
        return by_identity(self._book.records, identity)

    @property
    def networks(self) -> tuple[LocalNetwork, ...]:
        """The networks on which discovery listens at present."""
        return self._networks

    @property
    def trouble(self) -> str:
        """Why mDNS cannot be used at present, in a sentence; "" when all is well."""
        return self._trouble

    @property
    def policy(self) -> AddressPolicy:
        """Which addresses devices may have, by the settings and the machine's own addresses."""
        loopback = self._settings.allow_loopback
        own = frozenset(each.address.partition("%")[0] for each in self._all_networks)
        # For demos on one machine its own addresses are cameras' addresses too.
        return AddressPolicy(
            allow_loopback=loopback, own_addresses=frozenset() if loopback else own
        )

    def subscribe(self, receive: Callable[[DiscoveryEvent], None]) -> Callable[[], None]:
        """Call `receive` for every later event; return what ends the subscription."""
        self._receivers.append(receive)

        def unsubscribe() -> None:
            if receive in self._receivers:
                self._receivers.remove(receive)

        return unsubscribe

    async def start(self) -> None:
        """Begin to look. Where mDNS cannot be used now it is tried again; nothing is raised."""
        self._all_networks = local_networks()
        if not self._settings.enabled:
            return
        await self._follow_networks()
        self._room.start(self._watch(), name="watch networks")
        self._room.start(self._tick(), name="tick")

    async def stop(self) -> None:
        """End everything, with a goodbye for the gateway's own record."""
        await self._room.close()
        async with self._lock:
            await self._close_browser()

    async def announce(self, record: GatewayRecord) -> None:
        """Announce the gateway from now on, or a change of what it says of itself."""
        self._record = record
        async with self._lock:
            await self._show_record()

    async def _show_record(self) -> None:
        if self._record is None or self._browser is None or not self._settings.announce_gateway:
            return
        try:
            await self._announcement.show(self._browser.zeroconf, self._record, self._networks)
        except Exception as error:  # zeroconf raises classes of its own for name conflicts
            _log.warning("the gateway cannot be announced: %s", error)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(NETWORKS_SECONDS)
            await self._follow_networks()

    async def _follow_networks(self) -> None:
        """Browse on the present networks; open everything anew when they have changed."""
        everything = await asyncio.to_thread(local_networks)
        chosen = chosen_networks(everything, self._settings)
        self._all_networks = everything
        if self._browser is not None and chosen == self._networks:
            return
        async with self._lock:
            await self._close_browser()
            self._networks = chosen
            places = multicast_places(chosen)
            if not places:
                self._set_trouble("No network interface is there to look for cameras on.")
                return
            browser = MdnsBrowser(
                places=places,
                service_types=browse_types(self._manifests),
                refresh_seconds=self._settings.refresh_seconds,
                room=self._room.child("mdns"),
                clock=self._clock,
                answered=self._answered,
                left=self._left,
                remembered=self._remembered,
            )
            try:
                await browser.start()
            except HostError as error:
                await browser.close()
                self._set_trouble(str(error))
                return
            self._browser = browser
            self._set_trouble("")
            await self._show_record()

    async def _close_browser(self) -> None:
        browser, self._browser = self._browser, None
        self._announcement.forget()
        if browser is not None:
            self._remembered = browser.known
            await browser.close()

    def _set_trouble(self, reason: str) -> None:
        if reason and reason != self._trouble:
            _log.warning("%s", reason)
            self._notices.post(DiscoveryTroubled(reason=reason))
        self._trouble = reason

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = self._clock.monotonic()
            if self._book.deadline is not None and self._book.deadline <= now:
                self._publish(self._book.tick(now))

    def _answered(self, answer: Answer) -> None:
        sighting = Sighting(
            service_type=answer.service_type,
            name=clean_text(answer.name, NAME_MAX),
            host=clean_text(answer.host, 255),
            addresses=usable_addresses(
                answer.addresses,
                self._networks,
                self.policy,
                allow_off_subnet=self._settings.allow_off_subnet,
            ),
            port=answer.port,
            properties=clean_properties(answer.properties),
        )
        found = candidates(sighting, self._manifests)
        self._publish(self._book.seen(sighting, found, self._clock.monotonic()))

    def _left(self, key: tuple[str, str]) -> None:
        service_type, name = key
        plain = (service_type.lower(), clean_text(name, NAME_MAX).lower())
        self._publish(self._book.left(plain, self._clock.monotonic()))

    def _publish(self, events: Iterable[DiscoveryEvent]) -> None:
        for event in events:
            record = event.record
            self._notices.post(
                DeviceSighted(
                    identity=record.identity, driver=record.driver, change=_WORDS[type(event)]
                )
            )
            for receive in tuple(self._receivers):
                try:
                    receive(event)
                except Exception:
                    _log.exception("a subscriber of discovery failed")


_WORDS: dict[type[DiscoveryEvent], str] = {
    DeviceSeen: "seen",
    DeviceMoved: "moved",
    DeviceGone: "gone",
}
