"""Invitations to register, with and without mail."""

from __future__ import annotations

import re

import pytest

from gateway.base.errors import Conflict, Denied, InvalidInput, NotFound, QuotaExceeded
from gateway.base.secret import Secret
from gateway.model.accounts import InvitationState
from gateway.model.kinds import Authority
from gateway.registry import invitations, outbox, owners, server_settings
from gateway.registry.action_tokens import EXPIRED, UNKNOWN, USED
from gateway.registry.changes import InvitationsChanged
from tests.registry.furnished import RECORD, URL, Opened, OpenRegistry, make_owner, with_mail


async def _boss(room: Opened) -> int:
    return await room.write(make_owner, "boss", Authority.ADMINISTRATOR)


async def test_an_invitation_works_once_without_any_mail(open_registry: OpenRegistry):
    async with open_registry() as room:
        boss = await _boss(room)
        found = await room.write(invitations.create, boss, text="For Julia", make_provider=True)
        assert re.fullmatch("[a-km-np-z][0-9a-km-np-z]{31}", found.key)
        assert invitations.path(found).reveal() == f"/invitation/{found.key}"
        assert found.key not in repr(found)
        key = Secret(found.key)
        assert (await room.read(invitations.by_key, key)).inviter_name == "Mr. boss"
        owner = await room.write(
            invitations.accept, key, "julia", "Julia Robinson", RECORD, "julia@example.org"
        )
        assert (owner.authority, owner.email) == (Authority.PROVIDER, None)
        assert owner.email_pending == "julia@example.org", "nobody confirmed it"
        with pytest.raises(Denied, match="already applied") as refused:
            await room.write(invitations.accept, key, "other", "Other One", RECORD)
        assert refused.value.code == USED
        (accepted,) = await room.read(invitations.list_all, InvitationState.ACCEPTED)
        assert accepted.new_owner_id == owner.id
        await room.write(owners.delete, owner.id)
        assert await room.read(invitations.list_all, InvitationState.ACCEPTED) == ()
        assert len(await room.read(invitations.list_all, InvitationState.ACCOUNT_GONE)) == 1


@pytest.mark.parametrize(("given", "setting", "authority"), [
    (True, False, Authority.PROVIDER), (False, True, Authority.CONSUMER),
    (None, True, Authority.PROVIDER), (None, False, Authority.CONSUMER),
])  # fmt: skip
async def test_the_provider_flag_decides(open_registry, given, setting, authority):
    async with open_registry() as room:
        boss = await _boss(room)
        await room.write(server_settings.change, {"new_users_are_providers": setting})
        found = await room.write(invitations.create, boss, make_provider=given)
        assert found.text.startswith("Inv_")
        owner = await room.write(
            invitations.accept, Secret(found.key), "julia", "Julia Robinson", RECORD
        )
        assert owner.authority is authority


async def test_an_invitation_expires_and_the_lists_are_cleared(open_registry: OpenRegistry):
    async with open_registry() as room:
        boss = await _boss(room)
        await room.write(server_settings.change, {"invitation_days": 1})
        old = await room.write(invitations.create, boss)
        room.clock.seconds += 86_399
        await room.read(invitations.by_key, Secret(old.key))
        fresh = await room.write(invitations.create, boss)
        room.clock.seconds += 1
        with pytest.raises(Denied) as refused:
            await room.write(invitations.accept, Secret(old.key), "julia", "Julia R.", RECORD)
        assert refused.value.code == EXPIRED
        with pytest.raises(Conflict):
            await room.write(invitations.edit, old.id, email="", text="later", make_provider=False)
        await room.write(invitations.accept, Secret(fresh.key), "julia", "Julia R.", RECORD)
        assert await room.write(invitations.clear, InvitationState.EXPIRED) == 1
        assert await room.write(invitations.clear, InvitationState.ACCEPTED) == 1
        with pytest.raises(InvalidInput):
            await room.write(invitations.clear, InvitationState.VALID)
        with pytest.raises(NotFound):
            await room.read(invitations.get, old.id)


