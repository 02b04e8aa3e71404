"""A relay of TCP that delays and cuts, for kernels that cannot: one program between two networks.

`python -m tests.support.chaos HOST SERVER SEED` listens on the ports of the protocol at HOST and
passes connections on to SERVER. SIGUSR1 begins the storm, SIGUSR2 ends it and prints what was done.
"""

from __future__ import annotations

import asyncio
import enum
import json
import random
import signal
import socket
import sys
from collections import Counter

from gateway.base.errors import HostError
from gateway.net import sockets
from gateway.net.listener import Listener
from gateway.net.tasks import TaskRoom

PORTS = (7737, 7740, 7778, 7779, 37780)
DELAY = (0.002, 0.03)
"""Seconds that a piece is held back, from and to; order is kept."""
LIFE = 12.0
"""Mean seconds that a connection lives in the storm."""
LAG = (0.3, 1.5)
"""Seconds by which one side learns later than the other that it was cut."""


class Cut(enum.StrEnum):
    """How a connection is cut."""

    ENDED = "both sides see an orderly end"
    RESET = "both sides see a reset"
    ENDPOINT_FIRST = "the endpoint is cut off, the server learns it later"
    SERVER_FIRST = "the server is cut off, the endpoint learns it later"


class ChaosRelay:
    """Passes connections on, delayed; while `stormy`, each lives for a random time only."""

    def __init__(self, room: TaskRoom, host: str, server: str, seed: int) -> None:
        self._room = room
        self._host = host
        self._server = server
        self._random = random.Random(seed)
        self.stormy = asyncio.Event()
        self.counts: Counter[str] = Counter()
        self.open_now = 0

    def start(self) -> None:
        """Listen; raises HostError when a port is taken."""
        for port in PORTS:
            self._listen(port)

    def _listen(self, port: int) -> None:
        def accepted(sock: socket.socket, peer: str) -> None:
            task = self._room.start(self._carry(sock, port), name=f"chaos {port}")
            task.add_done_callback(lambda _: listener.released(peer))

        listener = Listener(self._room, accepted)
        listener.open([self._host], port)

    async def _carry(self, near: socket.socket, port: int) -> None:
        self.counts[f"port {port}"] += 1
        try:
            far = await sockets.connect(self._server, port)
        except HostError:
            sockets.reset(near)
            return
        self.open_now += 1
        there = self._room.start(self._pass(near, far), name="there")
        back = self._room.start(self._pass(far, near), name="back")
        doom = self._room.start(self._doom(), name="doom")
        busy, broken = {there, back, doom}, False
        try:
            while not (broken or doom.done() or (there.done() and back.done())):
                done, busy = await asyncio.wait(busy, return_when=asyncio.FIRST_COMPLETED)
                broken = any(task.result() is False for task in done)
            cut = doom.done()
        finally:
            for task in (there, back, doom):
                task.cancel()
            await asyncio.wait([there, back, doom])
        if broken:
            sockets.reset(near)
            sockets.reset(far)
        elif cut:
            await self._cut(near, far)
        near.close()
        far.close()
        self.open_now -= 1

    async def _doom(self) -> bool:
        """Return when a connection is to be cut."""
        while True:
            await self.stormy.wait()
            await asyncio.sleep(self._random.expovariate(1 / LIFE))
            if self.stormy.is_set():
                return True

    async def _cut(self, near: socket.socket, far: socket.socket) -> None:
        manner = self._random.choice(list(Cut))
        self.counts[manner] += 1
        if manner is Cut.RESET:
            sockets.reset(near)
            sockets.reset(far)
        elif manner is not Cut.ENDED:
            first, second = (near, far) if manner is Cut.ENDPOINT_FIRST else (far, near)
            sockets.reset(first)
            await asyncio.sleep(self._random.uniform(*LAG))
            second.close()

    async def _pass(self, source: socket.socket, sink: socket.socket) -> bool:
        """Pass on what comes; return True at its end, False when a side is broken."""
        try:
            while data := await sockets.receive(source, 65536):
                await asyncio.sleep(self._random.uniform(*DELAY))
                await sockets.send_all(sink, data)
        except HostError:
            return False
        sockets.close_write(sink)
        return True


async def main(host: str, server: str, seed: str) -> None:
    """Run until ended; tell in JSON lines."""
    loop = asyncio.get_running_loop()
    async with TaskRoom("chaos") as room:
        relay = ChaosRelay(room, host, server, int(seed))
        relay.start()

        def calm() -> None:
            relay.stormy.clear()
            print(json.dumps({"done": dict(relay.counts), "open": relay.open_now}), flush=True)

        loop.add_signal_handler(signal.SIGUSR1, relay.stormy.set)
        loop.add_signal_handler(signal.SIGUSR2, calm)
        print(json.dumps({"ready": True}), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
