"""04 section 7: what each operation announces, and what differs in the snapshot it leads to.

Live endpoints are driven by these two alone: the changes tell which sites to load again, whom to
restart and whom to end; the difference of two snapshots gives USER_INCLUDED, HOSTNAME_CHANGED and
the rest. A row here is a row there; `none` is a dash in both columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.access.membership import act_as
from gateway.model.kinds import Authority, ClientCategory, UserKind
from gateway.model.snapshot import SiteSnapshot
from gateway.registry import (
    administration,
    clients,
    contacts,
    domains,
    invitations,
    members,
    owners,
    self_service,
    server_settings,
    services,
    sites,
    snapshots,
    structure,
)
from gateway.registry.changes import (
    Change,
    ClientCredentialsChanged,
    ClientDeleted,
    ClientPingPeriodChanged,
    ServiceCredentialsChanged,
    ServiceDeleted,
    ServicePingPeriodChanged,
    SiteChange,
    SiteChanged,
    SiteDeleted,
    SiteRestartRequired,
    UserDeleted,
)
from tests.registry.furnished import Office, Opened, OpenRegistry, make_office, make_owner


@dataclass
class Scene:
    """The office with a private user, clients of everybody, and an administrator."""

    office: Office
    boss: int
    third: int
    alison: int
    clients: dict[str, int]
    service: int
    roles: dict[str, int]

    @property
    def site(self) -> int:
        return self.office.surveillance.id


def make_scene(tx: Any) -> Scene:
    office = make_office(tx)
    boss = make_owner(tx, "boss", Authority.ADMINISTRATOR)
    third = make_owner(tx, "third")
    site = office.surveillance.id
    alison = members.add_user(tx, office.domain.id, UserKind.PRIVATE, "Alison").id
    made = {
        "alison": clients.add(tx, site, alison, office.markus).id,
        "robinson": clients.add(tx, site, office.robinson, office.julia).id,
    }
    roles = {role.name: role.id for role in members.list_roles(tx, site)}
    service = services.list_for(tx, site)[1].id
    return Scene(office, boss, third, alison, made, service, roles)


async def _observe(
    room: Opened, scene: Scene, act: Callable[[Any], object]
) -> tuple[set[Change], SiteSnapshot, SiteSnapshot]:
    before = await room.read(snapshots.load, scene.site)
    room.heard.clear()
    await room.registry.write(act)
    changes = {change for one in room.heard for change in one}
    return changes, before, await room.read(snapshots.load, scene.site)


def _difference(before: SiteSnapshot, after: SiteSnapshot) -> set[str]:
    names = ("kind", "enabled", "owner_eligible", "structure", "ss_hash", "guest_allowed",
             "roles", "services", "members", "users")  # fmt: skip
    return {name for name in names if getattr(before, name) != getattr(after, name)}


QUIET = {
    "own full name": lambda tx, s: owners.rename(tx, s.office.markus, "Markus S."),
    "own web password": lambda tx, s: owners.set_password(tx, s.office.markus, owners.NOBODY),
    "own mail address": lambda tx, s: self_service.ask_for_address(
        tx, s.office.markus, "markus@example.org", ""
    ),
    "site description": lambda tx, s: sites.rename(tx, s.site, "Cameras"),
    "domain name": lambda tx, s: domains.rename(tx, s.office.domain.id, "Home"),
    "contact name": lambda tx, s: contacts.edit(
        tx, s.office.markus, s.office.contact_of_markus, "Jul", "Rob"
    ),
    "send an invitation": lambda tx, s: contacts.invite(tx, s.office.markus, s.third),
    "invite to register": lambda tx, s: invitations.create(tx, s.boss),
    "settings": lambda tx, s: server_settings.change(tx, {"key_length": 12}),
    "create client": lambda tx, s: clients.add(tx, s.site, s.alison, s.office.markus),
    "a dedicated user without rights": lambda tx, s: members.add_user(
        tx, s.office.domain.id, UserKind.PRIVATE, "Bob", dedicated=True
    ),
}


@pytest.mark.parametrize("name", QUIET)
async def test_what_no_endpoint_hears_of(open_registry: OpenRegistry, name):
    async with open_registry() as room:
        scene = await room.registry.write(make_scene)
        changes, before, after = await _observe(room, scene, lambda tx: QUIET[name](tx, scene))
        assert _difference(before, after) - {"users"} == set(), "nothing that is told differs"
        loud = (SiteRestartRequired, SiteDeleted, ClientDeleted, ServiceDeleted,
                ClientCredentialsChanged, ServiceCredentialsChanged)  # fmt: skip
        assert not any(isinstance(change, loud) for change in changes)


RELOADS = {
    "create user with default rights": (
        {"members", "users"},
        lambda tx, s: members.add_user(tx, s.office.domain.id, UserKind.PRIVATE, "Bob"),
    ),
    "rename user": ({"members", "users"}, lambda tx, s: members.rename_user(tx, s.alison, "Ali")),
    "disable user": ({"members"}, lambda tx, s: members.set_user_enabled(tx, s.alison, False)),
    "make dedicated": ({"members"}, lambda tx, s: members.set_dedicated(tx, s.alison, True)),
    "give a role": (
        {"members"},
        lambda tx, s: members.set_roles(tx, s.site, s.alison, [s.roles["Operator"]]),
    ),
    "remove default role": ({"members"}, lambda tx, s: sites.set_default_role(tx, s.site, None)),
    "allow guest": ({"guest_allowed"}, lambda tx, s: sites.set_guest_allowed(tx, s.site, True)),
    "add service": ({"services"}, lambda tx, s: services.add(tx, s.site)),
    "disable service": ({"services"}, lambda tx, s: services.set_enabled(tx, s.service, False)),
    "set hostname": ({"services"}, lambda tx, s: services.set_hostname(tx, s.service, "Gate")),
    "partner disabled": (
        {"members"},
        lambda tx, s: administration.set_enabled(tx, s.boss, s.office.julia, False),
    ),
    "partner leaves": (
        {"members"},
        lambda tx, s: contacts.delete(tx, s.office.julia, s.office.contact_of_julia),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RELOADS)
async def test_what_is_told_without_a_restart(open_registry: OpenRegistry, name):
    differs, act = RELOADS[name]
    async with open_registry() as room:
        scene = await room.registry.write(make_scene)
        changes, before, after = await _observe(room, scene, lambda tx: act(tx, scene))
        assert SiteChanged(scene.site) in changes
        assert _difference(before, after) == differs
        assert SiteRestartRequired(scene.site) not in changes


RESTARTS = {
    "disable site": ({"enabled"}, lambda tx, s: sites.set_enabled(tx, s.site, False)),
    "apply structure": (set(), lambda tx, s: structure.apply(tx, s.site, s.service)),
    "revoke Provider": (
        {"owner_eligible"},
        lambda tx, s: administration.set_provider(tx, s.boss, s.office.markus, False),
    ),
    "disable owner": (
        {"owner_eligible"},
        lambda tx, s: administration.set_enabled(tx, s.boss, s.office.markus, False),
    ),
}


@pytest.mark.parametrize("name", RESTARTS)
async def test_what_restarts_every_endpoint_of_the_site(open_registry: OpenRegistry, name):
    differs, act = RESTARTS[name]
    async with open_registry() as room:
        scene = await room.registry.write(make_scene)
        changes, before, after = await _observe(room, scene, lambda tx: act(tx, scene))
        assert {SiteChanged(scene.site), SiteRestartRequired(scene.site)} <= changes
        assert _difference(before, after) == differs
        other = SiteRestartRequired(scene.office.alarm.id)
        assert (other in changes) is ("owner" in name or "Provider" in name)


async def test_a_blank_site_set_as_multi_service_restarts(open_registry: OpenRegistry):
    async with open_registry() as room:
        scene = await room.registry.write(make_scene)
        blank = await room.write(sites.add, scene.office.domain.id)
        assert SiteRestartRequired(blank.id) in await room.changes_of(sites.make_multi, blank.id)


async def test_what_concerns_one_endpoint(open_registry: OpenRegistry):
    async with open_registry() as room:
        scene = await room.registry.write(make_scene)
        site, client, service = scene.site, scene.clients["alison"], scene.service
        for fn, arguments, wanted in (
            (clients.set_ping_period, (client, 30), ClientPingPeriodChanged(site, client, 30)),
            (clients.generate_password, (client,), ClientCredentialsChanged(site, client)),
            (services.set_ping_period, (service, 0), None),
            (services.set_ping_period, (service, 10), ServicePingPeriodChanged(site, service, 10)),
            (services.set_ping_period, (service, 0), ServicePingPeriodChanged(site, service, 0)),
            (services.generate_password, (service,), ServiceCredentialsChanged(site, service)),
            (clients.delete, (client,), ClientDeleted(site, client)),
            (services.delete, (service,), ServiceDeleted(site, service)),
        ):  # fmt: skip
            changes = await room.changes_of(fn, *arguments)
            assert changes - {SiteChanged(site)} == ({wanted} if wanted else set()), fn


async def test_a_service_password_changes_the_stamp_that_takes_the_service_offline(open_registry):
    async with open_registry() as room:
        scene = await room.registry.write(make_scene)
        _, before, after = await _observe(
            room, scene, lambda tx: services.generate_password(tx, scene.service)
        )
        stamps = [s.service(scene.service).credential_stamp for s in (before, after)]
        assert stamps[0] != stamps[1]


DELETIONS = {
    "delete user": (
        {"alison"}, lambda tx, s: members.delete_user(tx, s.alison)
    ),
    "delete my contact": (
        {"robinson"}, lambda tx, s: contacts.delete(tx, s.office.markus, s.office.contact_of_markus)
    ),
    "delete the partner's account": (
        {"robinson"}, lambda tx, s: administration.delete(tx, s.boss, s.office.julia)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DELETIONS)
async def test_clients_that_go_are_told_one_by_one(open_registry: OpenRegistry, name):
    gone, act = DELETIONS[name]
    async with open_registry() as room:
        scene = await room.registry.write(make_scene)
        changes, before, after = await _observe(room, scene, lambda tx: act(tx, scene))
        assert {c for c in changes if isinstance(c, ClientDeleted)} == {
            ClientDeleted(scene.site, scene.clients[name]) for name in gone
        }
        assert SiteChanged(scene.site) in changes
        assert len(after.members) == len(before.members) - 1, "USER_REMOVED"
        left = {client.id for client in await room.read(clients.list_for, scene.site)}
        assert left == {scene.clients[n] for n in scene.clients if n not in gone}


@pytest.mark.parametrize("what", ["site", "domain", "owner"])
async def test_whole_sites_that_go(open_registry: OpenRegistry, what):
    async with open_registry() as room:
        scene = await room.registry.write(make_scene)
        office = scene.office
        fn, arguments, expected = {
            "site": (sites.delete, (scene.site,), {scene.site}),
            "domain": (domains.delete, (office.domain.id,), set(office.sites())),
            "owner": (administration.delete, (scene.boss, office.markus), set(office.sites())),
        }[what]
        changes = await room.changes_of(fn, *arguments)
        assert {c.site_id for c in changes if isinstance(c, SiteDeleted)} == expected


async def test_losing_rights_where_guests_are_allowed_only_downgrades(open_registry):
    async with open_registry() as room:
        scene = await room.registry.write(make_scene)
        await room.write(sites.set_guest_allowed, scene.site, True)
        for act in (
            lambda tx: members.set_user_enabled(tx, scene.alison, False),
            lambda tx: contacts.delete(tx, scene.office.julia, scene.office.contact_of_julia),
        ):
            await room.registry.write(act)
        snapshot = await room.read(snapshots.load, scene.site)
        for user_id, kind in ((scene.alison, 2), (scene.office.robinson, 3)):
            served = act_as(snapshot, UserKind(kind), user_id)
            assert served is not None
            assert served.kind is UserKind.GUEST
        for key in scene.clients:
            client = await room.read(clients.get, scene.clients[key])
            login = await room.read(clients.login, ClientCategory.MULTI_SERVICE, client.key)
            assert login is not None, "the entity is not gone"


async def test_every_change_of_a_site_names_a_site_that_a_tracker_can_load(open_registry):
    """What is announced of a site is never about one that is gone, SiteDeleted apart."""
    async with open_registry() as room:
        scene = await room.registry.write(make_scene)
        room.heard.clear()
        for _, act in (*RELOADS.values(), *RESTARTS.values()):
            await room.registry.write(lambda tx, act=act: act(tx, scene))
        for changes in room.heard:
            for change in changes:
                if isinstance(change, SiteChange):
                    await room.read(snapshots.load, change.site_id)
        assert UserDeleted(1, 1) not in {c for one in room.heard for c in one}
