"""How often a camera is asked whether it is there."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from tests.cameras.harness import CREDENTIALS, virtual_camera
from tests.cameras.rig import SETTINGS, rig
from tests.cameras.test_rtsp_playing import state_of


async def looks(camera) -> int:
    return (await state_of(camera))["methods"].get("OPTIONS", 0)


@pytest.mark.timeout_s(60)
async def test_clients_that_come_and_go_do_not_make_a_camera_busy(tmp_path):
    """At most one look within `health_seconds`, however many tunnels end."""
    rare = dataclasses.replace(SETTINGS, health_seconds=300)
    async with virtual_camera(tmp_path) as camera, rig(tmp_path, rare) as bridge:
        await bridge.adopt(camera, CREDENTIALS)
        (served,) = bridge.bridge.fleet.served
        client, service_id = await bridge.client()
        before = await looks(camera)
        for _ in range(10):
            made = await client.connect_tcp(service_id, 554)
            await bridge.until(bridge.cameras.sessions)
            made.socket.close()
            await bridge.until(lambda: not bridge.cameras.sessions())
        assert await looks(camera) == before

        # Octets flowed for a long time, so that nobody has asked: then the end is a reason to.
        served.health._looked -= 300
        made = await client.connect_tcp(service_id, 554)
        made.socket.close()
        async with asyncio.timeout(10):
            while await looks(camera) == before:
                await asyncio.sleep(0.05)
        assert await looks(camera) == before + 1
        served.health.hint()  # what discovery heard, or a person wants, is not delayed
        async with asyncio.timeout(10):
            while await looks(camera) == before + 1:
                await asyncio.sleep(0.05)
