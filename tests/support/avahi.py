"""Avahi as an mDNS speaker that is not ours, on a host of a test LAN."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.support.lan import Host, Program

AVAHI = shutil.which("avahi-daemon") or "/usr/sbin/avahi-daemon"

# No message bus is needed for services in files; its own mounts keep it off the machine's Avahi.
CONFIGURATION = """[server]
host-name={host}
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

SERVICE = """<?xml version="1.0" standalone='no'?>
<!DOCTYPE service-group SYSTEM "avahi-service.dtd">
<service-group><name>{name}</name>
 <service><type>{kind}</type><port>{port}</port>{records}</service>
</service-group>
"""


def announce(
    host: Host, folder: Path, name: str, kind: str, port: int, properties: Mapping[str, str]
) -> Program:
    """Start Avahi on a host with one service and wait until its name is established."""
    services = folder / f"services-{host.name}"
    services.mkdir(exist_ok=True)
    records = "".join(
        f"<txt-record>{key}={value}</txt-record>" for key, value in properties.items()
    )
    text = SERVICE.format(name=name, kind=kind, port=port, records=records)
    (services / "camera.service").write_text(text, encoding="utf-8")
    configuration = folder / f"avahi-{host.name}.conf"
    configuration.write_text(CONFIGURATION.format(host=host.name), encoding="utf-8")
    script = (
        "mkdir -p /run/avahi-daemon && mount -t tmpfs none /run/avahi-daemon && "
        f"mount --bind {services} /etc/avahi/services && "
        f"exec {AVAHI} --no-drop-root --no-chroot --no-rlimits -f {configuration}"
    )
    program = host.start("unshare", "--mount", "sh", "-c", script)
    program.wait_line(lambda line: "successfully established" in line, 15)
    return program
