"""Service and client endpoints against the real tracker: states, changes, losses, refusals."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.base.errors import Conflict, InvalidInput
from gateway.base.secret import Secret
from gateway.endpoint.errors import ClientOffline
from gateway.endpoint.events import (
    ConnectivityChanged,
    ConnectivityStatus,
    HostnameChanged,
    MembersChanged,
    StatusChanged,
    UserChanged,
)
from gateway.model.kinds import ClientStatus, ServiceStatus, SiteKind, UserKind
from gateway.model.structure import SiteStructure
from gateway.registry import clients, services, sites
from gateway.wire.codes import ErrorCode
from tests.endpoint.softnet import softnet

DISCONNECTED = ConnectivityStatus.DISCONNECTED
ATTEMPT = ConnectivityStatus.ATTEMPT_TO_CONNECT
CONNECTED = ConnectivityStatus.CONNECTED
DOWN = ConnectivityStatus.DOWN


async def test_the_first_service_builds_the_site(tmp_path: Path) -> None:
    async with softnet(tmp_path) as running:
        site = await running.site()
        _, uri, password = await running.service_account(site, "Front Door")
        endpoint, heard = running.service(uri, password, version="1.5")
        assert endpoint.connectivity.status is DISCONNECTED
        endpoint.connect()
        endpoint.connect()  # asked for already
        await heard.until(lambda: endpoint.status is ServiceStatus.ONLINE)
        assert heard.connectivity == [
            (ATTEMPT, 0),
            (CONNECTED, 0),
            (DISCONNECTED, ErrorCode.RESTART),
            (ATTEMPT, 0),
            (CONNECTED, 0),
        ]
        assert endpoint.hostname == "Front Door"
        assert [(member.name, member.roles) for member in endpoint.members] == [
            ("Owner", ("Administrator",))
        ]
        assert not endpoint.guest_allowed
        assert heard.statuses == [ServiceStatus.ONLINE]
        endpoint.disconnect()
        assert endpoint.connectivity.status is DISCONNECTED
        assert heard.statuses == [ServiceStatus.ONLINE, ServiceStatus.OFFLINE]
        endpoint.connect()
        await heard.until(lambda: endpoint.status is ServiceStatus.ONLINE)
        await endpoint.close()
        assert endpoint.connectivity.status is ConnectivityStatus.CLOSED
        with pytest.raises(Conflict):
            endpoint.connect()


async def test_changes_of_management_arrive(tmp_path: Path) -> None:
    async with softnet(tmp_path) as running:
        site = await running.site()
        service, heard = await running.online_service(site)
        eve = await running.user(site, "Eve", "User")
        await heard.until(lambda: len(service.members) == 2)
        assert service.resolve(UserKind.PRIVATE, eve) == service.members[0]
        client, client_heard = await running.online_client(site, "Eve")
        assert client.user.name == "Eve"
        assert client.user.roles == ("User",)
        heard.events.clear()
        await running.set_roles(site, eve, "Operator", "User")
        await heard.until(lambda: "Operator" in service.members[0].roles)
        assert any(isinstance(event, MembersChanged) for event in heard.events)
        await client_heard.until(lambda: "Operator" in client.user.roles)
        assert any(isinstance(event, UserChanged) for event in client_heard.events)
        await running.set_roles(site, eve)
        await heard.until(lambda: service.resolve(UserKind.PRIVATE, eve) is None)
        await client_heard.until(lambda: client.status is ClientStatus.ACCESS_DENIED)
        (only,) = await running.registry.read(lambda reader: services.list_for(reader, site))
        await running.registry.write(lambda tx: services.set_hostname(tx, only.id, "Kitchen"))
        await heard.until(lambda: service.hostname == "Kitchen")
        assert HostnameChanged("Kitchen") in heard.events
        await running.registry.write(lambda tx: sites.set_guest_allowed(tx, site, True))
        await heard.until(lambda: service.guest_allowed)
        guest = service.resolve(UserKind.PRIVATE, eve)
        assert guest is not None
        assert guest.kind is UserKind.GUEST


async def test_a_wrong_password_stays_out(tmp_path: Path) -> None:
    async with softnet(tmp_path) as running:
        site = await running.site()
        await running.online_service(site)
        uri, password = await running.client_account(site)
        client, heard = running.client(uri, Secret("not " + password.reveal()))
        client.connect()
        await heard.until(lambda: client.connectivity.status is DOWN)
        assert client.connectivity.error is ErrorCode.PASSWORD_NOT_MATCHED
        assert "password is wrong" in client.connectivity.message
        before = len(heard.events)
        client.connect()  # has no effect before disconnect()
        await asyncio.sleep(0.2)
        assert len(heard.events) == before
        client.disconnect()
        client.connect()
        await heard.until(lambda: client.connectivity.status is DOWN)
        unknown, heard = running.client(uri.replace("//", "//zz"), password)
        unknown.connect()
        await heard.until(lambda: unknown.connectivity.status is DOWN)
        assert unknown.connectivity.error is ErrorCode.CLIENT_NOT_REGISTERED


async def test_the_parked_wait_and_come_in_when_they_may(tmp_path: Path) -> None:
    async with softnet(tmp_path) as running:
        site = await running.site()
        await running.online_service(site)
        other = SiteStructure("Lamp", "John Doe")
        _, uri, password = await running.service_account(site, "Lamp")
        lamp, heard = running.service(uri, password, structure=other)
        lamp.connect()
        await heard.until(lambda: lamp.status is ServiceStatus.SERVICE_TYPE_CONFLICT)
        lamp_client, client_heard = running.client(*await running.client_account(site), "Lamp")
        lamp_client.connect()
        await client_heard.until(lambda: lamp_client.status is ClientStatus.SERVICE_TYPE_CONFLICT)
        with pytest.raises(ClientOffline):
            await lamp_client.connect_tcp(1, 554)
        client, client_heard = await running.online_client(site)
        await running.registry.write(lambda tx: sites.set_enabled(tx, site, False))
        await client_heard.until(lambda: client.status is ClientStatus.SITE_DISABLED)
        assert client.site_uid is not None
        await running.registry.write(lambda tx: sites.set_enabled(tx, site, True))
        await client_heard.until(lambda: client.status is ClientStatus.ONLINE)


async def test_a_server_that_goes_and_comes_back(tmp_path: Path) -> None:
    async with softnet(tmp_path) as running:
        site = await running.site()
        service, heard = await running.online_service(site)
        client, client_heard = await running.online_client(site)
        await client_heard.until(lambda: client.services[0].online)
        heard.events.clear()
        client_heard.events.clear()
        await running.tracker.stop()
        await heard.until(lambda: len(heard.connectivity) >= 3)
        await client_heard.until(lambda: len(client_heard.connectivity) >= 3)
        network = ErrorCode.NETWORK_ERROR
        assert heard.connectivity[:3] == [(DISCONNECTED, network), (ATTEMPT, 0), (ATTEMPT, network)]
        assert client_heard.connectivity[0] == (ATTEMPT, network)
        assert heard.events[0] == StatusChanged(ServiceStatus.OFFLINE)
        assert isinstance(heard.events[1], ConnectivityChanged)
        assert not client.services[0].online  # nobody says who is offline after a return
        running.tracker = running.new_tracker()
        await running.tracker.start()
        await heard.until(lambda: service.status is ServiceStatus.ONLINE)
        await client_heard.until(lambda: client.services[0].online)
        assert service.members[0].name == "Owner"


async def test_the_program_that_ran_first_wins(tmp_path: Path) -> None:
    async with softnet(tmp_path) as running:
        site = await running.site()
        _, uri, password = await running.service_account(site, "Front Door")
        first, heard = running.service(uri, password)
        first.connect()
        await heard.until(lambda: first.status is ServiceStatus.ONLINE)
        second, second_heard = running.service(uri, password)
        second.connect()
        await second_heard.until(lambda: second.connectivity.status is DOWN)
        assert second.connectivity.error is ErrorCode.DUPLICATED_SERVICE_UID_USAGE
        await heard.until(lambda: first.status is ServiceStatus.ONLINE)


async def test_single_service_sites(tmp_path: Path) -> None:
    async with softnet(tmp_path) as running:
        site = await running.site(SiteKind.SINGLE_SERVICE)
        service, service_heard = await running.online_service(site)
        client, heard = await running.online_client(site)
        await heard.until(lambda: client.services[0].online)
        assert [found.id for found in client.services] == [0]
        assert client.services[0].hostname == service.hostname == "Service1"
        listener = service.listen(554)
        accepting = running.room.start(listener.accept(), name="accept")
        made = await client.connect_tcp(0, 554)
        incoming = await accepting
        made.socket.close()
        incoming.socket.close()
        key = (await running.registry.read(lambda reader: sites.get(reader, site))).site_key
        await running.registry.write(lambda tx: sites.set_guest_allowed(tx, site, True))
        await service_heard.until(lambda: service.guest_allowed)
        guest, guest_heard = running.client(f"softnet-ss://{key}@{running.host}", None)
        guest.connect()
        await guest_heard.until(lambda: guest.status is ClientStatus.ONLINE)
        assert guest.user.kind is UserKind.STATELESS_GUEST


async def test_deleted_accounts_stop_for_good(tmp_path: Path) -> None:
    async with softnet(tmp_path) as running:
        site = await running.site()
        service, heard = await running.online_service(site)
        client, client_heard = await running.online_client(site)
        (made,) = await running.registry.read(lambda reader: clients.list_for(reader, site))
        await running.registry.write(lambda tx: clients.delete(tx, made.id))
        await client_heard.until(lambda: client.connectivity.status is DOWN)
        assert client.connectivity.error is ErrorCode.CLIENT_NOT_REGISTERED
        (only,) = await running.registry.read(lambda reader: services.list_for(reader, site))
        await running.registry.write(lambda tx: services.delete(tx, only.id))
        await heard.until(lambda: service.connectivity.status is DOWN)
        assert (DISCONNECTED, ErrorCode.SERVICE_NOT_REGISTERED) in heard.connectivity


async def test_what_cannot_be_an_endpoint(tmp_path: Path) -> None:
    async with softnet(tmp_path) as running:
        with pytest.raises(InvalidInput):
            running.service("softnet-m://abcd@127.0.0.1", Secret("x"))
        with pytest.raises(InvalidInput, match="password"):
            running.client("softnet-m://abcd@127.0.0.1", None)
        listening, _ = running.service(
            "softnet-srv://00112233-4455-6677-8899-aabbccddeeff@127.0.0.1", Secret("x")
        )
        listening.listen(80)
        with pytest.raises(Conflict):
            listening.listen(80)
