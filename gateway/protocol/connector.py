"""The control connection to a proxy seen from an endpoint, TCP (02 sections 6 and 7).

The machine decides, it never dials: it reports what to try, and is told what came of it. It ends
with `finished` True when the endpoint has its channel, else with MeetingFailed.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from gateway.base.errors import RemoteError
from gateway.protocol.machine import Conversation
from gateway.wire.framing import PROXY_ENDPOINT_MAX, FrameBuffer
from gateway.wire.message import Message
from gateway.wire.rendezvous import (
    TCP_TYPES,
    ClientP2P,
    ClientProxy,
    CreateP2PConnection,
    CreateP2PConnectionInDualMode,
    CreateProxyConnection,
    P2PFailed,
    ProxyAuthHash,
    ProxyAuthKey,
    ProxyError,
    ProxyRole,
    ServiceP2P,
    ServiceProxy,
    decode_control,
    encode_control,
)

DIRECT_LIMIT = 4.0
"""Seconds a service tries to go direct; a client tries until it is told otherwise (02 7.2)."""


class MeetingFailed(RemoteError):
    """The proxy refused, closed or sent something that has no place."""


@dataclass(frozen=True, slots=True)
class Challenged:
    """The tracker has to hash this key for the proxy; answer with `vouch`."""

    auth_key: bytes


@dataclass(frozen=True, slots=True)
class DirectOffered:
    """Try to reach the peer at these endpoints (6 or 18 octets, as they came)."""

    remote_public: bytes
    secret_key: bytes
    remote_secret_key: bytes
    remote_private: bytes | None


@dataclass(frozen=True, slots=True)
class DirectEnded:
    """Close everything that tries to go direct."""


@dataclass(frozen=True, slots=True)
class RelayOffered:
    """Open the data connection to this port of the proxy."""

    port: int


ConnectorReport = Challenged | DirectOffered | DirectEnded | RelayOffered


class _State(enum.Enum):
    NEW = "not opened"
    CHALLENGE = "waits for the challenge"
    VOUCHING = "waits for the tracker"
    ORDERS = "waits for orders"
    DIRECT = "tries to go direct"
    FELL_BACK = "gave direct up"
    RELAY = "was told the relay's port"


class Connector(Conversation[ConnectorReport]):
    """One side of one brokered TCP connection at the proxy.

    `direct` opens with *_P2P and `local_endpoint` (six octets with inverted address bits) over
    IPv4; otherwise the relay is asked for at once.
    """

    def __init__(
        self,
        role: ProxyRole,
        connection_uid: bytes,
        *,
        direct: bool = False,
        local_endpoint: bytes | None = None,
    ) -> None:
        super().__init__()
        self._service = role is ProxyRole.SERVICE
        self._uid = connection_uid
        self._direct = direct
        self._local = local_endpoint
        self._frames = FrameBuffer(PROXY_ENDPOINT_MAX, 1)
        self._state = _State.NEW
        self._due: float | None = None

    def start(self, now: float) -> None:  # noqa: ARG002
        """Say who we are."""
        hello: Message
        if self._direct and self._service:
            hello = ServiceP2P(self._uid, self._local)
        elif self._direct:
            hello = ClientP2P(self._uid, self._local)
        else:
            hello = ServiceProxy(self._uid) if self._service else ClientProxy(self._uid)
        self._state = _State.CHALLENGE
        self._say(hello)

    def vouch(self, auth_hash: bytes, auth_key2: bytes) -> None:
        """Hand the tracker's answer to the proxy."""
        if self._state is _State.VOUCHING and not self._finished:
            self._state = _State.ORDERS
            self._say(ProxyAuthHash(auth_hash, auth_key2))

    def direct_failed(self) -> None:
        """Note that every direct attempt is over; only a service may say so (02 trap T3)."""
        if self._state is _State.DIRECT and self._service and not self._finished:
            self._fall_back()

    def connected(self) -> None:
        """Note that the endpoint has its channel: the control connection is closed."""
        self._finish(True)

    def _fall_back(self) -> None:
        self._state = _State.FELL_BACK
        self._due = None
        self._emit(DirectEnded())
        self._say(P2PFailed())

    @property
    def deadline(self) -> float | None:
        """Return the end of a service's direct attempt."""
        return None if self._finished else self._due

    def tick(self, now: float) -> None:
        """Give direct up when its time is over."""
        if self._due is not None and now >= self._due and not self._finished:
            self._fall_back()

    def _receive(self, data: bytes, now: float) -> None:
        self._frames.feed(data)
        while not self._finished:
            payload = self._frames.next_payload()
            if payload is None:
                return
            self._take(decode_control(TCP_TYPES, payload), now)

    def _take(self, message: Message, now: float) -> None:
        if isinstance(message, ProxyError):
            raise MeetingFailed("The proxy did not believe the server's answer.")
        if isinstance(message, ProxyAuthKey) and self._state is _State.CHALLENGE:
            self._state = _State.VOUCHING
            self._emit(Challenged(message.auth_key))
        elif isinstance(message, CreateProxyConnection) and self._takes_relay():
            if self._state is _State.DIRECT:
                self._emit(DirectEnded())
            self._state = _State.RELAY
            self._due = None
            self._emit(RelayOffered(message.server_port))
        elif isinstance(message, CreateP2PConnection | CreateP2PConnectionInDualMode):
            self._order_direct(message, now)
        elif not isinstance(message, CreateProxyConnection):
            raise MeetingFailed(f"The proxy sent {type(message).__name__} where it has no place.")

    def _takes_relay(self) -> bool:
        # A service's running attempt is not disturbed (02 section 6.4, trap T9); a second order
        # changes nothing.
        if self._state is _State.DIRECT:
            return not self._service
        return self._state is not _State.RELAY

    def _order_direct(
        self, message: CreateP2PConnection | CreateP2PConnectionInDualMode, now: float
    ) -> None:
        # Whoever asked for the relay is not ready to go direct; the relay's order will follow.
        if self._state is not _State.ORDERS or not self._direct:
            return
        self._state = _State.DIRECT
        if self._service:
            self._due = now + DIRECT_LIMIT
        private = None
        if isinstance(message, CreateP2PConnectionInDualMode):
            private = message.remote_private
        self._emit(
            DirectOffered(
                message.remote_public, message.secret_key, message.remote_secret_key, private
            )
        )

    def _peer_closed(self, now: float) -> None:  # noqa: ARG002
        self._finish(MeetingFailed("The proxy closed the connection."))

    def _violated(self, error: RemoteError, now: float) -> None:  # noqa: ARG002
        if not isinstance(error, MeetingFailed):
            error = MeetingFailed(f"The proxy sent something that cannot be read: {error}.")
        self._finish(error)

    def _say(self, message: Message) -> None:
        self._send(encode_control(TCP_TYPES, message))
