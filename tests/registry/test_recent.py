"""The home page: what was used lately."""

from __future__ import annotations

import pytest

from gateway.base.errors import NotFound
from gateway.registry import contacts, domains, owners, recent
from gateway.registry.recent import What
from tests.registry.furnished import OpenRegistry, make_office, make_owner


async def test_most_recent_first_and_each_once(open_registry: OpenRegistry):
    async with open_registry() as room:
        office = await room.registry.write(make_office)
        first = office.domain.id
        second = (await room.write(domains.add, office.markus, "Second")).id
        for ref in (first, second, first, second):
            await room.write(recent.used, office.markus, What.DOMAIN, ref)
        await room.write(recent.used, office.markus, What.CONTACT, office.contact_of_markus)
        shown = await room.read(recent.shown, office.markus)
        assert [domain.id for domain in shown.domains] == [second, first]
        assert [contact.id for contact in shown.contacts] == [office.contact_of_markus]
        assert await room.read(recent.shown, office.julia) == recent.Recent((), (), ())


async def test_unusable_contacts_are_apart_and_deleted_things_gone(open_registry):
    async with open_registry() as room:
        office = await room.registry.write(make_office)
        await room.write(recent.used, office.julia, What.CONTACT, office.contact_of_julia)
        await room.write(recent.used, office.markus, What.DOMAIN, office.domain.id)
        await room.write(owners.set_enabled, office.markus, False)
        shown = await room.read(recent.shown, office.julia)
        assert (shown.contacts, len(shown.unusable)) == ((), 1)
        await room.write(contacts.delete, office.julia, office.contact_of_julia)
        await room.write(domains.delete, office.domain.id)
        for one in (office.julia, office.markus):
            assert await room.read(recent.shown, one) == recent.Recent((), (), ())


async def test_only_what_is_ones_own_is_remembered(open_registry: OpenRegistry):
    async with open_registry() as room:
        office = await room.registry.write(make_office)
        stranger = await room.write(make_owner, "stranger")
        for what, ref in ((What.DOMAIN, office.domain.id), (What.CONTACT, office.contact_of_julia)):
            with pytest.raises(NotFound):
                await room.write(recent.used, stranger, what, ref)


async def test_lists_are_short_and_old_entries_go(open_registry, monkeypatch):
    async with open_registry() as room:
        monkeypatch.setattr(recent, "KEPT", 12)
        me = await room.write(make_owner, "markus")
        made = [await room.write(domains.add, me, f"D{number}") for number in range(14)]
        for domain in made:
            await room.write(recent.used, me, What.DOMAIN, domain.id)
        shown = await room.read(recent.shown, me)
        assert [one.id for one in shown.domains] == [d.id for d in reversed(made)][:10]
        kept = await room.registry.read(lambda r: r.number("SELECT count(*) FROM recent_use"))
        assert kept == 12
