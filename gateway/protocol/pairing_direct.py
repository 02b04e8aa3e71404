"""Which two parties are worth a direct attempt, for the rendezvous of TCP and that of UDP.

A vain attempt costs the reference's endpoints 4 s, every time anew, and over UDP it may cost them
the connection (02 sections 7.2 and 10.3). So those are relayed at once who cannot reach each other
by what the proxy sees of them, and those who could not a while ago.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from gateway.wire.message import Message
from gateway.wire.rendezvous import (
    CreateP2PConnection,
    CreateP2PConnectionInDualMode,
    IpAddress,
    ProxyRole,
    pack_public,
    unpack_private,
)

REMEMBERED = 600.0
"""Seconds for which two parties that could not reach each other are relayed at once."""
PAIRS_MAX = 10_000
"""Such pairs; the oldest is forgotten first."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a party is, as far as the proxy can tell."""

    address: IpAddress
    """As observed."""
    private: IpAddress | None = None
    """What it says itself, None when it is the same: then no NAT lies between it and the proxy."""
    here: bool = False
    """On the proxy's own machine."""
    near: bool = False
    """On a network of the proxy's machine, with no router between."""

    @classmethod
    def of(cls, address: IpAddress, local: bytes | None, *, here: bool, near: bool) -> Standing:
        """Return the standing of a party that named its own endpoint with six octets, or none."""
        private = unpack_private(local)[0] if local is not None else None
        return cls(address, None if private == address else private, here, near)


@dataclass(frozen=True, slots=True)
class Party:
    """One authenticated end of a meeting, as its control connection described it."""

    handle: int
    """The number by which the caller knows the control connection."""
    role: ProxyRole
    connection_uid: bytes
    direct: bool
    """Opened with *_P2P."""
    address: IpAddress
    port: int
    """As observed by us."""
    private: bytes | None = None
    """The six octets as received, kept only when their address differs from the observed one."""
    here: bool = False
    """Lives on the proxy's own machine."""
    near: bool = False
    """Lives on a network of the proxy's machine."""

    @property
    def standing(self) -> Standing:
        """Return where the party is."""
        return Standing.of(self.address, self.private, here=self.here, near=self.near)


def nameable(local: bytes, observed: IpAddress) -> bool:
    """Tell whether a party's private endpoint may be named to its peer.

    Peers send to it whatever it is: nobody makes them knock at a third party's public address, at
    their own loopback or at a group.
    """
    address = unpack_private(local)[0]
    if address == observed:
        return True
    return not (
        address.is_global
        or address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_reserved
        or address.is_unspecified
    )


def promising(a: Standing, b: Standing) -> bool:
    """Tell whether two parties may reach each other at all."""
    if a.here != b.here:
        # The peer of a party on this machine is told the address at which that party met us. Only a
        # peer on our own network, with no NAT between, gets there as it got to us; for all others
        # the relay is on the direct path already.
        here, other = (a, b) if a.here else (b, a)
        return other.near and other.private is None and not here.address.is_loopback
    # Nobody outside reaches the address by which we know somebody on our own network.
    return a.here or a.address.is_global == b.address.is_global


class VainAttempts:
    """The pairs of parties that could not reach each other a while ago, by their addresses.

    Ports do not count, they are others every time; what is behind one NAT is told apart by what it
    says itself.
    """

    def __init__(self) -> None:
        self._until: OrderedDict[tuple[IpAddress | None, ...], float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def add(self, client: Standing, service: Standing, now: float) -> None:
        """Remember that an attempt was in vain."""
        key = _key(client, service)
        self._until[key] = now + REMEMBERED
        self._until.move_to_end(key)
        while len(self._until) > PAIRS_MAX:
            self._until.popitem(last=False)

    def recent(self, client: Standing, service: Standing, now: float) -> bool:
        """Tell whether the last attempt of these two was in vain, not long ago."""
        return now < self._until.get(_key(client, service), 0.0)


def _key(client: Standing, service: Standing) -> tuple[IpAddress | None, ...]:
    return client.address, client.private, service.address, service.private


def direct_order(party: Party, peer: Party, own: bytes, other: bytes) -> Message:
    """Return what a party is told of its peer."""
    public = pack_public(peer.address, peer.port)
    if party.private is None or peer.private is None:
        return CreateP2PConnection(public, own, other)
    if party.address == peer.address:
        # Behind one NAT: where it sends packets back, two paths would work, and each end could
        # settle on another one (02 section 7.3). One path is one connection.
        return CreateP2PConnection(pack_public(*unpack_private(peer.private)), own, other)
    return CreateP2PConnectionInDualMode(public, own, other, peer.private)
