"""Cameras over direct connections: the tunnel, the limits and the cutting off are the same."""

from __future__ import annotations

import asyncio

import pytest

from gateway.cameras.sessions import SessionClosed
from gateway.endpoint.forward import LocalForward
from gateway.model.kinds import ConnectionMode
from tests.cameras.harness import CREDENTIALS, player, virtual_camera
from tests.cameras.rig import rig
from tests.cameras.test_bridge import ended, exchange

OPTIONS = b"OPTIONS rtsp://x/main RTSP/1.0\r\nCSeq: 1\r\n\r\n"


@pytest.mark.timeout_s(60)
async def test_ffmpeg_plays_and_a_playing_client_is_cut_off(tmp_path):
    async with virtual_camera(tmp_path) as camera, rig(tmp_path, direct=True) as bridge:
        await bridge.adopt(camera, CREDENTIALS)
        net = bridge.net
        user_id = await net.user(bridge.site_id, "Ann", "User")
        client, service_id = await bridge.client("Ann")
        forward = LocalForward(client, service_id, 554, room=net.room, datapath=net.datapath)
        address, port = forward.open("127.24.0.3")
        words = ("-rtsp_transport", "tcp", "-i", f"rtsp://{address}:{port}/main")
        code, out, said = await player(*words, "-frames:v", "30", "-f", "framemd5", "-")
        assert code == 0, said
        assert len([line for line in out.splitlines() if line and line[0] != "#"]) == 30
        assert net.relay.relayed == 0
        await bridge.until(lambda: not bridge.cameras.sessions())

        watching = net.room.start(player(*words, "-f", "null", "-"), name="watching")
        await bridge.until(lambda: bridge.view().viewers)
        await asyncio.sleep(0.5)  # it plays
        assert net.relay.relayed == 0
        began = asyncio.get_running_loop().time()
        await net.set_roles(bridge.site_id, user_id)
        await bridge.until(lambda: not bridge.cameras.sessions())
        assert asyncio.get_running_loop().time() - began < 1
        await watching
        await forward.close()
        closed = [each for each in bridge.told if isinstance(each, SessionClosed)]
        assert closed[0].session.octets_down > 10_000
        assert closed[-1].reason == "The right to this camera was taken away."


@pytest.mark.timeout_s(60)
async def test_a_session_ended_by_hand_closes_the_direct_socket(tmp_path):
    async with virtual_camera(tmp_path) as camera, rig(tmp_path, direct=True) as bridge:
        await bridge.adopt(camera, CREDENTIALS)
        client, service_id = await bridge.client()
        for number in (554, 8080):
            made = await client.connect_tcp(service_id, number)
            assert made.mode is ConnectionMode.P2P
            if number == 554:
                assert (await exchange(made.socket, OPTIONS)).startswith(b"RTSP/1.0 200")
            else:
                asking = b"GET /info.json HTTP/1.1\r\nHost: x\r\n\r\n"
                assert b'"state": "online"' in await exchange(made.socket, asking, b"}")
            (session,) = bridge.cameras.sessions()
            await bridge.cameras.end_session(session.id)
            await ended(made.socket)
            made.socket.close()
