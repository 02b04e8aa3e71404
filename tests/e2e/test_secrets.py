"""Secrets planted in the usual story show up nowhere: output, files, pages, broker, processes."""

from __future__ import annotations

import base64
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.hostile_box import (
    BIN,
    CAMERA_LOGIN,
    IDENTITY,
    OWNER_PASSWORD,
    SHORT,
    ApiFault,
    Siege,
    missing,
)
from tests.support.lan import Program, wait_until

REASON = missing() or ("" if shutil.which("mosquitto") else "mosquitto is not installed")
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON or "all is there")

BROKER_PASSWORD = "Mos-Quit-br0ker-Numbat"
WRONG_CAMERA = "Wr-Ong-c4mera-Axolotl"
WRONG_OWNER = "Wr-Ong-0wner-Pangolin"
NEW_OWNER = "Se-Cond-0wner-Capybara"
OWN_FILES = {"api.token", "relay.secret", "setup-code"}
PAGES = (
    *("/", "/cameras", "/cameras/add", "/cameras/1", "/sessions", "/domains", "/domains/1"),
    *("/sites/1", "/sites/1/clients", "/audit", "/account"),
)
LISTS = (
    *("/status", "/owners", "/tokens", "/domains", "/domains/1/users", "/sites/1"),
    *("/sites/1/services", "/sites/1/clients", "/sites/1/rights", "/cameras", "/cameras/found"),
    *("/sessions", "/audit?limit=500"),
)


@pytest.fixture(scope="module")
def siege(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Siege]:
    broker = {
        "host": '"10.92.0.9"',
        "user": '"gateway"',
        "password": f'"{BROKER_PASSWORD}"',
    }
    settings = {**SHORT, "mqtt": broker, "log": {"level": '"debug"', "burst": 10000}}
    made = Siege(tmp_path_factory.mktemp("secrets"), settings)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def told(siege: Siege) -> Program:
    """All that the broker is told."""
    file = siege.folder / "mosquitto.conf"
    file.write_text("listener 1883 0.0.0.0\nallow_anonymous true\n", encoding="utf-8")
    broker = siege.out.start(shutil.which("mosquitto") or "mosquitto", "-c", str(file))
    broker.wait_line(lambda line: "running" in line, 10)
    return siege.out.start("mosquitto_sub", "-h", "127.0.0.1", "-t", "#", "-v")


@pytest.fixture(scope="module")
def secrets(siege: Siege, told: Program) -> dict[str, str]:
    """Tell the story of an owner, a camera and a client; return what must stay secret."""
    siege.start()
    siege.adopt_camera()
    planted = {
        "owner": OWNER_PASSWORD,
        "camera": CAMERA_LOGIN[1],
        "broker": BROKER_PASSWORD,
        "wrong camera": WRONG_CAMERA,
        "wrong owner": WRONG_OWNER,
        "second owner": NEW_OWNER,
        "local token": siege.token,
        "setup code": siege.code,
        "relay": (siege.state / "relay.secret").read_text(encoding="ascii").strip(),
    }
    with pytest.raises(ApiFault):
        wrong = {"user": CAMERA_LOGIN[0], "password": WRONG_CAMERA}
        siege.api("PUT", "/cameras/1/credentials", wrong)
    who = {"account_name": "heidi", "full_name": "Heidi Maier", "authority": "consumer"}
    heidi = siege.api("POST", "/owners", {**who, "password": WRONG_OWNER})
    siege.api("POST", f"/owners/{heidi['id']}/password", {"password": NEW_OWNER})
    planted["token"] = siege.api("POST", "/tokens", {"name": "Homer", "scope": "read"})["token"]
    siege.start_viewer()
    planted["client"] = (siege.folder / "alison").read_text(encoding="utf-8").strip()
    bob = siege.account("Bob", "User")
    planted["another client"] = bob["password"]
    file = siege.folder / "bob"
    file.write_text(bob["password"] + "x\n", encoding="utf-8")  # a wrong one, on purpose
    siege.out.run(
        *(str(BIN / "softnet-remote"), "list", bob["uri"], "--password-file", str(file)),
        check=False,
    )
    siege.viewer.check()
    told.wait_line(lambda line: "Lobby" in line, 15)
    assert all(len(secret) >= 8 for secret in planted.values())
    return planted


