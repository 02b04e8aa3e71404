"""The whole product on a loopback address of its own, its page in Chromium, programs that connect.

Everything is real: the daemon's own composition (gateway.app), the registry file, the embedded
server and relay, the browser, and service and client endpoints over sockets. Only the clock can be
put forward (`world.clock.forward(seconds)`), and discovery is off.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import Error

from gateway.app import Gateway
from gateway.base.clock import SystemClock
from gateway.base.entropy import SystemEntropy
from gateway.base.secret import Secret
from gateway.discovery.settings import DiscoverySettings
from gateway.endpoint.client import ClientEndpoint
from gateway.endpoint.service import ServiceEndpoint
from gateway.model.kinds import Authority, EventKind, GuestAccess, GuestSupport
from gateway.model.structure import EventDefinition, SiteStructure
from gateway.net.tasks import TaskRoom
from gateway.registry import domains, owners
from gateway.registry.database import Registry
from gateway.registry.passwords import PasswordRecord, hash_password
from gateway.relay.settings import RelaySettings
from gateway.settings.schema import GatewaySettings
from gateway.telemetry.settings import MailSettings
from gateway.tracker.settings import TrackerSettings
from gateway.web.settings import WebSettings
from tests.endpoint.softnet import QUICK
from tests.web import chromium
from tests.web.callers import PASSWORD, Browser, close_callers
from tests.web.chromium import FLAGS, PROGRAM, SCREENSHOTS

__all__ = [
    "ADMIN",
    "CAMERA",
    "PASSWORD",
    "PLAIN",
    "World",
    "open_world",
    "seed_owner",
    "until",
]

ADMIN = "admin"
"""The account of the box's administrator, Ada Admin."""
CAMERA = SiteStructure(
    "RTX-5",
    "Cold Vision",
    GuestSupport.STATELESS,
    ("Administrator", "Operator", "User"),
    "Administrator",
    (EventDefinition(EventKind.REPLACING, "Status", guest_access=GuestAccess.GUEST_DENIED),),
)
"""What the cameras of the seed scene declare: with roles (RBAC), guests supported."""
PLAIN = SiteStructure("iSentry", "Argus", GuestSupport.NONE, (), None, ())
"""A device without roles (PAC): users have access or have none."""
WAIT = 15.0
"""Seconds for what should take a fraction of one; the machine may be busy."""


@functools.cache
def password_record() -> PasswordRecord:
    """Return the stored form of PASSWORD, computed once a process."""
    return hash_password(Secret(PASSWORD))


class ShiftedClock(SystemClock):
    """The system's clock, put forward by a test."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def forward(self, seconds: float) -> None:
        """Let this much time have passed for everything that looks at the clock."""
        self.ahead += seconds

    def wall(self) -> float:
        """Return Unix time."""
        return super().wall() + self.ahead

    def monotonic(self) -> float:
        """Return seconds since some moment."""
        return super().monotonic() + self.ahead


@dataclass
class World:
    """The running product and everybody who uses it."""

    gateway: Gateway
    host: str
    url: str
    state: Path
    clock: ShiftedClock
    room: TaskRoom
    _browser: Any
    complaints: list[str] = field(default_factory=list)
    _endpoints: list[Any] = field(default_factory=list)
    _contexts: list[Any] = field(default_factory=list)

    @property
    def registry(self) -> Registry:
        """The daemon's own registry, for setting scenes and for looking behind the page."""
        return self.gateway._registry

    @property
    def setup_code(self) -> str:
        """The code that an unclaimed box prints."""
        assert self.gateway.setup_code is not None
        return self.gateway.setup_code.reveal()

    # -- people --------------------------------------------------------------------------------

    async def person(
        self,
        full_name: str,
        account_name: str,
        authority: Authority = Authority.PROVIDER,
        *domain_names: str,
    ) -> tuple[int, list[int]]:
        """Make an account with PASSWORD and its domains; return the ids of both."""

        def make(tx: Any) -> tuple[int, list[int]]:
            owner = owners.add(tx, account_name, full_name, password_record(), authority)
            return owner.id, [domains.add(tx, owner.id, name).id for name in domain_names]

        return await self.registry.write(make)

    async def page(self, **more: Any) -> Any:
        """Open a browser window of its own; its complaints are checked at the end."""
        context = await self._browser.new_context(base_url=self.url, **more)
        self._contexts.append(context)
        context.set_default_timeout(WAIT * 1000)
        page = await context.new_page()
        page.goto = _patient(page.goto)
        chromium.listen(page, self.complaints)
        return page

    async def signed_in(self, account_name: str, path: str = "/", **more: Any) -> Any:
        """Open a window of somebody who has signed in, at a page.

        The form is sent without the browser, which is quicker; ACC-01 shows it in the browser.
        """
        somebody = Browser(self.url)
        try:
            await somebody.sign_in(account_name)
            cookies = [
                {"name": cookie.key, "value": cookie.value, "url": self.url}
                for cookie in somebody.session.cookie_jar
            ]
        finally:
            await somebody.close()
        page = await self.page(**more)
        await page.context.add_cookies(cookies)
        await page.goto(path)
        return page

    # -- programs ------------------------------------------------------------------------------

    async def device(
        self,
        uri: str,
        password: str,
        structure: SiteStructure = CAMERA,
        version: str = "1.0",
        *,
        connect: bool = True,
    ) -> ServiceEndpoint:
        """Start a device's program with a URI and a password as read off the page."""
        made = ServiceEndpoint(
            uri, Secret(password), structure=structure, version=version, settings=QUICK,
            room=self.room, clock=SystemClock(), entropy=SystemEntropy(),
        )  # fmt: skip
        self._endpoints.append(made)
        if connect:
            made.connect()
        return made

    async def program(
        self,
        uri: str,
        password: str | None,
        description: str = "Surveillance Control. V: 2.1.2",
        *,
        service_type: str = CAMERA.service_type,
        contract_author: str = CAMERA.contract_author,
        connect: bool = True,
    ) -> ClientEndpoint:
        """Start a client's program with a URI and a password as read off the page."""
        made = ClientEndpoint(
            uri, Secret(password) if password is not None else None,
            service_type=service_type, contract_author=contract_author, description=description,
            settings=QUICK, room=self.room, clock=SystemClock(), entropy=SystemEntropy(),
        )  # fmt: skip
        self._endpoints.append(made)
        if connect:
            made.connect()
        return made

    async def stop_program(self, endpoint: Any) -> None:
        """End a program."""
        self._endpoints.remove(endpoint)
        await endpoint.close()

    async def picture(self, page: Any, name: str) -> None:
        """Write what the window shows, for people to look at."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        await page.screenshot(path=str(SCREENSHOTS / f"{name}.png"), full_page=True)

    async def _close(self) -> None:
        for context in self._contexts:
            with contextlib.suppress(Error):
                await context.close()
        await close_callers()
        for endpoint in self._endpoints:
            with contextlib.suppress(Exception):
                await endpoint.close()


def _patient(goto: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Go to a page again when the page before called that off by making itself anew."""

    async def again(*where: Any, **how: Any) -> Any:
        try:
            return await goto(*where, **how)
        except Error as error:
            if "ERR_ABORTED" not in str(error):
                raise
            return await goto(*where, **how)

    return again


