"""The services of a site as one client keeps them, across reconnects (01 10.5, 10.6, 12.4)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.protocol.endpoint_events import SessionFailed
from gateway.wire.codes import ErrorCode
from gateway.wire.groups import (
    SERVICES_MAX,
    ServiceEntry,
    ServicesUpdated,
    single_group_hash,
)

SINGLE_ID = 0
"""The id of the one service of a single-service site (01 section 10.5)."""


@dataclass(frozen=True, slots=True)
class RemoteService:
    """A service as a client sees it."""

    id: int
    hostname: str
    version: str
    online: bool = False


def _inconsistent(what: str) -> SessionFailed:
    return SessionFailed(ErrorCode.INPUT_DATA_INCONSISTENT, f"The server named {what}.")


class ServiceGroup:
    """The group of a client; a single-service client always has exactly the service 0."""

    def __init__(self, *, single: bool) -> None:
        self.single = single
        self._services: dict[int, RemoteService] = {}
        if single:
            self._services[SINGLE_ID] = RemoteService(SINGLE_ID, "", "")

    def services(self) -> tuple[RemoteService, ...]:
        """Return the services by ascending id."""
        return tuple(service for _, service in sorted(self._services.items()))

    def find(self, service_id: int) -> RemoteService | None:
        """Return the service with this id, or None."""
        return self._services.get(service_id)

    def state_hash(self) -> bytes | None:
        """Return what STATE tells the tracker about this copy (01 section 8.2)."""
        if self.single:
            one = self._services[SINGLE_ID]
            return single_group_hash(one.hostname, one.version)
        entries = (ServiceEntry(one.id, one.hostname, one.version) for one in self.services())
        return ServicesUpdated(tuple(entries)).group_hash()

    def all_offline(self) -> None:
        """Forget who is online: the tracker only tells who is, never who is not (01 14.4)."""
        for service_id, service in self._services.items():
            self._services[service_id] = dataclasses.replace(service, online=False)

    def replace(self, entries: Iterable[ServiceEntry]) -> None:
        """Take a whole group."""
        services: dict[int, RemoteService] = {}
        for entry in entries:
            if entry.id in services:
                raise _inconsistent("a service twice")
            known = self._services.get(entry.id)
            online = known is not None and known.online
            services[entry.id] = RemoteService(entry.id, entry.hostname, entry.version, online)
        self._services = services

    def include(self, service_id: int, hostname: str, version: str) -> None:
        """Take one service more."""
        if service_id in self._services or len(self._services) >= SERVICES_MAX:
            raise _inconsistent("a service as new that is known")
        self._services[service_id] = RemoteService(service_id, hostname, version)

    def remove(self, service_id: int) -> bool:
        """Forget a service; False when it is not known, which is no offence (01 10.7)."""
        return self._services.pop(service_id, None) is not None

    def change(
        self,
        service_id: int,
        *,
        hostname: str | None = None,
        version: str | None = None,
        online: bool | None = None,
    ) -> bool:
        """Take what is new about a service; False when it is not known, which is no offence."""
        known = self._services.get(service_id)
        if known is None:
            return False
        self._services[service_id] = RemoteService(
            service_id,
            known.hostname if hostname is None else hostname,
            known.version if version is None else version,
            known.online if online is None else online,
        )
        return True

    def set_online(self, service_ids: Iterable[int]) -> None:
        """Take who is online at installation; here an unknown id is an offence."""
        for service_id in service_ids:
            if not self.change(service_id, online=True):
                raise _inconsistent("a service as online that is not known")
