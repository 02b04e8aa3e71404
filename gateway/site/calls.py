"""Procedure calls relayed between a client and a service (03 sections 1.1 and 1.5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.asn1.reader import is_one_sequence
from gateway.base.errors import ProtocolViolation
from gateway.site.presence import ClientPeer, Presence, ServicePeer
from gateway.wire.codes import ErrorCode
from gateway.wire.message import Message
from gateway.wire.rpc import (
    CallFailed,
    CallRefused,
    CallRequest,
    CallResult,
    ServiceCallFailed,
    ServiceCallRefused,
    ServiceCallRequest,
    ServiceCallResult,
)

CALL_LIFE = 900.0
"""Seconds for which an answer is passed on; applications may wait longer than the usual 30."""
CALLS_PER_CLIENT = 1024
"""Calls of one client without an answer; more are answered as busy."""
OCTETS_PER_CLIENT = 2 * 1024 * 1024
"""Octets of their arguments."""
SERVICE_QUEUE = 4 * 1024 * 1024
"""Octets that may wait for a service before its callers are told that it is busy. A peer with 8 MiB
unread is cut off, and a service on a thin line must not be because of its clients, however many."""

Answer = ServiceCallResult | ServiceCallFailed | ServiceCallRefused


@dataclass(slots=True, eq=False)
class _Call:
    client: ClientPeer
    service: ServicePeer
    transaction_uid: bytes
    until: float
    size: int


def insist_on_sequences(*bodies: bytes | None) -> None:
    """Raise ProtocolViolation unless each is absent or exactly one SEQUENCE (traps R2, R3)."""
    for body in bodies:
        if body is not None and not is_one_sequence(body):
            raise ProtocolViolation("arguments, results and tags are exactly one SEQUENCE")


class CallRelay:
    """Passes calls to services and their answers back; answers that fit no call are dropped."""

    def __init__(
        self,
        presence: Presence,
        find_service: Callable[[int], ServicePeer | None],
        takes_stateless: Callable[[ServicePeer], bool],
        room_at: Callable[[ServicePeer], int],
    ) -> None:
        self._presence = presence
        self._find_service = find_service
        self._takes_stateless = takes_stateless
        self._room_at = room_at
        self._calls: dict[tuple[ClientPeer, bytes], _Call] = {}
        self._open: dict[ClientPeer, int] = {}
        self._octets: dict[ClientPeer, int] = {}

    def take_from_client(self, peer: ClientPeer, message: Message, now: float) -> None:
        """Pass a call on, or refuse it. Raises ProtocolViolation for malformed arguments."""
        if not isinstance(message, CallRequest) or peer.acting is None:
            return
        self._expire(now)
        insist_on_sequences(message.arguments, message.session_tag)
        key = (peer, message.transaction_uid)
        if key in self._calls:
            return
        code = ErrorCode.NO_ERROR
        size = len(message.arguments)
        mine = self._octets.get(peer, 0) + size
        service = self._find_service(message.service_id)
        if service is None:
            code = ErrorCode.SERVICE_OFFLINE
        elif peer.stateless and not self._takes_stateless(service):
            code = ErrorCode.ACCESS_DENIED  # trap R1: it would cost the service its session
        elif (
            self._open.get(peer, 0) >= CALLS_PER_CLIENT
            or mine > OCTETS_PER_CLIENT
            # Nobody gets more than what is left for the next: the greedy leave room for others.
            or mine > self._room_at(service)
        ):
            code = ErrorCode.SERVICE_BUSY
        if service is None or code:
            self._presence.send(peer, CallRefused(message.transaction_uid, int(code)))
            return
        self._calls[key] = _Call(peer, service, message.transaction_uid, now + CALL_LIFE, size)
        self._open[peer] = self._open.get(peer, 0) + 1
        self._octets[peer] = mine
        # A named client that runs as Guest is sent with its own user here, as in recording 15b;
        # the service does not find that user and takes the Guest (02 section 4.2).
        arrival = peer.arrival
        self._presence.send(
            service,
            ServiceCallRequest(
                message.transaction_uid,
                message.procedure,
                arrival.user_kind,
                arrival.user_id,
                peer.id,
                message.arguments,
                message.session_tag,
            ),
        )

    def take_from_service(self, peer: ServicePeer, message: Message, now: float) -> None:
        """Pass an answer back. Raises ProtocolViolation for a malformed result."""
        if not isinstance(message, Answer):
            return
        self._expire(now)
        relayed: Message
        if isinstance(message, ServiceCallResult):
            insist_on_sequences(message.result)
            relayed = CallResult(message.transaction_uid, message.result)
        elif isinstance(message, ServiceCallFailed):
            insist_on_sequences(message.error)
            relayed = CallFailed(message.transaction_uid, message.error_code, message.error)
        else:
            relayed = CallRefused(message.transaction_uid, message.error_code)
        client = self._presence.client_of(message.user_kind, message.client_id)
        call = self._calls.get((client, message.transaction_uid)) if client else None
        if call is not None and call.service is peer:
            self._forget(call)
            self._presence.send(call.client, relayed)

    def client_ended(self, peer: ClientPeer) -> None:
        """Forget the calls of a client that is gone."""
        if peer in self._open:
            for call in [call for call in self._calls.values() if call.client is peer]:
                self._forget(call)

    def _expire(self, now: float) -> None:
        while self._calls:
            oldest = next(iter(self._calls.values()))
            if oldest.until > now:
                return
            self._forget(oldest)

    def _forget(self, call: _Call) -> None:
        if self._calls.pop((call.client, call.transaction_uid), None) is None:
            return
        left = self._open.get(call.client, 0) - 1
        if left > 0:
            self._open[call.client] = left
            self._octets[call.client] -= call.size
        else:
            self._open.pop(call.client, None)
            self._octets.pop(call.client, None)
