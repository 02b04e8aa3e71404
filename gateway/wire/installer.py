"""Modules 5 and 6: state and structure exchange, parameters (01 sections 7, 8 and 10.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Self

from gateway.asn1.reader import SequenceReader
from gateway.asn1.writer import SequenceWriter
from gateway.model.kinds import ClientStatus, ServiceStatus
from gateway.model.structure import SiteStructure
from gateway.wire.fields import Boolean, Choice, Hash, Ia5, Int32, Name, Nested, Octets, Tag, Uid
from gateway.wire.message import Message
from gateway.wire.structure import read_structure, write_structure

PING_PERIOD_MIN, PING_PERIOD_MAX = 10, 300
"""Seconds; 0 means that the endpoint uses its own (01 section 11.3)."""

Version = Annotated[str | None, Ia5(1, 64), Tag(1)]


@dataclass(frozen=True, slots=True)
class GetState(Message):
    """Tracker to endpoint: say what you are and know."""


@dataclass(frozen=True, slots=True)
class GetSiteStructure(Message):
    """Tracker to service: upload your structure."""


@dataclass(frozen=True, slots=True)
class SiteProfile:
    """Which structure a service runs on."""

    service_type: Name
    contract_author: Name
    ss_hash: Hash


@dataclass(frozen=True, slots=True)
class MembershipState:
    """What a service knows of the site's users."""

    list_hash: Annotated[bytes | None, Octets(20), Tag(1)] = None
    guest_allowed: Annotated[bool | None, Boolean(), Tag(2)] = None


@dataclass(frozen=True, slots=True)
class ServiceState(Message):
    """Service to tracker: my structure's hash and what I know (01 section 7.2)."""

    profile: Annotated[SiteProfile, Nested(SiteProfile)]
    version: Version
    membership: Annotated[MembershipState, Nested(MembershipState)]
    hostname_hash: Annotated[bytes | None, Octets(4), Tag(2)] = None


@dataclass(frozen=True, slots=True)
class UploadSiteStructure(Message):
    """Service to tracker: my whole structure (01 section 7.3)."""

    structure: SiteStructure
    version: str | None = None

    def body(self) -> bytes:
        """Return the structure and the version behind it."""
        writer = SequenceWriter().sequence(write_structure(self.structure))
        if self.version is not None:
            writer.ia5(self.version, 1)
        return writer.encode()

    @classmethod
    def from_body(cls, body: bytes, **_fixed: Any) -> Self:
        """Read and check the structure; raises DecodeError or ConstraintViolation."""
        reader = SequenceReader.root(body)
        structure = read_structure(reader.sequence())
        version = reader.ia5(1, 64) if reader.has(1) else None
        reader.end()
        return cls(structure, version)


@dataclass(frozen=True, slots=True)
class ServiceOnline(Message):
    """Tracker to service: clients can see you."""


@dataclass(frozen=True, slots=True)
class ServiceParked(Message):
    """Tracker to service: connected, but not eligible."""

    status: Annotated[ServiceStatus, Choice(ServiceStatus)]


@dataclass(frozen=True, slots=True)
class ClientState(Message):
    """Client to tracker: what I was built for and what I know (01 section 8.2)."""

    service_type: Name
    contract_author: Name
    description: Annotated[str | None, Ia5(1, 256), Tag(1)] = None
    group_hash: Annotated[bytes | None, Octets(20), Tag(2)] = None
    user_hash: Annotated[bytes | None, Octets(20), Tag(3)] = None


@dataclass(frozen=True, slots=True)
class ClientOnline(Message):
    """Tracker to client: you may use the services."""

    site_uid: Uid


@dataclass(frozen=True, slots=True)
class ClientParked(Message):
    """Tracker to client: connected, but not eligible."""

    site_uid: Uid
    status: Annotated[ClientStatus, Choice(ClientStatus)]


@dataclass(frozen=True, slots=True)
class Params(Message):
    """Tracker to endpoint after install: the ping period of management, in seconds."""

    ping_period: Annotated[int | None, Int32(), Tag(1)] = None


@dataclass(frozen=True, slots=True)
class HostnameChanged(Message):
    """Tracker to service: your name on the site."""

    hostname: Annotated[str, Ia5(0, 256)]


@dataclass(frozen=True, slots=True)
class SetPingPeriod(Message):
    """Tracker to endpoint: the ping period changed; 0 means use your own."""

    ping_period: Annotated[int, Int32()]
