"""What the services and the clients of the lossy run have in common, as programs.

Each prints JSON lines. SIGUSR1 begins the restlessness of endpoints (restarts, calls, connections)
and the raising of events; SIGUSR2 ends it, and all must come back by themselves; SIGHUP lets them
be tried out once more, counted and told.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
from collections import Counter, deque
from pathlib import Path
from typing import Any, Protocol

from gateway.asn1.reader import SequenceReader
from gateway.asn1.writer import SequenceWriter
from gateway.base.clock import SystemClock
from gateway.base.entropy import SystemEntropy
from gateway.endpoint.events import ConnectivityChanged, EndpointEvent, StatusChanged
from gateway.endpoint.session import Endpoint
from gateway.endpoint.settings import EndpointSettings
from gateway.model.kinds import EventKind, GuestSupport
from gateway.model.structure import EventDefinition, SiteStructure
from gateway.net.tasks import TaskRoom
from gateway.protocol.backoff import BackOffTable
from gateway.wire.installer import PING_PERIOD_MIN

EVENTS = {
    EventKind.REPLACING: "State",
    EventKind.QUEUEING: "Alarm",
    EventKind.PRIVATE: "Letter",
}
STRUCTURE = SiteStructure(
    "Lossy", "Softnet Camera Gateway", GuestSupport.NONE, ("Administrator",), "Administrator",
    (
        EventDefinition(EventKind.REPLACING, "State"),
        EventDefinition(EventKind.QUEUEING, "Alarm", 3600, 1000),
        EventDefinition(EventKind.PRIVATE, "Letter", 3600),
    ),
)  # fmt: skip
PORT = 554
PROCEDURE = "Echo"
SETTINGS = EndpointSettings(
    ping_period=PING_PERIOD_MIN,
    back_off=BackOffTable(
        balancer=(0.2, 0.5, 1), tracker=(0.1, 0.1, 0.2, 0.5, 1), minute=1, no_address=1
    ),
)
"""The shortest ping: whose end was lost on its way is missed by nobody but the ping."""
PACE = 3.0
"""Mean seconds between two acts of an endpoint."""
LIFE = 30.0
"""Mean seconds until an endpoint is restarted."""
AWAY = 2.0
"""Mean seconds that a restarted endpoint is away, every second time."""
PATIENCE = 90.0
"""Seconds in which all must be back after the storm."""
UNNOTICED = 2.0 * PING_PERIOD_MIN + 5.0
"""Seconds after which no endpoint takes a connection for alive that is not: ping and its wait."""
LEFTOVERS = 60.0
"""Seconds for what was abandoned; meetings and half-open tunnels live for 30 s."""
HISTORY = 30


def tell(**values: Any) -> None:
    """Print one JSON line."""
    print(json.dumps(values), flush=True)


def descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def on(number: int) -> asyncio.Event:
    """Return an event that a signal sets."""
    event = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(number, event.set)
    return event


def numbered(unit: int, number: int) -> bytes:
    """Return the arguments of an event: who raised it, and its number there."""
    return SequenceWriter().int32(unit).int32(number).encode()


def read_numbered(arguments: bytes | None) -> tuple[int, int]:
    """Return unit and number of an event's arguments."""
    assert arguments is not None
    reader = SequenceReader.root(arguments)
    return reader.int32(), reader.int32()


class Unit(Protocol):
    """One endpoint of a fleet, with the program round it."""

    number: int

    @property
    def endpoint(self) -> Endpoint:
        """Return the endpoint as it is now; a restart makes another one."""

    def open(self) -> None:
        """Make the endpoint and connect."""

    async def shut(self) -> None:
        """Close the endpoint and what belongs to it."""

    @property
    def settled(self) -> bool:
        """Tell whether all is as it should be in calm."""

    @property
    def shown(self) -> str:
        """Return its state, for people."""

    async def act(self) -> None:
        """Do something, whatever comes of it."""

    async def warm(self) -> None:
        """Do everything once, so that what is made at first use is there."""

    async def prove(self) -> dict[str, Any]:
        """Do everything once more and return what is to be judged."""


