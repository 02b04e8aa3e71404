"""The API is asked all that its description allows and forbids; it must answer as described.

Schemathesis makes the requests: the boundaries of each value first, then random ones, good and
bad. A provider, an administrator and the box's own token send each. The numbers of paths and
bodies are bent to the sender's own objects, another owner's, or none, so that calls go through.
Nothing that the other owner named may show up in an answer to the provider, and at the end all
that is the other owner's must stand as before.

SOAK=n asks n times as much, other things each time.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
import zlib
from collections import Counter
from collections.abc import Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core import NOT_SET
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from gateway.model.accounts import Scope
from gateway.model.kinds import Authority
from gateway.registry import (
    action_tokens,
    contacts,
    domains,
    guests,
    invitations,
    operators,
    server_settings,
    sites,
)
from gateway.registry.action_tokens import Purpose
from gateway.registry.database import Tx
from gateway.registry.guests import Creator
from gateway.web.openapi import document
from gateway.web.routing import Side
from gateway.web.table import ROUTES
from tests.web.callers import PASSWORD
from tests.web.estate import Estate, content, make_estate, mark
from tests.web.rig import CAMERA_PASSWORD, Found, Rig, Watching, add_owner, open_rig

T = TypeVar("T")

SOAK = int(os.environ.get("SOAK") or 0)
EXAMPLES = 6 * max(1, SOAK)
CANARY = "Canary7f3a"
PROVIDER, ADMINISTRATOR, BOX = "provider", "administrator", "box"
OPEN_DOORS = {
    "management_url": "http://box.example", "hand_over": True, "anyone_can_register": True,
}  # fmt: skip
LINKS = "/api/v1/guest-links/"
NOWHERE = 10**9
"""No object has a number as high."""
LABELS = [f"{route.method} {route.path}" for route in ROUTES if route.side is Side.API]
GUARDED = {f"{route.method} {route.path}" for route in ROUTES if route.action} & set(LABELS)
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


class PostOffice:
    """A sender of mail that takes everything."""

    async def test(self, to: str) -> None:
        del to

    async def set_password(self, password: Any) -> None:
        del password

    def has_password(self) -> bool:
        return True


class World:
    """A page server on a loop of its own, with what two owners have and three who ask."""

    def __init__(self, folder: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="world", daemon=True)
        self._thread.start()
        address = f"127.16.{random.randint(1, 250)}.{random.randint(2, 250)}"
        self._opening = open_rig(folder, address=address)
        self.rig: Rig = self.do(self._opening.__aenter__())
        self.tokens = {BOX: self.rig.token}
        self.mine: dict[str, Estate] = {}
        self.answers: Counter[tuple[str, str, int]] = Counter()
        self.renewed = 0
        self._above = BOX
        self.described = document(ROUTES)
        self.api = schemathesis.openapi.from_dict(self.described)
        self.operations = {one.ok().label: one.ok() for one in self.api.get_all_operations()}
        self.do(self._furnish())

    def close(self) -> None:
        self.do(self._opening.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    async def _furnish(self) -> None:
        rig = self.rig
        rig.server.desk.claimed = True
        rig.server.desk.mail = PostOffice()
        self.foreign = await make_estate(rig, "foreign", Authority.PROVIDER)
        self.secrets = await mark(rig, self.foreign, CANARY)
        self.before = await rig.registry.read(content)
        for who in (PROVIDER, ADMINISTRATOR):
            await self.renew(who)

    async def renew(self, who: str) -> None:
        """Give somebody everything anew: what was asked before may have destroyed it."""
        self.renewed += 1
        rig = self.rig
        rig.cameras.here = [Found("cam-1", "Front door", "Acme", "Dome 4")]
        name = PROVIDER if who == BOX else who
        estate = await make_estate(rig, f"{name}{self.renewed}", Authority[name.upper()])
        rig.cameras.watched["mine"] = Watching("mine", estate.ids["device"], "Gate")

        asker = await add_owner(rig.registry, f"asker{self.renewed}", Authority.PROVIDER)

        def within(tx: Tx) -> str:
            names = {row.name: None for row in server_settings.rows(tx)}
            server_settings.change(tx, {**names, **OPEN_DOORS})
            tx.run("DELETE FROM link_request")
            tx.run("DELETE FROM account_request WHERE id + 20 < (SELECT max(id)"
                   " FROM account_request)")  # fmt: skip
            mail = f"anna{self.renewed}@example.org"
            invited = invitations.create(tx, estate.owner, email=mail, text="", make_provider=False)
            invitations.send(tx, invited.id)
            invited = invitations.create(
                tx, estate.owner, email=f"b{mail}", text="", make_provider=False
            )
            invitations.ask_for_account(tx, f"a{estate.owner}@example.org", "Please", "192.0.2.7")
            contacts.invite(tx, asker, estate.owner)
            letter = tx.number("SELECT max(id) FROM outbox")
            request = tx.number("SELECT max(id) FROM account_request")
            estate.ids.update(invitation=invited.id, letter=letter, request=request, person=asker)
            spare = domains.add(tx, estate.owner, "Spare")
            estate.spare.update(domain=spare.id, site=sites.add(tx, spare.id, "Spare").id)
            estate.known = guest_links(tx, estate.guest, f"g{self.renewed}@example.org")
            secret, _ = operators.add_token(tx, "fuzz", estate.owner, [Scope.ADMINISTER])
            return secret.reveal()

        self.tokens[name] = await rig.registry.write(within)
        self.mine[name] = estate

    def ask(self, case: schemathesis.Case) -> None:
        """Send a call in the name of a provider and of somebody above; look at the answers."""
        path, body = case.path_parameters, case.body
        self._above = ADMINISTRATOR if self._above == BOX else BOX
        for who in (PROVIDER, self._above):
            mine = self.mine[PROVIDER if who == BOX else who]
            others = self.foreign if who == PROVIDER else None
            case.path_parameters = bent(path, case.operation.path, mine, others)
            case.body = bent(body, case.operation.path, mine, others)
            self._ask(who, case)
        case.path_parameters, case.body = path, body

    def _ask(self, who: str, case: schemathesis.Case) -> None:
        label = case.operation.label
        token = f"Bearer {self.tokens[who]}"
        response = case.call(base_url=self.rig.url, headers={"Authorization": token})
        self.answers[label, who, response.status_code] += 1
        case.validate_response(response, checks=CHECKS)
        if response.status_code < 300:
            assert self._allowed(label, case.body), f"{label} takes what is forbidden: {case.body}"
        if response.status_code == 401:
            # Some calls are meant to come without the token, or with a bad one.
            assert response.request.headers.get("Authorization") != token, response.text
        if who == PROVIDER:
            told = {
                word for word in self.secrets if word in response.content.decode(errors="replace")
            }
            assert not told, f"{label} tells of another owner's: {told}"
        if response.status_code < 300 and changes_much(case):
            self.do(self.renew(who))

    def _allowed(self, label: str, body: Any) -> bool:
        method, _, path = label.partition(" ")
        described = self.described["paths"][path][method.lower()].get("requestBody")
        if described is None or body is NOT_SET:
            return described is None or not described["required"]
        schema = described["content"]["application/json"]["schema"]
        return bool(jsonschema_rs.is_valid(schema, body))


def guest_links(tx: Tx, guest: dict[str, int], email: str) -> dict[str, dict[str, str]]:
    """Return the links of a guest without an account, by the paths that take them."""
    site = guest["site"]
    client = guests.add_client(tx, site, Creator(email=email))
    guest["client"] = client.id
    browse = action_tokens.draw(tx, Purpose.BROWSE_GUESTS, email=email)
    create = action_tokens.draw(tx, Purpose.CREATE_GUEST, email=email, site_id=site)
    edit = action_tokens.draw(tx, Purpose.EDIT_GUEST, email=email, client_id=client.id)
    links = {f"{LINKS}create": {"site_key": sites.get(tx, site).site_key}}
    for drawn, names in (
        (browse, ("list", "edit", "another")), (create, ("use",)),
        (edit, ("password", "ping-period", "delete")),
    ):  # fmt: skip
        links |= {f"{LINKS}{name}": {"link": drawn[0].reveal()} for name in names}
    return links


def changes_much(case: schemathesis.Case) -> bool:
    """Tell whether nothing may be as it was after this call."""
    words = case.operation.path.split("/")
    return case.method == "DELETE" or bool(
        {"owners", "enabled", "settings", "clear", "use", "delete"} & set(words)
    )


def bent(values: Any, path: str, mine: Estate, foreign: Estate | None) -> Any:
    """Return values that are about objects that there are, chosen by what was drawn."""
    if not isinstance(values, Mapping):
        return values
    ids, others = mine.ids, foreign.ids if foreign else {}
    if path.startswith("/api/v1/contacts/{contact}/domains"):
        ids, others = {**ids, **mine.shared}, {**others, **(foreign.shared if foreign else {})}
    if path.endswith("/guest-clients") or path.startswith(LINKS):
        ids = {**ids, **mine.guest}
    if path in ("/api/v1/domains/{domain}", "/api/v1/sites/{site}"):
        ids = {**ids, **mine.spare}
    known = {**KNOWN_BY_PATH.get(path, KNOWN), **mine.known.get(path, {})}

    def one(name: str, value: Any) -> Any:
        kind, number = name.removesuffix("_id"), zlib.crc32(repr(value).encode())
        turn = number % 4
        if isinstance(value, str) and name in known:
            return known[name].format(number) if turn else value
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value)
        if type(value) is not int or value < 1 or kind not in ids:
            return value
        if turn == 0 and value < NOWHERE:
            return others.get(kind, NOWHERE + value)
        return ids[kind] if turn else max(value, NOWHERE)

    return {name: one(name, value) for name, value in values.items()}


KNOWN = {
    "session": "mine", "current": PASSWORD, "password": PASSWORD, "account_name": "account{}",
    "full_name": "Person {}", "name": "Name {}", "hostname": "Host {}", "email": "m{}@example.org",
    "to": "m{}@example.org",
}  # fmt: skip
_LOGIN = {"where": "cam-1", "user": "admin", "password": CAMERA_PASSWORD, "name": "Camera {}"}
KNOWN_BY_PATH = {
    "/api/v1/cameras": _LOGIN,
    "/api/v1/cameras/probe": _LOGIN,
    "/api/v1/settings": {"name": "invitation_days", "value": "7"},
}
"""What stands for most of the texts that are drawn, so that a call goes through."""
FEW = 0.1
"""Of the calls, as many may find nothing here that they can be done to."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    opened = World(tmp_path_factory.mktemp("fuzz"))
    yield opened
    opened.close()


