"""The UDP rendezvous: two parties meet, are seen by their datagrams, and are told what to try.

`UdpControlConversation` is one control connection on port 7779 (02 section 10.1): who is it, does
the tracker vouch for it, and where did its datagram come from. `UdpRendezvous` is the book of all
meetings (02 sections 10.3 and 10.4). Neither moves an octet.
"""

from __future__ import annotations

import enum
import hmac
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.asn1.errors import DecodeError
from gateway.base.entropy import Entropy
from gateway.base.errors import ProtocolViolation, TimedOut
from gateway.base.secret import Secret
from gateway.protocol.machine import Conversation, Unexpected
from gateway.protocol.pairing import (
    FAILURES_MAX,
    HELLO_SECONDS,
    MEETINGS_MAX,
    AuthenticationRefused,
    Dismiss,
    Tell,
)
from gateway.wire.digest import proxy_auth_hash
from gateway.wire.framing import PROXY_SERVER_MAX, FrameBuffer
from gateway.wire.message import Message
from gateway.wire.rendezvous import (
    UDP_TYPES,
    ClientEndpointHello,
    CreateUdpP2P,
    CreateUdpP2PInDualMode,
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
    UdpProxyConnectionCreated,
    decode_control,
    encode_control,
    pack_public,
)

CONTROL_SECONDS = 30.0
"""Life of a control connection (02 section 12); endpoints give up after 27 s at the latest."""
MEETING_SECONDS = 60.0
"""How long a connection uid is remembered, from its first party that is ready (02 section 12)."""
SERVICE_DELAY = 0.05
"""The client learns of its peer so much earlier: a punch before that kills it (02 trap T8)."""
SIGNALS_MAX = FAILURES_MAX
"""Messages of one connection after its authentication; a whole attempt needs one or two."""


class DirectFamilies(enum.Flag):
    """Over which families two parties are let punch holes; all others are relayed at once."""

    NONE = 0
    IPV4 = enum.auto()
    IPV6 = enum.auto()

    def allow(self, address: IpAddress) -> bool:
        """Tell whether the family of an address is one of these."""
        return (DirectFamilies.IPV4 if address.version == 4 else DirectFamilies.IPV6) in self


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

    def __init__(self, handle: int, *, secret: Secret, entropy: Entropy) -> None:
        super().__init__()
        self._handle = handle
        self._secret = secret
        self._entropy = entropy
        self._frames = FrameBuffer(PROXY_SERVER_MAX, 1)
        self._state = _State.INITIAL
        self._role = ProxyRole.CLIENT
        self._connection_uid = b""
        self._endpoint_uid = b""
        self._key = b""
        self._source: Source | None = None
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

    def sighted(self, source: Source) -> None:
        """Learn where the endpoint's datagram came from; only the first one counts."""
        if self._source is None and not self._finished and self._state is not _State.INITIAL:
            self._source = source
            self._complete()

    def tell(self, message: Message) -> None:
        """Send an order of the rendezvous."""
        self._send(encode_control(UDP_TYPES, message))

    def dismiss(self) -> None:
        """Close the connection after what was sent."""
        self._finish(True)

    def _receive(self, data: bytes, now: float) -> None:  # noqa: ARG002
        self._frames.feed(data)
        while not self._finished and (payload := self._frames.next_payload()) is not None:
            try:
                message = decode_control(UDP_TYPES, payload)
            except DecodeError as error:
                raise ProtocolViolation(f"A message that cannot be read: {error}.") from error
            if self._state is _State.INITIAL:
                self._introduced(message)
            elif self._state is _State.AUTH_REQUIRED:
                self._answered(message)
            else:
                self._set_up(message)

    def _introduced(self, message: Message) -> None:
        role = _OPENINGS.get(type(message))
        if role is None:
            raise Unexpected(f"{type(message).__name__} does not open a control connection.")
        self._role = role
        self._connection_uid = message.connection_uid  # type: ignore[attr-defined]
        self._key = self._entropy.octets(20)
        self._endpoint_uid = self._entropy.uid()
        self._state = _State.AUTH_REQUIRED
        self._deadline = self._last
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
                    self._handle, self._role, self._connection_uid, self._endpoint_uid, self._source
                )
            )
        )

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


@dataclass(frozen=True, slots=True)
class Relay:
    """Carry datagrams between these two sources, then call `UdpRendezvous.relayed`."""

    client: UdpParty
    service: UdpParty


UdpOrder = Tell | Dismiss | Relay


class _Stage(enum.Enum):
    WAITING = enum.auto()
    DIRECT = enum.auto()
    RELAYING = enum.auto()
    OVER = enum.auto()


class _Meeting:
    __slots__ = ("due", "parties", "relay_wanted", "stage")

    def __init__(self, due: float) -> None:
        self.due = due
        self.stage = _Stage.WAITING
        self.parties: dict[ProxyRole, UdpParty] = {}
        self.relay_wanted = False


