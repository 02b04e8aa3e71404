"""Sites in memory: loaded, reloaded, unloaded, and consistent while much happens at once."""

from __future__ import annotations

import asyncio
import dataclasses
import threading

from gateway.model.kinds import Authority, EndpointType, SiteKind
from gateway.registry import clients, members, owners, passwords, services, sites, structure
from gateway.wire import connect, pubsub, rpc
from gateway.wire.channel import ClientOpen, Error, Ping, Pong
from gateway.wire.codes import ErrorCode
from gateway.wire.groups import ServiceOnlineInGroup2
from gateway.wire.installer import (
    ClientOnline,
    GetSiteStructure,
    ServiceOnline,
    UploadSiteStructure,
)
from gateway.wire.membership import UserList
from tests.support.raw_peer import RawPeer
from tests.support.structures import CAMERA
from tests.tracker.conftest import OpenServer, Server, ServiceAccount


async def online(server: Server, account: ServiceAccount, version: str = "1.0") -> RawPeer:
    """Bring a service online, building its site where that is blank."""
    peer = await server.connect_service(account)
    verdict = await peer.install_service(CAMERA, version)
    if verdict == Error(int(ErrorCode.RESTART)):
        await peer.close()
        peer = await server.connect_service(account)
        verdict = await peer.install_service(CAMERA, version)
    assert verdict == ServiceOnline()
    return peer


async def test_an_unused_site_leaves_the_memory_and_comes_back(open_server: OpenServer) -> None:
    async with open_server(unload_after=1.0) as server:
        site_id = await server.site()
        account = await server.service(site_id)
        service = await online(server, account)
        directory = server.tracker._sites
        assert len(directory) == 1
        await service.close()
        while len(directory):
            await asyncio.sleep(0.05)
        again = await online(server, account)
        assert server.tracker.view(site_id)[0].online
        await again.close()


async def test_many_endpoints_while_management_is_at_work(open_server: OpenServer) -> None:
    async with open_server() as server:
        site_id = await server.site()
        accounts = [await server.service(site_id, f"Cam {n}") for n in range(12)]
        first = await online(server, accounts[0])

        async def manage() -> None:
            for number in range(30):
                await server.registry.write(
                    lambda tx, n=number: services.set_hostname(tx, accounts[n % 12].id, f"Cam {n}x")
                )

        async def come(account: ServiceAccount) -> RawPeer:
            return await online(server, account, version="2.0")

        *peers, _ = await asyncio.gather(*(come(a) for a in accounts[1:]), manage())
        await server.until_stored(
            lambda r: sum(s.version == "2.0" for s in services.list_for(r, site_id)) == 11
        )
        # Nobody was sent away because a stale snapshot came in between.
        assert sum(view.online for view in server.tracker.view(site_id)) == 12
        for peer in (first, *peers):
            assert not any(isinstance(message, Error) for message in peer.received)
            await peer.close()


async def test_a_new_version_reaches_clients_once(open_server: OpenServer) -> None:
    async with open_server() as server:
        site_id = await server.site()
        account = await server.service(site_id)
        service = await online(server, account)
        client = await server.connect_client(await server.client(site_id))
        assert isinstance(await client.install_client(CAMERA), ClientOnline)
        await service.close()
        newer = await online(server, account, version="2.0")
        told = await client.until(ServiceOnlineInGroup2)
        assert told == ServiceOnlineInGroup2(account.id, "2.0")
        await newer.close()
        await client.close()


async def test_calls_connections_and_events_over_real_sockets(open_server: OpenServer) -> None:
    async with open_server() as server:
        site_id = await server.site()
        account = await server.service(site_id)
        service = await online(server, account)
        mine = await server.client(site_id)
        client = await server.connect_client(mine)
        await client.install_client(CAMERA)
        await client.until(pubsub.SyncStateful)
        from_service = pubsub.RaiseReplacingEvent("State", 0, b"u" * 16, b"\x30\x00")
        service.send(from_service)
        assert await service.until(pubsub.RaiseAcknowledged)
        item = pubsub.Subscription(CAMERA.events[0].kind, "State")
        client.send(pubsub.Subscriptions((item,)))
        delivered = await client.until(pubsub.DeliverReplacingEvent)
        assert (delivered.service_id, delivered.arguments) == (account.id, b"\x30\x00")

        client.send(rpc.CallRequest(b"t" * 16, account.id, "Move", b"\x30\x00"))
        call = await service.until(rpc.ServiceCallRequest)
        assert call.client_id == mine.id
        service.send(rpc.ServiceCallResult(b"t" * 16, int(call.user_kind), mine.id, b"\x30\x00"))
        assert await client.until(rpc.CallResult) == rpc.CallResult(b"t" * 16, b"\x30\x00")

        transport = connect.TransportKind.TCP
        client.send(connect.ConnectionRequest(transport, b"r" * 16, account.id, 554))
        asked = await service.until(connect.ServiceConnectionRequest)
        kind = int(asked.user_kind)
        service.send(connect.RequestOk(transport, b"r" * 16, 554, kind, mine.id))
        meeting = await client.until(connect.ClientRendezvousData)
        host = bytes(int(part) for part in server.address[0].split("."))
        assert meeting.server_address == host
        client.send(connect.ClientAuthKey(transport, b"r" * 16, 1, b"k" * 20))
        assert await client.until(connect.ClientAuthHash)
        await client.close()
        await service.close()


