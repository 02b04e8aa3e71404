"""One record for each device out of many announcements, without I/O.

Announcements of one identity make one record; an announcement without an identity joins the one
device on the same host, else stands alone and is never offered automatically. The book holds live
announcements, derives the records anew at every change and reports the differences.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from gateway.discovery.matching import Candidate, Sighting, clean_text, preference

RECORDS_MAX = 1024
"""Devices in the book; a larger site splits into several gateways."""

ANNOUNCEMENTS_MAX = 4 * RECORDS_MAX
"""Live announcements; a device makes two to four."""

TEXT_MAX = 64
"""Characters of a maker or model that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRecord:
    """A device as discovery knows it. ``identity`` is "" when nothing stable tells it apart.

    ``key`` is the identity, or a name for one without. ``conflict``: two devices claim this
    identity; the address is that of the one seen first. Times are of the clock given to the book.
    """

    key: str
    identity: str
    driver: str
    name: str
    maker: str
    model: str
    addresses: tuple[str, ...]
    port: int
    properties: Mapping[str, str] = field(default_factory=dict)
    service_types: tuple[str, ...] = ()
    first_seen: float = 0.0
    last_seen: float = 0.0
    present: bool = True
    conflict: bool = False

    @property
    def address(self) -> str:
        """The best address, or "" when none is usable."""
        return self.addresses[0] if self.addresses else ""


@dataclass(frozen=True, slots=True)
class DeviceSeen:
    """A device appeared, came back, or changed in something else than its address."""

    record: DeviceRecord


@dataclass(frozen=True, slots=True)
class DeviceMoved:
    """A known device has another address or port now."""

    record: DeviceRecord
    previous: DeviceRecord


@dataclass(frozen=True, slots=True)
class DeviceGone:
    """A device said goodbye or fell silent, and stayed away."""

    record: DeviceRecord


DiscoveryEvent = DeviceSeen | DeviceMoved | DeviceGone


@dataclass(slots=True)
class _Announcement:
    sighting: Sighting
    candidates: tuple[Candidate, ...]
    first_seen: float
    last_seen: float
    leaving_at: float | None = None

    @property
    def best(self) -> Candidate:
        return self.candidates[0]


