"""Web sessions, tokens of programs, the setup code, named values."""

from __future__ import annotations

import re

import pytest

from gateway.base.errors import Conflict, InvalidInput, NotFound, QuotaExceeded
from gateway.base.secret import Secret
from gateway.model.accounts import Scope
from gateway.model.kinds import Authority
from gateway.registry import operators, owners, settings
from gateway.registry.changes import OwnerChanged, SettingChanged
from gateway.registry.operators import SetupAnswer
from gateway.registry.settings import RegistrySettings
from tests.registry.furnished import RECORD, Opened, OpenRegistry, make_owner


async def test_a_session_lives_two_days_and_a_kept_one_thirty(open_registry: OpenRegistry):
    async with open_registry() as room:
        owner_id = await room.write(make_owner)
        token, session = await room.write(operators.open_session, owner_id)
        kept, _ = await room.write(operators.open_session, owner_id, persistent=True)
        assert session.owner.id == owner_id
        assert len(session.csrf_key) == 32
        assert await room.read(operators.session, token) == session
        room.clock.seconds += 2 * 86_400
        assert await room.read(operators.session, token) is None
        assert (await room.read(operators.session, kept)).persistent
        room.clock.seconds += 28 * 86_400
        assert await room.read(operators.session, kept) is None
        await room.write(operators.open_session, owner_id)
        count = await room.registry.read(lambda r: r.number("SELECT count(*) FROM web_session"))
        assert count == 1, "expired sessions are swept"


async def test_only_the_hash_of_a_token_is_stored(open_registry: OpenRegistry):
    async with open_registry() as room:
        owner_id = await room.write(make_owner)
        token, _ = await room.write(operators.open_session, owner_id)
        (row,) = await room.registry.read(lambda r: r.rows("SELECT token_hash FROM web_session"))
        assert row[0] == operators.token_hash(token)
        assert token.reveal().encode() not in row[0]
        assert re.fullmatch("[0-9A-Za-z]{43}", token.reveal())
        assert await room.read(operators.session, Secret("guess")) is None
        assert await room.read(operators.session, Secret("\ud800")) is None


async def test_signing_out(open_registry: OpenRegistry):
    async with open_registry() as room:
        owner_id = await room.write(make_owner)
        tokens = [(await room.write(operators.open_session, owner_id))[0] for _ in range(3)]
        await room.write(operators.close_session, tokens[0])
        await room.write(operators.close_session, tokens[0])
        assert await room.read(operators.session, tokens[0]) is None
        assert await room.write(operators.close_sessions, owner_id) == 2
        assert await room.read(operators.session, tokens[1]) is None


async def test_the_oldest_sessions_end_when_there_are_too_many(open_registry: OpenRegistry):
    async with open_registry(RegistrySettings(sessions_per_owner=2)) as room:
        owner_id = await room.write(make_owner)
        tokens = []
        for _ in range(3):
            tokens.append((await room.write(operators.open_session, owner_id))[0])
            room.clock.seconds += 1
        alive = [await room.read(operators.session, token) is not None for token in tokens]
        assert alive == [False, True, True]


async def test_a_disabled_account_has_no_session(open_registry: OpenRegistry):
    async with open_registry() as room:
        owner_id = await room.write(make_owner)
        token, _ = await room.write(operators.open_session, owner_id)
        await room.registry.write(lambda tx: tx.run("UPDATE owner SET enabled = 0"))
        assert await room.read(operators.session, token) is None
        with pytest.raises(Conflict, match="disabled"):
            await room.write(operators.open_session, owner_id)


async def test_tokens_of_programs(open_registry: OpenRegistry):
    async with open_registry() as room:
        owner_id = await room.write(make_owner)
        token, facts = await room.write(operators.add_token, " ctl ", None, [Scope.ADMINISTER])
        mine, _ = await room.write(
            operators.add_token, "phone", owner_id, {Scope.READ, Scope.MANAGE}, life_seconds=60
        )
        assert (facts.name, facts.owner_id, facts.scopes) == ("ctl", None, {Scope.ADMINISTER})
        assert await room.read(operators.find_token, token) == facts
        assert (await room.read(operators.find_token, mine)).scopes == {Scope.READ, Scope.MANAGE}
        assert await room.read(operators.find_token, Secret("guess")) is None
        room.clock.seconds += 60
        assert await room.read(operators.find_token, mine) is None
        await room.write(operators.token_used, facts.id)
        used = (await room.read(operators.get_token, facts.id)).last_used_at
        room.clock.seconds += 30
        await room.write(operators.token_used, facts.id)
        assert (await room.read(operators.get_token, facts.id)).last_used_at == used
        assert [one.name for one in await room.read(operators.list_tokens, None)] == ["ctl"]
        assert [one.name for one in await room.read(operators.list_tokens, owner_id)] == ["phone"]
        await room.write(operators.delete_token, facts.id)
        assert await room.read(operators.find_token, token) is None
        with pytest.raises(NotFound):
            await room.write(operators.delete_token, facts.id)


