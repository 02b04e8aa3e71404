"""Letters: how they travel, how many may, and that no link stays behind."""

from __future__ import annotations

import pytest

from gateway.base.errors import Conflict, NotFound, QuotaExceeded
from gateway.base.secret import Secret
from gateway.registry import action_tokens, letters, outbox, server_settings
from gateway.registry.action_tokens import Purpose
from gateway.registry.changes import OutboxChanged
from gateway.registry.outbox import LetterState, MailMode
from tests.registry.furnished import URL, Opened, OpenRegistry, make_owner, with_mail

LINK = Secret(URL + "/reset/abc")


async def _put(room: Opened, to: str = "a@b.c", life: int = 3600) -> int | None:
    return await room.write(
        outbox.put, "pwd_reset", to, "Subject", "Open {link} now", link=LINK,
        expires_at=int(room.clock.seconds) + life,
    )  # fmt: skip


async def _links(room: Opened) -> int:
    return await room.registry.read(
        lambda reader: reader.number("SELECT count(*) FROM outbox WHERE link IS NOT NULL")
    )


async def test_the_three_ways_of_a_letter(open_registry: OpenRegistry):
    async with open_registry() as room:
        seen = [await room.read(outbox.mode)]
        for values in (
            {"hand_over": True}, {"management_url": URL}, {"smtp_host": "mail.example.org"},
        ):  # fmt: skip
            await room.write(server_settings.change, values)
            seen.append(await room.read(outbox.mode))
        assert seen == [MailMode.OFF, MailMode.OFF, MailMode.HAND_OVER, MailMode.HAND_OVER]
        chosen = await room.read(server_settings.load)
        assert await room.write(server_settings.mail_tested, chosen)
        assert await room.read(outbox.mode) is MailMode.SMTP
        await room.write(server_settings.change, {"smtp_port": 2525})
        assert await room.read(outbox.mode) is MailMode.HAND_OVER, "the test is void"
        assert not await room.write(server_settings.mail_tested, chosen), "of other settings"
        await room.write(server_settings.change, {"hand_over": False})
        with pytest.raises(Conflict, match="sends no mail"):
            await _put(room)


async def test_a_letter_waits_is_sent_and_forgets_its_link(open_registry: OpenRegistry):
    async with open_registry() as room:
        await room.registry.write(with_mail)
        letter_id = await _put(room)
        assert room.heard[-1] == (OutboxChanged(letter_id),)
        (letter,) = await room.read(outbox.due)
        assert letter.text.reveal() == f"Open {URL}/reset/abc now"
        assert LINK.reveal() not in repr(letter)
        await room.write(outbox.sent, letter_id)
        found = await room.read(outbox.get, letter_id)
        assert (found.state, found.link, found.attempts) == (LetterState.SENT, None, 1)
        assert await room.read(outbox.due) == ()
        assert await _links(room) == 0


async def test_a_failed_attempt_is_repeated_later_and_then_given_up(open_registry):
    async with open_registry() as room:
        await room.registry.write(with_mail)
        letter_id = await _put(room)
        await room.write(outbox.not_sent, letter_id, "450 busy\0 \ud800", 30)
        assert await room.read(outbox.due) == ()
        assert await room.read(outbox.next_due) == int(room.clock.seconds) + 30
        room.clock.seconds += 30
        assert len(await room.read(outbox.due)) == 1
        await room.write(outbox.not_sent, letter_id, "550 no", None)
        found = await room.read(outbox.get, letter_id)
        assert (found.state, found.attempts, found.last_error) == (LetterState.FAILED, 2, "550 no")
        assert found.link == LINK, "it can be handed over still"
        assert (await room.write(outbox.retry, letter_id)).state is LetterState.QUEUED
        with pytest.raises(Conflict):
            await room.write(outbox.retry, letter_id)


async def test_handing_over_forgets_the_link(open_registry: OpenRegistry):
    async with open_registry() as room:
        await room.write(server_settings.change, {"management_url": URL, "hand_over": True})
        letter_id = await _put(room)
        (letter,) = await room.read(outbox.list_all, [LetterState.QUEUED])
        assert letter.link == LINK
        found = await room.write(outbox.hand_over, letter_id)
        assert (found.state, found.link) == (LetterState.HANDED_OVER, None)
        with pytest.raises(Conflict, match="done or expired"):
            await room.write(outbox.hand_over, letter_id)
        assert await _links(room) == 0
        await room.write(outbox.delete, letter_id)
        with pytest.raises(NotFound):
            await room.read(outbox.get, letter_id)


