"""Every route, every standing, own and foreign objects: one answer each, over real sockets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.access.operators import TABLE, Action, Relation, Standing
from gateway.model.accounts import Scope
from gateway.model.kinds import Authority
from gateway.registry import operators
from gateway.web.authority import KIND_NAMES, OF_THE_BOX, Kind
from gateway.web.gate import OPEN_UNCLAIMED
from gateway.web.routing import Route, Side
from gateway.web.table import ROUTES
from tests.web.callers import PASSWORD, Browser
from tests.web.estate import Estate, content, differences, make_estate, mark
from tests.web.rig import Found, Rig, add_owner, open_rig

OPEN = {
    ("GET", "/"), ("GET", "/health"), ("GET", "/static/{name}"), ("GET", "/setup"),
    ("POST", "/setup"), ("GET", "/sign-in"), ("POST", "/sign-in"), ("POST", "/sign-out"),
    ("GET", "/api/v1/openapi.json"), ("POST", "/api/v1/setup"),
} | {
    (method, path)
    for method in ("GET", "POST")
    for path in ("/register", "/forgot", "/locked", "/invitation/{key}", "/sign-up/{key}",
                 "/reset/{key}", "/unlock/{key}", "/confirm-mail/{key}", "/guest/new",
                 "/guest/new/{key}", "/guest/browse")
} | {
    ("GET", "/guest/browse/{key}"), ("GET", "/guest/browse/{key}/{domain}"),
    ("POST", "/guest/browse/{key}/{domain}/edit"), ("POST", "/guest/browse/{key}/{domain}/new"),
    ("GET", "/guest/edit/{key}"), ("POST", "/guest/edit/{key}/password"),
    ("POST", "/guest/edit/{key}/ping-period"), ("POST", "/guest/edit/{key}/delete"),
} | {
    ("POST", f"/api/v1/links/{name}")
    for name in ("register", "forgot", "locked", "invitation", "sign-up", "reset", "unlock",
                 "confirm-mail")
}  # fmt: skip
"""The routes that ask for no standing; a new one must be argued for here."""

BODIES: dict[str, dict[str, Any]] = {
    "owner.add": {"account_name": "fresh", "full_name": "Fresh Owner", "password": PASSWORD},
    "owner.set-password": {"password": PASSWORD},
    "owner.enable": {"enabled": True},
    "owner.set-authority": {"authority": "provider"},
    "account.set-password": {"current": PASSWORD, "password": PASSWORD},
    "account.rename": {"full_name": "Another"},
    "account.set-email": {"email": "another@example.org"},
    "guest-link.create": {"site_key": "none", "email": "a@example.org"},
    "guest-link.browse": {"email": "a@example.org"},
    "guest-link.edit": {"client_id": 1},
    "guest-link.another": {"site_id": 1},
    "guest-link.ping-period": {"ping_period": 30},
    "token.add": {"name": "x", "scope": "read"},
    "domain.rename": {"name": "Another"},
    "site.describe": {"description": "Another"},
    "site.enable": {"enabled": True},
    "site.guests": {"allowed": False},
    "site.implicit-users": {"allowed": False},
    "service.hostname": {"hostname": "Another"},
    "service.enable": {"enabled": True},
    "service.ping-period": {"ping_period": 30},
    "user.add": {"name": "Another"},
    "user.rename": {"name": "Another"},
    "user.edit": {"name": "Another"},
    "user.enable": {"enabled": True},
    "user.dedicate": {"dedicated": False},
    "client.ping-period": {"ping_period": 30},
    "camera.rename": {"name": "Another"},
    "session.end": {"session": "none"},
    "camera.look": {"where": "cam-1"},
    "camera.probe": {"where": "cam-1"},
    "contact.edit": {"name": "Another", "user_default_name": ""},
    "user.share": {"name": "Another"},
    "invitation.create": {"email": ""},
    "invitation.edit": {"email": "", "text": "Another"},
    "invitation.clear": {"state": "expired"},
    "setting.change": {"name": "invitation_days", "value": "7"},
    "mail.password": {"password": ""},
    "mail.test": {"to": "somebody@example.org"},
}


SHARED = ("/contacts/{contact}/domains", "/api/v1/contacts/{contact}/domains")
"""Where the path names what a partner owns; only what it shares with this account is there."""
GUEST = ("/guest-clients/", "/api/v1/guest-clients/")
"""Where the path names a guest client of this account, on somebody else's site."""
SHARING = ("/contacts/{contact}/shared", "/api/v1/contacts/{contact}/shared")


