"""How a visitor comes in: the setup code of an unclaimed box, signing in and out, tokens."""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aiohttp import web

from gateway.base.errors import Conflict, Denied, GatewayError, InvalidInput
from gateway.base.secret import Secret
from gateway.model import names
from gateway.model.accounts import ApiToken, Owner, WebSession
from gateway.model.kinds import SiteKind
from gateway.net.listener import source_of
from gateway.registry import (
    audit,
    contacts,
    domains,
    operators,
    outbox,
    owners,
    sites,
)
from gateway.registry.database import Reader, Registry, Tx
from gateway.registry.operators import Claim, SetupAnswer
from gateway.registry.passwords import PasswordRecord, hash_password
from gateway.web import fields
from gateway.web.answers import json_answer, json_body, see_other
from gateway.web.authority import Visitor
from gateway.web.fields import from_form, from_json
from gateway.web.problems import problem_of
from gateway.web.shapes import OWNER

if TYPE_CHECKING:
    from gateway.web.desk import Desk

COOKIE = "softnet_session"
SECURE_COOKIE = "__Host-softnet_session"
VISIT_COOKIE = "softnet_visit"
"""Binds the forms of somebody who has not signed in to this browser."""
TOKEN_MAX = 256
"""Longer cookies and tokens are none of ours."""
EVERYBODY = "everybody"
"""The setup code may be tried this often in all, not by each address (peers.md, lesson 2)."""
FIRST_DOMAIN = "My Cameras"
FIRST_SITE = "IP cameras"

SIGN_IN_FIELDS = (
    fields.text("account_name", maximum=64),
    fields.secret("password", maximum=64),
    fields.flag("keep", required=False),
)
SETUP_FIELDS = (
    fields.secret("code", maximum=64),
    fields.text("full_name", maximum=64),
    fields.text("account_name", maximum=64),
    fields.secret("password", maximum=64),
)

_log = logging.getLogger(__name__)


# -- who is asking -------------------------------------------------------------------------------


async def visitor_of(registry: Registry, request: web.Request, now: float) -> Visitor:
    """Return who is asking. Raises Denied with code 'token' for a token that is not good."""
    address = request.remote or ""
    header = request.headers.get("Authorization", "")
    if header:
        scheme, _, given = header.partition(" ")
        if scheme.lower() != "bearer" or not 1 <= len(given) <= TOKEN_MAX:
            raise Denied("Send the token as 'Authorization: Bearer TOKEN'.", "token")
        secret = Secret(given.strip())
        known = await registry.read(lambda reader: _token(reader, secret))
        if known is None:
            raise Denied("This token is unknown or has expired. Create another one.", "token")
        token, owner = known
        if now - (token.last_used_at or 0) >= operators.LAST_USED_EVERY:
            await registry.write(lambda tx: operators.token_used(tx, token.id))
        return Visitor(address, owner, token=token)
    cookie = request.cookies.get(SECURE_COOKIE if request.secure else COOKIE, "")
    if not 1 <= len(cookie) <= TOKEN_MAX:
        return Visitor(address)
    session_token = Secret(cookie)
    found = await registry.read(lambda reader: _session(reader, session_token))
    if found is None:
        return Visitor(address)
    opened, waiting = found
    return Visitor(address, opened.owner, opened, session_token, invitations=waiting)


def _session(reader: Reader, token: Secret) -> tuple[WebSession, int] | None:
    opened = operators.session(reader, token)
    return None if opened is None else (opened, contacts.waiting(reader, opened.owner.id))


def _token(reader: Reader, secret: Secret) -> tuple[ApiToken, Owner | None] | None:
    token = operators.find_token(reader, secret)
    if token is None:
        return None
    return token, None if token.owner_id is None else owners.get(reader, token.owner_id)


