"""The TCP rendezvous and relay (02 sections 6 and 8.3); it starts the half for UDP as well.

Control connections are conversations pumped by asyncio. Data connections are raw sockets: exactly
17 octets are read from each, and when both sides of a uid are there, both sockets go to the data
path with the complements as its first octets. Nothing is read ahead, so what an endpoint sends
early waits in its socket.
"""

from __future__ import annotations

import asyncio
import collections
import logging
import socket
import sys
from dataclasses import dataclass
from typing import cast

from gateway.base.clock import Clock
from gateway.base.entropy import Entropy
from gateway.base.errors import Conflict, GatewayError, InvalidInput
from gateway.base.notices import NoticeHub
from gateway.base.secret import Secret
from gateway.net.datapath import DataPath, EndReason, Pair, PairEnd, PairLimits
from gateway.net.listener import Listener, from_here, source_of
from gateway.net.sockets import read_exactly, reset
from gateway.net.tasks import TaskRoom
from gateway.protocol.pairing import (
    AuthenticationRefused,
    ControlConversation,
    ControlEvent,
    DirectFailed,
    Order,
    PartyAuthenticated,
    Presented,
    RelayPolicy,
    Rendezvous,
)
from gateway.protocol.pairing_direct import Party
from gateway.relay.controls import Complaints, Control, ControlDesk
from gateway.relay.notices import RelayClosed, RelayOpened
from gateway.relay.settings import RelaySettings
from gateway.relay.udp import UdpHalf
from gateway.wire.rendezvous import DATA_HEADER_SIZE, ProxyRole, data_header

_log = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0
"""Between two looks for meetings that are over."""

_Control = Control[ControlConversation, ControlEvent]


_OWN = "this machine"
"""In the place of a peer's address: this machine's data connections are counted apart."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A data connection whose other side is not there yet; it is counted as a `who`'s."""

    sock: socket.socket
    peer: str
    who: str


