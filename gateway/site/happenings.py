"""What a site is told (inputs) and what it wants done (effects); plain values, all of them.

A connection is a number that its owner chose and never uses twice.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from gateway.model.kinds import ClientCategory, ClientStatus, EndpointType, ServiceStatus, UserKind
from gateway.model.snapshot import SiteSnapshot
from gateway.model.structure import SiteStructure
from gateway.wire.codes import ErrorCode
from gateway.wire.message import Message

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Path:
    """How an endpoint reached the tracker: its address, and the one of ours that it used."""

    peer: str = ""
    local: IpAddress | None = None

    @property
    def ipv6(self) -> bool:
        """Tell whether the connection runs over IPv6."""
        return self.local is not None and self.local.version == 6


def this_machine(local: IpAddress | None) -> bool:
    """Tell whether an endpoint reached us at the machine's own address, so lives here itself.

    Other addresses of 127.0.0.0/8 stand for hosts of their own, as in tests on one machine.
    """
    return local is not None and str(local) in ("127.0.0.1", "::1")


# -- inputs ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ServiceArrived:
    """A service has logged in; `restored` when it presented the channel id itself."""

    connection: int
    service_id: int
    channel_id: bytes
    restored: bool
    path: Path = Path()


@dataclass(frozen=True, slots=True)
class ClientArrived:
    """A client has logged in; `channel_id` is b'' and the ids are 0 for a stateless one.

    The last three fields are what is stored of the program's description of itself.
    """

    connection: int
    client_id: int
    user_id: int
    user_kind: UserKind
    category: ClientCategory
    channel_id: bytes
    restored: bool
    path: Path = Path()
    ping_period: int = 0
    service_type: str | None = None
    contract_author: str | None = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class MessageArrived:
    """An endpoint said something that its phase allows."""

    connection: int
    message: Message


@dataclass(frozen=True, slots=True)
class ConnectionEnded:
    """An endpoint is gone, or counts as gone because it broke a rule."""

    connection: int


@dataclass(frozen=True, slots=True)
class SnapshotTaken:
    """Management changed something: this is how the site is now."""

    snapshot: SiteSnapshot


@dataclass(frozen=True, slots=True)
class SiteEnded:
    """The site is to be left by everybody: rebuilt, or deleted."""

    service_code: ErrorCode = ErrorCode.RESTART
    client_code: ErrorCode = ErrorCode.RESTART


@dataclass(frozen=True, slots=True)
class ClientExpelled:
    """A client was deleted (97) or has a new password (245)."""

    client_id: int
    code: ErrorCode


@dataclass(frozen=True, slots=True)
class ClientPingPeriodSet:
    """Management set a client's ping period, seconds."""

    client_id: int
    seconds: int


@dataclass(frozen=True, slots=True)
class BuildEnded:
    """What became of a BuildSite; the code is for the service that caused it."""

    service_id: int
    built: bool
    code: ErrorCode = ErrorCode.RESTART


@dataclass(frozen=True, slots=True)
class MinutePassed:
    """Time for what expires: deliveries without acknowledgement, lifetimes."""

    wall: float


@dataclass(frozen=True, slots=True)
class EventsKept:
    """Everything up to this batch of the event store is stored (see KeepEvents)."""

    batch: int


Input = (
    ServiceArrived
    | ClientArrived
    | MessageArrived
    | ConnectionEnded
    | SnapshotTaken
    | SiteEnded
    | ClientExpelled
    | ClientPingPeriodSet
    | BuildEnded
    | MinutePassed
    | EventsKept
)


# -- effects -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Send:
    """Send one message to these connections, all of one endpoint type."""

    connections: tuple[int, ...]
    to: EndpointType
    message: Message


@dataclass(frozen=True, slots=True)
class OpenEvents:
    """From now on the connection may speak of events."""

    connection: int


@dataclass(frozen=True, slots=True)
class Fail:
    """Tell the connection a code; for the site it is gone already."""

    connection: int
    code: ErrorCode


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection silently; for the site it is gone already."""

    connection: int


@dataclass(frozen=True, slots=True)
class BuildSite:
    """Build the blank site from what is stored for this service, then tell BuildEnded."""

    service_id: int


@dataclass(frozen=True, slots=True)
class StoreStructure:
    """Store what a service declared; before any judgement (04 section 4.4)."""

    service_id: int
    structure: SiteStructure
    version: str
    ss_hash: bytes


@dataclass(frozen=True, slots=True)
class StoreSeen:
    """Remember that a service was here and, where given, its version or event storage."""

    service_id: int
    version: str | None = None
    storage_uid: bytes | None = None

    @property
    def unchanged(self) -> bool:
        """Tell whether it is only about having been here."""
        return self.version is None and self.storage_uid is None


@dataclass(frozen=True, slots=True)
class KeepEvents:
    """Take a batch of the event store, store it, then tell EventsKept; soon, or when it suits."""

    urgent: bool


@dataclass(frozen=True, slots=True)
class StoreDescription:
    """Remember that a client was here and what its program said of itself."""

    client_id: int
    service_type: str
    contract_author: str
    description: str


@dataclass(frozen=True, slots=True)
class StatusChanged:
    """An endpoint is installed with this status, or offline; for pages and notices."""

    kind: EndpointType
    id: int
    status: ServiceStatus | ClientStatus


@dataclass(frozen=True, slots=True)
class SiteDropped:
    """The site is over; whoever arrives later finds a fresh one."""


Effect = (
    Send
    | OpenEvents
    | Fail
    | Close
    | BuildSite
    | StoreStructure
    | StoreSeen
    | StoreDescription
    | KeepEvents
    | StatusChanged
    | SiteDropped
)