def _path(route: Route, estate: Estate) -> str:
    values = {name: str(number) for name, number in estate.ids.items()}
    if route.path.startswith(SHARED):
        values |= {name: str(number) for name, number in estate.shared.items()}
    if route.path.startswith(GUEST):
        values |= {name: str(number) for name, number in estate.guest.items()}
    values |= {"name": "app.css", "probe": "none", "key": "none"}
    return re.sub(r"\{(\w+)\}", lambda match: values[match.group(1)], route.path)


def _body(route: Route, estate: Estate) -> dict[str, Any]:
    operation = route.operation
    if operation is None:
        return {}
    body = dict(BODIES.get(operation.name, {}))
    names = {known.name for known in operation.fields}
    if "user_id" in names:
        shares = route.path.startswith(SHARED)
        body["user_id"] = ((shares and estate.shared) or estate.ids)["user"]
    if "link" in names:
        body["link"] = "none"
    if "contact_id" in names:
        body["contact_id"] = estate.ids["contact"]
    if "site_id" in names and "link" in names:
        body["site_id"] = estate.ids["site"]
    elif "site_id" in names:
        body |= {"site_id": estate.ids["site"], "name": "Door", "probe": "none"}
        if "where" in names:
            body |= {"where": "cam-1"}
        else:
            body.pop("where", None)
    if "probe" not in names:
        body.pop("probe", None)
    return body


def _expected(route: Route, standing: Standing, own: bool) -> bool:
    """Tell from the table of access alone whether the route is to be served."""
    if route.action is None:
        return True
    action = route.action
    kind = route.kind
    if route.path.startswith((*SHARED, *SHARING)):
        return own and standing is not Standing.ANONYMOUS
    if route.path.startswith(GUEST) and kind is Kind.CLIENT:
        return own and standing is not Standing.ANONYMOUS
    if kind is Kind.PERSON:
        own = True  # another account's name is no secret among those who are signed in
    if route.operation is not None and route.operation.subject is not None:
        kind = Kind.SITE  # what is authorized lies in the body; own or foreign all the same
    if kind in OF_THE_BOX:
        relation = Relation.NONE
    elif kind is Kind.ACCOUNT:
        relation = Relation.OWN if standing is not Standing.ANONYMOUS else Relation.NONE
    else:
        relation = Relation.OWN if own else Relation.FOREIGN
    return relation in TABLE[action][standing]


async def _ask(
    session: aiohttp.ClientSession, rig: Rig, route: Route, estate: Estate, csrf: str
) -> tuple[int, str]:
    url = rig.url + _path(route, estate)
    body = _body(route, estate)
    more: dict[str, Any] = {"allow_redirects": False}
    if route.method != "GET" and route.side is Side.API:
        more |= {"json": body, "headers": {"X-CSRF-Token": csrf}}
    elif route.method != "GET":
        form = {key: ("1" if value is True else "" if value is False else value)
                for key, value in body.items()}  # fmt: skip
        more["data"] = {"csrf": csrf, **form}
    async with session.request(route.method, url, **more) as answer:
        if answer.content_type == "text/event-stream":
            return answer.status, ""
        return answer.status, await answer.text(errors="replace")


def _refused(status: int, text: str, session_csrf: str) -> bool:
    """Tell whether an answer is that of the authorizer, not of the object's own state."""
    if "This link is not known here" in text:
        return False
    if status == 303 and not session_csrf:
        return True  # a page leads somebody who has not signed in to the sign-in
    return status in (401, 403) or (
        status == 404 and "This object does not exist any more. Reload" in text
    )


