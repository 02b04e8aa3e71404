"""How a service answers requests for connections and calls (02 section 4, 03 section 1.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from gateway.access.ports import AccessRule, decide
from gateway.asn1.reader import is_one_sequence
from gateway.base.entropy import Entropy
from gateway.base.secret import Secret
from gateway.model.kinds import EndpointType, ServiceStatus
from gateway.model.structure import SiteStructure
from gateway.protocol.endpoint import EndpointSession
from gateway.protocol.endpoint_events import (
    CallArrived,
    ClientVouched,
    MeetClient,
    PendingConnection,
    PendingDropped,
    RequestDenied,
)
from gateway.protocol.endpoint_members import Membership
from gateway.protocol.endpoint_outbox import EventQueue, MemoryQueue, Outbox, WhenFull
from gateway.protocol.endpoint_ports import PortTable, VirtualPort
from gateway.wire.catalogue import Direction
from gateway.wire.codes import ErrorCode
from gateway.wire.connect import (
    RequestOk,
    ServiceAuthError,
    ServiceAuthHash,
    ServiceAuthKey,
    ServiceConnectionAccepted,
    ServiceConnectionRequest,
    ServiceRendezvousData,
    ServiceRequestError,
)
from gateway.wire.message import Message
from gateway.wire.rpc import (
    ServiceCallFailed,
    ServiceCallRefused,
    ServiceCallRequest,
    ServiceCallResult,
)

PENDING_LIMIT = 30.0
"""Seconds a connection may be in the making (02 section 4.3)."""


@dataclass(frozen=True, slots=True)
class ServiceProfile:
    """What a service is; the same for all its sessions."""

    uid: bytes
    password: Secret
    structure: SiteStructure
    version: str = ""
    ping_period: int = 0


@dataclass(slots=True)
class Procedure:
    """A procedure that the application offers; `limit` calls of it may run at once."""

    rule: AccessRule = None
    limit: int = 16


@dataclass(slots=True)
class ServiceMemory:
    """What survives a reconnect of a service."""

    members: Membership
    outbox: Outbox
    channel_id: bytes | None = None
    hostname: str = ""
    ports: PortTable = field(default_factory=PortTable)
    procedures: dict[str, Procedure] = field(default_factory=dict)
    running: Counter[str] = field(default_factory=Counter)

    @classmethod
    def fresh(
        cls,
        structure: SiteStructure,
        entropy: Entropy,
        queue: EventQueue | None = None,
        uid: bytes = b"",
        when_full: WhenFull = WhenFull.REJECT,
    ) -> ServiceMemory:
        """Return the memory of an endpoint that was never connected; `queue` holds its raises."""
        outbox = Outbox(structure, queue or MemoryQueue(), uid, entropy, when_full)
        return cls(Membership(structure), outbox)


class ServiceAnswers(EndpointSession):
    """The part of a service's session that answers clients.

    Reports MeetClient for each connection it agreed to; whoever makes the connection commands
    `ask_for_hash`, then `connected` or `not_connected`, and `accept` when the application takes it.
    """

    kind = EndpointType.SERVICE
    _incoming = Direction.TRACKER_TO_SERVICE
    _outgoing_direction = Direction.SERVICE_TO_TRACKER
    _offline = ServiceStatus.OFFLINE

    def __init__(self, profile: ServiceProfile, memory: ServiceMemory, entropy: Entropy) -> None:
        super().__init__(profile.password, entropy, profile.ping_period)
        self._profile = profile
        self._memory = memory
        self._pending: dict[PendingConnection, float] = {}

    # -- connections

    def _requested(self, message: ServiceConnectionRequest, now: float) -> None:
        if self._judge(message, now, admit=True):
            answer = RequestOk(
                message.transport,
                message.request_uid,
                message.virtual_port,
                message.user_kind,
                message.client_id,
                message.session_tag,
            )
            self._say(answer, now)

    def _judge(
        self,
        message: ServiceConnectionRequest | ServiceRendezvousData,
        now: float,
        *,
        admit: bool,
    ) -> bool:
        actor = self._memory.members.resolve(message.user_kind, message.user_id)
        port = message.virtual_port
        ports = self._memory.ports
        code = ports.judge(message.transport, port, actor, admit=admit)
        if admit and code is ErrorCode.NO_ERROR:
            client = (message.user_kind, message.client_id)
            if not ports.admit(message.transport, port, client, message.request_uid, now):
                code = ErrorCode.SERVICE_BUSY
        if code is ErrorCode.NO_ERROR:
            return True
        self._refuse(message, code, now)
        denied = RequestDenied(
            message.transport, port, code, actor, message.user_id, message.client_id
        )
        self._emit(denied)
        return False

    def _refuse(
        self,
        asked: ServiceConnectionRequest | ServiceRendezvousData | PendingConnection,
        code: ErrorCode,
        now: float,
    ) -> None:
        answer = ServiceRequestError(
            asked.transport, asked.request_uid, code, asked.user_kind, asked.client_id
        )
        self._say(answer, now)

    def _meet(self, message: ServiceRendezvousData, now: float) -> None:
        # The reference drops a malformed tag without an answer; its client then waits (02 T12).
        if message.session_tag is not None and not is_one_sequence(message.session_tag):
            self._refuse(message, ErrorCode.CONNECTION_ATTEMPT_FAILED, now)
            return
        if not self._judge(message, now, admit=False):
            return
        if self._memory.ports.full:
            self._refuse(message, ErrorCode.SERVICE_BUSY, now)
            return
        actor = self._memory.members.resolve(message.user_kind, message.user_id)
        assert actor is not None  # the judgement needs one
        entry = PendingConnection(
            message.transport,
            message.request_uid,
            message.connection_uid,
            message.server_id,
            message.server_address,
            message.virtual_port,
            actor,
            message.user_kind,
            message.client_id,
            message.session_tag,
        )
        if self._find(entry.transport, entry.port, entry.connection_uid) is not None:
            return
        self._pending[entry] = now + PENDING_LIMIT
        self._memory.ports.began(entry)
        self._emit(MeetClient(entry))

    def _find(self, transport: int, port: int, connection_uid: bytes) -> PendingConnection | None:
        for entry in self._pending:
            if (entry.transport, entry.port) == (transport, port) and (
                entry.connection_uid == connection_uid
            ):
                return entry
        return None

    def _vouched(self, message: ServiceAuthHash, _now: float) -> None:
        entry = self._find(message.transport, message.virtual_port, message.connection_uid)
        if entry is not None:
            self._emit(ClientVouched(entry, message.auth_hash, message.auth_key2))

    def _not_vouched(self, message: ServiceAuthError, now: float) -> None:
        entry = self._find(message.transport, message.virtual_port, message.connection_uid)
        if entry is not None:
            self._refuse(entry, ErrorCode.CONNECTION_ATTEMPT_FAILED, now)
            self._drop(entry)

    def _drop(self, entry: PendingConnection) -> None:
        del self._pending[entry]
        self._memory.ports.left(entry)
        self._emit(PendingDropped(entry))

    def ask_for_hash(self, entry: PendingConnection, auth_key: bytes, now: float) -> None:
        """Let the tracker answer the proxy's challenge for this connection."""
        if entry in self._pending:
            key = ServiceAuthKey(
                entry.transport, entry.port, entry.connection_uid, entry.server_id, auth_key
            )
            self._say(key, now)

    def connected(self, entry: PendingConnection) -> VirtualPort | None:
        """Note that the connection is made; None when it is wanted no more."""
        if self._pending.pop(entry, None) is None:
            return None
        return self._memory.ports.completed(entry)

    def not_connected(self, entry: PendingConnection, now: float) -> None:
        """Tell the client that the connection could not be made."""
        if entry in self._pending:
            self._refuse(entry, ErrorCode.CONNECTION_ATTEMPT_FAILED, now)
            del self._pending[entry]
            self._memory.ports.left(entry)

    def accept(self, entry: PendingConnection, now: float) -> None:
        """Tell the client that the application has taken the connection (02 section 4.4)."""
        taken = ServiceConnectionAccepted(
            entry.transport, entry.request_uid, entry.user_kind, entry.client_id
        )
        self._say(taken, now)

    def release(self, port: VirtualPort) -> None:
        """Drop what is pending on a port that is listened on no more; clients are not told."""
        for entry in tuple(port.pending):
            if entry in self._pending:
                self._drop(entry)

    # -- calls

    def _called(self, message: ServiceCallRequest, now: float) -> None:
        tag = message.session_tag
        if not is_one_sequence(message.arguments) or (tag is not None and not is_one_sequence(tag)):
            return  # no answer at all, as the reference (03 section 1.4)
        actor = self._memory.members.resolve(message.user_kind, message.user_id)
        procedure = self._memory.procedures.get(message.procedure)
        if procedure is None:
            code = ErrorCode.MISSING_PROCEDURE
        elif actor is None or not decide(procedure.rule, actor).allowed:
            code = ErrorCode.ACCESS_DENIED
        elif self._memory.running[message.procedure] >= procedure.limit:
            code = ErrorCode.SERVICE_BUSY
        else:
            self._memory.running[message.procedure] += 1
            call = CallArrived(
                message.transaction_uid,
                message.procedure,
                actor,
                message.user_kind,
                message.client_id,
                message.arguments,
                tag,
            )
            self._emit(call)
            return
        uid, kind, client = message.transaction_uid, message.user_kind, message.client_id
        self._say(ServiceCallRefused(uid, kind, client, code), now)

    def refuse(self, call: CallArrived, code: ErrorCode, now: float) -> None:
        """Answer a call with an error of the protocol."""
        self._memory.running[call.procedure] -= 1
        uid, kind, client = call.transaction_uid, call.user_kind, call.client_id
        self._say(ServiceCallRefused(uid, kind, client, code), now)

    def answer(self, call: CallArrived, result: bytes, now: float) -> None:
        """Return the result of a call, one SEQUENCE."""
        self._memory.running[call.procedure] -= 1
        uid, kind, client = call.transaction_uid, call.user_kind, call.client_id
        self._say(ServiceCallResult(uid, kind, client, result), now)

    def answer_error(self, call: CallArrived, code: int, error: bytes | None, now: float) -> None:
        """Return an application error, any code but 0, with or without a SEQUENCE of data."""
        self._memory.running[call.procedure] -= 1
        uid, kind, client = call.transaction_uid, call.user_kind, call.client_id
        self._say(ServiceCallFailed(uid, kind, client, code, error), now)

    # -- time and end

    def _role_deadline(self) -> float | None:
        return next(iter(self._pending.values()), None)  # entries keep the order of their limits

    def _role_tick(self, now: float) -> None:
        for entry in [entry for entry, due in self._pending.items() if now >= due]:
            self._drop(entry)

    def _role_ended(self) -> None:
        for entry in tuple(self._pending):
            self._drop(entry)

    ANSWERS: ClassVar[dict[type[Message], Callable[[Any, Any, float], None]]] = {
        ServiceConnectionRequest: _requested,
        ServiceRendezvousData: _meet,
        ServiceAuthHash: _vouched,
        ServiceAuthError: _not_vouched,
        ServiceCallRequest: _called,
    }
