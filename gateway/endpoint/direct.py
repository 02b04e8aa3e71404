"""Carries out the direct half of a TCP meeting (02 sections 6.4 and 7), and remembers failures."""

from __future__ import annotations

import ipaddress
import socket
from collections import OrderedDict
from collections.abc import Callable
from typing import Self

from gateway.base.clock import Clock
from gateway.base.errors import HostError
from gateway.net import sockets
from gateway.net.punch import DirectSockets
from gateway.net.sockets import SocketOptions
from gateway.protocol.connector import DirectOffered
from gateway.protocol.connector_direct import race_of, targets
from gateway.wire.rendezvous import ProxyRole, pack_private

REUSING = SocketOptions(reuse_address=True)
"""Of the control connection as well, and set before it connects (02 section 6.4)."""

REMEMBERED = 600.0
"""Seconds for which a peer that could not be reached directly is met at the relay at once.

A failed attempt costs 4 s; browsing opens many connections."""
PEERS_MAX = 1_000


class DirectAttempt:
    """The sockets of one attempt, made before the proxy is asked and closed when all is over."""

    def __init__(self, ends: DirectSockets, local: tuple[str, int], ipv4: bool) -> None:
        self._sockets = ends
        self._local = local
        self.local_endpoint: bytes | None = None
        """What CLIENT_P2P and SERVICE_P2P carry: six octets, None over IPv6."""
        if ipv4:
            self.local_endpoint = pack_private(ipaddress.IPv4Address(local[0]), local[1])

    @classmethod
    def beside(cls, control: socket.socket, clock: Clock) -> Self | None:
        """Make ready beside a control connection; None when this machine does not allow it."""
        local, _ = sockets.addresses(control)
        try:
            ends = DirectSockets.beside(control, clock, REUSING)
        except HostError:
            return None
        return cls(ends, local, control.family == socket.AF_INET)

    def begin(
        self, role: ProxyRole, offer: DirectOffered, won: Callable[[socket.socket], None]
    ) -> None:
        """Try to reach the peer; `won` is called once at most, with the peer's socket."""
        public, private = targets(offer.remote_public, offer.remote_private, self._local[0])
        self._sockets.race(race_of(role, offer), public, private, won)

    def close(self) -> None:
        """End the attempt; the winner is untouched. Safe to call again."""
        self._sockets.close()


class DirectFailures:
    """Peers, named by their id, whom nobody could reach directly a while ago."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: OrderedDict[int, float] = OrderedDict()

    def __contains__(self, peer: int) -> bool:
        return self._clock.monotonic() < self._until.get(peer, 0.0)

    def add(self, peer: int) -> None:
        """Remember that an attempt failed."""
        self._until[peer] = self._clock.monotonic() + REMEMBERED
        self._until.move_to_end(peer)
        while len(self._until) > PEERS_MAX:
            self._until.popitem(last=False)

    def forget(self) -> None:
        """Give everybody another chance: the network may be another one now."""
        self._until.clear()
