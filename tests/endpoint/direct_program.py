"""A server, a service or a client as a program of its own, for hosts that are namespaces.

Prints one JSON object per line: `server FOLDER ADDRESS CLIENTS`, `service URI PASSWORD`,
`client URI PASSWORD SERVICE KIND...` where a kind is tcp or udp.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

from gateway.base.clock import SystemClock
from gateway.base.entropy import SystemEntropy
from gateway.base.errors import GatewayError
from gateway.base.secret import Secret
from gateway.endpoint.client import ClientEndpoint
from gateway.endpoint.service import IncomingUdp, ServiceEndpoint
from gateway.net import sockets
from gateway.net.tasks import TaskRoom
from gateway.protocol.pairing_direct import VainAttempts
from tests.endpoint.softnet import CAMERA, QUICK, Softnet, softnet


def tell(**values: Any) -> None:
    print(json.dumps(values), flush=True)


async def server(folder: str, address: str, count: str) -> None:
    async with softnet(Path(folder), address) as running:
        forgetful(running)
        site = await running.site()
        _, uri, password = await running.service_account(site, "Camera")
        _, second, second_password = await running.service_account(site, "Beside")
        clients = [await running.client_account(site) for _ in range(int(count))]
        tell(
            service=[uri, password.reveal()],
            beside=[second, second_password.reveal()],
            clients=[[uri, password.reveal()] for uri, password in clients],
        )
        await asyncio.Event().wait()


def forgetful(running: Softnet) -> None:
    """Forget what was in vain, on SIGUSR1: the network is another one now."""

    def forget() -> None:
        for book in (running.relay._rendezvous, running.relay.udp._rendezvous):
            book.vain = VainAttempts()
        tell(forgotten=True)

    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, forget)


async def service(uri: str, password: str) -> None:
    async with TaskRoom("service") as room:
        endpoint = ServiceEndpoint(
            uri,
            Secret(password),
            structure=CAMERA,
            settings=QUICK,
            room=room,
            clock=SystemClock(),
            entropy=SystemEntropy(),
        )
        tcp, udp = endpoint.listen(554), endpoint.listen_udp(554)

        async def echo_streams() -> None:
            while True:
                incoming = await tcp.accept()
                with incoming.socket:
                    octets = await sockets.read_exactly(incoming.socket, 1000, 10)
                    await sockets.send_all(incoming.socket, octets)

        async def echo_flow(incoming: IncomingUdp) -> None:
            with incoming.peer:
                try:
                    async with asyncio.timeout(5):
                        while True:
                            incoming.peer.send(await incoming.peer.receive())
                except TimeoutError:
                    pass

        async def echo_datagrams() -> None:
            while True:
                incoming = await udp.accept()
                room.start(echo_flow(incoming), name="flow")

        room.start(echo_streams(), name="tcp")
        room.start(echo_datagrams(), name="udp")
        endpoint.subscribe(lambda event: tell(event=type(event).__name__))
        endpoint.connect()
        await asyncio.Event().wait()


async def client(uri: str, password: str, wanted: str, *kinds: str) -> None:
    async with TaskRoom("client") as room:
        endpoint = ClientEndpoint(
            uri,
            Secret(password),
            service_type=CAMERA.service_type,
            contract_author=CAMERA.contract_author,
            settings=QUICK,
            room=room,
            clock=SystemClock(),
            entropy=SystemEntropy(),
        )
        endpoint.connect()
        ids: list[int] = []
        while not ids:
            await asyncio.sleep(0.02)
            found = endpoint.services
            ids = [one.id for one in found if one.online and one.hostname == wanted]
        (remote,) = ids
        before = len(list(Path("/proc/self/fd").iterdir()))
        for kind in kinds:
            begun = time.monotonic()
            try:
                mode, answered = await (one_stream if kind == "tcp" else one_flow)(endpoint, remote)
            except GatewayError as error:
                tell(kind=kind, mode=str(error), seconds=time.monotonic() - begun)
                continue
            tell(kind=kind, mode=mode, seconds=time.monotonic() - begun, echoed=answered)
        await asyncio.sleep(0.1)
        tell(left=len(list(Path("/proc/self/fd").iterdir())) - before)
        await endpoint.close()


async def one_stream(endpoint: ClientEndpoint, remote: int) -> tuple[str, bool]:
    made = await endpoint.connect_tcp(remote, 554)
    with made.socket:
        octets = bytes(range(250)) * 4
        await sockets.send_all(made.socket, octets)
        return made.mode.name, await sockets.read_exactly(made.socket, 1000, 10) == octets


async def one_flow(endpoint: ClientEndpoint, remote: int) -> tuple[str, bool]:
    made = await endpoint.connect_udp(remote, 554)
    with made.peer:
        try:
            async with asyncio.timeout(3):
                for number in range(3):
                    made.peer.send(b"%d" % number)
                    assert await made.peer.receive() == b"%d" % number
        except TimeoutError:
            return f"{made.mode.name} to {made.peer.remote}", False
        return made.mode.name, True


if __name__ == "__main__":
    role, *words = sys.argv[1:]
    asyncio.run({"server": server, "service": service, "client": client}[role](*words))
