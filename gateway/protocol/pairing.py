"""The rendezvous: two parties meet at the proxy and are told where to find each other.

`ControlConversation` is one control connection (02 section 6.2): who is it, and does the tracker
vouch for it. `Rendezvous` is the book of all meetings (02 section 6.3): it decides who is told
what and which data connections belong together, and forgets what is over. Neither moves an octet.
"""

from __future__ import annotations

import enum
import hmac
import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.asn1.errors import DecodeError
from gateway.base.entropy import Entropy
from gateway.base.errors import ProtocolViolation, TimedOut
from gateway.base.secret import Secret
from gateway.protocol.machine import Conversation, Unexpected
from gateway.protocol.pairing_direct import (
    Party,
    Standing,
    VainAttempts,
    direct_order,
    nameable,
    promising,
)
from gateway.wire.digest import proxy_auth_hash
from gateway.wire.framing import PROXY_SERVER_MAX, FrameBuffer
from gateway.wire.message import Message
from gateway.wire.rendezvous import (
    TCP_TYPES,
    ClientP2P,
    ClientProxy,
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
    unpack_private,
)

HELLO_SECONDS = 10.0
"""From opening to a complete first message: a slow-loris gets no longer."""
AUTH_SECONDS = 30.0
"""From the challenge to its answer; the endpoint asks the tracker meanwhile."""
CONTROL_SECONDS = 90.0
"""Life of a control connection: endpoints are done or have given up after 30 s."""
MEETING_SECONDS = 30.0
"""From the first authenticated party to both data connections (02 section 6.3)."""
MEETINGS_MAX = 10_000
"""Meetings at once; one lasts 30 s at most and weighs about 1 KB."""
FAILURES_MAX = 8
"""P2P_FAILED messages of one connection; one is enough, all but the first are ignored."""


class RelayPolicy(enum.Enum):
    """Whether two parties that offer a direct connection are let try it."""

    RELAY_ONLY = "relay"
    DIRECT = "direct"
    """IPv4 only: the reference client never reports an IPv6 direct connection (02 trap T4)."""


@dataclass(frozen=True, slots=True)
class PartyAuthenticated:
    """The tracker vouched for this party."""

    party: Party


@dataclass(frozen=True, slots=True)
class DirectFailed:
    """The service could not connect directly."""


@dataclass(frozen=True, slots=True)
class AuthenticationRefused:
    """The answer to the challenge was wrong: another secret, or somebody guessing."""


ControlEvent = PartyAuthenticated | DirectFailed | AuthenticationRefused

_OPENINGS: dict[type[Message], tuple[ProxyRole, bool]] = {
    ClientP2P: (ProxyRole.CLIENT, True),
    ServiceP2P: (ProxyRole.SERVICE, True),
    ClientProxy: (ProxyRole.CLIENT, False),
    ServiceProxy: (ProxyRole.SERVICE, False),
}


class _State(enum.Enum):
    INITIAL = enum.auto()
    AUTH_REQUIRED = enum.auto()
    SETUP = enum.auto()


