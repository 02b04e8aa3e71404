"""One loaded site: inputs in, effects carried out in order, snapshots read again when due."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.base.clock import Clock
from gateway.base.errors import GatewayError, NotFound
from gateway.base.notices import NoticeHub
from gateway.model.kinds import ClientStatus, EndpointType, ServiceStatus
from gateway.model.snapshot import SiteSnapshot
from gateway.net.tasks import TaskRoom
from gateway.registry import pubsub, services, snapshots, structure
from gateway.registry.database import Reader, Registry, Tx
from gateway.site.happenings import (
    BuildEnded,
    BuildSite,
    ClientArrived,
    Close,
    ConnectionEnded,
    Effect,
    EventsKept,
    Fail,
    Input,
    KeepEvents,
    MessageArrived,
    MinutePassed,
    OpenEvents,
    Send,
    ServiceArrived,
    SiteDropped,
    SiteEnded,
    SnapshotTaken,
    StatusChanged,
    StoreDescription,
    StoreSeen,
    StoreStructure,
)
from gateway.site.retained import EventStore, Retained
from gateway.site.site import LiveEndpoint, Resources, Site
from gateway.tracker.journal import Journal
from gateway.tracker.ledger import Ledger
from gateway.tracker.notices import EndpointOffline, EndpointOnline, EndpointParked
from gateway.wire.codes import ErrorCode
from gateway.wire.message import Message

_log = logging.getLogger(__name__)

RELOAD_TRIES = 8
"""Reads thrown away because something was stored meanwhile; then the site is built anew."""
INSTANCE_EPOCH = 1_735_689_600
"""2025-01-01: instance ids are at least the seconds since then, so that those of a restored backup
do not come again while a site sees less than one event a second (03, traps E3 and E12)."""
INSTANCE_START_MAX = 1 << 30
"""Half of what old clients can read; a wrong clock must not use it all up."""


class Switchboard(Protocol):
    """Where the connections of endpoints are found by their numbers."""

    def send(self, connections: Sequence[int], to: EndpointType, message: Message) -> None:
        """Send one message to several connections."""

    def open_events(self, connection: int) -> None:
        """Let a connection speak of events."""

    def fail(self, connection: int, code: ErrorCode) -> None:
        """Tell a code; the connection belongs to no site any more."""

    def close(self, connection: int) -> None:
        """Close a connection silently; it belongs to no site any more."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all seats work with."""

    registry: Registry
    board: Switchboard
    ledger: Ledger
    journal: Journal
    notices: NoticeHub
    clock: Clock
    room: TaskRoom
    shared: Resources


_Store = StoreStructure | StoreSeen | BuildSite
_Heard = Send | OpenEvents | Fail | Close | StatusChanged
_HEARD = (Send, OpenEvents, Fail, Close, StatusChanged)