@pytest.mark.timeout_s(240)
@pytest.mark.parametrize("own", [True, False], ids=["own", "foreign"])
@pytest.mark.parametrize("standing", list(Standing), ids=str)
async def test_every_route_for_every_standing(tmp_path: Path, standing: Standing, own: bool):
    async with open_rig(tmp_path) as rig:
        rig.cameras.here = [Found("cam-1")]
        await add_owner(rig.registry, "first", Authority.ADMINISTRATOR)
        rig.server.desk.claimed = True
        wrong = []
        kept: tuple[Estate, Estate] | None = None
        for number, route in enumerate(ROUTES):
            if (route.method, route.path) in OPEN:
                assert route.action is None
                continue
            authority = {
                Standing.CONSUMER: Authority.CONSUMER, Standing.PROVIDER: Authority.PROVIDER,
                Standing.ADMINISTRATOR: Authority.ADMINISTRATOR,
            }.get(standing, Authority.PROVIDER)  # fmt: skip
            reads = route.method == "GET"
            if not (reads and kept):  # what only reads leaves the estates as they are
                mine = await make_estate(rig, f"mine{number}", authority)
                other = (
                    mine if own else await make_estate(rig, f"other{number}", Authority.PROVIDER)
                )
            if reads:
                kept = kept or (mine, other)
                mine, other = kept
            estate = other
            browser = await _browser(rig, mine.owner, standing)
            allowed = _expected(route, standing, own)
            if _managing_an_administrator(route, standing, own):
                allowed = False
            looks = route.changes and not allowed
            before = await rig.registry.read(content) if looks else {}
            status, text = await _ask(browser.session, rig, route, estate, browser.csrf)
            await browser.close()
            if looks:  # SEC-01: what is refused changes nothing
                changed = differences(before, await rig.registry.read(content))
                assert not changed, (route.method, route.path, status, changed)
            assert status < 500, (route.method, route.path, status, text)
            if allowed == _refused(status, text, browser.csrf):
                wrong.append(
                    f"{route.method} {route.path}: {status}, allowed={allowed} {text[-300:]}"
                )
        assert not wrong, "\n".join(wrong)


def _managing_an_administrator(route: Route, standing: Standing, own: bool) -> bool:
    """Administrators are changed with the local tool only (04 section 5.5)."""
    touches = route.action is Action.MANAGE_OWNERS and route.kind is Kind.OWNER
    touches = touches and route.changes and not route.path.endswith("/unlock")
    return touches and standing is Standing.ADMINISTRATOR and own


async def _browser(rig: Rig, owner: int, standing: Standing) -> Browser:
    """Return a signed-in browser without the cost of a password."""
    browser = rig.browser()
    if standing is Standing.ANONYMOUS:
        return browser
    token, _ = await rig.registry.write(lambda tx: operators.open_session(tx, owner))
    browser.session.cookie_jar.update_cookies(
        {"softnet_session": token.reveal()}, aiohttp.client.URL(rig.url)
    )
    await browser.get("/account")
    assert browser.csrf
    return browser


@pytest.mark.timeout_s(120)
@pytest.mark.parametrize("scope", list(Scope), ids=str)
async def test_a_token_reaches_as_far_as_its_scope(tmp_path: Path, scope: Scope):
    """A token of an administrator without the scope is refused, whatever its owner may do."""
    administration = {Action.MANAGE_OWNERS, Action.MANAGE_SERVER, Action.VIEW_AUDIT}
    async with open_rig(tmp_path) as rig:
        rig.cameras.here = [Found("cam-1")]
        rig.server.desk.claimed = True
        wrong = []
        for number, route in enumerate(ROUTES):
            if route.side is not Side.API or route.action is None:
                continue
            estate = await make_estate(rig, f"mine{number}", Authority.ADMINISTRATOR)
            secret, _ = await rig.registry.write(
                lambda tx, owner=estate.owner: operators.add_token(tx, "x", owner, [scope])
            )
            headers = {"Authorization": f"Bearer {secret.reveal()}"}
            async with aiohttp.ClientSession(headers=headers) as session:
                status, text = await _ask(session, rig, route, estate, "")
            needed = Scope.MANAGE if route.changes else Scope.READ
            if route.action in administration:
                needed = Scope.ADMINISTER
            order = [Scope.READ, Scope.MANAGE, Scope.ADMINISTER]
            reaches = order.index(scope) >= order.index(needed)
            lacking = (status == 403 and "lacks the scope" in text) or "more than itself" in text
            if reaches == lacking:
                wrong.append(f"{route.method} {route.path}: {status} {text[-200:]}")
        assert not wrong, "\n".join(wrong)


