"""Clients: who may create them, how they log in, what they say about themselves."""

from __future__ import annotations

import re

import pytest

from gateway.base.errors import Conflict, Denied, InvalidInput, NotFound, QuotaExceeded
from gateway.model.kinds import ClientCategory, SiteKind, UserKind
from gateway.registry import clients, credentials, members, sites
from gateway.registry.changes import (
    ClientAdded,
    ClientCredentialsChanged,
    ClientDeleted,
    ClientDescribed,
    ClientPingPeriodChanged,
)
from gateway.registry.settings import RegistrySettings
from tests.registry.furnished import Built, Opened, OpenRegistry, make_owner, make_site


async def _site_with_alison(room: Opened) -> tuple[Built, int]:
    built = await room.registry.write(make_site)
    user = await room.write(members.add_user, built.domain.id, UserKind.PRIVATE, "Alison")
    return built, user.id


async def test_a_client_has_a_key_and_at_first_no_password(open_registry: OpenRegistry):
    async with open_registry() as room:
        built, alison = await _site_with_alison(room)
        room.heard.clear()
        client = await room.write(clients.add, built.site.id, alison, built.owner_id)
        assert re.fullmatch("[a-z][0-9a-z]{8}", client.key)
        assert client.uri("box.local") == f"softnet-m://{client.key}@box.local"
        assert not client.has_password
        assert room.heard == [(ClientAdded(built.site.id, client.id),)]
        login = await room.read(clients.login, ClientCategory.MULTI_SERVICE, client.key)
        assert (login.client_id, login.user_id, login.user_kind) == (
            client.id, alison, UserKind.PRIVATE
        )  # fmt: skip
        assert (login.salt, login.salted_password) == (None, None)


async def test_a_generated_password_authenticates(open_registry: OpenRegistry):
    async with open_registry() as room:
        built, alison = await _site_with_alison(room)
        client = await room.write(clients.add, built.site.id, alison, built.owner_id)
        room.heard.clear()
        password = await room.write(clients.generate_password, client.id)
        assert room.heard == [(ClientCredentialsChanged(built.site.id, client.id),)]
        login = await room.read(clients.login, ClientCategory.MULTI_SERVICE, client.key)
        assert credentials.SaltedPassword(login.salt, login.salted_password).matches(password)
        assert (await room.read(clients.get, client.id)).has_password
        other = await room.write(clients.generate_password, client.id)
        assert other != password


async def test_logging_in_tells_the_kind_of_the_site(open_registry: OpenRegistry):
    async with open_registry() as room:
        built, alison = await _site_with_alison(room)
        client = await room.write(clients.add, built.site.id, alison, built.owner_id)
        login = await room.read(clients.login, ClientCategory.SINGLE_SERVICE, client.key)
        assert login.site_kind is SiteKind.MULTI_SERVICE, "the tracker answers 96"
        assert await room.read(clients.login, ClientCategory.MULTI_SERVICE, "unknown") is None


async def test_site_keys_and_client_keys_are_two_name_spaces(open_registry: OpenRegistry):
    async with open_registry() as room:
        built, alison = await _site_with_alison(room)
        client = await room.write(clients.add, built.site.id, alison, built.owner_id)
        stateless = ClientCategory.MULTI_SERVICE_STATELESS
        login = await room.read(clients.login, stateless, built.site.site_key)
        assert (login.client_id, login.site_id, login.user_kind) == (
            0, built.site.id, UserKind.STATELESS_GUEST
        )  # fmt: skip
        assert await room.read(clients.login, stateless, client.key) is None
        wrong = ClientCategory.MULTI_SERVICE
        assert await room.read(clients.login, wrong, built.site.site_key) is None


async def test_keys_are_compared_exactly(open_registry: OpenRegistry):
    async with open_registry() as room:
        built, alison = await _site_with_alison(room)
        client = await room.write(clients.add, built.site.id, alison, built.owner_id)
        category = ClientCategory.MULTI_SERVICE
        assert await room.read(clients.login, category, client.key.upper()) is None


async def test_only_the_owner_creates_clients_of_its_users(open_registry: OpenRegistry):
    async with open_registry() as room:
        built, alison = await _site_with_alison(room)
        julia = await room.write(make_owner, "julia")
        with pytest.raises(Denied, match="Only the owner"):
            await room.write(clients.add, built.site.id, alison, julia)
        other = await room.registry.write(lambda tx: make_site(tx, owner_id=julia))
        with pytest.raises(NotFound, match="site's domain"):
            await room.write(clients.add, other.site.id, alison, julia)


