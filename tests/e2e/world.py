"""A LAN with a camera that is not ours, the gateway, and a host outside that reaches only it."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from tests.support import avahi
from tests.support.lan import Host, Lan, Program, available, wait_until

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
IDENTITY = "mac:accc8e3c0419"
CAMERA_LOGIN = ("root", "p@ss#1 ü")
STREAM_PATH = "/axis-media/media.amp"
GATEWAY_OUTSIDE = "10.92.0.1"


def missing() -> str:
    """Return '' when the whole can run here, else the reason."""
    if reason := available():
        return reason
    for program in (avahi.AVAHI, "ffmpeg", "mosquitto", "mosquitto_sub", "nft", "curl"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    if os.system('/usr/bin/python3 -c \'import gi; gi.require_version("GstRtspServer","1.0")\''):
        return "the GStreamer RTSP server is not installed"
    return ""


class World:
    """Three hosts and what runs on them; everything is told to the gateway through `ctl`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.lan = Lan()
        self.camera_host = self.lan.host("cam")
        self.box = self.lan.host("gw")
        self.outside = self.lan.host("out")
        _, self.camera_wire = self.lan.wire(
            self.box, "10.91.0.1/24", self.camera_host, "10.91.0.20/24"
        )
        self.lan.wire(self.box, f"{GATEWAY_OUTSIDE}/24", self.outside, "10.92.0.9/24")
        self.config = folder / "gateway.toml"
        self.config.write_text(
            f'[server]\npublic_ipv4 = "{GATEWAY_OUTSIDE}"\n[mqtt]\nhost = "127.0.0.1"\n',
            encoding="utf-8",
        )
        self.gateway: Program | None = None
        self.camera: Program | None = None
        self._forwards: list[Program] = []

    def close(self) -> None:
        self.lan.close()

    # -- programs --------------------------------------------------------------------------------

    def start_gateway(self) -> float:
        """Start the daemon; return the seconds until it greeted."""
        begun = time.monotonic()
        self.gateway = self.box.start(
            str(BIN / "softnet-gateway"),
            "run",
            "--state",
            str(self.state),
            "--config",
            str(self.config),
        )
        self.gateway.wait_line(lambda line: "  state " in line, 20)
        return time.monotonic() - begun

    def start_broker(self) -> Program:
        """Start a broker on the box's loopback."""
        config = self.folder / "mosquitto.conf"
        config.write_text("listener 1883 127.0.0.1\nallow_anonymous true\n", encoding="utf-8")
        broker = self.box.start("mosquitto", "-c", str(config))
        broker.wait_line(lambda line: "running" in line, 10)
        return broker

    def told(self, seconds: float = 2) -> dict[str, str]:
        """Return what the broker keeps, topic to payload."""
        listened = self.box.run(
            *("mosquitto_sub", "-t", "softnet-gw/#", "-v", "--retained-only"),
            *("-W", str(int(seconds))),
            check=False,
        )
        pairs = (line.partition(" ") for line in listened.stdout.splitlines())
        return {topic: payload for topic, _, payload in pairs}

    def start_camera(self) -> None:
        """Start the GStreamer camera and its announcement."""
        secret = self.folder / "camera-password"
        secret.write_text(CAMERA_LOGIN[1] + "\n", encoding="utf-8")
        self.camera = self.camera_host.start(
            "/usr/bin/python3",
            str(ROOT / "drivers/simulated/gst_camera.py"),
            "--address",
            "0.0.0.0",
            "--port",
            "554",
            "--path",
            STREAM_PATH,
            "--user",
            CAMERA_LOGIN[0],
            "--password-file",
            str(secret),
        )
        self.camera.wait_line(lambda line: line.startswith("{"), 20)

    def announce_camera(self) -> Program:
        return avahi.announce(
            self.camera_host,
            self.folder,
            "AXIS M5014 - ACCC8E3C0419",
            "_rtsp._tcp",
            554,
            {"path": STREAM_PATH, "macaddress": "ACCC8E3C0419"},
        )

    # -- the gateway through its command line ----------------------------------------------------

    def ctl(self, *words: str, stdin: str | None = None) -> Any:
        """Run `softnet-gateway ctl` on the box and return its JSON."""
        done = self.box.run(
            str(BIN / "softnet-gateway"),
            "ctl",
            *words,
            "--json",
            *([] if words[:2] == ("owner", "claim") else ["--token-file", str(self.token_file)]),
            stdin=stdin,
        )
        return json.loads(done.stdout)

    @property
    def token_file(self) -> Path:
        return self.state / "api.token"

    def items(self, *words: str) -> list[dict[str, Any]]:
        """Return a list that `ctl` answers with."""
        answer = self.ctl(*words)
        return answer["items"] if isinstance(answer, dict) else answer

    def view(self) -> dict[str, Any]:
        """Return the one adopted camera as it stands."""
        (camera,) = self.items("camera", "list")
        return camera

    def wait_camera(self, state: str, seconds: float) -> float:
        """Wait until the camera is in a state; return how long it took."""
        begun = time.monotonic()
        wait_until(lambda: self.view()["state"] == state, seconds, f"camera {state}")
        return time.monotonic() - begun

    # -- the remote client -----------------------------------------------------------------------

    def remote(self, account: Account, *words: str, seconds: float = 40, check: bool = True) -> Any:
        """Run softnet-remote outside to its end."""
        command, *rest = words
        return self.outside.run(
            str(BIN / "softnet-remote"),
            command,
            account.uri,
            "--password-file",
            str(account.file),
            *rest,
            seconds=seconds,
            check=check,
        )

    def forward(self, account: Account, *words: str) -> tuple[Program, int]:
        """Start `softnet-remote forward` outside; return it and the camera's local port."""
        program = self.outside.start(
            str(BIN / "softnet-remote"),
            "forward",
            account.uri,
            "--password-file",
            str(account.file),
            *words,
        )
        self._forwards.append(program)
        line = program.wait_line(lambda line: "://127.0.0.1:" in line, 30)
        return program, int(line.split("://127.0.0.1:")[1].split("/")[0])

    def stop_forwards(self) -> None:
        """End every `softnet-remote forward`; two of one account would shut each other out."""
        while self._forwards:
            self._forwards.pop().stop()

    def make_account(self, name: str, *roles: str, owner: bool = False) -> Account:
        """Add a user with roles and a client of it; return what a person is handed."""
        if not owner:
            self.ctl("user", "add", "1", name)
        if roles:
            self.ctl("role", "set", "1", name, *roles)
        client = self.ctl("client", "add", "1", name)
        secret = self.ctl("client", "generate-password", str(client["id"]))
        file = self.folder / f"password-{client['id']}"
        file.write_text(secret["password"] + "\n", encoding="utf-8")
        return Account(int(client["id"]), name, secret["uri"], file)


class Account:
    """A client of a user: what the owner hands over."""

    def __init__(self, client_id: int, user: str, uri: str, file: Path) -> None:
        self.client_id = client_id
        self.user = user
        self.uri = uri
        self.file = file


__all__ = ["Account", "Host", "World", "missing"]