async def test_an_unclaimed_box_offers_the_setup_and_nothing_else(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        estate = Estate(1, dict.fromkeys(KIND_NAMES, 1))
        headers = {"Authorization": f"Bearer {rig.token}"}
        for holds_token in (False, True):
            async with aiohttp.ClientSession(headers=headers if holds_token else {}) as session:
                for route in ROUTES:
                    if route.path in OPEN_UNCLAIMED:
                        continue
                    status, text = await _ask(session, rig, route, estate, "")
                    if route.side is Side.API:
                        assert (status, "unclaimed" in text) == (403, True), route.path
                    else:
                        assert status == 303, route.path


async def test_open_routes_give_nothing_without_a_good_link(tmp_path: Path):
    """Routes that ask for no standing ask for a link instead; a guessed one changes nothing."""
    entrances = {"/", "/health", "/static/{name}", "/sign-in", "/sign-out", "/api/v1/openapi.json"}
    async with open_rig(tmp_path) as rig:
        rig.server.desk.claimed = True
        estate = await make_estate(rig, "somebody", Authority.PROVIDER)
        keys = await mark(rig, estate, "Canary7f3a")
        browser = rig.browser()
        try:
            await browser.get("/sign-in")
            for route in ROUTES:
                if (route.method, route.path) not in OPEN or route.path in entrances:
                    continue
                before = await rig.registry.read(content)
                body = {one.name: "x" * 43 for one in route.fields}
                path = _path(route, estate)
                more: dict[str, Any] = {"allow_redirects": False}
                if route.side is Side.API:
                    more["json"] = body
                elif route.method != "GET":
                    more["data"] = {"csrf": browser.csrf, **body}
                async with browser.session.request(route.method, rig.url + path, **more) as answer:
                    status, text = answer.status, await answer.text()
                assert status < 500, (route.method, route.path, text)
                if route.method == "POST":
                    assert status >= 300, (route.path, text)
                assert not {key for key in keys if key in text}, route.path
                changed = differences(before, await rig.registry.read(content))
                assert not changed, (route.method, route.path, status, changed)
        finally:
            await browser.close()


def test_no_two_routes_are_the_same():
    seen = [(route.method, route.path) for route in ROUTES]
    assert len(seen) == len(set(seen))


def test_every_route_says_what_it_does():
    for route in ROUTES:
        doing = [route.operation, route.query, route.handler]
        views = 1 if route.view is not None and route.operation is None else 0
        assert sum(one is not None for one in doing) + views == 1, route.path
        assert (route.action is None) == ((route.method, route.path) in OPEN), route.path
        if route.method != "GET":
            assert route.csrf or route.side is Side.API, route.path
        if route.side is Side.API and route.path != "/health":
            assert route.summary, route.path


async def test_what_is_not_in_the_table_is_not_served(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        served = {
            (one.method, one.resource.canonical)
            for one in rig.server._runner.app.router.routes()
            if one.method != "HEAD"
        }
        table = {(route.method, route.path) for route in ROUTES}
        strip = {(method, re.sub(r":[^{}]*(\{[^{}]*\})?[^{}]*(?=\})", "", path))
                 for method, path in served}  # fmt: skip
        assert strip == table
