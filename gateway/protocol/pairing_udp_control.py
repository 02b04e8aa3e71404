"""One control connection of the UDP rendezvous, on port 7779 (02 section 10.1).

Who is it, does the tracker vouch for it, and where did its datagram come from: when all is known,
`pairing_udp` takes the party into the book of meetings.
"""

from __future__ import annotations

import enum
import hmac
from dataclasses import dataclass

from gateway.asn1.errors import DecodeError
from gateway.base.entropy import Entropy
from gateway.base.errors import ProtocolViolation, TimedOut
from gateway.base.secret import Secret
from gateway.protocol.machine import Conversation, Unexpected
from gateway.protocol.pairing import FAILURES_MAX, HELLO_SECONDS, AuthenticationRefused
from gateway.protocol.pairing_direct import Standing
from gateway.wire.digest import proxy_auth_hash
from gateway.wire.framing import PROXY_SERVER_MAX, FrameBuffer
from gateway.wire.message import Message
from gateway.wire.rendezvous import (
    UDP_TYPES,
    ClientEndpointHello,
    CreateUdpProxyConnection,
    IpAddress,
    P2PConnectionCreated,
    P2PHolePunched,
    P2PLocalHolePunched,
    ProxyAuthHash,
    ProxyError,
    ProxyRole,
    ServiceEndpointHello,
    UdpAuthKey,
    decode_control,
    encode_control,
)

CONTROL_SECONDS = 30.0
"""Life of a control connection (02 section 12); endpoints give up after 27 s at the latest."""
SIGNALS_MAX = FAILURES_MAX
"""Messages of one connection after its authentication; a whole attempt needs one or two."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a party's datagram came from, and what it said."""

    address: IpAddress
    port: int
    private: bytes | None = None
    """The six octets that name its own endpoint, as received; None over IPv6."""


@dataclass(frozen=True, slots=True)
class UdpParty:
    """One end of a meeting: authenticated, and its datagram seen."""

    handle: int
    """The number by which the caller knows the control connection."""
    role: ProxyRole
    connection_uid: bytes
    endpoint_uid: bytes
    source: Source
    here: bool = False
    """Lives on the proxy's own machine."""
    near: bool = False
    """Lives on a network of the proxy's machine."""
    latency: float = 0.0
    """Seconds from the challenge to the datagram that answers it: what an order takes to be read,
    and more."""

    @property
    def standing(self) -> Standing:
        """Return where the party is."""
        source = self.source
        return Standing.of(source.address, source.private, here=self.here, near=self.near)


@dataclass(frozen=True, slots=True)
class EndpointNamed:
    """The endpoint is about to learn this uid: its datagram may come at any moment."""

    endpoint_uid: bytes


@dataclass(frozen=True, slots=True)
class UdpPartyReady:
    """The tracker vouched for this party and its datagram was seen."""

    party: UdpParty


@dataclass(frozen=True, slots=True)
class RelayWanted:
    """The service asks for the relay."""


@dataclass(frozen=True, slots=True)
class Signalled:
    """The party has something to say to the other one."""

    message: Message


UdpControlEvent = EndpointNamed | UdpPartyReady | RelayWanted | Signalled | AuthenticationRefused

_OPENINGS: dict[type[Message], ProxyRole] = {
    ClientEndpointHello: ProxyRole.CLIENT,
    ServiceEndpointHello: ProxyRole.SERVICE,
}
_SIGNALS: dict[ProxyRole, tuple[type[Message], ...]] = {
    ProxyRole.SERVICE: (P2PHolePunched, P2PLocalHolePunched),
    ProxyRole.CLIENT: (P2PConnectionCreated,),
}


class _State(enum.Enum):
    INITIAL = enum.auto()
    AUTH_REQUIRED = enum.auto()
    UNSEEN = enum.auto()
    """Authenticated, its datagram missing; what it says now is ignored, as the reference does."""
    SETUP = enum.auto()


