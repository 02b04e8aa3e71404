"""Domains and sites: creation, switches, kinds, deletion, quotas, and what each announces."""

from __future__ import annotations

import re

import pytest

from gateway.base.errors import Conflict, InvalidInput, NotFound, QuotaExceeded
from gateway.model.devices import Sighting
from gateway.model.kinds import SiteKind, UserKind
from gateway.registry import devices, domains, members, services, sites
from gateway.registry.changes import (
    DeviceChanged,
    DomainChanged,
    DomainDeleted,
    ServiceAdded,
    SiteAdded,
    SiteChanged,
    SiteDeleted,
    SiteRestartRequired,
)
from gateway.registry.settings import RegistrySettings
from tests.registry.furnished import PLAIN, OpenRegistry, make_owner, make_site


async def test_a_domain_comes_with_owner_and_guest(open_registry: OpenRegistry):
    async with open_registry() as room:
        owner_id = await room.write(make_owner)
        domain = await room.write(domains.add, owner_id, " Home ")
        users = await room.read(members.list_users, domain.id)
        assert domain.name == "Home"
        assert [(u.name, u.kind) for u in users] == [
            ("Owner", UserKind.OWNER), ("Guest", UserKind.GUEST)
        ]  # fmt: skip
        assert room.heard[-1] == (DomainChanged(domain.id),)


async def test_domains_without_a_name_are_numbered(open_registry: OpenRegistry):
    async with open_registry() as room:
        owner_id = await room.write(make_owner)
        first = await room.write(domains.add, owner_id)
        second = await room.write(domains.add, owner_id, "  ")
        await room.write(domains.delete, first.id)
        third = await room.write(domains.add, owner_id)
        assert [first.name, second.name, third.name] == ["DOMAIN_1", "DOMAIN_2", "DOMAIN_3"]
        with pytest.raises(InvalidInput):
            await room.write(domains.rename, third.id, " ")
        assert (await room.write(domains.rename, third.id, "attic")).name == "attic"
        names = [domain.name for domain in await room.read(domains.list_for, owner_id)]
        assert names == ["attic", "DOMAIN_2"]


async def test_what_is_gone_is_said_to_be_gone(open_registry: OpenRegistry):
    async with open_registry() as room:
        for fn in (domains.get, sites.get, services.get, devices.get, members.get_user):
            with pytest.raises(NotFound, match="does not exist any more. Reload the page."):
                await room.read(fn, 99)
        for fn in (domains.add, sites.add, domains.delete, sites.delete, services.delete):
            with pytest.raises(NotFound):
                await room.write(fn, 99)


async def test_a_single_service_site_comes_with_its_service(open_registry: OpenRegistry):
    async with open_registry() as room:
        owner_id = await room.write(make_owner)
        domain = await room.write(domains.add, owner_id)
        room.heard.clear()
        site = await room.write(sites.add, domain.id)
        (service,) = await room.read(services.list_for, site.id)
        assert (site.description, service.hostname) == ("SITE_1", "Service1")
        assert (site.built, site.enabled, site.guest_allowed) == (False, True, False)
        assert re.fullmatch("[a-z][0-9a-z]{8}", site.site_key)
        assert room.heard == [
            (
                SiteAdded(site.id),
                DomainChanged(domain.id),
                ServiceAdded(site.id, service.id),
                SiteChanged(site.id),
            )
        ]
        multi = await room.write(sites.add, domain.id, "", SiteKind.MULTI_SERVICE)
        assert multi.description == "SITE_2"
        assert await room.read(services.list_for, multi.id) == ()
        assert [s.id for s in await room.read(sites.list_for, domain.id)] == [multi.id, site.id]
        assert [s.id for s in await room.read(sites.list_owned, owner_id)] == [site.id, multi.id]
        assert await room.read(sites.by_key, site.site_key) == site
        assert await room.read(sites.by_key, "unknown") is None


