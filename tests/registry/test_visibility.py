"""Who can see this camera, and what can this user see; held against what the tracker acts on."""

from __future__ import annotations

import pytest

from gateway.access.membership import act_as
from gateway.base.errors import NotFound
from gateway.model.kinds import UserKind
from gateway.registry import (
    clients,
    contacts,
    members,
    owners,
    services,
    sites,
    snapshots,
    visibility,
)
from gateway.registry.visibility import Reason
from tests.registry.furnished import Opened, OpenRegistry, make_office


async def _ask(room: Opened, site_id: int, number: int = 0):
    service = (await room.read(services.list_for, site_id))[number]
    return await room.read(visibility.who_can_see, service.id)


def _by_name(audience):
    return {
        one.user.name if one.user else "": (one.reasons, one.roles, one.hindrances)
        for one in audience.viewers
    }


async def test_each_reason_in_words(open_registry: OpenRegistry):
    async with open_registry() as room:
        office = await room.registry.write(make_office)

        def arrange(tx):
            add = members.add_user
            alison = add(tx, office.domain.id, UserKind.PRIVATE, "Alison", dedicated=True)
            roles = members.list_roles(tx, office.surveillance.id)
            members.set_roles(tx, office.surveillance.id, alison.id, [roles[1].id])
            add(tx, office.domain.id, UserKind.PRIVATE, "Denied", dedicated=True)
            sites.set_implicit_users(tx, office.alarm.id, True)

        await room.registry.write(arrange)
        audience = await _ask(room, office.surveillance.id)
        assert _by_name(audience) == {
            "Owner": ((Reason.EXPLICIT_ROLE, Reason.DEFAULT_ROLE), ("Administrator", "User"), ()),
            "Alison": ((Reason.EXPLICIT_ROLE,), ("Operator",), ()),
            "Robinson": ((Reason.DEFAULT_ROLE,), ("User",), ()),
        }
        assert audience.hindrances == ()
        assert audience.viewers[1].why == "role given explicitly"
        assert _by_name(await _ask(room, office.alarm.id)) == {
            "Owner": ((Reason.IMPLICIT,), (), ()),
            "Robinson": ((Reason.EXPLICIT,), (), ()),
        }
        assert _by_name(await _ask(room, office.thermostat.id)) == {}


async def test_guests_and_those_who_come_in_as_guests(open_registry: OpenRegistry):
    async with open_registry() as room:
        office = await room.registry.write(make_office)
        site_id = office.surveillance.id
        bob = await room.write(
            members.add_user, office.domain.id, UserKind.PRIVATE, "Bob", dedicated=True
        )
        await room.write(sites.set_guest_allowed, site_id, True)
        found = _by_name(await _ask(room, site_id))
        assert "Bob" not in found, "he has no program that could come in"
        assert found["Guest"] == ((Reason.GUEST,), (), ())
        assert found[""] == ((Reason.SHARED_URI,), (), ())
        await room.write(clients.add, site_id, bob.id, office.markus)
        audience = await _ask(room, site_id)
        assert _by_name(audience)["Bob"] == ((Reason.FALLS_BACK,), (), ())
        assert next(v for v in audience.viewers if v.user and v.user.name == "Bob").clients == 1
        guest = (await room.read(members.list_users, office.domain.id))[-1]
        await room.write(members.set_user_enabled, guest.id, False)
        found = _by_name(await _ask(room, site_id))
        assert "" not in found
        assert "Bob" not in found
        assert found["Guest"] == ((Reason.GUEST,), (), ("user disabled",))


async def test_what_hinders_a_user(open_registry: OpenRegistry):
    async with open_registry() as room:
        office = await room.registry.write(make_office)

        async def hindrances():
            found = await _ask(room, office.alarm.id)
            return found.viewers[0].hindrances, found.viewers[0].can

        assert await hindrances() == ((), True)
        await room.write(owners.set_enabled, office.julia, False)
        assert await hindrances() == (("the contact's account is disabled",), False)
        await room.write(owners.set_enabled, office.julia, True)
        await room.write(members.set_user_enabled, office.robinson, False)
        assert await hindrances() == (("user disabled",), False)
        await room.write(members.set_user_enabled, office.robinson, True)
        await room.write(contacts.delete, office.julia, office.contact_of_julia)
        assert await hindrances() == (("the contact has deleted you",), False)
        await room.write(owners.delete, office.julia)
        assert await hindrances() == (("the contact's account is gone",), False)


