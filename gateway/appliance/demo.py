"""Virtual cameras beside the gateway, for trying it out without a camera in the house."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from gateway.base.errors import HostError

_log = logging.getLogger(__name__)

USER = "demo"
PASSWORD = "demo"  # noqa: S105  (virtual cameras on loopback; shown to whoever starts them)
NAMES = ("Front Door", "Back Yard", "Garage", "Lobby", "Workshop", "Stairs", "Roof", "Cellar")
READY_SECONDS = 20.0
STOP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class DemoCamera:
    """A virtual camera that is running."""

    name: str
    rtsp_port: int
    http_port: int


class DemoCameras:
    """Starts virtual cameras as programs of their own and ends them with the gateway."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: list[asyncio.subprocess.Process] = []

    async def start(self, count: int) -> list[DemoCamera]:
        """Start `count` cameras on loopback; return what they say of themselves.

        Raises HostError when one does not come up.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        login = self._folder / "camera-password"
        login.write_text(PASSWORD + "\n", encoding="utf-8")
        names = [NAMES[n] if n < len(NAMES) else f"Camera {n + 1}" for n in range(count)]
        # All begin before the first is waited for: they come up side by side.
        launched = [(name, await self._launch(name, login)) for name in names]
        return [await self._introduced(name, process) for name, process in launched]

    async def _launch(self, name: str, login: Path) -> asyncio.subprocess.Process:
        words = [sys.executable, "-m", "drivers.simulated.camera", "--name", name]
        words += ["--address", "127.0.0.1", "--interface", "127.0.0.1", "--announce"]
        words += ["--user", USER, "--password-file", str(login)]
        if setpriv := shutil.which("setpriv"):
            # A gateway that is killed takes its demonstration with it.
            words = [setpriv, "--pdeathsig", "TERM", *words]
        process = await asyncio.create_subprocess_exec(
            *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
        )
        self._running.append(process)
        return process

    async def _introduced(self, name: str, process: asyncio.subprocess.Process) -> DemoCamera:
        assert process.stdout is not None
        try:
            async with asyncio.timeout(READY_SECONDS):
                line = await process.stdout.readline()
            facts = json.loads(line)
            return DemoCamera(name, int(facts["rtsp_port"]), int(facts["http_port"]))
        except (TimeoutError, ValueError, KeyError) as error:
            raise HostError(
                f"The virtual camera {name} did not start; is ffmpeg installed?"
            ) from error

    async def stop(self) -> None:
        """End the cameras, by force those that do not go."""
        for process in self._running:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        for process in self._running:
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await process.wait()
            except TimeoutError:
                _log.warning("a virtual camera did not end; killed")
                process.kill()
                await process.wait()
        self._running.clear()
