"""Starts camera programs for tests and lends what a driver needs."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.base.clock import SystemClock
from gateway.base.entropy import SystemEntropy
from gateway.base.secret import Secret
from gateway.driverkit.addresses import AddressPolicy
from gateway.driverkit.digest import CameraCredentials
from gateway.driverkit.driver import ByteReader, ByteWriter, DeviceTarget, DriverTools

ROOT = Path(__file__).resolve().parents[2]
SYSTEM_PYTHON = Path("/usr/bin/python3")
USER, PASSWORD = "admin", "p@ss#1/?:%"
CREDENTIALS = CameraCredentials(USER, Secret(PASSWORD))
LOOPBACK = AddressPolicy(allow_loopback=True)


def own_address() -> str:
    """Return a loopback address that no other test uses at this moment."""
    return f"127.13.{random.randrange(1, 255)}.{random.randrange(1, 255)}"


async def dial(address: str, port: int, *, timeout_s: float) -> tuple[ByteReader, ByteWriter]:
    """Connect as the gateway's own dialling does."""
    async with asyncio.timeout(timeout_s):
        return await asyncio.open_connection(address, port)


def tools_for(target: DeviceTarget) -> DriverTools:
    """Lend everything a driver needs on loopback."""
    return DriverTools.lend(
        target, dial=dial, policy=LOOPBACK, clock=SystemClock(), entropy=SystemEntropy()
    )


@asynccontextmanager
async def program(*command: str) -> AsyncIterator[dict[str, Any]]:
    """Run a camera program; yield its ready line."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(20):
            line = await process.stdout.readline()
            if not line:
                pytest.fail((await process.stderr.read()).decode())
        yield {**json.loads(line), "pid": process.pid}
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(10):
                _, said = await process.communicate()
        except TimeoutError:
            process.kill()
            _, said = await process.communicate()
    assert b"Traceback" not in said, said.decode()


@asynccontextmanager
async def virtual_camera(folder: Path, *arguments: str) -> AsyncIterator[dict[str, Any]]:
    """Run our virtual camera with a login and a control port."""
    password = folder / "password"
    password.write_text(PASSWORD + "\n")
    base = ["--user", USER, "--password-file", str(password), "--control-port", "0"]
    if "--address" not in arguments:
        base += ["--address", own_address()]
    command = [sys.executable, "-m", "drivers.simulated.camera", *base, *arguments]
    async with program(*command) as ready:
        yield ready


@asynccontextmanager
async def stranger(folder: Path, *arguments: str) -> AsyncIterator[dict[str, Any]]:
    """Run the GStreamer camera; skip where its bindings are missing."""
    check = await asyncio.create_subprocess_exec(
        str(SYSTEM_PYTHON), "-c", "import gi; gi.require_version('GstRtspServer', '1.0')",
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    if await check.wait():
        pytest.skip("the GStreamer RTSP server is not installed (gir1.2-gst-rtsp-server-1.0)")
    password = folder / "password"
    password.write_text(PASSWORD + "\n")
    path = "/axis-media/media.amp"
    async with program(
        str(SYSTEM_PYTHON), "drivers/simulated/gst_camera.py", "--address", own_address(),
        "--path", path, "--user", USER, "--password-file", str(password), *arguments,
    ) as ready:  # fmt: skip
        yield {**ready, "path": path}


def simulated_target(camera: dict[str, Any]) -> DeviceTarget:
    """Return the target that discovery would make of our camera's announcement."""
    return DeviceTarget(
        address=camera["address"],
        port=camera["rtsp_port"],
        properties={
            "id": camera["serial"],
            "rtsp": str(camera["rtsp_port"]),
            "http": str(camera["http_port"]),
            "path": "/main",
        },
        name=camera["name"],
        credentials=CREDENTIALS,
    )
