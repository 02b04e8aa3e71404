"""What a client asks of services: connections and calls (02 section 5, 03 section 1.5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from gateway.access.ports import Actor
from gateway.asn1.reader import is_one_sequence
from gateway.base.entropy import Entropy
from gateway.base.secret import Secret
from gateway.model.kinds import (
    ClientCategory,
    ClientStatus,
    EndpointType,
    SiteKind,
    TransportKind,
)
from gateway.protocol.endpoint import EndpointSession
from gateway.protocol.endpoint_events import (
    CallEnded,
    MeetService,
    RequestFailed,
    RequestReady,
    ServiceVouched,
)
from gateway.protocol.endpoint_group import ServiceGroup
from gateway.protocol.endpoint_inbox import Inbox, MemoryPositions, Positions
from gateway.protocol.endpoint_members import GUEST, STATELESS_GUEST
from gateway.wire.catalogue import Direction
from gateway.wire.codes import ErrorCode
from gateway.wire.connect import (
    ClientAuthError,
    ClientAuthHash,
    ClientAuthKey,
    ClientConnectionAccepted,
    ClientRendezvousData,
    ClientRequestError,
    ConnectionRequest,
)
from gateway.wire.message import Message
from gateway.wire.rpc import CallFailed, CallRefused, CallRequest, CallResult

REQUEST_MIN = 5.0
"""Shortest time limit of a request, seconds (02 section 5)."""


@dataclass(frozen=True, slots=True)
class ClientProfile:
    """What a client is; the same for all its sessions. Stateless clients have no password."""

    category: ClientCategory
    key: str
    password: Secret | None
    service_type: str
    contract_author: str
    description: str = ""
    ping_period: int = 0


@dataclass(slots=True)
class ClientMemory:
    """What survives a reconnect of a client; `roles` is None on plain sites and for guests."""

    group: ServiceGroup
    user: Actor
    inbox: Inbox
    channel_id: bytes | None = None
    roles: tuple[str, ...] | None = None
    site_uid: bytes | None = None

    @classmethod
    def fresh(
        cls, category: ClientCategory, positions: Positions | None = None, account: str = ""
    ) -> ClientMemory:
        """Return the memory of an endpoint that was never connected.

        `positions` holds how far it has come with events, for the account "key@server".
        """
        stateless = category.stateless
        group = ServiceGroup(single=category.site_kind is SiteKind.SINGLE_SERVICE)
        inbox = Inbox(positions or MemoryPositions(), account, stateless=stateless)
        return cls(group, STATELESS_GUEST if stateless else GUEST, inbox)


@dataclass(slots=True)
class _Request:
    service_id: int
    transport: TransportKind | None  # None: a call
    due: float
    met: bool = False
    connected: bool = False
    accepted: bool = False


class ClientRequests(EndpointSession):
    """The part of a client's session that asks services.

    `request` starts a connection; MeetService says where; whoever makes it commands `ask_for_hash`
    and `connected` or `not_connected`. RequestReady comes when the service has accepted as well.
    """

    kind = EndpointType.CLIENT
    _incoming = Direction.TRACKER_TO_CLIENT
    _outgoing_direction = Direction.CLIENT_TO_TRACKER
    _offline = ClientStatus.OFFLINE

    def __init__(self, profile: ClientProfile, memory: ClientMemory, entropy: Entropy) -> None:
        super().__init__(profile.password, entropy, profile.ping_period)
        self._profile = profile
        self._memory = memory
        self._requests: dict[bytes, _Request] = {}

    # -- requests

    def request(
        self,
        transport: TransportKind,
        service_id: int,
        port: int,
        *,
        limit: float,
        now: float,
        session_tag: bytes | None = None,
    ) -> bytes:
        """Ask for a connection; return its uid. `limit` seconds, at least 5, for all of it."""
        uid = self._entropy.uid()
        self._requests[uid] = _Request(service_id, transport, now + max(limit, REQUEST_MIN))
        self._say(ConnectionRequest(transport, uid, service_id, port, session_tag), now)
        return uid

    def call(
        self,
        service_id: int,
        procedure: str,
        arguments: bytes,
        *,
        limit: float,
        now: float,
        session_tag: bytes | None = None,
    ) -> bytes:
        """Call a procedure; return the uid of the call (03 section 1.5)."""
        uid = self._entropy.uid()
        self._requests[uid] = _Request(service_id, None, now + max(limit, REQUEST_MIN))
        self._say(CallRequest(uid, service_id, procedure, arguments, session_tag), now)
        return uid

    def ask_for_hash(self, order: MeetService, auth_key: bytes, now: float) -> None:
        """Let the tracker answer the proxy's challenge for this request."""
        request = self._requests.get(order.request_uid)
        if request is not None and request.transport is not None:
            key = ClientAuthKey(request.transport, order.request_uid, order.server_id, auth_key)
            self._say(key, now)

    def connected(self, request_uid: bytes) -> bool:
        """Note that the connection is made; False when it is wanted no more."""
        request = self._requests.get(request_uid)
        if request is None:
            return False
        request.connected = True
        self._settle(request_uid, request)
        return True

    def not_connected(self, request_uid: bytes, now: float) -> None:
        """Note that the connection cannot be made; nobody else is told (02 section 5)."""
        self._end(request_uid, ErrorCode.CONNECTION_ATTEMPT_FAILED, now)

    def abandon(self, request_uid: bytes) -> None:
        """Forget a request or call that the application does not want any more."""
        self._requests.pop(request_uid, None)

    def _settle(self, uid: bytes, request: _Request) -> None:
        if request.connected and request.accepted:
            del self._requests[uid]
            self._emit(RequestReady(uid))

    def _end(self, uid: bytes, code: int, _now: float) -> None:
        request = self._requests.pop(uid, None)
        if request is None:
            return
        if request.transport is None:
            self._emit(CallEnded(uid, code=code))
        else:
            self._emit(RequestFailed(uid, code))

    def _of(self, uid: bytes, transport: TransportKind) -> _Request | None:
        request = self._requests.get(uid)
        return request if request is not None and request.transport is transport else None

    def _meet(self, message: ClientRendezvousData, _now: float) -> None:
        request = self._of(message.request_uid, message.transport)
        if request is None or request.met:  # a second one would orphan the first connector
            return
        request.met = True
        order = MeetService(
            message.request_uid, message.connection_uid, message.server_id, message.server_address
        )
        self._emit(order)

    def _request_error(self, message: ClientRequestError, now: float) -> None:
        if self._of(message.request_uid, message.transport) is not None:
            self._end(message.request_uid, message.error_code, now)

    def _accepted(self, message: ClientConnectionAccepted, _now: float) -> None:
        request = self._of(message.request_uid, message.transport)
        if request is not None:
            request.accepted = True
            self._settle(message.request_uid, request)

    def _vouched(self, message: ClientAuthHash, _now: float) -> None:
        if self._of(message.request_uid, message.transport) is not None:
            vouched = ServiceVouched(message.request_uid, message.auth_hash, message.auth_key2)
            self._emit(vouched)

    def _not_vouched(self, message: ClientAuthError, now: float) -> None:
        if self._of(message.request_uid, message.transport) is not None:
            self._end(message.request_uid, ErrorCode.CONNECTION_ATTEMPT_FAILED, now)

    def _call_answered(self, message: CallResult | CallFailed | CallRefused, now: float) -> None:
        uid = message.transaction_uid
        request = self._requests.get(uid)
        if request is None or request.transport is not None:
            return
        if isinstance(message, CallRefused):
            self._end(uid, message.error_code, now)
            return
        octets = message.result if isinstance(message, CallResult) else message.error
        if octets is not None and not is_one_sequence(octets):
            # The reference's client drops its session here: a service could disturb it (03 1.5).
            self._end(uid, ErrorCode.ARGUMENT_ERROR, now)
            return
        del self._requests[uid]
        if isinstance(message, CallResult):
            self._emit(CallEnded(uid, result=message.result))
        else:
            self._emit(CallEnded(uid, application_code=message.error_code, error=message.error))

    # -- time and end

    def _role_deadline(self) -> float | None:
        return min((request.due for request in self._requests.values()), default=None)

    def _role_tick(self, now: float) -> None:
        for uid in [uid for uid, request in self._requests.items() if now >= request.due]:
            self._end(uid, ErrorCode.TIMEOUT_EXPIRED, now)

    def _role_ended(self) -> None:
        self._memory.group.all_offline()
        for uid in tuple(self._requests):
            self._end(uid, ErrorCode.CLIENT_OFFLINE, 0.0)

    ANSWERS: ClassVar[dict[type[Message], Callable[[Any, Any, float], None]]] = {
        ClientRendezvousData: _meet,
        ClientRequestError: _request_error,
        ClientConnectionAccepted: _accepted,
        ClientAuthHash: _vouched,
        ClientAuthError: _not_vouched,
        CallResult: _call_answered,
        CallFailed: _call_answered,
        CallRefused: _call_answered,
    }
