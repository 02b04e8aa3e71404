"""Who may manage which client: every standing and relation, asked and tried."""

from __future__ import annotations

import pytest

from gateway.access.operators import Relation, Standing
from gateway.base.errors import GatewayError, NotFound
from gateway.model.kinds import Authority, UserKind
from gateway.registry import clients, contacts, guests, members, owners, relations, sites
from gateway.registry.guests import Creator
from tests.registry.furnished import Opened, OpenRegistry, make_office, make_owner

JOHN = "john@example.org"


async def _scene(room: Opened):
    office = await room.registry.write(make_office)
    await room.write(sites.set_guest_allowed, office.surveillance.id, True)
    third = await room.write(make_owner, "third", Authority.ADMINISTRATOR)

    def arrange(tx):
        site = office.surveillance.id
        owner = members.list_users(tx, office.domain.id)[0].id
        return {
            "owner": clients.add(tx, site, owner, office.markus).id,
            "contact": clients.add(tx, site, office.robinson, office.julia).id,
            "guest of markus": guests.add_client(tx, site, Creator(owner_id=office.markus)).id,
            "guest of third": guests.add_client(tx, site, Creator(owner_id=third)).id,
            "guest of john": guests.add_client(tx, site, Creator(email=JOHN)).id,
        }

    return office, third, await room.registry.write(arrange)


async def test_the_whole_table(open_registry: OpenRegistry):
    async with open_registry() as room:
        office, third, made = await _scene(room)
        own, partner, created, foreign = (
            Relation.OWN, Relation.PARTNER, Relation.CREATED, Relation.FOREIGN
        )  # fmt: skip
        expected = {
            # client: (markus, julia, third, john, nobody)
            "owner": (own, foreign, foreign, foreign, foreign),
            "contact": (own, partner, foreign, foreign, foreign),
            "guest of markus": (created, foreign, foreign, foreign, foreign),
            "guest of third": (foreign, foreign, created, foreign, foreign),
            "guest of john": (foreign, foreign, foreign, created, foreign),
        }
        people = (
            (Creator(owner_id=office.markus), Standing.PROVIDER),
            (Creator(owner_id=office.julia), Standing.CONSUMER),
            (Creator(owner_id=third), Standing.ADMINISTRATOR),
            (Creator(email=JOHN), Standing.ANONYMOUS),
            (guests.NOBODY, Standing.ANONYMOUS),
        )
        for name, relations_of in expected.items():
            for (who, standing), wanted in zip(people, relations_of, strict=True):
                relation, _ = await room.read(relations.to_client, who, made[name])
                assert relation is wanted, (name, who)
                decision = await room.read(relations.may_manage_client, standing, who, made[name])
                may = wanted in (partner, created) or (wanted is own and name == "owner")
                assert bool(decision) is may, (name, who, decision)
                if wanted is foreign and standing is not Standing.ANONYMOUS:
                    assert decision.hidden, "a foreign id is answered as if it did not exist"
        decision = await room.read(
            relations.may_manage_client, Standing.PROVIDER, people[0][0], made["contact"]
        )
        assert not decision.hidden, "the owner sees it"
        missing = await room.read(relations.may_manage_client, Standing.PROVIDER, people[0][0], 999)
        with pytest.raises(NotFound):
            missing.enforce()


async def test_a_partner_without_rights_or_partnership_manages_nothing(open_registry):
    async with open_registry() as room:
        office, _, made = await _scene(room)
        julia = Creator(owner_id=office.julia)

        async def relation():
            return (await room.read(relations.to_client, julia, made["contact"]))[0]

        await room.write(sites.set_default_role, office.surveillance.id, None)
        assert await relation() is Relation.FOREIGN
        role = (await room.read(members.list_roles, office.surveillance.id))[2]
        await room.write(sites.set_default_role, office.surveillance.id, role.id)
        assert await relation() is Relation.PARTNER
        await room.write(contacts.delete, office.julia, office.contact_of_julia)
        assert await relation() is Relation.FOREIGN


async def test_asking_and_adding_agree(open_registry: OpenRegistry):
    """`may_add_client` says yes exactly where `clients.add` does it."""
    async with open_registry() as room:
        office, third, _ = await _scene(room)
        await room.write(owners.set_authority, office.julia, Authority.PROVIDER)
        accounts = ((office.markus, Standing.PROVIDER), (office.julia, Standing.PROVIDER),
                    (third, Standing.ADMINISTRATOR))  # fmt: skip
        users = await room.read(members.list_users, office.domain.id)
        seen = set()
        for me, standing in accounts:
            for site in (office.surveillance, office.thermostat, office.alarm):
                for user in users:
                    told = await room.read(relations.may_add_client, standing, me, site.id, user.id)

                    def attempt(tx, site=site, user=user, me=me):
                        clients.add(tx, site.id, user.id, me)

                    try:
                        await room.registry.write(attempt)
                        did = True
                    except GatewayError:
                        did = False
                    assert bool(told) is did, (me, site.description, user.name, told)
                    seen.add((user.kind, did))
        for kind in (UserKind.OWNER, UserKind.CONTACT, UserKind.GUEST):
            assert {(kind, True), (kind, False)} <= seen
        other = await room.read(
            relations.may_add_client, Standing.PROVIDER, office.markus, 999, users[0].id
        )
        assert other.hidden
