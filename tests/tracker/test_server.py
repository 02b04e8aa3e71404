"""The whole server over real sockets with a real registry file."""

from __future__ import annotations

import ipaddress

from gateway.model.kinds import ClientStatus, EndpointType, ServiceStatus, SiteKind
from gateway.registry import clients, members, services, sites
from gateway.tracker.notices import EndpointOffline, EndpointOnline, EndpointParked
from gateway.wire.balancer import BalancerRequest
from gateway.wire.channel import Error, OpenOk
from gateway.wire.codes import ErrorCode
from gateway.wire.groups import (
    ServiceOfflineInGroup,
    ServiceOnlineInGroup,
    ServicesOnline,
    ServicesUpdated,
    SingleServiceUpdated,
)
from gateway.wire.installer import (
    ClientOnline,
    ClientParked,
    HostnameChanged,
    ServiceOnline,
    ServiceParked,
    SetPingPeriod,
)
from gateway.wire.membership import ActingUser, UserIncluded, UserList
from tests.support.raw_peer import RawPeer, ask_balancer
from tests.support.structures import CAMERA, PLAIN_LAMP
from tests.tracker.conftest import OpenServer, Server, ServiceAccount


async def build(server: Server, site_id: int, account: ServiceAccount) -> RawPeer:
    """Bring a service online on a blank site: once sent away, then back."""
    first = await server.connect_service(account)
    assert await first.install_service(CAMERA, "1.0") == Error(int(ErrorCode.RESTART))
    await first.close()
    again = await server.connect_service(account, restore=first.channel_id)
    assert await again.install_service(CAMERA, "1.0") == ServiceOnline()
    return again


async def test_a_service_and_a_client_come_online(open_server: OpenServer) -> None:
    async with open_server() as server:
        site_id = await server.site()
        account = await server.service(site_id)
        asked = await ask_balancer(
            server.tracker.balancer_addresses[0], BalancerRequest("any.name", account.uid)
        )
        assert asked is not None
        assert asked.address == ipaddress.ip_address(server.address[0])
        service = await build(server, site_id, account)
        assert HostnameChanged("Front Door") in service.received
        (users,) = [m for m in service.received if isinstance(m, UserList)]
        assert [user.name for user in users.users] == ["Owner"]

        client = await server.connect_client(await server.client(site_id))
        verdict = await client.install_client(CAMERA, description="Phone")
        site = await server.registry.read(lambda r: sites.get(r, site_id))
        assert verdict == ClientOnline(site.uid)
        (acting,) = [m for m in client.received if isinstance(m, ActingUser)]
        assert (acting.name, acting.roles) == ("Owner", ("Administrator",))
        (group,) = [m for m in client.received if isinstance(m, ServicesUpdated)]
        assert [(s.hostname, s.version) for s in group.services] == [("Front Door", "1.0")]
        assert ServicesOnline((account.id,)) in client.received

        live = server.tracker.view(site_id)
        assert [(v.kind, v.online) for v in live] == [
            (EndpointType.SERVICE, True),
            (EndpointType.CLIENT, True),
        ]
        assert all(v.address.startswith("127.") for v in live)
        await service.close()
        assert await client.until(ServiceOfflineInGroup) == ServiceOfflineInGroup(account.id)
        await client.close()
    kinds = [type(notice) for notice in server.notices]
    assert kinds.count(EndpointOnline) == 2
    assert kinds.count(EndpointOffline) == 1


async def test_management_reaches_endpoints_that_are_connected(open_server: OpenServer) -> None:
    async with open_server() as server:
        site_id = await server.site()
        account = await server.service(site_id)
        service = await build(server, site_id, account)
        alison = await server.user("Alison")
        parked = await server.connect_client(await server.client(site_id, "Alison"))
        verdict = await parked.install_client(CAMERA)
        assert isinstance(verdict, ClientParked)
        assert verdict.status is ClientStatus.ACCESS_DENIED

        roles = await server.registry.read(lambda r: members.list_roles(r, site_id))
        viewer = next(role.id for role in roles if role.name == "Viewer")
        await server.registry.write(lambda tx: members.set_roles(tx, site_id, alison, [viewer]))
        included = await service.until(UserIncluded)
        assert (included.user.name, included.user.role_ids) == ("Alison", (viewer,))
        assert await parked.until(Error) == Error(int(ErrorCode.RESTART))

        await server.registry.write(lambda tx: services.set_hostname(tx, account.id, "Porch"))
        assert await service.until(HostnameChanged) == HostnameChanged("Porch")
        await server.registry.write(lambda tx: services.set_ping_period(tx, account.id, 20))
        assert await service.until(SetPingPeriod) == SetPingPeriod(20)
        await server.registry.write(lambda tx: services.set_enabled(tx, account.id, False))
        assert await service.until(Error) == Error(int(ErrorCode.RESTART))
        back = await server.connect_service(account, restore=service.channel_id)
        assert await back.install_service(CAMERA, "1.0") == ServiceParked(ServiceStatus.DISABLED)
        await server.registry.write(lambda tx: services.delete(tx, account.id))
        assert await back.until(Error) == Error(int(ErrorCode.SERVICE_NOT_REGISTERED))
        for peer in (service, parked, back):
            await peer.close()
    assert any(isinstance(notice, EndpointParked) for notice in server.notices)


