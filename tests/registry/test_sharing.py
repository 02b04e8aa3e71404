"""The second seed page: what a contact sees of shared devices, and what the owner sees of it."""

from __future__ import annotations

import pytest

from gateway.base.errors import Denied, NotFound
from gateway.model.kinds import Authority, SiteKind, UserKind
from gateway.model.structure import SiteStructure
from gateway.registry import (
    clients,
    contacts,
    domains,
    members,
    owners,
    panels,
    services,
    sharing,
    sites,
    structure,
)
from gateway.registry.panels import RoleLabel
from tests.registry.furnished import (
    Opened,
    OpenRegistry,
    make_office,
    make_owner,
    make_site,
)


async def _open(room: Opened, office, me=None):
    me = me or office.julia
    return await room.read(sharing.contact_domain, me, office.contact_of_julia, office.domain.id)


async def test_the_contact_page_of_each_side(open_registry: OpenRegistry):
    async with open_registry() as room:
        office = await room.registry.write(make_office)
        await room.write(domains.add, office.markus, "Private")
        page = await room.read(sharing.contact_page, office.julia, office.contact_of_julia)
        assert [domain.name for domain in page.contact_domains] == ["Office Automation"]
        assert (page.shared_domains, page.warning) == (None, ""), "Julia is a consumer"
        page = await room.read(sharing.contact_page, office.markus, office.contact_of_markus)
        assert page.contact_domains == ()
        assert [domain.name for domain in page.shared_domains] == ["Office Automation"]
        with pytest.raises(NotFound):
            await room.read(sharing.contact_page, office.julia, office.contact_of_markus)


async def test_a_domain_of_mine_appears_when_it_holds_a_user_for_the_contact(open_registry):
    async with open_registry() as room:
        office = await room.registry.write(make_office)
        await room.write(owners.set_authority, office.julia, Authority.PROVIDER)
        domain = await room.write(domains.add, office.julia, "Home")

        async def shared():
            page = await room.read(sharing.contact_page, office.julia, office.contact_of_julia)
            other = await room.read(sharing.contact_page, office.markus, office.contact_of_markus)
            return page.shared_domains, other.contact_domains

        assert await shared() == ((), ())
        await room.write(
            members.add_user, domain.id, UserKind.CONTACT, "M", contact_id=office.contact_of_julia
        )
        assert await shared() == ((domain,), (domain,)), "at once, also without any rights"
        opened = await room.read(
            sharing.contact_domain, office.markus, office.contact_of_markus, domain.id
        )
        assert opened.panels == ()


async def test_only_sites_with_rights_are_shown(open_registry: OpenRegistry):
    async with open_registry() as room:
        office = await room.registry.write(make_office)
        found = await _open(room, office)
        assert [panel.site.description for panel in found.panels] == [
            "Alarm System", "Surveillance System"
        ]  # fmt: skip
        with pytest.raises(NotFound):
            await room.read(sharing.contact_site, office.julia, office.thermostat.id)
        panel = await room.read(sharing.contact_site, office.julia, office.alarm.id)
        assert panel == found.panels[0]
        blank = await room.write(sites.add, office.domain.id)
        with pytest.raises(NotFound):
            await room.read(sharing.contact_site, office.julia, blank.id)
        assert len((await _open(room, office)).panels) == 2


async def test_what_is_shared_and_with_what_permissions(open_registry: OpenRegistry):
    async with open_registry() as room:
        office = await room.registry.write(make_office)
        for name in ("Assistant", "GuardPost"):
            await room.write(members.add_user, office.domain.id, UserKind.PRIVATE, name)
        alarm, cameras = (await _open(room, office)).panels
        assert (alarm.type_text, alarm.roles) == ("iSentry ( Argus )", ())
        assert [line.service.hostname for line in cameras.services] == [
            f"Camera {number}" for number in range(1, 5)
        ]
        assert {line.status for line in cameras.services} == {""}
        assert [role.name for role in cameras.roles] == ["Administrator", "Operator", "User"]
        (line,) = cameras.users
        assert (line.user.name, line.roles) == ("Robinson", (RoleLabel("User", default=True),))
        (line,) = alarm.users
        assert (line.user.name, line.roles, line.may_add) == ("Robinson", (), True)


