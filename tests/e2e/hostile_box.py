"""A gateway under attack: a good camera and a good viewer beside a host that means harm.

Four hosts: `box` runs the daemon, `cam` a camera, `out` a viewer outside, and `bad` is both, a
hostile host of the internet and a hostile device of the LAN. What the tests do on a host they do
in a thread that lives in its network namespace.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import ctypes
import json
import os
import re
import shutil
import sys
import threading
import time
import types
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, OpenerDirector, Request, build_opener

from tests.cameras.player import Player
from tests.support.lan import Host, Lan, Program, available, wait_until

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
CLONE_NEWNET = 0x40000000
BOX4, BOX6 = "10.93.0.1", "fd93::1"
BAD4, BAD6 = "10.93.0.9", "fd93::9"
OWNER_PASSWORD = "Wal-Sup-0wner-Kwyjibo"
CAMERA_LOGIN = ("viewer", "Zeb-Ra-c4mera-Quokka")
SERIAL = "GOOD0001"
IDENTITY = f"serial:{SERIAL.lower()}"

KEEP_ALIVE = 20.0
"""Cameras end a session that says nothing for a minute."""

SHORT: Mapping[str, Mapping[str, Any]] = {
    "server": {
        "public_ipv4": '"10.92.0.1"',
        "header_limit": 2.0,
        "install_limit": 5.0,
        "close_limit": 1.0,
        "question_limit": 2.0,
    },
    "relay": {"header_seconds": 2.0},
    "web": {"silence_max": 3.0},
    "discovery": {"refresh_seconds": 10.0},
}
"""Limits as the settings allow them for tests: what takes minutes otherwise takes seconds."""


def missing() -> str:
    """Return '' when all of it can run here, else the reason."""
    if reason := available():
        return reason
    return "" if shutil.which("ffmpeg") else "ffmpeg is not installed"


def inside(host: Host, work: Callable[[], T], seconds: float = 60) -> T:
    """Run `work` in a thread that lives on a host; return what it returns."""

    def run() -> T:
        handle = os.open(host.path, os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(handle, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(handle)
        return work()

    pool = concurrent.futures.ThreadPoolExecutor(1)
    try:
        return pool.submit(run).result(seconds)
    finally:
        pool.shutdown(wait=False)


def loop_inside(host: Host, work: Callable[[], Coroutine[Any, Any, T]], seconds: float = 60) -> T:
    """Run a coroutine to its end on a loop that lives on a host."""

    async def bounded() -> T:
        async with asyncio.timeout(seconds):
            return await work()

    return inside(host, lambda: asyncio.run(bounded()), seconds + 5)


def beside(
    host: Host, work: Callable[[], Coroutine[Any, Any, T]], seconds: float = 60
) -> concurrent.futures.Future[T]:
    """As `loop_inside`, while the caller goes on."""
    pool = concurrent.futures.ThreadPoolExecutor(1)
    try:
        return pool.submit(loop_inside, host, work, seconds)
    finally:
        pool.shutdown(wait=False)


class Viewer:
    """Watches the good camera from outside without a pause and keeps account of it."""

    def __init__(self, host: Host, port: int) -> None:
        self.player = Player(types.SimpleNamespace(address="127.0.0.1", port=port))  # type: ignore[arg-type]
        self.longest_pause = 0.0
        self.trouble = ""
        self.frames = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=lambda: inside(host, lambda: asyncio.run(self._watch()), 600), daemon=True
        )
        self._thread.start()
        wait_until(lambda: self.frames > 20 or self.trouble, 60, "the viewer sees the camera")
        self.check()

    async def _watch(self) -> None:
        try:
            async with self.player as player:
                await player.start()
                last = asked = time.monotonic()
                while not self._stop.is_set():
                    if last - asked > KEEP_ALIVE:
                        player.send("GET_PARAMETER")
                        asked = last
                    async with asyncio.timeout(20):
                        await player.next()
                    now = time.monotonic()
                    self.longest_pause = max(self.longest_pause, now - last)
                    last = now
                    self.frames += 1
        except Exception as error:
            self.trouble = f"{type(error).__name__}: {error}"

    def check(self) -> None:
        """Fail unless the stream has gone on without a loss, and goes on now."""
        seen = self.frames
        wait_until(lambda: self.frames > seen or self.trouble, 10, "the stream goes on")
        assert not self.trouble, f"the viewer lost its stream: {self.trouble}"
        assert self.player.gaps == 0, "packets of the stream were lost"

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(10)


class Siege:
    """The four hosts, the daemon and what is measured of it."""

    def __init__(self, folder: Path, settings: Mapping[str, Mapping[str, Any]] = SHORT) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.lan = Lan()
        self.box, self.cam = self.lan.host("hbox"), self.lan.host("hcam")
        self.out, self.bad = self.lan.host("hout"), self.lan.host("hbad")
        self.lan.wire(self.box, "10.91.0.1/24", self.cam, "10.91.0.20/24")
        self.lan.wire(self.box, "10.92.0.1/24", self.out, "10.92.0.9/24")
        near, far = self.lan.wire(self.box, f"{BOX4}/24", self.bad, f"{BAD4}/24")
        for host, name, address in ((self.box, near, BOX6), (self.bad, far, BAD6)):
            host.run("ip", "address", "add", f"{address}/64", "dev", name, "nodad")
        self.bad_wire = far
        self.config = folder / "gateway.toml"
        text = "".join(
            f"[{section}]\n" + "".join(f"{key} = {value}\n" for key, value in entries.items())
            for section, entries in settings.items()
        )
        self.config.write_text(text, encoding="utf-8")
        self.daemon: Program
        self.viewer: Viewer
        self.good: dict[str, Any] = {}
        self.token = ""
        self._browser: OpenerDirector | None = None

    def close(self) -> None:
        with contextlib.suppress(AttributeError):
            self.viewer.stop()
        self.lan.close()

    # -- the good side -------------------------------------------------------------------------

    def start(self) -> None:
        """Start a camera that behaves and the daemon, and claim that."""
        secret = self.folder / "camera-password"
        secret.write_text(CAMERA_LOGIN[1] + "\n", encoding="utf-8")
        self.cam.start(
            *(sys.executable, "-m", "drivers.simulated.camera", "--name", "Good Camera"),
            *("--address", "10.91.0.20", "--interface", "10.91.0.20", "--announce"),
            *("--user", CAMERA_LOGIN[0], "--password-file", str(secret), "--serial", SERIAL),
            *("--rtsp-port", "554", "--http-port", "80"),
            cwd=ROOT,
        )
        self.daemon = self.box.start(
            *(str(BIN / "softnet-gateway"), "run"),
            *("--state", str(self.state), "--config", str(self.config)),
        )
        self.daemon.wait_line(lambda line: "setup code" in line, 20)
        self.token = (self.state / "api.token").read_text(encoding="ascii").strip()
        self.code = (self.state / "setup-code").read_text(encoding="ascii").strip()
        who = {"account_name": "markus", "full_name": "Markus Schmidt"}
        self.api("POST", "/setup", {**who, "code": self.code, "password": OWNER_PASSWORD})

    def adopt_camera(self) -> None:
        """Adopt the camera that behaves and wait until it is online."""
        wait_until(lambda: self.found(IDENTITY), 15, "the good camera is found")
        login = {"user": CAMERA_LOGIN[0], "password": CAMERA_LOGIN[1]}
        self.good = self.api(
            "POST", "/cameras", {"where": IDENTITY, "site_id": 1, "name": "Lobby", **login}
        )
        wait_until(self.good_is_well, 15, "the good camera is online")

    def good_is_well(self) -> bool:
        views = [each for each in self.items("/cameras") if each["name"] == "Lobby"]
        return [(each["state"], each["service_status"]) for each in views] == [("online", "online")]

    def start_viewer(self) -> None:
        """Watch the good camera through `softnet-remote forward`, from now to the end."""
        account = self.account("Alison", "User")
        file = self.folder / "alison"
        file.write_text(account["password"] + "\n", encoding="utf-8")
        forward = self.out.start(
            *(str(BIN / "softnet-remote"), "forward", account["uri"]),
            *("--password-file", str(file)),
        )
        line = forward.wait_line(lambda line: "://127.0.0.1:" in line, 30)
        self.viewer = Viewer(self.out, int(line.split("://127.0.0.1:")[1].split("/")[0]))

    def account(self, name: str, *roles: str) -> dict[str, Any]:
        """Add a user with roles and a client of it; return its uri, key and password."""
        domain = self.api("GET", "/sites/1")["domain_id"]
        user = self.api("POST", f"/domains/{domain}/users", {"name": name})["id"]
        ids = [role["id"] for role in self.items("/sites/1/roles") if role["name"] in roles]
        self.api("PUT", "/sites/1/rights/roles", {"user_id": user, "role_ids": ids})
        client = self.api("POST", "/sites/1/clients", {"user_id": user})
        secret = self.api("POST", f"/clients/{client['id']}/password", {})
        return {**client, **secret}

    # -- the interface for programs ------------------------------------------------------------

    def api(self, method: str, path: str, body: object = None) -> Any:
        """Ask the daemon as its own command line would; raise ApiFault with its sentence."""
        return self.page(method, f"/api/v1{path}", body)

    def page(self, method: str, path: str, body: object = None) -> Any:
        """Ask for anything that the page serves; JSON is read, the rest is text."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"http://127.0.0.1:8080{path}", data, headers, method=method)

        def ask() -> Any:
            try:
                with build_opener().open(request, timeout=50) as answer:
                    text = answer.read().decode(errors="replace")
                    is_json = "json" in answer.headers.get("Content-Type", "")
                    return json.loads(text) if is_json and text else text
            except HTTPError as error:
                raise ApiFault(error.code, error.read().decode()) from None

        return inside(self.box, ask)

    def browse(self, path: str) -> str:
        """Return a page as the owner's browser gets it; signs in first when it has not yet."""

        def get() -> str:
            if self._browser is None:
                self._browser = build_opener(HTTPCookieProcessor())
                form = self._browser.open("http://127.0.0.1:8080/sign-in").read().decode()
                found = re.search(r'name="csrf" value="([^"]+)"', form)
                fields = {"account_name": "markus", "password": OWNER_PASSWORD}
                fields["csrf"] = found.group(1) if found else ""
                body = urlencode(fields).encode()
                self._browser.open("http://127.0.0.1:8080/sign-in", body).read()
            with self._browser.open(f"http://127.0.0.1:8080{path}", timeout=30) as answer:
                return str(answer.read().decode())

        return inside(self.box, get)

    def items(self, path: str) -> list[dict[str, Any]]:
        answer = self.api("GET", path)
        return list(answer["items"] if isinstance(answer, dict) else answer)

    def found(self, identity: str) -> dict[str, Any] | None:
        every = self.items("/cameras/found")
        return next((each for each in every if each["identity"] == identity), None)

    # -- what is measured ----------------------------------------------------------------------

    @property
    def processes(self) -> tuple[int, ...]:
        """The daemon and the relay process beside it."""
        pid = self.daemon.pid
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
        return (pid, *(int(each) for each in text.split()))

    def resident(self) -> float:
        """Return the memory of the daemon and its relay process in MB."""
        total = 0
        for pid in self.processes:
            text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
            found = re.search(r"VmRSS:\s+(\d+) kB", text)
            total += int(found.group(1)) if found else 0
        return total / 1024

    def descriptors(self) -> int:
        """Return how many descriptors the daemon holds."""
        return sum(1 for _ in Path(f"/proc/{self.daemon.pid}/fd").iterdir())

    def processor(self) -> float:
        """Return the seconds of processor time that the daemon has used."""
        fields = Path(f"/proc/{self.daemon.pid}/stat").read_text(encoding="ascii").rsplit(")")[-1]
        ticks = sum(int(each) for each in fields.split()[11:13])
        return ticks / os.sysconf("SC_CLK_TCK")

    def listening(self) -> set[tuple[str, str]]:
        """Return (protocol, address:port) of all that is open on the box."""
        done = self.box.run("ss", "-tulnH").stdout
        return {(line.split()[0], line.split()[4]) for line in done.splitlines()}

    def alive(self) -> bool:
        return self.daemon.process.poll() is None


class ApiFault(Exception):
    """The daemon refused; the sentence is what it said."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status
        try:
            self.sentence = str(json.loads(text).get("detail", text))
        except (ValueError, AttributeError):
            self.sentence = text
