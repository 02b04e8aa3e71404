"""Tunnels at rest: nothing waits for them, and nothing is different afterwards."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest

from gateway.cameras.rtsp_ground import SENTENCES
from gateway.cameras.rtsp_tunnel import RtspTunnel
from gateway.driverkit.errors import Unreachable
from gateway.driverkit.rtsp import Interleaved
from gateway.net.datapath import EndReason
from tests.cameras.harness import Gate, gate
from tests.cameras.player import Player
from tests.cameras.still import StillCamera, abort, still_camera


def frame(channel: int, payload: bytes) -> bytes:
    return Interleaved(channel, len(payload), payload).encode()


def picture(number: int) -> bytes:
    return frame(0, b"\x80\xe0" + number.to_bytes(2, "big") + bytes(100))


@dataclass
class Scene:
    camera: StillCamera
    gate: Gate
    player: Player

    @property
    def tunnel(self) -> RtspTunnel:
        return self.gate.tunnels[0]

    async def end(self):
        async with asyncio.timeout(10):
            return await self.gate.ends.get()

    async def rested(self) -> None:
        await until(lambda: self.tunnel.resting)


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def playing(*, operate: bool = False) -> AsyncIterator[Scene]:
    """A client that has said PLAY and gets one picture; the tunnel rests."""
    async with still_camera() as (camera, place), gate(place) as opened:
        opened.credentials = None
        opened.operate = operate
        async with Player(opened) as player:
            scene = Scene(camera, opened, player)
            await player.start()
            camera.say(picture(0))
            await player.watch(1)
            await scene.rested()
            yield scene


async def test_at_rest_no_task_and_no_timer_waits():
    async with playing() as scene:
        tasks = len(scene.gate.room)
        assert not [each for each in asyncio.all_tasks() if "dial" in each.get_name()]
        async with Player(scene.gate) as second:
            await second.start()
            await until(lambda: scene.gate.tunnels[1].resting)
            assert len(scene.gate.room) == tasks


async def test_requests_reports_and_media_go_on_after_rests():
    async with playing(operate=True) as scene:
        for number in range(1, 6):
            scene.camera.say(picture(number))
            scene.player.send("GET_PARAMETER")
            scene.camera.say(frame(1, b"report"))
            assert (await scene.player.ask("OPTIONS")).status == 200
            await scene.rested()
        scene.player._writer.write(frame(1, b"report"))
        async with asyncio.timeout(10):
            assert (await scene.camera.frames.get()).payload == b"report"
        assert not scene.tunnel.resting  # a while: who spoke may go on
        await scene.rested()
        scene.camera.say(picture(6))
        await scene.player.watch(1)
        assert scene.player.gaps == 0
        assert (await scene.player.ask("PAUSE")).status == 200
        assert not scene.tunnel.resting
        assert (await scene.player.ask("PLAY")).status == 200
        await scene.rested()
        assert (await scene.player.ask("TEARDOWN")).status == 200
        scene.player.close()
        end = await scene.end()
        assert end.reason == "The client ended the connection."
        assert end.octets_down == scene.player.octets
        assert end.octets_up == scene.tunnel.octets_up > 500


async def test_counts_are_known_at_rest():
    async with playing() as scene:
        scene.camera.say(picture(1))
        await scene.player.watch(1)
        await scene.gate.datapath.measure()
        assert scene.tunnel.octets_down == scene.player.octets
        assert scene.tunnel.octets_up > 300
        assert scene.tunnel.resting


async def test_an_end_by_hand_cuts_both_sides_and_takes_leave_of_the_camera():
    async with playing() as scene:
        loop = asyncio.get_running_loop()
        began = loop.time()
        scene.tunnel.end("The right was taken away.")
        with pytest.raises(ConnectionError):
            await scene.player.next()
        assert loop.time() - began < 1
        farewell = await scene.camera.saw("TEARDOWN")
        assert farewell.headers.get("Session") == "4711"
        end = await scene.end()
        assert end.reason == "The right was taken away."
        assert end.octets_down == scene.player.octets == scene.tunnel.octets_down
        assert end.fault is None
        scene.tunnel.end("once more")
        assert scene.gate.ends.empty()


async def test_a_client_that_says_no_more_still_sees_the_stream():
    async with playing() as scene:
        scene.player._writer.write_eof()
        await until(lambda: not scene.tunnel.resting)
        await scene.rested()  # there is nothing that it could say any more
        scene.camera.say(picture(1))
        await scene.player.watch(1)
        scene.camera.close()
        with pytest.raises(ConnectionError):
            await scene.player.next()
        assert (await scene.end()).reason == SENTENCES[EndReason.CLOSED]


async def test_a_client_that_is_reset_is_passed_on_as_a_reset():
    async with playing() as scene:
        abort(scene.player._writer)
        end = await scene.end()
        assert end.reason == SENTENCES[EndReason.B_RESET]
        assert end.fault is None
        async with asyncio.timeout(10):
            assert await scene.camera.ended.get() == "reset"


async def test_the_cameras_end_leaves_the_client_its_word():
    async with playing() as scene:
        scene.camera.close()
        with pytest.raises(ConnectionError):
            await scene.player.next()
        scene.player._writer.write(frame(1, b"report"))
        async with asyncio.timeout(10):
            assert (await scene.camera.frames.get()).payload == b"report"
        scene.player.close()
        end = await scene.end()
        assert end.reason == SENTENCES[EndReason.CLOSED]
        assert isinstance(end.fault, Unreachable)


async def test_a_camera_that_is_reset_is_passed_on_as_a_reset():
    async with playing() as scene:
        scene.camera.close(reset=True)
        with pytest.raises(ConnectionResetError):
            await scene.player.next()
        end = await scene.end()
        assert end.reason == SENTENCES[EndReason.A_RESET]
        assert isinstance(end.fault, Unreachable)


async def test_the_relay_process_is_lost():
    async with playing() as scene:
        datapath = scene.gate.datapath
        lost = datapath.process_id
        os.kill(lost, signal.SIGKILL)
        end = await scene.end()
        assert end.reason == SENTENCES[EndReason.RELAY_LOST]
        with pytest.raises(ConnectionError):
            await scene.player.next()
        await until(lambda: datapath.process_id not in (None, lost))


async def test_an_end_while_the_media_is_called_back():
    async with playing() as scene:
        scene.camera.silent = True
        scene.player.send("GET_PARAMETER")
        await scene.camera.saw("GET_PARAMETER")
        assert not scene.tunnel.resting
        scene.tunnel.end("Ended by hand.")
        assert (await scene.end()).reason == "Ended by hand."
        with pytest.raises(ConnectionError):
            await scene.player.next()


async def test_an_end_before_anything_was_said():
    async with still_camera() as (_, place), gate(place) as opened, Player(opened) as player:
        await until(lambda: opened.tunnels)
        opened.tunnels[0].end("The test says so.")
        with pytest.raises(ConnectionError):
            await player.next()
        async with asyncio.timeout(10):
            assert (await opened.ends.get()).reason == "The test says so."


async def test_many_rest_and_end_at_once():
    async with still_camera() as (_, place), gate(place) as opened, AsyncExitStack() as stack:
        opened.credentials = None
        players = [await stack.enter_async_context(Player(opened)) for _ in range(30)]
        for player in players:
            await player.start()
        await until(lambda: all(tunnel.resting for tunnel in opened.tunnels))
        for tunnel in opened.tunnels:
            tunnel.end("all at once")
        for player in players:
            with pytest.raises(ConnectionError):
                await player.next()
        await until(lambda: not opened.open)
        assert opened.datapath.pairs == 0
