"""Which of several TCP connections between two endpoints becomes the channel (02 section 7).

Both ends connect to each other at once, so that more than one connection may come about, and
strangers may connect as well. The race decides what is written where and which candidate wins; it
never dials. The choice has to be the same at both ends although nobody may speak about it: a
service therefore reads first and answers on the one candidate it commits to, and a client that
waits a moment for a service that writes first answers on that one candidate only (02 section 7.3).
"""

from __future__ import annotations

import hmac
import ipaddress
from dataclasses import dataclass

from gateway.asn1.errors import DecodeError
from gateway.protocol.connector import DirectOffered
from gateway.wire.rendezvous import IpAddress, ProxyRole, unpack_private, unpack_public

KEY_SIZE = 4
CANDIDATES_MAX = 10
"""Connections that are looked at in one attempt, as many as the reference's listener takes."""
PATIENCE = 0.2
"""Seconds a client waits for a key before it writes on every candidate (02 section 7.3)."""

Target = tuple[str, int]
"""Address and port to connect or to punch to."""


@dataclass(frozen=True, slots=True)
class WriteKey:
    """Write our key on this candidate."""

    candidate: int


@dataclass(frozen=True, slots=True)
class Commit:
    """This candidate is the channel; our key goes out first when `write` says so.

    When it cannot be written, report the candidate as lost: the race goes on.
    """

    candidate: int
    write: bool


@dataclass(frozen=True, slots=True)
class Discard:
    """Close this candidate."""

    candidate: int


Move = WriteKey | Commit | Discard


@dataclass(slots=True)
class _Candidate:
    written: bool
    got: bytes = b""


class DirectRace:
    """One attempt of one endpoint; candidates are numbers that the caller gives.

    `alone` means that there is one possible path and therefore one connection (single mode):
    a client need not be patient then with the peer that it was told of.
    """

    def __init__(
        self, role: ProxyRole, secret_key: bytes, remote_secret_key: bytes, *, alone: bool
    ) -> None:
        self.secret_key = secret_key
        self._service = role is ProxyRole.SERVICE
        self._expected = remote_secret_key
        self._alone = alone
        self._candidates: dict[int, _Candidate] = {}
        self._seen = 0
        self._due: float | None = None
        self._patient = True

    @property
    def deadline(self) -> float | None:
        """Return when tick() is due."""
        return self._due

    def opened(self, candidate: int, now: float, *, announced: bool = True) -> list[Move]:
        """Take a connection; `announced`: it leads to an address that the proxy named."""
        self._seen += 1
        if self._seen > CANDIDATES_MAX:
            return [Discard(candidate)]
        at_once = not self._service and ((self._alone and announced) or not self._patient)
        self._candidates[candidate] = _Candidate(at_once)
        if at_once:
            return [WriteKey(candidate)]
        if not self._service and self._due is None:
            self._due = now + PATIENCE
        return []

    def wants(self, candidate: int) -> int:
        """Return how many octets may be read of a candidate: not one of the application's."""
        found = self._candidates.get(candidate)
        return KEY_SIZE - len(found.got) if found is not None else 0

    def received(self, candidate: int, octets: bytes) -> list[Move]:
        """Take at most `wants` octets of a candidate; empty means that it was closed."""
        found = self._candidates.get(candidate)
        if found is None:
            return [Discard(candidate)]
        found.got += octets
        if octets and len(found.got) < KEY_SIZE:
            return []
        if not hmac.compare_digest(found.got, self._expected):
            self.lost(candidate)
            return [Discard(candidate)]
        return [Commit(candidate, not found.written)]

    def lost(self, candidate: int) -> None:
        """Forget a candidate that broke."""
        self._candidates.pop(candidate, None)

    def tick(self, now: float) -> list[Move]:
        """Write on every candidate when nobody wrote first."""
        if self._due is None or now < self._due:
            return []
        self._due = None
        self._patient = False
        moves: list[Move] = []
        for number, candidate in self._candidates.items():
            if not candidate.written:
                candidate.written = True
                moves.append(WriteKey(number))
        return moves


def sensible(address: IpAddress, port: int, local: IpAddress) -> bool:
    """Tell whether a peer may be sought there by an endpoint with this `local` address.

    The proxy and the peer name what they like; nobody sends us to many hosts at once, or to
    programs of this machine that trust it.
    """
    if not port or address.version != local.version:
        return False
    if address.is_multicast or address.is_unspecified or address == _BROADCAST:
        return False
    return local.is_loopback or not address.is_loopback


_BROADCAST = ipaddress.ip_address("255.255.255.255")


def targets(
    public: bytes, private: bytes | None, local_address: str
) -> tuple[Target | None, Target | None]:
    """Return public and private endpoint of a peer, None for what is missing or not sensible."""
    local = ipaddress.ip_address(local_address.partition("%")[0])
    found: list[Target | None] = []
    for octets, unpack in ((public, unpack_public), (private, unpack_private)):
        target: Target | None = None
        if octets is not None:
            try:
                address, port = unpack(octets)
            except DecodeError:
                pass
            else:
                target = (str(address), port) if sensible(address, port, local) else None
        found.append(target)
    return found[0], found[1]


def race_of(role: ProxyRole, offer: DirectOffered) -> DirectRace:
    """Return the race that an order of the proxy begins."""
    return DirectRace(
        role, offer.secret_key, offer.remote_secret_key, alone=offer.remote_private is None
    )
