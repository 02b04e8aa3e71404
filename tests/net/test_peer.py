"""A datagram socket that hears and speaks to one peer only."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from gateway.base.errors import ConnectFailed, HostError, InvalidInput
from gateway.net.peer import READ_BATCH, PeerSocket, on_link, open_datagram, put_datagram
from gateway.net.tasks import TaskRoom


def own_address() -> str:
    return f"127.24.{random.randrange(1, 255)}.{random.randrange(1, 255)}"


def test_what_is_on_a_network_of_ours() -> None:
    """What a router leads to is not; `endpoint/test_direct_network` has real ones of both."""
    assert on_link("127.0.0.1")
    assert on_link("::1")
    assert not on_link("198.51.100.77")


async def test_only_the_peer_is_heard() -> None:
    sock, other, stranger = (open_datagram(own_address()) for _ in range(3))
    with (
        PeerSocket(
            sock, other.getsockname(), refuses=lambda octets: octets == b"punch", kept=(b"early",)
        ) as peer,
        other,
        stranger,
    ):
        here = sock.getsockname()
        for _ in range(READ_BATCH * 2):
            put_datagram(stranger, b"not for you", here)
        put_datagram(other, b"punch", here)
        put_datagram(other, b"", here)
        put_datagram(other, b"hello", here)
        assert [await peer.receive() for _ in range(3)] == [b"early", b"", b"hello"]
        assert peer.send(b"answer")
        assert other.recv(100) == b"answer"
        assert "PeerSocket to 127." in repr(peer)


async def test_waiting_cancelling_and_closing() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    sock, other = open_datagram(own_address()), open_datagram(own_address())
    peer = PeerSocket(sock, other.getsockname())
    async with TaskRoom("test") as room:
        waiting = room.start(peer.receive(), name="receive")
        await asyncio.sleep(0)
        with pytest.raises(HostError, match="already"):
            await peer.receive()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        waiting = room.start(peer.receive(), name="receive")
        await asyncio.sleep(0)
        put_datagram(other, b"one", sock.getsockname())
        assert await waiting == b"one"
        waiting = room.start(peer.receive(), name="receive")
        await asyncio.sleep(0)
        peer.close()
        peer.close()
        with pytest.raises(HostError, match="closed"):
            await waiting
        with pytest.raises(HostError, match="closed"):
            peer.send(b"late")
        with pytest.raises(HostError, match="closed"):
            await peer.receive()
    other.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


async def test_a_peer_that_is_gone_does_not_end_the_connection() -> None:
    sock, other = open_datagram(own_address()), open_datagram(own_address())
    address = other.getsockname()
    other.close()
    with PeerSocket(sock, address) as peer:
        for _ in range(5):  # answered by ICMP
            peer.send(b"anybody there")
            await asyncio.sleep(0)
        back = open_datagram(address[0], address[1])
        with back:
            put_datagram(back, b"here again", sock.getsockname())
            assert await peer.receive() == b"here again"
        with pytest.raises(InvalidInput):
            peer.send(bytes(70_000))


async def test_an_address_of_somebody_else_is_said_in_words() -> None:
    with pytest.raises(ConnectFailed, match="No UDP socket"):
        open_datagram("192.0.2.1")
