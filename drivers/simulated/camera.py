"""A virtual camera as a program: ``python -m drivers.simulated.camera --name "Front Door"``.

It serves RTSP (/main and /sub, H.264 over TCP and UDP) and HTTP (/, /snapshot.jpg, /info.json)
with one login, announces itself over mDNS when asked to, and prints one line of JSON when ready.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import signal
import sys
from pathlib import Path

from drivers.simulated.zoo.announcement import Announcement
from drivers.simulated.zoo.faults import Faults
from drivers.simulated.zoo.picture import Eye
from drivers.simulated.zoo.rtsp_server import Counters, RtspServer
from drivers.simulated.zoo.web import ControlPort, WebFace
from gateway.base.entropy import SystemEntropy
from gateway.base.secret import Secret
from gateway.driverkit.digest import Algorithm, CameraCredentials
from gateway.driverkit.login_gate import LoginGate
from gateway.driverkit.manifest import IdentityKind, identity_from

LOGINS = {
    "any": ((Algorithm.SHA256, Algorithm.MD5), False),
    "md5": ((Algorithm.MD5,), False),
    "sha256": ((Algorithm.SHA256,), False),
    "basic": ((), True),
}

SUB_WIDTH, SUB_FPS = 320, 10


class VirtualCamera:
    """Everything of one camera, put together from the parts in `zoo`."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._faults = Faults().changed(options.faults or "")
        self._counters = Counters()
        width, height = options.size
        sub_height = max(2, SUB_WIDTH * height // width // 2 * 2)
        sub = Eye(width=SUB_WIDTH, height=sub_height, fps=min(SUB_FPS, options.fps), label="sub")
        main = Eye(width=width, height=height, fps=options.fps, label="main")
        self._eyes = {"/main": main, "/sub": sub}
        serial = options.serial or "SIM-" + _fingerprint(options.name)[:10].upper()
        mac = options.mac or "02" + _fingerprint(serial)[:10]
        self.facts: dict[str, object] = {
            "name": options.name,
            "maker": "Softnet",
            "model": "Virtual Camera",
            "firmware": "1.0",
            "serial": serial,
            "mac": mac,
        }
        gates = [self._gate(options, with_qop=each) for each in (False, True)]
        self._rtsp = RtspServer(
            name=options.name,
            eyes=self._eyes,
            gate=gates[0],
            faults=lambda: self._faults,
            counters=self._counters,
        )
        self._web = WebFace(
            facts=self.facts,
            eye=main,
            gate=gates[1],
            faults=lambda: self._faults,
            counters=self._counters,
        )
        self._control = ControlPort(change=self._change, state=self._state, announce=self._announce)
        self._announcement: Announcement | None = None

    async def start(self) -> dict[str, object]:
        """Open everything; return the facts of the ready line."""
        options = self._options
        rtsp_port = await self._rtsp.start(options.address, options.rtsp_port)
        http_port = await self._web.start(options.address, options.http_port)
        ready: dict[str, object] = {
            "ready": True,
            "address": options.address,
            "rtsp_port": rtsp_port,
            "http_port": http_port,
            "identity": identity_from(IdentityKind.SERIAL, str(self.facts["serial"])),
            **self.facts,
        }
        if options.control_port is not None:
            ready["control_port"] = await self._control.start(options.control_port)
        self._announcement = Announcement(
            name=options.name,
            address=options.address,
            interface=options.interface,
            rtsp_port=rtsp_port,
            http_port=http_port,
            properties={
                "id": str(self.facts["serial"]),
                "mac": str(self.facts["mac"]),
                "maker": "Softnet",
                "model": "Virtual Camera",
                "path": "/main",
                "sub": "/sub",
                "snapshot": "/snapshot.jpg",
                "rtsp": str(rtsp_port),
                "http": str(http_port),
            },
        )
        return ready

    async def announce(self) -> None:
        """Announce the camera when that was asked for; without mDNS it goes on in silence."""
        if self._options.announce:
            try:
                await self._announce(True)
            except (OSError, RuntimeError) as error:
                sys.stderr.write(f"mDNS cannot be used: {error}\n")

    async def close(self) -> None:
        """Say goodbye and close everything."""
        if self._announcement is not None:
            await self._announcement.stop()
        await self._rtsp.close()
        await self._web.close()
        await self._control.close()
        for eye in self._eyes.values():
            await eye.close()

    def _gate(self, options: argparse.Namespace, *, with_qop: bool) -> LoginGate | None:
        if not options.user:
            return None
        password = ""
        if options.password_file:
            lines = Path(options.password_file).read_text(encoding="utf-8").splitlines()
            password = lines[0] if lines else ""
        offers, basic = LOGINS[options.login]
        return LoginGate(
            CameraCredentials(options.user, Secret(password)),
            realm="Virtual Camera",
            entropy=SystemEntropy(),
            offers=offers,
            basic=basic,
            with_qop=with_qop,
        )

    def _change(self, spec: str) -> Faults:
        self._faults = self._faults.changed(spec)
        if self._faults.refuse:
            for connection in tuple(self._rtsp.connections):
                connection.abort()
        return self._faults

    def _state(self) -> dict[str, object]:
        return {
            "faults": self._faults.as_json(),
            "connections": self._counters.connections,
            "open_connections": len(self._rtsp.connections),
            "sessions": self._rtsp.sessions,
            "requests": self._counters.requests,
            "methods": self._counters.methods,
            "logins_refused": self._counters.logins_refused,
            "describes": self._counters.describes,
            "plays": self._counters.plays,
            "encoders": sum(eye.running for eye in self._eyes.values()),
            "encoder_starts": sum(eye.starts for eye in self._eyes.values()),
        }

    async def _announce(self, wanted: bool) -> None:
        assert self._announcement is not None
        await (self._announcement.start() if wanted else self._announcement.stop())


def _fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    sides = int(width), int(height)
    if not all(64 <= side <= 4096 and side % 2 == 0 for side in sides):
        raise argparse.ArgumentTypeError("the sides go from 64 to 4096 and are even")
    return sides


def options(arguments: list[str]) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(prog="python -m drivers.simulated.camera", description=__doc__)
    parser.add_argument("--name", default="Virtual Camera")
    parser.add_argument("--address", default="127.0.0.1", help="where to listen")
    parser.add_argument("--rtsp-port", type=int, default=0)
    parser.add_argument("--http-port", type=int, default=0)
    parser.add_argument("--control-port", type=int, help="faults over HTTP on 127.0.0.1")
    parser.add_argument("--user", default="", help="without: no login")
    parser.add_argument("--password-file", default="", help="first line is the password")
    parser.add_argument("--login", choices=sorted(LOGINS), default="any")
    parser.add_argument("--announce", action="store_true", help="tell of itself over mDNS")
    parser.add_argument("--interface", default="", help="address or name to announce on")
    parser.add_argument("--faults", default="", help="for example busy,slow=2")
    parser.add_argument("--size", type=_size, default=(640, 360))
    parser.add_argument("--fps", type=int, default=15, choices=range(1, 31), metavar="1-30")
    parser.add_argument("--serial", default="")
    parser.add_argument("--mac", default="")
    return parser.parse_args(arguments)


async def run(arguments: list[str]) -> None:
    """Be a camera until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    camera = VirtualCamera(options(arguments))
    try:
        sys.stdout.write(json.dumps(await camera.start()) + "\n")
        sys.stdout.flush()
        await camera.announce()
        await stopped.wait()
    finally:
        await camera.close()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1:]))
