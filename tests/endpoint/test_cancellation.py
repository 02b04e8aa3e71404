"""Cancelled at every single await, endpoints leave nothing behind and work as before.

What is enumerated are the awaits of the tasks that carry a connection, a call or a session, each
both while it waits and in the moment in which what it waits for has come.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.endpoint.calls import EMPTY, IncomingCall
from gateway.endpoint.client import ClientEndpoint
from gateway.endpoint.events import ConnectivityStatus
from gateway.endpoint.forward import LocalForward
from gateway.endpoint.service import PortListener, ServiceEndpoint, UdpPortListener
from gateway.endpoint.session import Endpoint
from gateway.model.kinds import ClientStatus, ServiceStatus
from gateway.net import sockets
from tests.endpoint.interruptions import Interruption, Moment, interrupting
from tests.endpoint.softnet import Heard, softnet

AWAITS_MAX = 60
"""More than any of these tasks has."""
both_moments = pytest.mark.parametrize("moment", Moment, ids=lambda one: one.name.lower())


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


async def settled(true: Callable[[], object], seconds: float = 10) -> None:
    """Wait until the loop has wound up what was interrupted."""
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.002)


async def every_await(
    name: str, moment: Moment, once: Callable[[Interruption], Awaitable[None]]
) -> int:
    """Run `once` with an interruption at the first await, the second, and so on to the last."""
    for place in range(1, AWAITS_MAX):
        told = Interruption(name, place, moment, lambda: None)
        with interrupting(told):
            await once(told)
        if not told.happened:
            assert told.found, f"no task began with {name}"
            return place - 1
    raise AssertionError("it never ends")


async def taken(listener: PortListener | UdpPortListener, until: asyncio.Task[Any]) -> list[Any]:
    """Take what comes to a port until a task is done."""
    got: list[Any] = []

    async def take() -> None:
        while True:
            got.append(await listener.accept())

    taking = asyncio.ensure_future(take())
    await asyncio.wait([until])
    taking.cancel()
    await asyncio.wait([taking])
    return got


def ends(one: Any) -> Any:
    return one.socket if hasattr(one, "socket") else one.peer


@pytest.mark.timeout_s(120)
@both_moments
@pytest.mark.parametrize("direct", [True, False], ids=["direct", "relay"])
@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_a_connection_is_given_up_at_every_await(
    tmp_path: Path, transport: str, direct: bool, moment: Moment
) -> None:
    """The caller is cancelled wherever its own task, the client's or the service's waits."""
    async with softnet(tmp_path, direct=direct) as running:
        service, client, remote = await running.online_pair()
        connect = client.connect_tcp if transport == "tcp" else client.connect_udp
        listener = service.listen(9, backlog=500) if transport == "tcp" else None
        listener = listener or service.listen_udp(9, backlog=500)

        async def ask() -> Any:
            return await connect(remote, 9)

        async def whole() -> None:
            asking = running.room.start(ask(), name="ask")
            for one in [*await taken(listener, asking), asking.result()]:
                ends(one).close()

        await whole()
        await settled(lambda: not service._arrivals._arrivals)
        before = descriptors()

        async def once(told: Interruption) -> None:
            asking = running.room.start(ask(), name="ask")
            told.act = asking.cancel
            accepted = await taken(listener, asking)
            if not asking.cancelled():
                assert not told.happened
                accepted.append(asking.result())
            for one in accepted:
                ends(one).close()
            assert not client._departures

        own = once.__qualname__.replace("once", "ask")
        for name in (own, "Departures._depart", "Arrivals._arrive"):
            assert await every_await(name, moment, once) >= (1 if name is own else 3)
        await whole()
        listener.close()
        # What one side brought to the relay waits there for the other side, 30 s at most.
        await settled(
            lambda: (
                not service._arrivals._arrivals
                and descriptors() - len(running.relay._waiting) <= before
            )
        )


@both_moments
async def test_an_accept_is_given_up_and_the_connection_is_the_next_ones(
    tmp_path: Path, moment: Moment
) -> None:
    async with softnet(tmp_path, direct=False) as running:
        service, client, remote = await running.online_pair()
        listener = service.listen(9)

        async def accept() -> Any:
            return await listener.accept()

        async def once(told: Interruption) -> None:
            first = running.room.start(accept(), name="accept")
            told.act = first.cancel
            asking = running.room.start(client.connect_tcp(remote, 9), name="ask")
            if moment is Moment.WAITING:
                await asyncio.wait([first], timeout=0.05)
            second = running.room.start(listener.accept(), name="accept")
            await asyncio.wait([asking])
            asking.result().socket.close()
            if not told.happened:
                second.cancel()
            taken = await (second if told.happened else first)
            assert first.cancelled() is told.happened
            taken.socket.close()

        assert await every_await(accept.__qualname__, moment, once) == 1


@both_moments
async def test_a_call_is_given_up_at_every_await(tmp_path: Path, moment: Moment) -> None:
    async with softnet(tmp_path, direct=False) as running:
        service, client, remote = await running.online_pair()
        gate = asyncio.Event()

        async def slow(_call: IncomingCall) -> bytes:
            await asyncio.sleep(0)
            return EMPTY

        async def stuck(_call: IncomingCall) -> bytes:
            await gate.wait()
            return EMPTY

        service.offer("Slow", slow, limit=1)
        service.offer("Stuck", stuck, limit=1)

        async def ask() -> bytes:
            return await client.call(remote, "Slow")

        async def once(told: Interruption) -> None:
            asking = running.room.start(ask(), name="ask")
            told.act = asking.cancel
            await asyncio.wait([asking])
            assert asking.cancelled() is told.happened
            assert client._calls == {}
            await settled(lambda: not service._memory.running["Slow"])

        for name in (ask.__qualname__, "serve_call"):
            assert await every_await(name, moment, once) >= 1
        asking = running.room.start(client.call(remote, "Stuck"), name="ask")
        await settled(lambda: service._memory.running["Stuck"])
        await service.close()  # cancels the handler
        await asyncio.wait([asking])
        assert asking.exception() is not None
        assert client._calls == {}


def _is_online(endpoint: Endpoint) -> bool:
    if isinstance(endpoint, ServiceEndpoint):
        return endpoint.status is ServiceStatus.ONLINE
    assert isinstance(endpoint, ClientEndpoint)
    return endpoint.status is ClientStatus.ONLINE


@pytest.mark.timeout_s(120)
@both_moments
@pytest.mark.parametrize("how", ["disconnect", "close"])
@pytest.mark.parametrize("kind", ["service", "client"])
async def test_a_session_is_ended_at_every_await(
    tmp_path: Path, kind: str, how: str, moment: Moment
) -> None:
    """Wherever finding, connecting and staying connected waits; afterwards all goes as before."""
    async with softnet(tmp_path, direct=False) as running:
        site = await running.site()
        service, _ = await running.online_service(site)
        await service.close()
        if kind == "service":
            _, uri, password = await running.service_account(site, "Side Door")
        else:
            uri, password = await running.client_account(site)

        def make() -> tuple[Endpoint, Heard]:
            return (running.service if kind == "service" else running.client)(uri, password)

        async def left(endpoint: Endpoint) -> None:
            status = (
                ConnectivityStatus.CLOSED if how == "close" else ConnectivityStatus.DISCONNECTED
            )
            await settled(lambda: endpoint.connectivity.status is status)
            await settled(lambda: not len(endpoint._room))
            assert endpoint._session is None
            assert endpoint._pump is None
            assert not _is_online(endpoint)

        async def end(endpoint: Endpoint) -> None:
            if how == "close":
                await endpoint.close()
                assert heard_of[endpoint].connectivity[-1][0] is ConnectivityStatus.CLOSED
            else:
                endpoint.disconnect()

        heard_of: dict[Endpoint, Heard] = {}
        endpoint, heard = make()
        heard_of[endpoint] = heard
        endpoint.connect()
        await heard.until(lambda: _is_online(endpoint))
        await end(endpoint)
        await left(endpoint)
        await settled(lambda: not running.tracker.connections)
        before = descriptors()

        async def once(told: Interruption) -> None:
            endpoint, heard = make()
            heard_of[endpoint] = heard
            ending: list[asyncio.Task[None]] = []
            told.act = lambda: ending.append(running.room.start(end(endpoint), name="end"))
            if how == "disconnect":
                told.act = endpoint.disconnect
            endpoint.connect()
            await settled(lambda: told.happened or _is_online(endpoint))
            if not told.happened:
                await end(endpoint)
            await left(endpoint)
            for one in ending:
                await one
            told_before = len(heard.events)
            if how == "disconnect":
                endpoint.connect()
                await heard.until(lambda: _is_online(endpoint))
                assert not [1 for event in heard.events[:told_before] if "Failed" in repr(event)]
                await endpoint.close()
            await settled(lambda: not running.tracker.connections and descriptors() <= before)

        assert await every_await("Endpoint._keep", moment, once) >= 5
        gc.collect()


@both_moments
async def test_closing_is_given_up_and_done_again(tmp_path: Path, moment: Moment) -> None:
    async with softnet(tmp_path, direct=False) as running:
        site = await running.site()
        before = None

        async def once(told: Interruption) -> None:
            nonlocal before
            service, _ = await running.online_service(site)
            client, heard = await running.online_client(site)
            await heard.until(lambda: any(found.online for found in client.services))
            service.listen(9)
            asking = running.room.start(client.connect_tcp(client.services[0].id, 9), name="ask")

            async def close() -> None:
                await service.close()
                await client.close()

            closing = running.room.start(close(), name="close")
            told.act = closing.cancel
            await asyncio.wait([closing])
            assert closing.cancelled() is told.happened
            await service.close()
            await client.close()
            await asyncio.wait([asking])
            for one in (service, client):
                assert one.connectivity.status is ConnectivityStatus.CLOSED
                assert not len(one._room)
            await settled(lambda: not running.tracker.connections)
            before = before or descriptors()
            await settled(lambda: descriptors() - len(running.relay._waiting) <= (before or 0))

        name = "test_closing_is_given_up_and_done_again.<locals>.once.<locals>.close"
        assert await every_await(name, moment, once) >= 2


@both_moments
async def test_a_local_forward_is_closed_at_every_await(tmp_path: Path, moment: Moment) -> None:
    async with softnet(tmp_path, direct=False) as running:
        service, client, remote = await running.online_pair()
        listener = service.listen(9, backlog=500)
        before = descriptors()

        async def once(told: Interruption) -> None:
            forward = LocalForward(client, remote, 9, room=running.room)
            address = forward.open(running.host)
            over = asyncio.Event()
            closing: list[asyncio.Task[None]] = []

            def act() -> None:
                closing.append(running.room.start(forward.close(), name="close"))
                over.set()

            told.act = act
            local = await sockets.connect(*address)
            accepting = running.room.start(listener.accept(), name="accept")
            speaking = running.room.start(_speak(local, accepting), name="speak")
            stopping = running.room.start(over.wait(), name="over")
            await asyncio.wait([speaking, stopping], return_when=asyncio.FIRST_COMPLETED)
            for one in (speaking, accepting, stopping):
                one.cancel()
            await asyncio.wait([speaking, accepting, stopping])
            if not accepting.cancelled():
                accepting.result().socket.close()
            local.close()
            for one in closing:
                await one
            await forward.close()
            assert not client._departures

        assert await every_await("LocalForward._serve", moment, once) >= 2
        listener.close()
        await settled(
            lambda: (
                not service._arrivals._arrivals
                and descriptors() - len(running.relay._waiting) <= before
            )
        )


async def _speak(local: Any, accepting: asyncio.Task[Any]) -> None:
    await sockets.send_all(local, b"hello")
    with (await asyncio.shield(accepting)).socket as sock:
        assert await sockets.read_exactly(sock, 5, 5) == b"hello"
        sockets.close_write(local)
        assert await sockets.receive(sock, 1) == b""
        await sockets.send_all(sock, b"bye")
        sockets.close_write(sock)
        assert await sockets.read_exactly(local, 3, 5) == b"bye"
        assert await sockets.receive(local, 1) == b""


@both_moments
async def test_waiting_for_events_to_be_taken_is_given_up(tmp_path: Path, moment: Moment) -> None:
    async with softnet(tmp_path, direct=False) as running:
        site = await running.site()
        service, _ = await running.online_service(site)

        async def wait() -> None:
            await service.events.taken()

        async def once(told: Interruption) -> None:
            service.events.raise_null("Status")
            waiting = running.room.start(wait(), name="wait")
            told.act = waiting.cancel
            await asyncio.wait([waiting])
            assert waiting.cancelled() is told.happened
            await service.events.taken()
            assert not service.events._waiting

        assert await every_await(wait.__qualname__, moment, once) == 1