async def test_every_user_made_for_me_is_listed_and_nobody_elses(open_registry: OpenRegistry):
    async with open_registry() as room:
        office = await room.registry.write(make_office)
        await room.write(
            members.add_user, office.domain.id, UserKind.CONTACT, "Julia 2",
            contact_id=office.contact_of_markus, dedicated=True,
        )  # fmt: skip
        _, cameras = (await _open(room, office)).panels
        assert [line.user.name for line in cameras.users] == ["Robinson"], "dedicated: no default"
        await room.write(
            members.add_user, office.domain.id, UserKind.CONTACT, "Julia 3",
            contact_id=office.contact_of_markus,
        )  # fmt: skip
        _, cameras = (await _open(room, office)).panels
        assert [line.user.name for line in cameras.users] == ["Julia 3", "Robinson"]


async def test_the_partner_adds_and_edits_and_the_owner_only_looks(open_registry: OpenRegistry):
    async with open_registry() as room:
        office = await room.registry.write(make_office)
        site_id = office.surveillance.id
        with pytest.raises(Denied, match="Only the contact"):
            await room.write(clients.add, site_id, office.robinson, office.markus)
        client = await room.write(clients.add, site_id, office.robinson, office.julia)
        text = "Cold Vision Remote Control. V: 2.1.1"
        await room.write(
            clients.store_description, client.id, "IP Camera", "Softnet Camera Gateway", text
        )
        _, cameras = (await _open(room, office)).panels
        (row,) = cameras.users[0].clients
        assert (row.client.key, row.client.description, row.editable) == (client.key, text, True)
        mine = await room.read(panels.for_owner, site_id, office.markus)
        lines = {line.user.name: line for line in mine.users}
        assert [*lines] == ["Owner", "Robinson"]
        (row,) = lines["Robinson"].clients
        assert (row.client.key, row.client.description, row.editable) == (client.key, text, False)
        assert (lines["Robinson"].may_add, lines["Owner"].may_add) == (False, True)
        assert lines["Robinson"].contact == "Julia Robinson"
        assert lines["Robinson"].roles == (RoleLabel("User", default=True),)
        assert lines["Owner"].roles == (
            RoleLabel("Administrator"), RoleLabel("User", default=True)
        )  # fmt: skip
        assert (await room.read(sharing.managed_client, office.julia, client.id)).id == client.id
        with pytest.raises(NotFound):
            await room.read(sharing.managed_client, office.markus, client.id)


async def test_a_partner_whose_rights_are_gone_manages_nothing(open_registry: OpenRegistry):
    async with open_registry() as room:
        office = await room.registry.write(make_office)
        site_id = office.alarm.id
        client = await room.write(clients.add, site_id, office.robinson, office.julia)
        await room.write(members.remove_site_user, site_id, office.robinson)
        with pytest.raises(NotFound):
            await room.read(sharing.managed_client, office.julia, client.id)
        with pytest.raises(Denied, match="no rights"):
            await room.write(clients.add, site_id, office.robinson, office.julia)
        assert [p.site.id for p in (await _open(room, office)).panels] == [office.surveillance.id]
        await room.write(members.add_site_user, site_id, office.robinson)
        (alarm, _) = (await _open(room, office)).panels
        assert [row.client.key for row in alarm.users[0].clients] == [client.key], "it came back"


async def test_an_unusable_contact_leads_back(open_registry: OpenRegistry):
    async with open_registry() as room:
        office = await room.registry.write(make_office)
        await room.write(owners.set_enabled, office.markus, False)
        with pytest.raises(Denied, match="disabled") as refused:
            await _open(room, office)
        assert refused.value.code == sharing.UNUSABLE
        with pytest.raises(NotFound):
            await room.read(sharing.contact_site, office.julia, office.alarm.id)
        page = await room.read(sharing.contact_page, office.julia, office.contact_of_julia)
        assert (page.contact_domains, "disabled" in page.warning) == ((), True)
        await room.write(owners.set_enabled, office.markus, True)
        await room.write(owners.set_authority, office.markus, Authority.CONSUMER)
        page = await room.read(sharing.contact_page, office.julia, office.contact_of_julia)
        assert (page.contact_domains, page.warning) == ((), "")
        with pytest.raises(NotFound):
            await _open(room, office)
        await room.write(owners.set_authority, office.markus, Authority.PROVIDER)
        await room.write(contacts.delete, office.markus, office.contact_of_markus)
        with pytest.raises(Denied, match="invites you"):
            await _open(room, office)


