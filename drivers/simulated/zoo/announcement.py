"""The virtual camera's voice: its records in DNS-SD, through python-zeroconf."""

from __future__ import annotations

import asyncio
import socket

from zeroconf import IPVersion
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf


class Announcement:
    """`_rtsp._tcp` and `_http._tcp` records of one camera on one interface address."""

    def __init__(
        self,
        *,
        name: str,
        address: str,
        interface: str,
        rtsp_port: int,
        http_port: int,
        properties: dict[str, str],
    ) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        packed = socket.inet_pton(family, address.partition("%")[0])
        self._interface = interface or address
        self._zeroconf: AsyncZeroconf | None = None
        self._infos = [
            AsyncServiceInfo(
                f"{kind}.local.",
                f"{name}.{kind}.local.",
                addresses=[packed],
                port=port,
                properties=dict(properties),
                server=f"softnet-{properties['id'].lower()}.local.",
            )
            for kind, port in (("_rtsp._tcp", rtsp_port), ("_http._tcp", http_port))
        ]

    async def start(self) -> None:
        """Announce; safe when announced already."""
        if self._zeroconf is not None:
            return
        version = IPVersion.V6Only if ":" in self._interface else IPVersion.V4Only
        self._zeroconf = AsyncZeroconf(interfaces=[self._interface], ip_version=version)
        begun = [
            await self._zeroconf.async_register_service(info, allow_name_change=True)
            for info in self._infos
        ]
        await asyncio.gather(*begun)

    async def stop(self) -> None:
        """Say goodbye and fall silent."""
        zeroconf, self._zeroconf = self._zeroconf, None
        if zeroconf is None:
            return
        try:
            async with asyncio.timeout(5):
                await zeroconf.async_unregister_all_services()
        except TimeoutError:
            pass
        await zeroconf.async_close()
