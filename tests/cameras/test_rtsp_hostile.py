"""Tunnels whose sides mean harm: floods, stalls, ends at odd moments, faults in our own parts."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from gateway.base.clock import SystemClock
from gateway.cameras.rtsp import RtspMediator
from gateway.cameras.rtsp_ground import LOAD_MAX, TunnelGround
from gateway.cameras.rtsp_memo import REQUEST_LOAD
from gateway.cameras.rtsp_tunnel import RtspTunnel
from gateway.cameras.sessions import SessionEnd
from gateway.cameras.settings import CameraSettings
from gateway.driverkit.digest import Algorithm, LoginAnswerer
from gateway.driverkit.login_gate import LoginGate
from gateway.net import sockets
from tests.cameras.harness import CREDENTIALS, Gate, gate
from tests.cameras.player import Player
from tests.cameras.still import still_camera
from tests.cameras.test_rtsp_rest import frame, picture, playing, until

OPTIONS = b"OPTIONS rtsp://x/main RTSP/1.0\r\nCSeq: 1\r\n\r\n"
FLOOD = "floods the camera"


async def ended(opened: Gate) -> SessionEnd:
    async with asyncio.timeout(20):
        return await opened.ends.get()


class BrokenEntropy:
    """Works for so many draws and then no more, as a machine without random numbers would."""

    def __init__(self, draws: int) -> None:
        self.draws = draws

    def octets(self, count: int) -> bytes:
        self.draws -= 1
        if self.draws < 0:
            raise OSError("no entropy")
        return os.urandom(count)


async def test_who_is_ended_before_the_start_is_told_of_all_the_same():
    async with still_camera() as (_, place), gate(place) as opened:
        ours, theirs = socket.socketpair()
        mediator = RtspMediator(
            place=opened.place, login=None, operate=False, first_cseq=1, session_id="x"
        )
        ground = TunnelGround(
            dial=opened.dial, datapath=opened.datapath, settings=opened.settings,
            clock=SystemClock(), room=opened.room,
        )  # fmt: skip
        tunnel = RtspTunnel(ours, mediator, ground)
        tunnel.end("too late")
        ends: asyncio.Queue[SessionEnd] = asyncio.Queue()
        tunnel.start(lambda _, end: ends.put_nowait(end))
        assert ends.empty()  # never within a call
        async with asyncio.timeout(5):
            assert (await ends.get()).reason == "too late"
        assert theirs.recv(1) == b""
        theirs.close()


@pytest.mark.parametrize(
    "flood",
    [
        OPTIONS * 350,
        OPTIONS.replace(b"OPTIONS", b"RECORD") * 350,  # never asks the camera
        frame(1, b"") * (2 * LOAD_MAX),  # has no place to go
        b"RTSP/1.0 200 OK\r\n\r\n" * 500,
    ],
    ids=["requests", "refused", "frames", "answers"],
)
async def test_what_comes_in_one_piece_is_counted_as_well(flood):
    async with still_camera() as (camera, place), gate(place) as opened:
        opened.credentials = None
        async with Player(opened) as player:
            player._writer.write(flood)
            end = await ended(opened)
        assert FLOOD in end.reason
        assert camera.asked.qsize() <= LOAD_MAX // REQUEST_LOAD + 1


async def test_a_flood_while_media_flows_is_counted_across_rests():
    async with playing(operate=True) as scene:
        lost = frame(9, bytes(8)) * (LOAD_MAX // 3)
        for _ in range(2):
            scene.player._writer.write(lost + frame(1, bytes(8)))
            async with asyncio.timeout(20):
                await scene.camera.frames.get()
            await scene.rested()
        scene.player._writer.write(lost * 2)
        assert FLOOD in (await ended(scene.gate)).reason


async def test_speech_is_no_flood():
    async with playing(operate=True) as scene:
        scene.player._writer.write(frame(1, bytes(160)) * (2 * LOAD_MAX))
        async with asyncio.timeout(20):
            for _ in range(2 * LOAD_MAX):
                await scene.camera.frames.get()
        assert (await scene.player.ask("OPTIONS")).status == 200


async def test_a_fault_of_ours_at_the_farewell_keeps_nobody():
    offers = LoginGate(CREDENTIALS, realm="r", entropy=BrokenEntropy(9), offers=(Algorithm.MD5,))
    async with still_camera() as (camera, place), gate(place) as opened:
        opened.credentials = None
        entropy = BrokenEntropy(9)
        login = LoginAnswerer(CREDENTIALS, entropy=entropy)
        login.challenged(offers.challenges(stale=False), answered=False)
        async with Player(opened) as player, Player(opened) as second:
            await until(lambda: len(opened.tunnels) == 2)
            for tunnel in opened.tunnels:
                tunnel._state.mediator._login = login
            for each in (player, second):
                await each.start()
            await until(lambda: all(tunnel.resting for tunnel in opened.tunnels))
            entropy.draws = 0
            for tunnel in opened.tunnels:
                tunnel.end("The right was taken away.")
            for each in (player, second):
                assert (await ended(opened)).reason == "The right was taken away."
                with pytest.raises(ConnectionError):
                    await each.next()
        assert camera.ended.qsize() <= 2


async def small_client(opened: Gate) -> socket.socket:
    """Return a client that takes little, set up but not playing."""
    client = sockets.make(socket.AF_INET, sockets.SocketOptions(receive_buffer=8196))
    await asyncio.get_running_loop().sock_connect(client, (opened.address, opened.port))
    head = "{} rtsp://x/main{} RTSP/1.0\r\nCSeq: {}\r\n{}\r\n"
    transport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
    for asked in (("DESCRIBE", "", 1, ""), ("SETUP", "/track0", 2, transport)):
        await sockets.send_all(client, head.format(*asked).encode())
        assert b"200 OK" in await sockets.receive(client, 65536)
    return client


async def test_a_camera_that_pushes_before_play_waits_for_a_client_that_takes_nothing():
    async with still_camera() as (camera, place), gate(place) as opened:
        opened.credentials = None
        opened.settings = CameraSettings(allow_loopback=True, stall_seconds=2.0)
        client = await small_client(opened)
        for _ in range(400):
            camera.say(picture(1) * 400)  # 16 MB
        end = await ended(opened)
        assert end.reason == "The other side took nothing for too long."
        assert end.octets_down < 8_000_000
        client.close()


async def test_a_client_that_takes_a_little_all_the_time_is_not_stalled():
    async with still_camera() as (camera, place), gate(place) as opened:
        opened.credentials = None
        opened.settings = CameraSettings(allow_loopback=True, stall_seconds=2.5)
        client = await small_client(opened)
        tunnel = opened.tunnels[0]
        talk = tunnel._state
        out = socket.socket(fileno=os.dup(talk.client))
        out.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
        out.close()
        for _ in range(20):
            camera.say(frame(0, bytes(60_000)))
        await until(lambda: talk._for_client)
        size = 0
        for _ in range(25):
            size += len(await sockets.receive(client, 2048))
            await asyncio.sleep(0.2)
        assert opened.ends.empty()
        assert 2000 < size < 60_000  # all the time it was one and the same frame
        client.close()
