"""Users of a domain and their rights on its sites."""

from __future__ import annotations

import pytest

from gateway.base.errors import Conflict, InvalidInput, NotFound
from gateway.model.kinds import SiteKind, UserKind
from gateway.registry import clients, members, services, sites, snapshots, structure
from gateway.registry.changes import ClientDeleted, DomainChanged, SiteChanged, UserDeleted
from tests.registry.furnished import (
    CAMERA,
    PLAIN,
    Built,
    Opened,
    OpenRegistry,
    make_owner,
    make_site,
)


async def _add(room: Opened, built: Built, name: str, **named: object) -> int:
    user = await room.write(members.add_user, built.domain.id, UserKind.PRIVATE, name, **named)
    return user.id


async def _rights(room: Opened, site_id: int) -> dict[str, tuple[str, ...] | None]:
    found = await room.read(members.rights, site_id)
    return {one.user.name: one.role_names if one.allowed else None for one in found}


async def _members(room: Opened, site_id: int) -> dict[str, tuple[int, ...]]:
    snapshot = await room.read(snapshots.load, site_id)
    return {member.name: member.role_ids for member in snapshot.members}


async def test_users_are_listed_owner_first_guest_last(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        for name in ("zoe", "Alison", "bob", "Zed"):
            await _add(room, built, name)
        names = [user.name for user in await room.read(members.list_users, built.domain.id)]
        assert names == ["Owner", "Alison", "bob", "Zed", "zoe", "Guest"]


async def test_a_change_of_users_concerns_every_site_of_the_domain(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        second = await room.write(sites.add, built.domain.id)
        all_of_it = {
            DomainChanged(built.domain.id), SiteChanged(built.site.id), SiteChanged(second.id)
        }  # fmt: skip
        room.heard.clear()
        user_id = await _add(room, built, "Alison")
        assert set(room.heard[0]) == all_of_it
        for change in (
            (members.rename_user, "Alice"),
            (members.set_user_enabled, False),
            (members.set_dedicated, True),
        ):
            assert await room.changes_of(change[0], user_id, change[1]) == all_of_it
            assert await room.changes_of(change[0], user_id, change[1]) == set()


async def test_names_are_taken_in_whatever_case(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        alison = await _add(room, built, "Alison")
        bob = await _add(room, built, "Bob")
        for name in ("owner", "GUEST", "alison"):
            with pytest.raises(Conflict, match="Choose another name"):
                await _add(room, built, name)
        with pytest.raises(Conflict, match="Alison"):
            await room.write(members.rename_user, bob, "ALISON")
        assert (await room.write(members.rename_user, alison, "ALISON")).name == "ALISON"
        with pytest.raises(InvalidInput, match="Latin letter"):
            await _add(room, built, "1st")


async def test_owner_and_guest_are_only_switched(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        owner, guest = await room.read(members.list_users, built.domain.id)
        for user in (owner, guest):
            for refused in (
                lambda tx, user=user: members.rename_user(tx, user.id, "Boss"),
                lambda tx, user=user: members.set_dedicated(tx, user.id, True),
                lambda tx, user=user: members.delete_user(tx, user.id),
            ):
                with pytest.raises(Conflict, match="only be enabled or disabled"):
                    await room.registry.write(refused)
            assert not (await room.write(members.set_user_enabled, user.id, False)).enabled
        with pytest.raises(InvalidInput, match="Private and Contact"):
            await room.write(members.add_user, built.domain.id, UserKind.GUEST, "Visitor")


async def test_roles_make_members(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        site_id = built.site.id
        administrator, operator, user = await room.read(members.list_roles, site_id)
        alison = await _add(room, built, "Alison")
        assert await _rights(room, site_id) == {
            "Owner": ("Administrator",), "Alison": None, "Guest": None
        }  # fmt: skip
        ids = [user.id, administrator.id]
        assert await room.changes_of(members.set_roles, site_id, alison, ids) == {
            SiteChanged(site_id)
        }
        assert await room.changes_of(members.set_roles, site_id, alison, ids) == set()
        assert (await _rights(room, site_id))["Alison"] == ("Administrator", "User")
        assert (await _members(room, site_id))["Alison"] == (administrator.id, user.id)
        await room.write(sites.set_default_role, site_id, operator.id)
        assert (await _rights(room, site_id))["Owner"] == ("Administrator", "Operator")
        await room.write(members.set_dedicated, alison, True)
        assert (await _rights(room, site_id))["Alison"] == ("Administrator", "User")
        await room.write(members.set_roles, site_id, alison, [])
        assert (await _rights(room, site_id))["Alison"] is None
        await room.write(members.set_dedicated, alison, False)
        assert (await _rights(room, site_id))["Alison"] == ("Operator",)
        await room.write(members.set_user_enabled, alison, False)
        assert (await _rights(room, site_id))["Alison"] == ("Operator",), "pages ignore it"
        assert "Alison" not in await _members(room, site_id)


async def test_roles_on_one_site_leave_those_on_another(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        alison = await _add(room, built, "Alison")

        def second_site(tx):
            site = sites.add(tx, built.domain.id, "", SiteKind.MULTI_SERVICE)
            service = services.add(tx, site.id)
            structure.store_for_service(tx, service.id, CAMERA, "", b"h" * 20)
            structure.build(tx, site.id, service.id)
            return site.id

        second = await room.registry.write(second_site)
        for site_id in (built.site.id, second):
            role = (await room.read(members.list_roles, site_id))[2]
            await room.write(members.set_roles, site_id, alison, [role.id])
        assert await room.changes_of(members.set_roles, second, alison, []) == {SiteChanged(second)}
        assert (await _rights(room, built.site.id))["Alison"] == ("User",)
        assert (await _rights(room, second))["Alison"] is None


async def test_roles_of_elsewhere_and_users_of_elsewhere_are_refused(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        other_owner = await room.write(make_owner, "julia")
        other = await room.registry.write(lambda tx: make_site(tx, owner_id=other_owner))
        alison = await _add(room, built, "Alison")
        foreign_role = (await room.read(members.list_roles, other.site.id))[0]
        with pytest.raises(NotFound, match="chosen role"):
            await room.write(members.set_roles, built.site.id, alison, [foreign_role.id])
        with pytest.raises(NotFound, match="site's domain"):
            await room.write(members.set_roles, other.site.id, alison, [foreign_role.id])
        guest = (await room.read(members.list_users, built.domain.id))[-1]
        with pytest.raises(Conflict, match="Guest gets no roles"):
            await room.write(members.set_roles, built.site.id, guest.id, [])
        with pytest.raises(Conflict, match="gives rights by roles"):
            await room.write(members.add_site_user, built.site.id, alison)


async def test_plain_sites_list_their_users(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(lambda tx: make_site(tx, PLAIN))
        site_id = built.site.id
        alison = await _add(room, built, "Alison")
        julia = await _add(room, built, "Julia", dedicated=True)
        assert await _rights(room, site_id) == dict.fromkeys(("Owner", "Alison", "Julia", "Guest"))
        changed = {SiteChanged(site_id)}
        assert await room.changes_of(members.add_site_user, site_id, alison) == changed
        assert await room.changes_of(members.add_site_user, site_id, alison) == set()
        assert set(await _members(room, site_id)) == {"Alison"}
        await room.write(sites.set_implicit_users, site_id, True)
        assert set(await _members(room, site_id)) == {"Owner", "Alison"}
        found = {one.user.name: one for one in await room.read(members.rights, site_id)}
        assert (found["Alison"].explicit, found["Alison"].implicit) == (True, False)
        assert (found["Owner"].explicit, found["Owner"].implicit) == (False, True)
        await room.write(members.add_site_user, site_id, julia)
        assert await room.changes_of(members.remove_site_user, site_id, julia) == changed
        assert await room.changes_of(members.remove_site_user, site_id, julia) == set()
        with pytest.raises(Conflict, match="has no roles"):
            await room.write(members.set_roles, site_id, alison, [])


async def test_a_blank_site_gives_no_rights(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        blank = await room.write(sites.add, built.domain.id)
        assert await room.read(members.rights, blank.id) == ()
        owner = (await room.read(members.list_users, built.domain.id))[0]
        with pytest.raises(Conflict, match="blank"):
            await room.write(members.add_site_user, blank.id, owner.id)


async def test_deleting_a_user_takes_its_clients_on_all_sites(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        second = await room.write(sites.add, built.domain.id)
        alison = await _add(room, built, "Alison")
        first = await room.write(clients.add, built.site.id, alison, built.owner_id)
        other = await room.write(clients.add, second.id, alison, built.owner_id)
        assert (await room.read(members.get_user, alison)).clients == 2
        changes = await room.changes_of(members.delete_user, alison)
        assert changes == {
            UserDeleted(built.domain.id, alison), DomainChanged(built.domain.id),
            ClientDeleted(built.site.id, first.id), ClientDeleted(second.id, other.id),
            SiteChanged(built.site.id), SiteChanged(second.id),
        }  # fmt: skip
        assert await room.read(clients.by_key, first.key) is None


async def test_contact_users_serve_while_the_partnership_does(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        julia = await room.write(make_owner, "julia")

        def befriend(tx):
            for mine, theirs in ((built.owner_id, julia), (julia, built.owner_id)):
                tx.insert("contact", owner_id=mine, partner_id=theirs, name="C", created_at=1)

        await room.registry.write(befriend)
        with pytest.raises(InvalidInput, match="Choose a contact"):
            await room.write(members.add_user, built.domain.id, UserKind.CONTACT, "Julia")
        with pytest.raises(NotFound):
            await room.write(
                members.add_user, built.domain.id, UserKind.CONTACT, "Julia", contact_id=2
            )
        user = await room.write(
            members.add_user, built.domain.id, UserKind.CONTACT, "Julia", contact_id=1
        )
        role = (await room.read(members.list_roles, built.site.id))[0]
        await room.write(members.set_roles, built.site.id, user.id, [role.id])
        site_id = built.site.id
        assert "Julia" in await _members(room, site_id)
        await room.registry.write(
            lambda tx: tx.run("UPDATE owner SET enabled = 0 WHERE id = ?", julia)
        )
        assert "Julia" not in await _members(room, site_id)
        await room.registry.write(
            lambda tx: tx.run("UPDATE owner SET enabled = 1 WHERE id = ?", julia)
        )
        await room.registry.write(lambda tx: tx.run("DELETE FROM contact WHERE id = 2"))
        assert "Julia" not in await _members(room, site_id)
        assert (await _rights(room, site_id))["Julia"] == ("Administrator",)
        await room.registry.write(lambda tx: tx.run("DELETE FROM owner WHERE id = ?", julia))
        with pytest.raises(Conflict, match="account behind this contact is gone"):
            await room.write(members.set_roles, site_id, user.id, [])
