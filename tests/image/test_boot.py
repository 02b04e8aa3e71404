"""The root file system boots with systemd, and the gateway in it says that it is well.

The box runs in systemd-nspawn with a network of its own (nothing but loopback) and a root that
forgets what was written. The first build takes about a minute; later ones only what changed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import __version__

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "image"
ROOTFS = WORK / "rootfs"
BOOT_SECONDS = 90

_TOOLS = ("systemd-nspawn", "mmdebstrap", "nsenter", "flock")
_MISSING = [tool for tool in _TOOLS if shutil.which(tool) is None]

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="a box is built and booted as root"),
    pytest.mark.skipif(bool(_MISSING), reason=f"not installed: {', '.join(_MISSING)}"),
    pytest.mark.skipif(bool(os.environ.get("NO_IMAGE")), reason="NO_IMAGE is set"),
]

# Asks inside the box; the page needs no sign-in for its health.
ASK = """
import sys, urllib.request
with urllib.request.urlopen(sys.argv[1], timeout=5) as answer:
    sys.stdout.write(answer.read().decode())
"""


class Box:
    """A booted root file system, ended by the process ids of its own only."""

    def __init__(self, log: Path) -> None:
        self._log = log
        with log.open("wb") as stream:
            self._nspawn = subprocess.Popen(
                [
                    "systemd-nspawn", "--boot", "--quiet", "--private-network", "--register=no",
                    "--keep-unit", "--volatile=overlay", "--console=read-only", "--link-journal=no",
                    f"--machine=softnet-gateway-{os.getpid()}", f"--directory={ROOTFS}",
                ],
                stdin=subprocess.DEVNULL, stdout=stream, stderr=stream,
            )  # fmt: skip
        self._leader = self._find_leader()

    def _find_leader(self) -> int:
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children")
        for _ in range(300):
            assert self._nspawn.poll() is None, self.console()
            for child in children.read_text().split():
                with contextlib.suppress(OSError):
                    if Path(f"/proc/{child}/comm").read_text() == "systemd\n":
                        return int(child)
            time.sleep(0.1)
        raise AssertionError(self.console())

    def console(self) -> str:
        """Return what the box wrote to its console."""
        return self._log.read_text(errors="replace")

    def run(self, *command: str) -> str:
        """Run a command of the box in the box; return what it prints."""
        done = subprocess.run(
            ["nsenter", "-t", str(self._leader), "-a", "--", *command],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        return done.stdout + done.stderr

    def health(self) -> dict[str, object]:
        """Ask the page for its health, from within the box's network. Raises OSError."""
        done = subprocess.run(
            ["nsenter", "-t", str(self._leader), "-n", "--", sys.executable, "-I", "-c", ASK,
             "http://127.0.0.1:8080/health"],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        if done.returncode != 0:
            raise OSError(done.stderr.strip().rpartition("\n")[2])
        return json.loads(done.stdout)

    def wait_for_health(self) -> dict[str, object]:
        """Return the health as soon as the page answers; show the journal where it does not."""
        ends = time.monotonic() + BOOT_SECONDS
        while True:
            try:
                return self.health()
            except OSError as error:
                if time.monotonic() > ends:
                    pytest.fail(f"{error}\n{self.journal()}\n{self.console()[-3000:]}")
                time.sleep(0.3)

    def journal(self) -> str:
        """Return what the service wrote and what systemd says of it."""
        return self.run("journalctl", "--no-pager", "-n", "60", "-u", "softnet-gateway")

    def property(self, name: str) -> str:
        """Return a property of the service."""
        return self.run("systemctl", "show", "-P", name, "softnet-gateway").strip()

    def end(self) -> None:
        """Let it shut down in good order; by force when it does not."""
        self._nspawn.terminate()
        try:
            self._nspawn.wait(40)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._leader, 9)
            self._nspawn.kill()
            self._nspawn.wait(20)


@pytest.fixture(scope="module")
def box(tmp_path_factory) -> Iterator[Box]:
    WORK.mkdir(parents=True, exist_ok=True)
    built = subprocess.run(
        ["flock", str(WORK / "lock"), str(ROOT / "image" / "build-rootfs.sh"), str(ROOTFS)],
        capture_output=True, text=True, timeout=600,
        env=os.environ | {"PYTHON": sys.executable},
    )  # fmt: skip
    assert built.returncode == 0, built.stdout + built.stderr
    box = Box(tmp_path_factory.mktemp("box") / "console")
    try:
        yield box
    finally:
        box.end()


def test_the_box_boots_and_the_page_is_well(box):
    health = box.wait_for_health()
    assert health["status"] == "ok"
    assert health["version"] == __version__


def test_the_service_told_systemd_that_it_is_ready(box):
    box.wait_for_health()
    assert box.property("ActiveState") == "active", box.journal()
    assert box.property("SubState") == "running"
    assert box.property("NRestarts") == "0"
    assert int(box.property("WatchdogUSec").removesuffix("s")) > 0
    assert box.property("StatusText")


def test_the_daemon_and_its_relay_process_run_without_complaint(box):
    """The walls around the service hold nothing back that it needs."""
    box.wait_for_health()
    status = box.run("systemctl", "status", "--no-pager", "--lines=0", "--full", "softnet-gateway")
    processes = [line for line in status.splitlines() if "python" in line and "─" in line]
    # The daemon and its relay; the datagrams' own process comes with the first UDP meeting.
    assert len(processes) == 2, status
    journal = box.run("journalctl", "--no-pager", "-o", "cat", "-u", "softnet-gateway")
    assert "setup code" in journal
    worries = box.run("journalctl", "--no-pager", "-q", "-p", "warning", "-u", "softnet-gateway")
    # True here: the box stands in a network of nothing but loopback.
    expected = "No network interface is there to look for cameras on."
    assert not [line for line in worries.splitlines() if expected not in line]


def test_the_service_has_no_privileges(box):
    box.wait_for_health()
    status = box.run("cat", f"/proc/{box.property('MainPID')}/status")
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert "0" not in facts["Uid"].split()
    assert int(facts["CapEff"], 16) == int(facts["CapBnd"], 16) == 0
    assert facts["NoNewPrivs"].strip() == "1"
    assert facts["Seccomp"].strip() == "2"


def test_its_secrets_are_its_own(box):
    box.wait_for_health()
    listed = box.run("find", "/var/lib/softnet-gateway", "-printf", "%m %u %y %f\n").splitlines()
    assert len(listed) > 1, "the state is kept where the unit says"
    for line in listed:
        mode, user, _, name = line.split(" ", 3)
        assert user == "softnet-gateway", line
        assert int(mode, 8) & 0o077 == 0, f"{name} can be seen by others: {line}"


def test_nothing_else_answers_on_the_box(box):
    """Every listening socket belongs to the gateway, and another mDNS responder is not there."""
    box.wait_for_health()
    listening = box.run("ss", "-Hltnup")
    assert ":8080" in listening
    strangers = [line for line in listening.splitlines() if "softnet-gateway" not in line]
    strangers = [line for line in strangers if "systemd-network" not in line]
    assert not strangers, listening


def test_a_killed_service_comes_back(box):
    box.wait_for_health()
    before = box.property("MainPID")
    box.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "softnet-gateway")
    ends = time.monotonic() + 30
    while box.property("MainPID") in ("0", before) and time.monotonic() < ends:
        time.sleep(0.2)
    assert box.wait_for_health()["status"] == "ok"
    assert box.property("NRestarts") == "1"
