"""Two sockets joined inside this process: octets, half-close, back-pressure, breaks."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from gateway.net import sockets
from gateway.net.copy import CHUNK, CopyEnd, copy_both
from gateway.net.tasks import TaskRoom


async def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.setblocking(False)
        dialled = await sockets.connect("127.0.0.1", listening.getsockname()[1])
        accepted, _ = listening.accept()
    accepted.setblocking(False)
    return dialled, accepted


async def _rest(sock: socket.socket) -> bytes:
    parts = []
    while part := await sockets.receive(sock, 1 << 18):
        parts.append(part)
    return b"".join(parts)


async def test_both_ways_with_half_close() -> None:
    left, a = await tcp_pair()
    right, b = await tcp_pair()
    with left, right:
        async with TaskRoom("test") as room:
            copying = room.start(copy_both(a, b, room), name="copy")
            sent = os.urandom(3 << 20)
            sending = room.start(sockets.send_all(left, sent), name="send")
            assert await sockets.read_exactly(right, len(sent), 10) == sent
            await sending
            sockets.close_write(left)
            assert await _rest(right) == b""
            await sockets.send_all(right, b"answer")
            sockets.close_write(right)
            assert await _rest(left) == b"answer"
            assert await copying == CopyEnd(len(sent), 6, orderly=True)
            assert a.fileno() == b.fileno() == -1


async def test_a_reader_that_stops_stops_the_writer() -> None:
    left, a = await tcp_pair()
    right, b = await tcp_pair()
    with left, right:
        async with TaskRoom("test") as room:
            copying = room.start(copy_both(a, b, room), name="copy")
            taken = 0
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    while True:
                        await sockets.send_all(left, bytes(CHUNK))
                        taken += CHUNK
            assert taken < 64 << 20
            copying.cancel()
            with pytest.raises(asyncio.CancelledError):
                await copying
            assert a.fileno() == b.fileno() == -1


async def test_a_break_resets_the_other_side() -> None:
    left, a = await tcp_pair()
    right, b = await tcp_pair()
    with right:
        async with TaskRoom("test") as room:
            copying = room.start(copy_both(a, b, room), name="copy")
            await sockets.send_all(left, b"x")
            assert await sockets.read_exactly(right, 1, 5) == b"x"
            sockets.reset(left)
            with pytest.raises(ConnectionResetError):
                await asyncio.get_running_loop().sock_recv(right, 1)
            end = await copying
            assert not end.orderly
