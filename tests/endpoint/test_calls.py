"""Procedures over the real tracker: results, both sorts of errors, limits, losses."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.access.ports import RolesRule
from gateway.asn1.reader import SequenceReader
from gateway.asn1.writer import SequenceWriter
from gateway.base.errors import Conflict, InvalidInput
from gateway.endpoint.calls import EMPTY, IncomingCall, ProcedureFailed
from gateway.endpoint.errors import (
    AccessDenied,
    ClientOffline,
    MissingProcedure,
    RequestRefused,
    ServiceBusy,
    ServiceOffline,
)
from tests.endpoint.softnet import softnet


async def test_calls(tmp_path: Path) -> None:
    async with softnet(tmp_path) as running:
        site = await running.site()
        service, _ = await running.online_service(site)
        await running.user(site, "Eve", "User")
        client, heard = await running.online_client(site, "Eve")
        await heard.until(lambda: any(found.online for found in client.services))
        remote = client.services[0].id
        gate = asyncio.Event()

        async def greet(call: IncomingCall) -> bytes:
            name = SequenceReader.root(call.arguments).utf8(0, 100)
            return SequenceWriter().utf8(f"{name} from {call.actor.name}").encode()

        async def fail(_call: IncomingCall) -> bytes:
            raise ProcedureFailed(77, EMPTY)

        async def wrong(_call: IncomingCall) -> bytes:
            return b"not a sequence"

        async def wait(_call: IncomingCall) -> bytes:
            await gate.wait()
            return EMPTY

        service.offer("Greet", greet)
        service.offer("Fail", fail)
        service.offer("Wrong", wrong)
        service.offer("Wait", wait, limit=1)
        service.offer("Admin", greet, rule=RolesRule(("Administrator",)))
        with pytest.raises(Conflict):
            service.offer("Greet", greet)
        with pytest.raises(InvalidInput):
            service.offer("9", greet)

        hello = SequenceWriter().utf8("hello").encode()
        result = await client.call(remote, "Greet", hello)
        assert SequenceReader.root(result).utf8(0, 100) == "hello from Eve"
        with pytest.raises(ProcedureFailed) as failed:
            await client.call(remote, "Fail")
        assert (failed.value.code, failed.value.error) == (77, EMPTY)
        with pytest.raises(MissingProcedure):
            await client.call(remote, "Fly")
        with pytest.raises(AccessDenied):
            await client.call(remote, "Admin", hello)
        with pytest.raises(RequestRefused) as refused:
            await client.call(remote, "Wrong")
        assert refused.value.code == 133
        with pytest.raises(InvalidInput):
            await client.call(remote, "Greet", b"hello")
        waiting = running.room.start(client.call(remote, "Wait"), name="wait")
        await asyncio.sleep(0.1)
        with pytest.raises(ServiceBusy):
            await client.call(remote, "Wait")
        gate.set()
        assert await waiting == EMPTY
        gate.clear()
        lost = running.room.start(client.call(remote, "Wait"), name="wait")
        await asyncio.sleep(0.1)
        client.disconnect()
        with pytest.raises(ClientOffline):
            await lost
        assert client._calls == {}


async def test_a_call_that_is_cancelled_frees_its_place(tmp_path: Path) -> None:
    async with softnet(tmp_path) as running:
        site = await running.site()
        service, _ = await running.online_service(site)
        client, heard = await running.online_client(site)
        await heard.until(lambda: any(found.online for found in client.services))
        remote = client.services[0].id
        tags: list[bytes | None] = []

        async def give_up(call: IncomingCall) -> bytes:
            tags.append(call.session_tag)
            raise asyncio.CancelledError

        service.offer("GiveUp", give_up, limit=1)
        with pytest.raises(InvalidInput):
            service.offer("Never", give_up, limit=0)
        tag = SequenceWriter().int32(5).encode()
        for _ in range(3):
            with pytest.raises(RequestRefused) as refused:
                await client.call(remote, "GiveUp", session_tag=tag)
            assert refused.value.code == 133
        assert tags == [tag] * 3
        for wrong in (b"", b"x" * 5, SequenceWriter().octets(bytes(130)).encode()):
            with pytest.raises(InvalidInput):
                await client.call(remote, "GiveUp", session_tag=wrong)


async def test_the_limit_counts_what_earlier_sessions_brought(tmp_path: Path) -> None:
    async with softnet(tmp_path) as running:
        site = await running.site()
        service, _ = await running.online_service(site)
        client, heard = await running.online_client(site)
        await heard.until(lambda: any(found.online for found in client.services))
        remote = client.services[0].id
        gate, begun = asyncio.Event(), asyncio.Event()

        async def wait(_call: IncomingCall) -> bytes:
            begun.set()
            await gate.wait()
            return EMPTY

        service.offer("Wait", wait, limit=1)
        lost = running.room.start(client.call(remote, "Wait"), name="wait")
        await begun.wait()
        service.disconnect()
        with pytest.raises(ServiceOffline):
            await lost
        service.connect()
        await heard.until(lambda: any(found.online for found in client.services))
        with pytest.raises(ServiceBusy):
            await client.call(remote, "Wait")
        gate.set()
        await asyncio.sleep(0)
        assert await client.call(remote, "Wait") == EMPTY
