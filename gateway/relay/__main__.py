"""`python -m gateway.relay --listen PORT --upstream HOST:PORT`: a plain TCP relay for benchmarks.

asyncio accepts and dials, the data path carries: the same way that camera tunnels and rendezvous
connections go, so that it can be measured against other relays.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import socket
import sys

from gateway.base.clock import SystemClock
from gateway.base.errors import GatewayError
from gateway.net.datapath import DataPath, Pair, PairEnd, PairLimits
from gateway.net.listener import Listener
from gateway.net.sockets import connect, reset
from gateway.net.tasks import TaskRoom

_log = logging.getLogger("gateway.relay")


async def relay(listen: tuple[str, int], upstream: tuple[str, int], limits: PairLimits) -> None:
    """Carry every connection accepted on `listen` to `upstream` until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    async with TaskRoom("relay") as room:
        datapath = DataPath(room, SystemClock())

        async def carry(sock: socket.socket, peer: str) -> None:
            try:
                await datapath.ready()
                other = await connect(*upstream)
            except GatewayError as error:
                _log.warning("%s", error)
                reset(sock)
                listener.released(peer)
                return
            datapath.join(sock, other, limits=limits, tell=released, note=peer)

        def released(pair: Pair, _: PairEnd) -> None:
            listener.released(str(pair.note))

        def accepted(sock: socket.socket, peer: str) -> None:
            room.start(carry(sock, peer), name="connection")

        listener = Listener(room, accepted, limit=100_000, per_peer=100_000)
        await datapath.start()
        try:
            listener.open([listen[0]], listen[1])
            await over.wait()
        finally:
            listener.close()
            await datapath.stop()


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]") or "127.0.0.1", int(port)


def main(arguments: list[str] | None = None) -> int:
    """Read the command line and relay; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m gateway.relay", description=__doc__)
    parser.add_argument("--listen", required=True, type=_host_and_port, metavar="[HOST:]PORT")
    parser.add_argument("--upstream", required=True, type=_host_and_port, metavar="HOST:PORT")
    parser.add_argument(
        "--receive-buffer",
        type=int,
        default=106496,
        help="SO_RCVBUF towards the upstream, 0: the system's",
    )
    parser.add_argument("--unsent", type=int, default=65536, help="TCP_NOTSENT_LOWAT, 0: none")
    parser.add_argument("--asyncio", action="store_true", help="the standard loop, not uvloop")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(format="%(levelname)s %(message)s")
    factory = None
    if not chosen.asyncio:
        import uvloop

        factory = uvloop.new_event_loop
    limits = PairLimits(unsent=chosen.unsent, receive=chosen.receive_buffer)
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(relay(chosen.listen, chosen.upstream, limits))
    except GatewayError as error:
        _log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