class Fleet:
    """All endpoints of one program: they come, are restless, and are counted."""

    def __init__(self, kind: str, folder: str, room: TaskRoom) -> None:
        self.folder = Path(folder)
        self.everybody: dict[str, list[list[Any]]] = json.loads(
            (self.folder / "accounts.json").read_text("utf-8")
        )
        self.accounts = self.everybody[kind]
        self.room = room
        self.clock, self.entropy = SystemClock(), SystemEntropy()
        self.random = random.Random(os.getpid())
        self.counts: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.calm = on(signal.SIGUSR2)
        self.units: list[Unit] = []
        self._history: dict[int, deque[str]] = {}

    def watch(self, number: int, endpoint: Endpoint) -> None:
        """Remember what an endpoint announces, to be shown when it does not come back."""
        history = self._history.setdefault(number, deque(maxlen=HISTORY))
        history.append("new endpoint")

        def heard(event: EndpointEvent) -> None:
            if isinstance(event, ConnectivityChanged):
                now = event.connectivity
                history.append(f"{now.status.name} {int(now.error)} {now.message}")
                if now.error:
                    self.errors[now.error.name] += 1
            elif isinstance(event, StatusChanged):
                history.append(event.status.name)

        endpoint.subscribe(heard)

    async def pause(self, mean: float) -> bool:
        """Wait a random time; return False when the storm is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.random.uniform(0.5, 1.5) * mean):
                await self.calm.wait()
        return not self.calm.is_set()

    async def run(self, baseline: tuple[int, int] | None = None) -> None:
        """Bring all online, let them be restless, then tell whether all is as before.

        `baseline` is what an earlier program of the fleet counted in calm. The storm is on then,
        and all of them are hardly ever online in the same moment.
        """
        for unit in self.units:
            unit.open()
        storm, proof = on(signal.SIGUSR1), on(signal.SIGHUP)
        if baseline is None:
            await self._settled()
            before = len(asyncio.all_tasks()), descriptors()
            await asyncio.gather(*(unit.warm() for unit in self.units))
            await self._leftovers(before)
            tell(begun=len(self.units), baseline=before)
            await storm.wait()
        else:
            before = baseline
            tell(begun=len(self.units))
        acts = [self.room.start(self._restless(unit), name="restless") for unit in self.units]
        await asyncio.wait(acts)
        failures = [repr(task.exception()) for task in acts if task.exception() is not None]
        await asyncio.sleep(UNNOTICED)
        await self._settled()
        tell(quiet=True)
        await proof.wait()
        await self._settled()
        proofs = await asyncio.gather(*(unit.prove() for unit in self.units))
        left = await self._leftovers(before)
        for number, one in enumerate(proofs):
            tell(unit=number, **one)
        tell(
            proved=True, left=left, counts=self.counts, errors=self.errors, failures=failures
        )  # fmt: skip
        await asyncio.Event().wait()

    async def _restless(self, unit: Unit) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + self.random.expovariate(1 / LIFE)
        while await self.pause(PACE):
            if loop.time() < end:
                await unit.act()
                continue
            end = loop.time() + self.random.expovariate(1 / LIFE)
            how = self.random.choice(("restarted", "restarted later", "reconnected"))
            self.counts[how] += 1
            if how == "reconnected":
                unit.endpoint.disconnect()
                unit.endpoint.connect()
                continue
            await unit.shut()
            if how == "restarted later":
                await self.pause(AWAY)
            unit.open()

    async def _leftovers(self, before: tuple[int, int]) -> list[str]:
        """Return what is more or less than before, once abandoned things had their time."""
        loop = asyncio.get_running_loop()
        until = loop.time() + LEFTOVERS
        while (after := (len(asyncio.all_tasks()), descriptors())) != before:
            if loop.time() >= until:
                names = sorted(task.get_name() for task in asyncio.all_tasks())
                return [f"tasks and descriptors {after}, before {before}", *names]
            await asyncio.sleep(0.2)
        return []

    async def _settled(self) -> None:
        """Wait until all are online again; say who is not when patience ends."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not all(unit.settled for unit in self.units):
                    await asyncio.sleep(0.1)
        except TimeoutError:
            for unit in self.units:
                if not unit.settled:
                    history = list(self._history[unit.number])
                    tell(late=unit.number, shown=unit.shown, history=history)
            raise