class Seat:
    """The place of one site in the tracker, from its loading to its end."""

    def __init__(
        self,
        site_id: int,
        around: Surroundings,
        dropped: Callable[[Seat], None],
    ) -> None:
        self.site_id = site_id
        self._around = around
        first = int(around.clock.wall()) - INSTANCE_EPOCH
        first = min(max(1, first), INSTANCE_START_MAX)
        self._store = EventStore(first_instance_id=first)
        self._dropped = dropped
        self._site: Site | None = None
        self._early: list[Input] = []
        self._jobs: deque[_Store | None] = deque()
        self._reload_asked = False
        self._stored = 0
        # Who declared a structure is told nothing before it is stored; others keep their order.
        self._declared = 0
        self._held: deque[_Heard] = deque()
        self._working = False
        self._over = False
        self.used = around.clock.monotonic()
        self._ask_reload()

    # -- what the tracker asks -----------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Tell whether the site is gone from memory."""
        return self._over

    @property
    def idle(self) -> bool:
        """Tell whether nobody is there and nothing is under way."""
        return not self._working and (self._site is None or self._site.empty)

    def view(self) -> tuple[LiveEndpoint, ...]:
        """Return who is installed."""
        return self._site.view() if self._site is not None else ()

    def take(self, happening: Input) -> None:
        """Hand an input to the site; while it is being loaded inputs wait in their order."""
        if self._over:
            return
        self.used = self._around.clock.monotonic()
        if self._site is None or self._is_early(self._site, happening):
            self._early.append(happening)
        else:
            self._feed(self._site, happening)

    def _is_early(self, site: Site, happening: Input) -> bool:
        """Tell whether somebody comes whom the registry knows already and the site not yet.

        Their account was just looked up, so what the site knows is older than what is stored.
        """
        if isinstance(happening, ServiceArrived):
            if site.snapshot.service(happening.service_id) is None:
                self._ask_reload()
                return True
        elif self._early and isinstance(happening, MessageArrived | ConnectionEnded):
            return any(happening.connection == _connection(early) for early in self._early)
        return False

    def _feed(self, site: Site, happening: Input) -> None:
        for effect in self._handle(site, happening):
            self._carry_out(effect)

    def _handle(self, site: Site, happening: Input) -> list[Effect]:
        clock = self._around.clock
        try:
            return site.handle(happening, clock.monotonic(), clock.wall())
        except Exception:
            # Endpoints must never keep more rights than are stored (01 section 9.1).
            _log.exception("site %d is built anew after a fault of ours", self.site_id)
            return site.handle(SiteEnded(), clock.monotonic(), clock.wall())

    def changed(self) -> None:
        """Learn that the registry's view of this site may differ now."""
        self._ask_reload()

    @property
    def store(self) -> EventStore:
        """Return what is kept of the site's events."""
        return self._store

    def kept(self, batch: int) -> None:
        """Learn that events are stored up to this batch."""
        if self._site is not None:
            self.take(EventsKept(batch))

    def not_kept(self, error: GatewayError) -> None:
        """Learn that events could not be stored: everybody comes back and says them again."""
        _log.error("site %d is built anew: %s", self.site_id, error)
        self._break_off(ErrorCode.DBMS_ERROR, ErrorCode.DBMS_ERROR)

    def minute_passed(self, passed: MinutePassed) -> None:
        """Let a loaded site see that time passes; this is no use of it."""
        used = self.used
        if self._site is not None:
            self.take(passed)
        self.used = used

    def abandon(self) -> None:
        """Leave memory: nobody is there."""
        self._end()

    # -- effects -------------------------------------------------------------------------------

    def _carry_out(self, effect: Effect) -> None:
        if isinstance(effect, _HEARD):
            if self._declared or self._held:
                self._held.append(effect)
            else:
                self._let_hear(effect)
        elif isinstance(effect, KeepEvents):
            self._around.journal.note(self, urgent=effect.urgent)
        elif isinstance(effect, StoreDescription):
            self._around.ledger.described(effect)
        elif isinstance(effect, SiteDropped):
            self._end()
        elif isinstance(effect, StoreSeen) and effect.unchanged:
            self._around.ledger.seen(effect.service_id)
        else:
            self._stored += 1
            self._declared += isinstance(effect, StoreStructure)
            self._jobs.append(effect)
            self._work()

    def _let_hear(self, effect: _Heard) -> None:
        board = self._around.board
        if isinstance(effect, Send):
            board.send(effect.connections, effect.to, effect.message)
        elif isinstance(effect, OpenEvents):
            board.open_events(effect.connection)
        elif isinstance(effect, Fail):
            board.fail(effect.connection, effect.code)
        elif isinstance(effect, Close):
            board.close(effect.connection)
        else:
            self._announce(effect)

    def _release(self) -> None:
        while self._held and not self._declared:
            effect = self._held[0]
            self._let_hear(effect)
            self._held.popleft()  # behind it goes what follows from it

    def _announce(self, change: StatusChanged) -> None:
        facts = {"kind": change.kind, "id": change.id, "site_id": self.site_id}
        notices = self._around.notices
        if change.status in (ServiceStatus.OFFLINE, ClientStatus.OFFLINE):
            notices.post(EndpointOffline(**facts))  # type: ignore[arg-type]
        elif change.status in (ServiceStatus.ONLINE, ClientStatus.ONLINE):
            notices.post(EndpointOnline(**facts))  # type: ignore[arg-type]
        else:
            notices.post(EndpointParked(**facts, status=change.status))  # type: ignore[arg-type]

    # -- the registry, one thing after another -------------------------------------------------

    def _ask_reload(self) -> None:
        if not self._reload_asked and not self._over:
            self._reload_asked = True
            self._jobs.append(None)
            self._work()

    def _work(self) -> None:
        if not self._working:
            self._working = True
            self._around.room.start(self._run(), name=f"site {self.site_id}")

    async def _run(self) -> None:
        try:
            while self._jobs:
                job = self._jobs.popleft()
                if job is None:
                    await self._reload()
                else:
                    await self._write(job)
        except Exception as error:
            known = isinstance(error, GatewayError)
            _log.error("site %d is built anew: %s", self.site_id, error, exc_info=not known)
            self._jobs.clear()
            self._reload_asked = False
            self._declared = 0
            # What was to be heard rests on what was not stored; only farewells stay.
            self._held = deque(e for e in self._held if isinstance(e, Fail | Close))
            self._release()
            self._break_off(ErrorCode.DBMS_ERROR, ErrorCode.DBMS_ERROR)
        finally:
            self._working = False

    async def _reload(self) -> None:
        """Read the site until nothing was stored during the read; then hand it over."""
        for _ in range(RELOAD_TRIES):
            while self._jobs:  # what the site counts as stored must be in the file first
                job = self._jobs.popleft()
                if job is not None:
                    await self._write(job)
            # Only now: what was asked during the writes was taken off the queue with them.
            self._reload_asked = False
            stored = self._stored
            try:
                if self._site is None:  # what was kept of its events before
                    await self._around.journal.settled(self.site_id)
                snapshot, retained = await self._around.registry.read(self._load)
            except NotFound:
                codes = ErrorCode.SERVICE_NOT_REGISTERED, ErrorCode.CLIENT_NOT_REGISTERED
                self._break_off(*codes)
                return
            if self._over:
                return
            if stored == self._stored:
                self._hand_over(snapshot, retained)
                return
        self._break_off(ErrorCode.RESTART, ErrorCode.RESTART)

    def _load(self, reader: Reader) -> tuple[SiteSnapshot, Retained | None]:
        snapshot = snapshots.load(reader, self.site_id)
        first = self._site is None and snapshot.structure is not None
        return snapshot, pubsub.load(reader, self.site_id) if first else None

    def _hand_over(self, snapshot: SiteSnapshot, retained: Retained | None) -> None:
        if self._site is None:
            if snapshot.structure is not None and retained is not None:
                self._store.load(snapshot.structure, retained)
            self._site = Site(snapshot, self._around.shared, self._store)
        else:
            self.take(SnapshotTaken(snapshot))
        if not self._reload_asked:  # else somebody came whom this snapshot is too old to know
            early, self._early = self._early, []
            for happening in early:
                if not self._over:
                    self._feed(self._site, happening)

    def _break_off(self, service_code: ErrorCode, client_code: ErrorCode) -> None:
        if self._over:
            return
        if self._site is None:
            self._end(service_code, client_code)
        else:
            self.take(SiteEnded(service_code, client_code))

    async def _write(self, job: _Store) -> None:
        registry = self._around.registry
        if isinstance(job, StoreStructure):
            await registry.write(lambda tx: _store_structure(tx, job))
            self._declared -= 1
            self._release()
        elif isinstance(job, StoreSeen):
            await registry.write(
                lambda tx: services.seen(
                    tx, job.service_id, version=job.version, storage_uid=job.storage_uid
                )
            )
        else:
            await self._build(job)

    async def _build(self, job: BuildSite) -> None:
        site_id = self.site_id
        try:
            built = await self._around.registry.write(
                lambda tx: structure.build(tx, site_id, job.service_id)
            )
            outcome = BuildEnded(job.service_id, True)
            if not built:
                _log.info("site %d was built by somebody else meanwhile", site_id)
        except GatewayError as error:
            _log.error("site %d cannot be built: %s", site_id, error)
            outcome = BuildEnded(job.service_id, False, ErrorCode.DBMS_ERROR)
        self.take(outcome)

    def _end(
        self,
        service_code: ErrorCode = ErrorCode.RESTART,
        client_code: ErrorCode = ErrorCode.RESTART,
    ) -> None:
        if self._over:
            return
        self._over = True
        self._dropped(self)
        # Who waits was not judged yet and is told by the own kind.
        for happening in self._early:
            if isinstance(happening, ServiceArrived):
                self._around.board.fail(happening.connection, service_code)
            elif isinstance(happening, ClientArrived):
                self._around.board.fail(happening.connection, client_code)


def _connection(happening: Input) -> int | None:
    return getattr(happening, "connection", None)


def _store_structure(tx: Tx, job: StoreStructure) -> None:
    try:
        structure.store_for_service(tx, job.service_id, job.structure, job.version, job.ss_hash)
    except NotFound:
        pass  # deleted meanwhile: the change that says so is on its way
