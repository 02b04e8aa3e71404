from __future__ import annotations

import asyncio
import io

import pytest

from gateway.cameras.http.proxy import BODY_MAX
from gateway.cameras.live import CameraState
from tests.cameras.http.pages import HOST, browser, front


async def test_a_page_with_our_login_and_none_of_theirs():
    async with front("proxy") as opened, browser() as client:
        sent = {
            "Authorization": "Basic Zm9v", "Cookie": "cam7.sid=mine; cam8.sid=other; sid=plain",
            "X-Forwarded-For": "1.2.3.4", "Connection": "keep-alive, X-Drop", "X-Drop": "1",
            "Accept-Language": "de",
        }  # fmt: skip
        async with client.get(opened.url + "/a/b?x=1&y=%20", headers=sent) as answer:
            assert answer.status == 200
            assert await answer.text() == "page of /a/b?x=1&y=%20"
            assert "WWW-Authenticate" not in answer.headers
            assert "X-Private" not in answer.headers
            assert "Strict-Transport-Security" not in answer.headers
            assert answer.headers.getall("Set-Cookie") == [
                "cam7.sid=abc; path=/; HttpOnly; SameSite=Strict",
                "cam7.lang=de; HttpOnly; SameSite=Strict",
            ]
        (got,) = opened.pages.headers
        assert got["Host"] == f"{HOST}:{opened.pages.port}"
        assert got["Authorization"].startswith("Digest ")
        assert got["Cookie"] == "sid=mine"
        assert got["Accept-Language"] == "de"
        assert not {"X-Forwarded-For", "X-Drop"} & got.keys()


async def test_bodies_survive_the_login():
    async with front("proxy") as opened, browser() as client:
        origin = {"Origin": opened.url, "Referer": opened.url + "/page?secret=1"}
        async with client.post(opened.url + "/set", data=b"k=v" * 100, headers=origin) as answer:
            assert answer.status == 200
        assert opened.pages.bodies == [b"k=v" * 100]
        camera = f"http://{HOST}:{opened.pages.port}"
        assert opened.pages.headers[0]["Origin"] == camera
        assert opened.pages.headers[0]["Referer"] == camera + "/page"
        for octets, status in ((BODY_MAX, 200), (BODY_MAX + 1, 413)):
            large = io.BytesIO(b"x" * octets)
            async with client.post(opened.url + "/set", data=large) as answer:
                assert answer.status == status
        assert [len(body) for body in opened.pages.bodies] == [300, BODY_MAX]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, 403),
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example:80"}, 421),
        ({"Upgrade": "websocket", "Connection": "Upgrade"}, 501),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Host": "localhost:8080"}, 200),
        ({"Host": "[::1]:8080"}, 200),
        ({"Host": "cameras.local"}, 200),
    ],
)
async def test_other_pages_cannot_ride_on_our_login(headers, status):
    async with front("proxy") as opened, browser() as client:
        async with client.get(opened.url + "/", headers=headers) as answer:
            assert answer.status == status
        assert bool(opened.pages.requests) is (status == 200)


async def test_it_is_no_open_proxy():
    async with front("proxy") as opened:
        address, _, port = opened.url.removeprefix("http://").partition(":")
        for line in (
            b"GET http://127.0.0.1:1/ HTTP/1.1", b"CONNECT 127.0.0.1:22 HTTP/1.1",
            b"TRACE / HTTP/1.1", b"OPTIONS * HTTP/1.1",
        ):  # fmt: skip
            reader, writer = await asyncio.open_connection(address, int(port))
            writer.write(line + b"\r\nHost: 127.0.0.1\r\n\r\n")
            assert (await reader.readline()).split()[1] in (b"405", b"400")
            writer.close()
        assert not opened.pages.requests


async def test_redirects_stay_on_the_camera():
    async with front("proxy") as opened, browser() as client:
        own_place = f"http://{HOST}:{opened.pages.port}/login?x=1#top"
        for place, told in ((own_place, "/login?x=1#top"), ("next", "/to/next")):
            async with client.get(
                opened.url + "/to/", params={"place": place}, allow_redirects=False
            ) as answer:
                assert (answer.status, answer.headers["Location"]) == (302, told)
        for place in ("http://evil.example/", "ftp://x/", f"//10.0.0.1:{opened.pages.port}/"):
            async with client.get(
                opened.url + "/to/", params={"place": place}, allow_redirects=False
            ) as answer:
                assert answer.status == 503
                assert "Location" not in answer.headers


async def test_a_stream_flows_with_back_pressure_and_ends_with_the_client():
    async with front("proxy") as opened, browser() as client:
        answer = await client.get(opened.url + "/stream")
        assert answer.content_type == "multipart/x-mixed-replace"
        assert len(await answer.content.readexactly(500_000)) == 500_000
        before = -1
        while before != opened.pages.sent:  # until every buffer between is full
            before = opened.pages.sent
            await asyncio.sleep(0.5)
        assert before < 40_000_000
        answer.close()
        async with asyncio.timeout(5):
            assert (await opened.ends.get()).octets_down >= 0
            while opened.pages.streaming.is_set():
                await asyncio.sleep(0.05)


async def test_a_refused_login_asks_nobody_for_another():
    async with front("proxy") as opened, browser() as client:
        opened.pages.refusing = True
        async with client.get(opened.url + "/") as answer:
            assert answer.status == 503
            assert "WWW-Authenticate" not in answer.headers
        opened.camera.set_state(CameraState.FOREIGN, "Another device answers.")
        async with client.get(opened.url + "/") as answer:
            assert "Another device" in await answer.text()
    assert not opened.pages.requests
