"""Sessions whose tunnels rest: rights, pages, notices and the gateway's own end as ever."""

from __future__ import annotations

import asyncio
import re

import pytest

from gateway.cameras.rtsp_tunnel import RtspTunnel
from gateway.cameras.sessions import REVOKED, STOPPING, SessionClosed
from gateway.net import sockets
from tests.cameras.harness import CREDENTIALS, virtual_camera
from tests.cameras.rig import Rig, rig
from tests.cameras.test_bridge import ended, exchange
from tests.cameras.test_rtsp_playing import state_of


async def play(bridge: Rig, client, service_id: int):
    """Return the socket of a client that plays, its tunnel at rest."""
    before = set(tunnels(bridge))
    sock = (await client.connect_tcp(service_id, 554)).socket
    head = "{} rtsp://x/main{} RTSP/1.0\r\nCSeq: {}\r\n{}\r\n"
    got = await exchange(sock, head.format("DESCRIBE", "", 1, "").encode(), b"track0\r\n")
    assert got.startswith(b"RTSP/1.0 200")
    transport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
    got = await exchange(sock, head.format("SETUP", "/track0", 2, transport).encode())
    session = re.search(rb"Session: (\w+)", got)[1].decode()
    await sockets.send_all(sock, head.format("PLAY", "", 3, f"Session: {session}\r\n").encode())
    async with asyncio.timeout(20):
        while not [each for each in tunnels(bridge) if each not in before and each.resting]:
            await asyncio.sleep(0.02)
        while len(await sockets.receive(sock, 65536)) < 500:
            pass  # until the camera's encoder has begun
    return sock


def tunnels(bridge: Rig) -> list[RtspTunnel]:
    book = bridge.bridge.fleet.book
    sessions = [each for mine in book._sessions.values() for each in mine.values()]
    return [each.carrier for each in sessions if isinstance(each.carrier, RtspTunnel)]


def closed(bridge: Rig) -> list[SessionClosed]:
    return [each for each in bridge.told if isinstance(each, SessionClosed)]


@pytest.mark.timeout_s(60)
async def test_who_loses_the_right_is_cut_within_a_second_and_the_camera_told(tmp_path):
    async with virtual_camera(tmp_path) as camera, rig(tmp_path) as bridge:
        await bridge.adopt(camera, CREDENTIALS)
        user_id = await bridge.net.user(bridge.site_id, "Bob", "User")
        client, service_id = await bridge.client("Bob")
        sock = await play(bridge, client, service_id)
        (view,) = bridge.cameras.sessions()
        assert (view.user, view.port) == ("Bob", 554)
        await bridge.net.datapath.measure()
        (tunnel,) = tunnels(bridge)
        assert tunnel.octets_down > 1000
        assert tunnel.resting
        before = (await state_of(camera))["methods"].get("TEARDOWN", 0)  # the driver's
        await bridge.net.set_roles(bridge.site_id, user_id)
        async with asyncio.timeout(1):
            await ended(sock)
        await bridge.until(lambda: not bridge.cameras.sessions())
        (over,) = closed(bridge)
        assert over.reason == REVOKED
        assert over.session.octets_down > 1000
        assert over.session.octets_up > 200
        async with asyncio.timeout(5):
            while (await state_of(camera))["sessions"]:
                await asyncio.sleep(0.05)
        assert (await state_of(camera))["methods"]["TEARDOWN"] == before + 1
        rows = [row for row in await bridge.audit() if row[0].startswith("camera.")]
        assert [row[0] for row in rows][-2:] == ["camera.open", "camera.close"]
        assert f"down={over.session.octets_down}" in rows[-1][2]
        assert bridge.view().viewers == 0
        sock.close()


@pytest.mark.timeout_s(60)
async def test_two_rest_one_is_ended_by_the_owner_one_by_the_gateways_end(tmp_path):
    async with virtual_camera(tmp_path) as camera, rig(tmp_path) as bridge:
        await bridge.adopt(camera, CREDENTIALS)
        client, service_id = await bridge.client()
        first, second = [await play(bridge, client, service_id) for _ in range(2)]
        assert bridge.view().viewers == 2
        one, _ = bridge.cameras.sessions()
        await bridge.cameras.end_session(one.id)
        async with asyncio.timeout(1):
            await ended(first)
        await bridge.until(lambda: bridge.view().viewers == 1)
        assert bridge.view().state == "online"
        await bridge.bridge.stop()
        async with asyncio.timeout(1):
            await ended(second)
        reasons = [each.reason for each in closed(bridge)]
        assert reasons == ["The owner ended the connection.", STOPPING]
        rows = [detail for action, _, detail in await bridge.audit() if action == "camera.close"]
        assert len(rows) == 2
        for each in (first, second):
            each.close()


@pytest.mark.timeout_s(60)
async def test_a_camera_that_streams_is_not_asked_besides(tmp_path):
    async with virtual_camera(tmp_path) as camera, rig(tmp_path) as bridge:
        await bridge.adopt(camera, CREDENTIALS)
        client, service_id = await bridge.client()
        sock = await play(bridge, client, service_id)

        async def drain() -> None:
            while await sockets.receive(sock, 65536):
                pass

        taking = bridge.net.room.start(drain(), name="drain")
        before = (await state_of(camera))["methods"]["OPTIONS"]
        await asyncio.sleep(5 * bridge.settings.health_seconds)
        assert (await state_of(camera))["methods"]["OPTIONS"] <= before + 1
        taking.cancel()
        sock.close()
