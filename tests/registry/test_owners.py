"""Accounts: creation, standing, sign-in, lock-out."""

from __future__ import annotations

import asyncio
import time

import argon2
import pytest

from gateway.base.errors import Conflict, Denied, InvalidInput, NotFound
from gateway.base.secret import Secret
from gateway.model.kinds import Authority, UserKind
from gateway.registry import clients, members, operators, owners
from gateway.registry.changes import (
    ClientDeleted,
    ContactsChanged,
    DomainDeleted,
    OwnerChanged,
    SiteChanged,
    SiteDeleted,
    SiteRestartRequired,
)
from gateway.registry.passwords import (
    NOBODY,
    PasswordRecord,
    check_password,
    hash_password,
    outdated,
)
from tests.registry.furnished import PLAIN, RECORD, Opened, OpenRegistry, make_owner, make_site

PASSWORD = Secret("correct horse")
WRONG = Secret("wrong horse")


async def _account(room: Opened, authority: Authority = Authority.PROVIDER) -> int:
    owner = await room.write(owners.add, "Markus", "Markus Schmidt", PASSWORD, authority)
    return owner.id


def test_records_are_argon2id_with_their_parameters():
    record = hash_password(PASSWORD)
    assert record.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert record != hash_password(PASSWORD), "each has its own salt"
    assert check_password(record, PASSWORD)
    assert not check_password(record, WRONG)
    assert not check_password("no record", PASSWORD)
    assert not check_password(record, Secret("x" * 2000))
    assert not check_password(record, Secret("\ud800"))
    assert not outdated(record)
    assert "argon2" not in repr(record)


def test_nobodys_record_is_checked_like_any_other():
    assert not outdated(NOBODY)
    assert not check_password(NOBODY, PASSWORD)


async def test_accounts_are_found_in_whatever_case(open_registry: OpenRegistry):
    async with open_registry() as room:
        assert await room.read(owners.count) == 0
        owner_id = await _account(room)
        assert (await room.read(owners.by_account_name, "MARKUS")).id == owner_id
        assert await room.read(owners.by_account_name, "nobody") is None
        assert [owner.full_name for owner in await room.read(owners.list_all)] == ["Markus Schmidt"]
        renamed = await room.write(owners.rename, owner_id, "Markus S.")
        assert renamed.full_name == "Markus S."


async def test_taken_names_and_short_passwords_are_told_apart(open_registry: OpenRegistry):
    async with open_registry() as room:
        await room.write(owners.add, "Markus", "Markus", RECORD, email="m@example.org")
        with pytest.raises(Conflict, match="account name is taken"):
            await room.write(owners.add, "MARKUS", "Another", RECORD)
        with pytest.raises(Conflict, match="mail address"):
            await room.write(owners.add, "julia", "Julia", RECORD, email="M@EXAMPLE.ORG")
        with pytest.raises(InvalidInput, match="8 to 64") as refused:
            await room.write(owners.add, "julia", "Julia", Secret("short"))
        assert refused.value.field == "password"
        assert await room.read(owners.count) == 1


async def test_signing_in(open_registry: OpenRegistry):
    async with open_registry() as room:
        owner_id = await _account(room)
        owner = await owners.sign_in(room.registry, "markus", PASSWORD)
        assert (owner.id, owner.last_login_at) == (owner_id, int(room.clock.seconds))
        assert await owners.verify_password(room.registry, owner_id, PASSWORD)
        assert not await owners.verify_password(room.registry, owner_id, WRONG)


async def test_unknown_account_and_wrong_password_answer_the_same(open_registry: OpenRegistry):
    async with open_registry() as room:
        await _account(room)
        answers = []
        for name, password in (("markus", WRONG), ("nobody", PASSWORD), ("", PASSWORD)):
            with pytest.raises(Denied) as refused:
                await owners.sign_in(room.registry, name, password)
            answers.append((str(refused.value), refused.value.code))
        assert len(set(answers)) == 1
        assert answers[0][1] == "credentials"


async def test_an_unknown_account_costs_as_much_work_as_a_known_one(open_registry: OpenRegistry):
    async with open_registry() as room:
        await _account(room)

        async def work(name: str) -> float:
            least = 9.0
            for _ in range(3):
                begun = time.process_time()
                with pytest.raises(Denied):
                    await owners.sign_in(room.registry, name, WRONG)
                least = min(least, time.process_time() - begun)
            return least

        assert await work("nobody") > 0.5 * await work("markus")


async def _fail(room: Opened, times: int) -> list[str]:
    codes = []
    for _ in range(times):
        with pytest.raises(Denied) as refused:
            await owners.sign_in(room.registry, "markus", WRONG)
        codes.append(refused.value.code)
    return codes


async def test_five_wrong_passwords_lock_for_a_quarter_of_an_hour(open_registry: OpenRegistry):
    async with open_registry() as room:
        owner_id = await _account(room)
        assert await _fail(room, 5) == ["credentials"] * 4 + ["locked"]
        with pytest.raises(Denied, match="15 minutes") as refused:
            await owners.sign_in(room.registry, "markus", PASSWORD)
        assert refused.value.code == "locked"
        assert (await room.read(owners.get, owner_id)).locked_until == room.clock.seconds + 900
        room.clock.seconds += 899
        with pytest.raises(Denied, match="in a minute"):
            await owners.sign_in(room.registry, "markus", PASSWORD)
        room.clock.seconds += 1
        assert (await owners.sign_in(room.registry, "markus", PASSWORD)).locked_until is None
        assert await _fail(room, 4) == ["credentials"] * 4


