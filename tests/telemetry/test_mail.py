"""Mail through a real server: encrypted, refused, given up, and sent again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.base.clock import SystemClock
from gateway.base.entropy import SystemEntropy
from gateway.base.errors import Conflict, HostError, InvalidInput, TimedOut
from gateway.base.notices import NoticeHub
from gateway.base.secret import Secret
from gateway.net.tasks import TaskRoom
from gateway.registry import outbox, server_settings
from gateway.registry.database import Registry
from gateway.registry.outbox import LetterState, MailMode
from gateway.telemetry.mail import MailFailed, MailSender, MailSent
from gateway.telemetry.settings import MailSettings
from tests.telemetry.mailbox import HOST, Mailbox, make_certificate

LINK = "https://box.example.org/reset/abc"


class Office:
    """A registry, its sender, and what was announced."""

    def __init__(self, registry: Registry, sender: MailSender, notices: NoticeHub) -> None:
        self.registry = registry
        self.sender = sender
        self.heard: list[object] = []
        self._changed = asyncio.Event()
        notices.subscribe(MailSent, self.heard.append)
        notices.subscribe(MailFailed, self.heard.append)
        registry.subscribe(lambda _: self._changed.set())

    async def put(self, to: str = "julia@example.org") -> int:
        found = await self.registry.write(
            lambda tx: outbox.put(
                tx,
                "pwd_reset",
                to,
                "Subject",
                "Open {link} now",
                link=Secret(LINK),
                expires_at=tx.now + 3600,
            )
        )
        assert found is not None
        return found

    async def letter(self, letter_id: int) -> outbox.Letter:
        return await self.registry.read(lambda reader: outbox.get(reader, letter_id))

    async def until(self, letter_id: int, wanted: Callable[[outbox.Letter], bool]) -> outbox.Letter:
        while True:
            self._changed.clear()
            letter = await self.letter(letter_id)
            if wanted(letter):
                return letter
            await self._changed.wait()


@asynccontextmanager
async def _office(
    folder: Path,
    port: int,
    *,
    password: str = "",
    tested: bool = True,
    chosen: dict[str, Any] | None = None,
    **settings: Any,
) -> AsyncIterator[Office]:
    clock, notices = SystemClock(), NoticeHub()
    registry = await Registry.open(folder / "r.sqlite", clock=clock, entropy=SystemEntropy())
    values = {
        "management_url": "https://box.example.org", "smtp_host": HOST, "smtp_port": port,
        "smtp_security": "none", "mail_address": "box@example.org", **(chosen or {}),
    }  # fmt: skip

    def configure(tx: Any) -> None:
        server_settings.change(tx, values)
        if tested:
            server_settings.mail_tested(tx, server_settings.load(tx))

    await registry.write(configure)
    secrets = {server_settings.MAIL_SECRET: {"password": Secret(password)}}
    defaults = {"time_limit": 5.0, "first_pause": 1.0, "longest_pause": 1.0, "helo_name": "box"}
    try:
        async with TaskRoom("test") as room:
            sender = MailSender(
                MailSettings(**{**defaults, **settings}), registry=registry, secrets=secrets,
                clock=clock, room=room, notices=notices,
            )  # fmt: skip
            sender.start()
            yield Office(registry, sender, notices)
    finally:
        await registry.close()


async def test_a_letter_is_sent_as_it_stands(tmp_path):
    async with Mailbox() as box, _office(tmp_path, box.port) as office:
        letter = await office.until(await office.put(), lambda one: one.done_at is not None)
        assert (letter.state, letter.link) == (LetterState.SENT, None)
        ((sender, receiver, message),) = box.taken
        assert (sender, receiver) == ("box@example.org", "julia@example.org")
        assert message["Subject"] == "Subject"
        assert message["Auto-Submitted"] == "auto-generated"
        assert message["Message-ID"].endswith("@box>")
        assert message.get_payload().strip() == f"Open {LINK} now"
        assert office.heard == [MailSent(letter_id=letter.id)]


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_over_tls_with_a_password(tmp_path, security):
    pem = make_certificate(tmp_path)
    chosen = {"smtp_security": security, "smtp_user": "box"}
    async with (
        Mailbox(pem, tls=security == "tls", login=("box", "s3cret")) as box,
        _office(tmp_path, box.port, password="s3cret", chosen=chosen, ca_file=str(pem)) as office,
    ):
        await office.until(await office.put(), lambda one: one.state is LetterState.SENT)
        assert box.logins == [("box", True)], "the password travels encrypted only"


@pytest.mark.parametrize(("security", "tls"), [("starttls", False), ("tls", True)])
async def test_an_untrusted_certificate_gets_neither_password_nor_letter(tmp_path, security, tls):
    pem = make_certificate(tmp_path)
    chosen = {"smtp_security": security, "smtp_user": "box"}
    async with (
        Mailbox(pem, tls=tls, login=("box", "s3cret")) as box,
        _office(tmp_path, box.port, password="s3cret", chosen=chosen, attempts=1) as office,
    ):
        letter = await office.until(await office.put(), lambda one: one.state is LetterState.FAILED)
        assert "not trusted" in letter.last_error
        assert (box.logins, box.taken) == ([], [])


async def test_a_server_without_starttls_gets_nothing(tmp_path):
    chosen = {"smtp_security": "starttls", "smtp_user": "box"}
    async with (
        Mailbox(login=("box", "s3cret")) as box,
        _office(tmp_path, box.port, password="s3cret", chosen=chosen, attempts=1) as office,
    ):
        letter = await office.until(await office.put(), lambda one: one.state is LetterState.FAILED)
        assert "STARTTLS" in letter.last_error
        assert box.logins == []


async def test_a_wrong_password_is_told_without_showing_it(tmp_path):
    async with (
        Mailbox(login=("box", "right")) as box,
        _office(
            tmp_path, box.port, password="wr0ng", chosen={"smtp_user": "box"}, attempts=1
        ) as office,
    ):
        letter = await office.until(await office.put(), lambda one: one.state is LetterState.FAILED)
        assert "user name or the password" in letter.last_error
        assert "wr0ng" not in letter.last_error


async def test_a_passing_fault_is_tried_again(tmp_path):
    async with Mailbox() as box, _office(tmp_path, box.port) as office:
        box.refusals = [("RCPT", "450 busy"), ("MAIL", "451 later")]
        letter = await office.until(await office.put(), lambda one: one.done_at is not None)
        assert (letter.state, letter.attempts) == (LetterState.SENT, 3)
        assert "451" in letter.last_error or "later" in letter.last_error
        assert len(box.taken) == 1


async def test_a_refusal_for_good_is_given_up_at_once(tmp_path):
    async with Mailbox() as box, _office(tmp_path, box.port) as office:
        box.refusals = [("RCPT", "550 no such person")]
        letter = await office.until(await office.put(), lambda one: one.state is LetterState.FAILED)
        assert letter.attempts == 1
        assert "no such person" in letter.last_error
        assert letter.link is not None, "the administrator can hand it over"
        assert office.heard == [MailFailed(letter_id=letter.id, reason=letter.last_error)]
        again = await office.put("other@example.org")
        await office.until(again, lambda one: one.state is LetterState.SENT)


async def test_a_server_that_is_not_there_is_given_up_in_the_end(tmp_path):
    async with Mailbox() as box:
        port = box.port
    async with _office(tmp_path, port, attempts=2) as office:
        letter = await office.until(await office.put(), lambda one: one.state is LetterState.FAILED)
        assert (letter.attempts, "cannot be reached" in letter.last_error) == (2, True)


@pytest.mark.parametrize("silent_at", ["banner", "EHLO", "RCPT"])
async def test_a_server_that_hangs_is_left_within_the_limit(tmp_path, silent_at):
    async with Mailbox() as box:
        box.silent_at = silent_at
        async with _office(tmp_path, box.port, attempts=1, time_limit=1.0) as office:
            begun = time.monotonic()
            letter = await office.until(
                await office.put(), lambda one: one.state is LetterState.FAILED
            )
            assert time.monotonic() - begun < 3
            assert "within 1 s" in letter.last_error


async def test_stopping_does_not_wait_for_a_server_that_hangs(tmp_path):
    async with Mailbox() as box:
        box.silent_at = "banner"
        async with _office(tmp_path, box.port, time_limit=60.0) as office:
            letter_id = await office.put()
            while not box.connections:
                await asyncio.sleep(0.01)
            begun = time.monotonic()
        assert time.monotonic() - begun < 3
        registry = await Registry.open(
            tmp_path / "r.sqlite", clock=SystemClock(), entropy=SystemEntropy()
        )
        letter = await registry.read(lambda reader: outbox.get(reader, letter_id))
        await registry.close()
        assert letter.state is LetterState.QUEUED, "it is sent after the next start"


async def test_a_test_letter_turns_mail_on(tmp_path):
    async with Mailbox() as box, _office(tmp_path, box.port, tested=False) as office:
        assert await office.registry.read(outbox.mode) is MailMode.OFF
        await office.sender.test("admin@example.org")
        assert await office.registry.read(outbox.mode) is MailMode.SMTP
        assert box.taken[0][1] == "admin@example.org"
        await office.until(await office.put(), lambda one: one.state is LetterState.SENT)


async def test_a_test_letter_that_fails_says_why(tmp_path):
    async with (
        Mailbox() as box,
        _office(tmp_path, box.port, tested=False, time_limit=1.0) as office,
    ):
        box.refusals = [("MAIL", "553 not you")]
        with pytest.raises(HostError, match="not you"):
            await office.sender.test("admin@example.org")
        box.silent_at = "EHLO"
        with pytest.raises(TimedOut, match="did not answer"):
            await office.sender.test("admin@example.org")
        with pytest.raises(InvalidInput):
            await office.sender.test("nobody")
        assert await office.registry.read(outbox.mode) is MailMode.OFF
        await office.registry.write(lambda tx: server_settings.change(tx, {"mail_address": None}))
        with pytest.raises(Conflict, match="first"):
            await office.sender.test("admin@example.org")


async def test_letters_wait_while_mail_does_not_travel_by_smtp(tmp_path):
    async with (
        Mailbox() as box,
        _office(tmp_path, box.port, tested=False, chosen={"hand_over": True}) as office,
    ):
        letter_id = await office.put()
        await asyncio.sleep(0.3)
        assert (await office.letter(letter_id)).state is LetterState.QUEUED
        await office.sender.test("admin@example.org")
        await office.until(letter_id, lambda one: one.state is LetterState.SENT)


async def test_an_address_that_cannot_be_written_is_given_up(tmp_path):
    async with Mailbox() as box, _office(tmp_path, box.port) as office:
        for to in ("a\r\nBcc: x@example.org", "jülia@example.org"):
            letter = await office.until(
                await office.put(to), lambda one: one.state is LetterState.FAILED
            )
            assert letter.attempts == 1
        assert box.taken == []
