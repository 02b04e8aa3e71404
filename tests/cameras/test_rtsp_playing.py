"""Requests while media flows, cuts, faults: by a player that checks every frame."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import aiohttp
import pytest

from gateway.cameras.settings import CameraSettings
from gateway.driverkit.errors import CredentialsRefused, Unreachable
from tests.cameras.harness import gate, virtual_camera
from tests.cameras.player import Player


async def state_of(camera) -> dict:
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{camera['control_port']}/"
        async with session.get(url) as answer:
            return await answer.json()


@pytest.mark.timeout_s(60)
async def test_requests_while_playing_lose_not_an_octet(tmp_path):
    async with (
        virtual_camera(tmp_path, "--fps", "30") as camera,
        gate(camera) as opened,
        AsyncExitStack() as stack,
    ):
        player = await stack.enter_async_context(Player(opened))
        await player.start()
        for number in range(12):
            await player.watch(4)
            method = ("GET_PARAMETER", "OPTIONS")[number % 2]
            assert (await player.ask(method)).status == 200
        assert opened.tunnels[0]._pair is not None  # the media is not ours to touch
        # A player that does not wait for its answers, and one that asks for what it may not have.
        several = [player.send("GET_PARAMETER") for _ in range(5)]
        await player.watch(20)
        assert [answer.cseq for answer in player.answers[-5:]] == several
        assert (await player.ask("ANNOUNCE")).status == 405
        assert (await player.ask("RECORD")).status == 405
        assert (await player.ask("BREW")).status == 501
        await player.watch(10)
        assert player.gaps == 0
        assert (await player.ask("PAUSE")).status == 200
        assert (await player.ask("GET_PARAMETER")).status == 200
        player._last = None
        assert (await player.ask("PLAY")).status == 200
        await player.watch(30)
        assert player.gaps == 0
        assert player.frames[1] > 0
        assert (await player.ask("TEARDOWN")).status == 200
        methods = (await state_of(camera))["methods"]
        player.close()
        end = await opened.ends.get()
        assert end.octets_down == player.octets
        assert methods.keys() <= {
            "OPTIONS", "DESCRIBE", "SETUP", "PLAY", "PAUSE", "TEARDOWN", "GET_PARAMETER",
        }  # fmt: skip


@pytest.mark.timeout_s(60)
async def test_a_client_that_just_leaves_frees_the_camera(tmp_path):
    async with (
        virtual_camera(tmp_path) as camera,
        gate(camera) as opened,
        AsyncExitStack() as stack,
    ):
        player = await stack.enter_async_context(Player(opened))
        await player.start()
        await player.watch(5)
        assert (await state_of(camera))["sessions"] == 1
        player._writer.transport.abort()
        assert "client" in (await opened.ends.get()).reason
        async with asyncio.timeout(5):
            while (await state_of(camera))["sessions"]:
                await asyncio.sleep(0.05)


@pytest.mark.timeout_s(60)
async def test_a_cut_closes_both_sides_at_once(tmp_path):
    async with (
        virtual_camera(tmp_path) as camera,
        gate(camera) as opened,
        AsyncExitStack() as stack,
    ):
        player = await stack.enter_async_context(Player(opened))
        await player.start()
        await player.watch(5)
        loop = asyncio.get_running_loop()
        began = loop.time()
        opened.tunnels[0].end("The right was taken away.")
        with pytest.raises(ConnectionError):
            await player.watch(1000)
        assert loop.time() - began < 1
        end = await opened.ends.get()
        assert end.reason == "The right was taken away."
        assert end.octets_down > 1000
        player.close()


@pytest.mark.timeout_s(60)
@pytest.mark.parametrize(
    ("faults", "status", "reason"),
    [
        ("wrong_password", 503, "refused the user name"),
        ("garbage", 502, "does not speak RTSP"),
        ("busy", 453, "Not Enough"),
        ("slow=30", 504, "too long"),
        ("refuse", 503, "The camera"),
    ],
)
async def test_faults_of_the_camera_are_told_in_words(tmp_path, faults, status, reason):
    async with (
        virtual_camera(tmp_path, "--faults", faults) as camera,
        gate(camera) as opened,
        AsyncExitStack() as stack,
    ):
        opened.settings = CameraSettings(answer_seconds=1.0)
        player = await stack.enter_async_context(Player(opened))
        answer = await player.ask("DESCRIBE")
        if faults == "busy":
            transport = ("Transport", "RTP/AVP/TCP;unicast;interleaved=0-1")
            answer = await player.ask("SETUP", transport, url="rtsp://x/main/track0")
        assert answer.status == status
        assert reason in answer.reason
        player.close()
        end = await opened.ends.get()
        assert isinstance(end.fault, CredentialsRefused) is (faults == "wrong_password")
        if faults == "wrong_password":
            assert (await state_of(camera))["logins_refused"] == 1


@pytest.mark.timeout_s(60)
async def test_silent_and_flooding_clients_and_a_silent_camera(tmp_path):
    async with (
        virtual_camera(tmp_path) as camera,
        gate(camera) as opened,
        AsyncExitStack() as stack,
    ):
        opened.settings = CameraSettings(
            first_octet_seconds=1.0, silence_seconds=5.0, answer_seconds=1.0
        )
        silent = await stack.enter_async_context(Player(opened))
        with pytest.raises(ConnectionError):
            await silent.next()
        assert "said nothing" in (await opened.ends.get()).reason
        flood = await stack.enter_async_context(Player(opened))
        with pytest.raises(ConnectionError):
            for _ in range(200):
                await flood.ask("OPTIONS")
        assert "floods" in (await opened.ends.get()).reason
        async with aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{camera['control_port']}/faults"
            player = await stack.enter_async_context(Player(opened))
            await player.start()
            await player.watch(3)
            async with session.post(url, data="stall") as answer:
                assert answer.status == 200
        with pytest.raises(ConnectionError):
            await player.watch(10_000)
        end = await opened.ends.get()
        assert end.reason == "The camera fell silent."
        assert isinstance(end.fault, Unreachable)
        for each in (silent, flood, player):
            each.close()