class UdpRendezvous:
    """All meetings by connection uid (02 sections 10.3, 10.4); each uid serves once."""

    def __init__(
        self,
        *,
        direct: DirectFamilies = DirectFamilies.NONE,
        meetings_max: int = MEETINGS_MAX,
        service_delay: float = SERVICE_DELAY,
    ) -> None:
        self._direct = direct
        self._meetings_max = meetings_max
        self._service_delay = service_delay
        self._meetings: dict[bytes, _Meeting] = {}
        self._later: deque[tuple[float, bytes, Tell]] = deque()

    def __len__(self) -> int:
        return len(self._meetings)

    def arrive(self, party: UdpParty, now: float) -> list[UdpOrder]:
        """Take a party that is ready; return what to tell whom."""
        uid = party.connection_uid
        meeting = self._meetings.get(uid)
        if meeting is None:
            if len(self._meetings) >= self._meetings_max:
                return [Dismiss(party.handle)]
            meeting = self._meetings[uid] = _Meeting(now + MEETING_SECONDS)
        if meeting.stage is not _Stage.WAITING or now >= meeting.due:
            return [Dismiss(party.handle)]
        orders: list[UdpOrder] = []
        earlier = meeting.parties.get(party.role)
        if earlier is not None:
            orders.append(Dismiss(earlier.handle))
        meeting.parties[party.role] = party
        if len(meeting.parties) == len(ProxyRole):
            orders.extend(self._introduce(meeting, now))
        return orders

    def relay_wanted(self, party: UdpParty, now: float) -> list[UdpOrder]:
        """Fall back to relaying, once; `party` is the service that asks for it."""
        meeting = self._attended(party, now)
        if meeting is None:
            return []
        if meeting.stage is _Stage.WAITING:
            meeting.relay_wanted = True
        elif meeting.stage is _Stage.DIRECT:
            return list(self._relay(meeting))
        return []

    def signalled(self, party: UdpParty, message: Message, now: float) -> list[UdpOrder]:
        """Pass a signal on to the other party, as it is."""
        meeting = self._attended(party, now)
        if meeting is None or meeting.stage is not _Stage.DIRECT:
            return []
        other = meeting.parties.get(party.role.other)
        return [Tell(other.handle, message)] if other is not None else []

    def relayed(self, connection_uid: bytes, accepted: bool) -> list[UdpOrder]:
        """Learn whether the datagrams of a meeting are carried; tell those who are still there."""
        meeting = self._meetings.get(connection_uid)
        if meeting is None or meeting.stage is not _Stage.RELAYING:
            return []
        return list(self._conclude(meeting, accepted))

    def leave(self, party: UdpParty) -> None:
        """Note that a party's control connection is gone."""
        meeting = self._meetings.get(party.connection_uid)
        if meeting is None or meeting.parties.get(party.role) != party:
            return
        del meeting.parties[party.role]
        if meeting.stage is _Stage.WAITING and not meeting.parties:
            del self._meetings[party.connection_uid]

    def tick(self, now: float) -> list[UdpOrder]:
        """Return the orders that are due now; forget the meetings that are over."""
        orders: list[UdpOrder] = []
        while self._later and now >= self._later[0][0]:
            _, uid, order = self._later.popleft()
            meeting = self._meetings.get(uid)
            # Told to relay or punched meanwhile: an order to punch would come too late.
            if meeting is not None and meeting.stage is _Stage.DIRECT:
                orders.append(order)
        # The oldest come first: every meeting has the same time to live.
        while self._meetings:
            uid, meeting = next(iter(self._meetings.items()))
            if now < meeting.due:
                break
            del self._meetings[uid]
        return orders

    @property
    def deadline(self) -> float | None:
        """Return when tick() is due, None when nothing is waiting."""
        oldest = next((meeting.due for meeting in self._meetings.values()), None)
        if self._later:
            return self._later[0][0] if oldest is None else min(oldest, self._later[0][0])
        return oldest

    def _attended(self, party: UdpParty, now: float) -> _Meeting | None:
        meeting = self._meetings.get(party.connection_uid)
        if meeting is None or now >= meeting.due or meeting.parties.get(party.role) != party:
            return None
        return meeting

    def _introduce(self, meeting: _Meeting, now: float) -> Iterator[UdpOrder]:
        client = meeting.parties[ProxyRole.CLIENT]
        service = meeting.parties[ProxyRole.SERVICE]
        same = client.source.address.version == service.source.address.version
        if meeting.relay_wanted or not same or not self._direct.allow(client.source.address):
            yield from self._relay(meeting)
            return
        meeting.stage = _Stage.DIRECT
        yield Tell(client.handle, _punch_order(service))
        order = Tell(service.handle, _punch_order(client))
        self._later.append((now + self._service_delay, client.connection_uid, order))

    def _relay(self, meeting: _Meeting) -> Iterator[UdpOrder]:
        meeting.stage = _Stage.RELAYING
        client = meeting.parties.get(ProxyRole.CLIENT)
        service = meeting.parties.get(ProxyRole.SERVICE)
        # One address for both would be an echo; without a client there is nobody to relay to.
        if client is None or service is None or _place(client) == _place(service):
            yield from self._conclude(meeting, accepted=False)
        else:
            yield Relay(client, service)

    def _conclude(self, meeting: _Meeting, accepted: bool) -> Iterator[UdpOrder]:
        meeting.stage = _Stage.OVER
        for role in (ProxyRole.SERVICE, ProxyRole.CLIENT):
            party = meeting.parties.get(role)
            if party is None:
                continue
            yield Tell(party.handle, UdpProxyConnectionCreated() if accepted else ProxyError())
            if not accepted:
                yield Dismiss(party.handle)


def _place(party: UdpParty) -> tuple[IpAddress, int]:
    return party.source.address, party.source.port


def _punch_order(peer: UdpParty) -> Message:
    """Return the order to punch to this peer: over IPv4 always in dual mode (02 trap T7)."""
    public = pack_public(peer.source.address, peer.source.port)
    if peer.source.private is not None:
        return CreateUdpP2PInDualMode(public, peer.source.private, peer.endpoint_uid)
    return CreateUdpP2P(public, peer.endpoint_uid)
