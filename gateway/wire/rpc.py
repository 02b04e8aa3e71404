"""Module 14: procedure calls (03 section 1.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from gateway.model.kinds import UserKind
from gateway.wire.fields import Choice, Int32, Int64, Name, Octets, SessionTag, Tag, Uid
from gateway.wire.message import Message

PAYLOAD_MAX = 65_536
"""Arguments and results (03 section 7)."""
ERROR_DATA_MAX = 4096
"""Error data as the tracker takes it (03 section 7)."""

Payload = Annotated[bytes, Octets(2, PAYLOAD_MAX)]


@dataclass(frozen=True, slots=True)
class CallRequest(Message):
    """Client to tracker: call a procedure of a service."""

    transaction_uid: Uid
    service_id: Annotated[int, Int64()]
    procedure: Name
    arguments: Payload
    session_tag: SessionTag = None


@dataclass(frozen=True, slots=True)
class ServiceCallRequest(Message):
    """Tracker to service: this client of this user calls a procedure."""

    transaction_uid: Uid
    procedure: Name
    user_kind: Annotated[UserKind, Choice(UserKind)]
    user_id: Annotated[int, Int64()]
    client_id: Annotated[int, Int64()]
    arguments: Payload
    session_tag: SessionTag = None


@dataclass(frozen=True, slots=True)
class ServiceCallResult(Message):
    """Service to tracker: the procedure returned."""

    transaction_uid: Uid
    user_kind: Annotated[int, Int32()]
    client_id: Annotated[int, Int64()]
    result: Payload


@dataclass(frozen=True, slots=True)
class ServiceCallFailed(Message):
    """Service to tracker: the procedure returned an application error."""

    transaction_uid: Uid
    user_kind: Annotated[int, Int32()]
    client_id: Annotated[int, Int64()]
    error_code: Annotated[int, Int32()]
    error: Annotated[bytes | None, Octets(2, ERROR_DATA_MAX), Tag(1)] = None


@dataclass(frozen=True, slots=True)
class ServiceCallRefused(Message):
    """Service to tracker: the call was refused with a code of the protocol."""

    transaction_uid: Uid
    user_kind: Annotated[int, Int32()]
    client_id: Annotated[int, Int64()]
    error_code: Annotated[int, Int32()]


@dataclass(frozen=True, slots=True)
class CallResult(Message):
    """Tracker to client: the procedure returned."""

    transaction_uid: Uid
    result: Payload


@dataclass(frozen=True, slots=True)
class CallFailed(Message):
    """Tracker to client: the procedure returned an application error."""

    transaction_uid: Uid
    error_code: Annotated[int, Int32()]
    error: Annotated[bytes | None, Octets(2, PAYLOAD_MAX), Tag(1)] = None


@dataclass(frozen=True, slots=True)
class CallRefused(Message):
    """Tracker to client: the call was refused with a code of the protocol."""

    transaction_uid: Uid
    error_code: Annotated[int, Int32()]
