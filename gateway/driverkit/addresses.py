"""Which addresses the gateway may connect to on behalf of a device: a policy as a plain value.

Device addresses come from announcements and from people, so they are hostile: an announced
127.0.0.1 or an address of the gateway itself would turn it against its own services.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from gateway.base.errors import Denied, InvalidInput

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse_address(text: str) -> Address:
    """Return the address of a literal, IPv6 with or without scope. Raises InvalidInput."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise InvalidInput("That is not an IP address; type one like 192.168.1.20.") from None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressPolicy:
    """What may be connected to. ``own_addresses``: the gateway's, which no camera can have."""

    allow_loopback: bool = False
    allow_link_local: bool = True
    own_addresses: frozenset[str] = frozenset()

    def permits(self, text: str) -> bool:
        """Whether the address literal may be connected to; False for what is no address."""
        try:
            self.check(text)
        except (Denied, InvalidInput):
            return False
        return True

    def check(self, text: str) -> Address:
        """Return the parsed address, or raise Denied (or InvalidInput for what is no address)."""
        address = parse_address(text)
        if address.is_loopback:
            if self.allow_loopback:
                return address
            raise Denied("A camera cannot be at a loopback address.", "address")
        if address.is_unspecified or address.is_multicast:
            raise Denied("A camera cannot be at a multicast or empty address.", "address")
        if isinstance(address, ipaddress.IPv4Address) and (
            int(address) == 0xFFFFFFFF or int(address) >> 24 == 0
        ):
            raise Denied("A camera cannot be at a broadcast address.", "address")
        if address.is_link_local and not self.allow_link_local:
            raise Denied("Link-local addresses are switched off in the settings.", "address")
        if str(address) in self.own_addresses:
            raise Denied("That is an address of this gateway itself.", "address")
        return address
