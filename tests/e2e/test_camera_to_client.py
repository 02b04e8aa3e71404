"""The main job from end to end: a camera on the LAN reaches an authorized client outside.

One story in order: the tests share one world and build on each other.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator

import pytest

from tests.e2e.world import BIN, CAMERA_LOGIN, IDENTITY, Account, World, missing
from tests.support.lan import Program, wait_until

REASON = missing()
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON or "all is there")

WIDTH, HEIGHT = 64, 36


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("world"))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def accounts() -> dict[str, Account]:
    return {}


@pytest.fixture(autouse=True)
def _forwards_end(world: World) -> Iterator[None]:
    yield
    world.stop_forwards()


def pull(world: World, port: int, frames: int, seconds: float = 60) -> bytes:
    """Let ffmpeg outside pull frames from the local port; return them as small grey pictures."""
    target = world.folder / "frames.gray"
    target.unlink(missing_ok=True)
    world.outside.run(
        *("ffmpeg", "-v", "error", "-y", "-rtsp_transport", "tcp"),
        *("-i", f"rtsp://127.0.0.1:{port}/main", "-frames:v", str(frames)),
        *("-vf", f"scale={WIDTH}:{HEIGHT},format=gray", "-f", "rawvideo", str(target)),
        seconds=seconds,
    )
    return target.read_bytes()


def play(world: World, port: int) -> Program:
    """Start ffmpeg outside on the local port, telling its progress, until it ends."""
    program = world.outside.start(
        *("ffmpeg", "-v", "error", "-nostdin", "-rtsp_transport", "tcp"),
        *("-i", f"rtsp://127.0.0.1:{port}/main", "-progress", "pipe:1", "-f", "null", "-"),
    )
    program.wait_line(lambda line: line.startswith("frame=") and line != "frame=0", 30)
    return program


def test_01_the_gateway_starts_and_is_claimed(world: World) -> None:
    world.start_camera()
    world.camera_host.run(
        *("nft", "-f", "-"),
        stdin="table inet count { chain in { type filter hook input priority 0; "
        "tcp dport 80 counter; }; }",
    )
    world.start_gateway()
    assert world.gateway is not None
    code = (world.state / "setup-code").read_text(encoding="utf-8").strip()
    world.gateway.wait_line(lambda line: code in line, 5)
    claimed = world.ctl(
        *("owner", "claim", "markus", "Markus Schmidt"),
        *("--code", code, "--password-file", "-"),
        stdin="a long enough password\n",
    )
    assert claimed["authority"] == "administrator"
    assert not (world.state / "setup-code").exists()


def test_02_an_announced_camera_appears_within_five_seconds(world: World) -> None:
    assert world.items("camera", "found") == []
    begun = time.monotonic()
    world.announce_camera()
    found = wait_until(lambda: world.items("camera", "found"), 8, "the camera is found")
    took = time.monotonic() - begun
    assert isinstance(found, list)
    assert (found[0]["identity"], found[0]["address"]) == (IDENTITY, "10.91.0.20")
    assert took < 5, f"found after {took:.1f} s"


def test_03_it_is_adopted_with_the_right_login_only(world: World) -> None:
    refused = world.box.run(
        *(str(BIN / "softnet-gateway"), "ctl", "camera", "add"),
        *(IDENTITY, "1", "Lobby", "--user", "root", "--password-file", "-"),
        *("--token-file", str(world.token_file)),
        stdin="wrong\n",
        check=False,
    )
    assert refused.returncode != 0
    assert "password" in (refused.stdout + refused.stderr).lower()
    assert world.items("camera", "list") == []
    world.ctl(
        *("camera", "add", IDENTITY, "1", "Lobby", "--user", CAMERA_LOGIN[0]),
        *("--password-file", "-"),
        stdin=CAMERA_LOGIN[1] + "\n",
    )
    world.wait_camera("online", 15)
    wait_until(lambda: world.view()["service_status"] == "online", 15, "service online")
    (service,) = world.items("service", "list", "1")
    assert service["hostname"] == "Lobby"
    names = [role["name"] for role in world.items("role", "list", "1")]
    assert names == ["Administrator", "Operator", "User"]


def test_04_ffmpeg_outside_pulls_a_hundred_frames(
    world: World, accounts: dict[str, Account]
) -> None:
    accounts["alison"] = world.make_account("Alison", "User")
    listed = world.remote(accounts["alison"], "list")
    assert "Lobby" in listed.stdout
    assert "online" in listed.stdout
    forward, port = world.forward(accounts["alison"])
    pixels = pull(world, port, 100)
    size = WIDTH * HEIGHT
    assert len(pixels) == 100 * size
    pictures = [pixels[at : at + size] for at in range(0, len(pixels), size)]
    assert max(pictures[50]) > 100, "the picture is black"
    assert sum(a != b for a, b in zip(pictures, pictures[10:], strict=False)) > 80, (
        "it stands still"
    )
    assert CAMERA_LOGIN[1] not in forward.text


def test_05_the_camera_cannot_be_reached_past_the_gateway(world: World) -> None:
    done = world.outside.run("ping", "-c", "1", "-W", "1", "10.91.0.20", check=False)
    assert done.returncode != 0


def test_06_a_wrong_password_stays_out(world: World, accounts: dict[str, Account]) -> None:
    bad = world.folder / "bad-password"
    bad.write_text("not the password\n", encoding="utf-8")
    alison = accounts["alison"]
    done = world.remote(Account(0, "", alison.uri, bad), "list", check=False)
    assert done.returncode == 3
    assert "password" in done.stderr.lower()


def test_07_a_program_for_another_service_type_is_parked(
    world: World, accounts: dict[str, Account]
) -> None:
    done = world.remote(
        accounts["alison"], "list", "--service-type", "Thermostat", "--wait", "5", check=False
    )
    assert done.returncode == 4
    assert "type" in done.stderr.lower()
    wait_until(
        lambda: world.items("client", "list", "1")[0]["service_type"] == "Thermostat",
        5,
        "the page shows what the program was built for",
    )


def test_08_a_user_without_a_role_is_denied(world: World, accounts: dict[str, Account]) -> None:
    accounts["bob"] = world.make_account("Bob", "User")
    world.ctl("role", "set", "1", "Bob")
    done = world.remote(accounts["bob"], "list", "--wait", "5", check=False)
    assert done.returncode == 4
    assert "right" in done.stderr.lower() or "denied" in done.stderr.lower()


def test_09_only_an_administrator_may_open_the_cameras_own_pages(
    world: World, accounts: dict[str, Account]
) -> None:
    forward, port = world.forward(accounts["alison"], "--virtual-port", "80")
    before = arrivals(world)
    world.outside.run(
        *("curl", "-s", "--max-time", "15", f"http://127.0.0.1:{port}/"), check=False, seconds=30
    )
    forward.wait_line(lambda line: "denied" in line.lower() or "right" in line.lower(), 10)
    refusals = [
        row
        for row in world.items("audit", "list", "--limit", "20")
        if row["outcome"] != "allowed" and "port=80" in row["detail"]
    ]
    assert refusals, "no line in the audit trail"
    assert "Alison" in refusals[0]["detail"]
    assert arrivals(world) == before == 0, "the camera was asked"


def arrivals(world: World) -> int:
    """Return how many packets for its web port have reached the camera's host."""
    table = world.camera_host.run("nft", "list", "chain", "inet", "count", "in").stdout
    return int(table.split("packets ")[1].split()[0])


