"""Services as clients see them: module 7 for single-service, 8 for multi-service clients."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated, Any, Self

from gateway.asn1.reader import SequenceReader
from gateway.asn1.writer import SequenceWriter
from gateway.wire.digest import fnv1a
from gateway.wire.fields import Ia5, Int64, Nested, read_all
from gateway.wire.message import Message

SERVICES_MAX = 10_000
"""Services one group may name; bounds what a hostile server makes a client keep."""

ServiceId = Annotated[int, Int64()]
Hostname = Annotated[str, Ia5(0, 256)]
ServiceVersion = Annotated[str, Ia5(0, 64)]


@dataclass(frozen=True, slots=True)
class SingleServiceUpdated(Message):
    """The one service's version and name; a server never sends an empty name (01 10.5)."""

    version: ServiceVersion
    hostname: Hostname


@dataclass(frozen=True, slots=True)
class SingleServiceOnline(Message):
    """The one service is online."""


@dataclass(frozen=True, slots=True)
class SingleServiceOnline2(Message):
    """The one service is online with another version."""

    version: ServiceVersion


@dataclass(frozen=True, slots=True)
class SingleServiceOffline(Message):
    """The one service is offline."""


@dataclass(frozen=True, slots=True)
class ServiceEntry:
    """A service of a group."""

    id: ServiceId
    hostname: Hostname
    version: ServiceVersion


@dataclass(frozen=True, slots=True)
class ServicesUpdated(Message):
    """The whole group: every enabled service of the site by ascending id."""

    services: tuple[ServiceEntry, ...]

    def body(self) -> bytes:
        """Return the group; the body is also the input of its hash (01 section 12.5)."""
        writer = SequenceWriter()
        for service in self.services:
            entry = SequenceWriter().int64(service.id).ia5(service.hostname).ia5(service.version)
            writer.sequence(entry)
        return writer.encode()

    @classmethod
    def from_body(cls, body: bytes, **_fixed: Any) -> Self:
        """Read the group."""
        return cls(read_all(Nested(ServiceEntry), SequenceReader.root(body), SERVICES_MAX))

    def group_hash(self) -> bytes | None:
        """Return what a client and a tracker compare, None for an empty group."""
        return hashlib.sha1(self.body()).digest() if self.services else None


@dataclass(frozen=True, slots=True)
class ServicesOnline(Message):
    """The ids of all services that are online now."""

    service_ids: tuple[int, ...]

    def body(self) -> bytes:
        """Return the ids as the elements of the root."""
        writer = SequenceWriter()
        for service_id in self.service_ids:
            writer.int64(service_id)
        return writer.encode()

    @classmethod
    def from_body(cls, body: bytes, **_fixed: Any) -> Self:
        """Read the ids."""
        return cls(read_all(Int64(), SequenceReader.root(body), SERVICES_MAX))


@dataclass(frozen=True, slots=True)
class ServiceIncluded(Message):
    """A service joined the group; hostname before version."""

    service_id: ServiceId
    hostname: Hostname
    version: ServiceVersion


@dataclass(frozen=True, slots=True)
class ServiceRemoved(Message):
    """A service left the group."""

    service_id: ServiceId


@dataclass(frozen=True, slots=True)
class ServiceUpdated(Message):
    """A service has another name or version; version before hostname."""

    service_id: ServiceId
    version: ServiceVersion
    hostname: Hostname


@dataclass(frozen=True, slots=True)
class ServiceOnlineInGroup(Message):
    """A service of the group is online."""

    service_id: ServiceId


@dataclass(frozen=True, slots=True)
class ServiceOnlineInGroup2(Message):
    """A service of the group is online with another version."""

    service_id: ServiceId
    version: ServiceVersion


@dataclass(frozen=True, slots=True)
class ServiceOfflineInGroup(Message):
    """A service of the group is offline."""

    service_id: ServiceId


def single_group_hash(hostname: str, version: str) -> bytes:
    """Return the hash of a single-service group (01 section 12.4)."""
    return hashlib.sha1(SequenceWriter().ia5(hostname).ia5(version).encode()).digest()


def hostname_hash(hostname: str) -> bytes | None:
    """Return the four octets that stand for a hostname, None for an empty one (01 12.6)."""
    return fnv1a(hostname.encode("utf-8")) if hostname else None
