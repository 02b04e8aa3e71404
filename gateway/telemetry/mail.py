"""The background sender of mail: one letter at a time, each on a thread with a time limit.

Letters wait in the registry's outbox; this only carries them. A letter that the server refuses for
good, or that failed too often, stays there as failed, to be handed over by the administrator.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import smtplib
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Protocol

from gateway.base.clock import Clock
from gateway.base.errors import Conflict, HostError, InvalidInput, TimedOut
from gateway.base.notices import Notice, NoticeHub, Severity
from gateway.base.secret import Secret
from gateway.model import names
from gateway.net.tasks import TaskRoom
from gateway.registry import outbox, server_settings
from gateway.registry.changes import Change, OutboxChanged, SettingChanged
from gateway.registry.database import Registry, Tx
from gateway.registry.outbox import Letter, MailMode
from gateway.registry.server_settings import MAIL_SECRET, ServerSettings
from gateway.telemetry.settings import MailSettings

_log = logging.getLogger(__name__)

PAUSE_FACTOR = 4
_SHUT_BOTH_WAYS = 2  # socket.SHUT_RDWR; only net may hold sockets


class SecretStore(Protocol):
    """Where the mail server's password lies; the cameras' vault is one."""

    def get(self, name: str) -> Mapping[str, Secret] | None:
        """Return the fields of a record, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailFailed(Notice):
    """A letter was given up; the reason is the server's or the machine's."""

    letter_id: int
    reason: str
    severity: Severity = Severity.WARNING


@dataclass(frozen=True, slots=True, kw_only=True)
class MailSent(Notice):
    """The mail server has taken a letter."""

    letter_id: int


class Refused(HostError):
    """The server refused this letter for good: sending it again would change nothing."""


