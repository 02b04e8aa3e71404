"""Modules 10 and 11: brokered TCP and UDP connections through the tracker (02 section 2).

The transport is a value; it decides the component and never stands in the body.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from gateway.model.kinds import TransportKind, UserKind
from gateway.wire.fields import Choice, Hash, Int32, Int64, Octets, SessionTag, Uid
from gateway.wire.message import Message

Port = Annotated[int, Int32()]
Kind = Annotated[UserKind, Choice(UserKind)]
Id = Annotated[int, Int64()]
Address = Annotated[bytes, Octets(4, 16)]


@dataclass(frozen=True, slots=True)
class ConnectionRequest(Message):
    """Client to tracker: connect me to a virtual port of a service (0: the only one)."""

    transport: TransportKind
    request_uid: Uid
    service_id: Id
    virtual_port: Port
    session_tag: SessionTag = None


@dataclass(frozen=True, slots=True)
class ServiceConnectionRequest(Message):
    """Tracker to service: this client of this user asks for a virtual port."""

    transport: TransportKind
    request_uid: Uid
    virtual_port: Port
    user_kind: Kind
    user_id: Id
    client_id: Id
    session_tag: SessionTag = None


@dataclass(frozen=True, slots=True)
class RequestOk(Message):
    """Service to tracker: I am willing."""

    transport: TransportKind
    request_uid: Uid
    virtual_port: Port
    user_kind: Annotated[int, Int32()]
    client_id: Id
    session_tag: SessionTag = None


@dataclass(frozen=True, slots=True)
class ServiceRequestError(Message):
    """Service to tracker: refused, or it failed later."""

    transport: TransportKind
    request_uid: Uid
    error_code: Annotated[int, Int32()]
    user_kind: Annotated[int, Int32()]
    client_id: Id


@dataclass(frozen=True, slots=True)
class ServiceConnectionAccepted(Message):
    """Service to tracker: the application has taken the connection."""

    transport: TransportKind
    request_uid: Uid
    user_kind: Annotated[int, Int32()]
    client_id: Id


@dataclass(frozen=True, slots=True)
class ServiceRendezvousData(Message):
    """Tracker to service: where to meet the client."""

    transport: TransportKind
    request_uid: Uid
    connection_uid: Uid
    server_id: Annotated[int, Int32()]
    server_address: Address
    virtual_port: Port
    user_kind: Kind
    user_id: Id
    client_id: Id
    session_tag: SessionTag = None


@dataclass(frozen=True, slots=True)
class ServiceAuthKey(Message):
    """Service to tracker: hash this challenge of the proxy."""

    transport: TransportKind
    virtual_port: Port
    connection_uid: Uid
    server_id: Annotated[int, Int32()]
    auth_key: Hash


@dataclass(frozen=True, slots=True)
class ServiceAuthHash(Message):
    """Tracker to service: the answer for the proxy."""

    transport: TransportKind
    virtual_port: Port
    connection_uid: Uid
    auth_hash: Hash
    auth_key2: Hash


@dataclass(frozen=True, slots=True)
class ServiceAuthError(Message):
    """Tracker to service: no such proxy."""

    transport: TransportKind
    virtual_port: Port
    connection_uid: Uid


@dataclass(frozen=True, slots=True)
class ClientRendezvousData(Message):
    """Tracker to client: where to meet the service."""

    transport: TransportKind
    request_uid: Uid
    connection_uid: Uid
    server_id: Annotated[int, Int32()]
    server_address: Address


@dataclass(frozen=True, slots=True)
class ClientRequestError(Message):
    """Tracker to client: refused or failed."""

    transport: TransportKind
    request_uid: Uid
    error_code: Annotated[int, Int32()]


@dataclass(frozen=True, slots=True)
class ClientConnectionAccepted(Message):
    """Tracker to client: the service application has taken the connection."""

    transport: TransportKind
    request_uid: Uid


@dataclass(frozen=True, slots=True)
class ClientAuthKey(Message):
    """Client to tracker: hash this challenge of the proxy."""

    transport: TransportKind
    request_uid: Uid
    server_id: Annotated[int, Int32()]
    auth_key: Hash


@dataclass(frozen=True, slots=True)
class ClientAuthHash(Message):
    """Tracker to client: the answer for the proxy."""

    transport: TransportKind
    request_uid: Uid
    auth_hash: Hash
    auth_key2: Hash


@dataclass(frozen=True, slots=True)
class ClientAuthError(Message):
    """Tracker to client: no such proxy."""

    transport: TransportKind
    request_uid: Uid
