"""Logging of the whole process: where lines go, secrets masked, floods cut."""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections import OrderedDict
from typing import TextIO

from gateway.base.clock import Clock
from gateway.telemetry.settings import LogSettings

MASK = "***"
MESSAGE_LENGTH_MAX = 2000
"""A line longer than this holds something that a peer sent; the rest tells nothing."""
KINDS_MAX = 2000
"""Kinds of lines counted at a time; forgetting the least recent only lets more through."""
HTTP_FAULT_PERIOD = 10.0
"""Seconds between two lines about malformed requests, however many peers send them."""

_MASKS = (
    # user:password@ in a URL; the user stays, it helps to find the camera.
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://[^\s/@:]*):[^\s/@]+@"), rf"\1:{MASK}@"),
    # Authorization headers of HTTP and RTSP, whole.
    (re.compile(r"(?i)\b((?:proxy-)?authorization\s*[:=]\s*)[^\r\n]+"), rf"\1{MASK}"),
    (re.compile(r"(?i)\b((?:set-)?cookie\s*:\s*)[^\r\n]+"), rf"\1{MASK}"),
    (re.compile(r"(?i)\b(bearer\s+)[a-z0-9._~+/=-]+"), rf"\1{MASK}"),
    # password=..., "token": "..." and the like; a quoted value is masked to its closing quote.
    (
        re.compile(
            r"(?i)\b([a-z0-9_-]*(?:password|passwd|passphrase|secret|token|setup[_ -]code"
            r"|api[_-]?key)[\"']?\s*[=:]\s*)(\"[^\"]*\"|'[^']*'|[^\s,;&)}\]]+)"
        ),
        rf"\1{MASK}",
    ),
)


def masked(text: str) -> str:
    """Return `text` with what looks like a secret replaced by ***.

    The second line of defence: the first is that secrets are Secret objects, which print masked.
    """
    for pattern, replacement in _MASKS:
        text = pattern.sub(replacement, text)
    return text


class MaskingFormatter(logging.Formatter):
    """Masks the finished text, so that arguments and tracebacks are covered as well."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text without secrets and without control characters."""
        return _clean(super().format(record))


class MaskingFilter(logging.Filter):
    """Masks the message of a record itself, for handlers that take the record apart."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Replace message and arguments by the masked text; every record passes."""
        try:
            text = record.getMessage()
        except Exception:
            text = f"a malformed log call: {record.msg!r}"
        if record.exc_info and not record.exc_text:
            record.exc_text = _clean(logging.Formatter().formatException(record.exc_info))
        record.msg, record.args = _clean(text), ()
        return True


# Everything below the space but line feed and tab, and the escape sequences' start: a peer's text
# must not move the cursor of whoever reads the log.
_CONTROL = dict.fromkeys((*range(32), *range(127, 160)), "�")
_CONTROL[ord("\n")], _CONTROL[ord("\t")] = "\n", "\t"


def _clean(text: str) -> str:
    if len(text) > MESSAGE_LENGTH_MAX and "Traceback" not in text:
        text = text[:MESSAGE_LENGTH_MAX] + " ..."
    return masked(text).translate(_CONTROL)


class RateFilter(logging.Filter):
    """Lets `burst` records of one kind through in a period, then counts; tells how many it cut.

    A kind is a logger with the place and wording of the call, not its arguments: what a peer can
    repeat is one kind. Errors are counted like the rest.
    """

    def __init__(self, burst: int, period: float, clock: Clock) -> None:
        super().__init__()
        self._burst = burst
        self._period = period
        self._clock = clock
        self._lock = threading.Lock()
        self._kinds: OrderedDict[tuple[str, int, str], tuple[float, int]] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the record passes; the first of a new period names what was cut."""
        kind = (record.name, record.lineno, str(record.msg)[:200])
        now = self._clock.monotonic()
        with self._lock:
            began, count = self._kinds.get(kind, (now, 0))
            cut = 0
            if now - began >= self._period:
                cut = max(0, count - self._burst)
                began, count = now, 0
            self._kinds[kind] = (began, count + 1)
            self._kinds.move_to_end(kind)
            if len(self._kinds) > KINDS_MAX:
                self._kinds.popitem(last=False)
        if cut:
            record.msg = f"{record.msg} (and {cut} more of these since the last)"
        return count < self._burst


class HttpFaultFilter(logging.Filter):
    """Makes one short line of the traceback that the HTTP server writes for a malformed request.

    What a stranger can cause is not an error of ours, and its octets do not belong into the log.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._rate = RateFilter(1, HTTP_FAULT_PERIOD, clock)

    def filter(self, record: logging.LogRecord) -> bool:
        """Pass every other record as it is, and one of these in a period."""
        error = record.exc_info[1] if record.exc_info else None
        if error is None or type(error).__module__ != "aiohttp.http_exceptions":
            return True
        record.msg = "a peer does not speak HTTP properly (%s): " + str(record.msg)
        arguments = record.args if isinstance(record.args, tuple) else ()
        record.args = (type(error).__name__, *arguments)
        record.exc_info, record.exc_text = None, None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        return self._rate.filter(record)


def set_up(
    settings: LogSettings,
    *,
    clock: Clock,
    journal: logging.Handler | None = None,
    stream: TextIO | None = None,
) -> logging.Handler:
    """Send the process's log where the settings say; return the handler in use.

    `journal` is the handler of `appliance.notify.journal_handler()`, or None where there is no
    journal. Calling again replaces the former handler.
    """
    handler: logging.Handler
    if settings.target != "console" and journal is not None:
        handler = journal
        handler.setFormatter(MaskingFormatter("%(message)s"))
    else:
        handler = logging.StreamHandler(stream or sys.stderr)
        style = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
        handler.setFormatter(MaskingFormatter(style, "%Y-%m-%d %H:%M:%S"))
    handler.addFilter(HttpFaultFilter(clock))
    # The rate first: it looks at the wording before arguments are worked in.
    handler.addFilter(RateFilter(settings.burst, settings.period, clock))
    handler.addFilter(MaskingFilter())
    root = logging.getLogger()
    for former in [known for known in root.handlers if getattr(known, "of_gateway", False)]:
        root.removeHandler(former)
        former.close()
    handler.of_gateway = True  # type: ignore[attr-defined]
    root.addHandler(handler)
    root.setLevel(settings.level.upper())
    for name in settings.debug:
        logging.getLogger(name).setLevel(logging.DEBUG)
    # Its access log would repeat every request with its address; the audit knows what matters.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    return handler