async def test_strangers_reach_no_domain_by_id(open_registry: OpenRegistry):
    async with open_registry() as room:
        office = await room.registry.write(make_office)
        third = await room.write(make_owner, "third")
        other = await room.registry.write(lambda tx: make_site(tx, owner_id=third))
        with pytest.raises(NotFound):
            await room.read(
                sharing.contact_domain, office.julia, office.contact_of_julia, other.domain.id
            )
        with pytest.raises(NotFound):
            await room.read(
                sharing.contact_domain, third, office.contact_of_julia, office.domain.id
            )
        for fn, site_id in ((sharing.contact_site, office.alarm.id),):
            with pytest.raises(NotFound):
                await room.read(fn, third, site_id)
            with pytest.raises(NotFound):
                await room.read(fn, office.markus, site_id)


async def test_guest_allowed_makes_a_site_visible_to_partners(open_registry: OpenRegistry):
    async with open_registry() as room:
        office = await room.registry.write(make_office)
        await room.write(sites.set_default_role, office.surveillance.id, None)
        (alarm,) = (await _open(room, office)).panels
        await room.write(sites.set_guest_allowed, office.surveillance.id, True)
        alarm, cameras = (await _open(room, office)).panels
        assert (alarm.guest_page, alarm.guest_uri) == (False, False)
        assert (cameras.guest_page, cameras.guest_uri) == (True, True)
        assert [line.user.name for line in cameras.users] == ["Guest"]
        guest = cameras.users[0].user.id
        client = await room.write(clients.add, cameras.site.id, guest, office.julia)
        await room.write(clients.add, cameras.site.id, guest, office.markus)
        _, cameras = (await _open(room, office)).panels
        assert [row.client.id for row in cameras.users[0].clients] == [client.id]
        mine = await room.read(panels.for_owner, cameras.site.id, office.markus)
        line = mine.users[-1]
        assert (line.user.name, len(line.clients), line.guests_total) == ("Guest", 1, 2)
        await room.write(members.set_user_enabled, guest, False)
        assert len((await _open(room, office)).panels) == 1


async def test_my_shared_domain_shows_this_contact_only(open_registry: OpenRegistry):
    async with open_registry() as room:
        office = await room.registry.write(make_office)
        client = await room.write(clients.add, office.alarm.id, office.robinson, office.julia)
        found = await room.read(
            sharing.shared_domain, office.markus, office.contact_of_markus, office.domain.id
        )
        assert [panel.site.id for panel in found.panels] == [
            office.alarm.id, office.surveillance.id
        ]  # fmt: skip
        (line,) = found.panels[0].users
        assert [(row.client.id, row.editable) for row in line.clients] == [(client.id, False)]
        assert not line.may_add
        with pytest.raises(NotFound):
            await room.read(
                sharing.shared_domain, office.julia, office.contact_of_julia, office.domain.id
            )


async def test_the_status_texts_of_services_and_clients(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        other = SiteStructure("Lamp", "Doe")

        def arrange(tx):
            _, alien, odd = (services.add(tx, built.site.id).id for _ in range(3))
            structure.store_for_service(tx, alien, other, "9", b"a" * 20)
            camera = structure.of_service(tx, built.service.id)
            structure.store_for_service(tx, odd, camera, "9", b"o" * 20)
            services.set_enabled(tx, alien, False)
            owner = members.list_users(tx, built.domain.id)[0]
            for declared in (("Lamp", "Doe"), ("IP Camera", "Softnet Camera Gateway")):
                client = clients.add(tx, built.site.id, owner.id, built.owner_id)
                clients.store_description(tx, client.id, *declared, "")

        await room.registry.write(arrange)
        panel = await room.read(panels.for_owner, built.site.id, built.owner_id)
        assert [line.status for line in panel.services] == [
            "", "service type undefined", "service type conflict; disabled",
            "site structure mismatch",
        ]  # fmt: skip
        assert [line.own_type for line in panel.services] == ["", "", "Lamp ( Doe )", ""]
        assert [row.own_type for row in panel.users[0].clients] == ["", "Lamp ( Doe )"]
        single = await room.write(sites.add, built.domain.id, "", SiteKind.SINGLE_SERVICE)
        blank = await room.read(panels.for_owner, single.id, built.owner_id)
        assert (blank.status, blank.type_text, blank.users) == ("site blank", "", ())
        await room.write(sites.set_enabled, built.site.id, False)
        panel = await room.read(panels.for_owner, built.site.id, built.owner_id)
        assert panel.status == "site disabled"
