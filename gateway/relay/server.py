"""The TCP rendezvous and relay (02 sections 6 and 8.3).

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
from dataclasses import dataclass

from gateway.base.clock import Clock
from gateway.base.entropy import Entropy
from gateway.base.errors import Conflict, GatewayError, InvalidInput, RemoteError
from gateway.base.notices import NoticeHub
from gateway.base.secret import Secret
from gateway.net.datapath import DataPath, EndReason, Pair, PairEnd, PairLimits
from gateway.net.listener import Listener, adopt
from gateway.net.sockets import addresses, read_exactly, reset
from gateway.net.stream import Pump
from gateway.net.tasks import TaskRoom
from gateway.protocol.pairing import (
    AuthenticationRefused,
    ControlConversation,
    ControlEvent,
    DirectFailed,
    Dismiss,
    Order,
    Party,
    PartyAuthenticated,
    Presented,
    RelayPolicy,
    Rendezvous,
    Tell,
)
from gateway.relay.notices import RelayClosed, RelayOpened
from gateway.relay.settings import RelaySettings
from gateway.wire.rendezvous import DATA_HEADER_SIZE, ProxyRole, data_header

_log = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0
"""Between two looks for meetings that are over."""
COMPLAINT_SECONDS = 10.0
"""At most one log line of a kind in this time, however many peers misbehave."""


@dataclass(slots=True)
class _Control:
    conversation: ControlConversation
    peer: str
    pump: Pump[ControlEvent] | None = None
    party: Party | None = None


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A data connection whose other side is not there yet."""

    sock: socket.socket
    peer: str


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
        self._controls: dict[int, _Control] = {}
        self._last_handle = 0
        self._waiting: dict[bytes, _Waiting] = {}
        self._handshakes: collections.Counter[str] = collections.Counter()
        self._pairs: set[Pair] = set()
        self._complaints: dict[str, tuple[float, int]] = {}
        self._limits = PairLimits(
            idle=settings.idle_seconds,
            stall=settings.stall_seconds,
            unsent=settings.unsent_octets,
            receive=settings.receive_octets,
        )
        self.control_addresses: list[tuple[str, int]] = []
        self.data_addresses: list[tuple[str, int]] = []

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
        self._control_listener = Listener(
            room,
            self._control_accepted,
            limit=settings.controls_max,
            per_peer=settings.controls_per_peer,
        )
        self._data_listener = Listener(
            room,
            self._data_accepted,
            limit=2 * settings.relayed_max + settings.handshakes_max,
            per_peer=settings.relayed_per_peer + settings.handshakes_per_peer,
        )
        try:
            hosts = settings.bind_addresses
            self.data_addresses = self._data_listener.open(hosts, settings.data_port)
            self.control_addresses = self._control_listener.open(hosts, settings.control_port)
        except GatewayError:
            self._data_listener.close()
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
        self._control_listener.close()
        self._data_listener.close()
        await room.close()
        for control in list(self._controls.values()):
            if control.pump is not None:
                control.pump.abort()
        for uid in list(self._waiting):
            self._drop_waiting(uid)
        pairs = list(self._pairs)
        for pair in pairs:
            pair.kill()
        if pairs:
            await asyncio.wait([pair.ended for pair in pairs], timeout=1.0)

    # -- control connections

    def _control_accepted(self, sock: socket.socket, peer: str) -> None:
        assert self._room is not None
        self._last_handle += 1
        handle = self._last_handle
        conversation = ControlConversation(
            handle, peer, addresses(sock)[1][1], secret=self._secret, entropy=self._entropy
        )
        control = self._controls[handle] = _Control(conversation, peer)
        control.pump = Pump(
            conversation,
            self._clock,
            lambda _, event: self._happened(control, event),
            lambda _, reason: self._control_closed(handle, reason),
        )
        self._room.start(self._adopt(sock, handle, control.pump), name="control connection")

    async def _adopt(self, sock: socket.socket, handle: int, pump: Pump[ControlEvent]) -> None:
        try:
            await adopt(sock, pump)
        except BaseException as error:
            sock.close()
            self._control_closed(handle, None)
            if not isinstance(error, OSError):
                raise

    def _happened(self, control: _Control, event: ControlEvent) -> None:
        now = self._clock.monotonic()
        if isinstance(event, PartyAuthenticated):
            control.party = event.party
            self._carry_out(self._rendezvous.arrive(event.party, now))
        elif isinstance(event, DirectFailed):
            assert control.party is not None
            self._carry_out(self._rendezvous.direct_failed(control.party, now))
        elif isinstance(event, AuthenticationRefused):
            self._complain("answered the challenge wrongly", control.peer)

    def _carry_out(self, orders: list[Order]) -> None:
        for order in orders:
            control = self._controls.get(order.handle)
            if control is None or control.pump is None:
                continue
            conversation = control.conversation
            if isinstance(order, Tell):
                conversation.tell(order.message)
            elif isinstance(order, Dismiss):
                conversation.dismiss()
            control.pump.flush()

    def _control_closed(self, handle: int, reason: GatewayError | None) -> None:
        control = self._controls.pop(handle, None)
        if control is None:
            return
        self._control_listener.released(control.peer)
        if control.party is not None:
            self._rendezvous.leave(control.party)
        if isinstance(reason, RemoteError):
            self._complain(f"broke the rendezvous protocol ({reason})", control.peer, "protocol")

    # -- data connections

    def _data_accepted(self, sock: socket.socket, peer: str) -> None:
        assert self._room is not None
        settings = self._settings
        crowded = self._handshakes.total() >= settings.handshakes_max
        if crowded or self._handshakes[peer] >= settings.handshakes_per_peer:
            self._complain("opened too many relayed connections at once", peer)
            self._refuse(sock, peer)
            return
        self._handshakes[peer] += 1
        self._room.start(self._handshake(sock, peer), name="data header")

    async def _handshake(self, sock: socket.socket, peer: str) -> None:
        kept = False
        try:
            header = await read_exactly(sock, DATA_HEADER_SIZE, self._settings.header_seconds)
            kept = await self._present(sock, peer, header)
        except GatewayError as error:
            self._complain(f"sent no data header ({error})", peer, "header")
        finally:
            if not kept:
                self._handshake_over(peer)
                self._refuse(sock, peer)

    async def _present(self, sock: socket.socket, peer: str, header: bytes) -> bool:
        """Match a data connection; True when the socket is taken care of."""
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
            self._waiting[uid] = _Waiting(sock, peer)
            return True
        other = self._waiting.pop(uid)
        self._handshake_over(other.peer)
        if self.relayed >= self._settings.relayed_max:
            self._complain("was refused: as many connections as allowed are relayed", peer)
            self._refuse(other.sock, other.peer)
            return False
        self._handshake_over(peer)
        mine = _Waiting(sock, peer)
        client, service = (mine, other) if role is ProxyRole.CLIENT else (other, mine)
        self._relay(uid, client, service)
        return True

    def _relay(self, uid: bytes, client: _Waiting, service: _Waiting) -> None:
        # Each side receives the other's role: the complement travels as that side's first octets.
        try:
            pair = self._datapath.join(
                client.sock,
                service.sock,
                early_a=data_header(ProxyRole.CLIENT, uid),
                early_b=data_header(ProxyRole.SERVICE, uid),
                limits=self._limits,
            )
        except Conflict:  # the data path is being stopped
            for side in (client, service):
                self._refuse(side.sock, side.peer)
            return
        self._pairs.add(pair)
        self._notices.post(
            RelayOpened(
                number=pair.number, client_address=client.peer, service_address=service.peer
            )
        )

        def over(ended: asyncio.Future[PairEnd]) -> None:
            end = ended.result()
            self._pairs.discard(pair)
            for side in (client, service):
                self._data_listener.released(side.peer)
            if end.reason is EndReason.REFUSED:
                self._complain("was refused: the relay process has no room", client.peer)
            self._notices.post(
                RelayClosed(
                    number=pair.number,
                    client_address=client.peer,
                    service_address=service.peer,
                    octets_to_service=max(0, end.octets_forward - DATA_HEADER_SIZE),
                    octets_to_client=max(0, end.octets_back - DATA_HEADER_SIZE),
                    seconds=end.seconds,
                    reason=end.reason.name,
                )
            )

        pair.ended.add_done_callback(over)

    def _handshake_over(self, peer: str) -> None:
        self._handshakes[peer] -= 1
        if self._handshakes[peer] <= 0:
            del self._handshakes[peer]

    def _refuse(self, sock: socket.socket, peer: str) -> None:
        reset(sock)
        self._data_listener.released(peer)

    def _drop_waiting(self, uid: bytes) -> None:
        waiting = self._waiting.pop(uid, None)
        if waiting is not None:
            self._handshake_over(waiting.peer)
            self._refuse(waiting.sock, waiting.peer)

    # -- both

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            for uid in self._rendezvous.expire(self._clock.monotonic()):
                self._drop_waiting(uid)

    def _complain(self, what: str, peer: str, kind: str = "") -> None:
        """Log what a peer did, once per kind and COMPLAINT_SECONDS."""
        kind = kind or what
        now = self._clock.monotonic()
        quiet_until, untold = self._complaints.get(kind, (0.0, 0))
        if now < quiet_until:
            self._complaints[kind] = (quiet_until, untold + 1)
            return
        self._complaints[kind] = (now + COMPLAINT_SECONDS, 0)
        more = f"; {untold} more since the last such line" if untold else ""
        _log.warning("%s %s%s", peer, what, more)
