"""The door to the relay process: ownership, order, pressure, death and restart."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvloop

from gateway.base.clock import SystemClock
from gateway.base.errors import Conflict, InvalidInput
from gateway.net import datapath, splice_control
from gateway.net.datapath import EARLY_MAX, DataPath, EndReason, Pair, PairEnd, PairLimits
from gateway.net.tasks import TaskRoom
from tests.net.splice_rig import close_pairs, read_all, read_exact, send_blob, tcp_pair


@contextlib.asynccontextmanager
async def data_path() -> AsyncIterator[DataPath]:
    """A running data path; the process must be gone and no descriptor left afterwards."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    async with TaskRoom("test") as room:
        path = DataPath(room, SystemClock())
        await path.start()
        process = path.process_id
        try:
            yield path
        finally:
            await path.stop()
            close_pairs()
        assert path.process_id is None
        assert path.pairs == 0
        assert not Path(f"/proc/{process}").exists()
    await asyncio.sleep(0)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def joined(path: DataPath, **options) -> tuple[Pair, socket.socket, socket.socket]:
    far_a, near_a = tcp_pair()
    far_b, near_b = tcp_pair()
    pair = path.join(near_a, near_b, **options)
    assert near_a.fileno() == near_b.fileno() == -1, "the sockets belong to the data path now"
    return pair, far_a, far_b


async def exchange(a: socket.socket, b: socket.socket) -> None:
    for one, other in ((a, b), (b, a)):
        one.sendall(b"ping")
        assert await asyncio.to_thread(read_exact, other, 4) == b"ping"


async def test_joined_sockets_carry_both_ways_and_tell_their_end() -> None:
    async with data_path() as path:
        pair, a, b = joined(path)
        await exchange(a, b)
        digest = await asyncio.to_thread(send_blob, a, 100_000)
        assert digest
        assert len(await asyncio.to_thread(read_all, b)) == 100_000
        assert not pair.ended.done()
        b.shutdown(socket.SHUT_WR)
        end = await pair.wait()
        assert (end.octets_forward, end.octets_back) == (100_004, 4)
        assert end.reason is EndReason.CLOSED
        assert path.pairs == 0
        pair.kill()  # of what has ended: nothing


async def test_the_end_is_told_once_with_the_callers_note() -> None:
    told: list[tuple[Pair, PairEnd]] = []
    async with data_path() as path:
        pair, a, _ = joined(path, tell=lambda *end: told.append(end), note="whose")
        assert not pair.over
        pair.kill()
        end = await pair.wait()
        assert await pair.ended is end  # asked for when it was over already
        assert pair.over
        assert told == [(pair, end)]
        assert pair.note == "whose"
        a.close()
        closed, there = tcp_pair()
        closed.close()
        refused = path.join(closed, there, tell=lambda *end: told.append(end))
        assert len(told) == 1, "a caller hears of an end before it has the pair"
        await asyncio.sleep(0)
        assert told[1][0] is refused
        assert told[1][1].reason is EndReason.REFUSED


async def test_early_octets_of_any_size_come_first() -> None:
    async with data_path() as path:
        early = os.urandom(EARLY_MAX)
        pair, a, b = joined(path, early_a=early, early_b=b"hello")
        a.sendall(b"late")
        assert await asyncio.to_thread(read_exact, b, EARLY_MAX + 4) == early + b"late"
        assert await asyncio.to_thread(read_exact, a, 5) == b"hello"
        _, near = tcp_pair()
        with pytest.raises(InvalidInput):
            path.join(near, near, early_b=early + b"x")
        assert near.fileno() >= 0
        pair.kill()
        assert (await pair.wait()).reason is EndReason.KILLED


async def test_kill_is_prompt_and_reaches_both_ends() -> None:
    async with data_path() as path:
        pair, a, b = joined(path)
        await exchange(a, b)
        began = time.monotonic()
        pair.kill()
        for far in (a, b):
            with pytest.raises(ConnectionResetError):
                await asyncio.to_thread(far.recv, 1)
        assert time.monotonic() - began < 0.1


def read_slowly(sock: socket.socket, count: int) -> bytes:
    parts: list[bytes] = []
    while count:
        parts.append(sock.recv(min(count, 32768)))
        assert parts[-1]
        count -= len(parts[-1])
        time.sleep(0.0005)
    return b"".join(parts)


async def test_reclaim_loses_and_doubles_nothing_while_data_flows() -> None:
    stream = b"".join(index.to_bytes(4, "big") for index in range(2_000_000))
    async with data_path() as path:
        source, near_source = tcp_pair()
        destination, near_destination = tcp_pair()
        writer = asyncio.create_task(asyncio.to_thread(source.sendall, stream))
        got = asyncio.create_task(asyncio.to_thread(read_slowly, destination, len(stream)))
        carried = turns = 0
        # Hand over, take back and read a little ourselves, again and again.
        near_source.setblocking(False)
        near_destination.setblocking(False)
        loop = asyncio.get_running_loop()
        while carried < len(stream) // 2:
            turns += 1
            taken = await loop.sock_recv(near_source, 100 + turns)
            feed = path.feed(near_source, near_destination, early=taken)
            await asyncio.sleep(0.001)
            end = await feed.reclaim()
            assert end.reason is EndReason.RECLAIMED
            assert end.octets_forward >= len(taken)
            carried += end.octets_forward
        assert turns > 3
        feed = path.feed(near_source, near_destination)
        assert await got == stream
        await writer
        source.close()
        assert (await feed.wait()).reason is EndReason.CLOSED
        assert destination.recv(1) == b""
        near_destination.setblocking(True)
        destination.sendall(b"the other way is mine")
        assert near_destination.recv(100) == b"the other way is mine"