async def until(true: Callable[[], object | Awaitable[object]], seconds: float = WAIT) -> None:
    """Wait until something is so; raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while True:
            found = true()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return
            await asyncio.sleep(0.02)


async def _claim(state: Path) -> None:
    registry = await Registry.open(
        state / "registry.sqlite", clock=SystemClock(), entropy=SystemEntropy()
    )
    record = password_record()
    await registry.write(
        lambda tx: owners.add(tx, ADMIN, "Ada Admin", record, Authority.ADMINISTRATOR)
    )
    await registry.close()


def settings_at(host: str, **sections: Any) -> GatewaySettings:
    """Return settings of a daemon that lives on one loopback address."""
    made: dict[str, Any] = {
        "server": TrackerSettings(bind_addresses=(host,)),
        "relay": RelaySettings(bind_addresses=(host,)),
        "web": WebSettings(bind_addresses=(host,), port=0),
        "discovery": DiscoverySettings(enabled=False),
        "mail": MailSettings(),
    }
    return GatewaySettings(**{**made, **sections})


_SHARED: list[Any] = []


async def shared_browser() -> Any:
    """Return the browser of this process, started by its first test."""
    from playwright.async_api import async_playwright

    if not _SHARED:
        playwright = await async_playwright().start()
        browser = await playwright.chromium.launch(executable_path=PROGRAM, args=[*FLAGS])
        _SHARED.extend((browser.close, playwright.stop, browser))
    return _SHARED[-1]


async def close_browser() -> None:
    """End the browser of this process."""
    for close in _SHARED[:-1]:
        await close()
    _SHARED.clear()


@contextlib.asynccontextmanager
async def open_world(
    state: Path, *, browser: bool = True, claimed: bool = True, **sections: Any
) -> AsyncIterator[World]:
    """Run the product and a browser; `sections` replace whole sections of the settings.

    A claimed box has the administrator ADMIN with PASSWORD; one that is not shows its setup page.
    At the end no script may have failed and no policy may have been broken in any window.
    """
    if claimed:
        await _claim(state)
    draw = random.SystemRandom()
    host = f"127.{draw.randint(120, 250)}.{draw.randint(0, 255)}.{draw.randint(1, 254)}"
    product = Gateway(settings_at(host, **sections), state)
    clock = ShiftedClock()
    product._clock = clock
    room = TaskRoom("programs")
    await product.start()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(product.stop)
        stack.push_async_callback(room.close)
        window = await shared_browser() if browser else None
        url = f"http://{host}:{product.page_addresses[0][1]}"
        world = World(product, host, url, state, clock, room, window)
        stack.push_async_callback(world._close)
        yield world
        assert world.complaints == []


async def seed_owner(world: World) -> tuple[int, int]:
    """Make John, a provider with the domain of the seed scene; return owner and domain."""
    owner, (domain,) = await world.person("John", "john", Authority.PROVIDER, "Home Surveillance")
    return owner, domain
