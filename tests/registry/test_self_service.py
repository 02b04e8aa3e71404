"""Registering, getting back in and setting an address by mailed links."""

from __future__ import annotations

import pytest

from gateway.base.errors import Conflict, Denied, InvalidInput, QuotaExceeded
from gateway.base.secret import Secret
from gateway.model.kinds import Authority
from gateway.registry import action_tokens, operators, outbox, owners, self_service, server_settings
from gateway.registry.action_tokens import Purpose
from gateway.registry.passwords import check_password
from gateway.registry.self_service import Answer, Registration
from tests.registry.furnished import RECORD, Opened, OpenRegistry, last_link, with_mail

ADDRESS = "julia@example.org"
FROM = "192.0.2.1"


async def _julia(room: Opened, email: str | None = ADDRESS) -> int:
    return await room.registry.write(
        lambda tx: owners.add(tx, "julia", "Julia Robinson", RECORD, email=email).id
    )


async def _letters(room: Opened) -> int:
    return len(await room.read(outbox.list_all))


async def test_who_may_register_and_how(open_registry: OpenRegistry):
    async with open_registry() as room:
        assert await room.read(self_service.registration) is Registration.CLOSED
        with pytest.raises(Denied):
            await room.write(self_service.ask_to_sign_up, ADDRESS, FROM)
        await room.write(server_settings.change, {"anyone_can_register": True})
        assert await room.read(self_service.registration) is Registration.BY_REQUEST
        await room.registry.write(with_mail)
        assert await room.read(self_service.registration) is Registration.BY_MAIL


@pytest.mark.parametrize("provides", [False, True])
async def test_registering_by_mail(open_registry: OpenRegistry, provides):
    async with open_registry() as room:
        await room.registry.write(lambda tx: with_mail(tx, new_users_are_providers=provides))
        assert await room.write(self_service.ask_to_sign_up, ADDRESS, FROM) is Answer.ON_ITS_WAY
        token = await room.read(last_link, "signup")
        assert await room.read(self_service.sign_up_address, token) == ADDRESS
        with pytest.raises(InvalidInput):
            await room.write(self_service.sign_up, token, "jul", "Julia Robinson", RECORD)
        with pytest.raises(InvalidInput):
            await room.write(self_service.sign_up, token, "julia", "Julia R.", Secret("short"))
        owner = await room.write(self_service.sign_up, token, "julia", "Julia R.", RECORD)
        assert owner.email == ADDRESS
        assert owner.authority is (Authority.PROVIDER if provides else Authority.CONSUMER)
        with pytest.raises(Denied, match="used already"):
            await room.write(self_service.sign_up, token, "julia2", "Julia R.", RECORD)


async def test_an_address_in_use_is_told_and_counted(open_registry: OpenRegistry):
    async with open_registry() as room:
        await room.registry.write(with_mail)
        await _julia(room)
        for _ in range(outbox.PER_ADDRESS):
            answer = await room.write(self_service.ask_to_sign_up, ADDRESS.upper(), FROM)
            assert answer is Answer.ADDRESS_IN_USE
        assert await _letters(room) == 0
        with pytest.raises(QuotaExceeded):
            await room.write(self_service.ask_to_sign_up, ADDRESS, FROM)
        with pytest.raises(InvalidInput):
            await room.write(self_service.ask_to_sign_up, "nobody", FROM)


async def test_a_registration_link_is_void_when_registration_is_closed(open_registry):
    async with open_registry() as room:
        await room.registry.write(with_mail)
        await room.write(self_service.ask_to_sign_up, ADDRESS, FROM)
        token = await room.read(last_link, "signup")
        await room.write(server_settings.change, {"anyone_can_register": False})
        with pytest.raises(Denied, match="invitation"):
            await room.write(self_service.sign_up, token, "julia", "Julia R.", RECORD)


@pytest.mark.parametrize("typed", ["julia", "JULIA", ADDRESS, f" {ADDRESS.upper()} "])
async def test_a_password_is_reset_by_name_or_address(open_registry: OpenRegistry, typed):
    async with open_registry() as room:
        await room.registry.write(with_mail)
        julia = await _julia(room)
        cookie, _ = await room.write(operators.open_session, julia)
        for _ in range(5):
            await room.write(owners.record_failure, julia)
        assert (await room.read(owners.get, julia)).locked_until is not None
        answer = await room.write(self_service.ask_for_password, typed, FROM)
        assert answer is Answer.ON_ITS_WAY
        token = await room.read(last_link, "pwd_reset")
        account = await room.read(self_service.account_of, Purpose.RESET_PASSWORD, token)
        assert account.id == julia
        owner = await room.write(self_service.reset_password, token, Secret("a new password"))
        assert owner.locked_until is None
        assert await room.read(operators.session, cookie) is None
        stored = await room.read(owners.stored_password, "julia")
        assert check_password(stored.record, Secret("a new password"))
        with pytest.raises(Denied, match="used already"):
            await room.write(self_service.reset_password, token, RECORD)


async def test_the_answer_is_the_same_for_unknown_and_known_names(open_registry: OpenRegistry):
    async with open_registry() as room:
        await room.registry.write(with_mail)
        await _julia(room)
        for ask in (self_service.ask_for_password, self_service.ask_to_unlock):
            answers = {
                await room.write(ask, typed, FROM)
                for typed in ("julia", "nobody", "nobody@example.org", "", "\ud800" * 9)
            }
            assert answers == {Answer.ON_ITS_WAY}
        assert await _letters(room) == 1, "julia is not locked, so only one letter goes out"