class ControlConversation(Conversation[ControlEvent]):
    """One control connection of the TCP rendezvous, seen from the proxy (02 section 6.2)."""

    def __init__(
        self,
        handle: int,
        address: str,
        port: int,
        *,
        secret: Secret,
        entropy: Entropy,
        here: bool = False,
        near: bool = False,
    ) -> None:
        super().__init__()
        self._handle = handle
        self._address = ipaddress.ip_address(address.partition("%")[0])
        self._port = port
        self._here = here
        self._near = near
        self._secret = secret
        self._entropy = entropy
        self._frames = FrameBuffer(PROXY_SERVER_MAX, 1)
        self._state = _State.INITIAL
        self._party: Party | None = None
        self._key = b""
        self._failures = 0
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

    def tell(self, message: Message) -> None:
        """Send an order of the rendezvous."""
        self._send(encode_control(TCP_TYPES, message))

    def dismiss(self) -> None:
        """Close the connection after what was sent."""
        self._finish(True)

    def _receive(self, data: bytes, now: float) -> None:
        self._frames.feed(data)
        while not self._finished and (payload := self._frames.next_payload()) is not None:
            try:
                message = decode_control(TCP_TYPES, payload)
            except DecodeError as error:
                raise ProtocolViolation(f"A message that cannot be read: {error}.") from error
            if self._state is _State.INITIAL:
                self._introduced(message, now)
            elif self._state is _State.AUTH_REQUIRED:
                self._answered(message)
            else:
                self._set_up(message)

    def _introduced(self, message: Message, now: float) -> None:
        opening = _OPENINGS.get(type(message))
        if opening is None:
            raise Unexpected(f"{type(message).__name__} does not open a control connection.")
        role, direct = opening
        private = None
        local = message.local_endpoint if isinstance(message, ClientP2P | ServiceP2P) else None
        differs = local is not None and unpack_private(local)[0] != self._address
        if local is not None and differs and nameable(local, self._address):
            private = local
        uid: bytes = message.connection_uid  # type: ignore[attr-defined]
        self._party = Party(
            self._handle, role, uid, direct, self._address, self._port, private,
            self._here, self._near,
        )  # fmt: skip
        self._key = self._entropy.octets(20)
        self._state = _State.AUTH_REQUIRED
        self._deadline = now + AUTH_SECONDS
        self.tell(ProxyAuthKey(self._key))

    def _answered(self, message: Message) -> None:
        if not isinstance(message, ProxyAuthHash):
            raise Unexpected(f"{type(message).__name__} does not answer the challenge.")
        expected = proxy_auth_hash(self._key, message.auth_key2, self._secret.reveal())
        if not hmac.compare_digest(expected, message.auth_hash):
            self.tell(ProxyError())
            self._emit(AuthenticationRefused())
            self._finish(True)
            return
        assert self._party is not None
        self._state = _State.SETUP
        self._deadline = self._last
        self._emit(PartyAuthenticated(self._party))

    def _set_up(self, message: Message) -> None:
        party = self._party
        assert party is not None
        allowed = party.direct and party.role is ProxyRole.SERVICE
        self._failures += 1
        if not isinstance(message, P2PFailed) or not allowed or self._failures > FAILURES_MAX:
            raise Unexpected(f"{type(message).__name__} is not allowed now.")
        self._emit(DirectFailed())


@dataclass(frozen=True, slots=True)
class Tell:
    """Send this message on that control connection."""

    handle: int
    message: Message


@dataclass(frozen=True, slots=True)
class Dismiss:
    """Close that control connection: replaced, too late or too many."""

    handle: int


Order = Tell | Dismiss


class Presented(enum.Enum):
    """What a data connection's header led to."""

    WAIT = "the other side is not there yet"
    PAIR = "both sides are there"
    REFUSED = "nobody is expected under this uid and role"


class _Stage(enum.Enum):
    WAITING = enum.auto()
    DIRECT = enum.auto()
    RELAYED = enum.auto()


class _Meeting:
    __slots__ = ("due", "ends", "parties", "presented", "stage")

    def __init__(self, due: float) -> None:
        self.due = due
        self.stage = _Stage.WAITING
        self.ends: tuple[Standing, Standing] | None = None
        """Of client and service, once they try to reach each other."""
        self.parties: dict[ProxyRole, Party] = {}
        self.presented: set[ProxyRole] = set()