class SightingBook:
    """What is announced at present, and the devices that it amounts to."""

    def __init__(self, *, gone_after: float, forget_after: float) -> None:
        """Times in seconds: of grace after a goodbye, and of memory of absent devices."""
        self._gone_after = gone_after
        self._forget_after = forget_after
        self._announcements: dict[tuple[str, str], _Announcement] = {}
        self._records: dict[str, DeviceRecord] = {}
        self._absent_since: dict[str, float] = {}

    @property
    def records(self) -> tuple[DeviceRecord, ...]:
        """All devices, present ones first, then by name."""
        return tuple(
            sorted(self._records.values(), key=lambda each: (not each.present, each.name, each.key))
        )

    @property
    def announcements(self) -> int:
        """How many announcements are live."""
        return len(self._announcements)

    @property
    def deadline(self) -> float | None:
        """The earliest moment at which tick() has something to do, or None."""
        moments = [
            each.leaving_at for each in self._announcements.values() if each.leaving_at is not None
        ]
        moments += [since + self._forget_after for since in self._absent_since.values()]
        return min(moments, default=None)

    def seen(
        self, sighting: Sighting, candidates: tuple[Candidate, ...], now: float
    ) -> tuple[DiscoveryEvent, ...]:
        """Take an announcement; one that no driver matches, or without address, is passed over."""
        known = self._announcements.get(sighting.key)
        if not candidates or not sighting.addresses:
            # It was usable and is no more: as if it had said goodbye.
            return self.left(sighting.key, now) if known is not None else ()
        if known is None and len(self._announcements) >= ANNOUNCEMENTS_MAX:
            return ()
        same = known is not None and known.leaving_at is None and known.sighting == sighting
        if known is not None and same and known.candidates == candidates:
            return self._touch(known, now)
        first = now if known is None else known.first_seen
        self._announcements[sighting.key] = _Announcement(sighting, candidates, first, now)
        return self._derive(now)

    def _touch(self, known: _Announcement, now: float) -> tuple[DiscoveryEvent, ...]:
        known.last_seen = now
        record = self._records.get(known.best.identity or "")
        if record is not None and record.present:
            self._records[record.key] = replace(record, last_seen=now)
        return ()

    def left(self, key: tuple[str, str], now: float) -> tuple[DiscoveryEvent, ...]:
        """Take a goodbye or an expiry; the device counts as gone only after the grace time."""
        known = self._announcements.get(key)
        if known is not None and known.leaving_at is None:
            known.leaving_at = now + self._gone_after
        return self.tick(now)

    def tick(self, now: float) -> tuple[DiscoveryEvent, ...]:
        """Carry out what is due."""
        due = [
            key
            for key, each in self._announcements.items()
            if each.leaving_at is not None and each.leaving_at <= now
        ]
        for key in due:
            del self._announcements[key]
        for name, since in tuple(self._absent_since.items()):
            if since + self._forget_after <= now:
                del self._absent_since[name]
                self._records.pop(name, None)
        return self._derive(now) if due else ()

    def _derive(self, now: float) -> tuple[DiscoveryEvent, ...]:
        fresh = {}
        added = 0
        for key, group in self._groups().items():
            if key not in self._records:
                if not self._has_room(added):
                    continue
                added += 1
            fresh[key] = self._record(key, group)
        events: list[DiscoveryEvent] = []
        for key, record in fresh.items():
            previous = self._records.get(key)
            if previous is not None:
                record = replace(record, first_seen=previous.first_seen)
            self._records[key] = record
            self._absent_since.pop(key, None)
            event = _difference(previous, record)
            if event is not None:
                events.append(event)
        for key, record in tuple(self._records.items()):
            if key not in fresh and record.present:
                if not record.identity and self._was_absorbed(record):
                    # Known by its identity from now on; the nameless record was a first guess.
                    del self._records[key]
                else:
                    self._records[key] = replace(record, present=False)
                    self._absent_since[key] = now
                events.append(DeviceGone(replace(record, present=False)))
        return tuple(events)

    def _has_room(self, added: int) -> bool:
        """Tell whether one more record fits; the longest absent device makes room."""
        if len(self._records) + added < RECORDS_MAX:
            return True
        oldest = min(self._absent_since, key=lambda key: self._absent_since[key], default=None)
        if oldest is None:
            return False
        del self._absent_since[oldest], self._records[oldest]
        return True

    def _groups(self) -> dict[str, list[_Announcement]]:
        groups: dict[str, list[_Announcement]] = {}
        hosts: dict[str, set[str]] = {}
        nameless: list[_Announcement] = []
        for each in self._announcements.values():
            identity = each.best.identity
            if identity is None:
                nameless.append(each)
                continue
            groups.setdefault(identity, []).append(each)
            hosts.setdefault(each.sighting.host.lower(), set()).add(identity)
        for each in nameless:
            owners = hosts.get(each.sighting.host.lower(), set())
            if len(owners) == 1:
                groups[next(iter(owners))].append(each)
            else:
                kind, name = each.sighting.key
                groups[f"name:{kind}:{name}"] = [each]
        return groups

    def _record(self, key: str, group: list[_Announcement]) -> DeviceRecord:
        claims = [each for each in group if each.best.identity is not None] or group
        first = min(claims, key=lambda each: (each.first_seen, each.sighting.key))
        # Of two devices with one identity the first one stays: a latecomer must not take over.
        same = [each for each in group if _is_same_device(each.sighting, first.sighting)]
        best = min(same, key=lambda each: (preference(each.best), each.sighting.key))
        properties: dict[str, str] = {}
        for each in (best, *same):
            for name, value in each.sighting.properties.items():
                properties.setdefault(name, value)
        manifest = best.best.manifest
        return DeviceRecord(
            key=key,
            identity=best.best.identity or first.best.identity or "",
            driver=manifest.name,
            name=best.sighting.name,
            maker=clean_text(properties.get(manifest.maker_key, "") or manifest.maker, TEXT_MAX),
            model=clean_text(properties.get(manifest.model_key, ""), TEXT_MAX),
            addresses=best.sighting.addresses,
            port=best.sighting.port,
            properties=properties,
            service_types=tuple(sorted({each.sighting.service_type for each in same})),
            first_seen=first.first_seen,
            last_seen=max(each.last_seen for each in same),
            conflict=len(same) < len(group),
        )

    def _was_absorbed(self, record: DeviceRecord) -> bool:
        return any(f"name:{kind}:{name}" == record.key for kind, name in self._announcements)


def _is_same_device(one: Sighting, other: Sighting) -> bool:
    return one.host.lower() == other.host.lower() or bool(set(one.addresses) & set(other.addresses))


def _difference(previous: DeviceRecord | None, record: DeviceRecord) -> DiscoveryEvent | None:
    if previous is None or not previous.present:
        return DeviceSeen(record)
    if (previous.address, previous.port) != (record.address, record.port):
        return DeviceMoved(record, previous)
    if replace(previous, last_seen=record.last_seen) != record:
        return DeviceSeen(record)
    return None


def by_identity(records: Iterable[DeviceRecord], identity: str) -> DeviceRecord | None:
    """Return the record of an identity."""
    return next((each for each in records if identity and each.identity == identity), None)