def forms(secret: str) -> list[bytes]:
    """Return a secret as it may be hidden: plain, wide, in hexadecimal, in Base64."""
    octets = secret.encode()
    logins = [f"{user}:{secret}".encode() for user in (CAMERA_LOGIN[0], "gateway", "markus")]
    base64s = [base64.b64encode(each).rstrip(b"=")[:-1] for each in (octets, *logins)]
    return [octets, secret.encode("utf-16-le"), octets.hex().encode(), *base64s]


def search(text: bytes, secrets: dict[str, str], where: str) -> list[str]:
    lowered = text.lower()
    return [
        f"{name} in {where}"
        for name, secret in secrets.items()
        if any(form in text for form in forms(secret)) or secret.encode().lower() in lowered
    ]


def test_the_output_of_the_daemon(siege: Siege, secrets: dict[str, str]) -> None:
    greeting = [line for line in siege.daemon.lines if siege.code in line]
    assert len(greeting) == 1, "the code is for the person at the terminal, once"
    assert greeting[0].startswith("  setup ")
    rest = "\n".join(line for line in siege.daemon.lines if line not in greeting)
    assert " DEBUG " in rest, "the log is written in full"
    assert not search(rest.encode(), secrets, "the output")


def test_the_files_of_the_state(siege: Siege, secrets: dict[str, str]) -> None:
    found: list[str] = []
    files = [path for path in siege.state.rglob("*") if path.is_file()]
    assert {"registry.sqlite", "vault", "vault.key"} <= {path.name for path in files}
    for path in files:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert not mode & 0o077, f"{path.name} may be read by others: {mode:o}"
        if path.name not in OWN_FILES:
            found += search(path.read_bytes(), secrets, path.name)
    assert not found
    assert not (siege.state / "setup-code").exists(), "a code that was used is void"


def test_pages_and_lists(siege: Siege, secrets: dict[str, str]) -> None:
    found: list[str] = []
    for path in PAGES:
        found += search(siege.browse(path).encode(), secrets, path)
    for path in LISTS:
        found += search(str(siege.api("GET", path)).encode(), secrets, path)
    siege.api("GET", f"/cameras/{siege.good['device_id']}/snapshot")
    assert not found


def test_what_the_broker_is_told(told: Program, secrets: dict[str, str]) -> None:
    assert "Lobby" in told.text
    assert not search(told.text.encode(), secrets, "the broker")


def test_command_lines_and_the_viewer(siege: Siege, secrets: dict[str, str]) -> None:
    found: list[str] = []
    for pid in siege.processes:
        for name in ("cmdline", "environ"):
            found += search(Path(f"/proc/{pid}/{name}").read_bytes(), secrets, f"{name} of {pid}")
    heard = "".join(str(answer) for answer in siege.viewer.player.answers)
    assert "PLAY" in heard or siege.viewer.player.answers
    found += search(heard.encode(), {"camera": secrets["camera"]}, "answers to the viewer")
    assert not found


def test_after_a_restart(siege: Siege, secrets: dict[str, str]) -> None:
    siege.daemon.stop()
    text = siege.daemon.text
    siege.daemon = siege.box.start(
        *(str(BIN / "softnet-gateway"), "run"),
        *("--state", str(siege.state), "--config", str(siege.config)),
    )
    siege.daemon.wait_line(lambda line: "  state " in line, 20)
    wait_until(lambda: siege.found(IDENTITY) or siege.good_is_well(), 20, "the camera is back")
    assert "setup" not in "".join(siege.daemon.lines[:8])
    rest = [line for line in text.splitlines() if not line.startswith("  setup ")]
    assert not search("\n".join([*rest, siege.daemon.text]).encode(), secrets, "the output")
