"""The UDP rendezvous: two parties that were authenticated and seen are told what to try.

`UdpRendezvous` is the book of all meetings (02 sections 10.3 and 10.4): who is told what, in which
order, and whose datagrams are relayed. It moves no octet.
"""

from __future__ import annotations

import enum
import heapq
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.protocol.pairing import MEETINGS_MAX, Dismiss, Tell
from gateway.protocol.pairing_direct import Standing, VainAttempts, nameable, promising
from gateway.protocol.pairing_udp_control import UdpParty
from gateway.wire.message import Message
from gateway.wire.rendezvous import (
    CreateUdpP2P,
    CreateUdpP2PInDualMode,
    IpAddress,
    P2PConnectionCreated,
    ProxyError,
    ProxyRole,
    UdpProxyConnectionCreated,
    pack_private,
    pack_public,
)

MEETING_SECONDS = 60.0
"""How long a connection uid is remembered, from its first party that is ready (02 section 12)."""
SERVICE_DELAY = 0.05
"""The client learns of its peer so much earlier: a punch before that kills it (02 trap T8)."""
LATENCY_MAX = 0.75
"""What is added to that for a client that is slow to answer, at most: it gives up 6 s after its
order, and the service asks for the relay 4 s after its own."""
TRIED = 4.0
"""Seconds of an attempt after which a client that leaves has failed, not changed its mind."""


class DirectFamilies(enum.Flag):
    """Over which families two parties are let punch holes; all others are relayed at once."""

    NONE = 0
    IPV4 = enum.auto()
    IPV6 = enum.auto()

    def allow(self, address: IpAddress) -> bool:
        """Tell whether the family of an address is one of these."""
        return (DirectFamilies.IPV4 if address.version == 4 else DirectFamilies.IPV6) in self


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
    __slots__ = ("connected", "due", "ends", "parties", "relay_wanted", "stage", "tried_at")

    def __init__(self, due: float) -> None:
        self.due = due
        self.stage = _Stage.WAITING
        self.parties: dict[ProxyRole, UdpParty] = {}
        self.relay_wanted = False
        self.ends: tuple[Standing, Standing] | None = None
        """Of client and service, once they try to reach each other."""
        self.tried_at = 0.0
        self.connected = False


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
        self._later: list[tuple[float, int, bytes, Tell]] = []
        """A heap by time; the number keeps the order of those that are due at once."""
        self._turn = 0
        self.vain = VainAttempts()

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
            self._in_vain(meeting, now)
            return list(self._relay(meeting))
        return []

    def signalled(self, party: UdpParty, message: Message, now: float) -> list[UdpOrder]:
        """Pass a signal on to the other party, as it is."""
        meeting = self._attended(party, now)
        if meeting is None or meeting.stage is not _Stage.DIRECT:
            return []
        meeting.connected = meeting.connected or isinstance(message, P2PConnectionCreated)
        other = meeting.parties.get(party.role.other)
        return [Tell(other.handle, message)] if other is not None else []

    def relayed(self, connection_uid: bytes, accepted: bool) -> list[UdpOrder]:
        """Learn whether the datagrams of a meeting are carried; tell those who are still there."""
        meeting = self._meetings.get(connection_uid)
        if meeting is None or meeting.stage is not _Stage.RELAYING:
            return []
        return list(self._conclude(meeting, accepted))

    def leave(self, party: UdpParty, now: float) -> None:
        """Note that a party's control connection is gone."""
        meeting = self._meetings.get(party.connection_uid)
        if meeting is None or meeting.parties.get(party.role) != party:
            return
        del meeting.parties[party.role]
        if meeting.stage is _Stage.WAITING and not meeting.parties:
            del self._meetings[party.connection_uid]
        # The reference's service that was punched never asks for the relay, and its client gives
        # up (02 section 10.3, asymmetric failure): nobody can help these two, but the next two.
        if meeting.stage is _Stage.DIRECT and now - meeting.tried_at >= TRIED:
            self._in_vain(meeting, now)

    def tick(self, now: float) -> list[UdpOrder]:
        """Return the orders that are due now; forget the meetings that are over."""
        orders: list[UdpOrder] = []
        while self._later and now >= self._later[0][0]:
            _, _, uid, order = heapq.heappop(self._later)
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
        if meeting.relay_wanted or not self._worth_trying(client, service, now):
            yield from self._relay(meeting)
            return
        meeting.stage = _Stage.DIRECT
        meeting.ends, meeting.tried_at = (client.standing, service.standing), now
        yield Tell(client.handle, _punch_order(service))
        # A client far from us and near to its peer would be punched before it has read its order.
        due = now + self._service_delay + min(client.latency, LATENCY_MAX)
        order = Tell(service.handle, _punch_order(client))
        self._turn += 1
        heapq.heappush(self._later, (due, self._turn, client.connection_uid, order))

    def _worth_trying(self, client: UdpParty, service: UdpParty, now: float) -> bool:
        ends = client.standing, service.standing
        return (
            client.source.address.version == service.source.address.version
            and self._direct.allow(client.source.address)
            and promising(*ends)
            and not self.vain.recent(*ends, now)
        )

    def _in_vain(self, meeting: _Meeting, now: float) -> None:
        if meeting.ends is not None and not meeting.connected:
            self.vain.add(*meeting.ends, now)
            meeting.ends = None

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
    source = peer.source
    public = pack_public(source.address, source.port)
    if source.private is None or source.address.version != 4:
        return CreateUdpP2P(public, peer.endpoint_uid)
    private = source.private
    if not nameable(private, source.address):
        private = pack_private(source.address, source.port)
    return CreateUdpP2PInDualMode(public, private, peer.endpoint_uid)