async def test_a_mailed_invitation_confirms_its_address(open_registry: OpenRegistry):
    async with open_registry() as room:
        boss = await _boss(room)
        await room.registry.write(with_mail)
        found = await room.write(invitations.create, boss, email="julia@example.org")
        assert await room.write(invitations.send, found.id)
        (letter,) = await room.read(outbox.due)
        assert letter.link.reveal() == f"{URL}/invitation/{found.key}"
        assert "Mr. boss" in letter.body
        await room.write(outbox.sent, letter.id)
        owner = await room.write(
            invitations.accept, Secret(found.key), "julia", "Julia R.", RECORD, "JULIA@example.org"
        )
        assert (owner.email, owner.email_pending) == ("JULIA@example.org", None)


async def test_an_address_that_was_not_mailed_is_not_confirmed(open_registry: OpenRegistry):
    async with open_registry() as room:
        boss = await _boss(room)
        await room.registry.write(with_mail)
        found = await room.write(invitations.create, boss, email="julia@example.org")
        await room.write(invitations.send, found.id)
        await room.write(
            invitations.edit, found.id, email="boss@example.org", text="", make_provider=False
        )
        owner = await room.write(
            invitations.accept, Secret(found.key), "julia", "Julia R.", RECORD, "boss@example.org"
        )
        assert (owner.email, owner.email_pending) == (None, "boss@example.org")
        assert await room.read(outbox.due) == (), "the letter does not go out any more"


async def test_bad_keys_and_bad_values(open_registry: OpenRegistry):
    async with open_registry() as room:
        boss = await _boss(room)
        for key in ("", "x", "x" * 32, "x" * 10_000, "é" * 32):
            with pytest.raises(Denied) as refused:
                await room.read(invitations.by_key, Secret(key))
            assert refused.value.code == UNKNOWN
        for values in ({"email": "nobody"}, {"text": "x" * 1025}, {"text": "a\nb"}):
            with pytest.raises(InvalidInput):
                await room.write(invitations.create, boss, **values)
        found = await room.write(invitations.create, boss)
        with pytest.raises(Conflict, match="Copy its link"):
            await room.write(invitations.send, found.id)
        changes = await room.changes_of(invitations.delete, found.id)
        assert changes == {InvitationsChanged(found.id)}


async def test_an_account_asked_for_becomes_an_invitation(open_registry: OpenRegistry):
    async with open_registry() as room:
        boss = await _boss(room)
        ask = ("julia@example.org", "It is me", "192.0.2.1")
        with pytest.raises(Denied):
            await room.write(invitations.ask_for_account, *ask)
        await room.write(server_settings.change, {"anyone_can_register": True})
        for _ in range(2):
            await room.write(invitations.ask_for_account, *ask)
        (request,) = await room.read(invitations.requests)
        found = await room.write(invitations.approve, request.id, boss)
        assert (found.email, found.text) == ("julia@example.org", "It is me")
        assert await room.read(invitations.requests) == ()
        for end in ((invitations.dismiss, request.id), (invitations.approve, request.id, boss)):
            with pytest.raises(NotFound):
                await room.write(*end)


async def test_requests_are_few_and_do_not_tell_who_has_an_account(open_registry, monkeypatch):
    async with open_registry() as room:
        monkeypatch.setattr(invitations, "REQUESTS_MAX", 1)
        await room.write(server_settings.change, {"anyone_can_register": True})
        await room.registry.write(
            lambda tx: owners.add(tx, "julia", "Julia R.", RECORD, email="julia@example.org")
        )
        await room.write(invitations.ask_for_account, "julia@example.org", "", "x")
        assert await room.read(invitations.requests) == ()
        await room.write(invitations.ask_for_account, "one@example.org", "", "x")
        with pytest.raises(QuotaExceeded, match="administrator"):
            await room.write(invitations.ask_for_account, "two@example.org", "", "x")
