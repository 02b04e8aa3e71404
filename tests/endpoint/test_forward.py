"""A local port leads to a camera, through the relay process or this one; refusals are explained."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.access.ports import RolesRule
from gateway.base.errors import GatewayError
from gateway.endpoint.errors import AccessDenied, PortUnreachable, refused
from gateway.endpoint.forward import LocalForward, explain
from gateway.endpoint.service import PortListener
from gateway.net import sockets
from tests.endpoint.softnet import softnet


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("in_process", [True, False])
async def test_octets_pass(tmp_path: Path, in_process: bool, direct: bool) -> None:
    async with softnet(tmp_path, direct=direct) as running:
        site = await running.site()
        service, _ = await running.online_service(site)
        client, heard = await running.online_client(site)
        await heard.until(lambda: any(found.online for found in client.services))
        running.room.start(_echo(service.listen(554)), name="echo")
        ended = asyncio.Event()
        forward = LocalForward(
            client,
            client.services[0].id,
            554,
            room=running.room,
            datapath=None if in_process else running.datapath,
            ended=ended.set,
        )
        address = forward.open(running.host)
        for _ in range(3):
            ended.clear()
            sock = await sockets.connect(*address)
            with sock:
                await sockets.send_all(sock, b"x" * 100_000)
                sockets.close_write(sock)
                assert await sockets.read_exactly(sock, 100_000, 5) == b"x" * 100_000
                assert await sockets.receive(sock, 1) == b""
                await ended.wait()
        # A connection that is open when the forward closes is cut.
        sock = await sockets.connect(*address)
        with sock:
            await sockets.send_all(sock, b"y")
            assert await sockets.read_exactly(sock, 1, 5) == b"y"
            await forward.close()
            with pytest.raises((GatewayError, AssertionError)):
                assert await sockets.receive(sock, 1) != b""


async def test_refused_programs_are_told(tmp_path: Path) -> None:
    async with softnet(tmp_path) as running:
        site = await running.site()
        service, _ = await running.online_service(site)
        await running.user(site, "Eve", "User")
        client, heard = await running.online_client(site, "Eve")
        await heard.until(lambda: any(found.online for found in client.services))
        service.listen(80, rule=RolesRule(("Administrator",)))
        errors: list[GatewayError] = []
        told: dict[int, bytes] = {}
        for port in (80, 81):
            forward = LocalForward(
                client, client.services[0].id, port, room=running.room, refused=errors.append
            )
            sock = await sockets.connect(*forward.open(running.host))
            with sock:
                await sockets.send_all(sock, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                answer = b""
                while part := await sockets.receive(sock, 4096):
                    answer += part
                told[port] = answer
            await forward.close()
        assert told[80].startswith(b"HTTP/1.1 403 Forbidden\r\n")
        assert told[81].startswith(b"HTTP/1.1 404 Not Found\r\n")
        assert [type(error) for error in errors] == [AccessDenied, PortUnreachable]


async def _echo(listener: PortListener) -> None:
    while True:
        incoming = await listener.accept()
        with incoming.socket as sock:
            try:
                while part := await sockets.receive(sock, 1 << 16):
                    await sockets.send_all(sock, part)
            except GatewayError:
                continue


@pytest.mark.parametrize(
    ("first", "code", "line"),
    [
        (b"OPTIONS * RTSP/1.0\r\nCSeq: 3\r\n\r\n", 112, b"RTSP/1.0 403 Forbidden\r\nCSeq: 3\r\n"),
        (b"OPTIONS * RTSP/1.0\r\ncseq:  4 \r\n\r\n", 121, b"RTSP/1.0 404 Not Found\r\nCSeq: 4\r\n"),
        (b"OPTIONS * RTSP/1.0\r\n\r\n", 115, b"RTSP/1.0 503 Service Unavailable\r\nContent"),
        (b"GET / HTTP/1.0\r\n\r\n", 250, b"HTTP/1.0 503 Service Unavailable\r\nContent"),
        (b"\x16\x03\x01 TLS", 112, b""),
        (b"", 112, b""),
        (b"OPTIONS " + b"x" * 5000 + b" RTSP/1.0\r\n\r\n", 112, b""),
    ],
)
def test_explanations(first: bytes, code: int, line: bytes) -> None:
    answer = explain(first, refused(code))
    assert answer.startswith(line)
    assert bool(answer) is bool(line)
    if answer:
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"Content-Length: %d" % len(body) in head
