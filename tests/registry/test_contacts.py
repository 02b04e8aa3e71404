"""Contacts: every outcome of inviting, and what goes and stays when a side leaves."""

from __future__ import annotations

import pytest

from gateway.base.errors import Conflict, InvalidInput, NotFound, QuotaExceeded
from gateway.model.contacts import short_name
from gateway.model.kinds import Authority, ContactStatus, UserKind
from gateway.registry import clients, contacts, members, owners, snapshots
from gateway.registry.changes import (
    ClientDeleted,
    ContactsChanged,
    DomainChanged,
    SiteChanged,
    UserDeleted,
)
from gateway.registry.contacts import InviteOutcome
from tests.registry.furnished import (
    RECORD,
    Office,
    Opened,
    OpenRegistry,
    make_office,
    make_owner,
)


async def _two(room: Opened) -> tuple[int, int]:
    return await room.write(make_owner, "markus"), await room.write(make_owner, "julia")


async def _names(room: Opened, me: int) -> list[str]:
    return [found.full_name for found in (await room.read(contacts.search, me, "")).rows]


async def _status(room: Opened, contact_id: int) -> ContactStatus:
    return (await room.read(contacts.get, contact_id)).status


async def _members(room: Opened, site_id: int) -> list[str]:
    return [member.name for member in (await room.read(snapshots.load, site_id)).members]


async def test_an_invitation_is_sent_received_and_accepted(open_registry: OpenRegistry):
    async with open_registry() as room:
        markus, julia = await _two(room)
        assert await _names(room, markus) == ["Mr. julia"]
        outcome = await room.write(contacts.invite, markus, julia)
        assert outcome is InviteOutcome.SENT
        assert set(room.heard[-1]) == {ContactsChanged(markus), ContactsChanged(julia)}
        assert await _names(room, markus) == [], "the name leaves the list"
        assert await _names(room, julia) == ["Mr. markus"], "who is invited may invite too"
        assert [one.other_id for one in await room.read(contacts.sent, markus)] == [julia]
        assert [one.other_name for one in await room.read(contacts.received, julia)] == [
            "Mr. markus"
        ]
        assert await room.read(contacts.waiting, julia) == 1
        found = await room.write(contacts.accept, julia, markus)
        assert (found.name, found.partner_id, found.status) == (
            "Mr. markus", markus, ContactStatus.MUTUAL
        )  # fmt: skip
        (other,) = await room.read(contacts.list_for, markus)
        assert (other.name, other.usable, other.mark, other.warning) == ("Mr. julia", True, "", "")
        assert await room.read(contacts.waiting, julia) == 0
        assert await _names(room, julia) == []


async def test_withdrawn_refused_and_stale_invitations(open_registry: OpenRegistry):
    async with open_registry() as room:
        markus, julia = await _two(room)
        for end, who, other in (
            (contacts.withdraw, markus, julia),
            (contacts.refuse, julia, markus),
        ):
            await room.write(contacts.invite, markus, julia)
            await room.write(end, who, other)
            assert await room.read(contacts.sent, markus) == ()
            with pytest.raises(NotFound, match="invitation"):
                await room.write(end, who, other)
            with pytest.raises(NotFound, match="invitation"):
                await room.write(contacts.accept, julia, markus)
        assert await room.read(contacts.list_for, markus) == ()


async def test_only_the_receiver_accepts_and_only_the_sender_withdraws(open_registry):
    async with open_registry() as room:
        markus, julia = await _two(room)
        third = await room.write(make_owner, "third")
        await room.write(contacts.invite, markus, julia)
        for fn, who, other in (
            (contacts.accept, markus, julia), (contacts.accept, third, markus),
            (contacts.refuse, third, markus), (contacts.refuse, markus, julia),
            (contacts.withdraw, third, julia), (contacts.withdraw, julia, markus),
        ):  # fmt: skip
            with pytest.raises(NotFound):
                await room.write(fn, who, other)
        assert await room.read(contacts.waiting, julia) == 1


