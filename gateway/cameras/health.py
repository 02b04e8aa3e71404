"""Whether a camera answers: a look every few seconds, with hysteresis, sooner after a hint."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

from gateway.base.entropy import Entropy
from gateway.base.errors import GatewayError, HostError, ProtocolViolation
from gateway.cameras.live import CameraState, LiveCamera
from gateway.driverkit.driver import RtspAddress
from gateway.driverkit.errors import Unreachable
from gateway.driverkit.rtsp import Headers, Request, Response, RtspReader
from gateway.net import sockets

AFTER_FAILURE_SECONDS = 0.5
"""A failed look is repeated soon: two in a row decide."""
FIRST_RETRY_SECONDS = 1.0
ANSWER_OCTETS = 16 * 1024
USER_AGENT = "Softnet Camera Gateway"


async def look(camera: LiveCamera, seconds: float) -> None:
    """Ask the camera for its methods, without a login. Raises GatewayError when it is not there.

    Any answer will do, 401 as well: it says that a server is alive behind the port.
    """
    source = camera.place("")
    sock = await sockets.connect(source.host, source.port, timeout=seconds)
    try:
        path = source.path if source.path.startswith("/") else f"/{source.path}"
        url = RtspAddress(source.host, source.port, path).url
        fields = Headers([("CSeq", "1"), ("User-Agent", USER_AGENT)])
        await sockets.send_all(sock, Request("OPTIONS", url, fields).encode())
        messages = RtspReader()
        async with asyncio.timeout(seconds):
            for _ in range(ANSWER_OCTETS // 256):
                data = await sockets.receive(sock, 4096)
                if not data:
                    break
                messages.feed(data)
                if isinstance(messages.next_message(), Response):
                    return
        raise Unreachable("The camera closes every connection.")
    except TimeoutError:
        raise Unreachable("The camera accepts connections but does not answer.") from None
    except ProtocolViolation:
        raise Unreachable("What answers at the camera's address does not speak RTSP.") from None
    finally:
        sock.close()


class HealthWatch:
    """Looks after one camera for as long as `run` runs. `hint` makes it look now.

    `octets` returns how many octets those who watch have got by now, less than 0 when nobody does:
    a camera whose octets flow is not asked besides. `lost` is called when a camera that was online
    has gone: its streams would hang until their own limit.
    """

    def __init__(
        self,
        camera: LiveCamera,
        entropy: Entropy,
        octets: Callable[[], Awaitable[int]],
        lost: Callable[[], None],
    ) -> None:
        self._camera = camera
        self._entropy = entropy
        self._octets = octets
        self._lost = lost
        self._hint = asyncio.Event()
        self._failures = 0
        self._carried = -1
        self._pause = FIRST_RETRY_SECONDS
        self._looked = -math.inf

    def hint(self) -> None:
        """Look now: something was heard of the camera."""
        self._hint.set()

    def carried(self) -> None:
        """A client has left: look, unless that was done within `health_seconds`.

        Clients that come and go all the time must not make a camera busy with our questions.
        """
        if _now() - self._looked >= self._camera.settings.health_seconds:
            self.hint()

    async def _flowing(self) -> bool:
        """Tell whether any stream brought an octet since the last question."""
        before, self._carried = self._carried, await self._octets()
        return self._carried >= 0 and self._carried != before

    async def run(self) -> None:
        """Watch for ever."""
        while True:
            self._hint.clear()
            pause = await self._once()
            try:
                async with asyncio.timeout(pause):
                    await self._hint.wait()
            except TimeoutError:
                pass

    async def _once(self) -> float:
        camera, settings = self._camera, self._camera.settings
        if camera.state is CameraState.REFUSED:
            return settings.health_seconds
        if camera.state is CameraState.ONLINE and await self._flowing():
            return settings.health_seconds
        self._looked = _now()
        try:
            await look(camera, settings.health_answer_seconds)
        except GatewayError as error:
            self._failures += 1
            if self._failures < settings.health_failures and camera.state is CameraState.ONLINE:
                return AFTER_FAILURE_SECONDS
            was_online = camera.state is CameraState.ONLINE
            camera.set_state(CameraState.OFFLINE, _sentence(error))
            if was_online:
                self._lost()
            pause, longest = self._pause, settings.retry_max_seconds
            self._pause = min(2 * pause, longest)
            # Cameras of one switch come back together; they need not be asked in step.
            jitter = 0.75 + 0.5 * self._entropy.octets(1)[0] / 255
            return min(pause * jitter, longest)
        self._failures = 0
        self._pause = FIRST_RETRY_SECONDS
        if camera.info is None:
            # Once for each connection of ours and each address: who is it, does our login fit?
            await camera.probe()
        else:
            camera.set_state(CameraState.ONLINE)
        return settings.health_seconds


def _now() -> float:
    return asyncio.get_running_loop().time()


def _sentence(error: GatewayError) -> str:
    if isinstance(error, HostError) and not isinstance(error, Unreachable):
        return f"The camera does not answer. {error}"
    return str(error)
