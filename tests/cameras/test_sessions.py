from __future__ import annotations

import asyncio

import pytest

from gateway.base.errors import NotFound
from gateway.cameras.sessions import TURNED_AWAY_MAX
from gateway.cameras.settings import CameraSettings
from gateway.net import sockets
from tests.cameras.harness import CREDENTIALS, virtual_camera
from tests.cameras.rig import SETTINGS, rig
from tests.cameras.test_bridge import ended, exchange

OPTIONS = b"OPTIONS rtsp://x/main RTSP/1.0\r\nCSeq: 1\r\n\r\n"


@pytest.mark.timeout_s(60)
async def test_a_camera_takes_only_so_many_viewers(tmp_path):
    settings = CameraSettings(
        allow_loopback=True, viewers_per_camera=1, health_seconds=SETTINGS.health_seconds
    )
    async with virtual_camera(tmp_path) as camera, rig(tmp_path, settings) as bridge:
        await bridge.adopt(camera, CREDENTIALS)
        client, service_id = await bridge.client()
        first = (await client.connect_tcp(service_id, 554)).socket
        assert (await exchange(first, OPTIONS)).startswith(b"RTSP/1.0 200")
        second = (await client.connect_tcp(service_id, 554)).socket
        assert (await exchange(second, OPTIONS)).startswith(b"RTSP/1.0 453 This camera serves as")
        await ended(second)
        # The gateway's own port is counted for itself, and so it answers.
        web = (await client.connect_tcp(service_id, 8080)).socket
        got = await exchange(web, b"GET /info.json HTTP/1.1\r\nHost: x\r\n\r\n", b"}")
        assert b'"state": "online"' in got
        assert camera["address"].encode() not in got
        (watching,) = [each for each in bridge.cameras.sessions() if each.port == 554]
        await bridge.cameras.end_session(watching.id)
        await ended(first)
        await bridge.until(lambda: not bridge.view().viewers)
        third = (await client.connect_tcp(service_id, 554)).socket
        assert (await exchange(third, OPTIONS)).startswith(b"RTSP/1.0 200")
        with pytest.raises(NotFound):
            await bridge.cameras.end_session("no number")
        for each in (first, second, third, web):
            each.close()


@pytest.mark.timeout_s(60)
async def test_who_is_turned_away_takes_nobodys_place(tmp_path):
    settings = CameraSettings(
        allow_loopback=True, viewers_per_camera=1, viewers=4,
        health_seconds=SETTINGS.health_seconds,
    )  # fmt: skip
    async with virtual_camera(tmp_path) as camera, rig(tmp_path, settings) as bridge:
        await bridge.adopt(camera, CREDENTIALS)
        client, service_id = await bridge.client()
        first = (await client.connect_tcp(service_id, 554)).socket
        assert (await exchange(first, OPTIONS)).startswith(b"RTSP/1.0 200")
        silent = [
            (await client.connect_tcp(service_id, 554)).socket for _ in range(TURNED_AWAY_MAX)
        ]
        await bridge.until(lambda: len(bridge.cameras.sessions()) == TURNED_AWAY_MAX + 1)
        assert bridge.view().viewers == 1
        # Others still come in, and who is one too many is not even told why.
        web = (await client.connect_tcp(service_id, 8080)).socket
        got = await exchange(web, b"GET /info.json HTTP/1.1\r\nHost: x\r\n\r\n", b"}")
        assert b'"state": "online"' in got
        beyond = (await client.connect_tcp(service_id, 554)).socket
        async with asyncio.timeout(5):
            await ended(beyond)
        assert [row[0] for row in await bridge.audit()][-1] == "camera.refuse"
        silent.pop().close()
        await bridge.until(lambda: len(bridge.cameras.sessions()) == TURNED_AWAY_MAX + 1)
        told = (await client.connect_tcp(service_id, 554)).socket
        assert (await exchange(told, OPTIONS)).startswith(b"RTSP/1.0 453 This camera serves as")
        for each in (first, *silent, web, beyond, told):
            each.close()


@pytest.mark.timeout_s(60)
async def test_the_last_of_several_roles_decides(tmp_path):
    async with virtual_camera(tmp_path) as camera, rig(tmp_path) as bridge:
        await bridge.adopt(camera, CREDENTIALS)
        net = bridge.net
        user_id = await net.user(bridge.site_id, "Bob", "Administrator", "Operator")
        client, service_id = await bridge.client("Bob")
        watching = (await client.connect_tcp(service_id, 554)).socket
        pages = (await client.connect_tcp(service_id, 80)).socket
        assert (await exchange(watching, OPTIONS)).startswith(b"RTSP/1.0 200")
        got = await exchange(pages, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"\r\n\r\n")
        # A camera known by its address only has no pages that the gateway knows of.
        assert got.startswith(b"HTTP/1.1 503")
        await net.set_roles(bridge.site_id, user_id, "Operator")
        async with asyncio.timeout(1):
            await ended(pages)
        await bridge.until(lambda: [each.port for each in bridge.cameras.sessions()] == [554])
        await sockets.send_all(watching, OPTIONS.replace(b"CSeq: 1", b"CSeq: 2"))
        assert b"CSeq: 2" in await sockets.receive(watching, 4096)
        # Without Operator the connection would still take SET_PARAMETER: it ends and may come anew.
        await net.set_roles(bridge.site_id, user_id, "User")
        async with asyncio.timeout(1):
            await ended(watching)
        again = (await client.connect_tcp(service_id, 554)).socket
        got = await exchange(again, OPTIONS.replace(b"OPTIONS", b"SET_PARAMETER"))
        assert got.startswith(b"RTSP/1.0 405")
        for each in (watching, pages, again):
            each.close()