async def test_crossed_invitations_make_the_contact_at_once(open_registry: OpenRegistry):
    async with open_registry() as room:
        markus, julia = await _two(room)
        await room.write(contacts.invite, markus, julia)
        assert await room.write(contacts.invite, julia, markus) is InviteOutcome.CREATED
        for one in (markus, julia):
            assert len(await room.read(contacts.list_for, one)) == 1
            assert await room.read(contacts.sent, one) == ()


async def test_whom_one_cannot_invite(open_registry: OpenRegistry):
    async with open_registry() as room:
        markus, julia = await _two(room)
        with pytest.raises(InvalidInput, match="yourself"):
            await room.write(contacts.invite, markus, markus)
        with pytest.raises(NotFound, match="not found"):
            await room.write(contacts.invite, markus, 99)
        await room.write(contacts.invite, markus, julia)
        assert await room.changes_of(contacts.invite, markus, julia) == set()
        await room.write(contacts.accept, julia, markus)
        with pytest.raises(Conflict, match="already"):
            await room.write(contacts.invite, markus, julia)


async def test_limits_of_invitations_and_contacts(open_registry, monkeypatch):
    async with open_registry() as room:
        markus, julia = await _two(room)
        third = await room.write(make_owner, "third")
        monkeypatch.setattr(contacts, "SENT_MAX", 1)
        await room.write(contacts.invite, markus, julia)
        with pytest.raises(QuotaExceeded, match="Withdraw one"):
            await room.write(contacts.invite, markus, third)
        await room.write(contacts.accept, julia, markus)
        monkeypatch.setattr(contacts, "CONTACTS_MAX", 1)
        with pytest.raises(QuotaExceeded, match="1 contacts"):
            await room.write(contacts.invite, markus, third)
        await room.write(contacts.invite, third, markus)
        with pytest.raises(QuotaExceeded):
            await room.write(contacts.accept, markus, third)
        assert await room.read(contacts.waiting, markus) == 1


async def test_a_side_names_its_own_row(open_registry: OpenRegistry):
    async with open_registry() as room:
        office = await room.registry.write(make_office)
        mine, theirs = office.contact_of_markus, office.contact_of_julia
        changes = await room.changes_of(contacts.edit, office.markus, mine, " Julia ", "Robinson")
        assert changes == {ContactsChanged(office.markus)}, "no endpoint hears of it"
        found = await room.read(contacts.get, mine)
        assert (found.name, found.user_default_name) == ("Julia", "Robinson")
        assert (await room.read(contacts.get, theirs)).name == "Markus Schmidt"
        user = await room.read(members.get_user, office.robinson)
        assert user.contact_name == "Julia"
        found = await room.write(contacts.edit, office.markus, mine, "Julia", " ")
        assert found.user_default_name is None
        for name, default in (("", "x"), ("y" * 65, ""), ("Julia", "1st"), ("Julia", "z" * 37)):
            with pytest.raises(InvalidInput):
                await room.write(contacts.edit, office.markus, mine, name, default)
        for fn in (contacts.mine, contacts.delete):
            with pytest.raises(NotFound):
                await room.write(fn, office.julia, mine)
        with pytest.raises(NotFound):
            await room.write(contacts.edit, office.julia, mine, "Mine now")
        assert short_name("x" * 24) == "x" * 24
        assert short_name("x" * 25) == "x" * 24 + "..."


async def _shared_back(room: Opened, office: Office) -> tuple[int, int]:
    """Give Julia a client in Markus' office."""
    client = await room.write(clients.add, office.surveillance.id, office.robinson, office.julia)
    other = await room.write(clients.add, office.alarm.id, office.robinson, office.julia)
    return client.id, other.id


async def test_the_owner_deletes_a_contact(open_registry: OpenRegistry):
    async with open_registry() as room:
        office = await room.registry.write(make_office)
        first, second = await _shared_back(room, office)
        assert await room.read(contacts.loss, office.contact_of_markus) == contacts.Loss(1, 2)
        assert "Robinson" in await _members(room, office.surveillance.id)
        changes = await room.changes_of(contacts.delete, office.markus, office.contact_of_markus)
        assert changes == {
            ClientDeleted(office.surveillance.id, first), ClientDeleted(office.alarm.id, second),
            UserDeleted(office.domain.id, office.robinson), DomainChanged(office.domain.id),
            *(SiteChanged(site_id) for site_id in office.sites()),
            ContactsChanged(office.markus), ContactsChanged(office.julia),
        }  # fmt: skip
        assert "Robinson" not in await _members(room, office.surveillance.id)
        with pytest.raises(NotFound):
            await room.read(clients.get, first)
        partner = await room.read(contacts.get, office.contact_of_julia)
        assert (partner.status, partner.mark) == (ContactStatus.PARTNER_LEFT, "(*)")
        assert "invites you" in partner.warning


