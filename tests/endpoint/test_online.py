"""Waiting for an endpoint to be online: it comes, it is refused for good, or time runs out."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.base.secret import Secret
from gateway.endpoint import ClientEndpoint, Conflict, RequestRefused, RequestTimedOut, TaskRoom
from gateway.model.kinds import ClientStatus
from gateway.wire.codes import ErrorCode
from tests.endpoint.softnet import softnet


async def test_a_client_waits_and_is_told(tmp_path: Path) -> None:
    async with softnet(tmp_path) as running, TaskRoom("test") as room:
        uri, password = await running.client_account(await running.site())

        def client(secret: Secret) -> ClientEndpoint:
            return ClientEndpoint(uri, secret, service_type="Echo", contract_author="Example",
                                  room=room)  # fmt: skip

        wrong = client(Secret("not the password"))
        with pytest.raises(Conflict):
            await wrong.online()
        wrong.connect()
        with pytest.raises(RequestRefused) as refused:
            await wrong.online(timeout=20)
        assert refused.value.code == ErrorCode.PASSWORD_NOT_MATCHED
        with pytest.raises(RequestRefused):
            await wrong.online()
        assert not wrong._subscribers
        # A site that is still blank has its clients parked.
        right = client(password)
        right.connect()
        with pytest.raises(RequestTimedOut):
            await right.online(timeout=0.3)
        assert right.status is not ClientStatus.ONLINE
        waiting = asyncio.ensure_future(right.online())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        waiting = asyncio.ensure_future(right.online())
        await asyncio.sleep(0)
        right.disconnect()
        with pytest.raises(Conflict):
            await waiting
        assert not right._subscribers
        for one in (wrong, right):
            await one.close()
