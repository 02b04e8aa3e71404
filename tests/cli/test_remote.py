"""`softnet-remote` as people run it: a program of its own against a real server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.access.ports import RolesRule
from gateway.base.secret import Secret
from gateway.cli import remote
from gateway.endpoint.service import PortListener
from gateway.net import sockets
from gateway.registry import members
from tests.endpoint.softnet import Softnet, softnet

JPEG = b"\xff\xd8" + bytes(range(256)) * 200 + b"\xff\xd9"


@contextlib.asynccontextmanager
async def program(
    *arguments: str, password: Secret | None = None, **more: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {**os.environ, **more}
    environment.pop("SOFTNET_PASSWORD", None)
    if password is not None:
        environment["SOFTNET_PASSWORD"] = password.reveal()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.cli.remote", *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def ran(*arguments: str, password: Secret | None = None) -> tuple[int, str, str]:
    async with program(*arguments, password=password) as process:
        out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()


async def _answer_rtsp(listener: PortListener) -> None:
    while True:
        incoming = await listener.accept()
        with incoming.socket as sock:
            await sockets.receive(sock, 4096)
            await sockets.send_all(sock, b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n")
            sockets.close_write(sock)
            while await sockets.receive(sock, 4096):
                pass


async def _answer_http(listener: PortListener, *, chunked: bool) -> None:
    while True:
        incoming = await listener.accept()
        with incoming.socket as sock:
            request = await sockets.receive(sock, 4096)
            head = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
            if request.startswith(b"GET /snapshot.jpg HTTP/1.1\r\n"):
                head = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n"
                if chunked:
                    half = len(JPEG) // 2
                    head += b"Transfer-Encoding: chunked\r\n\r\n"
                    for part in (JPEG[:half], JPEG[half:]):
                        head += b"%x\r\n%s\r\n" % (len(part), part)
                    head += b"0\r\n\r\n"
                else:
                    head += b"Content-Length: %d\r\n\r\n%s" % (len(JPEG), JPEG)
            await sockets.send_all(sock, head)


async def _dial(port: int, request: bytes) -> bytes:
    sock = await sockets.connect("127.0.0.1", port)
    with sock:
        await sockets.send_all(sock, request)
        answer = b""
        while part := await sockets.receive(sock, 4096):
            answer += part
        return answer


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def _cameras(running: Softnet) -> tuple[int, str, Secret]:
    site = await running.site()
    door, _ = await running.online_service(site, "Front Door")
    yard, _ = await running.online_service(site, "Back Yard")
    await running.service_account(site, "Garage")
    door_rtsp = door.listen(554, rule=RolesRule(("Administrator", "User")))
    running.room.start(_answer_rtsp(door_rtsp), name="rtsp")
    running.room.start(_answer_http(door.listen(8080), chunked=False), name="http")
    running.room.start(_answer_http(yard.listen(8080), chunked=True), name="http")
    uri, password = await running.client_account(site)
    return site, uri, password


async def test_list(tmp_path: Path) -> None:
    async with softnet(tmp_path) as running:
        _, uri, password = await _cameras(running)
        code, out, err = await ran("list", uri, password=password)
        assert (code, err) == (0, "")
        assert [line.split()[1] for line in out.splitlines()] == [
            "CAMERA", "Front", "Back", "Garage",
        ]  # fmt: skip
        assert [line.split()[-2:] for line in out.splitlines()[1:3]] == [["online", "1.0"]] * 2
        assert out.splitlines()[3].split()[1:] == ["Garage", "offline"]
        file = tmp_path / "password"
        file.write_text(password.reveal() + "\n")
        code, out, err = await ran("list", uri, "--password-file", str(file), "--json")
        assert (code, err) == (0, "")
        shown = json.loads(out)
        assert shown["user"] == {"name": "Owner", "roles": ["Administrator"], "guest": False}
        assert [one["name"] for one in shown["services"]] == ["Front Door", "Back Yard", "Garage"]


async def test_the_ways_to_stay_out(tmp_path: Path) -> None:
    async with softnet(tmp_path) as running:
        site, uri, password = await _cameras(running)
        code, out, err = await ran("list", uri, password=Secret("wrong"))
        assert (code, out) == (remote.EXIT_NOT_ADMITTED, "")
        assert err == "softnet-remote: The password is wrong. Ask the owner for a new one.\n"
        code, out, err = await ran("forward", uri, password=Secret("wrong"))
        assert (code, out) == (remote.EXIT_NOT_ADMITTED, "")
        assert err == "softnet-remote: The password is wrong. Ask the owner for a new one.\n"
        code, _, err = await ran("list", uri, "--service-type", "Lamp", password=password)
        assert code == remote.EXIT_PARKED
        assert "another service type" in err
        await running.user(site, "Eve", "User")
        eve, eve_password = await running.client_account(site, "Eve")
        code, _, err = await ran(
            "snapshot", eve, "--service", "Garage", "-o", "x", "--wait", "1", password=eve_password
        )
        assert code == remote.EXIT_REFUSED
        assert "The camera Garage is not online." in err
        code, _, err = await ran("snapshot", eve, "-o", "x", password=eve_password)
        assert code == remote.EXIT_REFUSED
        assert "Front Door, Back Yard, Garage" in err
        nobody = uri.replace(running.host, "127.16.0.1")
        code, _, err = await ran("list", nobody, "--wait", "1", password=password)
        assert code == remote.EXIT_FAULT
        assert "cannot be reached" in err
        code, _, err = await ran("list", uri)
        assert code == remote.EXIT_USAGE
        assert "SOFTNET_PASSWORD" in err


async def test_snapshot(tmp_path: Path) -> None:
    async with softnet(tmp_path) as running:
        _, uri, password = await _cameras(running)
        for camera in ("Front Door", "back yard"):
            file = tmp_path / f"{camera}.jpg"
            code, out, err = await ran(
                "snapshot", uri, "--service", camera, "-o", str(file), password=password
            )
            assert (code, out, err) == (0, "", "")
            assert file.read_bytes() == JPEG
        assert sorted(path.suffix for path in tmp_path.iterdir() if "jpg" in path.name) == [
            ".jpg",
            ".jpg",
        ]


async def test_forward(tmp_path: Path) -> None:
    async with softnet(tmp_path) as running:
        _, uri, password = await _cameras(running)
        port = _free_port()
        async with program(
            "forward", uri, "--service", "Front Door", "--port", str(port), password=password
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            line = (await process.stdout.readline()).decode()
            assert line == f"Front Door  rtsp://127.0.0.1:{port}/main\n"
            assert b"online as Owner (Administrator)" in await process.stderr.readline()
            answer = await _dial(port, b"OPTIONS rtsp://x/main RTSP/1.0\r\nCSeq: 1\r\n\r\n")
            assert answer.startswith(b"RTSP/1.0 200 OK")
            # The server goes and comes back; the program finds it again by itself.
            await running.tracker.stop()
            assert b"trying again" in await process.stderr.readline()
            running.tracker = running.new_tracker()
            await running.tracker.start()
            assert b"online as Owner" in await process.stderr.readline()
            for _ in range(50):  # the service has a connection of its own to find again
                answer = await _dial(port, b"OPTIONS rtsp://x/main RTSP/1.0\r\nCSeq: 7\r\n\r\n")
                if answer.startswith(b"RTSP/1.0 200 OK"):
                    break
                assert answer.startswith(b"RTSP/1.0 503 Service Unavailable\r\nCSeq: 7\r\n")
                await asyncio.sleep(0.05)
            assert answer.startswith(b"RTSP/1.0 200 OK")
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0


async def test_a_refused_player_is_told_why(tmp_path: Path) -> None:
    async with softnet(tmp_path) as running:
        site, _, _ = await _cameras(running)
        eve = await running.user(site, "Eve", "Operator")
        uri, password = await running.client_account(site, "Eve")
        async with program(
            "forward", uri, "--json", "--once", "--service", "Front Door", password=password
        ) as process:
            assert process.stdout is not None
            status = json.loads(await process.stdout.readline())
            assert status == {"event": "status", "status": "online"}
            told = json.loads(await process.stdout.readline())
            answer = await _dial(
                told["port"], b"DESCRIBE rtsp://x/main RTSP/1.0\r\nCSeq: 12\r\n\r\n"
            )
            assert answer.startswith(b"RTSP/1.0 403 Forbidden\r\nCSeq: 12\r\n")
            refused = json.loads(await process.stdout.readline())
            assert (refused["event"], refused["code"]) == ("refused", 112)
            assert await process.wait() == remote.EXIT_REFUSED
        await running.registry.write(lambda tx: members.delete_user(tx, eve))


@pytest.mark.parametrize(
    "arguments",
    [
        ["list", "http://somewhere"],
        ["list", "softnet-srv://00112233-4455-6677-8899-aabbccddeeff@x"],
        ["list", "softnet-m://abcd@x", "--password-file", "/nonexistent"],
        ["forward", "softnet-m://abcd@x", "--port", "0"],
        ["list"],
    ],
)
def test_wrong_usage(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOFTNET_PASSWORD", raising=False)
    try:
        code = remote.main(arguments)
    except SystemExit as error:
        code = int(str(error.code))
    assert code == remote.EXIT_USAGE