class Rendezvous:
    """All meetings of a proxy by connection uid (02 section 6.3); each uid serves once."""

    def __init__(
        self,
        *,
        entropy: Entropy,
        data_port: int,
        policy: RelayPolicy = RelayPolicy.RELAY_ONLY,
        meetings_max: int = MEETINGS_MAX,
    ) -> None:
        self._entropy = entropy
        self._data_port = data_port
        self._policy = policy
        self._meetings_max = meetings_max
        self._meetings: dict[bytes, _Meeting] = {}
        self.vain = VainAttempts()

    def __len__(self) -> int:
        return len(self._meetings)

    def arrive(self, party: Party, now: float) -> list[Order]:
        """Take an authenticated party; return what to tell whom."""
        uid = party.connection_uid
        meeting = self._meetings.get(uid)
        if meeting is None:
            if len(self._meetings) >= self._meetings_max:
                return [Dismiss(party.handle)]
            meeting = self._meetings[uid] = _Meeting(now + MEETING_SECONDS)
        if meeting.stage is not _Stage.WAITING or now >= meeting.due:
            return [Dismiss(party.handle)]
        orders: list[Order] = []
        earlier = meeting.parties.get(party.role)
        if earlier is not None:
            orders.append(Dismiss(earlier.handle))
        meeting.parties[party.role] = party
        if len(meeting.parties) == len(ProxyRole):
            orders.extend(self._introduce(meeting, now))
        return orders

    def direct_failed(self, party: Party, now: float) -> list[Order]:
        """Fall back to relaying, once; `party` is the service that reports it."""
        meeting = self._meetings.get(party.connection_uid)
        if meeting is None or meeting.parties.get(party.role) != party:
            return []
        if now >= meeting.due or meeting.stage is not _Stage.DIRECT:
            return []
        if meeting.ends is not None:
            self.vain.add(*meeting.ends, now)
        return list(self._relay(meeting))

    def leave(self, party: Party) -> None:
        """Note that a party's control connection is gone."""
        meeting = self._meetings.get(party.connection_uid)
        if meeting is None or meeting.parties.get(party.role) != party:
            return
        del meeting.parties[party.role]
        if meeting.stage is _Stage.WAITING and not meeting.parties:
            del self._meetings[party.connection_uid]

    def present(self, connection_uid: bytes, role: ProxyRole, now: float) -> Presented:
        """Take the header of a data connection; after PAIR the uid is used up."""
        meeting = self._meetings.get(connection_uid)
        if meeting is None or now >= meeting.due or meeting.stage is not _Stage.RELAYED:
            return Presented.REFUSED
        if role in meeting.presented:
            return Presented.REFUSED
        meeting.presented.add(role)
        if len(meeting.presented) < len(ProxyRole):
            return Presented.WAIT
        del self._meetings[connection_uid]
        return Presented.PAIR

    def expire(self, now: float) -> list[bytes]:
        """Forget what is over; return the uids whose waiting data connections are to be closed."""
        over: list[bytes] = []
        # The oldest come first: every meeting has the same time to live.
        for uid, meeting in self._meetings.items():
            if now < meeting.due:
                break
            over.append(uid)
        for uid in over:
            del self._meetings[uid]
        return over

    @property
    def deadline(self) -> float | None:
        """Return when the oldest meeting is over, None without one."""
        return next((meeting.due for meeting in self._meetings.values()), None)

    def _introduce(self, meeting: _Meeting, now: float) -> Iterator[Order]:
        client = meeting.parties[ProxyRole.CLIENT]
        service = meeting.parties[ProxyRole.SERVICE]
        if not self._worth_trying(client, service, now):
            yield from self._relay(meeting)
            return
        meeting.stage = _Stage.DIRECT
        meeting.ends = client.standing, service.standing
        service_key, client_key = self._entropy.octets(4), self._entropy.octets(4)
        yield Tell(client.handle, direct_order(client, service, client_key, service_key))
        yield Tell(service.handle, direct_order(service, client, service_key, client_key))

    def _worth_trying(self, client: Party, service: Party, now: float) -> bool:
        ends = client.standing, service.standing
        return (
            self._policy is RelayPolicy.DIRECT
            and client.direct
            and service.direct
            and client.address.version == service.address.version == 4
            and promising(*ends)
            and not self.vain.recent(*ends, now)
        )

    def _relay(self, meeting: _Meeting) -> Iterator[Order]:
        meeting.stage = _Stage.RELAYED
        for party in meeting.parties.values():
            yield Tell(party.handle, CreateProxyConnection(self._data_port))