async def test_the_partner_deletes_its_side_and_comes_back(open_registry: OpenRegistry):
    async with open_registry() as room:
        office = await room.registry.write(make_office)
        first, _ = await _shared_back(room, office)
        changes = await room.changes_of(contacts.delete, office.julia, office.contact_of_julia)
        sites = {SiteChanged(site_id) for site_id in office.sites()}
        assert changes == {
            *sites, DomainChanged(office.domain.id),
            ContactsChanged(office.julia), ContactsChanged(office.markus),
        }  # fmt: skip
        assert "Robinson" not in await _members(room, office.surveillance.id)
        assert (await room.read(clients.get, first)).creator_id == office.julia, "it sleeps"
        user = await room.read(members.get_user, office.robinson)
        assert (user.contact_status, user.reachable) == (ContactStatus.PARTNER_LEFT, False)
        assert await _names(room, office.julia) == ["Markus Schmidt"]
        assert await _names(room, office.markus) == []
        with pytest.raises(Conflict, match="already"):
            await room.write(contacts.invite, office.markus, office.julia)
        room.heard.clear()
        outcome = await room.write(contacts.invite, office.julia, office.markus)
        assert outcome is InviteOutcome.RESTORED
        assert sites <= set(room.heard[0])
        assert "Robinson" in await _members(room, office.surveillance.id)
        assert await _status(room, office.contact_of_markus) is ContactStatus.MUTUAL


async def test_the_partner_account_is_deleted(open_registry: OpenRegistry):
    async with open_registry() as room:
        office = await room.registry.write(make_office)
        first, second = await _shared_back(room, office)
        changes = await room.changes_of(owners.delete, office.julia)
        assert {
            ClientDeleted(office.surveillance.id, first), ClientDeleted(office.alarm.id, second),
            ContactsChanged(office.markus), SiteChanged(office.surveillance.id),
        } <= changes  # fmt: skip
        found = await room.read(contacts.get, office.contact_of_markus)
        assert (found.status, found.mark) == (ContactStatus.PARTNER_DELETED, "(**)")
        assert "gone" in found.warning
        with pytest.raises(Conflict, match="only be deleted"):
            await room.write(contacts.edit, office.markus, found.id, "Julia")
        assert await room.read(contacts.to_share_with, office.markus) == ()
        with pytest.raises(Conflict, match="gone"):
            await room.write(
                members.add_user, office.domain.id, UserKind.CONTACT, "J", contact_id=found.id
            )
        assert "Robinson" not in await _members(room, office.surveillance.id)
        await room.write(members.delete_user, office.robinson)
        await room.write(contacts.delete, office.markus, found.id)


async def test_a_disabled_partner(open_registry: OpenRegistry):
    async with open_registry() as room:
        office = await room.registry.write(make_office)
        changes = await room.changes_of(owners.set_enabled, office.julia, False)
        assert {SiteChanged(office.surveillance.id), ContactsChanged(office.markus)} <= changes
        found = await room.read(contacts.get, office.contact_of_markus)
        assert (found.status, found.usable) == (ContactStatus.MUTUAL, False)
        assert "disabled" in found.warning
        assert "Robinson" not in await _members(room, office.surveillance.id)
        await room.write(owners.set_enabled, office.julia, True)
        assert "Robinson" in await _members(room, office.surveillance.id)


async def test_search_excludes_by_account_not_by_name(open_registry: OpenRegistry):
    async with open_registry() as room:
        office = await room.registry.write(make_office)
        twin = await room.registry.write(
            lambda tx: owners.add(tx, "julia2", "Julia Robinson", RECORD, Authority.PROVIDER).id
        )
        page = await room.read(contacts.search, office.markus, "rob")
        assert [(one.id, one.provider) for one in page.rows] == [(twin, True)]
