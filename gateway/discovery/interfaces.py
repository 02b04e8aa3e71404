"""The machine's own networks: where mDNS is spoken, and which subnets are near."""

from __future__ import annotations

import ipaddress

import ifaddr

from gateway.discovery.matching import LocalNetwork
from gateway.discovery.settings import DiscoverySettings

NETWORKS_MAX = 256
"""Addresses that are considered; containers and bridges make dozens."""


def local_networks() -> tuple[LocalNetwork, ...]:
    """Return every address of the machine with its subnet; link-local IPv6 with its scope."""
    found = []
    for adapter in ifaddr.get_adapters():
        for each in adapter.ips:
            if isinstance(each.ip, tuple):
                text, _, scope = each.ip
                address = f"{text.partition('%')[0]}%{scope}" if scope else text.partition("%")[0]
            else:
                address = each.ip
            found.append(
                LocalNetwork(adapter.name, adapter.index or 0, address, each.network_prefix)
            )
    return tuple(sorted(found, key=lambda each: (each.index, each.address))[:NETWORKS_MAX])


def chosen_networks(
    networks: tuple[LocalNetwork, ...], settings: DiscoverySettings
) -> tuple[LocalNetwork, ...]:
    """Return those networks that the settings let discovery use."""
    wanted = {each.lower() for each in settings.interfaces}
    chosen = []
    for network in networks:
        address = ipaddress.ip_address(network.address)
        if address.version == 6 and not settings.ipv6:
            continue
        if wanted and not wanted & {network.interface.lower(), network.address.partition("%")[0]}:
            continue
        if address.is_loopback and not settings.allow_loopback:
            continue
        chosen.append(network)
    return tuple(chosen)


def multicast_places(networks: tuple[LocalNetwork, ...]) -> list[str | int]:
    """Return what zeroconf wants: one IPv4 address of each interface, one index for IPv6."""
    fours: dict[str, str] = {}
    sixes: dict[int, int] = {}
    for network in networks:
        address = ipaddress.ip_address(network.address)
        if address.version == 4:
            fours.setdefault(network.interface, network.address)
        elif network.index and not address.is_loopback:
            sixes.setdefault(network.index, network.index)
    return [*fours.values(), *sixes.values()]
