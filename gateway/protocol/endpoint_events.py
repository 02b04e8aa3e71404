"""What a tracker connection reports at an endpoint, and how it fails."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.access.ports import Actor
from gateway.base.errors import RemoteError
from gateway.model.kinds import ClientStatus, EventKind, ServiceStatus, TransportKind
from gateway.protocol.endpoint_inbox import Delivery
from gateway.wire.codes import ErrorCode


class SessionFailed(RemoteError):
    """A connection to a tracker ended; `code` says why and decides what comes next (01 5.1)."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Authenticated:
    """The tracker has let the endpoint in; installation follows."""


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """The last event of every connection."""

    failure: SessionFailed


@dataclass(frozen=True, slots=True)
class StatusChanged:
    """The endpoint is online, parked or, when its connection ended, offline."""

    status: ServiceStatus | ClientStatus


@dataclass(frozen=True, slots=True)
class HostnameChanged:
    """Management gave the service another name."""

    hostname: str


@dataclass(frozen=True, slots=True)
class MembersChanged:
    """Users, their roles or the admission of guests changed; ask the endpoint for the new ones."""


@dataclass(frozen=True, slots=True)
class ServicesChanged:
    """The services that a client sees, or their states, changed."""


@dataclass(frozen=True, slots=True)
class UserChanged:
    """A client acts for another user, or the user's name or roles changed."""


@dataclass(frozen=True, slots=True)
class EventStorageFailed:
    """What has to outlive the program can not be kept as it should; `message` is a sentence."""

    message: str


@dataclass(frozen=True, slots=True)
class EventDropped:
    """Service: an instance that waited gave way to a newer one, because the storage is full."""

    kind: EventKind
    name: str
    instance_uid: bytes


@dataclass(frozen=True, slots=True)
class RaiseRefused:
    """Service: the site has no such event; what was raised of it is gone (03 section 3.2)."""

    name: str


@dataclass(frozen=True, slots=True)
class EventsTaken:
    """Service: the tracker has acknowledged everything that was raised."""


@dataclass(frozen=True, slots=True)
class SubscriptionRefused:
    """Client: the site has no such event; the subscription waits for it (03 section 5.1)."""

    name: str


@dataclass(frozen=True, slots=True)
class EventArrived:
    """Client: an instance for a handler, one at a time for each event."""

    delivery: Delivery


@dataclass(frozen=True, slots=True)
class PendingConnection:
    """A connection that a service has agreed to and that is being made."""

    transport: TransportKind
    request_uid: bytes
    connection_uid: bytes
    server_id: int
    server_address: bytes
    port: int
    actor: Actor
    user_kind: int
    client_id: int
    session_tag: bytes | None


@dataclass(frozen=True, slots=True)
class RequestDenied:
    """A service refused a connection; for the audit. `actor` is None for an unknown user."""

    transport: TransportKind
    port: int
    code: ErrorCode
    actor: Actor | None
    user_id: int
    client_id: int


@dataclass(frozen=True, slots=True)
class MeetClient:
    """Service: a client waits at the proxy that the entry names."""

    entry: PendingConnection


@dataclass(frozen=True, slots=True)
class ClientVouched:
    """Service: the tracker's answer to the proxy's challenge."""

    entry: PendingConnection
    auth_hash: bytes
    auth_key2: bytes


@dataclass(frozen=True, slots=True)
class PendingDropped:
    """Service: the attempt is over, whatever it has reached; whoever was told knows already."""

    entry: PendingConnection


@dataclass(frozen=True, slots=True)
class CallArrived:
    """Service: a permitted call of a procedure that the application offers."""

    transaction_uid: bytes
    procedure: str
    actor: Actor
    user_kind: int
    client_id: int
    arguments: bytes
    session_tag: bytes | None


@dataclass(frozen=True, slots=True)
class MeetService:
    """Client: the service agreed; it can be met at this proxy."""

    request_uid: bytes
    connection_uid: bytes
    server_id: int
    server_address: bytes


@dataclass(frozen=True, slots=True)
class ServiceVouched:
    """Client: the tracker's answer to the proxy's challenge."""

    request_uid: bytes
    auth_hash: bytes
    auth_key2: bytes


@dataclass(frozen=True, slots=True)
class RequestReady:
    """Client: the channel is there and the service application has taken it."""

    request_uid: bytes


@dataclass(frozen=True, slots=True)
class RequestFailed:
    """Client: no connection; codes of 02 section 2.5, TIMEOUT_EXPIRED and CLIENT_OFFLINE."""

    request_uid: bytes
    code: int


@dataclass(frozen=True, slots=True)
class CallEnded:
    """Client: an answer to a call; `code` 0 with a result, else an error of its sort."""

    transaction_uid: bytes
    result: bytes | None = None
    application_code: int = 0
    error: bytes | None = None
    code: int = 0


EndpointReport = (
    Authenticated
    | SessionEnded
    | StatusChanged
    | HostnameChanged
    | MembersChanged
    | ServicesChanged
    | UserChanged
    | RequestDenied
    | MeetClient
    | ClientVouched
    | PendingDropped
    | CallArrived
    | MeetService
    | ServiceVouched
    | RequestReady
    | RequestFailed
    | CallEnded
    | EventStorageFailed
    | RaiseRefused
    | EventsTaken
    | SubscriptionRefused
    | EventArrived
)
