from __future__ import annotations

import asyncio

from gateway.cameras.http import own
from gateway.cameras.live import CameraState
from gateway.cameras.settings import CameraSettings
from gateway.driverkit.errors import CredentialsRefused
from gateway.net import sockets
from tests.cameras.http.pages import CREDENTIALS, HOST, JPEG, browser, front


async def test_one_picture_for_all_who_ask_within_two_seconds():
    async with front("own") as opened, browser() as client:

        async def fetch() -> bytes:
            async with client.get(opened.url + "/snapshot.jpg") as answer:
                assert answer.status == 200
                assert answer.content_type == "image/jpeg"
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                return await answer.read()

        assert set(await asyncio.gather(*(fetch() for _ in range(8)))) == {JPEG}
        assert await fetch() == JPEG
        assert opened.pages.pictures == 1


async def test_the_cache_ends():
    settings = CameraSettings(allow_loopback=True, snapshot_seconds=0.0)
    async with front("own", settings) as opened, browser() as client:
        for _ in range(2):
            async with client.get(opened.url + "/snapshot.jpg") as answer:
                assert answer.status == 200
        assert opened.pages.pictures == 2


async def test_facts_tell_no_address_and_other_paths_are_not_there():
    async with front("own") as opened, browser() as client:
        opened.camera.set_state(CameraState.OFFLINE, f"{HOST}:554 cannot be reached.")
        async with client.get(opened.url + "/info.json") as answer:
            text = await answer.text()
            facts = await answer.json()
        assert (facts["name"], facts["maker"], facts["state"]) == ("Door", "Softnet", "offline")
        assert HOST not in text
        for path in ("/", "/live.mp4", "/snapshot.jpg/..%2finfo.json", "/info.jso"):
            async with client.get(opened.url + path) as answer:
                assert answer.status == 404
        async with client.post(opened.url + "/info.json") as answer:
            assert answer.status == 405
        async with client.head(opened.url + "/info.json") as answer:
            assert (answer.status, await answer.read()) == (200, b"")
        assert own.PATHS == ("/snapshot.jpg", "/info.json")


async def test_a_refused_login_is_said_and_never_repeated():
    async with front("own") as opened, browser() as client:
        opened.pages.refusing = True
        for _ in range(3):
            async with client.get(opened.url + "/snapshot.jpg") as answer:
                assert answer.status == 503
                assert "refused" in await answer.text()
                assert "WWW-Authenticate" not in answer.headers
        assert opened.camera.state is CameraState.REFUSED
        assert CREDENTIALS.password.reveal() not in opened.camera.reason
        opened.camera.set_state(CameraState.ONLINE)
        assert opened.camera.state is CameraState.REFUSED
        await opened.camera.ask_anew()
        opened.pages.refusing = False
        async with client.get(opened.url + "/snapshot.jpg") as answer:
            assert answer.status == 200
    opened.camera.blame(CredentialsRefused("no"))
    assert opened.camera.barred() == "no"


async def test_silent_slow_and_nonsensical_clients():
    settings = CameraSettings(allow_loopback=True, first_octet_seconds=1.0)
    async with front("own", settings) as opened:
        address, _, port = opened.url.removeprefix("http://").partition(":")
        for octets in (b"", b"GET /info.js"):
            sock = await sockets.connect(address, int(port))
            await sockets.send_all(sock, octets)
            assert await sockets.receive(sock, 100) == b""
            assert "asked nothing" in (await opened.ends.get()).reason
            sock.close()
        sock = await sockets.connect(address, int(port))
        await sockets.send_all(sock, b"\x16\x03\x01\x00\xff\r\n\r\n")
        assert (await sockets.receive(sock, 100)).startswith(b"HTTP/1.0 400")
        sock.close()
        await opened.ends.get()


async def test_a_cut_ends_it_at_once():
    async with front("own") as opened, browser() as client:
        async with client.get(opened.url + "/info.json") as answer:
            assert answer.status == 200
        opened.carriers[0].end("The right was taken away.")
        async with asyncio.timeout(1):
            end = await opened.ends.get()
        assert end.reason == "The right was taken away."
        assert end.octets_down > 50
