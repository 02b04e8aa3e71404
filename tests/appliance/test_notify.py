"""What the service manager hears, on a real datagram socket; with and without systemd-python."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway.appliance import notify
from gateway.appliance.notify import Heartbeat, Notifier
from gateway.appliance.settings import ApplianceSettings
from gateway.base.clock import SystemClock
from gateway.net.tasks import TaskRoom

ROOT = Path(__file__).resolve().parents[2]
VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM")


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path, monkeypatch):
    """A socket as the service manager has it; receive with a time limit."""
    abstract = request.param == "abstract"
    name = f"softnet-test-{os.getpid()}-{time.monotonic_ns()}" if abstract else f"{tmp_path}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + name if abstract else name)
        listener.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name if abstract else name)
        yield listener


@pytest.fixture(params=[True, False], ids=["library", "fallback"])
def notifier(request):
    if request.param:
        pytest.importorskip("systemd.daemon")
    return Notifier(use_library=request.param)


def test_life_of_a_service(manager, notifier):
    assert notifier.connected
    notifier.extend_start(2.5)
    notifier.ready("2 cameras")
    notifier.status("3 cameras,\n  2 viewers")
    notifier.feed_watchdog()
    notifier.stopping()
    heard = [manager.recv(4096).decode() for _ in range(5)]
    assert heard == [
        "EXTEND_TIMEOUT_USEC=2500000",
        "READY=1\nSTATUS=2 cameras",
        "STATUS=3 cameras, 2 viewers",
        "WATCHDOG=1",
        "STOPPING=1",
    ]


def test_a_status_is_one_bounded_line(manager, notifier):
    notifier.status("")
    notifier.status("x" * 1000 + "\nWATCHDOG=trigger")
    assert manager.recv(4096).decode() == "STATUS=" + "x" * notify.STATUS_LENGTH_MAX


def test_without_a_service_manager_nothing_happens(notifier):
    assert not notifier.connected
    assert notifier.watchdog_seconds is None
    notifier.ready()


def test_a_service_manager_that_went_away(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("NOTIFY_SOCKET", f"{tmp_path}/gone")
    notifier = Notifier(use_library=False)
    notifier.ready()
    notifier.feed_watchdog()
    assert len(caplog.records) == 1, "said once, not at every beat"


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [("30000000", None, 30.0), ("30000000", "self", 30.0), ("30000000", "1", None),
     ("0", None, None), ("x", None, None)],
)  # fmt: skip
def test_watchdog_time(monkeypatch, usec, pid, seconds):
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    if pid is not None:
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if pid == "self" else pid)
    assert Notifier().watchdog_seconds == seconds


def test_the_repositorys_own_folder_is_not_taken_for_the_library():
    """Where systemd-python is absent, `systemd/` beside us must not be mistaken for it."""
    program = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'systemd':\n"
        "            import importlib.machinery, importlib.util\n"
        "            spec = importlib.machinery.ModuleSpec('systemd', None, is_package=True)\n"
        "            spec.submodule_search_locations = ['systemd']\n"
        "            return spec\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from gateway.appliance.notify import Notifier, _library\n"
        "assert _library('daemon') is None\n"
        "Notifier().ready()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr


def test_no_journal_handler_on_a_terminal(monkeypatch):
    assert notify.journal_handler() is None
    monkeypatch.setenv("JOURNAL_STREAM", "1:2")
    assert notify.journal_handler() is None


def test_a_journal_handler_under_the_journal(tmp_path, monkeypatch, capfd):
    pytest.importorskip("systemd.journal")
    there = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{there.st_dev}:{there.st_ino}")
    handler = notify.journal_handler()
    assert isinstance(handler, logging.Handler)
    handler.close()


class Beats:
    """A heartbeat whose messages are collected from the socket without blocking the loop."""

    def __init__(self, manager: socket.socket, monkeypatch, watchdog: float, **arguments) -> None:
        monkeypatch.setenv("WATCHDOG_USEC", str(int(watchdog * 1e6)))
        manager.setblocking(False)
        self.manager = manager
        settings = ApplianceSettings(lag_limit=arguments.pop("lag_limit", 2.0), status_interval=1.0)
        arguments.setdefault("checks", {})
        self.heart = Heartbeat(Notifier(), settings, clock=SystemClock(), **arguments)

    async def next(self, prefix: str) -> str:
        while True:
            message = (await asyncio.get_running_loop().sock_recv(self.manager, 4096)).decode()
            if message.startswith(prefix):
                return message

    def silent(self) -> bool:
        try:
            while True:
                if self.manager.recv(4096).startswith(b"WATCHDOG"):
                    return False
        except BlockingIOError:
            return True


async def test_the_watchdog_is_fed_at_half_its_time(manager, monkeypatch):
    beats = Beats(manager, monkeypatch, 1.0, status=lambda: "1 camera")
    async with TaskRoom("test") as room:
        room.start(beats.heart.run(), name="heart")
        assert await beats.next("STATUS") == "STATUS=1 camera"
        moments = []
        for _ in range(4):
            await beats.next("WATCHDOG=1")
            moments.append(time.monotonic())
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert max(gaps) < 1.0
    assert min(gaps) > 0.2
    assert beats.heart.complaint == ""


async def test_a_failing_check_starves_the_watchdog_and_is_said_once(manager, monkeypatch, caplog):
    well = asyncio.Event()
    well.set()
    asked = asyncio.Queue()

    async def writer() -> bool:
        asked.put_nowait(None)
        return well.is_set()

    beats = Beats(manager, monkeypatch, 0.2, checks={"the registry": writer})
    async with TaskRoom("test") as room:
        room.start(beats.heart.run(), name="heart")
        await beats.next("WATCHDOG=1")
        well.clear()
        while beats.heart.complaint != "the registry does not answer":
            await asked.get()
        beats.silent()
        for _ in range(3):
            await asked.get()
        assert beats.silent()
        well.set()
        await beats.next("WATCHDOG=1")
    said = [record for record in caplog.records if "watchdog is not fed" in record.message]
    assert len(said) == 1


async def test_a_check_that_hangs_or_raises(manager, monkeypatch):
    hang = asyncio.Event()

    async def hangs() -> bool:
        await hang.wait()
        return True

    def raises() -> bool:
        raise ValueError("disk")

    for check, complaint in ((hangs, "it does not answer"), (raises, "it failed: disk")):
        beats = Beats(manager, monkeypatch, 0.2, checks={"it": check})
        async with TaskRoom("test") as room:
            room.start(beats.heart.run(), name="heart")
            while beats.heart.complaint != complaint:
                await asyncio.sleep(0.01)
        assert beats.silent()


async def test_a_late_loop_starves_the_watchdog(manager, monkeypatch):
    beats = Beats(manager, monkeypatch, 0.4, lag_limit=0.1)
    async with TaskRoom("test") as room:
        room.start(beats.heart.run(), name="heart")
        await beats.next("WATCHDOG=1")
        time.sleep(0.5)  # the fault itself: something blocks the loop
        while "late" not in beats.heart.complaint:
            await asyncio.sleep(0.01)
        await beats.next("WATCHDOG=1")
        assert beats.heart.complaint == ""
