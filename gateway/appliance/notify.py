"""Readiness, status and watchdog for the service manager, and the journal; without it, nothing.

The library systemd-python is used where it is installed. It is asked for by `importlib`, because
the repository's own folder `systemd/` has the same name: an import statement would find that
folder, and so would a type checker.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from gateway.appliance.settings import ApplianceSettings
from gateway.base.clock import Clock

_log = logging.getLogger(__name__)

Check = Callable[[], bool | Awaitable[bool]]

STATUS_LENGTH_MAX = 200
"""A status is one line of `systemctl status`."""
PULSE_SECONDS = 0.5
"""How often the event loop's lag is measured."""
IDENTIFIER = "softnet-gateway"


def _library(name: str) -> Any | None:
    try:
        return importlib.import_module(f"systemd.{name}")
    except ImportError:
        return None


def journal_handler() -> logging.Handler | None:
    """Return a handler that writes structured records to the journal, or None.

    None where standard error is not connected to the journal, or the library is not installed.
    """
    stream = os.environ.get("JOURNAL_STREAM", "")
    try:
        standard_error = os.fstat(2)
    except OSError:
        return None
    if stream != f"{standard_error.st_dev}:{standard_error.st_ino}":
        return None
    journal = _library("journal")
    if journal is None:
        return None
    handler: logging.Handler = journal.JournalHandler(SYSLOG_IDENTIFIER=IDENTIFIER)
    return handler


class Notifier:
    """Speaks to the service manager that started this process; silent where there is none."""

    def __init__(self, *, use_library: bool = True) -> None:
        self._daemon = _library("daemon") if use_library else None
        self._failed = False

    @property
    def connected(self) -> bool:
        """Tell whether there is a service manager that listens."""
        return bool(os.environ.get("NOTIFY_SOCKET"))

    @property
    def watchdog_seconds(self) -> float | None:
        """Silence after which the service manager restarts us, or None where it does not."""
        own = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        try:
            microseconds = int(os.environ.get("WATCHDOG_USEC", "0"))
        except ValueError:
            return None
        return microseconds / 1e6 if own and microseconds > 0 else None

    def ready(self, status: str = "") -> None:
        """Say that the listeners and the store are up."""
        self._send("READY=1", *self._status_line(status))

    def status(self, text: str) -> None:
        """Renew the line that `systemctl status` shows."""
        self._send(*self._status_line(text))

    def feed_watchdog(self) -> None:
        """Say that the process is alive."""
        self._send("WATCHDOG=1")

    def extend_start(self, seconds: float) -> None:
        """Ask for more time before READY, as a long migration does."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def stopping(self, status: str = "") -> None:
        """Say that the end has begun."""
        self._send("STOPPING=1", *self._status_line(status))

    @staticmethod
    def _status_line(text: str) -> tuple[str, ...]:
        line = " ".join(text.split())[:STATUS_LENGTH_MAX]
        return (f"STATUS={line}",) if line else ()

    def _send(self, *assignments: str) -> None:
        if not self.connected or not assignments:
            return
        message = "\n".join(assignments)
        try:
            if self._daemon is not None:
                self._daemon.notify(message)
            else:
                _send_datagram(os.environ["NOTIFY_SOCKET"], message)
        except OSError as error:
            if not self._failed:
                _log.warning("the service manager cannot be reached: %s", error)
            self._failed = True
        else:
            self._failed = False


def _send_datagram(address: str, message: str) -> None:
    # A leading @ stands for Linux's abstract names, which begin with a zero octet.
    name = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.setblocking(False)
        sender.sendto(message.encode(), name)


class Heartbeat:
    """Feeds the watchdog from the event loop, as long as the loop and all checks are well.

    The checks are named questions, such as whether the registry's writer still answers; each may
    be a plain function or give back something to await. A question that is not answered within a
    quarter of the watchdog's time counts as no.
    """

    def __init__(
        self,
        notifier: Notifier,
        settings: ApplianceSettings,
        *,
        clock: Clock,
        checks: Mapping[str, Check],
        status: Callable[[], str] = lambda: "",
    ) -> None:
        self._notifier = notifier
        self._settings = settings
        self._clock = clock
        self._checks = dict(checks)
        self._status = status
        self._complaint = ""
        self._lag = 0.0

    @property
    def lag(self) -> float:
        """Seconds by which the event loop was late at worst since the watchdog was last fed."""
        return self._lag

    @property
    def complaint(self) -> str:
        """Why the watchdog was last not fed, or "" while all is well."""
        return self._complaint

    async def run(self) -> None:
        """Feed the watchdog and renew the status line until cancelled."""
        watchdog = self._notifier.watchdog_seconds
        feed_every = watchdog / 2 if watchdog else self._settings.status_interval
        pulse = min(PULSE_SECONDS, feed_every / 2)
        started = self._clock.monotonic()
        feed_at, status_at = started, started
        while True:
            before = self._clock.monotonic()
            await asyncio.sleep(pulse)
            now = self._clock.monotonic()
            self._lag = max(self._lag, now - before - pulse)
            if now >= status_at:
                self._notifier.status(self._status())
                status_at = now + self._settings.status_interval
            # Half a pulse early rather than a whole one late.
            if now >= feed_at - pulse / 2:
                feed_at = now + feed_every
                await self._feed(timeout=feed_every / 2)

    async def _feed(self, timeout: float) -> None:  # noqa: ASYNC109 (the limit of each check)
        complaint = await self._examine(timeout)
        if complaint:
            # Said once per cause: the service manager acts on the silence, people on the line.
            if complaint != self._complaint:
                _log.error("the watchdog is not fed: %s", complaint)
        else:
            self._notifier.feed_watchdog()
        self._complaint = complaint
        self._lag = 0.0

    async def _examine(self, timeout: float) -> str:  # noqa: ASYNC109
        if self._lag >= self._settings.lag_limit:
            return f"the event loop was {self._lag:.1f} s late"
        for name, check in self._checks.items():
            well = False
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(timeout):
                        answer = check()
                        well = await answer if inspect.isawaitable(answer) else answer
            except Exception as error:
                return f"{name} failed: {error}"
            if not well:
                return f"{name} does not answer"
        return ""
