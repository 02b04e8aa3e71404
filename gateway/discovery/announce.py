"""The gateway's own record, so that an installer's browser finds its page."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass

from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from gateway.discovery.matching import LocalNetwork

SERVICE_TYPE = "_softnet-gw._tcp.local."

ADDRESSES_MAX = 16
"""Addresses in the record; one packet has to hold them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayRecord:
    """What the gateway says of itself. ``state`` is "unclaimed" or "claimed"; no secrets."""

    gateway_id: str
    version: str
    state: str
    port: int
    path: str = "/"

    @property
    def instance(self) -> str:
        """The instance name, `softnet-gw-xxxx` with the end of the gateway's id."""
        tail = "".join(each for each in self.gateway_id.lower() if each.isalnum())[-4:]
        return f"softnet-gw-{tail or '0000'}"


def service_info(record: GatewayRecord, networks: tuple[LocalNetwork, ...]) -> AsyncServiceInfo:
    """Return the record as zeroconf wants it, with the addresses of these networks."""
    packed = []
    for network in networks:
        address = ipaddress.ip_address(network.address)
        if address.is_loopback and any(
            not ipaddress.ip_address(each.address).is_loopback for each in networks
        ):
            continue
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        packed.append(socket.inet_pton(family, network.address.partition("%")[0]))
    return AsyncServiceInfo(
        SERVICE_TYPE,
        f"{record.instance}.{SERVICE_TYPE}",
        addresses=list(dict.fromkeys(packed))[:ADDRESSES_MAX],
        port=record.port,
        properties={
            "id": record.gateway_id,
            "ver": record.version,
            "state": record.state,
            "path": record.path,
        },
        server=f"{record.instance}.local.",
    )


class GatewayAnnouncement:
    """Keeps one record announced over a zeroconf that somebody else owns."""

    def __init__(self) -> None:
        self._info: AsyncServiceInfo | None = None

    async def show(
        self, zeroconf: AsyncZeroconf, record: GatewayRecord, networks: tuple[LocalNetwork, ...]
    ) -> None:
        """Announce the record, or its changes when it is announced already."""
        info = service_info(record, networks)
        if self._info is not None and self._info.name == info.name:
            await (await zeroconf.async_update_service(info))
        else:
            await (await zeroconf.async_register_service(info, allow_name_change=True))
        self._info = info

    def forget(self) -> None:
        """Start anew with the next zeroconf."""
        self._info = None
