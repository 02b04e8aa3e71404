"""The UDP rendezvous and relay (02 section 10): control connections and datagrams on 7779.

Control connections are conversations pumped by asyncio, as on 7778. Datagrams are the business of
a process of their own (`net.datagram`): it says where an expected endpoint was seen, and carries
the datagrams of two sources to each other when told so.
"""

from __future__ import annotations

import asyncio
import collections
import ipaddress
import logging
from collections.abc import Iterable

from gateway.base.clock import Clock
from gateway.base.entropy import Entropy
from gateway.base.notices import NoticeHub
from gateway.base.secret import Secret
from gateway.model.kinds import TransportKind
from gateway.net.datagram import (
    DatagramEnd,
    DatagramLimits,
    DatagramPair,
    DatagramPath,
    Sighting,
    Spot,
)
from gateway.net.tasks import TaskRoom
from gateway.protocol.pairing import AuthenticationRefused
from gateway.protocol.pairing_udp import DirectFamilies, Relay, UdpOrder, UdpRendezvous
from gateway.protocol.pairing_udp_control import (
    EndpointNamed,
    RelayWanted,
    Signalled,
    Source,
    UdpControlConversation,
    UdpControlEvent,
    UdpParty,
    UdpPartyReady,
)
from gateway.relay.controls import Complaints, Control, ControlDesk
from gateway.relay.notices import RelayClosed, RelayOpened
from gateway.relay.settings import RelaySettings
from gateway.wire.datagrams import read_endpoint_info

_log = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0
"""Between two looks for meetings that are over; orders that are due earlier have a timer."""

_Control = Control[UdpControlConversation, UdpControlEvent]


