"""What an endpoint announces; delivered in order on the event loop (01 section 14)."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from gateway.protocol.endpoint_events import (
    EventDropped,
    EventStorageFailed,
    HostnameChanged,
    MembersChanged,
    RaiseRefused,
    RequestDenied,
    ServicesChanged,
    StatusChanged,
    SubscriptionRefused,
    UserChanged,
)
from gateway.wire.codes import ErrorCode

__all__ = [
    "Connectivity",
    "ConnectivityChanged",
    "ConnectivityStatus",
    "EndpointEvent",
    "EventDropped",
    "EventStorageFailed",
    "HostnameChanged",
    "MembersChanged",
    "RaiseRefused",
    "RequestDenied",
    "ServicesChanged",
    "StatusChanged",
    "SubscriptionRefused",
    "UserChanged",
]


class ConnectivityStatus(enum.Enum):
    """How the connection to the server stands (01 section 14.1)."""

    DISCONNECTED = "disconnected"
    ATTEMPT_TO_CONNECT = "connecting"
    CONNECTED = "connected"
    DOWN = "down"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Connectivity:
    """Where the connection stands and what went wrong last; `message` is a sentence."""

    status: ConnectivityStatus = ConnectivityStatus.DISCONNECTED
    error: ErrorCode = ErrorCode.NO_ERROR
    message: str = ""


@dataclass(frozen=True, slots=True)
class ConnectivityChanged:
    """The connection to the server came, went or failed."""

    connectivity: Connectivity


EndpointEvent = (
    ConnectivityChanged
    | StatusChanged
    | HostnameChanged
    | MembersChanged
    | RequestDenied
    | ServicesChanged
    | UserChanged
    | EventDropped
    | EventStorageFailed
    | RaiseRefused
    | SubscriptionRefused
)