async def test_only_a_feed_can_be_reclaimed_and_only_a_running_path_joins() -> None:
    async with data_path() as path:
        pair, _, _ = joined(path)
        with pytest.raises(Conflict):
            await pair.reclaim()
        with pytest.raises(Conflict):
            await path.start()
    _, near = tcp_pair()
    with pytest.raises(Conflict):
        path.join(near, near)
    assert (await pair.wait()).reason is EndReason.KILLED
    close_pairs()


async def test_waiting_for_the_end_may_be_cancelled() -> None:
    async with data_path() as path:
        pair, _, _ = joined(path)
        waiter = asyncio.create_task(pair.wait())
        await asyncio.sleep(0)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        pair.kill()
        assert (await pair.wait()).reason is EndReason.KILLED


async def test_counts_of_live_pairs_can_be_asked_for() -> None:
    async with data_path() as path:
        await path.measure()
        pairs = [joined(path) for _ in range(3)]
        await exchange(pairs[1][1], pairs[1][2])
        await asyncio.gather(path.measure(), path.measure())
        counts = [(pair.octets_forward, pair.octets_back) for pair, _, _ in pairs]
        assert counts == [(0, 0), (4, 4), (0, 0)]


async def test_limits_reach_the_relay_process() -> None:
    async with data_path() as path:
        pair, _, _ = joined(path, limits=PairLimits(idle=0.2))
        end = await pair.wait()
        assert end.reason is EndReason.IDLE
        assert 0.2 <= end.seconds < 1.0


async def test_a_closed_socket_is_refused() -> None:
    async with data_path() as path:
        far, near = tcp_pair()
        _, gone = tcp_pair()
        gone.close()
        pair = path.join(near, gone)
        assert await pair.wait() == PairEnd(0, 0, EndReason.REFUSED, 0.0)
        assert far.recv(1) == b""
        _, kept = tcp_pair()
        assert (await path.feed(kept, gone).wait()).reason is EndReason.REFUSED
        assert kept.fileno() >= 0


async def test_a_dead_relay_process_ends_its_pairs_and_is_replaced() -> None:
    async with data_path() as path:
        for _ in range(2):
            pairs = [joined(path) for _ in range(5)]
            await exchange(*pairs[0][1:])
            assert path.process_id is not None
            os.kill(path.process_id, signal.SIGKILL)
            ends = [await pair.wait() for pair, _, _ in pairs]
            assert {end.reason for end in ends} == {EndReason.RELAY_LOST}
            # Handed in while there is no process: carried by the next one.
            pair, a, b = joined(path)
            await exchange(a, b)
            assert not pair.ended.done()
            pair.kill()
            await pair.wait()


async def test_a_relay_process_that_hangs_is_ended_and_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(datapath, "LOOK_SECONDS", 0.5)
    async with data_path() as path:
        first = path.process_id
        assert first is not None
        idle, *_ = joined(path)
        await asyncio.sleep(1.5)
        assert path.process_id == first
        assert not idle.over
        os.kill(first, signal.SIGSTOP)
        assert (await asyncio.wait_for(idle.wait(), 20)).reason is EndReason.RELAY_LOST
        while path.process_id in (None, first):
            await asyncio.sleep(0.02)
        _, a, b = joined(path)
        await exchange(a, b)


async def test_a_process_that_cannot_be_started_again_is_retried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with data_path() as path:
        with monkeypatch.context() as broken:
            broken.setattr("gateway.net.datapath._BOOT", "raise SystemExit(3)")
            assert path.process_id is not None
            os.kill(path.process_id, signal.SIGKILL)
            pair, _, _ = joined(path)
            assert (await pair.wait()).reason is EndReason.RELAY_LOST
        pair, a, b = joined(path)
        await exchange(a, b)


async def test_a_relay_process_that_does_not_read_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(splice_control, "QUEUE_MAX", 8)
    monkeypatch.setattr(splice_control, "QUEUE_EASY", 4)
    async with data_path() as path:
        process = path.process_id
        assert process is not None
        os.kill(process, signal.SIGSTOP)
        try:
            pairs = []
            # Early octets fill the control socket soon.
            while not pairs or not pairs[-1][0].ended.done():
                pairs.append(joined(path, early_a=bytes(32768)))
                assert len(pairs) < 200
            assert (await pairs.pop()[0].wait()).reason is EndReason.REFUSED
            waiting = asyncio.create_task(path.ready())
            await asyncio.sleep(0.01)
            assert not waiting.done()
        finally:
            os.kill(process, signal.SIGCONT)
        await waiting
        for _, _, b in pairs:
            assert await asyncio.to_thread(read_exact, b, 32768) == bytes(32768)
        assert path.pairs == len(pairs)


def test_it_works_on_uvloop_as_well() -> None:
    async def scene() -> None:
        async with data_path() as path:
            pair, a, b = joined(path, early_a=b"early")
            assert await asyncio.to_thread(read_exact, b, 5) == b"early"
            await exchange(a, b)
            pair.kill()
            assert (await pair.wait()).reason is EndReason.KILLED

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(scene(), 20))
