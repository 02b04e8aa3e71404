"""The web server: composes desk, gate and route table, listens, and claims the box's first code."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import socket
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from gateway.base.clock import Clock
from gateway.base.entropy import Entropy
from gateway.base.errors import HostError, InvalidInput
from gateway.base.notices import NoticeHub
from gateway.base.secret import Secret
from gateway.base.setting import check
from gateway.model.accounts import Scope
from gateway.net.tasks import TaskRoom
from gateway.registry import operators, server_settings
from gateway.registry.changes import Change, SettingChanged
from gateway.registry.database import Registry, Tx
from gateway.registry.operators import SetupAnswer
from gateway.web.answers import BODY_MAX
from gateway.web.authority import KIND_NAMES
from gateway.web.desk import Desk
from gateway.web.doors import CameraDoor, LiveDoor, MailDoor, NoMail
from gateway.web.entry import EVERYBODY
from gateway.web.gate import Gate, add_headers, own_names
from gateway.web.live import EventHub
from gateway.web.openapi import document
from gateway.web.operations_cameras import ProbeDrawer
from gateway.web.rendering import Renderer
from gateway.web.settings import WebSettings
from gateway.web.table import ROUTES
from gateway.web.throttle import Throttle

TOKEN_FILE = "api.token"  # noqa: S105  (a name)
CODE_FILE = "setup-code"
LOCAL_TOKEN_NAME = "local tools"  # noqa: S105  (a name)
SWEEP_SECONDS = 1.0
"""How often idle connections above the limit are closed."""
LINGER_SECONDS = 2.0
"""How long the rest of a request that was refused midway is read and thrown away."""
GOODBYE_SECONDS = 3.0
"""How long requests may go on when the gateway stops."""

LINE_MAX = 16 * 1024
"""Octets of an address: a search and where its page begins and ends, each octet written as %XX."""

_NUMBERED = re.compile(r"\{(\w+)\}")
_log = logging.getLogger(__name__)


class WebServer:
    """The management page and its API. Create it in the event loop, `start` it, `stop` it."""

    def __init__(
        self,
        settings: WebSettings,
        *,
        registry: Registry,
        cameras: CameraDoor,
        live: LiveDoor,
        notices: NoticeHub,
        clock: Clock,
        entropy: Entropy,
        state: Path,
        server_address: str = "",
        mail: MailDoor | None = None,
    ) -> None:
        check(settings)
        self._settings = settings
        self._registry = registry
        self._cameras = cameras
        self._live = live
        self._notices = notices
        self._clock = clock
        self._state = state
        self._names = own_names(
            socket.gethostname(), socket.getfqdn(), server_address, *settings.host_names
        )
        self.desk = Desk(
            registry=registry,
            cameras=cameras,
            live=live,
            clock=clock,
            entropy=entropy,
            renderer=Renderer(clock, socket.gethostname()),
            hub=EventHub(settings.event_streams_max, int(clock.wall() * 1000)),
            throttle=Throttle(clock.monotonic),
            probes=ProbeDrawer(),
            server_address=server_address,
            mail=mail or NoMail(),
            visit_key=entropy.octets(32),
            code_burnt=self._burn_code,
            new_code=self._draw_code,
            description=document(ROUTES),
        )
        self._gate = Gate(self.desk, self._names)
        self._given_address = server_address
        self._runner: web.AppRunner | None = None
        self._tasks = TaskRoom("web")
        self._subscriptions: list[Callable[[], None]] = []
        self.setup_code: Secret | None = None
        """What makes whoever types it the first owner; None on a claimed box. To be printed."""

    async def start(self) -> tuple[tuple[str, int], ...]:
        """Listen; return the bound addresses. Raises HostError when none can be had."""
        self.desk.started_at = int(self._clock.wall())
        await self._take_settings()
        await self._prepare_claim()
        await self._write_local_token()
        application = web.Application(client_max_size=BODY_MAX)
        for route in ROUTES:
            path = _NUMBERED.sub(_pattern, route.path)
            application.router.add_route(route.method, path, self._gate.serve(route))
        application.middlewares.append(self._unknown())
        application.on_response_prepare.append(add_headers)
        self._runner = web.AppRunner(
            application,
            access_log=None,
            keepalive_timeout=self._settings.silence_max,
            shutdown_timeout=GOODBYE_SECONDS,
            lingering_time=LINGER_SECONDS,
            max_line_size=LINE_MAX,
            max_field_size=8190,
        )
        await self._runner.setup()
        try:
            await self._listen(self._runner)
        except BaseException:
            await self.stop()
            raise
        self._subscriptions += [
            self._registry.subscribe(self.desk.hub.committed),
            self._registry.subscribe(self._committed),
            self._cameras.subscribe(self._cameras_changed),
            self._live.subscribe(self._site_changed),
        ]
        self._tasks.start(self._sweep(self._runner), name="sweep")
        return tuple((str(address[0]), int(address[1])) for address in self._runner.addresses)

    async def stop(self) -> None:
        """Stop listening and end what goes on; safe to call again."""
        for unsubscribe in self._subscriptions:
            unsubscribe()
        self._subscriptions.clear()
        self.desk.hub.close()
        await self._tasks.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    # -- listening ------------------------------------------------------------------------------

    async def _listen(self, runner: web.AppRunner) -> None:
        context = self._tls()
        port = self._settings.port
        failed: list[str] = []
        bound = 0
        for address in self._settings.bind_addresses:
            listener = web.TCPSite(runner, address, port, ssl_context=context, backlog=256)
            try:
                await listener.start()
            except OSError as error:
                # A machine without IPv6 cannot serve :: and need not.
                failed.append(f"{address} port {port}: {error.strerror or error}")
                continue
            bound += 1
            if port == 0:
                port = int(runner.addresses[-1][1])
        if failed and bound:
            _log.warning("the page is not served on %s", "; ".join(failed))
        if not bound:
            raise HostError(
                f"The page cannot be served on {'; '.join(failed)}. Is another program there? "
                "Choose another port with the setting web.port."
            )

    def _tls(self) -> ssl.SSLContext | None:
        if not self._settings.tls_certificate:
            return None
        if not self._settings.tls_key:
            raise InvalidInput("Set web.tls_key to the key of the certificate.", "tls_key")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(self._settings.tls_certificate, self._settings.tls_key)
        except (OSError, ssl.SSLError) as error:
            raise HostError(f"The certificate of the page cannot be used: {error}.") from error
        return context

    def _unknown(self) -> Middleware:
        """Answer what fits no route the way everything else is answered."""

        @web.middleware
        async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.match_info.http_exception is not None:
                return await self._gate.stranger(request)
            return await handler(request)

        return answer

    async def _sweep(self, runner: web.AppRunner) -> None:
        """Close the oldest connections that say nothing when there are too many."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            server = runner.server
            if server is None:
                continue
            open_now = server.connections
            surplus = len(open_now) - self._settings.connections_max
            for connection in open_now:
                if surplus <= 0:
                    break
                if connection not in self._gate.busy:
                    connection.force_close()
                    surplus -= 1

    def _committed(self, committed: Sequence[Change]) -> None:
        if any(isinstance(change, SettingChanged) for change in committed):
            self._tasks.start(self._take_settings(), name="settings")

    async def _take_settings(self) -> None:
        """Take over what an administrator set: the names that URIs and links carry."""
        chosen = await self._registry.read(server_settings.load)
        self.desk.server_address = chosen.server_address or self._given_address
        self.desk.renderer.management_url = chosen.management_url
        host = urlsplit(chosen.management_url).hostname or ""
        self._gate.host_names = own_names(*self._names, chosen.server_address, host)

    def _site_changed(self, site_id: int) -> None:
        for word in ("site", "shared"):
            self.desk.hub.publish(f"{word}:{site_id}")

    def _cameras_changed(self) -> None:
        self.desk.hub.publish("cameras")
        self.desk.hub.publish("sessions")

    # -- the code and the token -----------------------------------------------------------------

    async def _prepare_claim(self) -> None:
        path = self._state / CODE_FILE
        kept = await asyncio.to_thread(_read_secret, path)

        def within(tx: Tx) -> Secret | None:
            if operators.claimed(tx):
                return None
            if kept and operators.check_setup_code(tx, kept) is SetupAnswer.RIGHT:
                return kept
            return operators.issue_setup_code(tx)

        self.setup_code = await self._registry.write(within)
        self.desk.claimed = self.setup_code is None
        if self.setup_code is None:
            self._burn_code()
        elif self.setup_code != kept:
            await asyncio.to_thread(_write_secret, path, self.setup_code)

    async def _draw_code(self) -> Secret:
        """Draw another code, good at once, and keep it; raises Conflict on a claimed box."""
        drawn = await self._registry.write(operators.issue_setup_code)
        self.setup_code = drawn
        # Wrong guesses at the code before do not keep anybody from typing this one.
        self.desk.throttle.right(EVERYBODY)
        await asyncio.to_thread(_write_secret, self._state / CODE_FILE, drawn)
        if self.desk.claimed:  # by the one before or by this one, in between
            self._burn_code()
        return drawn

    def _burn_code(self) -> None:
        self.setup_code = None
        with contextlib.suppress(FileNotFoundError):
            (self._state / CODE_FILE).unlink()

    async def _write_local_token(self) -> None:
        """Leave a token for the command line where only the gateway's own account can read it."""
        path = self._state / TOKEN_FILE
        kept = await asyncio.to_thread(_read_secret, path)

        def within(tx: Tx) -> Secret | None:
            known = operators.find_token(tx, kept) if kept else None
            if known is not None and known.owner_id is None:
                return None
            for token in operators.list_tokens(tx, None):
                if token.name == LOCAL_TOKEN_NAME:
                    operators.delete_token(tx, token.id)
            return operators.add_token(tx, LOCAL_TOKEN_NAME, None, (Scope.ADMINISTER,))[0]

        drawn = await self._registry.write(within)
        if drawn is not None:
            await asyncio.to_thread(_write_secret, path, drawn)


def _pattern(match: re.Match[str]) -> str:
    """Return a path parameter as the router knows it: ids are numbers."""
    name = match.group(1)
    return f"{{{name}:[0-9]{{1,18}}}}" if name in KIND_NAMES else f"{{{name}}}"


def _read_secret(path: Path) -> Secret | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return Secret(text) if text else None


def _write_secret(path: Path, secret: Secret) -> None:
    """Write a secret so that only our own account can read it, whole or not at all."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(f"{secret.reveal()}\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise HostError(f"{path} cannot be written: {error.strerror}. Check its folder.") from error
