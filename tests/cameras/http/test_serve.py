"""The carrier's own duties: it ends at once, once, and with the first reason."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from gateway.cameras.http.serve import HttpCarrier
from gateway.cameras.sessions import SessionEnd
from gateway.cameras.settings import CameraSettings
from gateway.net import sockets
from gateway.net.listener import Listener
from gateway.net.tasks import TaskRoom
from tests.cameras.http.pages import front

REASON = "The right was taken away."
SETTINGS = CameraSettings(allow_loopback=True, first_octet_seconds=60.0)


@asynccontextmanager
async def carried(
    handle=None, settings: CameraSettings = SETTINGS
) -> AsyncIterator[tuple[socket.socket, HttpCarrier, asyncio.Queue[SessionEnd]]]:
    """A client and the carrier of its connection, not yet started."""
    came: asyncio.Queue[socket.socket] = asyncio.Queue()
    ends: asyncio.Queue[SessionEnd] = asyncio.Queue()

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text="here")

    async with TaskRoom("test") as room:
        listener = Listener(room, lambda sock, _: came.put_nowait(sock))
        address, port = listener.open(["127.36.0.4"], 0)[0]
        with await sockets.connect(address, port) as client:
            carrier = HttpCarrier(await came.get(), handle or answer, settings=settings, room=room)
            carrier.note = ends
            yield client, carrier, ends
        listener.close()


def over(carrier: HttpCarrier, end: SessionEnd) -> None:
    carrier.note.put_nowait(end)


async def gone(sock: socket.socket) -> None:
    with contextlib.suppress(sockets.HostError):
        while await sockets.receive(sock, 65536):
            pass


@pytest.mark.parametrize("turns", [None, 0, 1, 2, 5])
async def test_an_end_before_the_first_request_is_told_at_once_with_its_reason(turns):
    async with carried() as (client, carrier, ends), asyncio.timeout(10):
        if turns is None:
            carrier.end(REASON)
        carrier.start(over)
        for _ in range(turns or 0):
            await asyncio.sleep(0)
        carrier.end(REASON)
        carrier.end("a later one")
        await gone(client)
        assert (await ends.get()).reason == REASON
        assert ends.empty()


async def test_a_client_that_takes_nothing_of_an_answer_is_cut_off():
    async def large(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(bytes(1 << 20))

    settings = CameraSettings(allow_loopback=True, stall_seconds=1.0)
    async with carried(large, settings) as (client, carrier, ends), asyncio.timeout(25):
        carrier.start(over)
        await sockets.send_all(client, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await ends.get()).reason == "The client ended the connection."


async def test_a_client_that_goes_without_a_word_is_forgotten_at_once():
    async with front("own", SETTINGS) as opened, asyncio.timeout(10):
        address, _, port = opened.url.removeprefix("http://").partition(":")
        (await sockets.connect(address, int(port))).close()
        assert (await opened.ends.get()).reason == "The client ended the connection."