class UdpControlConversation(Conversation[UdpControlEvent]):
    """One control connection of the UDP rendezvous, seen from the proxy (02 section 10.1)."""

    def __init__(
        self,
        handle: int,
        *,
        secret: Secret,
        entropy: Entropy,
        here: bool = False,
        near: bool = False,
    ) -> None:
        super().__init__()
        self._handle = handle
        self._here = here
        self._near = near
        self._secret = secret
        self._entropy = entropy
        self._frames = FrameBuffer(PROXY_SERVER_MAX, 1)
        self._state = _State.INITIAL
        self._role = ProxyRole.CLIENT
        self._connection_uid = b""
        self._endpoint_uid = b""
        self._key = b""
        self._source: Source | None = None
        self._challenged_at = 0.0
        self._latency = 0.0
        self._signals = 0
        self._deadline: float | None = None
        self._last = 0.0

    def start(self, now: float) -> None:
        """Learn that the connection is open; the first message is due soon."""
        self._deadline = now + HELLO_SECONDS
        self._last = now + CONTROL_SECONDS

    @property
    def deadline(self) -> float | None:
        """Return when the peer has had enough time."""
        return self._deadline

    def tick(self, now: float) -> None:
        """End a connection whose time is up."""
        if self._deadline is not None and now >= self._deadline:
            done = self._state is _State.SETUP
            self._finish(done or TimedOut("The endpoint did not introduce itself in time."))

    def sighted(self, source: Source, now: float = 0.0) -> None:
        """Learn where the endpoint's datagram came from, and when; only the first one counts."""
        if self._source is None and not self._finished and self._state is not _State.INITIAL:
            self._source = source
            self._latency = max(0.0, now - self._challenged_at)
            self._complete()

    def tell(self, message: Message) -> None:
        """Send an order of the rendezvous."""
        self._send(encode_control(UDP_TYPES, message))

    def dismiss(self) -> None:
        """Close the connection after what was sent."""
        self._finish(True)

    def _receive(self, data: bytes, now: float) -> None:
        self._frames.feed(data)
        while not self._finished and (payload := self._frames.next_payload()) is not None:
            try:
                message = decode_control(UDP_TYPES, payload)
            except DecodeError as error:
                raise ProtocolViolation(f"A message that cannot be read: {error}.") from error
            if self._state is _State.INITIAL:
                self._introduced(message, now)
            elif self._state is _State.AUTH_REQUIRED:
                self._answered(message)
            else:
                self._set_up(message)

    def _introduced(self, message: Message, now: float) -> None:
        role = _OPENINGS.get(type(message))
        if role is None:
            raise Unexpected(f"{type(message).__name__} does not open a control connection.")
        self._role = role
        self._connection_uid = message.connection_uid  # type: ignore[attr-defined]
        self._key = self._entropy.octets(20)
        self._endpoint_uid = self._entropy.uid()
        self._state = _State.AUTH_REQUIRED
        self._deadline = self._last
        self._challenged_at = now
        # The event leaves before the octets do, so that the datagram finds itself expected.
        self._emit(EndpointNamed(self._endpoint_uid))
        self.tell(UdpAuthKey(self._key, self._endpoint_uid))

    def _answered(self, message: Message) -> None:
        if not isinstance(message, ProxyAuthHash):
            raise Unexpected(f"{type(message).__name__} does not answer the challenge.")
        expected = proxy_auth_hash(self._key, message.auth_key2, self._secret.reveal())
        if not hmac.compare_digest(expected, message.auth_hash):
            self.tell(ProxyError())
            self._emit(AuthenticationRefused())
            self._finish(True)
            return
        self._state = _State.UNSEEN
        self._complete()

    def _complete(self) -> None:
        if self._state is not _State.UNSEEN or self._source is None:
            return
        self._state = _State.SETUP
        self._emit(
            UdpPartyReady(
                UdpParty(
                    self._handle, self._role, self._connection_uid, self._endpoint_uid,
                    self._source, self._here, self._near, self._latency,
                )
            )
        )  # fmt: skip

    def _set_up(self, message: Message) -> None:
        self._signals += 1
        if self._signals > SIGNALS_MAX:
            raise Unexpected("More messages than an attempt has.")
        if self._state is _State.UNSEEN:
            return
        if isinstance(message, CreateUdpProxyConnection) and self._role is ProxyRole.SERVICE:
            self._emit(RelayWanted())
        elif isinstance(message, _SIGNALS[self._role]):
            self._emit(Signalled(message))
        else:
            raise Unexpected(f"{type(message).__name__} is not allowed now.")