async def test_a_blank_description_gets_a_number_again(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        assert (await room.write(sites.rename, built.site.id, " Shop ")).description == "Shop"
        assert (await room.write(sites.rename, built.site.id, " ")).description == "SITE_1"


async def test_switching_a_site_restarts_it_once(open_registry: OpenRegistry):
    async with open_registry() as room:
        site_id = (await room.registry.write(make_site)).site.id
        both = {SiteChanged(site_id), SiteRestartRequired(site_id)}
        assert await room.changes_of(sites.set_enabled, site_id, False) == both
        assert await room.changes_of(sites.set_enabled, site_id, False) == set()
        assert not (await room.read(sites.get, site_id)).enabled
        assert await room.changes_of(sites.set_enabled, site_id, True) == both


async def test_guests_are_allowed_only_where_the_service_supports_them(open_registry):
    async with open_registry() as room:
        site_id = (await room.registry.write(make_site)).site.id
        changes = await room.changes_of(sites.set_guest_allowed, site_id, True)
        assert changes == {SiteChanged(site_id)}
        assert await room.changes_of(sites.set_guest_allowed, site_id, True) == set()
        other = await room.write(make_owner, "julia")
        plain = await room.registry.write(lambda tx: make_site(tx, PLAIN, owner_id=other))
        with pytest.raises(Conflict, match="do not support guests"):
            await room.write(sites.set_guest_allowed, plain.site.id, True)
        await room.write(sites.set_guest_allowed, plain.site.id, False)


async def test_the_default_role(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        other = await room.write(make_owner, "julia")
        plain = await room.registry.write(lambda tx: make_site(tx, PLAIN, owner_id=other))
        role = (await room.read(members.list_roles, built.site.id))[2]
        changed = await room.changes_of(sites.set_default_role, built.site.id, role.id)
        assert changed == {SiteChanged(built.site.id)}
        with pytest.raises(NotFound):
            await room.write(sites.set_default_role, built.site.id, 99)
        with pytest.raises(Conflict, match="no roles"):
            await room.write(sites.set_default_role, plain.site.id, role.id)
        assert (
            await room.write(sites.set_default_role, built.site.id, None)
        ).default_role_id is None


async def test_implicit_users_only_on_plain_built_sites(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        blank = await room.write(sites.add, built.domain.id)
        for site_id in (built.site.id, blank.id):
            with pytest.raises(Conflict, match="without roles"):
                await room.write(sites.set_implicit_users, site_id, True)
        other = await room.write(make_owner, "julia")
        plain = await room.registry.write(lambda tx: make_site(tx, PLAIN, owner_id=other))
        assert (await room.write(sites.set_implicit_users, plain.site.id, True)).implicit_users


async def test_only_a_blank_site_becomes_multi_service(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(lambda tx: make_site(tx, PLAIN, SiteKind.SINGLE_SERVICE))
        with pytest.raises(Conflict, match="Create a new site"):
            await room.write(sites.make_multi, built.site.id)
        blank = await room.write(sites.add, built.domain.id)
        changes = await room.changes_of(sites.make_multi, blank.id)
        assert changes == {SiteChanged(blank.id), SiteRestartRequired(blank.id)}
        assert await room.changes_of(sites.make_multi, blank.id) == set()
        second = await room.write(services.add, blank.id)
        assert second.hostname == "Service2"


async def test_deleting_frees_the_devices_and_says_so(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        device = await room.write(devices.upsert_sighting, Sighting("mac:1", "rtsp"))
        await room.write(devices.adopt, device.id, built.service.id)
        changes = await room.changes_of(domains.delete, built.domain.id)
        assert changes == {
            DomainDeleted(built.domain.id), SiteDeleted(built.site.id), DeviceChanged(device.id)
        }  # fmt: skip
        assert (await room.read(devices.get, device.id)).service_id is None


async def test_quotas_refuse_with_their_own_sentence_and_change_nothing(open_registry):
    limits = RegistrySettings(domains_per_owner=1, sites_per_domain=2, services_per_site=2,
                              services_per_owner=3, users_per_domain=3)  # fmt: skip
    async with open_registry(limits) as room:
        built = await room.registry.write(make_site)
        with pytest.raises(QuotaExceeded, match="1 domains. Delete one first"):
            await room.write(domains.add, built.owner_id)
        await room.write(sites.add, built.domain.id)
        with pytest.raises(QuotaExceeded, match="2 sites"):
            await room.write(sites.add, built.domain.id)
        await room.write(services.add, built.site.id)
        with pytest.raises(QuotaExceeded, match="site can have 2 services"):
            await room.write(services.add, built.site.id)
        await room.write(services.delete, built.service.id)
        await room.write(sites.make_multi, 2)
        await room.write(services.add, 2)
        with pytest.raises(QuotaExceeded, match="3 services in all"):
            await room.write(services.add, built.site.id)
        await room.write(members.add_user, built.domain.id, UserKind.PRIVATE, "Alison")
        with pytest.raises(QuotaExceeded, match="3 users"):
            await room.write(members.add_user, built.domain.id, UserKind.PRIVATE, "Bob")
        assert len(await room.read(members.list_users, built.domain.id)) == 3