def test_10_taking_the_role_away_ends_the_picture_within_a_second(
    world: World, accounts: dict[str, Account]
) -> None:
    accounts["eve"] = world.make_account("Eve", "User")
    _, port = world.forward(accounts["eve"])
    player = play(world, port)
    (session,) = world.items("session", "list")
    assert session["user"] == "Eve"
    world.ctl("role", "set", "1", "Eve")
    wait_until(lambda: not world.items("session", "list"), 10, "the session is closed")
    player.wait(10)
    # By the gateway's own clock, in whole seconds: asking it is a program that a busy machine
    # starts late. tests/cameras/test_direct.py measures the same cut in fractions.
    rows = world.items("audit", "list")
    at = next(n for n, row in enumerate(rows) if row["action"] == "camera.close")
    assert "taken away" in rows[at]["detail"]
    taken = next(row for row in rows[at:] if row["action"] != "camera.close")
    assert rows[at]["at"] - taken["at"] <= 1, (rows[at], taken)


def test_11_a_camera_unplugged_and_back_recovers_by_itself(
    world: World, accounts: dict[str, Account]
) -> None:
    accounts["carol"] = world.make_account("Carol", "User")
    _, port = world.forward(accounts["carol"])
    player = play(world, port)
    wire = world.camera_wire
    world.camera_host.run("ip", "link", "set", wire, "down")
    try:
        gone = world.wait_camera("offline", 20)
    finally:
        world.camera_host.run("ip", "link", "set", wire, "up")
    back = world.wait_camera("online", 12)
    assert gone < 15
    assert back < 10
    player.stop()
    assert len(pull(world, port, 25)) == 25 * WIDTH * HEIGHT


def test_12_a_killed_gateway_comes_back_as_it_was(
    world: World, accounts: dict[str, Account]
) -> None:
    assert world.gateway is not None
    forward, port = world.forward(accounts["carol"])
    assert len(pull(world, port, 10)) == 10 * WIDTH * HEIGHT
    world.gateway.kill_group()
    took = world.start_gateway()
    # On a machine that is busy with other things its own time is what counts.
    assert min(took, world.gateway.cpu_seconds()) < 3, f"the second start took {took:.1f} s"
    assert world.view()["name"] == "Lobby"
    world.wait_camera("online", 15)
    forward.wait_line(lambda line: "online as Carol" in line, 40, start=2)
    assert len(pull(world, port, 25)) == 25 * WIDTH * HEIGHT


def test_13_a_port_that_nobody_serves_is_unreachable(
    world: World, accounts: dict[str, Account]
) -> None:
    forward, port = world.forward(accounts["carol"], "--virtual-port", "9999")
    world.outside.run(
        *("curl", "-s", "--max-time", "15", f"http://127.0.0.1:{port}/"), check=False, seconds=30
    )
    forward.wait_line(lambda line: "nothing on this port" in line, 10)


def test_14_the_broker_knows_every_camera_even_after_its_own_restart(world: World) -> None:
    for _ in range(2):
        broker = world.start_broker()
        told = wait_until(
            lambda: {topic for topic, text in world.told().items() if text}, 40, "retained topics"
        )
        assert isinstance(told, set)
        kept = world.told()
        (status,) = [text for topic, text in kept.items() if topic.endswith("/status")]
        (state,) = [text for topic, text in kept.items() if topic.endswith("/state")]
        assert status == "online"
        assert json.loads(state)["name"] == "Lobby"
        assert json.loads(state)["online"] is True
        assert CAMERA_LOGIN[1] not in str(kept)
        broker.stop()
    world.start_broker()
    wait_until(lambda: "online" in world.told().values(), 40, "told again")


def test_15_a_clean_end_says_goodbye_and_leaves_no_port_open(world: World) -> None:
    assert world.gateway is not None
    world.gateway.signal(signal.SIGTERM)
    assert world.gateway.wait(15) == 0
    listening = world.box.run("ss", "-ltnH").stdout.splitlines()
    assert [line for line in listening if ":1883" not in line] == []
    assert "offline" in world.told().values()