def test_the_description_is_openapi(world: World) -> None:
    world.api.validate()
    assert set(world.operations) == set(LABELS)
    broken = {**world.described, "paths": {"/x": {"get": {"responses": {"200": {}}}}}}
    with pytest.raises(jsonschema_rs.ValidationError, match="description"):
        schemathesis.openapi.from_dict(broken).validate()


@pytest.mark.parametrize("label", LABELS)
def test_every_call(label: str, world: World) -> None:
    for who in (PROVIDER, ADMINISTRATOR):
        world.do(world.renew(who))
    operation = world.operations[label]
    generation = world.api.config.generation_for(operation=operation)
    for case in world.api.iter_coverage_cases(
        operation, generation_modes=list(MODES), generation_config=generation
    ):
        world.ask(case)

    @given(st.one_of(*(operation.as_strategy(mode) for mode in MODES)))
    @settings(
        max_examples=EXAMPLES,
        derandomize=not SOAK,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    def anything(case: schemathesis.Case) -> None:
        world.ask(case)

    anything()


def test_nothing_of_the_other_owner_was_changed(world: World) -> None:
    after = world.do(world.rig.registry.read(content))
    for table, rows in world.before.items():
        assert not set(rows) - set(after[table]), table


def test_the_calls_came_through(world: World) -> None:
    asked = {label for label, *_ in world.answers} & GUARDED
    missed = asked - {label for label, _, status in world.answers if status < 300}
    print(world.answers.total(), "calls", world.renewed, "times all anew; never done:", missed)
    if asked == GUARDED:  # else some tests were asked for alone
        assert len(missed) <= FEW * len(asked), sorted(missed)
