"""The rendezvous for a UDP connection seen from an endpoint (02 section 10).

One machine for both halves: the control connection to the proxy's port 7779 and the datagrams to
the proxy and to the peer. It asks for datagrams with `Transmit` and is handed received ones with
`datagram`. It ends with ChannelReady and `finished` True, or with MeetingFailed.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.base.errors import RemoteError
from gateway.protocol.connector import Challenged, MeetingFailed
from gateway.protocol.connector_direct import Target, targets
from gateway.protocol.machine import Conversation
from gateway.wire.datagrams import (
    HOLE_PUNCH,
    LOCAL_HOLE_PUNCH,
    PUNCH_SIZE,
    endpoint_info,
    hole_punch,
    read_hole_punch,
)
from gateway.wire.framing import PROXY_ENDPOINT_MAX, FrameBuffer
from gateway.wire.message import Message
from gateway.wire.rendezvous import (
    UDP_TYPES,
    ClientEndpointHello,
    CreateUdpP2P,
    CreateUdpP2PInDualMode,
    CreateUdpProxyConnection,
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
)

INFO_TIMES = (0.0, 1.0, 3.0, 7.0, 15.0)
INFO_LIMIT = 19.0
"""Seconds from the challenge to the first order."""
PUNCH_TIMES = (0.0, 1.0, 2.0, 3.0)
RELAY_AFTER = 4.0
"""Seconds until a service asks for the relay."""
GIVE_UP = {ProxyRole.CLIENT: 6.0, ProxyRole.SERVICE: 8.0}
EARLY_MAX = 8
"""Punches kept that come before the order that names their sender (02 section 10.6)."""


@dataclass(frozen=True, slots=True)
class Transmit:
    """Send a datagram to the peer, or to the proxy when there is no target."""

    datagram: bytes
    target: Target | None = None


@dataclass(frozen=True, slots=True)
class ChannelReady:
    """Datagrams reach the peer at this address, or through the proxy when there is none."""

    remote: Target | None
    remote_uid: bytes
    """How the peer signs its punches, b'' when it was never told."""


UdpReport = Challenged | Transmit | ChannelReady


class _State(enum.Enum):
    NEW = "not opened"
    CHALLENGE = "waits for the challenge"
    ORDERS = "waits for orders"
    PUNCHING = "tries to go direct"
    RELAY_ASKED = "asked for the relay"


_NEWS: dict[int, type[Message]] = {
    HOLE_PUNCH: P2PHolePunched,
    LOCAL_HOLE_PUNCH: P2PLocalHolePunched,
}
_KINDS = {kind: number for number, kind in _NEWS.items()}


class UdpConnector(Conversation[UdpReport]):
    """One side of one brokered UDP connection.

    `local_endpoint` is that of `rendezvous.pack_private`, b'' over IPv6, where the reference's
    proxy takes 17 octets only (02 trap T6); `local_address` is the address in it.
    """

    def __init__(
        self,
        role: ProxyRole,
        connection_uid: bytes,
        *,
        local_address: str,
        local_endpoint: bytes,
    ) -> None:
        super().__init__()
        self._role = role
        self._service = role is ProxyRole.SERVICE
        self._uid = connection_uid
        self._local_address = local_address
        self._local = local_endpoint
        self._frames = FrameBuffer(PROXY_ENDPOINT_MAX, 1)
        self._state = _State.NEW
        self._vouching = False
        self._own_uid = b""
        self._remote_uid = b""
        self._public: Target | None = None
        self._private: Target | None = None
        self._infos: deque[float] = deque()
        self._punches: deque[float] = deque()
        self._relay_at: float | None = None
        self._give_up_at: float | None = None
        self._early: list[tuple[bytes, Target]] = []
        self._punched: dict[int, Target] = {}
        """Where the first punch of each kind came from; at most one kind at a service."""
        self._told: set[int] = set()
        """Client: kinds of ours that reached the service."""

    def start(self, now: float) -> None:  # noqa: ARG002
        """Say who we are."""
        self._state = _State.CHALLENGE
        self._say((ServiceEndpointHello if self._service else ClientEndpointHello)(self._uid))

    def vouch(self, auth_hash: bytes, auth_key2: bytes) -> None:
        """Hand the tracker's answer to the proxy."""
        if self._vouching and not self._finished:
            self._vouching = False
            self._say(ProxyAuthHash(auth_hash, auth_key2))

    def datagram(self, octets: bytes, source: Target, now: float) -> None:  # noqa: ARG002
        """Take a datagram; everything but a punch of the peer is ignored."""
        if self._finished or len(octets) != PUNCH_SIZE:
            return
        if self._state in (_State.PUNCHING, _State.RELAY_ASKED):
            self._hear(octets, source)
        elif len(self._early) < EARLY_MAX:
            self._early.append((octets, source))

    @property
    def deadline(self) -> float | None:
        """Return when the next datagram, the request for the relay or the end is due."""
        if self._finished:
            return None
        due = [moment for moment in (self._relay_at, self._give_up_at) if moment is not None]
        due += [plan[0] for plan in (self._infos, self._punches) if plan]
        return min(due, default=None)

    def tick(self, now: float) -> None:
        """Send what is due; give up when it is time."""
        if self._finished:
            return
        if self._give_up_at is not None and now >= self._give_up_at:
            self._finish(MeetingFailed("Neither the peer nor the relay could be reached by UDP."))
            return
        if _due(self._infos, now):
            self._emit(Transmit(endpoint_info(self._own_uid, self._local)))
        if _due(self._punches, now):
            for kind, target in ((LOCAL_HOLE_PUNCH, self._private), (HOLE_PUNCH, self._public)):
                if target is not None:
                    self._emit(Transmit(hole_punch(kind, self._own_uid), target))
        if self._relay_at is not None and now >= self._relay_at:
            # The reference asks only when it heard nothing; then a path that works one way only
            # ends in a failure (02 section 10.3, asymmetric failure).
            self._relay_at = None
            self._state = _State.RELAY_ASKED
            self._say(CreateUdpProxyConnection())

    # -- the control connection

    def _receive(self, data: bytes, now: float) -> None:
        self._frames.feed(data)
        while not self._finished:
            payload = self._frames.next_payload()
            if payload is None:
                return
            self._take(decode_control(UDP_TYPES, payload), now)

    def _take(self, message: Message, now: float) -> None:
        if isinstance(message, ProxyError):
            raise MeetingFailed("The proxy did not believe the server's answer.")
        if isinstance(message, UdpAuthKey) and self._state is _State.CHALLENGE:
            self._named(message, now)
            return
        if self._state is _State.CHALLENGE:
            raise self._misplaced(message)
        if isinstance(message, CreateUdpP2P | CreateUdpP2PInDualMode):
            self._order_direct(message, now)
        elif isinstance(message, UdpProxyConnectionCreated):
            # A running attempt of a service is not disturbed, as with TCP.
            if not (self._service and self._state is _State.PUNCHING):
                self._complete(None)
        elif isinstance(message, P2PHolePunched | P2PLocalHolePunched) and not self._service:
            self._told.add(_KINDS[type(message)])
            self._settle()
        elif isinstance(message, P2PConnectionCreated) and self._service:
            if self._punched:
                self._complete(next(iter(self._punched.values())))
        else:
            raise self._misplaced(message)

    @staticmethod
    def _misplaced(message: Message) -> MeetingFailed:
        return MeetingFailed(f"The proxy sent {type(message).__name__} where it has no place.")

    def _named(self, message: UdpAuthKey, now: float) -> None:
        self._state = _State.ORDERS
        self._vouching = True
        self._own_uid = message.endpoint_uid
        self._infos = _plan(INFO_TIMES, now)
        self._give_up_at = now + INFO_LIMIT
        self._emit(Challenged(message.auth_key))
        self.tick(now)

    def _order_direct(self, message: CreateUdpP2P | CreateUdpP2PInDualMode, now: float) -> None:
        if self._state is not _State.ORDERS:
            return
        self._state = _State.PUNCHING
        private = message.remote_private if isinstance(message, CreateUdpP2PInDualMode) else None
        self._remote_uid = message.remote_endpoint_uid
        self._public, self._private = targets(message.remote_public, private, self._local_address)
        self._infos.clear()
        self._punches = _plan(PUNCH_TIMES, now)
        self._give_up_at = now + GIVE_UP[self._role]
        if self._service:
            self._relay_at = now + RELAY_AFTER
        self.tick(now)
        early, self._early = self._early, []
        for octets, source in early:
            self._hear(octets, source)

    # -- punches

    def _hear(self, octets: bytes, source: Target) -> None:
        kind = read_hole_punch(octets, self._remote_uid)
        if kind is None or kind in self._punched:
            return
        if self._service:
            if not self._punched:
                self._punched[kind] = source
                self._say(_NEWS[kind]())
            return
        self._punched[kind] = source
        self._settle()

    def _settle(self) -> None:
        """Complete a client that was heard and heard the service on the same sort of path."""
        for kind, source in self._punched.items():
            if kind in self._told and not self._finished:
                self._say(P2PConnectionCreated())
                self._complete(source)

    def _complete(self, remote: Target | None) -> None:
        self._emit(ChannelReady(remote, self._remote_uid))
        self._finish(True)

    # -- ends

    def _peer_closed(self, now: float) -> None:  # noqa: ARG002
        self._finish(MeetingFailed("The proxy closed the connection."))

    def _violated(self, error: RemoteError, now: float) -> None:  # noqa: ARG002
        if not isinstance(error, MeetingFailed):
            error = MeetingFailed(f"The proxy sent something that cannot be read: {error}.")
        self._finish(error)

    def _say(self, message: Message) -> None:
        self._send(encode_control(UDP_TYPES, message))


def _plan(times: Iterable[float], now: float) -> deque[float]:
    return deque(now + time for time in times)


def _due(plan: deque[float], now: float) -> bool:
    """Tell whether something of a plan is due; what was missed is not made up for."""
    found = False
    while plan and now >= plan[0]:
        plan.popleft()
        found = True
    return found
