"""Building a site, and every row of the table of rebuilding it (04 section 6.9)."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.base.errors import Conflict, InvalidInput, NotFound
from gateway.model.kinds import EventKind, GuestAccess, GuestSupport, SiteKind, UserKind
from gateway.model.structure import EventDefinition, SiteStructure
from gateway.registry import members, services, sites, structure
from gateway.registry.changes import SiteChanged, SiteRestartRequired
from gateway.registry.database import Tx
from tests.registry.furnished import CAMERA, PLAIN, Built, Opened, OpenRegistry, make_site

change = dataclasses.replace
HASH = b"n" * 20


async def _apply(room: Opened, built: Built, declared: SiteStructure) -> None:
    def one(tx: Tx) -> None:
        structure.store_for_service(tx, built.service.id, declared, "2.0", HASH)
        structure.apply(tx, built.site.id, built.service.id)

    await room.registry.write(one)


async def _roles(room: Opened, built: Built) -> dict[str, int]:
    return {role.name: role.id for role in await room.read(structure.roles, built.site.id)}


async def _held(room: Opened, built: Built) -> dict[str, tuple[str, ...]]:
    found = await room.read(members.rights, built.site.id)
    return {one.user.name: one.role_names for one in found if one.allowed}


async def test_the_first_device_builds_the_site(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        assert {SiteChanged(built.site.id), SiteRestartRequired(built.site.id)} <= set(
            room.heard[-1]
        )
        site = built.site
        assert (site.built, site.role_based, site.guest_support) == (
            True, True, GuestSupport.STATELESS
        )  # fmt: skip
        assert (site.service_type, site.contract_author) == ("IP Camera", "Softnet Camera Gateway")
        assert site.ss_hash == b"h" * 20
        assert (site.guest_allowed, site.default_role_id, site.implicit_users) == (
            False, None, False
        )  # fmt: skip
        assert list(await _roles(room, built)) == list(CAMERA.roles)
        assert await _held(room, built) == {"Owner": ("Administrator",)}
        assert await room.read(structure.events, built.site.id) == CAMERA.events


async def test_without_an_owner_role_nobody_has_rights_and_a_plain_site_lists_nobody(open_registry):
    async with open_registry() as room:
        built = await room.registry.write(lambda tx: make_site(tx, change(CAMERA, owner_role=None)))
        assert await _held(room, built) == {}
    async with open_registry(name="plain.sqlite") as room:
        built = await room.registry.write(lambda tx: make_site(tx, PLAIN))
        assert await _held(room, built) == {}


async def test_a_second_device_does_not_build_again(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        second = await room.write(services.add, built.site.id)
        await room.write(structure.store_for_service, second.id, PLAIN, "", HASH)
        room.heard.clear()
        assert await room.write(structure.build, built.site.id, second.id) is False
        assert room.heard == []
        assert (await room.read(sites.get, built.site.id)).service_type == "IP Camera"


async def test_two_devices_that_race_for_a_blank_site_end_with_one_structure(open_registry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        blank = await room.write(sites.add, built.domain.id, "", SiteKind.MULTI_SERVICE)
        ids = [(await room.write(services.add, blank.id)).id for _ in range(2)]
        for service_id, declared in zip(ids, (CAMERA, PLAIN), strict=True):
            await room.write(structure.store_for_service, service_id, declared, "", HASH)
        results = [await room.write(structure.build, blank.id, service_id) for service_id in ids]
        assert results == [True, False]


async def test_nothing_declared_nothing_built(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        blank = await room.write(sites.add, built.domain.id)
        (service,) = await room.read(services.list_for, blank.id)
        with pytest.raises(Conflict, match="has not declared"):
            await room.write(structure.build, blank.id, service.id)
        with pytest.raises(Conflict, match="another site"):
            await room.write(structure.apply, blank.id, built.service.id)
        with pytest.raises(NotFound):
            await room.write(structure.apply, blank.id, 99)


async def test_storing_announces_only_what_differs(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        arguments = (built.service.id, CAMERA, "1.0", b"h" * 20)
        assert await room.changes_of(structure.store_for_service, *arguments) == set()
        arguments = (built.service.id, CAMERA, "1.1", b"h" * 20)
        changed = {SiteChanged(built.site.id)}
        assert await room.changes_of(structure.store_for_service, *arguments) == changed
        assert await room.read(structure.of_service, built.service.id) == CAMERA


async def test_same_type_keeps_roles_of_equal_name_with_their_users(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        before = await _roles(room, built)
        alison = await room.write(members.add_user, built.domain.id, UserKind.PRIVATE, "Alison")
        held = [before["Operator"], before["User"]]
        await room.write(members.set_roles, built.site.id, alison.id, held)
        await room.write(sites.set_default_role, built.site.id, before["Operator"])
        await room.write(sites.set_guest_allowed, built.site.id, True)
        await _apply(
            room, built, change(CAMERA, roles=("User", "Viewer", "Administrator"), events=())
        )
        after = await _roles(room, built)
        assert list(after) == ["User", "Viewer", "Administrator"]
        assert (after["User"], after["Administrator"]) == (before["User"], before["Administrator"])
        site = await room.read(sites.get, built.site.id)
        assert (site.default_role_id, site.guest_allowed, site.ss_hash) == (None, True, HASH)
        assert await _held(room, built) == {
            "Owner": ("Administrator",), "Alison": ("User",), "Guest": ()
        }  # fmt: skip


async def test_a_renamed_owner_role_is_lost_to_the_owner(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        renamed = change(CAMERA, roles=("administrator",), owner_role="administrator", events=())
        await _apply(room, built, renamed)
        assert await _held(room, built) == {}


@pytest.mark.parametrize("other", [{"service_type": "Lamp"}, {"contract_author": "Jane"}])
async def test_another_type_or_author_builds_everything_anew(open_registry, other):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        before = await _roles(room, built)
        await room.write(sites.set_default_role, built.site.id, before["User"])
        await room.write(sites.set_guest_allowed, built.site.id, True)
        await _apply(room, built, change(CAMERA, owner_role="User", **other))
        after = await _roles(room, built)
        assert not set(after.values()) & set(before.values())
        assert await _held(room, built) == {"Owner": ("User",)}
        site = await room.read(sites.get, built.site.id)
        assert (site.default_role_id, site.guest_allowed) == (None, False)


async def test_from_plain_to_roles_and_back(open_registry: OpenRegistry):
    plain = change(CAMERA, roles=(), owner_role=None, events=())
    async with open_registry() as room:
        built = await room.registry.write(lambda tx: make_site(tx, plain))
        owner = (await room.read(members.list_users, built.domain.id))[0]
        await room.write(members.add_site_user, built.site.id, owner.id)
        await room.write(sites.set_implicit_users, built.site.id, True)
        await _apply(room, built, CAMERA)
        assert await _held(room, built) == {"Owner": ("Administrator",)}
        site = await room.read(sites.get, built.site.id)
        assert (site.role_based, site.implicit_users) == (True, False)
        await room.write(sites.set_default_role, built.site.id, (await _roles(room, built))["User"])
        await _apply(room, built, plain)
        assert await _held(room, built) == {}
        site = await room.read(sites.get, built.site.id)
        assert (site.role_based, site.implicit_users, site.default_role_id) == (False, False, None)


async def test_guests_go_when_the_support_goes(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        await room.write(sites.set_guest_allowed, built.site.id, True)
        await _apply(room, built, change(CAMERA, guest_support=GuestSupport.STATEFUL))
        assert (await room.read(sites.get, built.site.id)).guest_allowed
        await _apply(room, built, change(CAMERA, guest_support=GuestSupport.NONE))
        assert not (await room.read(sites.get, built.site.id)).guest_allowed
        await _apply(room, built, CAMERA)
        assert not (await room.read(sites.get, built.site.id)).guest_allowed


async def test_events_of_equal_kind_and_name_keep_their_rows(open_registry: OpenRegistry):
    def ids(reader):
        return dict(reader.rows("SELECT name, id FROM event"))

    async with open_registry() as room:
        built = await room.registry.write(make_site)
        before = await room.registry.read(ids)
        events = (
            EventDefinition(EventKind.QUEUEING, "Motion", 60, 1, roles=("User",)),
            EventDefinition(EventKind.PRIVATE, "Status", 60),
            EventDefinition(EventKind.REPLACING, "New"),
        )
        await _apply(room, built, change(CAMERA, events=events))
        after = await room.registry.read(ids)
        assert after["Motion"] == before["Motion"]
        assert after["Status"] != before["Status"], "another kind is another event"
        assert set(await room.read(structure.events, built.site.id)) == set(events)


@pytest.mark.parametrize(
    "bad",
    [
        {"roles": tuple(f"R{n}" for n in range(31)), "owner_role": None, "events": ()},
        {"events": tuple(EventDefinition(EventKind.REPLACING, f"E{n}") for n in range(101))},
    ],
)
async def test_too_much_is_refused_whole(open_registry: OpenRegistry, bad):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        with pytest.raises(InvalidInput):
            await _apply(room, built, change(CAMERA, **bad))
        assert list(await _roles(room, built)) == list(CAMERA.roles)
        assert await room.read(structure.of_service, built.service.id) == CAMERA


async def test_two_events_of_one_name_are_refused_whole(open_registry: OpenRegistry):
    twice = tuple(EventDefinition(kind, "E") for kind in (EventKind.REPLACING, EventKind.PRIVATE))
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        with pytest.raises(Conflict, match="UNIQUE"):
            await _apply(room, built, change(CAMERA, events=twice))
        assert (await room.read(sites.get, built.site.id)).ss_hash == b"h" * 20


NAMES = st.text("abcXYZ 019_$", min_size=1, max_size=12)
EVENTS = st.builds(
    EventDefinition,
    st.sampled_from(EventKind),
    NAMES,
    st.integers(0, 2_592_000),
    st.integers(0, 1000),
    st.sampled_from(GuestAccess),
    st.lists(NAMES, max_size=3).map(tuple),
)


@given(
    st.builds(
        SiteStructure,
        NAMES,
        NAMES,
        st.sampled_from(GuestSupport),
        st.lists(NAMES, max_size=5).map(tuple),
        st.none() | NAMES,
        st.lists(EVENTS, max_size=5).map(tuple),
    )
)
def test_what_is_stored_is_read_back(declared):
    assert structure.from_json(structure.to_json(declared)) == declared
