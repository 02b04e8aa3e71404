"""The conformance checks find what is wrong with a bad driver."""

from __future__ import annotations

import asyncio

from gateway.base.clock import SystemClock
from gateway.base.entropy import SystemEntropy
from gateway.base.secret import Secret
from gateway.driverkit import conformance
from gateway.driverkit.addresses import AddressPolicy
from gateway.driverkit.digest import CameraCredentials
from gateway.driverkit.driver import (
    DeviceInfo,
    DeviceTarget,
    DriverTools,
    Picture,
    StreamInfo,
    StreamSource,
    WebTarget,
)
from gateway.driverkit.loader import DriverLoader
from gateway.driverkit.manifest import DriverManifest


class BadDriver:
    """Breaks nearly every rule."""

    def __init__(self, target: DeviceTarget, tools: DriverTools) -> None:
        self.target, self.tools = target, tools
        self.probes = 0

    async def probe(self) -> DeviceInfo:
        self.probes += 1
        _, writer = await self.tools.dial("127.13.9.9", self.target.port, timeout_s=2)
        writer.close()
        login = self.target.credentials
        return DeviceInfo(
            identity=f"serial:{self.probes}",
            name=f"x\n{login.password.reveal() if login else ''}",
            streams=(StreamInfo(name="first", port=1, path="/"),),
            snapshot=True,
            web_port=80,
        )

    async def snapshot(self) -> Picture:
        return Picture(b"GIF89a", "image/gif", 0.0)

    def stream_source(self, name: str) -> StreamSource:
        return StreamSource("192.0.2.1", 554, f"/{name}")

    def web_target(self) -> WebTarget | None:
        return WebTarget("192.0.2.1", 81)

    async def close(self) -> None:
        await self.tools.http.close()


async def test_a_bad_driver_is_found_out():
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def dial(address: str, port: int, *, timeout_s: float):
        return await asyncio.open_connection(address, port)

    server = await asyncio.start_server(hang_up, "127.13.9.9", 0)
    loader = DriverLoader([DriverManifest(name="bad", title="Bad", driver=f"{__name__}:BadDriver")])
    found = await conformance.complaints(
        loader,
        "bad",
        DeviceTarget(
            address="127.13.9.8",
            port=server.sockets[0].getsockname()[1],
            credentials=CameraCredentials("admin", Secret("open-sesame")),
        ),
        dial=dial,
        policy=AddressPolicy(allow_loopback=True),
        clock=SystemClock(),
        entropy=SystemEntropy(),
        expected_identity="serial:abc",
    )
    server.close()
    await server.wait_closed()
    for part in (
        "does not raise NotFound",
        "finds identity 'serial:1', not 'serial:abc'",
        'the first stream is not "main"',
        "control characters",
        "password shows",
        "stream_source('first')",
        "web_target() is not",
        "leads to another host",
        "something else than a JPEG",
        "not the present",
        "another identity",
        "ConnectionRefusedError",
        "succeeds with a wrong login",
        "other addresses than the device's",
    ):
        assert any(part in each for each in found), (part, found)