async def test_expired_letters_lose_their_links_and_old_ones_go(open_registry: OpenRegistry):
    async with open_registry() as room:
        await room.registry.write(with_mail)
        await _put(room, life=60)
        await _put(room, life=7200)
        room.clock.seconds += 60
        assert len(await room.read(outbox.due)) == 1, "an expired letter is not sent"
        assert await room.write(outbox.tidy) == 1
        states = [letter.state for letter in await room.read(outbox.list_all)]
        assert states == [LetterState.QUEUED, LetterState.EXPIRED]
        assert await _links(room) == 1
        room.clock.seconds += outbox.KEPT_SECONDS
        await room.write(outbox.tidy)
        await room.write(outbox.tidy)
        assert await room.read(outbox.list_all) == ()


async def test_a_used_link_takes_its_letter_back(open_registry: OpenRegistry):
    async with open_registry() as room:
        await room.registry.write(with_mail)
        owner = await room.write(make_owner)

        def draw(tx):
            drawn = action_tokens.draw(tx, Purpose.UNLOCK, owner_id=owner)
            letters.send(tx, "a@b.c", drawn, "markus")
            return drawn[0]

        token = await room.registry.write(draw)
        (letter,) = await room.read(outbox.due)
        assert letter.link.reveal() == f"{URL}/unlock/{token.reveal()}"
        assert token.reveal() not in letter.body
        await room.write(action_tokens.use, Purpose.UNLOCK, token)
        assert (await room.read(outbox.due), await _links(room)) == ((), 0)


@pytest.mark.parametrize(
    ("limit", "asks"),
    [
        (outbox.PER_ADDRESS, lambda i: ("a@b.c", f"192.0.2.{i}")),
        (outbox.PER_ADDRESS, lambda i: (("A@B.c", "a@b.C")[i % 2], f"192.0.2.{i}")),
        (outbox.PER_SOURCE, lambda i: (f"{i}@b.c", "192.0.2.1")),
        (outbox.PER_BOX, lambda i: (f"{i}@b.c", f"source {i}")),
    ],
)
async def test_limits_of_an_hour(open_registry: OpenRegistry, limit, asks):
    async with open_registry() as room:

        def ask_many(tx):
            for number in range(limit):
                outbox.admit(tx, *asks(number))

        await room.registry.write(ask_many)
        with pytest.raises(QuotaExceeded, match="hour"):
            await room.write(outbox.admit, *asks(limit))
        room.clock.seconds += outbox.WINDOW
        await room.registry.write(ask_many)


async def test_a_clock_set_back_does_not_shut_anybody_out(open_registry: OpenRegistry):
    async with open_registry() as room:
        for _ in range(outbox.PER_ADDRESS):
            await room.write(outbox.admit, "a@b.c", "x")
        room.clock.seconds -= 86_400
        await room.write(outbox.admit, "a@b.c", "x")


async def test_a_receiver_gets_five_letters_an_hour_whoever_asks(open_registry: OpenRegistry):
    async with open_registry() as room:
        await room.registry.write(with_mail)
        assert [await _put(room) is not None for _ in range(6)] == [True] * 5 + [False]
        assert await _put(room, "other@b.c") is not None


async def test_names_cannot_forge_lines_of_a_letter(open_registry: OpenRegistry):
    async with open_registry() as room:
        await room.registry.write(with_mail)
        owner = await room.write(make_owner)
        evil = "M{link}\r\nBcc: x\n\nhttps://evil"

        def draw(tx):
            letters.send(tx, "a@b.c", action_tokens.draw(tx, Purpose.UNLOCK, owner_id=owner), evil)

        await room.registry.write(draw)
        (letter,) = await room.read(outbox.due)
        assert letter.body.count(outbox.LINK_MARK) == 1
        assert "\nBcc" not in letter.body
        assert "\nhttps" not in letter.body
