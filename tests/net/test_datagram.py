"""The datagram path with its real process: sightings, pairs, numbered datagrams, its death."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket

import pytest

from gateway.base.clock import SystemClock
from gateway.base.errors import Conflict, HostError
from gateway.net.datagram import (
    DatagramEndReason,
    DatagramLimits,
    DatagramPair,
    DatagramPath,
    Sighting,
    Spot,
    bind_datagram,
)
from gateway.net.tasks import TaskRoom
from gateway.wire.datagrams import endpoint_info

NUMBERED = 10_000
IN_FLIGHT = 8  # with 16,000 octets each they fit every receive buffer


def own_address() -> str:
    return f"127.21.{random.randrange(1, 255)}.{random.randrange(1, 255)}"


class World:
    """A path, what it saw, and sockets that are closed at the end."""

    def __init__(self, room: TaskRoom, limits: DatagramLimits | None = None) -> None:
        self.sightings: asyncio.Queue[Sighting] = asyncio.Queue()
        self.path = DatagramPath(room, SystemClock(), self.sightings.put_nowait, limits)
        self.sockets: list[socket.socket] = []

    def socket(self, host: str = "127.0.0.1") -> socket.socket:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.bind((host, 0))
        sock.setblocking(False)
        self.sockets.append(sock)
        return sock

    async def show(self, sock: socket.socket, to: tuple[str, int]) -> Spot:
        """Let a socket introduce itself; return where it was seen."""
        uid = os.urandom(16)
        self.path.expect(uid)
        sock.sendto(endpoint_info(uid, bytes(6)), to)
        async with asyncio.timeout(5):
            sighting = await self.sightings.get()
        assert sighting.datagram[1:17] == uid
        self.path.forget(uid)
        return sighting.spot

    async def meet(self, a: socket.socket, b: socket.socket, to: tuple[str, int]) -> DatagramPair:
        pair = self.path.join(await self.show(a, to), await self.show(b, to))
        async with asyncio.timeout(5):
            assert await pair.joined
        return pair


@contextlib.asynccontextmanager
async def world(
    *addresses: tuple[str, int], limits: DatagramLimits | None = None, when_asked: bool = False
):
    async with TaskRoom("test") as room:
        found = World(room, limits)
        await found.path.start(addresses or [(own_address(), 0)], when_asked=when_asked)
        try:
            yield found
        finally:
            await found.path.stop()
            for sock in found.sockets:
                sock.close()
        assert found.path.pairs == 0
        assert found.path.process_id is None


async def got(sock: socket.socket, seconds: float = 5.0) -> tuple[bytes, tuple[str, int]]:
    async with asyncio.timeout(seconds):
        data, source = await asyncio.get_running_loop().sock_recvfrom(sock, 65_536)
    return data, source[:2]


async def silent(*socks: socket.socket, seconds: float = 0.2) -> bool:
    await asyncio.sleep(seconds)
    for sock in socks:
        try:
            sock.recv(65_536)
        except BlockingIOError:
            continue
        return False
    return True


async def test_what_comes_while_the_process_starts_is_not_lost() -> None:
    """Every uid is told before the sockets are: the process reads what waits in them at once."""
    async with world(when_asked=True) as found:
        (to,) = found.path.addresses
        uids = {os.urandom(16) for _ in range(200)}
        sock = found.socket()
        for uid in uids:
            found.path.expect(uid)
            sock.sendto(endpoint_info(uid, bytes(6)), to)
        assert found.path.process_id is None
        async with asyncio.timeout(10):
            seen = {(await found.sightings.get()).datagram[1:17] for _ in uids}
        assert seen == uids


@pytest.mark.parametrize("host", ["", "::1", "0.0.0.0", "::"])
async def test_an_endpoint_is_sighted_and_a_pair_carries(host: str) -> None:
    async with world((host or own_address(), 0)) as found:
        to = found.path.addresses[0]
        if host == "0.0.0.0":
            to = (own_address(), to[1])
        elif host == "::":
            to = ("::1", to[1])
        local = "::1" if ":" in host else "127.0.0.1"
        a, b = found.socket(local), found.socket(local)
        pair = await found.meet(a, b, to)
        assert (str(pair.a.address), pair.a.port) == a.getsockname()[:2]
        a.sendto(b"from a", to)
        # Whatever the path is bound to, answers come from the address that was spoken to.
        assert await got(b) == (b"from a", to)
        b.sendto(b"", to)
        assert await got(a) == (b"", to)
        pair.kill()
        end = await pair.ended
        assert end.reason is DatagramEndReason.KILLED
        assert (end.octets_from_a, end.packets_from_a, end.packets_from_b) == (6, 1, 1)
        a.sendto(b"too late", to)
        assert await silent(a, b)


@pytest.mark.timeout_s(120)
@pytest.mark.parametrize(
    ("host", "bursts"), [("", False), ("", True), ("0.0.0.0", True), ("::1", True), ("::", True)]
)
async def test_numbered_datagrams_of_all_sizes_arrive_unchanged_both_ways(
    host: str, bursts: bool
) -> None:
    limits = DatagramLimits(pair_octets=1 << 40, total_octets=1 << 40)
    async with world((host or own_address(), 0), limits=limits) as found:
        to = found.path.addresses[0]
        to = {"0.0.0.0": own_address(), "::": "::1"}.get(host, to[0]), to[1]
        local = "::1" if ":" in host else "127.0.0.1"
        a, b = found.socket(local), found.socket(local)
        pair = await found.meet(a, b, to)
        draw = random.Random(7)
        sent = 0
        while sent < (NUMBERED if not host else NUMBERED // 10):
            size = draw.randint(1, 16_000)
            for source, destination in ((a, b), (b, a)):
                # Several of one size: the kernel may hand them over in one piece.
                count = min(IN_FLIGHT, 65_000 // size) if bursts else IN_FLIGHT
                packets = []
                for index in range(count):
                    length = size if bursts else draw.randint(1, 16_000)
                    number = (sent + index).to_bytes(4, "big")
                    packets.append((number * (length // 4 + 1))[:length])
                if bursts and size >= 4:
                    segment = (17, 103, size.to_bytes(2, "little"))
                    source.sendmsg([b"".join(packets)], [segment], 0, to)
                else:
                    for packet in packets:
                        source.sendto(packet, to)
                for packet in packets:
                    assert await got(destination) == (packet, to)
                sent += count
        assert await silent(a, b, seconds=0.05)
        pair.kill()
        end = await pair.ended
        assert end.packets_from_a + end.packets_from_b == sent
        assert end.dropped == 0


async def test_a_pair_across_two_families() -> None:
    async with world((own_address(), 0), ("::1", 0)) as found:
        four, six = found.path.addresses
        a, b = found.socket(), found.socket("::1")
        pair = found.path.join(await found.show(a, four), await found.show(b, six))
        assert await pair.joined
        a.sendto(b"to six", four)
        assert await got(b) == (b"to six", six)
        b.sendto(b"to four", six)
        assert await got(a) == (b"to four", four)


async def test_strangers_get_no_answer_and_no_sighting() -> None:
    async with world() as found:
        to = found.path.addresses[0]
        a, b, stranger = found.socket(), found.socket(), found.socket()
        uid = os.urandom(16)
        for datagram in (b"", b"x", bytes(1400), endpoint_info(uid, bytes(6)), b"\x58" + uid):
            stranger.sendto(datagram, to)
        await found.meet(a, b, to)  # what was sent before has been seen by now
        assert found.sightings.empty()
        stranger.sendto(b"hello", to)
        assert await silent(a, b, stranger)
        uid = os.urandom(16)
        found.path.expect(uid)
        for _ in range(3):
            stranger.sendto(endpoint_info(uid, bytes(6)), to)
        async with asyncio.timeout(5):
            await found.sightings.get()
        assert await silent(stranger)
        assert found.sightings.empty()
        found.path.forget(uid)
        found.path.forget(uid)


async def test_a_source_registered_anew_leaves_its_old_pair() -> None:
    async with world() as found:
        to = found.path.addresses[0]
        a, b, c = found.socket(), found.socket(), found.socket()
        first = await found.meet(a, b, to)
        second = await found.meet(a, c, to)
        assert (await first.ended).reason is DatagramEndReason.REPLACED
        a.sendto(b"anew", to)
        assert (await got(c))[0] == b"anew"
        b.sendto(b"not mapped any more", to)
        assert await silent(a, b)
        assert not second.ended.done()


async def test_pairs_beyond_the_limit_and_impossible_pairs_are_refused() -> None:
    async with world(limits=DatagramLimits(pairs=1)) as found:
        to = found.path.addresses[0]
        a, b, c, d = (found.socket() for _ in range(4))
        await found.meet(a, b, to)
        third, fourth = await found.show(c, to), await found.show(d, to)
        for one, other in ((third, fourth), (third, third)):
            pair = found.path.join(one, other)
            assert not await pair.joined
            assert (await pair.ended).reason is DatagramEndReason.REFUSED
        a.sendto(b"undisturbed", to)
        assert (await got(b))[0] == b"undisturbed"


async def test_idle_pairs_end() -> None:
    async with world(limits=DatagramLimits(idle=0.4)) as found:
        to = found.path.addresses[0]
        a, b = found.socket(), found.socket()
        pair = await found.meet(a, b, to)
        for _ in range(6):  # one direction keeps it alive
            await asyncio.sleep(0.1)
            a.sendto(b"alive", to)
        assert not pair.ended.done()
        async with asyncio.timeout(3):
            assert (await pair.ended).reason is DatagramEndReason.IDLE
        a.sendto(b"late", to)
        assert len([await got(b) for _ in range(6)]) == 6
        assert await silent(b)


async def test_pairs_and_expectations_outlive_the_process() -> None:
    async with world() as found:
        to = found.path.addresses[0]
        a, b, c = found.socket(), found.socket(), found.socket()
        pair = await found.meet(a, b, to)
        uid = os.urandom(16)
        found.path.expect(uid)
        before = found.path.process_id
        assert before is not None
        os.kill(before, signal.SIGKILL)
        async with asyncio.timeout(10):
            while found.path.process_id in (None, before):
                await asyncio.sleep(0.02)
        a.sendto(b"still here", to)
        assert (await got(b))[0] == b"still here"
        c.sendto(endpoint_info(uid, bytes(6)), to)
        async with asyncio.timeout(5):
            await found.sightings.get()
        assert not pair.ended.done()


async def test_it_says_which_port_is_taken_and_leaves_nothing() -> None:
    host = own_address()
    with bind_datagram(host, 0) as taken:
        port = taken.getsockname()[1]
        async with TaskRoom("test") as room:
            path = DatagramPath(room, SystemClock(), lambda _: None)
            with pytest.raises(HostError, match=f"UDP port {port} on {host} is taken"):
                await path.start([(host, 0), (host, port)])
            assert path.addresses == []
            await path.start([(host, 0)])
            with pytest.raises(Conflict):
                await path.start([(host, 0)])
            await path.stop()
            await path.stop()
