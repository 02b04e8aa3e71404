"""Raw sockets and listeners over loopback."""

from __future__ import annotations

import asyncio
import socket

import pytest

from gateway.base.errors import ConnectFailed, HostError, TimedOut
from gateway.net import sockets
from gateway.net.listener import Listener, bind, source_of
from gateway.net.tasks import TaskRoom


async def _pair() -> tuple[socket.socket, socket.socket]:
    listening = bind("127.0.0.1", 0)
    host, port = listening.getsockname()
    ours = await sockets.connect(host, port)
    theirs, _ = await asyncio.get_running_loop().sock_accept(listening)
    theirs.setblocking(False)
    listening.close()
    return ours, theirs


async def test_reading_exactly_leaves_the_rest_in_the_socket() -> None:
    ours, theirs = await _pair()
    await sockets.send_all(theirs, b"0123456789abcdefREST")
    assert await sockets.read_exactly(ours, 16, 1) == b"0123456789abcdef"
    assert await sockets.receive(ours, 100) == b"REST"
    with pytest.raises(TimedOut):
        await sockets.read_exactly(ours, 1, 0.05)
    theirs.close()
    with pytest.raises(HostError, match="closed"):
        await sockets.read_exactly(ours, 1, 1)
    ours.close()


async def test_a_refused_port_is_a_sentence_with_host_and_port() -> None:
    free = bind("127.0.0.1", 0)
    port = free.getsockname()[1]
    free.close()
    with pytest.raises(ConnectFailed, match=rf"127\.0\.0\.1:{port} cannot be reached"):
        await sockets.connect("127.0.0.1", port)
    with pytest.raises(ConnectFailed, match="cannot be resolved"):
        await sockets.connect("no-such-host.invalid", 80)


async def test_reset_is_seen_as_reset() -> None:
    ours, theirs = await _pair()
    sockets.reset(ours)
    with pytest.raises(HostError, match="broke"):
        await sockets.receive(theirs, 1)
    theirs.close()


async def test_a_taken_port_says_so_and_leaves_nothing_bound() -> None:
    taken = bind("127.0.0.1", 0)
    port = taken.getsockname()[1]
    async with TaskRoom("t") as room:
        listener = Listener(room, lambda *_: None)
        with pytest.raises(HostError, match=f"Port {port} on 127.0.0.1 is taken"):
            listener.open(["::1", "127.0.0.1"], port)
        again = bind("::1", port)
        again.close()
    taken.close()


async def test_limits_close_what_is_too_much_and_count_again_after_release() -> None:
    accepted: list[socket.socket] = []
    async with TaskRoom("t") as room:
        listener = Listener(room, lambda sock, _peer: accepted.append(sock), limit=10, per_peer=2)
        ((host, port),) = listener.open(["127.0.0.1"], 0)
        clients = [await sockets.connect(host, port) for _ in range(3)]
        assert await sockets.receive(clients[2], 1) == b""
        assert listener.count == len(accepted) == 2
        assert listener.refused == 1
        listener.released("127.0.0.1")
        clients.append(await sockets.connect(host, port))
        await asyncio.sleep(0.05)
        assert listener.count == 2
        assert len(accepted) == 3
        listener.close()
        with pytest.raises(ConnectFailed):
            await sockets.connect(host, port)
    for sock in [*clients, *accepted]:
        sock.close()


async def test_this_machines_own_connections_are_counted_apart() -> None:
    accepted: list[str] = []
    kept: list[socket.socket] = []

    def take(sock: socket.socket, peer: str) -> None:
        accepted.append(peer)
        kept.append(sock)

    async with TaskRoom("t") as room:
        listener = Listener(room, take, limit=2, per_peer=1, own=2)
        address = listener.open(["127.13.0.1"], 0)[0]

        async def come(local: str) -> bool:
            before = len(accepted)
            sock = await sockets.connect(*address, local=(local, 0))
            kept.append(sock)
            async with asyncio.timeout(5):
                while len(accepted) == before and listener.refused == 0:
                    await asyncio.sleep(0.001)
            if len(accepted) > before:
                return True
            listener._refused = 0
            return False

        # The very address that it came to, and 127.0.0.1; others of 127/8 stand for strangers.
        assert [await come(one) for one in ("127.13.0.1", "127.0.0.1")] == [True, True]
        assert not await come("127.0.0.1")
        assert [await come(one) for one in ("127.13.0.2", "127.13.0.3")] == [True, True]
        assert not await come("127.13.0.2")
        assert not await come("127.13.0.4")
        assert listener.count == 4
        listener.released("127.13.0.1")
        assert await come("127.0.0.1")
        assert not await come("127.13.0.4")
        listener.released("127.13.0.3")
        assert await come("127.13.0.4")
        for peer in ("127.0.0.1", "127.0.0.1", "127.13.0.2", "127.13.0.4"):
            listener.released(peer)
        assert listener.count == 0
        listener.close()
    for sock in kept:
        sock.close()


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_what_counts_as_one_source(address: str, source: str) -> None:
    assert source_of(address) == source
