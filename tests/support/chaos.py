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

PORTS = (7737, 7740, 7778, 37780)
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
        self._listeners: list[Listener] = []
        self.stormy = asyncio.Event()
        self.counts: Counter[str] = Counter()
        self.open_now = 0

    def start(self) -> None:
        """Listen; raises HostError when a port is taken."""
        for port in PORTS:
            listener = Listener(self._room, self._accept(port))
            listener.open([self._host], port)
            self._listeners.append(listener)

    def stop(self) -> None:
        """Accept nothing more."""
        for listener in self._listeners:
            listener.close()

    def _accept(self, port: int):  # type: ignore[no-untyped-def]
        def accepted(sock: socket.socket, _peer: str) -> None:
            self._room.start(self._carry(sock, port), name=f"chaos {port}")

        return accepted

    async def _carry(self, near: socket.socket, port: int) -> None:
        self.counts[f"port {port}"] += 1
        try:
            far = await sockets.connect(self._server, port)
        except HostError:
            sockets.reset(near)
            return
        self.open_now += 1
        passing = [
            self._room.start(self._pass(near, far), name="there"),
            self._room.start(self._pass(far, near), name="back"),
        ]
        doom = self._room.start(self._doom(), name="doom")
        try:
            pair = asyncio.gather(*passing, return_exceptions=True)
            await asyncio.wait([pair, doom], return_when=asyncio.FIRST_COMPLETED)
            if pair.done():
                if any(isinstance(one, HostError) for one in pair.result()):
                    sockets.reset(near)
                    sockets.reset(far)
            else:
                for task in passing:
                    task.cancel()
                await asyncio.wait(passing)
                await self._cut(near, far)
        finally:
            for task in (*passing, doom):
                task.cancel()
            await asyncio.wait([*passing, doom])
            near.close()
            far.close()
            self.open_now -= 1

    async def _doom(self) -> None:
        """Return when a connection is to be cut."""
        while True:
            await self.stormy.wait()
            await asyncio.sleep(self._random.expovariate(1 / LIFE))
            if self.stormy.is_set():
                return

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

    async def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        while data := await sockets.receive(source, 65536):
            await asyncio.sleep(self._random.uniform(*DELAY))
            await sockets.send_all(sink, data)
        sockets.close_write(sink)


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