async def test_applying_a_structure_brings_everybody_back(open_server: OpenServer) -> None:
    async with open_server() as server:
        site_id = await server.site()
        first, second = await server.service(site_id), await server.service(site_id, "Other")
        service = await online(server, first)
        other = await server.connect_service(second)
        await other.install_service(dataclasses.replace(CAMERA, events=()))
        await server.until_stored(lambda r: services.get(r, second.id).ss_hash is not None)
        await server.registry.write(lambda tx: structure.apply(tx, site_id, second.id))
        for peer in (service, other):
            assert await peer.until(Error) == Error(int(ErrorCode.RESTART))
            await peer.close()
        back = await server.connect_service(second)
        assert await back.install_service(dataclasses.replace(CAMERA, events=())) == ServiceOnline()
        await back.close()


async def test_deleting_a_site_and_locking_its_owner(open_server: OpenServer) -> None:
    async with open_server() as server:
        doomed, site_id = await server.site(), await server.site(SiteKind.SINGLE_SERVICE)
        service = await online(server, await server.service(doomed))
        client = await server.connect_client(await server.client(doomed))
        await client.install_client(CAMERA)
        account = await server.service(site_id)
        kept = await online(server, account)
        await server.registry.write(lambda tx: sites.delete(tx, doomed))
        assert await service.until(Error) == Error(int(ErrorCode.SERVICE_NOT_REGISTERED))
        assert await client.until(Error) == Error(int(ErrorCode.CLIENT_NOT_REGISTERED))
        record = passwords.PasswordRecord("x")
        await server.registry.write(
            lambda tx: owners.add(tx, "second", "Another", record, Authority.ADMINISTRATOR)
        )
        await server.registry.write(lambda tx: owners.set_enabled(tx, server.owner_id, False))
        assert await kept.until(Error) == Error(int(ErrorCode.RESTART))
        for peer in (service, client, kept):
            await peer.close()


async def test_a_client_deleted_during_its_login_does_not_get_in(open_server: OpenServer) -> None:
    async with open_server() as server:
        site_id = await server.site()
        service = await online(server, await server.service(site_id))
        mine = await server.client(site_id)
        late = await RawPeer.connect(server.address, EndpointType.CLIENT)
        late.send(ClientOpen(mine.category, mine.key))
        await late.receive()
        await server.registry.write(lambda tx: clients.delete(tx, mine.id))
        assert await late.until(Error) == Error(int(ErrorCode.RESTART))
        await late.close()
        await service.close()


async def test_a_default_role_goes_out_as_one_list(open_server: OpenServer) -> None:
    async with open_server() as server:
        site_id = await server.site()
        service = await online(server, await server.service(site_id))
        for number in range(12):
            await server.user(f"User {number}")
        roles = await server.registry.read(lambda r: members.list_roles(r, site_id))
        viewer = next(role.id for role in roles if role.name == "Viewer")
        await server.registry.write(lambda tx: sites.set_default_role(tx, site_id, viewer))
        listed = await service.until(UserList)
        while len(listed.users) < 13:
            listed = await service.until(UserList)
        await service.close()


async def test_what_was_declared_last_survives_a_stop(open_server: OpenServer) -> None:
    async with open_server() as server:
        site_id = await server.site()
        account = await server.service(site_id)
        peers = [await online(server, account)]
        others = [await server.service(site_id, f"Cam {n}") for n in range(6)]
        for other in others:
            peer = await server.connect_service(other)
            assert await peer.install_service(CAMERA, "3.0") == ServiceOnline()
            peers.append(peer)
        await server.tracker.stop()
        stored = await server.registry.read(lambda r: services.list_for(r, site_id))
        assert [s.version for s in stored] == ["1.0"] + ["3.0"] * 6
        for peer in peers:
            await peer.ended()
            await peer.close()


async def test_a_device_is_told_a_verdict_when_what_it_declared_is_stored(
    open_server: OpenServer,
) -> None:
    async with open_server() as server:
        site_id = await server.site()
        account = await server.service(site_id)
        waiting = await online(server, account)
        late = await server.service(site_id, "Second")
        peer = await server.connect_service(late)
        await peer.until(GetSiteStructure)
        free = threading.Event()
        busy = asyncio.create_task(server.registry.write(lambda _tx: free.wait(20)))
        peer.send(UploadSiteStructure(CAMERA, "1.0"))
        peer.send(Ping())
        await peer.until(Pong)
        await asyncio.sleep(0.2)
        assert not [m for m in peer.received if isinstance(m, ServiceOnline)]
        free.set()
        await peer.until(ServiceOnline)
        stored = await server.registry.read(lambda r: services.get(r, late.id))
        assert stored.service_type == CAMERA.service_type
        await busy
        for one in (peer, waiting):
            await one.close()
