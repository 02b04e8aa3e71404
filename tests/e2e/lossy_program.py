"""The services and the clients of the lossy run: `services FOLDER [TASKS DESCRIPTORS]`, `clients
FOLDER`, as `tests.e2e.lossy_fleet` says.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import sys
from typing import Any

from gateway.asn1.writer import SequenceWriter
from gateway.base.errors import GatewayError, HostError
from gateway.base.secret import Secret
from gateway.endpoint.arrivals import IncomingTcp, IncomingUdp, PortListener, UdpPortListener
from gateway.endpoint.calls import IncomingCall
from gateway.endpoint.client import ClientEndpoint
from gateway.endpoint.service import ServiceEndpoint
from gateway.endpoint.state import FilePositions, FileQueue, StateSettings
from gateway.model.kinds import ClientStatus, EventKind, ServiceStatus
from gateway.net import sockets
from gateway.net.tasks import TaskRoom
from gateway.protocol.endpoint_inbox import IncomingEvent
from tests.e2e.lossy_fleet import (
    EVENTS,
    PORT,
    PROCEDURE,
    SETTINGS,
    STRUCTURE,
    Fleet,
    numbered,
    read_numbered,
)

NUMBERS = b"".join(number.to_bytes(4, "big") for number in range(12_500))
"""What a stream carries: 50,000 octets that name their place."""
HASTE, PATIENCE = 8.0, 30.0
"""Seconds for a request in the storm, and afterwards."""
STREAM_LIMIT, FLOW_LIMIT = 30.0, 4.0
"""Seconds that a service holds a stream at most, and a flow of datagrams without any."""
DATAGRAMS, REPEATS, ANSWER = 3, 8, 0.5
"""Datagrams of a flow, how often each is sent, seconds in which the answer is waited for."""
SETTLING = 2.0
"""Seconds without an event after which none is on its way any more."""
UNDURABLE = StateSettings(durable=False)


class Service:
    """One service: raises numbered events, echoes calls, streams and datagrams."""

    def __init__(self, fleet: Fleet, number: int) -> None:
        self.fleet, self.number = fleet, number
        self.site, self.uri, self.word, _ = fleet.accounts[number]
        # Clients of the same site, whom private events may go to.
        self.readers = [one[3] for one in fleet.everybody["clients"] if one[0] == self.site]
        path = fleet.folder / f"{number}.raised"
        self.log = path.open("a+", encoding="utf-8", buffering=1)
        self.log.seek(0)
        lines = [line.split() for line in self.log.read().splitlines()]
        # [number, kind, reader, sure]: killed between the intent and its completion, an event may
        # have been raised or not.
        self.raised: dict[int, list[Any]] = {}
        for word, number_, *rest in lines:
            if word == "intends":
                self.raised[int(number_)] = [int(number_), int(rest[0]), int(rest[1]), False]
            else:
                self.raised[int(number_)][3] = True

    def open(self) -> None:
        fleet = self.fleet
        queue = FileQueue(fleet.folder / f"{self.number}.events", UNDURABLE)
        self.endpoint = ServiceEndpoint(
            self.uri, Secret(self.word), structure=STRUCTURE, settings=SETTINGS, queue=queue,
            room=fleet.room, clock=fleet.clock, entropy=fleet.entropy,
        )  # fmt: skip
        fleet.watch(self.number, self.endpoint)
        self.endpoint.offer(PROCEDURE, self._echo_call)
        self.room = fleet.room.child(f"service {self.number}")
        self.room.start(self._streams(self.endpoint.listen(PORT)), name="streams")
        self.room.start(self._flows(self.endpoint.listen_udp(PORT)), name="flows")
        self.endpoint.connect()

    async def shut(self) -> None:
        await self.endpoint.close()
        await self.room.close()

    @property
    def settled(self) -> bool:
        return self.endpoint.status is ServiceStatus.ONLINE and not len(self.endpoint.events)

    @property
    def shown(self) -> str:
        return f"{self.endpoint.status.name}, {len(self.endpoint.events)} events wait"

    @staticmethod
    async def _echo_call(call: IncomingCall) -> bytes:
        return call.arguments

    async def _streams(self, listener: PortListener) -> None:
        while True:
            self.room.start(self._echo_stream(await listener.accept()), name="stream")

    @staticmethod
    async def _echo_stream(incoming: IncomingTcp) -> None:
        with incoming.socket as sock, contextlib.suppress(HostError, TimeoutError):
            async with asyncio.timeout(STREAM_LIMIT):
                while part := await sockets.receive(sock, 65536):
                    await sockets.send_all(sock, part)

    async def _flows(self, listener: UdpPortListener) -> None:
        while True:
            self.room.start(self._echo_flow(await listener.accept()), name="flow")

    @staticmethod
    async def _echo_flow(incoming: IncomingUdp) -> None:
        with incoming.peer as peer, contextlib.suppress(HostError, TimeoutError):
            while True:
                async with asyncio.timeout(FLOW_LIMIT):
                    datagram = await peer.receive()
                peer.send(datagram)

    async def act(self) -> None:
        self._raise(self.fleet.random.choice(list(EVENTS)))

    def _raise(self, kind: EventKind) -> None:
        number = max(self.raised, default=0) + 1
        reader = self.fleet.random.choice(self.readers) if kind is EventKind.PRIVATE else 0
        entry = self.raised[number] = [number, int(kind), reader, False]
        self.log.write(f"intends {number} {int(kind)} {reader}\n")
        events, arguments = self.endpoint.events, numbered(self.number, number)
        if kind is EventKind.REPLACING:
            events.raise_replacing(EVENTS[kind], arguments)
        elif kind is EventKind.QUEUEING:
            events.raise_queueing(EVENTS[kind], arguments)
        else:
            events.raise_private(EVENTS[kind], reader, arguments)
        self.log.write(f"did {number}\n")
        entry[3] = True
        self.fleet.counts[f"raised {kind.name.lower()}"] += 1

    async def warm(self) -> None:
        pass

    async def prove(self) -> dict[str, Any]:
        return {"site": self.site, "raised": list(self.raised.values())}


class Client:
    """One client: follows the events of its site, calls and connects."""

    def __init__(self, fleet: Fleet, number: int) -> None:
        self.fleet, self.number = fleet, number
        self.site, self.uri, self.word, self.id = fleet.accounts[number]
        self.lamps = sum(one[0] == self.site for one in fleet.everybody["services"])
        self.limit = HASTE
        self.got: dict[EventKind, dict[int, list[int]]] = {kind: {} for kind in EVENTS}

    def open(self) -> None:
        fleet = self.fleet
        self.endpoint = ClientEndpoint(
            self.uri, Secret(self.word), service_type=STRUCTURE.service_type,
            contract_author=STRUCTURE.contract_author, settings=SETTINGS,
            positions=FilePositions(fleet.folder / f"{self.number}.positions", durable=False),
            room=fleet.room, clock=fleet.clock, entropy=fleet.entropy,
        )  # fmt: skip
        fleet.watch(self.number, self.endpoint)
        for kind, name in EVENTS.items():
            self.endpoint.events.subscribe(kind, name, functools.partial(self._take, kind))
        self.endpoint.connect()

    async def shut(self) -> None:
        await self.endpoint.close()

    @property
    def settled(self) -> bool:
        online = [one for one in self.endpoint.services if one.online]
        return self.endpoint.status is ClientStatus.ONLINE and len(online) == self.lamps

    @property
    def shown(self) -> str:
        return f"{self.endpoint.status.name}, {self.endpoint.services}"

    async def _take(self, kind: EventKind, event: IncomingEvent) -> None:
        unit, number = read_numbered(event.arguments)
        self.got[kind].setdefault(unit, []).append(number)

    async def act(self) -> None:
        online = [one.id for one in self.endpoint.services if one.online]
        if not online:
            self.fleet.counts["nobody there"] += 1
            return
        act = self.fleet.random.choice((self._call, self._stream, self._flow))
        try:
            outcome = await act(self.fleet.random.choice(online))
        except GatewayError as error:
            outcome = f"refused: {type(error).__name__}"
        self.fleet.counts[f"{act.__name__[1:]} {outcome}"] += 1

    async def _call(self, lamp: int) -> str:
        sent = SequenceWriter().int32(self.fleet.random.randrange(1 << 30)).encode()
        answer = await self.endpoint.call(lamp, PROCEDURE, sent, timeout=self.limit)
        if answer != sent:
            raise AssertionError(f"called with {sent.hex()}, answered {answer.hex()}")
        return "done"

    async def _stream(self, lamp: int) -> str:
        """Send numbered octets; what comes back must be their beginning, or all of them."""
        made = await self.endpoint.connect_tcp(lamp, PORT, timeout=self.limit)
        back = bytearray()
        with made.socket as sock:
            sending = self.fleet.room.start(self._send(sock), name="sending")
            try:
                async with asyncio.timeout(STREAM_LIMIT / 2):
                    while len(back) < len(NUMBERS):
                        part = await sockets.receive(sock, 65536)
                        if not part:
                            break
                        back += part
            except (HostError, TimeoutError):
                pass
            finally:
                sending.cancel()
                await asyncio.wait([sending])
        if not NUMBERS.startswith(back):
            raise AssertionError("a stream changed what it carried")
        return "done" if len(back) == len(NUMBERS) else "cut"

    @staticmethod
    async def _send(sock: socket.socket) -> None:
        with contextlib.suppress(HostError):
            await sockets.send_all(sock, NUMBERS)

    async def _flow(self, lamp: int) -> str:
        """Send numbered datagrams, again and again until they come back."""
        made = await self.endpoint.connect_udp(lamp, PORT, timeout=self.limit)
        with made.peer as peer:
            for number in range(DATAGRAMS):
                sent = b"datagram %d of %d" % (number, self.number)
                for _ in range(REPEATS):
                    peer.send(sent)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(ANSWER):
                            while await peer.receive() != sent:  # an earlier one, sent twice
                                pass
                            break
                else:
                    return "lost"
        return "done"

    async def warm(self) -> None:
        assert set(await self._everything()) == {"done"}

    async def _everything(self) -> list[str]:
        self.limit = PATIENCE
        outcomes = [await self._call(one.id) for one in self.endpoint.services]
        chosen = self.endpoint.services[self.number % self.lamps].id
        outcomes.append(await self._stream(chosen))
        outcomes.append(await self._flow(chosen))
        self.limit = HASTE
        return outcomes

    def _received(self) -> int:
        return sum(len(numbers) for found in self.got.values() for numbers in found.values())

    async def prove(self) -> dict[str, Any]:
        outcomes = await self._everything()
        count = -1
        while count != (count := self._received()):
            await asyncio.sleep(SETTLING)
        got = {int(kind): found for kind, found in self.got.items()}
        return {"site": self.site, "id": self.id, "outcomes": outcomes, "got": got}


async def main(kind: str, folder: str, *baseline: str) -> None:
    """Run all services or all clients; with a baseline in the middle of the storm."""
    async with TaskRoom(kind) as room:
        fleet = Fleet(kind, folder, room)
        unit = Service if kind == "services" else Client
        fleet.units = [unit(fleet, number) for number in range(len(fleet.accounts))]
        await fleet.run((int(baseline[0]), int(baseline[1])) if baseline else None)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
