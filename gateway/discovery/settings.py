"""The settings of discovery."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.base.setting import setting


@dataclass(frozen=True, slots=True)
class DiscoverySettings:
    """How cameras are looked for on the local network."""

    enabled: bool = setting(True, help="Look for cameras by mDNS. Off: add them by hand.")
    interfaces: tuple[str, ...] = setting(
        (),
        maximum=64,
        help="Names or addresses of the interfaces to look on; empty: all but loopback.",
    )
    ipv6: bool = setting(True, help="Look on IPv6 as well as on IPv4.")
    allow_loopback: bool = setting(
        False,
        help="Also look on loopback and accept cameras on this machine itself, for demos.",
    )
    allow_off_subnet: bool = setting(
        True,
        help="Accept cameras at addresses outside the gateway's own subnets (mDNS reflectors).",
    )
    gone_after_seconds: float = setting(
        4.0,
        minimum=0,
        maximum=3600,
        unit="s",
        help="How long a camera that said goodbye may be away before it counts as gone.",
    )
    refresh_seconds: float = setting(
        60.0, minimum=5, maximum=3600, unit="s", help="How often a present camera is asked again."
    )
    forget_after_seconds: float = setting(
        86_400.0,
        minimum=60,
        maximum=31_536_000,
        unit="s",
        help="How long a camera that is gone stays in the list of sightings.",
    )
    announce_gateway: bool = setting(
        True, help="Announce the gateway itself, so that installers find its page."
    )
