"""With the real discovery: a camera that announces itself, is adopted, and moves."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager

import pytest

from gateway.base.errors import Denied
from gateway.base.notices import NoticeHub
from gateway.cameras.facade import FoundCamera
from gateway.cameras.fleet import record_name
from gateway.discovery.service import DiscoveryService
from gateway.discovery.settings import DiscoverySettings
from gateway.registry import devices
from tests.cameras.harness import CREDENTIALS, virtual_camera
from tests.cameras.rig import LOADER, Rig, rig


@asynccontextmanager
async def seeing(bridge: Rig):
    """Give a rig a bridge with discovery on loopback."""
    await bridge.bridge.stop()
    discovery = DiscoveryService(
        DiscoverySettings(allow_loopback=True, announce_gateway=False, gone_after_seconds=1.0),
        LOADER.manifests,
        notices=NoticeHub(),
        clock=bridge.net.clock,
        room=bridge.net.room,
    )
    bridge.discovery = discovery
    bridge.bridge = bridge.new_bridge()
    await bridge.bridge.start()
    await discovery.start()
    if discovery.trouble:
        pytest.skip(f"mDNS cannot be used here: {discovery.trouble}")
    try:
        yield
    finally:
        await discovery.stop()


@pytest.mark.timeout_s(120)
async def test_found_adopted_and_followed(tmp_path):
    serial = f"SIM-{random.randrange(1 << 40):010X}"
    announced = ("--announce", "--serial", serial)
    identity = f"serial:{serial.lower()}"

    def found(bridge: Rig) -> FoundCamera | None:
        mine = (each for each in bridge.cameras.found() if each.identity == identity)
        return next(mine, None)

    async with rig(tmp_path) as bridge, seeing(bridge):
        async with virtual_camera(tmp_path, *announced) as camera:
            await bridge.until(lambda: found(bridge), 15)
            seen = found(bridge)
            assert (seen.driver, seen.maker, seen.present) == ("simulated", "Softnet", True)
            probed = await bridge.cameras.probe(identity, CREDENTIALS)
            assert probed.info.firmware == "1.0"
            assert [stream.name for stream in probed.info.streams] == ["main", "sub"]
            device_id = await bridge.cameras.adopt(
                bridge.net.owner_id, bridge.site_id, identity, CREDENTIALS, "Door (1)"
            )
            await bridge.until(lambda: bridge.view().state == "online", 15)
            assert found(bridge) is None
            assert bridge.view().address == camera["address"]
            assert bridge.view().firmware == "1.0"
        await bridge.until(lambda: bridge.view().state == "offline", 15)
        # Back at another address, as after a new lease.
        async with virtual_camera(tmp_path, *announced) as moved:
            assert moved["address"] != camera["address"]
            began = asyncio.get_running_loop().time()
            await bridge.until(lambda: bridge.view().state == "online", 20)
            assert bridge.view().address == moved["address"]
            assert asyncio.get_running_loop().time() - began < 10
            assert bridge.view().name == "Door (1)"
            picture = await bridge.cameras.snapshot(device_id)
            assert picture.octets.startswith(b"\xff\xd8")
            (kept,) = await bridge.net.registry.read(devices.list_all)
            assert kept.identity == identity


@pytest.mark.timeout_s(60)
async def test_another_device_at_the_address_gets_nothing(tmp_path):
    async with rig(tmp_path) as bridge:
        async with virtual_camera(tmp_path) as camera:
            probe = bridge.bridge.fleet
            await bridge.adopt(camera, CREDENTIALS)
            served = probe.served[0]
        # The simulated driver reads who answers; the address is now another camera's.
        ports = ("--rtsp-port", str(camera["rtsp_port"]), "--address", camera["address"])
        async with virtual_camera(tmp_path, *ports, "--serial", "SIM-OTHER-1") as other:
            seen = served.camera.device.seen
            properties = {"http": str(other["http_port"]), "rtsp": str(other["rtsp_port"])}
            kept = bridge.vault.get(record_name(served.camera.device.identity))
            await bridge.vault.put(record_name("serial:sim-first"), kept)
            await bridge.net.registry.write(
                lambda tx: tx.run(
                    "UPDATE device SET driver = 'simulated', identity = 'serial:sim-first',"
                    " properties = json_set(properties, '$.http', ?, '$.rtsp', ?)",
                    properties["http"],
                    properties["rtsp"],
                )
            )
            await bridge.bridge.fleet.settle()
            await bridge.until(lambda: bridge.view().state == "foreign", 15)
            assert seen.address == other["address"]
            with pytest.raises(Denied, match="Another device"):
                await bridge.cameras.set_credentials(bridge.view().device_id, CREDENTIALS)
