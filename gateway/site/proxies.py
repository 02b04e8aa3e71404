"""The proxies that may be named in an arrangement, taken in turn (02 section 3)."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from gateway.base.secret import Secret
from gateway.site.happenings import Path, this_machine


@dataclass(frozen=True, slots=True)
class ProxyEntry:
    """One proxy: its number, the secret it shares with us, and its public addresses.

    An `embedded` one runs on the tracker's machine: an endpoint that comes over loopback, and any
    endpoint while no address is given, is told the address at which it reached the tracker.
    """

    server_id: int
    secret: Secret
    ipv4: ipaddress.IPv4Address | None = None
    ipv6: ipaddress.IPv6Address | None = None
    embedded: bool = False

    def address_for(self, path: Path) -> bytes | None:
        """Return the address for an endpoint: its own family first, then the other (trap T18)."""
        here = self.embedded and this_machine(path.local)
        if here or (self.ipv4 is None and self.ipv6 is None):
            return None if path.local is None else path.local.packed
        first, second = (self.ipv6, self.ipv4) if path.ipv6 else (self.ipv4, self.ipv6)
        found = first or second
        return None if found is None else found.packed

    def address_beside(self, service: Path, client: Path) -> bytes | None:
        """Return the address for a service that meets this client.

        One on the proxy's own machine is told the address at which the client gets there, not
        loopback: a client on our own network may then reach it directly.
        """
        here = self.embedded and this_machine(service.local)
        reached = client.local
        if here and reached is not None and reached.version == 4 and not this_machine(reached):
            told = self.address_for(client)
            if told == reached.packed:  # an address of our own, not that of a router
                return told
        return self.address_for(service)


class ProxyDirectory:
    """All proxies of a server; one turn counter for the whole tracker."""

    def __init__(self, entries: tuple[ProxyEntry, ...]) -> None:
        self._entries = entries
        self._by_id = {entry.server_id: entry for entry in entries}
        self._turn = 0

    def pick(self) -> ProxyEntry | None:
        """Return the proxy whose turn it is, None when there are none."""
        if not self._entries:
            return None
        self._turn += 1
        return self._entries[(self._turn - 1) % len(self._entries)]

    def get(self, server_id: int) -> ProxyEntry | None:
        """Return the proxy with this number, or None."""
        return self._by_id.get(server_id)
