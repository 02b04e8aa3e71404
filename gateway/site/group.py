"""Services as clients see them: one message set for single, another for multi-service sites."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.model.kinds import SiteKind
from gateway.model.snapshot import SiteSnapshot, SnapshotService
from gateway.wire.groups import (
    ServiceEntry,
    ServiceIncluded,
    ServiceOfflineInGroup,
    ServiceOnlineInGroup,
    ServiceOnlineInGroup2,
    ServiceRemoved,
    ServicesOnline,
    ServicesUpdated,
    ServiceUpdated,
    SingleServiceOffline,
    SingleServiceOnline,
    SingleServiceOnline2,
    SingleServiceUpdated,
    single_group_hash,
)
from gateway.wire.message import Message

UNNAMED = "Service1"
"""What the reference calls a service without a name; an empty one breaks clients (01, 10.5)."""


class Group:
    """The group record of one site.

    The version that clients know of a service is the one with which it was last online, or that was
    stored when the site was loaded; the hash always follows it (trap 26).
    """

    def __init__(self, snapshot: SiteSnapshot) -> None:
        self._snapshot = snapshot
        self._versions = {service.id: service.version for service in snapshot.services}
        self._single = snapshot.kind is SiteKind.SINGLE_SERVICE
        self._updated: SingleServiceUpdated | ServicesUpdated | None = None
        self._hash: bytes | None = None

    def follow(self, snapshot: SiteSnapshot) -> None:
        """Take over a later snapshot; versions stay until a service is online with a new one."""
        self._snapshot = snapshot
        known = self._versions
        self._versions = {s.id: known.get(s.id, s.version) for s in snapshot.services}
        self._updated = None

    def version(self, service: SnapshotService) -> str:
        """Return the version that clients know of a service."""
        return self._versions.get(service.id, service.version)

    def updated(self) -> SingleServiceUpdated | ServicesUpdated:
        """Return the message with the whole group."""
        if self._updated is None:
            self._refresh()
        assert self._updated is not None
        return self._updated

    def group_hash(self) -> bytes | None:
        """Return what a client shows when it has the group, None for an empty one."""
        if self._updated is None:
            self._refresh()
        return self._hash

    def _refresh(self) -> None:
        if self._single:
            service = self._snapshot.services[0] if self._snapshot.services else None
            hostname = (service.hostname if service else "") or UNNAMED
            version = self.version(service) if service else ""
            self._updated = SingleServiceUpdated(version, hostname)
            self._hash = single_group_hash(hostname, version)
            return
        enabled = sorted((s for s in self._snapshot.services if s.enabled), key=lambda s: s.id)
        entries = tuple(ServiceEntry(s.id, s.hostname, self.version(s)) for s in enabled)
        self._updated = ServicesUpdated(entries)
        self._hash = self._updated.group_hash()

    def online_now(self, service_ids: Iterable[int]) -> Message | None:
        """Return the message that names who is online, None when nobody is."""
        found = tuple(sorted(service_ids))
        if not found:
            return None
        return SingleServiceOnline() if self._single else ServicesOnline(found)

    def came_online(self, service: SnapshotService) -> Message:
        """Take the version of a service that is online now; return what clients are told."""
        if self.version(service) == service.version:
            return SingleServiceOnline() if self._single else ServiceOnlineInGroup(service.id)
        self._versions[service.id] = service.version
        self._updated = None
        if self._single:
            return SingleServiceOnline2(service.version)
        return ServiceOnlineInGroup2(service.id, service.version)

    def went_offline(self, service_id: int) -> Message:
        """Return what clients are told when a service is gone."""
        return SingleServiceOffline() if self._single else ServiceOfflineInGroup(service_id)

    def included(self, service: SnapshotService) -> Message:
        """Return what clients are told of a service that was added or enabled."""
        return ServiceIncluded(service.id, service.hostname, self.version(service))

    def removed(self, service_id: int) -> Message:
        """Return what clients are told of a service that was deleted or disabled."""
        return ServiceRemoved(service_id)

    def renamed(self, service: SnapshotService) -> Message:
        """Return what clients are told of a service with another hostname."""
        if self._single:
            return SingleServiceUpdated(self.version(service), service.hostname or UNNAMED)
        return ServiceUpdated(service.id, self.version(service), service.hostname)