def visit_token(key: bytes, visit: str) -> str:
    """Return what a form must carry when nobody has signed in."""
    return hmac.new(key, visit.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def keep_session(request: web.Request, response: web.Response, token: Secret, until: int) -> None:
    """Set the cookie of a session."""
    response.set_cookie(
        SECURE_COOKIE if request.secure else COOKIE,
        token.reveal(),
        max_age=until,
        httponly=True,
        samesite="Lax",
        secure=request.secure,
        path="/",
    )


# -- signing in and out --------------------------------------------------------------------------


async def show_sign_in(desk: Desk, request: web.Request, visitor: Visitor) -> web.Response:
    """Show the form to sign in; whoever is signed in goes on."""
    if visitor.signed_in:
        return see_other("/")
    return await entry_page(desk, request, visitor, "sign_in.html", {}, {})


async def sign_in(desk: Desk, request: web.Request, visitor: Visitor) -> web.Response:
    """Sign a browser in."""
    posted = await request.post()
    typed = {"account_name": str(posted.get("account_name", ""))[:64]}
    source = f"sign-in {source_of(visitor.address)}"
    try:
        values = from_form(SIGN_IN_FIELDS, posted)
        desk.throttle.admit(source)
        owner = await owners.sign_in(desk.registry, values["account_name"], values["password"])
    except GatewayError as error:
        if isinstance(error, Denied) and error.code in ("credentials", "disabled"):
            desk.throttle.wrong(source)
            _log.warning("a wrong sign-in from %s", visitor.address)
        problem = problem_of(error)
        return await entry_page(
            desk, request, visitor, "sign_in.html", {problem.field: problem.detail}, typed,
            problem.status, more={"locked": problem.code == "locked"},
        )  # fmt: skip
    desk.throttle.right(source)
    return await _open(desk, request, visitor, owner, keep=values["keep"], to="/home")


async def sign_out(desk: Desk, request: web.Request, visitor: Visitor) -> web.Response:
    """Sign a browser out."""
    token = visitor.session_token
    if token is not None:
        await desk.registry.write(lambda tx: operators.close_session(tx, token))
    response = see_other("/")
    response.del_cookie(SECURE_COOKIE if request.secure else COOKIE, path="/")
    return response


async def _open(
    desk: Desk, request: web.Request, visitor: Visitor, owner: Owner, *, keep: bool, to: str
) -> web.Response:
    def within(tx: Tx) -> tuple[Secret, int]:
        token, session = operators.open_session(tx, owner.id, persistent=keep)
        audit.append(tx, owner.id, visitor.address, "sign-in", f"owner {owner.id}")
        return token, session.expires_at - session.created_at

    token, seconds = await desk.registry.write(within)
    response = see_other(to)
    keep_session(request, response, token, seconds)
    return response


async def entry_page(
    desk: Desk,
    request: web.Request,
    visitor: Visitor,
    template: str,
    errors: Mapping[str, str],
    typed: Mapping[str, Any],
    status: int = 200,
    *,
    more: Mapping[str, Any] | None = None,
) -> web.Response:
    """Return a page with a form for somebody who has not signed in, bound to this browser."""
    visit = request.cookies.get(VISIT_COOKIE, "")
    fresh = not 16 <= len(visit) <= TOKEN_MAX
    if fresh:
        visit = desk.entropy.octets(16).hex()
    minimum = desk.registry.settings.account_password_min_length
    mail = await desk.read(outbox.mode)
    response = desk.renderer.plain_page(
        template,
        {
            "csrf": visitor.csrf or visit_token(desk.visit_key, visit),
            "origin": desk.renderer.origin(request),
            "errors": errors,
            "typed": typed,
            "password_minimum": minimum,
            "registration": visitor.registration,
            "mail": str(mail),
            "done": request.query.get("done", ""),
            "answer": "",
            "locked": False,
            **(more or {}),
        },
        visitor=visitor,
        status=status,
    )
    if fresh:
        response.set_cookie(
            VISIT_COOKIE, visit, httponly=True, samesite="Lax", secure=request.secure, path="/"
        )
    return response


# -- claiming the box ----------------------------------------------------------------------------


async def show_setup(desk: Desk, request: web.Request, visitor: Visitor) -> web.Response:
    """Show the form that makes the first owner; a claimed box has none."""
    if desk.claimed:
        return see_other("/")
    return await entry_page(desk, request, visitor, "setup.html", {}, {})


async def set_up(desk: Desk, request: web.Request, visitor: Visitor) -> web.Response:
    """Make whoever typed the right code the first owner, and sign in."""
    posted = await request.post()
    typed = {name: str(posted.get(name, ""))[:64] for name in ("full_name", "account_name")}
    try:
        values = from_form(SETUP_FIELDS, posted)
        owner = await claim(desk, values, visitor)
    except GatewayError as error:
        problem = problem_of(error)
        return await entry_page(
            desk, request, visitor, "setup.html", {problem.field: problem.detail}, typed,
            problem.status,
        )  # fmt: skip
    return await _open(desk, request, visitor, owner, keep=False, to="/")


async def set_up_by_program(desk: Desk, request: web.Request, visitor: Visitor) -> web.Response:
    """Do the same for a program: JSON in, the account out."""
    owner = await claim(desk, from_json(SETUP_FIELDS, await json_body(request)), visitor)
    return json_answer(OWNER.of(owner), status=201)


async def claim(desk: Desk, values: Mapping[str, Any], visitor: Visitor) -> Owner:
    """Claim the box: first owner, first domain, first site, code burnt, in one transaction.

    Raises Denied for a wrong code, InvalidInput, Conflict when the box has an owner.
    """
    if desk.claimed:
        raise _claimed_already()
    desk.throttle.admit(EVERYBODY)
    # Checked first, so that a name that cannot be does not cost the owner a try of the code.
    names.full_name(values["full_name"])
    names.account_name(values["account_name"])
    minimum = desk.registry.settings.account_password_min_length
    names.account_password(values["password"].reveal(), minimum)
    record = await desk.registry.hash(lambda: hash_password(values["password"]))
    outcome = await desk.registry.write(lambda tx: _claim(tx, values, record, visitor))
    if outcome.owner is not None:
        desk.claimed = True
        desk.throttle.right(EVERYBODY)
        desk.code_burnt()
        return outcome.owner
    if outcome.answer is SetupAnswer.CLAIMED:
        desk.claimed = True
        raise _claimed_already()
    desk.throttle.wrong(EVERYBODY)
    _log.warning("a wrong setup code from %s", visitor.address)
    if outcome.answer is SetupAnswer.VOID:
        # Who is only in the LAN can do neither.
        raise Denied(
            "Too many wrong codes: this one is void. Restart the gateway for another, or draw one "
            "on the box itself with softnet-gateway ctl owner setup-code.",
            "void",
        )
    raise InvalidInput("This is not the setup code. Look at the label or the console.", "code")


def _claim(tx: Tx, values: Mapping[str, Any], record: PasswordRecord, visitor: Visitor) -> Claim:
    outcome = operators.claim(
        tx, values["code"], values["account_name"], values["full_name"], record
    )
    if outcome.owner is not None:
        domain = domains.add(tx, outcome.owner.id, FIRST_DOMAIN)
        sites.add(tx, domain.id, FIRST_SITE, SiteKind.MULTI_SERVICE)
        audit.append(
            tx, outcome.owner.id, visitor.address, "claim", f"owner {outcome.owner.id}",
            f"first owner {outcome.owner.account_name}",
        )  # fmt: skip
    else:
        audit.append(tx, None, visitor.address, "claim", "none", "wrong setup code", "denied")
    return outcome


def _claimed_already() -> Conflict:
    return Conflict("This box has an owner already. Sign in instead.")
