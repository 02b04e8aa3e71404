"""The programs of the lossy run: `server`, `services` and `clients`; each prints JSON lines.

SIGUSR1 begins the restlessness of endpoints (restarts, calls, tunnels) and the raising of events;
SIGUSR2 ends it, and all must come back by themselves; SIGHUP lets them be tried out once more,
counted and told.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import os
import random
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from gateway.asn1.reader import SequenceReader
from gateway.asn1.writer import SequenceWriter
from gateway.base.clock import SystemClock
from gateway.base.entropy import SystemEntropy
from gateway.base.errors import GatewayError, HostError
from gateway.base.notices import NoticeHub
from gateway.base.secret import Secret
from gateway.endpoint.calls import IncomingCall
from gateway.endpoint.client import ClientEndpoint
from gateway.endpoint.service import IncomingTcp, PortListener, ServiceEndpoint
from gateway.endpoint.state import FilePositions, FileQueue, StateSettings
from gateway.model.kinds import ClientStatus, EventKind, GuestSupport, ServiceStatus
from gateway.model.structure import EventDefinition, SiteStructure
from gateway.net import sockets
from gateway.net.datapath import DataPath
from gateway.net.tasks import TaskRoom
from gateway.protocol.endpoint_inbox import IncomingEvent
from gateway.registry.database import Registry
from gateway.relay.server import RendezvousServer
from gateway.relay.settings import RelaySettings
from gateway.site.proxies import ProxyDirectory, ProxyEntry
from gateway.tracker.server import TrackerServer
from gateway.tracker.settings import TrackerSettings
from tests.endpoint.softnet import QUICK, SECRET, Softnet, _furnish

STRUCTURE = SiteStructure(
    "Lossy", "Softnet Camera Gateway", GuestSupport.NONE, ("Administrator",), "Administrator",
    (
        EventDefinition(EventKind.REPLACING, "State"),
        EventDefinition(EventKind.QUEUEING, "Alarm", 3600, 1000),
    ),
)  # fmt: skip
PORT = 554
PACE = 2.0
"""Mean seconds between two events of a service, and between two acts of a client."""
LIFE = 15.0
"""Mean seconds until an endpoint is restarted."""
NUMBERS = b"".join(number.to_bytes(4, "big") for number in range(12_500))
"""What a tunnel carries: 50,000 octets that name their place."""
PATIENCE = 45.0
"""Seconds in which all must be back after the storm."""
UNDURABLE = StateSettings(durable=False)


def tell(**values: Any) -> None:
    print(json.dumps(values), flush=True)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def tasks() -> int:
    return len(asyncio.all_tasks())


def on(number: int) -> asyncio.Event:
    """Return an event that a signal sets."""
    event = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(number, event.set)
    return event


# -- the server ------------------------------------------------------------------------------------


async def server(folder: str, address: str, public: str, sites: str, each: str) -> None:
    clock, entropy, hub = SystemClock(), SystemEntropy(), NoticeHub()
    registry = await Registry.open(Path(folder) / "registry.sqlite", clock=clock, entropy=entropy)
    async with TaskRoom("server") as room:
        datapath = DataPath(room, clock)
        await datapath.start()
        relay = RendezvousServer(
            RelaySettings(bind_addresses=(address,)), secret=SECRET, datapath=datapath,
            clock=clock, entropy=entropy, room=room, notices=hub,
        )  # fmt: skip
        await relay.start()
        proxies = ProxyDirectory((ProxyEntry(1, SECRET, ipv4=ipaddress.IPv4Address(public)),))
        tracker = TrackerServer(
            TrackerSettings(bind_addresses=(address,), public_ipv4=public),
            registry=registry, proxies=proxies, notices=hub,
            clock=clock, entropy=entropy, room=room,
        )  # fmt: skip
        await tracker.start()
        accounts = Path(folder) / "accounts.json"
        if not accounts.exists():
            owner, domain = await registry.write(_furnish)
            made = Softnet(public, room, registry, tracker, relay, datapath, owner, domain)
            found: dict[str, list[Any]] = {"services": [], "clients": []}
            for number in range(int(sites)):
                site = await made.site()
                for _ in range(int(each)):
                    name = f"Lamp {len(found['services'])}"
                    _, uri, word = await made.service_account(site, name)
                    found["services"].append([number, uri, word.reveal()])
                    uri, word = await made.client_account(site)
                    found["clients"].append([number, uri, word.reveal()])
            accounts.write_text(json.dumps(found), "utf-8")
        tell(ready=True)
        asked = on(signal.SIGUSR1)
        while True:
            await asked.wait()
            asked.clear()
            tell(tasks=tasks(), descriptors=descriptors(), relayed=relay.relayed)


# -- endpoints -------------------------------------------------------------------------------------


class Fleet:
    """What services and clients have in common: they come, are restarted, and are counted."""

    def __init__(self, kind: str, folder: str, room: TaskRoom) -> None:
        self.folder = Path(folder)
        accounts = json.loads((self.folder / "accounts.json").read_text("utf-8"))
        self.accounts: list[list[Any]] = accounts[kind]
        self.room = room
        self.clock, self.entropy = SystemClock(), SystemEntropy()
        self.random = random.Random(os.getpid())
        self.counts: Counter[str] = Counter()
        self.calm = on(signal.SIGUSR2)
        self.units: list[Any] = []

    async def pause(self, mean: float) -> bool:
        """Wait a random time; return False when the storm is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.random.uniform(0.5, 1.5) * mean):
                await self.calm.wait()
        return not self.calm.is_set()

    async def run(self, baseline: tuple[int, int] | None = None) -> None:
        """Bring all online, let them be restless, then tell whether all is as before.

        `baseline` is what an earlier program of the fleet counted in calm; the storm is on then.
        """
        for unit in self.units:
            unit.open()
        storm, proof = on(signal.SIGUSR1), on(signal.SIGHUP)
        await self.settled()
        before = baseline or (tasks(), descriptors())
        tell(online=len(self.units), tasks=before[0], descriptors=before[1])
        if baseline is None:
            await storm.wait()
        acts = [self.room.start(unit.act(), name="act") for unit in self.units]
        await asyncio.wait(acts)
        failures = [repr(task.exception()) for task in acts if task.exception() is not None]
        await self.settled()
        tell(quiet=True)
        await proof.wait()
        await self.settled()
        proofs = await asyncio.gather(*(unit.prove() for unit in self.units))
        loop = asyncio.get_running_loop()
        until = loop.time() + 40  # meetings and abandoned tunnels live for 30 s
        while (after := (tasks(), descriptors())) != before and loop.time() < until:
            await asyncio.sleep(0.2)
        for number, one in enumerate(proofs):
            tell(unit=number, **one)
        tell(proved=True, before=before, after=after, counts=self.counts, failures=failures)
        await asyncio.Event().wait()

    async def settled(self) -> None:
        """Wait until all are online again; say who is not when patience ends."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not all(unit.settled for unit in self.units):
                    await asyncio.sleep(0.1)
        except TimeoutError:
            late = [unit for unit in self.units if not unit.settled]
            shown = [
                (unit.number, unit.endpoint.connectivity, unit.endpoint.status) for unit in late
            ]
            groups = [getattr(unit.endpoint, "services", ()) for unit in late]
            tell(late=str(shown), groups=str(groups))
            raise


class Service:
    """One service: raises numbered events, echoes calls and tunnels, is restarted now and then."""

    def __init__(self, fleet: Fleet, number: int) -> None:
        self.fleet, self.number = fleet, number
        self.site, self.uri, self.word = fleet.accounts[number]
        self.log = (fleet.folder / f"{number}.raised").open("a+", encoding="utf-8", buffering=1)
        self.log.seek(0)
        lines = self.log.read().split()
        # Killed between the intent and its completion: that number may have been raised or not.
        self.doubtful = [int(n[1:]) for n in lines if n[0] == "i" and f"d{n[1:]}" not in lines]
        self.raised = max((int(line[1:]) for line in lines), default=0)

    def open(self) -> None:
        fleet = self.fleet
        queue = FileQueue(fleet.folder / f"{self.number}.events", UNDURABLE)
        self.endpoint = ServiceEndpoint(
            self.uri, Secret(self.word), structure=STRUCTURE, settings=QUICK, queue=queue,
            room=fleet.room, clock=fleet.clock, entropy=fleet.entropy,
        )  # fmt: skip
        self.endpoint.offer("Echo", self._echo_call)
        self.room = fleet.room.child(f"service {self.number}")
        self.room.start(self._serve(self.endpoint.listen(PORT)), name="tunnels")
        self.endpoint.connect()

    @property
    def settled(self) -> bool:
        return self.endpoint.status is ServiceStatus.ONLINE and not len(self.endpoint.events)

    async def _echo_call(self, call: IncomingCall) -> bytes:
        return call.arguments

    async def _serve(self, listener: PortListener) -> None:
        while True:
            self.room.start(self._echo(await listener.accept()), name="tunnel")

    async def _echo(self, incoming: IncomingTcp) -> None:
        with incoming.socket as sock, contextlib.suppress(HostError, TimeoutError):
            async with asyncio.timeout(30):
                while part := await sockets.receive(sock, 65536):
                    await sockets.send_all(sock, part)

    async def act(self) -> None:
        lifetime = 0.0
        while await self.fleet.pause(PACE):
            if lifetime > self.fleet.random.expovariate(1 / LIFE) * 2:
                lifetime = 0.0
                await self.endpoint.close()
                await self.room.close()
                self.fleet.counts["restarts"] += 1
                self.open()
            lifetime += PACE
            self.raised += 1
            self.log.write(f"i{self.raised}\n")
            numbers = SequenceWriter().int32(self.number).int32(self.raised).encode()
            self.endpoint.events.raise_queueing("Alarm", numbers)
            self.log.write(f"d{self.raised}\n")
            self.fleet.counts["raised"] += 1

    async def prove(self) -> dict[str, Any]:
        return {"site": self.site, "raised": self.raised, "doubtful": self.doubtful}


class Client:
    """One client: follows the events of its site, calls and connects, is restarted as well."""

    def __init__(self, fleet: Fleet, number: int) -> None:
        self.fleet, self.number = fleet, number
        self.site, self.uri, self.word = fleet.accounts[number]
        self.lamps = sum(account[0] == self.site for account in fleet.accounts)
        self.got: dict[int, list[int]] = {}

    def open(self) -> None:
        fleet = self.fleet
        self.endpoint = ClientEndpoint(
            self.uri, Secret(self.word), service_type=STRUCTURE.service_type,
            contract_author=STRUCTURE.contract_author, settings=QUICK,
            positions=FilePositions(fleet.folder / f"{self.number}.positions"),
            room=fleet.room, clock=fleet.clock, entropy=fleet.entropy,
        )  # fmt: skip
        self.endpoint.events.subscribe(EventKind.QUEUEING, "Alarm", self._alarm)
        self.endpoint.connect()

    @property
    def settled(self) -> bool:
        online = [one for one in self.endpoint.services if one.online]
        return self.endpoint.status is ClientStatus.ONLINE and len(online) == self.lamps

    async def _alarm(self, event: IncomingEvent) -> None:
        assert event.arguments is not None
        reader = SequenceReader.root(event.arguments)
        self.got.setdefault(reader.int32(), []).append(reader.int32())

    async def act(self) -> None:
        lifetime = 0.0
        while await self.fleet.pause(PACE):
            if lifetime > self.fleet.random.expovariate(1 / LIFE) * 2:
                lifetime = 0.0
                await self.endpoint.close()
                self.fleet.counts["restarts"] += 1
                self.open()
            lifetime += PACE
            online = [one.id for one in self.endpoint.services if one.online]
            if online:
                act = self.fleet.random.choice((self._call, self._tunnel))
                try:
                    outcome = await act(self.fleet.random.choice(online))
                except GatewayError as error:
                    outcome = f"refused: {type(error).__name__}"
                self.fleet.counts[f"{act.__name__[1:]} {outcome}"] += 1

    async def _call(self, lamp: int) -> str:
        sent = SequenceWriter().int32(self.fleet.random.randrange(1 << 30)).encode()
        answer = await self.endpoint.call(lamp, "Echo", sent, timeout=5)
        if answer != sent:
            raise AssertionError(f"called with {sent.hex()}, answered {answer.hex()}")
        return "done"

    async def _tunnel(self, lamp: int) -> str:
        """Send numbered octets; what comes back must be their beginning, or all of them."""
        made = await self.endpoint.connect_tcp(lamp, PORT, timeout=8)
        back = bytearray()
        with made.socket as sock:
            sending = self.fleet.room.start(self._send(sock), name="sending")
            try:
                async with asyncio.timeout(15):
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
            raise AssertionError("a tunnel changed what it carried")
        return "done" if len(back) == len(NUMBERS) else "cut"

    @staticmethod
    async def _send(sock: Any) -> None:
        with contextlib.suppress(HostError):
            await sockets.send_all(sock, NUMBERS)

    async def prove(self) -> dict[str, Any]:
        outcomes = [await self._call(one.id) for one in self.endpoint.services]
        count = -1
        while count != (count := sum(map(len, self.got.values()))):  # until none comes any more
            await asyncio.sleep(2.0)
        chosen = self.endpoint.services[self.number % self.lamps].id
        outcomes.append(await self._tunnel(chosen))
        return {"site": self.site, "outcomes": outcomes, "got": self.got}


async def services(folder: str, *baseline: str) -> None:
    async with TaskRoom("services") as room:
        fleet = Fleet("services", folder, room)
        fleet.units = [Service(fleet, number) for number in range(len(fleet.accounts))]
        await fleet.run((int(baseline[0]), int(baseline[1])) if baseline else None)


async def clients(folder: str) -> None:
    async with TaskRoom("clients") as room:
        fleet = Fleet("clients", folder, room)
        fleet.units = [Client(fleet, number) for number in range(len(fleet.accounts))]
        await fleet.run()


if __name__ == "__main__":
    role, *words = sys.argv[1:]
    asyncio.run({"server": server, "services": services, "clients": clients}[role](*words))