class MailSender:
    """Sends what waits in the outbox while mail travels by SMTP; `test` proves a server."""

    def __init__(
        self,
        settings: MailSettings,
        *,
        registry: Registry,
        secrets: SecretStore,
        clock: Clock,
        room: TaskRoom,
        notices: NoticeHub | None = None,
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._secrets = secrets
        self._clock = clock
        self._room = room
        self._notices = notices
        self._woken = asyncio.Event()
        self._unsubscribe: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Begin to send as a task of the room; the room's end is the sender's."""
        self._unsubscribe = self._registry.subscribe(self._hear)
        self._room.start(self._run(), name="mail")

    async def test(self, to: str) -> None:
        """Send a test letter now; when it is taken, mail travels by SMTP from then on.

        Raises InvalidInput, Conflict without a server, TimedOut or HostError with the reason.
        """
        chosen = await self._registry.read(server_settings.load)
        if not chosen.smtp_host or not chosen.mail_address:
            raise Conflict("Set the mail server and the address that mail comes from first.")
        text = "This box can send mail. Nothing needs to be done."
        await self._send(chosen, names.email(to), "Test message", text)
        if not await self._registry.write(lambda tx: server_settings.mail_tested(tx, chosen)):
            raise Conflict("The mail settings were changed meanwhile. Test again.")

    # -- the task ----------------------------------------------------------------------------

    def _hear(self, changes: Sequence[Change]) -> None:
        if any(isinstance(change, OutboxChanged | SettingChanged) for change in changes):
            self._woken.set()

    async def _run(self) -> None:
        try:
            while True:
                self._woken.clear()
                await self._registry.write(outbox.tidy)
                await self._send_due()
                await self._sleep()
        finally:
            self._unsubscribe()

    async def _sleep(self) -> None:
        pause = self._settings.tidy_every
        upcoming = await self._registry.read(outbox.next_due)
        if upcoming is not None and await self._by_smtp():
            # Registry times are whole seconds: a letter is due when its second has begun.
            pause = min(pause, max(0.05, upcoming - self._clock.wall()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._woken.wait()

    async def _by_smtp(self) -> bool:
        return await self._registry.read(outbox.mode) is MailMode.SMTP

    async def _send_due(self) -> None:
        while await self._by_smtp():
            letters = await self._registry.read(lambda reader: outbox.due(reader, 1))
            if not letters:
                return
            await self._attempt(letters[0])

    async def _attempt(self, letter: Letter) -> None:
        chosen = await self._registry.read(server_settings.load)
        try:
            await self._send(chosen, letter.to, letter.subject, letter.text.reveal())
        except (HostError, InvalidInput) as error:
            await self._note_failure(letter, error)
            return
        await self._registry.write(lambda tx: outbox.sent(tx, letter.id))
        self._post(MailSent(letter_id=letter.id))

    async def _note_failure(self, letter: Letter, error: HostError | InvalidInput) -> None:
        reason = str(error)
        retry_in = None if isinstance(error, Refused | InvalidInput) else self._pause(letter)

        def note(tx: Tx) -> None:
            outbox.not_sent(tx, letter.id, reason, retry_in)

        await self._registry.write(note)
        if retry_in is None:
            _log.warning("the letter %d (%s) was given up: %s", letter.id, letter.purpose, reason)
            self._post(MailFailed(letter_id=letter.id, reason=reason))

    def _pause(self, letter: Letter) -> int | None:
        """Return the seconds until the next attempt, or None when this was the last."""
        if letter.attempts + 1 >= self._settings.attempts:
            return None
        grown = self._settings.first_pause * PAUSE_FACTOR ** min(letter.attempts, 16)
        return int(min(grown, self._settings.longest_pause))

    def _post(self, notice: Notice) -> None:
        if self._notices is not None:
            self._notices.post(notice)

    # -- one letter --------------------------------------------------------------------------

    async def _send(self, chosen: ServerSettings, to: str, subject: str, text: str) -> None:
        """Hand one letter to the server within the time limit. Raises HostError, InvalidInput."""
        message = _message(chosen.mail_address, to, subject, text, self._settings.helo_name)
        delivery = _Delivery(chosen, self._password(), message, self._settings)
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[None] = loop.create_future()

        def settle(error: BaseException | None) -> None:
            if outcome.done():
                return
            if error is None:
                outcome.set_result(None)
            else:
                outcome.set_exception(error)

        def work() -> None:
            error: BaseException | None = None
            try:
                delivery.run()
            except BaseException as raised:  # the top of a thread: the waiting task gets it
                error = raised
            with contextlib.suppress(RuntimeError):  # the loop ended while the server dawdled
                loop.call_soon_threadsafe(settle, error)
            delivery.close()

        # A daemon thread: a name server or mail server that hangs must not hold up the stop.
        threading.Thread(target=work, name="mail", daemon=True).start()
        try:
            async with asyncio.timeout(self._settings.time_limit):
                await outcome
        except TimeoutError:
            raise TimedOut(
                f"The mail server {chosen.smtp_host} did not answer within "
                f"{self._settings.time_limit:g} s. Check its name and port."
            ) from None
        finally:
            delivery.abandon()

    def _password(self) -> Secret:
        record = self._secrets.get(MAIL_SECRET)
        return (record or {}).get("password", Secret(""))


class _Delivery:
    """One letter on its way through one connection, on a thread of its own."""

    def __init__(
        self,
        chosen: ServerSettings,
        password: Secret,
        message: EmailMessage,
        settings: MailSettings,
    ) -> None:
        self._chosen = chosen
        self._password = password
        self._message = message
        self._settings = settings
        self._smtp: smtplib.SMTP | None = None

    def run(self) -> None:
        """Deliver. Raises Refused when the server refuses for good, HostError for all else."""
        where = f"The mail server {self._chosen.smtp_host}"
        try:
            smtp = self._connected()
            smtp.ehlo_or_helo_if_needed()
            if self._chosen.smtp_security == "starttls":
                smtp.starttls(context=self._trust())
            if self._chosen.smtp_user:
                smtp.login(self._chosen.smtp_user, self._password.reveal())
            self._hand_in(smtp, where)
        except smtplib.SMTPRecipientsRefused as error:
            code, text = next(iter(error.recipients.values()))
            raise _judged(code, f"{where} refused the receiver: {_said(text)}") from error
        except smtplib.SMTPAuthenticationError as error:
            raise HostError(
                f"{where} refused the user name or the password. Check them in the settings."
            ) from error
        except smtplib.SMTPNotSupportedError as error:
            raise HostError(f"{where} cannot do what is asked: {_plain(str(error))}") from error
        except smtplib.SMTPResponseException as error:
            said = f"{where} refused the message: {_said(error.smtp_error)}"
            raise _judged(error.smtp_code, said) from error
        except ssl.SSLCertVerificationError as error:
            raise HostError(
                f"{where} shows a certificate that is not trusted: {error.verify_message}."
            ) from error
        except (smtplib.SMTPException, OSError, ValueError) as error:
            raise HostError(f"{where} cannot be reached: {_plain(str(error))}.") from error

    def _hand_in(self, smtp: smtplib.SMTP, where: str) -> None:
        try:
            smtp.send_message(self._message)
        except smtplib.SMTPNotSupportedError as error:  # an address that this server cannot write
            raise Refused(
                f"{where} cannot deliver to this address: {_plain(str(error))}"
            ) from error

    def close(self) -> None:
        """Say farewell without waiting for the answer: what was taken has been told already."""
        if self._smtp is not None:
            with contextlib.suppress(OSError, ValueError, smtplib.SMTPException):
                self._smtp.putcmd("quit")
            with contextlib.suppress(OSError, ValueError):
                self._smtp.close()

    def abandon(self) -> None:
        """Wake the thread from whatever it waits for; called when nobody waits for it any more."""
        link = getattr(self._smtp, "sock", None)
        if link is not None:
            with contextlib.suppress(OSError, ValueError):
                link.shutdown(_SHUT_BOTH_WAYS)

    def _connected(self) -> smtplib.SMTP:
        host, port = self._chosen.smtp_host, self._chosen.smtp_port
        limit = self._settings.time_limit
        name = self._settings.helo_name or None
        if self._chosen.smtp_security == "tls":
            return _SecureLink(self._hold, host, port, name, limit, self._trust())
        return _PlainLink(self._hold, host, port, name, limit)

    def _hold(self, smtp: smtplib.SMTP) -> None:
        self._smtp = smtp

    def _trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self._settings.ca_file or None)


class _PlainLink(smtplib.SMTP):
    """A connection that can be abandoned while it is being made: it shows itself before."""

    def __init__(
        self,
        hold: Callable[[smtplib.SMTP], None],
        host: str,
        port: int,
        name: str | None,
        limit: float,
    ) -> None:
        hold(self)
        super().__init__(host, port, name, timeout=limit)


class _SecureLink(smtplib.SMTP_SSL):
    """As above, encrypted from its first octet."""

    def __init__(
        self,
        hold: Callable[[smtplib.SMTP], None],
        host: str,
        port: int,
        name: str | None,
        limit: float,
        trust: ssl.SSLContext,
    ) -> None:
        hold(self)
        super().__init__(host, port, name, timeout=limit, context=trust)


def _message(sender: str, to: str, subject: str, text: str, helo_name: str) -> EmailMessage:
    message = EmailMessage()
    domain = sender.rpartition("@")[2]
    try:
        message["From"] = sender
        message["To"] = to
        message["Subject"] = subject
    except ValueError as error:
        raise InvalidInput(f"This message cannot be addressed: {error}.", "email") from error
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain=helo_name or domain or "localhost")
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    return message


def _judged(code: int, text: str) -> HostError:
    # 5xx: asking again gets the same answer. 4xx: the server itself asks to try later.
    return Refused(text) if 500 <= code <= 599 else HostError(text)


def _said(text: bytes | str) -> str:
    return _plain(text.decode("utf-8", "replace") if isinstance(text, bytes) else text)


def _plain(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:160]