async def test_only_the_partner_creates_clients_of_a_contact_user(open_registry: OpenRegistry):
    async with open_registry() as room:
        built, _ = await _site_with_alison(room)
        julia = await room.write(make_owner, "julia")

        def share(tx):
            for mine, theirs in ((built.owner_id, julia), (julia, built.owner_id)):
                tx.insert("contact", owner_id=mine, partner_id=theirs, name="C", created_at=1)
            user = members.add_user(tx, built.domain.id, UserKind.CONTACT, "Julia", contact_id=1)
            members.set_roles(tx, built.site.id, user.id, [1])
            return user

        user = await room.registry.write(share)
        with pytest.raises(Denied, match="Only the contact"):
            await room.write(clients.add, built.site.id, user.id, built.owner_id)
        client = await room.write(clients.add, built.site.id, user.id, julia)
        assert (client.creator_id, client.user_kind) == (julia, UserKind.CONTACT)
        await room.registry.write(
            lambda tx: tx.run("DELETE FROM contact WHERE owner_id = ?", julia)
        )
        with pytest.raises(Denied, match="Only the contact"):
            await room.write(clients.add, built.site.id, user.id, julia)


async def test_guest_clients_only_where_guests_are_allowed(open_registry: OpenRegistry):
    async with open_registry() as room:
        built, _ = await _site_with_alison(room)
        julia = await room.write(make_owner, "julia")
        guest = (await room.read(members.list_users, built.domain.id))[-1]
        with pytest.raises(Conflict, match="Allow them first"):
            await room.write(clients.add, built.site.id, guest.id, julia)
        await room.write(sites.set_guest_allowed, built.site.id, True)
        client = await room.write(clients.add, built.site.id, guest.id, julia)
        assert (client.user_kind, client.creator_id) == (UserKind.GUEST, julia)
        await room.write(members.set_user_enabled, guest.id, False)
        with pytest.raises(Conflict):
            await room.write(clients.add, built.site.id, guest.id, julia)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (RegistrySettings(private_clients_per_owner=1), "domains can have 1 clients"),
        (RegistrySettings(clients_per_creator=1), "One account can create 1 clients"),
    ],
)
async def test_quotas_of_clients(open_registry: OpenRegistry, limits, message):
    async with open_registry(limits) as room:
        built, alison = await _site_with_alison(room)
        client = await room.write(clients.add, built.site.id, alison, built.owner_id)
        with pytest.raises(QuotaExceeded, match=message):
            await room.write(clients.add, built.site.id, alison, built.owner_id)
        await room.write(clients.delete, client.id)
        await room.write(clients.add, built.site.id, alison, built.owner_id)


async def test_a_program_describes_itself(open_registry: OpenRegistry):
    async with open_registry() as room:
        built, alison = await _site_with_alison(room)
        client = await room.write(clients.add, built.site.id, alison, built.owner_id)
        said = ("IP Camera", "Cold Vision", "Remote. V: 2.1")
        described = {ClientDescribed(built.site.id, client.id)}
        assert await room.changes_of(clients.store_description, client.id, *said) == described
        room.clock.seconds += 5
        assert await room.changes_of(clients.store_description, client.id, *said) == set()
        stored = await room.read(clients.get, client.id)
        assert (stored.service_type, stored.contract_author, stored.description) == said
        assert stored.last_seen_at == int(room.clock.seconds)
        await room.write(clients.store_description, client.id, *said[:2], "")
        assert (await room.read(clients.get, client.id)).description == ""
        assert await room.changes_of(clients.store_description, 99, *said) == set()


async def test_changing_and_deleting_a_client(open_registry: OpenRegistry):
    async with open_registry() as room:
        built, alison = await _site_with_alison(room)
        first = await room.write(clients.add, built.site.id, alison, built.owner_id)
        second = await room.write(clients.add, built.site.id, alison, built.owner_id)
        listed = await room.read(clients.list_for, built.site.id)
        assert [client.id for client in listed] == [second.id, first.id]
        assert await room.changes_of(clients.set_ping_period, first.id, 10) == {
            ClientPingPeriodChanged(built.site.id, first.id, 10)
        }
        assert await room.changes_of(clients.set_ping_period, first.id, 10) == set()
        with pytest.raises(InvalidInput):
            await room.write(clients.set_ping_period, first.id, 301)
        assert (await room.read(clients.by_key, first.key)).ping_period == 10
        deleted = {ClientDeleted(built.site.id, first.id)}
        assert await room.changes_of(clients.delete, first.id) == deleted
        assert await room.read(clients.by_key, first.key) is None
        with pytest.raises(NotFound):
            await room.write(clients.delete, first.id)