class UdpHalf:
    """The part of the rendezvous server that endpoints of UDP connections meet at."""

    def __init__(
        self,
        settings: RelaySettings,
        *,
        secret: Secret,
        clock: Clock,
        entropy: Entropy,
        room: TaskRoom,
        notices: NoticeHub,
    ) -> None:
        self._settings = settings
        self._secret = secret
        self._clock = clock
        self._entropy = entropy
        self._room = room = room.child("udp")
        self._notices = notices
        self._complain = Complaints(clock, _log)
        direct = DirectFamilies.IPV4 if settings.direct else DirectFamilies.NONE
        if settings.direct and settings.udp_direct_ipv6:
            direct |= DirectFamilies.IPV6
        self._rendezvous = UdpRendezvous(direct=direct, meetings_max=settings.meetings_max)
        self._desk = ControlDesk[UdpControlConversation, UdpControlEvent](
            settings,
            clock=clock,
            room=room,
            make=lambda caller: UdpControlConversation(
                caller.handle, secret=secret, entropy=entropy, here=caller.here, near=caller.near
            ),
            happened=self._happened,
            left=self._left,
            complain=self._complain,
        )
        self._path = DatagramPath(
            room.child("datagrams"),
            clock,
            self._sighted,
            DatagramLimits(
                idle=settings.udp_idle_seconds,
                size=settings.udp_datagram_octets,
                pair_packets=settings.udp_pair_packets,
                pair_octets=settings.udp_pair_octets,
                total_packets=settings.udp_total_packets,
                total_octets=settings.udp_total_octets,
                pairs=settings.udp_pairs_max,
            ),
        )
        self._named: dict[bytes, _Control] = {}
        self._uids: dict[int, bytes] = {}
        self._spots: dict[int, Spot] = {}
        self._parties: dict[int, UdpParty] = {}
        self._pairs: set[DatagramPair] = set()
        self._ends: collections.Counter[str] = collections.Counter()
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for = 0.0
        self.addresses: list[tuple[str, int]] = []
        """Where control connections and datagrams come in, one port for both."""

    @property
    def relayed(self) -> int:
        """Return how many pairs of sources are carried now."""
        return len(self._pairs)

    @property
    def process_id(self) -> int | None:
        """Return the id of the process that carries the datagrams, None while there is none."""
        return self._path.process_id

    async def start(self) -> None:
        """Listen on every address; raises HostError, with nothing left open."""
        settings = self._settings
        self.addresses = self._desk.listener.open(settings.bind_addresses, settings.udp_port)
        try:
            await self._path.start(self.addresses, when_asked=True)
        except BaseException:
            await self.stop()
            raise
        self._room.start(self._sweep(), name="UDP meetings")

    async def stop(self) -> None:
        """Stop listening and relaying; cut what is open."""
        self.addresses = []
        self._desk.listener.close()
        await self._room.close()
        self._desk.cut()
        await self._path.stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- control connections

    def _happened(self, control: _Control, event: UdpControlEvent) -> None:
        now = self._clock.monotonic()
        party = self._parties.get(control.handle)
        if isinstance(event, EndpointNamed):
            self._named[event.endpoint_uid] = control
            self._uids[control.handle] = event.endpoint_uid
            self._path.expect(event.endpoint_uid)
        elif isinstance(event, UdpPartyReady):
            self._parties[control.handle] = event.party
            self._carry_out(self._rendezvous.arrive(event.party, now))
        elif isinstance(event, AuthenticationRefused):
            self._complain("answered the challenge wrongly", control.peer)
        elif party is not None and isinstance(event, RelayWanted):
            self._carry_out(self._rendezvous.relay_wanted(party, now))
        elif party is not None and isinstance(event, Signalled):
            self._carry_out(self._rendezvous.signalled(party, event.message, now))

    def _sighted(self, sighting: Sighting) -> None:
        spot = sighting.spot
        info = read_endpoint_info(sighting.datagram, ipv4=spot.address.version == 4)
        control = self._named.get(info.endpoint_uid) if info is not None else None
        if info is None or control is None:
            return
        known = ipaddress.ip_address(control.peer.partition("%")[0])
        same = spot.address == known
        if not same and (self._settings.udp_same_address or spot.address.version != known.version):
            self._complain(
                "introduced itself from another address than it connects from", control.peer
            )
            return
        self._spots[control.handle] = spot
        source = Source(spot.address, spot.port, info.local_endpoint)
        control.talk.sighted(source, self._clock.monotonic())
        control.pump.flush()

    def _left(self, handle: int) -> None:
        uid = self._uids.pop(handle, None)
        if uid is not None:
            del self._named[uid]
            self._path.forget(uid)
        self._spots.pop(handle, None)
        party = self._parties.pop(handle, None)
        if party is not None:
            self._rendezvous.leave(party, self._clock.monotonic())

    def _carry_out(self, orders: Iterable[UdpOrder]) -> None:
        for order in orders:
            if isinstance(order, Relay):
                self._relay(order)
            else:
                self._desk.carry_out(order)
        self._arm()

    # -- relayed datagrams

    def _relay(self, order: Relay) -> None:
        uid = order.client.connection_uid
        ends = [str(party.source.address) for party in (order.client, order.service)]
        limit = self._settings.udp_pairs_per_peer
        if any(self._ends[end] >= limit for end in ends):
            self._complain("was refused: as many datagram pairs as allowed are relayed", ends[0])
            self._carry_out(self._rendezvous.relayed(uid, accepted=False))
            return
        pair = self._path.join(self._spots[order.client.handle], self._spots[order.service.handle])
        self._ends.update(ends)

        def joined(answer: asyncio.Future[bool]) -> None:
            if answer.result():
                self._pairs.add(pair)
                self._notices.post(
                    RelayOpened(
                        number=pair.number,
                        client_address=ends[0],
                        service_address=ends[1],
                        transport=TransportKind.UDP,
                    )
                )
            else:
                self._complain("was refused: no room for another datagram pair", ends[0])
            self._carry_out(self._rendezvous.relayed(uid, accepted=answer.result()))

        def over(ended: asyncio.Future[DatagramEnd]) -> None:
            for end in ends:
                self._ends[end] -= 1
                if self._ends[end] <= 0:
                    del self._ends[end]
            if pair in self._pairs:
                self._pairs.discard(pair)
                self._announce_end(pair, ends, ended.result())

        pair.joined.add_done_callback(joined)
        pair.ended.add_done_callback(over)

    def _announce_end(self, pair: DatagramPair, ends: list[str], end: DatagramEnd) -> None:
        self._notices.post(
            RelayClosed(
                number=pair.number,
                client_address=ends[0],
                service_address=ends[1],
                octets_to_service=end.octets_from_a,
                octets_to_client=end.octets_from_b,
                seconds=max(0.0, self._clock.monotonic() - pair.began),
                reason=end.reason.name,
                transport=TransportKind.UDP,
            )
        )

    # -- time

    def _arm(self) -> None:
        due = self._rendezvous.deadline
        if self._timer is not None:
            if due == self._armed_for:
                return
            self._timer.cancel()
            self._timer = None
        if due is None or not self.addresses:
            return
        delay = due - self._clock.monotonic()
        if delay < SWEEP_SECONDS:
            loop = asyncio.get_running_loop()
            self._armed_for = due
            self._timer = loop.call_later(max(0.0, delay), self._due)

    def _due(self) -> None:
        self._timer = None
        self._carry_out(self._rendezvous.tick(self._clock.monotonic()))

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self._carry_out(self._rendezvous.tick(self._clock.monotonic()))
