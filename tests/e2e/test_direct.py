"""A camera of the box and a client in the same house are connected directly, others relayed.

camera --- box --- client --- (router, NAT or not) --- guest
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.test_camera_to_client import play, pull
from tests.e2e.world import CAMERA_LOGIN, STREAM_PATH, Account, World, missing
from tests.support.lan import Host, wait_until

REASON = missing()
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON or "all is there")

INSIDE = "10.113.1"
"""The network behind the client's host, where that is a router."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("world"))
    try:
        made.start_camera()
        made.start_gateway()
        code = (made.state / "setup-code").read_text(encoding="utf-8").strip()
        made.ctl(
            *("owner", "claim", "markus", "Markus Schmidt", "--code", code),
            *("--password-file", "-"),
            stdin="a long enough password\n",
        )
        made.ctl(
            *("camera", "add", f"rtsp://10.91.0.20{STREAM_PATH}", "1", "Lobby"),
            *("--user", CAMERA_LOGIN[0], "--password-file", "-"),
            stdin=CAMERA_LOGIN[1] + "\n",
        )
        made.wait_camera("online", 20)
        wait_until(lambda: made.view()["service_status"] == "online", 15, "service online")
        yield made
    finally:
        made.close()


@pytest.fixture
def account(world: World, request: pytest.FixtureRequest) -> Account:
    """A new client: its program and the service remember nothing of it."""
    return world.make_account(request.node.name.replace("_", " ").title()[:30], "User")


@pytest.fixture(scope="module")
def guest(world: World) -> Host:
    """A host behind the client's, which leads to the box and back."""
    made = world.lan.host("guest")
    world.lan.wire(made, f"{INSIDE}.9/24", world.outside, f"{INSIDE}.1/24")
    made.run("ip", "route", "add", "default", "via", f"{INSIDE}.1")
    world.box.run("ip", "route", "add", f"{INSIDE}.0/24", "via", "10.92.0.9")
    world.outside.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
    return made


@pytest.fixture(autouse=True)
def _as_before(world: World) -> Iterator[None]:
    outside = world.outside
    yield
    world.stop_forwards()
    world.outside = outside
    for host in (world.box, outside):
        host.run("nft", "flush", "ruleset")
    wait_until(lambda: not world.items("session", "list"), 10, "no session is left")


def look(world: World, account: Account) -> tuple[str, str]:
    """Let the account's program fetch some frames; return the audit rows of open and close."""
    _, port = world.forward(account)
    assert pull(world, port, 5)
    wait_until(lambda: not world.items("session", "list"), 10, "the session is closed")
    rows: list[dict[str, Any]] = [
        row for row in world.items("audit", "list") if account.user in row["detail"]
    ]
    found = {row["action"]: row["detail"] for row in reversed(rows)}
    return found["camera.open"], found["camera.close"]


def shows(rows: tuple[str, str], mode: str) -> None:
    """Check that both rows name the way, and that the second says how long and how much."""
    opened, closed = rows
    assert opened.endswith(f" {mode}")
    assert f" {mode} seconds=" in closed
    assert int(closed.split("down=")[1].split()[0]) > 1000
    assert "up=" in closed


def test_in_one_house_it_is_direct(world: World, account: Account) -> None:
    shows(look(world, account), "direct")


def test_a_direct_picture_ends_with_its_right(world: World, account: Account) -> None:
    _, port = world.forward(account)
    player = play(world, port)
    (session,) = world.items("session", "list")
    assert session["mode"] == "direct"
    world.ctl("role", "set", "1", account.user)
    wait_until(lambda: not world.items("session", "list"), 5, "the session is closed")
    player.wait(10)
    rows = world.items("audit", "list")
    at = [row["action"] for row in rows].index("camera.close")
    # By the gateway's own clock, in whole seconds: asking it takes long on a busy machine.
    assert rows[at]["at"] - rows[at + 1]["at"] <= 1
    assert not rows[at + 1]["action"].startswith("camera."), "it is not what ended the session"
    assert account.user in rows[at]["detail"]
    assert " direct seconds=" in rows[at]["detail"]
    assert "taken away" in rows[at]["detail"]


def test_behind_nat_it_is_relayed(world: World, account: Account, guest: Host) -> None:
    world.outside.run(
        *("nft", "-f", "-"),
        stdin=f"table ip nat {{ chain out {{ type nat hook postrouting priority 100; "
        f"ip saddr {INSIDE}.0/24 masquerade; }}; }}",
    )
    world.outside = guest
    shows(look(world, account), "relayed")


def test_across_a_router_it_is_relayed(world: World, account: Account, guest: Host) -> None:
    world.outside = guest
    shows(look(world, account), "relayed")


def test_where_only_known_ports_are_open_it_falls_back(world: World, account: Account) -> None:
    known = "{ 7737, 7740, 7778, 7779, 37780 }"
    world.box.run(
        *("nft", "-f", "-"),
        stdin="table inet strict { chain in { type filter hook input priority 0; "
        f"ip saddr 10.92.0.9 tcp dport != {known} drop; }}; }}",
    )
    shows(look(world, account), "relayed")
