"""How the relay process keeps up and keeps fresh: stalls, windows, naps under many streams."""

from __future__ import annotations

import hashlib
import socket
import time

import pytest

from gateway.net.splice_loop import (
    GATHER_BEGIN,
    GATHER_SOURCES,
    GATHER_STAY,
    GATHER_TURNS,
    Gathering,
)
from gateway.relay.settings import RelaySettings
from tests.net.splice_rig import SOURCE, Job, read_blob, read_exact, relay, tcp_pair


class Stall:
    """A camera that writes and a client that reads for a while, then stops."""

    def __init__(self, client: socket.socket, camera: socket.socket) -> None:
        self._camera = camera
        self._sent = 0
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 131072)
        camera.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 131072)
        self._client = client

    def held(self, rate: float | None, seconds: float) -> tuple[int, float]:
        """Return the octets under way once nothing goes any more, and the rate before, in 1/s."""
        camera = Job(self._paced if rate else self._pour, rate)
        got, began = 0, time.monotonic()
        while time.monotonic() < began + seconds:
            got += len(self._client.recv(65536))
        took = time.monotonic() - began
        return camera.get() - got, got / took

    def _pour(self, _: None) -> int:
        self._camera.settimeout(0.5)
        try:
            while True:
                self._sent += self._camera.send(bytes(16384))
        except TimeoutError:
            return self._sent

    def _paced(self, rate: float) -> int:
        """A picture 25 times a second; over when none of a second could be sent."""
        self._camera.setblocking(False)
        picture = round(rate / 25)
        due, late = time.monotonic(), 0
        while late < 25:
            due += 0.04
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                self._sent += self._camera.send(bytes(picture))
                late = 0
            except BlockingIOError:
                late += 1
        return self._sent


@pytest.mark.parametrize("rate", [0.5e6, None], ids=["4 Mbit/s", "as fast as it goes"])
def test_a_reader_that_stalls_holds_back_a_second_at_most(rate: float | None) -> None:
    direct, _ = Stall(*tcp_pair()).held(rate, 0.5)
    with relay() as running:
        limits = RelaySettings()
        _, c, d = running.join(receive=limits.receive_octets, unsent=limits.unsent_octets)
        relayed, moved = Stall(c, d).held(rate, 2.5)
        before = running.cpu()
        time.sleep(1.0)
        assert running.cpu() - before < 0.05, "uses CPU while stalled"
        assert (relayed - direct) / (rate or moved) <= 1.0
        _, e, f = running.join()
        f.sendall(b"others go on")
        assert read_exact(e, 12) == b"others go on"


def test_gathering_begins_with_many_busy_sources_and_ends_with_them() -> None:
    def turns(gathering: Gathering, sources: int, rate: float) -> None:
        for turn in range(2 * GATHER_TURNS):
            nonlocal now
            now += 1 / rate
            gathering.turn([(turn % sources, 1)], now)

    now = 0.0
    gathering = Gathering(now)
    turns(gathering, 1, 50_000)
    assert not gathering.on, "a lone dialogue would wait for itself"
    turns(gathering, GATHER_SOURCES, 1.1 * GATHER_BEGIN)
    assert gathering.on
    turns(gathering, GATHER_SOURCES, (GATHER_STAY + GATHER_BEGIN) / 2)
    assert gathering.on, "a little less must not end it: naps make turns fewer"
    turns(gathering, GATHER_SOURCES, 0.9 * GATHER_STAY)
    assert not gathering.on
    turns(gathering, GATHER_SOURCES, 0.9 * GATHER_BEGIN)
    assert not gathering.on
    turns(gathering, GATHER_SOURCES, 1.1 * GATHER_BEGIN)
    turns(gathering, GATHER_SOURCES - 1, 50_000)
    assert not gathering.on, "a few large streams are not many"


def test_many_streams_arrive_whole_while_the_loop_naps() -> None:
    """Twenty sources that write packet by packet, so that the loop turns thousands of times."""
    with relay() as running:
        joined = [running.join() for _ in range(20)]
        packets, size = 1500, 1432

        def write(sock: socket.socket, seed: int) -> str:
            source = SOURCE[seed:]
            digest = hashlib.sha1()
            for number in range(packets):
                part = source[number * size : number * size + size]
                sock.sendall(part)
                digest.update(part)
                if not number % 14:
                    time.sleep(0.004)
            sock.shutdown(socket.SHUT_WR)
            return digest.hexdigest()

        readers = [Job(read_blob, a) for _, a, _ in joined]
        writers = [Job(write, b, seed) for seed, (_, _, b) in enumerate(joined)]
        for reader, writer in zip(readers, writers, strict=True):
            assert reader.get() == (packets * size, writer.get())