async def test_wrong_passwords_spread_over_time_do_not_lock(open_registry: OpenRegistry):
    async with open_registry() as room:
        await _account(room)
        await _fail(room, 4)
        room.clock.seconds += 600
        assert await _fail(room, 4) == ["credentials"] * 4


async def test_a_right_password_forgets_the_wrong_ones(open_registry: OpenRegistry):
    async with open_registry() as room:
        await _account(room)
        await _fail(room, 4)
        await owners.sign_in(room.registry, "markus", PASSWORD)
        assert await _fail(room, 4) == ["credentials"] * 4


async def test_many_guesses_at_once_are_all_counted(open_registry: OpenRegistry):
    async with open_registry() as room:
        await _account(room)
        guesses = (owners.sign_in(room.registry, "markus", WRONG) for _ in range(12))
        answers = await asyncio.gather(*guesses, return_exceptions=True)
        codes = [answer.code for answer in answers if isinstance(answer, Denied)]
        assert codes.count("credentials") == 4
        assert codes.count("locked") == 8


async def test_a_clock_set_back_locks_nobody_out_for_longer(open_registry: OpenRegistry):
    async with open_registry() as room:
        await _account(room)
        await _fail(room, 5)
        room.clock.seconds -= 86_400
        await owners.sign_in(room.registry, "markus", PASSWORD)
        await _fail(room, 4)
        room.clock.seconds -= 86_400
        assert await _fail(room, 4) == ["credentials"] * 4


async def test_unlocking_and_a_new_password(open_registry: OpenRegistry):
    async with open_registry() as room:
        owner_id = await _account(room)
        await _fail(room, 5)
        assert (await room.write(owners.unlock, owner_id)).locked_until is None
        token, _ = await room.write(operators.open_session, owner_id)
        kept, _ = await room.write(operators.open_session, owner_id)
        keep = operators.token_hash(kept)
        await room.write(owners.set_password, owner_id, Secret("another one"), keep_session=keep)
        assert await room.read(operators.session, token) is None
        assert await room.read(operators.session, kept) is not None
        with pytest.raises(Denied):
            await owners.sign_in(room.registry, "markus", PASSWORD)
        await owners.sign_in(room.registry, "markus", Secret("another one"))


async def test_a_weaker_record_is_renewed_at_sign_in(open_registry: OpenRegistry):
    weak = PasswordRecord(argon2.PasswordHasher(1, 8, 1).hash(PASSWORD.reveal()))
    async with open_registry() as room:
        await room.write(owners.add, "markus", "Markus", weak)
        await owners.sign_in(room.registry, "markus", PASSWORD)
        stored = await room.read(owners.stored_password, "markus")
        assert not outdated(stored.record)
        await owners.sign_in(room.registry, "markus", PASSWORD)


async def test_a_disabled_account_does_not_sign_in_and_its_sites_restart(open_registry):
    async with open_registry() as room:
        await room.write(make_owner, "boss4", Authority.ADMINISTRATOR)
        owner_id = await _account(room)
        built = await room.registry.write(lambda tx: make_site(tx, owner_id=owner_id))
        token, _ = await room.write(operators.open_session, owner_id)
        changes = await room.changes_of(owners.set_enabled, owner_id, False)
        site = built.site.id
        assert changes == {OwnerChanged(owner_id), SiteChanged(site), SiteRestartRequired(site)}
        assert await room.read(operators.session, token) is None
        with pytest.raises(Denied) as refused:
            await owners.sign_in(room.registry, "markus", PASSWORD)
        assert refused.value.code == "disabled"
        assert await room.changes_of(owners.set_enabled, owner_id, False) == set()
        assert SiteRestartRequired(site) in await room.changes_of(
            owners.set_enabled, owner_id, True
        )


async def test_the_last_administrator_stays_one(open_registry: OpenRegistry):
    async with open_registry() as room:
        owner_id = await _account(room, Authority.ADMINISTRATOR)
        for refused in (
            lambda tx: owners.set_enabled(tx, owner_id, False),
            lambda tx: owners.set_authority(tx, owner_id, Authority.PROVIDER),
            lambda tx: owners.delete(tx, owner_id),
        ):
            with pytest.raises(Conflict, match="last administrator"):
                await room.registry.write(refused)
        await room.write(make_owner, "second", Authority.ADMINISTRATOR)
        demoted = await room.write(owners.set_authority, owner_id, Authority.CONSUMER)
        assert demoted.authority is Authority.CONSUMER


async def test_deleting_an_account_tells_everyone_concerned(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        julia = await room.write(make_owner, "julia")
        other = await room.registry.write(lambda tx: make_site(tx, PLAIN, owner_id=built.owner_id))
        shared_domain, shared = other.domain, other.site

        def share(tx):
            for mine, theirs in ((built.owner_id, julia), (julia, built.owner_id)):
                tx.insert("contact", owner_id=mine, partner_id=theirs, name="C", created_at=1)
            user = members.add_user(tx, shared_domain.id, UserKind.CONTACT, "Julia", contact_id=1)
            members.add_site_user(tx, shared.id, user.id)
            return clients.add(tx, shared.id, user.id, julia)

        client = await room.registry.write(share)
        own = await room.registry.write(lambda tx: make_site(tx, owner_id=julia))
        changes = await room.changes_of(owners.delete, julia)
        assert changes == {
            OwnerChanged(julia), DomainDeleted(own.domain.id), SiteDeleted(own.site.id),
            ClientDeleted(shared.id, client.id), SiteChanged(shared.id),
            ContactsChanged(built.owner_id),
        }  # fmt: skip
        with pytest.raises(NotFound):
            await room.read(owners.get, julia)
        left = (await room.read(members.list_users, shared_domain.id))[1]
        assert (left.name, left.partner_id, left.reachable) == ("Julia", None, False)
