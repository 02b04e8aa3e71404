"""Our own relays as one program, for the relay benchmark and for trying things by hand.

python -m bench.ours relay|camera|gateway --listen [HOST:]PORT --upstream HOST:PORT [--busy SHARE]

relay    what the rendezvous server does once two sides have met: a pair of the data path
camera   a camera's tunnel as a client gets it over a direct connection: mediator and feed
gateway  the same behind our own relay, all in one data path: what clients of a gateway get
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator

import uvloop

from gateway.base.clock import SystemClock
from gateway.base.errors import GatewayError
from gateway.cameras.rtsp import RtspMediator
from gateway.cameras.rtsp_ground import TunnelGround
from gateway.cameras.rtsp_tunnel import RtspTunnel
from gateway.cameras.sessions import Carrier, SessionEnd
from gateway.cameras.settings import CameraSettings
from gateway.driverkit.driver import StreamSource
from gateway.net import sockets
from gateway.net.datapath import DataPath, Pair, PairEnd, PairLimits
from gateway.net.listener import Listener
from gateway.net.tasks import TaskRoom
from gateway.relay.settings import RelaySettings

KINDS = ("relay", "camera", "gateway")
MANY = 100_000
BURN_SECONDS = 0.005
"""How long a callback keeps the event loop from all others when it is made busy."""

Address = tuple[str, int]


class Ours:
    """One relay: `listen` accepts, every connection ends at `upstream`."""

    def __init__(self, kind: str, upstream: Address, room: TaskRoom) -> None:
        self._upstream = upstream
        self._room = room
        self._clock = SystemClock()
        self._datapath = DataPath(room, self._clock)
        # A stream of the benchmark may be silent for as long as the benchmark takes.
        self._settings = CameraSettings(silence_seconds=3600, idle_seconds=3600)
        self._ground = TunnelGround(
            dial=self._dial, datapath=self._datapath, settings=self._settings, clock=self._clock,
            room=room,
        )  # fmt: skip
        self._over = self._ended  # one bound method for all tunnels
        self._find = self._place
        relay = RelaySettings()
        self._limits = PairLimits(unsent=relay.unsent_octets, receive=relay.receive_octets)
        self._inner: Address | None = None
        self._kind = kind

    @contextlib.asynccontextmanager
    async def serve(self, listen: Address) -> AsyncIterator[None]:
        """Serve until the block ends."""
        await self._datapath.start()
        accepted = {"relay": self._relay, "camera": self._tunnel, "gateway": self._relay}
        outer = Listener(self._room, accepted[self._kind], limit=MANY, per_peer=MANY)
        inner = Listener(self._room, self._tunnel, limit=MANY, per_peer=MANY)
        self._outer = outer
        self._tunnels = inner if self._kind == "gateway" else outer
        try:
            if self._kind == "gateway":
                self._inner = inner.open(["127.0.0.1"], 0)[0]
            outer.open([listen[0]], listen[1])
            yield
        finally:
            outer.close()
            inner.close()
            await self._datapath.stop()

    # -- the rendezvous relay

    def _relay(self, sock: socket.socket, peer: str) -> None:
        self._room.start(self._carry(sock, peer), name="connection")

    async def _carry(self, sock: socket.socket, peer: str) -> None:
        host, port = self._inner or self._upstream
        try:
            await self._datapath.ready()
            other = await sockets.connect(host, port)
        except GatewayError as error:
            print(error, file=sys.stderr)
            sockets.reset(sock)
            self._outer.released(peer)
            return
        note = sys.intern(peer)
        self._datapath.join(sock, other, limits=self._limits, tell=self._released, note=note)

    def _released(self, pair: Pair, _: PairEnd) -> None:
        self._outer.released(str(pair.note))

    # -- the camera tunnel

    def _tunnel(self, sock: socket.socket, peer: str) -> None:
        mediator = RtspMediator(
            place=self._find, login=None, operate=False, first_cseq=123_456_789,
            session_id="ab" * 8, hidden=(self._upstream[0],),
        )  # fmt: skip
        tunnel = RtspTunnel(sock, mediator, self._ground)
        tunnel.note = sys.intern(peer)
        tunnel.start(self._over)

    def _ended(self, tunnel: Carrier, _: SessionEnd) -> None:
        self._tunnels.released(str(tunnel.note))

    def _place(self, name: str) -> StreamSource:
        return StreamSource(*self._upstream, f"/{name}")

    async def _dial(self, source: StreamSource) -> socket.socket:
        # As gateway.cameras.live.LiveCamera.dial.
        sock = await sockets.connect(source.host, source.port)
        sockets.bound_window(sock, self._settings.receive_buffer)
        return sock


async def burn(share: float) -> None:
    """Keep the event loop busy for a share of the time."""
    while True:
        end = time.monotonic() + BURN_SECONDS
        while time.monotonic() < end:
            pass
        await asyncio.sleep(BURN_SECONDS * (1 - share) / share)


async def run(kind: str, listen: Address, upstream: Address, busy: float) -> None:
    """Serve until SIGTERM or SIGINT."""
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    async with TaskRoom("ours") as room, Ours(kind, upstream, room).serve(listen):
        if busy:
            room.start(burn(busy), name="burn")
        await over.wait()


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return host or "127.0.0.1", int(port)


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.ours", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--listen", required=True, type=_address)
    parser.add_argument("--upstream", required=True, type=_address)
    parser.add_argument("--busy", type=float, default=0.0, help="share of the event loop's time")
    chosen = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(chosen.kind, chosen.listen, chosen.upstream, chosen.busy))


if __name__ == "__main__":
    main()
