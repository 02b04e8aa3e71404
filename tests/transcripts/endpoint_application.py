"""What the recorded programs did: asked, accepted, answered, raised, handled."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.model.kinds import EventKind
from gateway.protocol.endpoint import EndpointSession
from gateway.protocol.endpoint_answers import (
    ServiceMemory,
)
from gateway.protocol.endpoint_client import ClientSession
from gateway.protocol.endpoint_events import (
    CallArrived,
    EndpointReport,
    MeetService,
    PendingConnection,
)
from gateway.protocol.endpoint_inbox import Delivery
from gateway.protocol.endpoint_requests import ClientMemory
from gateway.protocol.endpoint_service import ServiceSession
from gateway.wire.catalogue import Direction, decode
from gateway.wire.channel import (
    Ping,
)
from gateway.wire.connect import (
    ClientAuthKey,
    ConnectionRequest,
    ServiceAuthKey,
    ServiceConnectionAccepted,
    ServiceRequestError,
)
from gateway.wire.framing import FRAME_MAX, FrameBuffer
from gateway.wire.message import Message
from gateway.wire.pubsub import (
    PrivateEventAcknowledged,
    QueueingEventAcknowledged,
    RaisePrivateEvent,
    RaiseQueueingEvent,
    RaiseReplacingEvent,
    RaiseReplacingNullEvent,
    ReplacingEventAcknowledged,
)
from gateway.wire.rpc import CallRequest, ServiceCallFailed, ServiceCallResult
from tests.transcripts.endpoint_frames import (
    ScriptedEntropy,
)

Raise = RaiseReplacingEvent | RaiseQueueingEvent | RaisePrivateEvent | RaiseReplacingNullEvent
Acknowledged = ReplacingEventAcknowledged | QueueingEventAcknowledged | PrivateEventAcknowledged
RAISED_KIND: dict[type[Message], EventKind] = {
    RaiseReplacingEvent: EventKind.REPLACING,
    RaiseReplacingNullEvent: EventKind.REPLACING,
    RaiseQueueingEvent: EventKind.QUEUEING,
    RaisePrivateEvent: EventKind.PRIVATE,
}
PING_SLACK = 2.0
"""Seconds by which the recorded program's timers were late."""


@dataclass
class Endpoint:
    """One recorded program: its memory lives as long as it."""

    session: EndpointSession | None = None
    service: ServiceMemory | None = None
    client: ClientMemory | None = None
    entries: list[PendingConnection] = field(default_factory=list)
    orders: list[MeetService] = field(default_factory=list)
    calls: list[CallArrived] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    events: list[EndpointReport] = field(default_factory=list)


class Application:
    """Commands our session as the recorded program commanded its own; random values as recorded."""

    def __init__(self, entropy: ScriptedEntropy) -> None:
        self._entropy = entropy

    def command(
        self,
        endpoint: Endpoint,
        session: EndpointSession,
        octets: bytes,
        now: float,
        direction: Direction,
    ) -> None:
        """Have the session send what the recorded program sent at this moment."""
        frames = FrameBuffer(FRAME_MAX)
        frames.feed(octets)
        payload = frames.next_payload()
        assert payload is not None
        wanted = decode(direction, payload)
        if isinstance(wanted, Ping):
            due = session.deadline
            assert due is not None
            assert abs(due - now) <= PING_SLACK
            session.tick(due)
        elif isinstance(session, ServiceSession):
            self._command_service(endpoint, session, wanted, now)
        elif isinstance(session, ClientSession):
            self._command_client(endpoint, session, wanted, now)

    def _command_service(
        self, endpoint: Endpoint, session: ServiceSession, wanted: Message, now: float
    ) -> None:
        if isinstance(wanted, ServiceAuthKey):
            entry = next(e for e in endpoint.entries if e.connection_uid == wanted.connection_uid)
            session.ask_for_hash(entry, wanted.auth_key, now)
        elif isinstance(wanted, ServiceConnectionAccepted):
            entry = next(e for e in endpoint.entries if e.request_uid == wanted.request_uid)
            assert session.connected(entry) is not None
            session.accept(entry, now)
        elif isinstance(wanted, ServiceRequestError):
            entry = next(e for e in endpoint.entries if e.request_uid == wanted.request_uid)
            session.not_connected(entry, now)
        elif isinstance(wanted, Raise):
            self._raise(endpoint, session, wanted, now)
        elif isinstance(wanted, ServiceCallResult | ServiceCallFailed):
            uid = wanted.transaction_uid
            call = next(c for c in endpoint.calls if c.transaction_uid == uid)
            if isinstance(wanted, ServiceCallResult):
                session.answer(call, wanted.result, now)
            else:
                session.answer_error(call, wanted.error_code, wanted.error, now)

    def _raise(
        self, endpoint: Endpoint, session: ServiceSession, wanted: Raise, now: float
    ) -> None:
        assert endpoint.service is not None
        self._entropy.next_uids.insert(0, wanted.instance_uid)
        endpoint.service.outbox.raise_event(
            RAISED_KIND[type(wanted)],
            wanted.name,
            getattr(wanted, "arguments", None),
            null=isinstance(wanted, RaiseReplacingNullEvent),
            client_id=getattr(wanted, "client_id", 0),
        )
        session.send_raised(now)

    def _command_client(
        self, endpoint: Endpoint, session: ClientSession, wanted: Message, now: float
    ) -> None:
        if isinstance(wanted, ConnectionRequest):
            self._entropy.next_uids.insert(0, wanted.request_uid)
            session.request(
                wanted.transport,
                wanted.service_id,
                wanted.virtual_port,
                limit=30,
                now=now,
                session_tag=wanted.session_tag,
            )
        elif isinstance(wanted, ClientAuthKey):
            order = next(o for o in endpoint.orders if o.request_uid == wanted.request_uid)
            session.ask_for_hash(order, wanted.auth_key, now)
        elif isinstance(wanted, Acknowledged):
            uid = wanted.transaction_uid
            delivery = next(d for d in endpoint.deliveries if d.transaction_uid == uid)
            assert endpoint.client is not None
            for outcome in endpoint.client.inbox.handled(delivery):
                session.take_outcome(outcome, now)
        elif isinstance(wanted, CallRequest):
            self._entropy.next_uids.insert(0, wanted.transaction_uid)
            session.call(
                wanted.service_id,
                wanted.procedure,
                wanted.arguments,
                limit=30,
                now=now,
                session_tag=wanted.session_tag,
            )
