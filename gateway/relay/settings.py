"""The settings of the rendezvous and relay server."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.base.setting import setting


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """Where the relay listens and how much it carries for whom."""

    bind_addresses: tuple[str, ...] = setting(
        ("0.0.0.0", "::"),  # noqa: S104  (a server's default; the appliance's firewall narrows it)
        minimum=1,
        help="Addresses to listen on, IPv4 and IPv6.",
    )
    control_port: int = setting(
        7778,
        minimum=0,
        maximum=65535,
        help="Port of the rendezvous; endpoints know only 7778. 0 is for tests.",
    )
    data_port: int = setting(
        37780,
        minimum=0,
        maximum=65535,
        help="Port of relayed connections; keep it within 37780-38259, which users open.",
    )
    direct: bool = setting(
        True,
        help="Let endpoints try a direct IPv4 connection, TCP or UDP, before relaying, where they "
        "may reach each other; off, everything is relayed at once.",
    )
    controls_max: int = setting(
        2_000, minimum=2, maximum=100_000, help="Control connections at once."
    )
    controls_per_peer: int = setting(
        400, minimum=2, maximum=100_000, help="Control connections at once from one address."
    )
    own_max: int = setting(
        2_000,
        minimum=2,
        maximum=100_000,
        help="Control connections, and relayed connections whose other side is missing, at once "
        "from this machine itself: its cameras. They are counted apart from all others.",
    )
    meetings_max: int = setting(
        2_000, minimum=1, maximum=100_000, help="Pairs of endpoints on their way to each other."
    )
    handshakes_max: int = setting(
        2_000, minimum=2, maximum=100_000, help="Relayed connections whose other side is missing."
    )
    handshakes_per_peer: int = setting(
        400, minimum=2, maximum=100_000, help="The same from one address."
    )
    relayed_max: int = setting(4_000, minimum=1, maximum=400_000, help="Relayed pairs at once.")
    relayed_per_peer: int = setting(
        4_000,
        minimum=1,
        maximum=800_000,
        help="Ends of relayed pairs from one address; a gateway's cameras share one.",
    )
    header_seconds: float = setting(
        10.0, minimum=0.1, maximum=40.0, unit="s", help="Time for the 17 octets of a data header."
    )
    idle_seconds: float = setting(
        720.0, minimum=0.0, maximum=86_400.0, unit="s",
        help="A relayed pair without an octet for so long is ended; 0: never.",
    )  # fmt: skip
    stall_seconds: float = setting(
        720.0, minimum=0.0, maximum=86_400.0, unit="s",
        help="A relayed pair of which one end takes nothing for so long is ended; 0: never.",
    )  # fmt: skip
    unsent_octets: int = setting(
        64 * 1024, minimum=0, maximum=16 * 1024 * 1024, unit="octets",
        help="Octets kept unsent towards each end; small keeps live video fresh. 0: the system's.",
    )  # fmt: skip
    receive_octets: int = setting(
        104 * 1024, minimum=0, maximum=16 * 1024 * 1024, unit="octets",
        help="Receive buffer towards the service: bounds stale video. What stays faster than "
        "8 Mbit/s gets more, less than a second of it. 0: the system's.",
    )  # fmt: skip
    udp: bool = setting(True, help="Serve UDP connections as well, in a process of their own.")
    udp_port: int = setting(
        7779,
        minimum=0,
        maximum=65535,
        help="TCP and UDP port of the UDP rendezvous; endpoints know only 7779. 0 is for tests.",
    )
    udp_direct_ipv6: bool = setting(
        False,
        help="With `direct`: over IPv6 too, for UDP; off, IPv6 is relayed at once.",
    )
    udp_same_address: bool = setting(
        True,
        help="Take an endpoint's datagrams only from the address of its control connection, so "
        "that nobody can be made a target. Off: for networks with several public addresses.",
    )
    udp_pairs_max: int = setting(
        2_000, minimum=1, maximum=100_000, help="Relayed UDP connections at once."
    )
    udp_pairs_per_peer: int = setting(
        2_000, minimum=1, maximum=200_000, help="Ends of relayed UDP connections at one address."
    )
    udp_idle_seconds: float = setting(
        120.0, minimum=1.0, maximum=86_400.0, unit="s",
        help="A relayed UDP connection without a datagram for so long is ended.",
    )  # fmt: skip
    udp_datagram_octets: int = setting(
        16_384, minimum=1_452, maximum=65_507, unit="octets",
        help="The largest datagram that is relayed.",
    )  # fmt: skip
    udp_pair_packets: int = setting(
        20_000, minimum=1, maximum=10_000_000, unit="/s",
        help="Datagrams of one relayed connection, both directions together; more are dropped.",
    )  # fmt: skip
    udp_pair_octets: int = setting(
        16 * 1024 * 1024, minimum=1_452, maximum=1 << 40, unit="octets/s",
        help="Octets of one relayed UDP connection, both directions together.",
    )  # fmt: skip
    udp_total_packets: int = setting(
        100_000, minimum=1, maximum=100_000_000, unit="/s",
        help="Datagrams of all relayed connections together; more are dropped.",
    )  # fmt: skip
    udp_total_octets: int = setting(
        64 * 1024 * 1024, minimum=1_452, maximum=1 << 40, unit="octets/s",
        help="Octets of all relayed UDP connections together.",
    )  # fmt: skip
