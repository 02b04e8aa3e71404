"""Host, origin, forgery, headers, limits: what every request passes, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path

import aiohttp
import pytest

from gateway.model.kinds import Authority
from gateway.registry import clients
from gateway.web import answers, gate, problems
from gateway.web.settings import WebSettings
from tests.web.callers import PASSWORD, Program
from tests.web.rig import ADDRESS, add_owner, build_site, open_rig

POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "


async def test_other_names_are_refused(tmp_path: Path):
    """A page elsewhere may have its name lead to this box; the box does not answer by it."""
    async with open_rig(tmp_path) as rig, aiohttp.ClientSession() as session:
        for host, known in (
            ("evil.example", False), (f"evil.example:{rig.port}", False), ("8.8.8.8", False),
            ("127.0.0.1.evil.example", False), ("[::2]", False), ("", False),
            ("localhost", True), (f"LOCALHOST:{rig.port}", True), (ADDRESS, True),
            (f"{ADDRESS}:{rig.port}", True), ("127.0.0.1", True), ("gateway.example", True),
        ):  # fmt: skip
            for path in ("/setup", "/api/v1/status", "/nothing"):
                async with session.get(rig.url + path, headers={"Host": host}) as answer:
                    assert (answer.status != 421) == known, (host, path, answer.status)


async def test_configured_names_are_known(tmp_path: Path):
    settings = WebSettings(bind_addresses=(ADDRESS,), port=0, host_names=("cams.example", "box"))
    async with open_rig(tmp_path, settings=settings) as rig, aiohttp.ClientSession() as session:
        for host in ("cams.example", "box", "box.local", "CAMS.EXAMPLE:8080"):
            async with session.get(rig.url + "/setup", headers={"Host": host}) as answer:
                assert answer.status == 200, host


async def test_health_answers_whoever_asks(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        browser = rig.browser()
        status, text, _ = await browser.get("/health", headers={"Host": "monitor.example"})
        assert (status, json.loads(text)["status"]) == (200, "ok")
        await browser.close()


async def test_every_answer_carries_the_headers(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        browser = rig.browser()
        await browser.claim(rig.code)
        for path in ("/cameras", "/nothing", "/health", "/api/v1/status", "/static/app.css",
                     "/sign-in", "/api/v1/nothing"):  # fmt: skip
            _, _, headers = await browser.get(path)
            assert headers["Content-Security-Policy"].startswith(POLICY), path
            assert "unsafe" not in headers["Content-Security-Policy"]
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["X-Frame-Options"] == "DENY"
            assert headers["Server"] == "softnet-gateway"
            if not path.startswith("/static"):
                assert headers["Cache-Control"] == "no-store", path
        await browser.close()


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "http://["}, False),
        ({"Origin": "OWN"}, True),
    ],
)
async def test_changes_come_from_our_own_pages_only(tmp_path: Path, headers, passes):
    async with open_rig(tmp_path) as rig:
        browser = rig.browser()
        await browser.claim(rig.code)
        given = {key: rig.url if value == "OWN" else value for key, value in headers.items()}
        status, text, _ = await browser.post("/domains", {"name": "New"}, headers=given)
        assert (status == 303) == passes, text
        if not passes:
            assert status == 403
        await browser.close()


async def test_a_form_without_its_token_is_refused(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        browser = rig.browser()
        await browser.claim(rig.code)
        token = browser.csrf
        for csrf in ("", "0" * 64, token[:-1], token.upper() + "é"):
            browser.csrf = csrf
            status, text, _ = await browser.post("/domains", {"name": "New"})
            assert (status, "too old" in text) == (403, True)
        browser.csrf = token
        assert (await browser.post("/domains", {"name": "New"}))[0] == 303
        await browser.close()


async def test_a_browsers_api_calls_need_the_token_and_json(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        browser = rig.browser()
        await browser.claim(rig.code)
        url, session = f"{rig.url}/api/v1/domains", browser.session
        async with session.post(url, json={"name": "x"}) as answer:
            assert answer.status == 403
        good = {"X-CSRF-Token": browser.csrf}
        async with session.post(url, json={"name": "x"}, headers=good) as answer:
            assert answer.status == 201
        for data, kind in ((b'{"name":"x"}', "text/plain"), (b"name=x", "application/x-www-form")):
            async with session.post(
                url, data=data, headers={**good, "Content-Type": kind}
            ) as answer:
                assert answer.status == 415
                assert answer.content_type == problems.PROBLEM_TYPE
        await browser.close()


async def test_multipart_and_json_are_no_forms(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        browser = rig.browser()
        await browser.claim(rig.code)
        form = aiohttp.FormData({"csrf": browser.csrf, "name": "x"}, default_to_multipart=True)
        async with browser.session.post(f"{rig.url}/domains", data=form) as answer:
            assert answer.status == 415
        await browser.close()


async def test_bodies_are_bounded(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        program = Program(rig.url, rig.token)
        await add_owner(rig.registry, "first", Authority.ADMINISTRATOR)
        rig.server.desk.claimed = True
        status, problem = await program.call("POST", "/domains", {"name": "x" * answers.BODY_MAX})
        assert (status, problem["type"]) == (413, "urn:softnet-gateway:problem:too-large")
        for bad in ("[" * 5000, '{"name":', "[]", '"x"', "nope"):
            async with program.session.post(
                f"{program.url}/domains", data=bad, headers={"Content-Type": "application/json"}
            ) as answer:
                assert answer.status == 422
        await program.close()


async def test_problems_are_rfc_9457(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        browser = rig.browser()
        await browser.claim(rig.code)
        program = Program(rig.url, rig.token)
        status, problem = await program.call(
            "PUT", "/sites/1/description", {"description": "x" * 97}
        )
        assert status == 422
        assert problem["field"] == "description"
        assert problem["status"] == 422
        assert problem["detail"].endswith("characters.")
        status, problem = await program.call("GET", "/sites/99")
        assert (status, problem["title"]) == (404, "Not found")
        assert (await program.call("PATCH", "/sites/1"))[0] == 405
        assert (await program.call("GET", "/sites/1x"))[0] == 404
        assert (await program.call("GET", f"/sites/{'9' * 30}"))[0] == 404
        status, problem = await program.call("PUT", "/sites/1/enabled", {"enabled": 1, "more": 2})
        assert (status, problem["field"]) == (422, "more")
        await program.close()
        await browser.close()


async def test_a_bad_token_is_told_so(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        browser = rig.browser()
        await browser.claim(rig.code)
        for header in ("Bearer nope", "Basic eDp5", "Bearer", f"Bearer {'x' * 300}"):
            status, _, headers = await browser.get(
                "/api/v1/status", headers={"Authorization": header}
            )
            assert status == 401
            assert headers["WWW-Authenticate"].startswith("Bearer")
        await browser.close()


async def test_an_own_client_does_not_open_a_foreign_sites_page(tmp_path: Path):
    """The page that answers a form is authorized by itself, not by what the form changes."""
    async with open_rig(tmp_path) as rig:
        browser = rig.browser()
        await browser.claim(rig.code)
        other = await add_owner(rig.registry, "other", Authority.PROVIDER)
        _, mine, user = await rig.registry.write(lambda tx: build_site(tx, 1, "Mine"))
        _, foreign, _ = await rig.registry.write(lambda tx: build_site(tx, other, "SecretPlace"))
        client = await rig.registry.write(lambda tx: clients.add(tx, mine, user, 1))
        status, text, _ = await browser.post(f"/sites/{foreign}/clients/{client.id}/password")
        assert status == 404
        assert "Alison" not in text
        kept = await rig.registry.read(lambda reader: clients.get(reader, client.id))
        assert not kept.has_password
        await browser.close()


@pytest.mark.timeout_s(60)
async def test_silent_and_slow_connections_are_dropped(tmp_path: Path):
    settings = WebSettings(bind_addresses=(ADDRESS,), port=0, silence_max=1, connections_max=16)
    async with open_rig(tmp_path, settings=settings) as rig:
        silent = [await asyncio.open_connection(ADDRESS, rig.port) for _ in range(60)]
        for number, (_, writer) in enumerate(silent):
            writer.write([b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: loc"][number % 3])
        for reader, writer in silent:
            async with asyncio.timeout(20):
                with contextlib.suppress(ConnectionResetError):  # a reset is an end as well
                    assert await reader.read() == b""
            writer.close()
        reader, writer = await asyncio.open_connection(ADDRESS, rig.port)
        writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        body = (await reader.read()).partition(b"\r\n\r\n")[2]
        assert json.loads(body)["status"] == "ok"
        writer.close()


async def test_garbage_is_answered_and_forgotten(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        for garbage in (b"\x00\xff" * 400 + b"\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
                        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n",
                        b"GET / HTTP/1.1\r\nX: " + b"b" * 20000 + b"\r\n\r\n"):  # fmt: skip
            reader, writer = await asyncio.open_connection(ADDRESS, rig.port)
            writer.write(garbage)
            async with asyncio.timeout(10):
                assert (await reader.read(12)).startswith((b"HTTP/1.1 4", b"HTTP/1.0 4", b""))
            writer.close()
        browser = rig.browser()
        assert (await browser.get("/health"))[0] == 200
        await browser.close()


def test_names_of_ones_own():
    assert gate.own_names("Box", "cams.example", "[fe80::1]", "") == {
        "localhost", "box", "box.local", "cams.example", "fe80::1",
    }  # fmt: skip


def test_a_password_is_never_in_a_problem():
    shown = problems.problem_of(problems.BadRequest("x", 400, "y")).document()
    assert PASSWORD not in json.dumps(shown)