async def test_what_hinders_everybody(open_registry: OpenRegistry):
    async with open_registry() as room:
        office = await room.registry.write(make_office)
        service = (await room.read(services.list_for, office.surveillance.id))[1]
        await room.write(services.set_enabled, service.id, False)
        await room.write(sites.set_enabled, office.surveillance.id, False)
        audience = await room.read(visibility.who_can_see, service.id)
        assert audience.hindrances == ("site disabled", "disabled")
        assert (audience.domain.id, audience.site.id) == (
            office.domain.id, office.surveillance.id
        )  # fmt: skip
        with pytest.raises(NotFound):
            await room.read(visibility.who_can_see, 999)


async def test_what_a_user_can_see(open_registry: OpenRegistry):
    async with open_registry() as room:
        office = await room.registry.write(make_office)
        await room.write(clients.add, office.alarm.id, office.robinson, office.julia)
        outlook = await room.read(visibility.what_can_see, office.robinson)
        assert [(s.site.id, s.reasons, s.roles, s.clients) for s in outlook.sights] == [
            (office.alarm.id, (Reason.EXPLICIT,), (), 1),
            (office.surveillance.id, (Reason.DEFAULT_ROLE,), ("User",), 0),
        ]
        assert [service.hostname for service, _ in outlook.sights[1].services] == [
            f"Camera {number}" for number in range(1, 5)
        ]
        assert outlook.sights[1].why == "the site's default role"
        await room.write(members.set_user_enabled, office.robinson, False)
        outlook = await room.read(visibility.what_can_see, office.robinson)
        assert outlook.hindrances == ("user disabled",)
        assert all(sight.hindrances == ("user disabled",) for sight in outlook.sights)
        await room.write(sites.set_guest_allowed, office.surveillance.id, True)
        outlook = await room.read(visibility.what_can_see, office.robinson)
        assert (outlook.sights[1].reasons, outlook.sights[1].roles) == ((Reason.FALLS_BACK,), ())
        assert outlook.sights[1].hindrances == ()
        with pytest.raises(NotFound):
            await room.read(visibility.what_can_see, 999)


async def test_the_answers_are_those_the_tracker_acts_on(open_registry: OpenRegistry):
    """Every user with a client, in many states of the site: served exactly when it is named."""
    async with open_registry() as room:
        office = await room.registry.write(make_office)
        site_id = office.surveillance.id

        def people(tx):
            made = [office.robinson]
            for name, dedicated in (("Alison", False), ("Bob", True)):
                made.append(
                    members.add_user(
                        tx, office.domain.id, UserKind.PRIVATE, name, dedicated=dedicated
                    ).id
                )
            clients.add(tx, site_id, office.robinson, office.julia)
            for user_id in made[1:]:
                clients.add(tx, site_id, user_id, office.markus)
            return made

        made = await room.registry.write(people)

        async def compare():
            snapshot = await room.read(snapshots.load, site_id)
            audience = await _ask(room, site_id)
            told = {v.user.id: v for v in audience.viewers if v.user is not None}
            for user_id in made:
                kind = (await room.read(members.get_user, user_id)).kind
                served = act_as(snapshot, kind, user_id)
                viewer = told.get(user_id)
                as_itself = viewer is not None and viewer.can and viewer.roles != ()
                as_guest = viewer is not None and (
                    viewer.reasons == (Reason.FALLS_BACK,)
                    or any("served as a guest" in text for text in viewer.hindrances)
                )
                assert (served is not None) is (as_itself or as_guest)
                if served is not None:
                    assert served.kind.guest is as_guest

        for guests in (False, True):
            await room.write(sites.set_guest_allowed, site_id, guests)
            for enabled in (True, False):
                for user_id in made:
                    await room.write(members.set_user_enabled, user_id, enabled)
                await compare()
            for user_id in made:
                await room.write(members.set_user_enabled, user_id, True)
            await room.write(sites.set_default_role, site_id, None)
            await compare()
            role = (await room.read(members.list_roles, site_id))[2]
            await room.write(sites.set_default_role, site_id, role.id)
        await room.write(contacts.delete, office.julia, office.contact_of_julia)
        await compare()
