"""Endpoints with an account that send what they may, only far too much of it."""

from __future__ import annotations

import pytest

from gateway.asn1.writer import SequenceWriter
from gateway.registry import snapshots
from gateway.registry.database import Reader
from gateway.site.presence import STORAGES_MAX
from gateway.wire import pubsub, rpc
from gateway.wire.channel import Error
from gateway.wire.codes import ErrorCode
from gateway.wire.installer import ServiceOnline
from tests.support.raw_peer import Gone, RawPeer
from tests.support.structures import CAMERA
from tests.tracker.conftest import OpenServer, Server, ServiceAccount

LARGEST = SequenceWriter().octets(bytes(65_000)).encode()


async def online_service(server: Server, site_id: int) -> tuple[ServiceAccount, RawPeer]:
    account = await server.service(site_id)
    first = await server.connect_service(account)
    await first.install_service(CAMERA)  # builds the site
    await first.close()
    service = await server.connect_service(account)
    assert await service.install_service(CAMERA) == ServiceOnline()
    return account, service


async def online_client(server: Server, site_id: int) -> RawPeer:
    client = await server.connect_client(await server.client(site_id))
    await client.install_client(CAMERA)
    return client


def _storage(reader: Reader, site_id: int, account: ServiceAccount) -> bytes | None:
    service = snapshots.load(reader, site_id).service(account.id)
    assert service is not None
    return service.storage_uid


@pytest.mark.timeout_s(60)
async def test_one_client_cannot_have_a_service_cut_off(open_server: OpenServer) -> None:
    """A service on a thin line has much unread when one client calls it without end.

    Who has 8 MiB unread is cut off as one that does not read; it must not be its client's doing.
    """
    async with open_server() as server:
        site_id = await server.site()
        account, service = await online_service(server, site_id)
        client = await online_client(server, site_id)
        calls = 400
        for number in range(calls):
            uid = number.to_bytes(16, "big")
            client.send(rpc.CallRequest(uid, account.id, "Look", LARGEST))
        busy = 0
        while busy < calls - 200:  # what is let through is not answered: nobody reads it yet
            refused = await client.until(rpc.CallRefused)
            assert refused.error_code == ErrorCode.SERVICE_BUSY
            busy += 1
        assert [view.online for view in server.tracker.view(site_id)] == [True, True]
        call = await service.until(rpc.ServiceCallRequest)
        answer = SequenceWriter().encode()
        service.send(
            rpc.ServiceCallResult(call.transaction_uid, call.user_kind, call.client_id, answer)
        )
        assert (await client.until(rpc.CallResult)).result == answer
        for peer in (client, service):
            await peer.close()


async def test_a_service_with_ever_new_storages_is_sent_away(open_server: OpenServer) -> None:
    """Each is a transaction: one service must not keep the registry busy for all."""
    async with open_server() as server:
        site_id = await server.site()
        account, service = await online_service(server, site_id)
        written = 0

        def count(_changes: object) -> None:
            nonlocal written
            written += 1

        unsubscribe = server.registry.subscribe(count)
        service.send(pubsub.NewStorageUid(b"same" * 4))
        for _ in range(1000):  # the same again is nothing new
            service.send(pubsub.NewStorageUid(b"same" * 4))
        service.send_octets(bytes.fromhex("020201"))
        while (await service.receive()).__class__.__name__ != "Pong":
            pass
        for number in range(1000):
            service.send(pubsub.NewStorageUid(number.to_bytes(16, "big")))
        try:
            told = await service.until(Error)
        except Gone:
            pytest.fail("closed without a word")
        assert told == Error(int(ErrorCode.ENDPOINT_DATA_FORMAT_ERROR))
        known = (STORAGES_MAX - 2).to_bytes(16, "big")
        await server.until_stored(lambda reader: _storage(reader, site_id, account) == known)
        unsubscribe()
        assert written < 40
        await service.close()