async def test_the_limit_is_the_same_for_unknown_and_known_names(open_registry: OpenRegistry):
    async with open_registry() as room:
        await room.registry.write(with_mail)
        await _julia(room)
        for typed in ("julia", "nobody"):
            for number in range(outbox.PER_ADDRESS):
                await room.write(self_service.ask_for_password, typed, f"{number}")
            with pytest.raises(QuotaExceeded):
                await room.write(self_service.ask_for_password, typed.upper(), "9")


async def test_disabled_accounts_get_no_letter_and_links_of_theirs_do_nothing(open_registry):
    async with open_registry() as room:
        await room.registry.write(with_mail)
        julia = await _julia(room)
        await room.write(self_service.ask_for_password, "julia", FROM)
        token = await room.read(last_link, "pwd_reset")
        await room.write(owners.set_enabled, julia, False)
        await room.write(self_service.ask_for_password, "julia", FROM)
        assert await _letters(room) == 1
        with pytest.raises(Denied, match="disabled"):
            await room.write(self_service.reset_password, token, RECORD)


async def test_unlocking_by_mail(open_registry: OpenRegistry):
    async with open_registry() as room:
        await room.registry.write(with_mail)
        julia = await _julia(room)
        for _ in range(5):
            await room.write(owners.record_failure, julia)
        await room.write(self_service.ask_to_unlock, "julia", FROM)
        token = await room.read(last_link, "unlock")
        owner = await room.write(self_service.unlock, token)
        assert owner.locked_until is None


async def test_a_new_address_takes_effect_when_it_is_confirmed(open_registry: OpenRegistry):
    async with open_registry() as room:
        await room.registry.write(with_mail)
        julia = await _julia(room)
        await room.write(self_service.ask_for_address, julia, "first@example.org", FROM)
        first = await room.read(last_link, "set_email")
        await room.write(self_service.ask_for_address, julia, "new@example.org", FROM)
        with pytest.raises(Denied):
            await room.write(self_service.confirm_address, first)
        owner = await room.read(owners.get, julia)
        assert (owner.email, owner.email_pending) == (ADDRESS, "new@example.org")
        await room.write(self_service.ask_for_password, "julia", FROM)
        reset = await room.read(last_link, "pwd_reset")
        token = await room.read(last_link, "set_email")
        assert await room.read(self_service.addresses_of, token) == (ADDRESS, "new@example.org")
        owner = await room.write(self_service.confirm_address, token)
        assert (owner.email, owner.email_pending) == ("new@example.org", None)
        with pytest.raises(Denied):
            await room.write(self_service.reset_password, reset, RECORD)


async def test_an_address_that_is_taken(open_registry: OpenRegistry):
    async with open_registry() as room:
        await room.registry.write(with_mail)
        julia = await _julia(room)
        with pytest.raises(Conflict, match="already"):
            await room.write(self_service.ask_for_address, julia, ADDRESS, FROM)
        await room.write(self_service.ask_for_address, julia, "new@example.org", FROM)
        token = await room.read(last_link, "set_email")

        def take(tx):
            return owners.add(tx, "other", "Other One", RECORD, email="new@example.org").id

        other = await room.registry.write(take)
        with pytest.raises(Conflict, match="another account"):
            await room.write(self_service.confirm_address, token)
        with pytest.raises(Conflict, match="another account"):
            await room.write(self_service.ask_for_address, other, ADDRESS, FROM)
        owner = await room.write(self_service.forget_address, julia)
        assert (owner.email, owner.email_pending) == (None, None)


async def test_without_mail_an_address_stays_unconfirmed_and_is_of_no_use(open_registry):
    async with open_registry() as room:
        julia = await _julia(room, None)
        answer = await room.write(self_service.ask_for_address, julia, ADDRESS, FROM)
        assert answer is Answer.STORED_UNCONFIRMED
        owner = await room.read(owners.get, julia)
        assert (owner.email, owner.email_pending) == (None, ADDRESS)
        for ask in (self_service.ask_for_password, self_service.ask_to_unlock):
            with pytest.raises(Conflict, match="no mail"):
                await room.write(ask, ADDRESS, FROM)
        await room.registry.write(with_mail)
        await room.write(self_service.ask_for_password, ADDRESS, FROM)
        assert await _letters(room) == 0


async def test_by_hand_over_the_operator_gives_the_link(open_registry: OpenRegistry):
    async with open_registry() as room:
        await room.write(
            server_settings.change,
            {"management_url": "https://box.example.org", "hand_over": True},
        )
        await _julia(room)
        answer = await room.write(self_service.ask_for_password, "julia", FROM)
        assert answer is Answer.ASK_OPERATOR
        token = await room.read(last_link, "pwd_reset")
        (letter,) = await room.read(outbox.list_all)
        await room.write(outbox.hand_over, letter.id)
        await room.write(self_service.reset_password, token, RECORD)
        assert await room.read(owners.by_email, ADDRESS) is not None
        assert action_tokens.PATHS[Purpose.RESET_PASSWORD] == "/reset/"
