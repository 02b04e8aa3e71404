"""What people do and read on the pages of domains, sites, services and users."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

from playwright.async_api import Error

from gateway.endpoint.events import ConnectivityChanged, ConnectivityStatus
from gateway.model.kinds import ClientStatus, ServiceStatus
from gateway.registry import members, services, sites
from gateway.registry.database import Reader
from tests.features.scenes import Scene
from tests.features.world import until

ONLINE = ServiceStatus.ONLINE
CLIENT_ONLINE = ClientStatus.ONLINE
NO_SERVICE, NO_CLIENT, WRONG_PASSWORD = 95, 97, 98
"""What a server answers to an account that is gone, and to a password that is not good."""

_LISTED = """heading => {
  const wanted = [...document.querySelectorAll("#users h2")].find(
    one => one.textContent.trim().toLowerCase() === heading.toLowerCase());
  if (!wanted) return null;
  let part = wanted;
  while (part.parentElement.id !== "users") part = part.parentElement;
  while (part && part.tagName !== "UL") part = part.nextElementSibling;
  return [...part.querySelectorAll("li > .row > .grow")].map(one => one.innerText);
}"""


def flat(text: str) -> str:
    """Return a text with single blanks."""
    return " ".join(text.split())


async def steadily(read: Callable[[], Awaitable[Any]]) -> Any:
    """Return what `read` returns, once more when the page was made anew meanwhile."""
    for _ in range(5):
        try:
            return await read()
        except Error as error:
            if "context was destroyed" not in str(error):
                raise
    return await read()


async def shows(page: Any, selector: str) -> str:
    """Return the text of the only element that a selector finds."""
    return flat(await steadily(page.locator(selector).inner_text))


async def until_reads(read: Callable[[], Awaitable[Any]], wanted: Any) -> None:
    """Wait until `read` returns what is wanted; the page may be made anew meanwhile."""
    last: list[Any] = [None]

    async def same() -> bool:
        last[0] = await steadily(read)
        return bool(last[0] == wanted)

    try:
        await until(same)
    except TimeoutError:
        raise AssertionError((last[0], wanted)) from None


async def until_shown(page: Any, selector: str, text: str) -> None:
    """Wait until an element contains a text; the page follows changes by itself."""

    async def contained() -> str:
        found = page.locator(selector)
        shown = flat(await found.inner_text()) if await found.count() == 1 else ""
        return text if text in shown else shown

    await until_reads(contained, text)


async def users_under(page: Any, heading: str) -> list[str] | None:
    """Return the lines of a user list of SITE CONFIGURATION; None where the heading is missing."""
    found = await steadily(lambda: page.evaluate(_LISTED, heading))
    return None if found is None else [flat(line) for line in found]


async def until_users(page: Any, heading: str, wanted: list[str] | None) -> None:
    """Wait until a user list of SITE CONFIGURATION has exactly these lines."""

    await until_reads(lambda: users_under(page, heading), wanted)


async def command(page: Any, path: str, **fields: Any) -> int:
    """Send a form without its button; return the status of the answer, 303 when it was done."""
    csrf = await page.locator("input[name=csrf]").first.input_value()
    answer = await page.request.post(
        path, form={"csrf": csrf, **{name: str(value) for name, value in fields.items()}},
        max_redirects=0,
    )  # fmt: skip
    return int(answer.status)


async def generate(page: Any) -> tuple[str, str]:
    """Press "generate password"; return URI and password as they are shown this one time."""
    await page.get_by_role("button", name="generate password").click()
    password = await page.locator("#shown-password").inner_text()
    return await page.locator("#shown-uri").inner_text(), password


async def service_account(page: Any, site_id: int, hostname: str) -> tuple[str, str]:
    """Open a service of a site, generate its password, close with ok; return URI and password."""
    await page.goto(f"/sites/{site_id}")
    toggle = page.get_by_role("link", name=f"Open {hostname}", exact=True)
    if await toggle.count():
        await toggle.click()
    await page.get_by_role("link", name="account", exact=True).click()
    account = await generate(page)
    await page.get_by_role("link", name="ok", exact=True).click()
    await page.locator("#shown-password").wait_for(state="detached")
    return account


async def client_account(page: Any, site_id: int, user: str) -> tuple[str, str]:
    """Add a client for a user in CLIENT MANAGEMENT; return its URI and password."""
    await page.goto(f"/sites/{site_id}/clients")
    await page.get_by_role("button", name=f"add client for {user}", exact=True).click()
    account = await generate(page)
    await page.get_by_role("link", name="ok", exact=True).click()
    await page.locator("#shown-password").wait_for(state="detached")
    return account


def gone(endpoint: Any, code: int) -> bool:
    """Tell whether a program was turned away with a code and is not connected."""
    lost = endpoint.connectivity.status is not ConnectivityStatus.CONNECTED
    return lost and endpoint.connectivity.error == code


def interruptions(endpoint: Any) -> list[Any]:
    """Return a list that grows by each change of a program's connection from now on."""
    noted: list[Any] = []

    def note(event: Any) -> None:
        if isinstance(event, ConnectivityChanged):
            noted.append(event.connectivity)

    endpoint.subscribe(note)
    return noted


