"""What the owner of the machine may change about the balancer and the tracker."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.base.errors import InvalidInput
from gateway.base.setting import setting
from gateway.net.stream import WRITE_LIMIT
from gateway.net.unsent import TOTAL
from gateway.protocol.balancer import REQUEST_LIMIT
from gateway.protocol.liveness import SILENCE_LIMIT
from gateway.protocol.siteside import CLOSE_LIMIT, HEADER_LIMIT, INSTALL_LIMIT


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """The balancer and the tracker. The ports are fixed in the protocol."""

    bind_addresses: tuple[str, ...] = setting(
        ("0.0.0.0", "::"),  # noqa: S104  (endpoints come from anywhere)
        minimum=1,
        maximum=16,
        help="Addresses to listen on.",
    )
    server_name: str = setting(
        "",
        maximum=253,
        help="The only name that URIs may call this server by; empty: any name.",
    )
    public_ipv4: str = setting(
        "",
        maximum=15,
        help="IPv4 address under which the internet reaches this machine, behind a router say.",
    )
    public_ipv6: str = setting(
        "", maximum=45, help="IPv6 address under which the internet reaches this machine."
    )
    balancer_port: int = setting(7737, minimum=0, maximum=65535, help="Fixed in the protocol.")
    tracker_port: int = setting(7740, minimum=0, maximum=65535, help="Fixed in the protocol.")
    connections: int = setting(
        20_000, minimum=10, maximum=1_000_000, help="Endpoints connected at once."
    )
    connections_per_address: int = setting(
        5_000, minimum=2, maximum=1_000_000, help="Endpoints connected from one address."
    )
    strangers: int = setting(
        4_000, minimum=2, maximum=1_000_000, help="Connections that have not logged in yet."
    )
    strangers_per_address: int = setting(
        1_000, minimum=1, maximum=1_000_000, help="The same, from one address."
    )
    unsent_octets: int = setting(
        TOTAL,
        minimum=2 * WRITE_LIMIT,
        maximum=1 << 40,
        unit="octets",
        help="Octets kept for endpoints that do not take them, all together. Beyond it the address"
        " with most of them loses its connections, those that take nothing first.",
    )
    stateless_guest_services: tuple[str, ...] = setting(
        (),
        maximum=1000,
        help="Services that get the requests of anonymous guests besides this gateway's cameras:"
        " the part of a service's URI between softnet-srv:// and @. Programs made with the Java"
        " library drop off for a minute at each such request, so they are refused otherwise.",
    )
    header_limit: float = setting(
        HEADER_LIMIT, minimum=0.05, maximum=300, unit="s", help="Wait for the first two octets."
    )
    install_limit: float = setting(
        INSTALL_LIMIT, minimum=0.05, maximum=600, unit="s", help="Wait for the end of the login."
    )
    close_limit: float = setting(
        CLOSE_LIMIT, minimum=0.05, maximum=300, unit="s", help="Wait for the close after an error."
    )
    silence_limit: float = setting(
        SILENCE_LIMIT, minimum=20, maximum=3600, unit="s", help="Longest silence of an endpoint."
    )
    question_limit: float = setting(
        REQUEST_LIMIT, minimum=0.05, maximum=300, unit="s", help="Wait for a balancer's question."
    )
    unload_after: float = setting(
        300.0, minimum=1, maximum=86_400, unit="s", help="When an unused site leaves the memory."
    )


def service_uids(texts: Sequence[str]) -> frozenset[bytes]:
    """Return the uids of services as their URIs spell them. Raises InvalidInput."""
    try:
        return frozenset(uuid.UUID(text).bytes for text in texts)
    except ValueError:
        raise InvalidInput(
            "stateless_guest_services has an entry that is no service's UID. Copy what stands"
            " between softnet-srv:// and @ in the service's URI.",
            "stateless_guest_services",
        ) from None