async def test_a_new_password_sends_the_endpoint_away(open_server: OpenServer) -> None:
    async with open_server() as server:
        site_id = await server.site()
        account = await server.service(site_id)
        service = await build(server, site_id, account)
        mine = await server.client(site_id)
        client = await server.connect_client(mine)
        await client.install_client(CAMERA)
        await server.registry.write(lambda tx: services.generate_password(tx, account.id))
        assert await service.until(Error) == Error(int(ErrorCode.RESTART))
        assert await client.until(ServiceOfflineInGroup) == ServiceOfflineInGroup(account.id)
        refused = await RawPeer.connect(server.address, EndpointType.SERVICE)
        told = await refused.login_service(account.uid, account.password)
        assert told == Error(int(ErrorCode.PASSWORD_NOT_MATCHED))
        await server.registry.write(lambda tx: clients.delete(tx, mine.id))
        assert await client.until(Error) == Error(int(ErrorCode.CLIENT_NOT_REGISTERED))
        for peer in (service, client, refused):
            await peer.close()


async def test_single_service_site_and_a_returning_service(open_server: OpenServer) -> None:
    async with open_server() as server:
        site_id = await server.site(SiteKind.SINGLE_SERVICE)
        account = await server.service(site_id)
        service = await build(server, site_id, account)
        client = await server.connect_client(await server.client(site_id))
        assert isinstance(await client.install_client(CAMERA), ClientOnline)
        assert SingleServiceUpdated("1.0", "Service1") in client.received
        await client.close()
        await service.close()


async def test_another_type_is_parked_and_shown(open_server: OpenServer) -> None:
    async with open_server() as server:
        site_id = await server.site()
        first, second = await server.service(site_id), await server.service(site_id, "Lamp")
        service = await build(server, site_id, first)
        client = await server.connect_client(await server.client(site_id))
        await client.install_client(CAMERA)
        other = await server.connect_service(second)
        verdict = await other.install_service(PLAIN_LAMP)
        assert verdict == ServiceParked(ServiceStatus.SERVICE_TYPE_CONFLICT)
        await server.until_stored(lambda r: services.get(r, second.id).service_type == "Lamp")
        corrected = await server.connect_service(second)
        assert await corrected.install_service(CAMERA, "2.0") == ServiceOnline()
        await other.ended()
        for peer in (service, client, other, corrected):
            await peer.close()


async def test_the_older_of_two_programs_wins(open_server: OpenServer) -> None:
    async with open_server() as server:
        site_id = await server.site()
        account = await server.service(site_id)
        older = await build(server, site_id, account)
        client = await server.connect_client(await server.client(site_id))
        await client.install_client(CAMERA)
        younger = await server.connect_service(account)
        assert await younger.install_service(CAMERA, "1.0") == ServiceOnline()
        await older.ended()
        assert not any(isinstance(message, Error) for message in older.received)
        assert await client.until(ServiceOnlineInGroup) == ServiceOnlineInGroup(account.id)
        returned = await server.connect_service(account, restore=older.channel_id or b"a" * 16)
        assert await returned.install_service(CAMERA, "1.0") == ServiceOnline()
        told = await younger.until(Error)
        assert told == Error(int(ErrorCode.DUPLICATED_SERVICE_UID_USAGE))
        for peer in (older, younger, returned, client):
            await peer.close()


async def test_unknown_and_unready_accounts_are_refused(open_server: OpenServer) -> None:
    async with open_server() as server:
        site_id = await server.site()
        mine = await server.client(site_id)
        cases = [
            (mine.category, "nosuchkey", ErrorCode.CLIENT_NOT_REGISTERED),
            (SiteKind.SINGLE_SERVICE, mine.key, ErrorCode.INVALID_CLIENT_CATEGORY),
        ]
        for category, key, code in cases:
            peer = await RawPeer.connect(server.address, EndpointType.CLIENT)
            told = await peer.login_client(type(mine.category)(int(category)), key, "x")
            assert told == Error(int(code))
            await peer.close()
        blank = await server.registry.write(lambda tx: services.add(tx, site_id, "New"))
        peer = await RawPeer.connect(server.address, EndpointType.SERVICE)
        told = await peer.login_service(blank.uid, "x")
        assert told == Error(int(ErrorCode.PASSWORD_NOT_MATCHED))
        await peer.close()
        question = BalancerRequest(None, b"?" * 16)
        answer = await ask_balancer(server.tracker.balancer_addresses[0], question)
        assert answer is not None
        assert answer.error_code == ErrorCode.SERVICE_NOT_REGISTERED


async def test_what_endpoints_say_is_stored(open_server: OpenServer) -> None:
    async with open_server() as server:
        site_id = await server.site()
        account = await server.service(site_id)
        service = await build(server, site_id, account)
        mine = await server.client(site_id)
        client = await server.connect_client(mine)
        await client.install_client(CAMERA, description="Phone")
        await client.close()
        await service.close()
        await server.tracker.stop()
        said = await server.registry.read(lambda r: clients.get(r, mine.id))
        assert (said.description, said.service_type) == ("Phone", "IP Camera")
        assert said.last_seen_at is not None
        told = await server.registry.read(lambda r: services.get(r, account.id))
        assert told.version == "1.0"
        assert told.last_seen_at is not None


async def test_logging_in_twice_keeps_the_channel_id_of_restore(open_server: OpenServer) -> None:
    async with open_server() as server:
        account = await server.service(await server.site())
        peer = await RawPeer.connect(server.address, EndpointType.SERVICE)
        first = await peer.login_service(account.uid, account.password)
        assert isinstance(first, OpenOk)
        assert len(first.channel_id) == 16
        await peer.close()
