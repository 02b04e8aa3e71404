"""Events over the real tracker: raised, followed, restarted, refused; with files and without."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.asn1.reader import SequenceReader
from gateway.asn1.writer import SequenceWriter
from gateway.base.errors import Conflict, InvalidInput, NotFound
from gateway.base.secret import Secret
from gateway.endpoint.client import ClientEndpoint
from gateway.endpoint.events import EventDropped, EventStorageFailed, SubscriptionRefused
from gateway.endpoint.following import EventHandler
from gateway.endpoint.service import ServiceEndpoint, WhenFull
from gateway.endpoint.state import FilePositions, FileQueue
from gateway.model.kinds import ClientStatus, EventKind, GuestSupport, ServiceStatus, SiteKind
from gateway.model.structure import EventDefinition, SiteStructure
from gateway.protocol.endpoint_inbox import IncomingEvent
from gateway.protocol.endpoint_outbox import MemoryQueue
from gateway.registry import sites
from gateway.registry.database import Tx
from tests.endpoint.softnet import CAMERA, QUICK, Heard, Softnet, softnet

REPLACING, QUEUEING, PRIVATE = EventKind.REPLACING, EventKind.QUEUEING, EventKind.PRIVATE
STRUCTURE = SiteStructure(
    CAMERA.service_type,
    CAMERA.contract_author,
    GuestSupport.STATELESS,
    ("Administrator",),
    "Administrator",
    events=(
        EventDefinition(REPLACING, "State"),
        EventDefinition(QUEUEING, "Alarm", 3600, 100),
        EventDefinition(PRIVATE, "Note", 3600),
    ),
)


def number(value: int) -> bytes:
    return SequenceWriter().int32(value).encode()


class Taken:
    """A handler that keeps what it was given, as numbers; None for no arguments."""

    def __init__(self) -> None:
        self.events: list[IncomingEvent] = []
        self.numbers: list[int | None] = []
        self._more = asyncio.Event()

    async def __call__(self, event: IncomingEvent) -> None:
        self.events.append(event)
        octets = event.arguments
        self.numbers.append(None if octets is None else SequenceReader.root(octets).int32())
        self._more.set()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.numbers) < count:
                self._more.clear()
                await self._more.wait()


async def _service(
    running: Softnet, account: tuple[str, Secret], queue: FileQueue | None = None
) -> ServiceEndpoint:
    endpoint, heard = running.service(*account, STRUCTURE, queue=queue)
    endpoint.connect()
    await heard.until(lambda: endpoint.status is ServiceStatus.ONLINE)
    return endpoint


async def _client(
    running: Softnet,
    account: tuple[str, Secret | None],
    subscriptions: dict[tuple[EventKind, str], EventHandler],
    positions: FilePositions | None = None,
) -> ClientEndpoint:
    endpoint, heard = running.client(*account, positions=positions)
    for (kind, name), handler in subscriptions.items():
        endpoint.events.subscribe(kind, name, handler)
    endpoint.connect()
    await heard.until(lambda: endpoint.status is ClientStatus.ONLINE)
    return endpoint


async def test_all_kinds(tmp_path: Path) -> None:
    async with softnet(tmp_path) as running:
        site = await running.site()
        _, *account = await running.service_account(site, "Lamp")
        service = await _service(running, tuple(account))
        state, alarm, note = Taken(), Taken(), Taken()
        handlers = {(REPLACING, "State"): state, (QUEUEING, "Alarm"): alarm}
        client = await _client(running, await running.client_account(site), handlers)
        service.events.raise_replacing("State", number(1))
        await state.until(1)
        service.events.raise_replacing("State")
        await state.until(2)
        service.events.raise_null("State")
        await state.until(3)
        for value in range(20):
            service.events.raise_queueing("Alarm", number(value))
        await alarm.until(20)
        assert state.numbers == [1, None, None]
        assert [event.null for event in state.events] == [False, False, True]
        assert alarm.numbers == list(range(20))
        assert alarm.events[0].kind is QUEUEING
        assert alarm.events[0].service_id == client.services[0].id

        async def who(call: object) -> bytes:
            service.events.raise_private("Note", call.client_id, number(7))  # type: ignore[attr-defined]
            return b"\x30\x00"

        service.offer("Who", who)
        client.events.subscribe(PRIVATE, "Note", note)  # while online
        await client.call(client.services[0].id, "Who")
        await note.until(1)
        assert note.numbers == [7]
        async with asyncio.timeout(10):
            await service.events.taken()
        assert len(service.events) == 0


async def test_what_cannot_be_raised_or_followed(tmp_path: Path) -> None:
    async with softnet(tmp_path) as running:
        site = await running.site()
        _, *account = await running.service_account(site, "Lamp")
        service = await _service(running, tuple(account))
        events = service.events
        for wrong in ("Alarm", "Fire"):
            with pytest.raises(NotFound):
                events.raise_replacing(wrong)
        with pytest.raises(InvalidInput):
            events.raise_queueing("Alarm", b"no sequence")
        with pytest.raises(InvalidInput):
            events.raise_queueing("Alarm", SequenceWriter().octets(bytes(2048)).encode())
        with pytest.raises(InvalidInput):
            events.raise_private("Note", -1)
        assert len(events) == 0
        client, heard = running.client(*await running.client_account(site))
        subscription = client.events.subscribe(REPLACING, "Nothing", Taken())
        with pytest.raises(Conflict):
            client.events.subscribe(QUEUEING, "Nothing", Taken())
        with pytest.raises(InvalidInput):
            client.events.subscribe(QUEUEING, " ", Taken())
        client.connect()
        await heard.until(lambda: SubscriptionRefused("Nothing") in heard.events)
        subscription.cancel()
        subscription.cancel()
        uri = f"softnet-ms://{await _site_key(running, site)}@{running.host}"
        guest, _ = running.client(uri, None)
        with pytest.raises(InvalidInput):
            guest.events.subscribe(PRIVATE, "Note", Taken())


async def test_trap_e10_what_is_dropped_for_want_of_room_is_announced(tmp_path: Path) -> None:
    async with softnet(tmp_path) as running:
        site = await running.site()
        _, uri, password = await running.service_account(site, "Lamp")
        service = ServiceEndpoint(
            uri, password, structure=STRUCTURE, settings=QUICK, queue=MemoryQueue(210),
            when_full=WhenFull.DROP_OLDEST, room=running.room, clock=running.clock,
            entropy=running.entropy,
        )  # fmt: skip
        running.endpoints.append(service)
        heard = Heard(service)
        alarm = Taken()
        uids = [service.events.raise_queueing("Alarm", number(value)) for value in range(4)]
        assert [event for event in heard.events if isinstance(event, EventDropped)] == [
            EventDropped(QUEUEING, "Alarm", uid) for uid in uids[:2]
        ]
        service.connect()
        await heard.until(lambda: service.status is ServiceStatus.ONLINE)
        await _client(running, await running.client_account(site), {(QUEUEING, "Alarm"): alarm})
        await alarm.until(2)
        assert alarm.numbers == [2, 3]


async def _site_key(running: Softnet, site: int) -> str:
    def allow(tx: Tx) -> str:
        sites.set_guest_allowed(tx, site, allowed=True)
        return sites.get(tx, site).site_key

    return await running.registry.write(allow)


async def test_a_service_away_from_its_server_loses_nothing(tmp_path: Path) -> None:
    async with softnet(tmp_path) as running:
        site = await running.site()
        _, uri, password = await running.service_account(site, "Lamp")
        account = (uri, password)
        service = await _service(running, account, FileQueue(tmp_path / "events"))
        alarm = Taken()
        await _client(running, await running.client_account(site), {(QUEUEING, "Alarm"): alarm})
        service.events.raise_queueing("Alarm", number(0))
        await alarm.until(1)
        service.disconnect()
        for value in range(1, 6):
            service.events.raise_queueing("Alarm", number(value))
        await service.close()  # the program ends, with five events in its file
        again, heard = running.service(*account, STRUCTURE, queue=FileQueue(tmp_path / "events"))
        assert len(again.events) == 5
        again.events.raise_queueing("Alarm", number(6))
        again.connect()
        await alarm.until(7)
        assert alarm.numbers == list(range(7))
        assert not [event for event in heard.events if isinstance(event, EventStorageFailed)]
        async with asyncio.timeout(10):
            await again.events.taken()


async def test_a_client_goes_on_where_it_was(tmp_path: Path) -> None:
    async with softnet(tmp_path) as running:
        site = await running.site()
        _, *account = await running.service_account(site, "Lamp")
        service = await _service(running, tuple(account))
        client_account = await running.client_account(site)
        first, second = Taken(), Taken()
        client = await _client(
            running, client_account, {(QUEUEING, "Alarm"): first}, FilePositions(tmp_path / "at")
        )
        service.events.raise_queueing("Alarm", number(0))
        await first.until(1)
        await client.close()
        service.events.raise_queueing("Alarm", number(1))
        service.events.raise_queueing("Alarm", number(2))
        await _client(
            running, client_account, {(QUEUEING, "Alarm"): second}, FilePositions(tmp_path / "at")
        )
        await second.until(2)
        assert second.numbers == [1, 2]


@pytest.mark.parametrize("kind", [SiteKind.MULTI_SERVICE, SiteKind.SINGLE_SERVICE])
async def test_a_stateless_client_goes_on_where_it_was(tmp_path: Path, kind: SiteKind) -> None:
    async with softnet(tmp_path) as running:
        site = await running.site(kind)
        _, *account = await running.service_account(site, "Lamp")
        service = await _service(running, tuple(account))
        scheme = "ms" if kind is SiteKind.MULTI_SERVICE else "ss"
        uri = f"softnet-{scheme}://{await _site_key(running, site)}@{running.host}"
        first, second, third = Taken(), Taken(), Taken()
        service.events.raise_queueing("Alarm", number(0))
        client = await _client(
            running, (uri, None), {(QUEUEING, "Alarm"): first}, FilePositions(tmp_path / "at")
        )
        await first.until(1)
        await client.close()
        service.events.raise_queueing("Alarm", number(1))
        await _client(
            running, (uri, None), {(QUEUEING, "Alarm"): second}, FilePositions(tmp_path / "at")
        )
        await second.until(1)
        assert second.numbers == [1]
        await _client(running, (uri, None), {(QUEUEING, "Alarm"): third})
        await third.until(2)  # without a file it gets all that is kept
        assert third.numbers == [0, 1]


async def test_slow_and_failing_handlers(tmp_path: Path) -> None:
    async with softnet(tmp_path) as running:
        site = await running.site()
        _, *account = await running.service_account(site, "Lamp")
        service = await _service(running, tuple(account))
        gate, begun, state = asyncio.Event(), asyncio.Event(), Taken()
        seen: list[bytes | None] = []

        async def slow(event: IncomingEvent) -> None:
            seen.append(event.arguments)
            begun.set()
            if len(seen) == 1:
                await gate.wait()
            else:
                raise ValueError("on purpose")

        client = await _client(
            running,
            await running.client_account(site),
            {(QUEUEING, "Alarm"): slow, (REPLACING, "State"): state},
        )
        service.events.raise_queueing("Alarm", number(1))
        service.events.raise_queueing("Alarm", number(2))
        async with asyncio.timeout(10):
            await begun.wait()
        service.events.raise_replacing("State", number(1))
        await state.until(1)  # other events do not wait
        assert seen == [number(1)]
        client.disconnect()
        client.connect()  # the first is delivered again while its handler runs
        service.events.raise_replacing("State", number(2))
        await state.until(2)
        assert seen == [number(1)]
        begun.clear()
        gate.set()
        async with asyncio.timeout(10):
            await begun.wait()
        assert seen == [number(1), number(2)]
        service.events.raise_replacing("State", number(3))
        await state.until(3)
        assert seen == [number(1), number(2)]  # the failed one comes again after 300 s
        client.disconnect()
        client.connect()  # or in the next session
        begun.clear()
        async with asyncio.timeout(10):
            await begun.wait()
        assert seen == [number(1), number(2), number(2)]
