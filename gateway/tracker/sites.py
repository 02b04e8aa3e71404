"""All loaded sites, and the registry's changes on their way to them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.registry.changes import (
    Change,
    ClientAdded,
    ClientCredentialsChanged,
    ClientDeleted,
    ClientDescribed,
    ClientPingPeriodChanged,
    ServiceCredentialsChanged,
    ServiceDeleted,
    SiteAdded,
    SiteChange,
    SiteDeleted,
    SiteRestartRequired,
)
from gateway.site.happenings import (
    ClientExpelled,
    ClientPingPeriodSet,
    ConnectionEnded,
    Input,
    MinutePassed,
    SiteEnded,
)
from gateway.site.site import LiveEndpoint
from gateway.tracker.seat import Seat, Surroundings
from gateway.wire.codes import ErrorCode

SWEEP_PERIOD = 60.0
"""Seconds between two looks at what expires and who is unused (01 section 15.1)."""

_TOUCHES_NO_ENDPOINT = (ClientAdded, ClientDescribed, SiteAdded)


class SiteDirectory:
    """Loads sites when somebody arrives, and unloads them when nobody is left."""

    def __init__(self, around: Surroundings, *, unload_after: float) -> None:
        self._around = around
        self._unload_after = unload_after
        self._seats: dict[int, Seat] = {}

    def __len__(self) -> int:
        return len(self._seats)

    def deliver(self, site_id: int, happening: Input) -> None:
        """Hand an input to a site; whoever arrives finds it loaded or has it loaded."""
        seat = self._seats.get(site_id)
        if seat is None:
            if isinstance(happening, ConnectionEnded):
                return
            seat = self._seats[site_id] = Seat(site_id, self._around, self._dropped)
        seat.take(happening)

    def view(self, site_id: int) -> tuple[LiveEndpoint, ...]:
        """Return who is installed on a site."""
        seat = self._seats.get(site_id)
        return seat.view() if seat is not None else ()

    def _dropped(self, seat: Seat) -> None:
        if self._seats.get(seat.site_id) is seat:
            del self._seats[seat.site_id]

    # -- the registry --------------------------------------------------------------------------

    def follow(self, changes: Sequence[Change]) -> None:
        """Take what one transaction did."""
        reload: dict[int, None] = {}
        ended: set[int] = set()
        for change in changes:
            if not isinstance(change, SiteChange) or isinstance(change, _TOUCHES_NO_ENDPOINT):
                continue
            if isinstance(change, SiteDeleted):
                ended.add(change.site_id)
                gone = SiteEnded(ErrorCode.SERVICE_NOT_REGISTERED, ErrorCode.CLIENT_NOT_REGISTERED)
                self._tell(change.site_id, gone)
            elif isinstance(change, SiteRestartRequired):
                ended.add(change.site_id)
                self._tell(change.site_id, SiteEnded())
            elif isinstance(change, ClientDeleted):
                gone_client = ClientExpelled(change.client_id, ErrorCode.CLIENT_NOT_REGISTERED)
                self._tell(change.site_id, gone_client)
            elif isinstance(change, ClientCredentialsChanged):
                self._tell(change.site_id, ClientExpelled(change.client_id, ErrorCode.RESTART))
            elif isinstance(change, ClientPingPeriodChanged):
                period = ClientPingPeriodSet(change.client_id, change.seconds)
                self._tell(change.site_id, period)
            else:
                reload[change.site_id] = None
        for site_id in reload:
            seat = self._seats.get(site_id)
            if seat is not None and site_id not in ended:
                seat.changed()

    def _tell(self, site_id: int, happening: Input) -> None:
        seat = self._seats.get(site_id)
        if seat is not None:
            seat.take(happening)

    # -- time ----------------------------------------------------------------------------------

    async def sweep(self) -> None:
        """Look after all sites once a minute."""
        while True:
            await asyncio.sleep(min(SWEEP_PERIOD, self._unload_after))
            self.look_after()

    def look_after(self) -> None:
        """Unload what nobody used for long; let the others see that time passes."""
        clock = self._around.clock
        for seat in list(self._seats.values()):
            if seat.idle and clock.monotonic() - seat.used >= self._unload_after:
                seat.abandon()
            elif not seat.idle:
                seat.minute_passed(MinutePassed(clock.wall()))


VOIDS_CREDENTIALS = (
    ServiceCredentialsChanged,
    ServiceDeleted,
    ClientCredentialsChanged,
    ClientDeleted,
    SiteDeleted,
    SiteRestartRequired,
)
"""Changes after which a lookup that is under way must be repeated."""
