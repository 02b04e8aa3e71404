"""A camera's web server that can be hostile, and the HTTP carrier before it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

import drivers.simulated
from gateway.base.clock import SystemClock
from gateway.base.entropy import SystemEntropy
from gateway.base.secret import Secret
from gateway.cameras.http import own
from gateway.cameras.http.proxy import WebProxy
from gateway.cameras.http.serve import HttpCarrier
from gateway.cameras.live import CameraTools, LiveCamera
from gateway.cameras.sessions import SessionEnd
from gateway.cameras.settings import CameraSettings
from gateway.driverkit.addresses import AddressPolicy
from gateway.driverkit.digest import Algorithm, CameraCredentials
from gateway.driverkit.loader import DriverLoader
from gateway.driverkit.login_gate import Admission, LoginGate
from gateway.model.devices import Device, DeviceState, Sighting
from gateway.net.listener import Listener
from gateway.net.tasks import TaskRoom

HOST = "127.17.9.9"
CREDENTIALS = CameraCredentials("admin", Secret("p@ss:w"))
JPEG = b"\xff\xd8" + b"x" * 500


@dataclass
class Pages:
    """What the hostile camera saw."""

    requests: list[web.BaseRequest] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    pictures: int = 0
    refusing: bool = False
    streaming: asyncio.Event = field(default_factory=asyncio.Event)
    sent: int = 0
    port: int = 0


def camera_app(pages: Pages, gate: LoginGate) -> web.Application:
    async def answer(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        verdict = gate.check(request.method, request.raw_path, request.headers.get("Authorization"))
        if verdict is not Admission.ADMITTED or pages.refusing:
            refused = web.Response(status=401, text="who are you")
            for value in gate.challenges(stale=verdict is Admission.STALE):
                refused.headers.add("WWW-Authenticate", value)
            return refused
        pages.requests.append(request)
        pages.headers.append(dict(request.headers))
        pages.bodies.append(body)
        if request.path == "/snapshot.jpg":
            pages.pictures += 1
            await asyncio.sleep(0.05)
            return web.Response(body=JPEG, content_type="image/jpeg")
        if request.path.startswith("/to/"):
            place = request.query["place"]
            return web.Response(status=302, headers={"Location": place})
        if request.path == "/stream":
            return await stream(request)
        response = web.Response(text=f"page of {request.raw_path}", content_type="text/html")
        response.headers.add("Set-Cookie", "sid=abc; Path=/; Domain=evil.example; Secure")
        response.headers.add("Set-Cookie", "lang=de")
        response.headers["Strict-Transport-Security"] = "max-age=9999"
        response.headers["Connection"] = "X-Private"
        response.headers["X-Private"] = "hop"
        return response

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={"Content-Type": "multipart/x-mixed-replace; boundary=x"}
        )
        await response.prepare(request)
        try:
            while True:
                await response.write(b"--x\r\n\r\n" + b"j" * 65536)
                pages.sent += 65536
                pages.streaming.set()
        except ConnectionError:
            pages.streaming.clear()
            raise
        return response

    app = web.Application(client_max_size=1 << 26)
    app.router.add_route("*", "/{path:.*}", answer)
    return app


@dataclass
class Front:
    """The port before the carrier."""

    camera: LiveCamera
    pages: Pages
    url: str
    ends: asyncio.Queue[SessionEnd]
    carriers: list[HttpCarrier]


@asynccontextmanager
async def front(which: str, settings: CameraSettings | None = None) -> AsyncIterator[Front]:
    """Serve port "own" (8080) or "proxy" (80) of a hostile camera."""
    settings = settings or CameraSettings(allow_loopback=True)
    pages, entropy = Pages(), SystemEntropy()
    gate = LoginGate(CREDENTIALS, realm="r", entropy=entropy, offers=(Algorithm.SHA256,))
    runner = web.AppRunner(camera_app(pages, gate), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    pages.port = runner.addresses[0][1]
    tools = CameraTools(
        settings=settings,
        loader=DriverLoader([drivers.simulated.MANIFEST]),
        policy=lambda: AddressPolicy(allow_loopback=True),
        clock=SystemClock(),
        entropy=entropy,
    )
    seen = Sighting(
        "serial:sim-1", "simulated", name="Door", maker="Softnet", address=HOST, port=554,
        properties={"http": str(pages.port), "rtsp": "554"},
    )  # fmt: skip
    device = Device(7, seen, DeviceState.ADOPTED, 1, 1, 0, 0, 0)
    camera = LiveCamera(device, CREDENTIALS, tools, lambda _: None)
    ends: asyncio.Queue[SessionEnd] = asyncio.Queue()
    carriers: list[HttpCarrier] = []
    async with TaskRoom("test") as room:

        def accepted(sock, peer) -> None:
            if which == "own":
                carrier = HttpCarrier(
                    sock, lambda request: own.answer(camera, request), settings=settings, room=room
                )
            else:
                proxy = WebProxy(camera)
                carrier = HttpCarrier(
                    sock, proxy.answer, settings=settings, room=room, close=proxy.close
                )
            carriers.append(carrier)

            def over(_: HttpCarrier, end: SessionEnd) -> None:
                ends.put_nowait(end)
                listener.released(peer)

            carrier.start(over)

        listener = Listener(room, accepted)
        address, port = listener.open(["127.17.0.4"], 0)[0]
        try:
            yield Front(camera, pages, f"http://{address}:{port}", ends, carriers)
        finally:
            listener.close()
            for carrier in carriers:
                carrier.end("the test is over")
            await camera.close()
    await runner.cleanup()


def browser(**more) -> aiohttp.ClientSession:
    """Return a client that keeps nothing."""
    return aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), **more)
