"""The RTSP driver against our camera and against a camera that is not ours."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from drivers.rtsp.driver import RtspDriver
from gateway.base.clock import SystemClock
from gateway.base.entropy import SystemEntropy
from gateway.base.errors import InvalidInput
from gateway.driverkit import conformance
from gateway.driverkit.driver import DeviceTarget
from gateway.driverkit.errors import (
    Busy,
    CredentialsRefused,
    Misbehaved,
    Unreachable,
    Unsupported,
)
from gateway.driverkit.loader import DriverLoader
from tests.drivers.cameras import (
    CREDENTIALS,
    LOOPBACK,
    dial,
    own_address,
    stranger,
    tools_for,
    virtual_camera,
)


async def conform(target: DeviceTarget, expected: str = "") -> tuple[str, ...]:
    return await conformance.complaints(
        DriverLoader.installed(),
        "rtsp",
        target,
        dial=dial,
        policy=LOOPBACK,
        clock=SystemClock(),
        entropy=SystemEntropy(),
        expected_identity=expected,
    )


@pytest.mark.timeout_s(90)
@pytest.mark.parametrize("login", ["md5", "sha256", "basic"])
async def test_conforms_on_our_camera(tmp_path, login):
    async with virtual_camera(tmp_path, "--login", login) as camera:
        address, port = camera["address"], camera["rtsp_port"]
        target = DeviceTarget(
            address=address, url=f"rtsp://{address}:{port}/main", credentials=CREDENTIALS
        )
        assert await conform(target, f"rtsp:{address}:{port}/main") == ()


@pytest.mark.timeout_s(90)
@pytest.mark.parametrize("login", ["digest", "basic"])
async def test_conforms_on_a_stranger(tmp_path, login):
    async with stranger(tmp_path, "--login", login) as camera:
        target = DeviceTarget(
            address=camera["address"],
            port=camera["rtsp_port"],
            properties={"path": camera["path"], "macaddress": "ACCC8E3C0419"},
            credentials=CREDENTIALS,
        )
        assert await conform(target, "mac:accc8e3c0419") == ()
        driver = RtspDriver(target, tools_for(target))
        info = await driver.probe()
        picture = await driver.snapshot()
        await driver.close()
        assert (info.streams[0].width, info.streams[0].height) == (640, 360)
        assert info.mac == "accc8e3c0419"
        assert _size(picture.octets) == (640, 360)


def _size(jpeg: bytes) -> tuple[int, int]:
    import av

    frame = av.CodecContext.create("mjpeg", "r").decode(av.Packet(jpeg))[0]
    return frame.width, frame.height


@pytest.mark.timeout_s(90)
async def test_each_fault_ends_in_its_own_error(tmp_path):
    async with virtual_camera(tmp_path) as camera:
        address, port = camera["address"], camera["rtsp_port"]
        target = DeviceTarget(
            address=address, url=f"rtsp://{address}:{port}/main", credentials=CREDENTIALS
        )

        async def attempt(fault: str, *, what: str = "probe") -> object:
            await _control(camera, fault)
            driver = RtspDriver(target, tools_for(target))
            try:
                return await getattr(driver, what)()
            finally:
                await driver.close()
                await _control(camera, "none")

        with pytest.raises(Unreachable):
            await attempt("refuse")
        with pytest.raises(Misbehaved):
            await attempt("garbage")
        with pytest.raises(CredentialsRefused):
            await attempt("wrong_password")
        with pytest.raises(Busy):
            await attempt("busy", what="snapshot")
        with pytest.raises(Unreachable):
            await attempt("drop_after=0.01,stall", what="snapshot")
        for harmless in ("leak_credentials", "foreign_control", "stale_every=1", "slow=0.2"):
            picture = await attempt(harmless, what="snapshot")
            assert picture.octets.startswith(b"\xff\xd8")
        lost = replace(target, url=f"rtsp://{address}:{port}/nowhere")
        driver = RtspDriver(lost, tools_for(lost))
        with pytest.raises(Unsupported):
            await driver.probe()
        await driver.close()


async def _control(camera: dict, fault: str) -> None:
    import aiohttp

    async with (
        aiohttp.ClientSession() as session,
        session.post(f"http://127.0.0.1:{camera['control_port']}/faults", data=fault) as answer,
    ):
        assert answer.status == 200, await answer.text()


@pytest.mark.timeout_s(40)
async def test_a_snapshot_url_is_fetched_from_the_device_only(tmp_path):
    async with virtual_camera(tmp_path) as camera:
        address = camera["address"]
        target = DeviceTarget(
            address=address,
            url=f"rtsp://{address}:{camera['rtsp_port']}/main",
            # Another host's name: only port and path of it count.
            snapshot_url=f"http://192.0.2.7:{camera['http_port']}/snapshot.jpg",
            credentials=CREDENTIALS,
        )
        driver = RtspDriver(target, tools_for(target))
        picture = await driver.snapshot()
        await driver.close()
        assert _size(picture.octets) == (640, 360)


async def test_a_silent_server_is_given_up(monkeypatch):
    from gateway.driverkit import rtsp_client

    monkeypatch.setattr(rtsp_client, "ANSWER_SECONDS", 0.3)

    ended = asyncio.Event()

    async def swallow(reader, writer):
        await reader.read()
        writer.close()
        ended.set()

    address = own_address()
    server = await asyncio.start_server(swallow, address, 0)
    port = server.sockets[0].getsockname()[1]
    target = DeviceTarget(address=address, url=f"rtsp://{address}:{port}/")
    driver = RtspDriver(target, tools_for(target))
    with pytest.raises(Unreachable):
        await driver.probe()
    await driver.close()
    await ended.wait()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    ("url", "snapshot_url"),
    [
        ("http://192.168.1.2/", ""),
        ("rtsp://user:pass@192.168.1.2/", ""),
        ("rtsp://192.168.1.2:99999/", ""),
        ("rtsp://192.168.1.2/a b", ""),
        ("rtsp://192.168.1.2/", "ftp://192.168.1.2/x"),
        ("rtsp://192.168.1.2/", "http://u:p@192.168.1.2/x"),
    ],
)
def test_a_wrong_address_is_refused_when_typed(url, snapshot_url):
    target = DeviceTarget(address="127.0.0.1", url=url, snapshot_url=snapshot_url)
    with pytest.raises(InvalidInput):
        RtspDriver(target, tools_for(target))
