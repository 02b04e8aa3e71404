"""Discovery against Avahi, a responder that is not our library, on a LAN of namespaces."""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path

import pytest

from tests.support import lan as lans
from tests.support.lan import Host, Lan, Program

ROOT = Path(__file__).resolve().parents[2]

AVAHI = shutil.which("avahi-daemon") or "/usr/sbin/avahi-daemon"

pytestmark = [
    pytest.mark.skipif(bool(lans.available()), reason=lans.available() or "namespaces"),
    pytest.mark.skipif(
        not Path(AVAHI).exists(), reason="avahi is not installed (apt install avahi-daemon)"
    ),
]

SERVICE = """<?xml version="1.0" standalone='no'?>
<!DOCTYPE service-group SYSTEM "avahi-service.dtd">
<service-group><name>Lobby</name>
 <service><type>_rtsp._tcp</type><port>554</port>
  <txt-record>path=/axis-media/media.amp</txt-record>
  <txt-record>macaddress=ACCC8E3C0419</txt-record></service>
</service-group>
"""

# No message bus is needed for services in files; its own mounts keep it off the machine's Avahi.
CONFIGURATION = """[server]
host-name=axis-accc8e3c0419
use-ipv4=yes
use-ipv6=yes
allow-point-to-point=yes
enable-dbus=no
[wide-area]
enable-wide-area=no
[publish]
publish-workstation=no
[reflector]
[rlimits]
"""

IDENTITY = "mac:accc8e3c0419"


def start_avahi(host: Host, folder: Path) -> Program:
    services = folder / "services"
    services.mkdir(exist_ok=True)
    (services / "lobby.service").write_text(SERVICE)
    configuration = folder / "avahi.conf"
    configuration.write_text(CONFIGURATION)
    script = (
        "mkdir -p /run/avahi-daemon && mount -t tmpfs none /run/avahi-daemon && "
        f"mount --bind {services} /etc/avahi/services && "
        f"exec {AVAHI} --no-drop-root --no-chroot --no-rlimits -f {configuration}"
    )
    program = host.start("unshare", "--mount", "sh", "-c", script)
    program.wait_line(lambda line: "successfully established" in line, 15)
    return program


def start_watcher(host: Host) -> Program:
    program = host.start(sys.executable, "-m", "tests.discovery.watcher", cwd=ROOT)
    program.wait_line(lambda line: '"started"' in line, 15)
    return program


def event(watcher: Program, seconds: float, **wanted: object) -> dict:
    """Wait for an event that has these values; return it."""

    def fits(line: str) -> bool:
        if not line.startswith("{"):
            return False
        told = json.loads(line)
        return all(told.get(key) == value for key, value in wanted.items())

    return json.loads(watcher.wait_line(fits, seconds))


@pytest.fixture
def lan():
    with Lan() as made:
        yield made


def test_a_camera_of_avahi_appears_moves_and_goes(lan, tmp_path):
    gateway, camera = lan.host("gw"), lan.host("cam")
    _, wire = lan.wire(gateway, "10.13.0.1/24", camera, "10.13.0.2/24")
    # Traps: a link-local address on the same interface, and a network that we are not on.
    camera.run("ip", "address", "add", "169.254.7.7/16", "dev", wire)
    lan.wire(camera, "10.99.0.7/24", lan.host("far"), "10.99.0.1/24")
    watcher = start_watcher(gateway)
    avahi = start_avahi(camera, tmp_path)
    begun = time.monotonic()
    seen = event(watcher, 5, event="DeviceSeen", identity=IDENTITY)
    assert time.monotonic() - begun < 5
    assert seen["addresses"][0] == "10.13.0.2"
    assert not {"169.254.7.7", "10.99.0.7", "127.0.0.1"} & set(seen["addresses"])
    assert (seen["driver"], seen["name"], seen["port"]) == ("rtsp", "Lobby", 554)

    camera.run("ip", "address", "del", "10.13.0.2/24", "dev", wire)
    camera.run("ip", "address", "add", "10.13.0.77/24", "dev", wire)
    moved = event(watcher, 15, event="DeviceMoved", identity=IDENTITY)
    assert moved["addresses"][0] == "10.13.0.77"

    avahi.stop()
    gone = event(watcher, 10, event="DeviceGone", identity=IDENTITY)
    assert gone["present"] is False