async def program_of(
    scene: Scene, user: str, site: str = "", *, creator: int | None = None, **more: Any
) -> Any:
    """Connect a program for a user; return it when the server has judged it."""
    _, uri, password = await scene.client_of(user, site, creator)
    made = await scene.world.program(uri, password, **more)
    await until(lambda: made.status is not ClientStatus.OFFLINE)
    return made


async def service_ids(scene: Scene, site_id: int) -> dict[str, int]:
    """Return the ids of a site's services by hostname."""
    found = await scene.world.registry.read(lambda reader: services.list_for(reader, site_id))
    return {one.hostname: one.id for one in found}


async def site_of(scene: Scene, site_id: int) -> Any:
    """Return a site as it is stored."""
    return await scene.world.registry.read(lambda reader: sites.get(reader, site_id))


async def sites_of(scene: Scene) -> list[int]:
    """Return the ids of the domain's sites, newest first."""
    found = await scene.world.registry.read(lambda reader: sites.list_for(reader, scene.domain))
    return [one.id for one in found]


async def roles_of(scene: Scene, site_id: int) -> dict[str, tuple[str, ...]]:
    """Return the explicit roles of every user of a site by name, as they are stored."""
    found = await scene.world.registry.read(lambda reader: members.rights(reader, site_id))
    return {one.user.name: tuple(role.name for role in one.explicit_roles) for one in found}


async def users_of(scene: Scene) -> dict[str, Any]:
    """Return the users of the domain by name, as they are stored."""
    found = await scene.world.registry.read(lambda reader: members.list_users(reader, scene.domain))
    return {user.name: user for user in found}


async def count(scene: Scene, table: str) -> int:
    """Return how many rows a table of the registry has."""
    assert re.fullmatch(r"[a-z_]+", table)

    def read(reader: Reader) -> int:
        return reader.number(f"SELECT count(*) FROM {table}")

    return await scene.world.registry.read(read)


async def add_service(page: Any, site_id: int, hostname: str) -> None:
    """Add a service with the page's form; its editor is open afterwards."""
    await page.goto(f"/sites/{site_id}")
    await page.locator("#new-service summary").click()
    await page.get_by_label("Hostname (optional)").fill(hostname)
    await page.get_by_role("button", name="add service").click()
    await page.locator("#services li.open").wait_for()


async def newcomer(scene: Scene, page: Any, hostname: str, structure: Any, version: str) -> Any:
    """Add a service on the page and connect a device with what it shows; wait for its verdict."""
    await add_service(page, scene.site, hostname)
    uri, password = await service_account(page, scene.site, hostname)
    device = await scene.world.device(uri, password, structure, version)
    await until(lambda: device.status is not ServiceStatus.OFFLINE)
    return device


async def service_row(page: Any, service_id: int) -> str:
    """Return what the row of a service in SITE CONFIGURATION says, without its live mark."""
    return await shows(page, f"#service-{service_id} > .row > .grow")


async def until_row(page: Any, service_id: int, text: str) -> None:
    """Wait until the row of a service says exactly this."""
    await until_reads(lambda: service_row(page, service_id), text)
