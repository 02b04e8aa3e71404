"""Floor 6: the endpoint library, a service or a client of any tracker, this gateway's or another's.

Applications import what they use from here (docs/endpoints.md). The modules:

settings    what an endpoint can be told besides its URI
arguments   what an application gives is judged at once
events      what an endpoint announces
errors      how a client's request can fail
locate      from a server name to the address of its tracker
session     find, connect, stay connected
service     virtual ports that clients reach
arrivals    connections on their way to a service
client      see services and connect to them
departures  connections that a client has asked for
calls       procedures, offered and called
raising     the events that a service raises
following   the events that a client subscribes to
state       what of events outlives a program
records     files that can be read whatever moment the power failed in
meeting     one meeting at a proxy, with TCP sockets; direct without the relay, udp with datagrams
forward     a local port whose connections go to a service
"""

from __future__ import annotations

from gateway.access.ports import AccessRule, Actor, GuestRule, RolesRule
from gateway.asn1.errors import DecodeError
from gateway.asn1.reader import SequenceReader
from gateway.asn1.writer import SequenceWriter
from gateway.base.errors import Conflict, HostError, InvalidInput, NotFound, QuotaExceeded
from gateway.base.secret import Secret
from gateway.endpoint.calls import EMPTY, IncomingCall, ProcedureFailed
from gateway.endpoint.client import ClientEndpoint, OutgoingTcp, OutgoingUdp
from gateway.endpoint.errors import (
    AccessDenied,
    ClientOffline,
    ConnectionAttemptFailed,
    MissingProcedure,
    PortUnreachable,
    RequestRefused,
    RequestTimedOut,
    ServiceBusy,
    ServiceOffline,
)
from gateway.endpoint.events import (
    Connectivity,
    ConnectivityChanged,
    ConnectivityStatus,
    EndpointEvent,
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
from gateway.endpoint.following import EventSubscription
from gateway.endpoint.forward import LocalForward
from gateway.endpoint.service import (
    IncomingTcp,
    IncomingUdp,
    ListenerClosed,
    PortListener,
    ServiceEndpoint,
    UdpPortListener,
    WhenFull,
)
from gateway.endpoint.settings import EndpointSettings
from gateway.endpoint.state import FilePositions, FileQueue, StateSettings
from gateway.model.kinds import (
    ClientStatus,
    ConnectionMode,
    EventKind,
    GuestAccess,
    GuestSupport,
    ServiceStatus,
    UserKind,
)
from gateway.model.structure import EventDefinition, SiteStructure
from gateway.net import sockets
from gateway.net.peer import PeerSocket
from gateway.net.tasks import TaskRoom
from gateway.protocol.endpoint_group import RemoteService
from gateway.protocol.endpoint_inbox import IncomingEvent, Positions
from gateway.protocol.endpoint_outbox import EventQueue
from gateway.wire.codes import ErrorCode

__all__ = [
    "EMPTY",
    "AccessDenied",
    "AccessRule",
    "Actor",
    "ClientEndpoint",
    "ClientOffline",
    "ClientStatus",
    "Conflict",
    "ConnectionAttemptFailed",
    "ConnectionMode",
    "Connectivity",
    "ConnectivityChanged",
    "ConnectivityStatus",
    "DecodeError",
    "EndpointEvent",
    "EndpointSettings",
    "ErrorCode",
    "EventDefinition",
    "EventDropped",
    "EventKind",
    "EventQueue",
    "EventStorageFailed",
    "EventSubscription",
    "FilePositions",
    "FileQueue",
    "GuestAccess",
    "GuestRule",
    "GuestSupport",
    "HostError",
    "HostnameChanged",
    "IncomingCall",
    "IncomingEvent",
    "IncomingTcp",
    "IncomingUdp",
    "InvalidInput",
    "ListenerClosed",
    "LocalForward",
    "MembersChanged",
    "MissingProcedure",
    "NotFound",
    "OutgoingTcp",
    "OutgoingUdp",
    "PeerSocket",
    "PortListener",
    "PortUnreachable",
    "Positions",
    "ProcedureFailed",
    "QuotaExceeded",
    "RaiseRefused",
    "RemoteService",
    "RequestDenied",
    "RequestRefused",
    "RequestTimedOut",
    "RolesRule",
    "Secret",
    "SequenceReader",
    "SequenceWriter",
    "ServiceBusy",
    "ServiceEndpoint",
    "ServiceOffline",
    "ServiceStatus",
    "ServicesChanged",
    "SiteStructure",
    "StateSettings",
    "StatusChanged",
    "SubscriptionRefused",
    "TaskRoom",
    "UdpPortListener",
    "UserChanged",
    "UserKind",
    "WhenFull",
    "sockets",
]