class RendezvousServer:
    """Lets two endpoints meet that were told of each other by a tracker with the same secret."""

    def __init__(
        self,
        settings: RelaySettings,
        *,
        secret: Secret,
        datapath: DataPath,
        clock: Clock,
        entropy: Entropy,
        room: TaskRoom,
        notices: NoticeHub,
    ) -> None:
        if not secret:
            raise InvalidInput("The relay needs the secret that the tracker uses.", "secret")
        self._settings = settings
        self._secret = secret
        self._datapath = datapath
        self._clock = clock
        self._entropy = entropy
        self._parent = room
        self._notices = notices
        self._room: TaskRoom | None = None
        self._parties: dict[int, Party] = {}
        self._waiting: dict[bytes, _Waiting] = {}
        self._handshakes: collections.Counter[str] = collections.Counter()
        self._pairs: set[Pair] = set()
        self._carried: collections.Counter[str] = collections.Counter()
        self._complain = Complaints(clock, _log)
        self._limits = PairLimits(
            idle=settings.idle_seconds,
            stall=settings.stall_seconds,
            unsent=settings.unsent_octets,
            receive=settings.receive_octets,
        )
        self.control_addresses: list[tuple[str, int]] = []
        self.data_addresses: list[tuple[str, int]] = []
        self.udp: UdpHalf | None = None
        """The half for UDP connections, while the server runs and the settings want it."""

    @property
    def relayed(self) -> int:
        """Return how many pairs are carried now."""
        return len(self._pairs)

    async def start(self) -> None:
        """Listen on every address; raises HostError, with nothing left open."""
        if self._room is not None:
            raise Conflict("The relay is running already.")
        settings = self._settings
        room = self._parent.child("relay")
        self._desk = ControlDesk[ControlConversation, ControlEvent](
            settings,
            clock=self._clock,
            room=room,
            make=lambda caller: ControlConversation(
                caller.handle,
                caller.address,
                caller.port,
                here=caller.here,
                near=caller.near,
                secret=self._secret,
                entropy=self._entropy,
            ),
            happened=self._happened,
            left=self._left,
            complain=self._complain,
        )
        udp = UdpHalf(
            settings,
            secret=self._secret,
            clock=self._clock,
            entropy=self._entropy,
            room=room,
            notices=self._notices,
        )
        self._data_listener = Listener(
            room,
            self._data_accepted,
            limit=2 * settings.relayed_max + settings.handshakes_max,
            per_peer=settings.relayed_per_peer + settings.handshakes_per_peer,
            own=2 * settings.relayed_max + settings.own_max,
        )
        try:
            hosts = settings.bind_addresses
            self.data_addresses = self._data_listener.open(hosts, settings.data_port)
            self.control_addresses = self._desk.listener.open(hosts, settings.control_port)
            if settings.udp:
                await udp.start()
                self.udp = udp
        except BaseException:
            self._data_listener.close()
            self._desk.cut()
            await room.close()
            raise
        self._rendezvous = Rendezvous(
            entropy=self._entropy,
            data_port=settings.data_port or self.data_addresses[0][1],
            policy=RelayPolicy.DIRECT if settings.direct else RelayPolicy.RELAY_ONLY,
            meetings_max=settings.meetings_max,
        )
        self._room = room
        room.start(self._sweep(), name="meetings")

    async def stop(self) -> None:
        """Stop listening and cut everything that is open."""
        room, self._room = self._room, None
        if room is None:
            return
        self._desk.listener.close()
        self._data_listener.close()
        udp, self.udp = self.udp, None
        if udp is not None:
            await udp.stop()
        await room.close()
        self._desk.cut()
        for uid in list(self._waiting):
            self._drop_waiting(uid)
        pairs = list(self._pairs)
        for pair in pairs:
            pair.kill()
        if pairs:
            await asyncio.wait([pair.ended for pair in pairs], timeout=1.0)

    # -- control connections

    def _happened(self, control: _Control, event: ControlEvent) -> None:
        now = self._clock.monotonic()
        if isinstance(event, PartyAuthenticated):
            self._parties[control.handle] = event.party
            self._carry_out(self._rendezvous.arrive(event.party, now))
        elif isinstance(event, DirectFailed):
            party = self._parties[control.handle]
            self._carry_out(self._rendezvous.direct_failed(party, now))
        elif isinstance(event, AuthenticationRefused):
            self._complain("answered the challenge wrongly", control.peer)

    def _carry_out(self, orders: list[Order]) -> None:
        for order in orders:
            self._desk.carry_out(order)

    def _left(self, handle: int) -> None:
        party = self._parties.pop(handle, None)
        if party is not None:
            self._rendezvous.leave(party)

    # -- data connections

    def _data_accepted(self, sock: socket.socket, peer: str) -> None:
        assert self._room is not None
        settings = self._settings
        shaking = self._handshakes
        if from_here(sock):
            who, crowded = _OWN, shaking[_OWN] >= settings.own_max
        else:
            strangers = shaking.total() - shaking[_OWN]
            who, crowded = source_of(peer), strangers >= settings.handshakes_max
            crowded = crowded or shaking[who] >= settings.handshakes_per_peer
        if crowded:
            self._complain("opened too many relayed connections at once", peer)
            self._refuse(sock, peer)
            return
        shaking[who] += 1
        self._room.start(self._handshake(sock, peer, who), name="data header")

    async def _handshake(self, sock: socket.socket, peer: str, who: str) -> None:
        kept = False
        try:
            header = await read_exactly(sock, DATA_HEADER_SIZE, self._settings.header_seconds)
            kept = await self._present(_Waiting(sock, peer, who), header)
        except GatewayError as error:
            self._complain(f"sent no data header ({error})", peer, "header")
        finally:
            if not kept:
                self._handshake_over(who)
                self._refuse(sock, peer)

    async def _present(self, mine: _Waiting, header: bytes) -> bool:
        """Match a data connection; True when the socket is taken care of."""
        peer = mine.peer
        uid = header[1:]
        try:
            role = ProxyRole(header[0])
        except ValueError:
            self._complain("sent a data header with an unknown role", peer)
            return False
        await self._datapath.ready()
        answer = self._rendezvous.present(uid, role, self._clock.monotonic())
        if answer is Presented.REFUSED:
            self._complain("sent a data header that nobody waits for", peer)
            return False
        if answer is Presented.WAIT:
            self._waiting[uid] = mine
            return True
        other = self._waiting.pop(uid)
        self._handshake_over(other.who)
        if self.relayed >= self._settings.relayed_max or self._has_its_share(mine, other):
            self._complain("was refused: as many connections as allowed are relayed", peer)
            self._refuse(other.sock, other.peer)
            return False
        self._handshake_over(mine.who)
        client, service = (mine, other) if role is ProxyRole.CLIENT else (other, mine)
        self._relay(uid, client, service)
        return True

    def _has_its_share(self, *sides: _Waiting) -> bool:
        most = self._settings.relayed_per_peer
        return any(side.who != _OWN and self._carried[side.who] >= most for side in sides)

    def _relay(self, uid: bytes, client: _Waiting, service: _Waiting) -> None:
        # Each side receives the other's role: the complement travels as that side's first octets.
        try:
            pair = self._datapath.join(
                client.sock,
                service.sock,
                early_a=data_header(ProxyRole.CLIENT, uid),
                early_b=data_header(ProxyRole.SERVICE, uid),
                limits=self._limits,
                tell=self._relay_over,
                note=(sys.intern(client.peer), sys.intern(service.peer)),
            )
        except Conflict:  # the data path is being stopped
            for side in (client, service):
                self._refuse(side.sock, side.peer)
            return
        self._pairs.add(pair)
        for side in (client, service):
            self._carried[source_of(side.peer)] += 1
        self._notices.post(
            RelayOpened(
                number=pair.number, client_address=client.peer, service_address=service.peer
            )
        )

    def _relay_over(self, pair: Pair, end: PairEnd) -> None:
        client, service = cast(tuple[str, str], pair.note)
        self._pairs.discard(pair)
        for peer in (client, service):
            self._data_listener.released(peer)
            source = source_of(peer)
            self._carried[source] -= 1
            if not self._carried[source]:
                del self._carried[source]
        if end.reason is EndReason.REFUSED:
            self._complain("was refused: the relay process has no room", client)
        self._notices.post(
            RelayClosed(
                number=pair.number,
                client_address=client,
                service_address=service,
                octets_to_service=max(0, end.octets_forward - DATA_HEADER_SIZE),
                octets_to_client=max(0, end.octets_back - DATA_HEADER_SIZE),
                seconds=end.seconds,
                reason=end.reason.name,
            )
        )

    def _handshake_over(self, who: str) -> None:
        self._handshakes[who] -= 1
        if self._handshakes[who] <= 0:
            del self._handshakes[who]

    def _refuse(self, sock: socket.socket, peer: str) -> None:
        reset(sock)
        self._data_listener.released(peer)

    def _drop_waiting(self, uid: bytes) -> None:
        waiting = self._waiting.pop(uid, None)
        if waiting is not None:
            self._handshake_over(waiting.who)
            self._refuse(waiting.sock, waiting.peer)

    # -- both

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            for uid in self._rendezvous.expire(self._clock.monotonic()):
                self._drop_waiting(uid)
