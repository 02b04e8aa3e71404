"""Secrets and floods do not reach the log; what does is one clean line."""

from __future__ import annotations

import io
import logging

import pytest
from aiohttp.http_exceptions import BadHttpMessage

from gateway.base.secret import Secret
from gateway.telemetry import logs
from gateway.telemetry.settings import LogSettings


class Clock:
    """A clock that stands where the test puts it."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def written(clock):
    """Set logging up on a text stream; give the stream back and undo it all afterwards."""
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    stream = io.StringIO()
    handlers = []

    def set_up(**settings):
        handlers.append(logs.set_up(LogSettings(**settings), clock=clock, stream=stream))
        return stream

    yield set_up
    for handler in handlers:
        root.removeHandler(handler)
    root.setLevel(before[0])
    logging.captureWarnings(capture=False)
    logging.getLogger("gateway.room").setLevel(logging.NOTSET)
    logging.getLogger("aiohttp.access").setLevel(logging.NOTSET)
    assert root.handlers == before[1]


@pytest.mark.parametrize(
    "line",
    [
        "open rtsp://admin:{}@10.0.0.7/main",
        "open RTSP://admin:{}@10.0.0.7:554/",
        "Authorization: Digest username=x, response={}",
        "authorization=Basic {}",
        "Proxy-Authorization: Basic {}",
        "Cookie: session={}",
        "Set-Cookie: session={}; HttpOnly",
        "password={}",
        "password: '{} and more'",
        '{{"mqtt_password": "{}", "port": 1}}',
        "access_token={}&x=1",
        "the setup code: {}",
        "sent Bearer {}",
        "client_secret={})",
        "api-key = {}",
    ],
)
def test_what_looks_like_a_secret_is_masked(line):
    secret = "hunter2Xyz"
    text = logs.masked(line.format(secret))
    assert secret not in text
    assert "and more" not in text
    assert logs.MASK in text


@pytest.mark.parametrize(
    "line",
    [
        "camera Lobby at rtsp://10.0.0.7/main is online",
        "client http://[::1]:8080/ at 12:30",
        "password of service 5 was changed",
        "3 tokens",
    ],
)
def test_harmless_lines_stay(line):
    assert logs.masked(line) == line


def test_lines_of_a_terminal(written):
    stream = written()
    logging.getLogger("gateway.room").info("camera %s at %s", "Lobby", "rtsp://u:pass1234@h/")
    logging.getLogger("gateway.room").debug("unseen")
    line = stream.getvalue()
    assert line.endswith(" INFO    gateway.room: camera Lobby at rtsp://u:***@h/\n")


def test_secrets_in_arguments_and_tracebacks(written):
    stream = written()
    try:
        raise ValueError("login with password=hunter2Xyz failed")
    except ValueError:
        logging.getLogger("gateway.room").exception("as %s", Secret("hunter2Xyz"))
    assert "hunter2Xyz" not in stream.getvalue()
    assert "ValueError" in stream.getvalue()


def test_a_malformed_request_is_one_short_line(written, clock):
    stream = written()

    def stumble(error):
        try:
            raise error
        except Exception as caught:
            logging.getLogger("aiohttp.server").error(
                "Error handling request from %s", "10.0.0.9", exc_info=caught
            )

    for _ in range(30):
        stumble(BadHttpMessage("Bearer hunter2Xyz \x00 GET /"))
    assert stream.getvalue().count("\n") == 1
    assert "WARNING aiohttp.server: a peer does not speak HTTP properly" in stream.getvalue()
    assert "10.0.0.9" in stream.getvalue()
    assert "hunter2Xyz" not in stream.getvalue()
    clock.now += logs.HTTP_FAULT_PERIOD
    stumble(BadHttpMessage("again"))
    assert "(and 29 more of these since the last)" in stream.getvalue()
    stumble(KeyError("ours"))
    assert "Traceback" in stream.getvalue(), "an error of our own keeps its traceback"


def test_control_characters_and_overlong_text_of_a_peer(written):
    stream = written()
    logging.getLogger("gateway.room").warning("name %s", "\x1b[2J\r" + "x" * 10000)
    text = stream.getvalue()
    assert "\x1b" not in text
    assert "\r" not in text
    assert len(text) < logs.MESSAGE_LENGTH_MAX + 200


def test_a_malformed_call_is_a_line_not_a_crash(written):
    stream = written()
    record = logging.LogRecord("r", logging.INFO, "f", 1, "%d cameras", ("many",), None)
    logging.getLogger().handlers[-1].handle(record)
    assert "malformed" in stream.getvalue()


def test_a_flood_is_cut_and_counted(written, clock):
    stream = written(burst=3, period=60)
    room = logging.getLogger("gateway.room")

    def garbage(number):
        room.warning("garbage from %s", number)

    for number in range(100):
        garbage(number)
    room.warning("something else")
    assert stream.getvalue().count("garbage") == 3
    assert "something else" in stream.getvalue()
    clock.now += 60
    garbage(100)
    assert "garbage from 100 (and 97 more of these since the last)" in stream.getvalue()
    clock.now += 60
    garbage(101)
    assert stream.getvalue().endswith("garbage from 101\n")


def test_kinds_of_lines_are_bounded(clock):
    rate = logs.RateFilter(1, 60, clock)
    for number in range(logs.KINDS_MAX + 50):
        record = logging.LogRecord("r", logging.INFO, "f", 1, f"kind {number}", (), None)
        assert rate.filter(record)
    assert len(rate._kinds) == logs.KINDS_MAX


def test_levels_and_rooms_in_full(written):
    stream = written(level="warning", debug=("gateway.room",))
    logging.getLogger("gateway.room").debug("seen")
    logging.getLogger("gateway.other").info("unseen")
    assert "seen\n" in stream.getvalue()
    assert "unseen" not in stream.getvalue()


def test_setting_up_again_replaces(written):
    written()
    stream = written()
    logging.getLogger("gateway.room").warning("once")
    assert stream.getvalue().count("once") == 1


def test_the_journal_is_used_where_there_is_one(clock):
    heard = []

    class Journal(logging.Handler):
        def emit(self, record):
            heard.append((self.format(record), record.getMessage()))

    root = logging.getLogger()
    level = root.level
    journal = Journal()
    try:
        assert logs.set_up(LogSettings(), clock=clock, journal=journal) is journal
        logging.getLogger("gateway.room").warning("token=%s", "hunter2Xyz")
        console = logs.set_up(LogSettings(target="console"), clock=clock, journal=Journal())
        assert isinstance(console, logging.StreamHandler)
        root.removeHandler(console)
    finally:
        root.removeHandler(journal)
        root.setLevel(level)
        logging.captureWarnings(capture=False)
    assert heard == [("token=***", "token=***")]