async def test_a_token_is_void_with_its_account(open_registry: OpenRegistry):
    async with open_registry() as room:
        owner_id = await room.write(make_owner)
        token, _ = await room.write(operators.add_token, "phone", owner_id, [Scope.READ])
        await room.write(owners.set_enabled, owner_id, False)
        assert await room.read(operators.find_token, token) is None
        await room.write(owners.set_enabled, owner_id, True)
        assert await room.read(operators.find_token, token) is not None
        await room.write(owners.delete, owner_id)
        assert await room.read(operators.find_token, token) is None


@pytest.mark.parametrize(
    ("arguments", "field"),
    [(("", None, [Scope.READ]), "name"), (("x" * 65, None, [Scope.READ]), "name"),
     (("a\nb", None, [Scope.READ]), "name"), (("ctl", None, []), "scopes")],
)  # fmt: skip
async def test_tokens_that_make_no_sense(open_registry: OpenRegistry, arguments, field):
    async with open_registry(RegistrySettings(tokens_per_owner=1)) as room:
        with pytest.raises(InvalidInput) as refused:
            await room.write(operators.add_token, *arguments)
        assert refused.value.field == field
        with pytest.raises(InvalidInput, match="longer than 0"):
            await room.write(operators.add_token, "ctl", None, [Scope.READ], life_seconds=0)
        await room.write(operators.add_token, "ctl", None, [Scope.READ])
        with pytest.raises(QuotaExceeded):
            await room.write(operators.add_token, "ctl", None, [Scope.READ])


PERSON = ("markus", "Markus Schmidt", RECORD)


async def _wrong(room: Opened, times: int) -> list[SetupAnswer]:
    answers = []
    for _ in range(times):
        claim = await room.write(operators.claim, Secret("AAAA-AAAA"), *PERSON)
        assert claim.owner is None
        answers.append(claim.answer)
    return answers


async def test_whoever_types_the_code_is_the_first_owner(open_registry: OpenRegistry):
    async with open_registry() as room:
        assert not await room.read(operators.claimed)
        code = await room.write(operators.issue_setup_code)
        assert re.fullmatch("[2-9A-HJKMNP-Z]{4}-[2-9A-HJKMNP-Z]{4}", code.reveal())
        sloppy = Secret(f"  {code.reveal().lower().replace('-', ' ')} ")
        assert await room.write(operators.check_setup_code, sloppy) is SetupAnswer.RIGHT
        room.heard.clear()
        claim = await room.write(operators.claim, sloppy, *PERSON)
        assert claim.answer is SetupAnswer.RIGHT
        assert claim.owner.authority is Authority.ADMINISTRATOR
        assert room.heard == [(OwnerChanged(claim.owner.id),)]
        assert await room.read(operators.claimed)
        again = await room.write(operators.claim, code, "julia", "Julia", RECORD)
        assert again.answer is SetupAnswer.CLAIMED
        with pytest.raises(Conflict, match="owner already"):
            await room.write(operators.issue_setup_code)


async def test_ten_wrong_codes_make_it_void_until_another_is_issued(open_registry: OpenRegistry):
    async with open_registry() as room:
        assert await _wrong(room, 1) == [SetupAnswer.VOID], "none was issued"
        code = await room.write(operators.issue_setup_code)
        assert await _wrong(room, 10) == [SetupAnswer.WRONG] * 9 + [SetupAnswer.VOID]
        assert (await room.write(operators.claim, code, *PERSON)).answer is SetupAnswer.VOID
        code = await room.write(operators.issue_setup_code)
        assert (await room.write(operators.claim, code, *PERSON)).answer is SetupAnswer.RIGHT


async def test_a_bad_name_does_not_use_the_code_up(open_registry: OpenRegistry):
    async with open_registry() as room:
        code = await room.write(operators.issue_setup_code)
        with pytest.raises(InvalidInput):
            await room.write(operators.claim, code, "m", "Markus Schmidt", RECORD)
        assert not await room.read(operators.claimed)
        assert (await room.write(operators.claim, code, *PERSON)).owner is not None


async def test_the_code_is_not_in_the_file(open_registry: OpenRegistry):
    async with open_registry() as room:
        code = (await room.write(operators.issue_setup_code)).reveal()
        for path in room.registry.path.parent.iterdir():
            octets = path.read_bytes()
            assert code.encode() not in octets
            assert code.replace("-", "").encode() not in octets


async def test_named_values(open_registry: OpenRegistry):
    async with open_registry() as room:
        assert await room.read(settings.get, "server_address") is None
        changes = await room.changes_of(settings.put, "server_address", "box.local")
        assert changes == {SettingChanged("server_address")}
        await room.write(settings.put, "a", "")
        assert await room.read(settings.all_values) == {"a": "", "server_address": "box.local"}
        await room.write(settings.put, "server_address", None)
        assert await room.read(settings.get, "server_address") is None
        for name, value in (("", "x"), ("n" * 65, "x"), ("n", "x" * 4097)):
            with pytest.raises(InvalidInput):
                await room.write(settings.put, name, value)
