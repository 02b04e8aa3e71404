"""The virtual camera's web pages, and the control port on which tests switch its faults."""

from __future__ import annotations

import asyncio
import html
import json
from collections.abc import Awaitable, Callable

from aiohttp import web

from drivers.simulated.zoo.faults import Faults
from drivers.simulated.zoo.picture import CameraBlind, Eye
from drivers.simulated.zoo.rtsp_server import Counters
from gateway.driverkit.login_gate import Admission, LoginGate

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{name}</title></head>
<body><h1>{name}</h1><p>{maker} {model}, serial {serial}</p>
<img src="/snapshot.jpg" alt="Present picture" width="640"></body></html>
"""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class WebFace:
    """HTTP of the camera: page, snapshot, facts; all behind the same login as RTSP."""

    def __init__(
        self,
        *,
        facts: dict[str, object],
        eye: Eye,
        gate: LoginGate | None,
        faults: Callable[[], Faults],
        counters: Counters,
    ) -> None:
        self.facts = facts
        self._eye = eye
        self._gate = gate
        self._faults = faults
        self._counters = counters
        self._runner: web.AppRunner | None = None

    async def start(self, address: str, port: int) -> int:
        """Listen; return the port."""
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/", self._page)
        app.router.add_get("/snapshot.jpg", self._snapshot)
        app.router.add_get("/info.json", self._info)
        self._runner, bound = await _listen(app, address, port)
        return bound

    async def close(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        faults = self._faults()
        self._counters.requests += 1
        if faults.refuse or faults.garbage:
            transport = request.transport
            assert transport is not None
            if faults.garbage:
                transport.write(b"\x00\xffnot HTTP at all\r\n\r\n")
            transport.abort()
            raise asyncio.CancelledError
        if faults.slow:
            await asyncio.sleep(faults.slow)
        if self._gate is not None:
            self._gate.nonce_uses = faults.stale_every
            verdict = self._gate.check(
                request.method, request.raw_path, request.headers.get("Authorization")
            )
            if verdict is not Admission.ADMITTED or faults.wrong_password:
                if verdict in (Admission.REFUSED, Admission.ADMITTED):
                    self._counters.logins_refused += 1
                answer = web.Response(status=401, text="Log in.")
                for offer in self._gate.challenges(stale=verdict is Admission.STALE):
                    answer.headers.add("WWW-Authenticate", offer)
                return answer
        return await handler(request)

    async def _page(self, _: web.Request) -> web.Response:
        words = {key: html.escape(str(value)) for key, value in self.facts.items()}
        answer = web.Response(text=_PAGE.format(**words), content_type="text/html")
        answer.set_cookie("visit", "1", httponly=True, samesite="Lax")
        return answer

    async def _snapshot(self, _: web.Request) -> web.Response:
        try:
            octets = await self._eye.snapshot()
        except CameraBlind:
            return web.Response(status=503, text="No picture.")
        return web.Response(
            body=octets, content_type="image/jpeg", headers={"Cache-Control": "no-store"}
        )

    async def _info(self, _: web.Request) -> web.Response:
        return web.json_response(self.facts)


class ControlPort:
    """Faults, counters and the announcement, on loopback and without a login."""

    def __init__(
        self,
        *,
        change: Callable[[str], Faults],
        state: Callable[[], dict[str, object]],
        announce: Callable[[bool], Awaitable[None]],
    ) -> None:
        self._change = change
        self._state = state
        self._announce = announce
        self._runner: web.AppRunner | None = None

    async def start(self, port: int) -> int:
        """Listen on 127.0.0.1; return the port."""
        app = web.Application()
        app.router.add_get("/", self._show)
        app.router.add_post("/faults", self._set)
        app.router.add_post("/announce", self._say)
        app.router.add_post("/goodbye", self._unsay)
        self._runner, bound = await _listen(app, "127.0.0.1", port)
        return bound

    async def close(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _show(self, _: web.Request) -> web.Response:
        return web.json_response(self._state())

    async def _set(self, request: web.Request) -> web.Response:
        try:
            faults = self._change(await request.text())
        except (ValueError, AttributeError, TypeError, json.JSONDecodeError) as error:
            return web.Response(status=400, text=str(error))
        return web.json_response(faults.as_json())

    async def _say(self, _: web.Request) -> web.Response:
        await self._announce(True)
        return web.Response(status=204)

    async def _unsay(self, _: web.Request) -> web.Response:
        await self._announce(False)
        return web.Response(status=204)


async def _listen(app: web.Application, address: str, port: int) -> tuple[web.AppRunner, int]:
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, address, port).start()
    return runner, int(runner.addresses[0][1])