def test_a_camera_on_ipv6_only(lan, tmp_path):
    gateway, camera = lan.host("gw6"), lan.host("cam6")
    near, far = lan.wire(gateway, "2001:db8:13::1/64", camera, "2001:db8:13::2/64")
    for host, name in ((gateway, near), (camera, far)):
        # Addresses count as tentative for two seconds unless told otherwise.
        host.run("sysctl", "-qw", f"net.ipv6.conf.{name}.accept_dad=0", check=False)
    lans.wait_until(
        lambda: (
            "tentative" not in gateway.run("ip", "-6", "address").stdout
            and "tentative" not in camera.run("ip", "-6", "address").stdout
        ),
        10,
        "IPv6 addresses",
    )
    watcher = start_watcher(gateway)
    start_avahi(camera, tmp_path)
    seen = event(watcher, 8, event="DeviceSeen", identity=IDENTITY)
    assert seen["addresses"] == ["2001:db8:13::2"]


def test_a_network_that_comes_later(lan, tmp_path):
    gateway, camera = lan.host("gwl"), lan.host("caml")
    watcher = start_watcher(gateway)
    assert "interface" in event(watcher, 1, event="started")["trouble"]
    lan.wire(gateway, "10.13.1.1/24", camera, "10.13.1.2/24")
    start_avahi(camera, tmp_path)
    seen = event(watcher, 20, event="DeviceSeen", identity=IDENTITY)
    if seen["addresses"][0] != "10.13.1.2":  # its link-local address was ready before
        assert seen["addresses"][0].startswith("fe80:")
        seen = event(watcher, 20, event="DeviceMoved", identity=IDENTITY)
    assert seen["addresses"][0] == "10.13.1.2"


def test_programs_of_others_find_the_gateway(lan, tmp_path):
    if shutil.which("avahi-browse") is None or shutil.which("dbus-daemon") is None:
        pytest.skip("avahi-browse and dbus-daemon are needed (apt install avahi-utils dbus)")
    gateway, other = lan.host("gwb"), lan.host("pcb")
    lan.wire(gateway, "10.13.2.1/24", other, "10.13.2.2/24")
    bus = f"unix:path={tmp_path}/bus"
    policy = tmp_path / "bus.conf"
    policy.write_text(
        "<!DOCTYPE busconfig PUBLIC '-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN' "
        "'http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd'><busconfig>"
        f"<type>system</type><listen>{bus}</listen><auth>EXTERNAL</auth>"
        "<policy context='default'><allow send_destination='*'/><allow own='*'/>"
        "<allow receive_sender='*'/></policy></busconfig>"
    )
    other.start("dbus-daemon", f"--config-file={policy}", "--nofork")
    lans.wait_until((tmp_path / "bus").exists, 10, "message bus")
    configuration = tmp_path / "avahi.conf"
    configuration.write_text(CONFIGURATION.replace("enable-dbus=no", "enable-dbus=yes"))
    environment = {"DBUS_SYSTEM_BUS_ADDRESS": bus}
    script = (
        "mkdir -p /run/avahi-daemon && mount -t tmpfs none /run/avahi-daemon && "
        f"exec {AVAHI} --no-drop-root --no-chroot --no-rlimits -f {configuration}"
    )
    avahi = other.start("unshare", "--mount", "sh", "-c", script, env=environment)
    avahi.wait_line(lambda line: "startup complete" in line, 15)
    start_watcher(gateway)
    lans.wait_until(
        lambda: (
            "softnet-gw-ffee"
            in other.run("avahi-browse", "-rpt", "_softnet-gw._tcp", env=environment).stdout
        ),
        10,
        "the gateway's record in avahi-browse",
    )
    found = other.run("avahi-browse", "-rpt", "_softnet-gw._tcp", env=environment).stdout
    assert "10.13.2.1;8080;" in found
    assert '"state=claimed"' in found
