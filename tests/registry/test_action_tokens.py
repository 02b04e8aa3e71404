"""Links that act: bound to a purpose, good for a time, most of them once."""

from __future__ import annotations

import hashlib
import sqlite3

import pytest

from gateway.base.errors import Denied, NotFound
from gateway.base.secret import Secret
from gateway.registry import action_tokens, outbox
from gateway.registry.action_tokens import EXPIRED, LIFE, REUSABLE, UNKNOWN, USED, Purpose
from tests.registry.furnished import Opened, OpenRegistry, make_owner, with_mail


async def _draw(room: Opened, purpose: Purpose = Purpose.RESET_PASSWORD):
    owner = await room.write(make_owner)
    return owner, await room.write(action_tokens.draw, purpose, owner_id=owner, email="a@b.c")


async def _refusal(room: Opened, purpose: Purpose, token: Secret) -> str:
    with pytest.raises(Denied) as refused:
        await room.write(action_tokens.use, purpose, token)
    return refused.value.code


async def test_only_the_hash_is_in_the_file(open_registry: OpenRegistry, tmp_path):
    async with open_registry() as room:
        _, (token, _) = await _draw(room)
        text = token.reveal()
        assert len(text) == 43
        (stored,) = await room.registry.read(
            lambda reader: reader.one("SELECT token_hash FROM action_token")
        )
        assert stored == hashlib.sha256(text.encode()).digest()
        await room.write(action_tokens.use, Purpose.RESET_PASSWORD, token)
    for file in tmp_path.iterdir():
        assert text.encode() not in file.read_bytes()


async def test_a_link_works_once_and_looking_does_not_use_it(open_registry: OpenRegistry):
    async with open_registry() as room:
        owner, (token, _) = await _draw(room)
        for _ in range(3):
            found = await room.read(action_tokens.look, Purpose.RESET_PASSWORD, token)
            assert (found.owner_id, found.email) == (owner, "a@b.c")
        await room.write(action_tokens.use, Purpose.RESET_PASSWORD, token)
        assert await _refusal(room, Purpose.RESET_PASSWORD, token) == USED


async def test_what_fails_later_leaves_the_link_good(open_registry: OpenRegistry):
    async with open_registry() as room:
        _, (token, _) = await _draw(room)

        def act(tx):
            action_tokens.use(tx, Purpose.RESET_PASSWORD, token)
            raise NotFound("Nothing came of it.")

        with pytest.raises(NotFound):
            await room.registry.write(act)
        await room.write(action_tokens.use, Purpose.RESET_PASSWORD, token)


@pytest.mark.parametrize("purpose", [Purpose.RESET_PASSWORD, Purpose.UNLOCK, Purpose.SIGN_UP])
async def test_a_link_expires_to_the_second(open_registry: OpenRegistry, purpose):
    async with open_registry() as room:
        _, (token, _) = await _draw(room, purpose)
        room.clock.seconds += LIFE[purpose] - 1
        await room.read(action_tokens.look, purpose, token)
        room.clock.seconds += 1
        assert await _refusal(room, purpose, token) == EXPIRED


async def test_a_link_is_bound_to_its_purpose_and_to_its_text(open_registry: OpenRegistry):
    async with open_registry() as room:
        _, (token, _) = await _draw(room)
        assert await _refusal(room, Purpose.UNLOCK, token) == UNKNOWN
        text = token.reveal()
        for altered in (text[:-1], text + "A", "", "x" * 10_000, text.swapcase(), "\ud800", "\0"):
            assert await _refusal(room, Purpose.RESET_PASSWORD, Secret(altered)) == UNKNOWN


async def test_an_account_takes_its_links_with_it_and_can_void_them(open_registry: OpenRegistry):
    async with open_registry() as room:
        owner, (token, _) = await _draw(room)
        assert await room.write(action_tokens.void, owner, Purpose.RESET_PASSWORD) == 1
        assert await _refusal(room, Purpose.RESET_PASSWORD, token) == USED
        token, _ = await room.write(action_tokens.draw, Purpose.UNLOCK, owner_id=owner)
        await room.write(lambda tx: tx.run("DELETE FROM owner"))
        assert await _refusal(room, Purpose.UNLOCK, token) == UNKNOWN


async def test_old_links_are_forgotten_with_their_letters(open_registry: OpenRegistry):
    async with open_registry() as room:
        owner, (_, first) = await _draw(room)
        await room.registry.write(with_mail)
        await room.write(
            outbox.put, "pwd_reset", "a@b.c", "s", "b", link=Secret("x"), expires_at=9,
            token_id=first.id,
        )  # fmt: skip
        room.clock.seconds += action_tokens.KEPT_SECONDS + LIFE[Purpose.RESET_PASSWORD]
        await room.write(action_tokens.draw, Purpose.UNLOCK, owner_id=owner)
        count = await room.registry.read(
            lambda reader: reader.number("SELECT count(*) FROM action_token")
        )
        assert (count, await room.read(outbox.list_all)) == (1, ())


def test_every_purpose_has_a_life_and_a_page_and_is_known_to_the_file():
    assert set(LIFE) == set(action_tokens.PATHS) == set(Purpose)
    assert {Purpose.BROWSE_GUESTS, Purpose.EDIT_GUEST} == REUSABLE
    assert LIFE[Purpose.CREATE_GUEST] == 3600
    assert LIFE[Purpose.EDIT_GUEST] == 1800
    assert sqlite3.sqlite_version_info >= (3, 37), "STRICT tables"
