"""What people read off the pages of clients and do there, and what their programs do then."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from gateway.access.ports import RolesRule
from gateway.asn1.reader import SequenceReader
from gateway.asn1.writer import SequenceWriter
from gateway.endpoint.calls import IncomingCall
from gateway.endpoint.client import ClientEndpoint
from gateway.endpoint.errors import AccessDenied
from gateway.endpoint.service import ServiceEndpoint
from gateway.model.kinds import ClientStatus
from gateway.model.sites import Client
from gateway.registry import clients, contacts
from gateway.wire.codes import ErrorCode
from tests.features.scenes import Scene
from tests.features.world import World, until

KEY = re.compile(r"[a-km-np-z][0-9a-km-np-z]{8}\Z")
"""A client key at default settings: a letter first, then letters and digits, without l and o."""
PASSWORD_LETTERS = re.compile(r"[0-9A-HJ-NP-Za-km-np-z]+\Z")
"""What passwords are made of: no I, O, l, o."""
OPERATIONS = {"Look": "User", "Move": "Operator", "Reboot": "Administrator"}
"""Procedures of the cameras by the one role that each of them needs."""


@dataclass(frozen=True)
class Account:
    """The URI and the password as they stood on a page."""

    uri: str
    password: str

    @property
    def key(self) -> str:
        """The part of the URI before the @."""
        return self.uri.partition("://")[2].partition("@")[0]

    @property
    def host(self) -> str:
        """The part of the URI behind the @."""
        return self.uri.partition("@")[2]


def block(place: Any, user: str) -> Any:
    """Return the part of a section "clients" that belongs to a user; `place` is page or panel."""
    return place.locator(f".person:has(:text-is('{user}'))")


def row(place: Any, key: str) -> Any:
    """Return the line of a client, open or not."""
    return place.get_by_role("listitem").filter(has_text=key)


async def text_of(place: Any) -> str:
    """Return what can be read in a place, in one line."""
    return " ".join((await place.inner_text()).split())


async def mark_of(place: Any) -> str:
    """Return the mark that is drawn before a client's key: "»" to edit it, "▪" to look at it."""
    drawn = "e => getComputedStyle(e, '::before').content"
    return str(await place.locator(".key").evaluate(drawn)).strip('"')[:1]


async def add_client(page: Any, user: str, site: str = "") -> str:
    """Press "add client" in a user's line; return the URI of the new client as it is shown."""
    place = page.get_by_label(site, exact=True) if site else page
    await block(place, user).get_by_role("button", name="add client").click()
    return str(await block(place, user).locator(".open code").inner_text())


async def generate_password(page: Any) -> Account:
    """Press "generate password" of the open client; return what is shown once."""
    await page.get_by_role("button", name="generate password").click()
    uri = await page.locator("#shown-uri").inner_text()
    return Account(uri, await page.locator("#shown-password").inner_text())


async def new_account(page: Any, user: str, site: str = "") -> Account:
    """Add a client for a user and generate its password, as a person does it."""
    uri = await add_client(page, user, site)
    account = await generate_password(page)
    assert account.uri == uri
    return account


async def connect(world: World, account: Account, *more: str, **kind: str) -> ClientEndpoint:
    """Start a program with an account off the page and wait until it is online."""
    program = await world.program(account.uri, account.password, *more, **kind)
    await until(lambda: program.status is ClientStatus.ONLINE)
    return program


async def refused(program: ClientEndpoint, code: ErrorCode) -> None:
    """Wait until a program was told why it is not let in."""
    await until(lambda: program.connectivity.error == code)
    assert program.status is ClientStatus.OFFLINE


async def clients_of(world: World, site_id: int) -> tuple[Client, ...]:
    """Return what is stored of a site's clients, newest first."""
    return await world.registry.read(lambda reader: clients.list_for(reader, site_id))


async def lines_of(place: Any) -> list[str]:
    """Return the lines of a list as they are read."""
    return [await text_of(line) for line in await place.get_by_role("listitem").all()]


async def contact_of(scene: Scene, whose: str) -> int:
    """Return the id of the contact as "Markus" or "Julia" has it in their list."""
    owner = scene.owner if whose == "Markus" else scene.users["Julia"]
    (found,) = await scene.world.registry.read(lambda reader: contacts.list_for(reader, owner))
    return found.id


async def shared_page(scene: Scene) -> Any:
    """Open CONTACT DOMAIN Office Automation as Julia."""
    contact_id = await contact_of(scene, "Julia")
    return await scene.world.signed_in("julia", f"/contacts/{contact_id}/domains/{scene.domain}")


def offer_operations(devices: list[ServiceEndpoint]) -> None:
    """Let devices with roles answer the OPERATIONS, each to one, with who asked and where."""
    for device in devices:
        if not device._profile.structure.roles:
            continue

        async def answer(call: IncomingCall, device: ServiceEndpoint = device) -> bytes:
            said = f"{device.hostname} heard {call.actor.name}"
            return SequenceWriter().utf8(said).encode()

        for name, role in OPERATIONS.items():
            device.offer(name, answer, rule=RolesRule((role,)))


async def hosts(program: ClientEndpoint, count: int) -> dict[str, int]:
    """Wait until a program sees so many services online; return their ids by hostname."""
    await until(lambda: sum(one.online for one in program.services) == count)
    return {one.hostname: one.id for one in program.services}


async def ask(program: ClientEndpoint, service_id: int, operation: str) -> str:
    """Have a program call an operation; return what was answered, "refused" if it may not."""
    try:
        answer = await program.call(service_id, operation)
    except AccessDenied:
        return "refused"
    return SequenceReader.root(answer).utf8(0, 200)


async def may(program: ClientEndpoint, service_id: int) -> list[str]:
    """Return the operations that a device lets a program do."""
    return [name for name in OPERATIONS if await ask(program, service_id, name) != "refused"]


async def owner_online(scene: Scene) -> tuple[Any, Account, ClientEndpoint]:
    """Set up Owner's client and connect it; return the page, its account and its program."""
    page = await scene.world.signed_in("john", f"/sites/{scene.site}/clients")
    account = await new_account(page, "Owner")
    await page.get_by_role("link", name="ok", exact=True).click()
    program = await connect(scene.world, account)
    await page.goto(f"/sites/{scene.site}/clients")
    await row(page, account.key).get_by_text("online", exact=True).wait_for()
    await row(page, account.key).get_by_text("Surveillance Control. V: 2.1.2").wait_for()
    return page, account, program


def ping_period(program: ClientEndpoint) -> float:
    """Return after how many seconds of silence a program pings now."""
    session = program._session
    assert session is not None
    return session._monitor.period
