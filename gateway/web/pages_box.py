"""The pages of the account and the audit, and what is neither page nor operation."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from aiohttp import web

from gateway import __version__
from gateway.access.operators import Action, Relation
from gateway.base.errors import GatewayError, NotFound
from gateway.model.accounts import Scope
from gateway.net.listener import source_of
from gateway.registry import operators, owners
from gateway.registry.database import Reader
from gateway.web.answers import see_other
from gateway.web.authority import Kind, Visitor, authorize
from gateway.web.entry import entry_page
from gateway.web.live import TOPICS_MAX
from gateway.web.operations_box import TOKEN_ADD, TOKEN_DAYS_MAX, TOKEN_DELETE
from gateway.web.routing import Page, Rendered, View

if TYPE_CHECKING:
    from gateway.web.desk import Desk
    from gateway.web.live import EventStream

HEARTBEAT = 15.0
"""Seconds of silence after which an event stream shows that it lives, and is authorized anew."""
SLOW_PAGE = 20.0
"""Seconds that a page may take to accept a few octets before its stream is ended."""
TOKEN_DAYS = 90
"""What is offered as the life of a token."""
SCOPE_WORDS = {
    Scope.READ: "look at everything that you may see",
    Scope.MANAGE: "change cameras, sites, users and clients too",
    Scope.ADMINISTER: "administer this box too",
}

TOPIC_RIGHTS: dict[str, tuple[Action, Kind]] = {
    "site": (Action.VIEW_DOMAIN, Kind.SITE),
    "domain": (Action.VIEW_DOMAIN, Kind.DOMAIN),
    "owner": (Action.USE_ACCOUNT, Kind.OWNER),
    "cameras": (Action.VIEW_CAMERA, Kind.ACCOUNT),
    "sessions": (Action.MANAGE_CAMERA, Kind.ACCOUNT),
    "audit": (Action.VIEW_AUDIT, Kind.NONE),
    "contacts": (Action.USE_CONTACTS, Kind.OWNER),
    "shared": (Action.VIEW_CLIENT, Kind.SHARED),
    "administration": (Action.MANAGE_SERVER, Kind.NONE),
}
"""Who may be told that something of a topic changed: whoever may see it."""


async def account(desk: Desk, page: Page) -> Rendered:
    """One's own account."""
    owner_id = page.call.visitor.owner_id or 0
    owner, tokens = await desk.read(
        lambda reader: (owners.get(reader, owner_id), operators.list_tokens(reader, owner_id))
    )
    of_tokens = page.failed in (TOKEN_ADD.name, TOKEN_DELETE.name)
    administers = page.call.visitor.may(Action.MANAGE_SERVER, Relation.NONE)
    return Rendered(
        "account.html",
        {
            "owner": owner,
            "tokens": tokens,
            "scopes": [
                one for one in SCOPE_WORDS.items() if administers or one[0] != Scope.ADMINISTER
            ],
            "now": desk.clock.wall(),
            "token_days": TOKEN_DAYS,
            "token_days_max": TOKEN_DAYS_MAX,
            "password_minimum": desk.registry.settings.account_password_min_length,
            "editing": bool(page.failed and not of_tokens) or bool(page.query.get("edit")),
        },
    )


async def home(desk: Desk, request: web.Request, visitor: Visitor) -> web.Response:
    """Lead to the page that a visitor wants first; a stranger finds the ways in."""
    if not visitor.signed_in:
        return await entry_page(desk, request, visitor, "welcome.html", {}, {})
    return see_other("/cameras" if visitor.may(Action.VIEW_CAMERA) else "/home")


async def health(desk: Desk, request: web.Request, visitor: Visitor) -> web.Response:
    """Say that the gateway answers, to whoever asks."""
    del desk, request, visitor
    body = json.dumps({"status": "ok", "version": __version__}).encode()
    return web.Response(body=body, content_type="application/json")


async def static(desk: Desk, request: web.Request, visitor: Visitor) -> web.Response:
    """Return one of the few files beside the templates."""
    del visitor
    found = desk.renderer.static.get(request.match_info["name"])
    if found is None:
        raise NotFound("There is no such file.")
    current = request.query.get("v") == found.stamp
    response = web.Response(body=found.octets, content_type=found.content_type, charset="utf-8")
    response.headers["Cache-Control"] = (
        "public, max-age=31536000, immutable" if current else "no-cache"
    )
    response.headers["ETag"] = f'"{found.stamp}"'
    return response


async def events(desk: Desk, request: web.Request, visitor: Visitor) -> web.StreamResponse:
    """Tell a page when something that it shows has changed, as long as it may see it."""
    topics = request.query.getall("topic", [])[:TOPICS_MAX]
    await desk.read(lambda reader: _may_follow(reader, visitor, topics))
    since = request.query.get("since", "")
    known = int(since) if since.isascii() and since.isdigit() and len(since) < 19 else None
    stream = desk.hub.open(topics, source_of(visitor.address), known)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    try:
        await response.prepare(request)
        await response.write(b"retry: 3000\n\n")
        await _follow(desk, response, stream, visitor, topics)
    except (ConnectionError, TimeoutError):
        pass  # the page was left, or does not read
    finally:
        desk.hub.end(stream)
    return response


async def _follow(
    desk: Desk,
    response: web.StreamResponse,
    stream: EventStream,
    visitor: Visitor,
    topics: list[str],
) -> None:
    while not stream.closed:
        changed = await stream.wait(HEARTBEAT)
        if stream.closed:
            return
        still = await desk.read(lambda reader: _still(reader, visitor, topics))
        # Whoever may not follow any more is told to look once more, and asked who it is there.
        told = changed if still else []
        data = json.dumps({"topics": told}, separators=(",", ":"))
        news = changed or not still
        text = f"event: changed\ndata: {data}\n\n" if news else ": still here\n\n"
        async with asyncio.timeout(SLOW_PAGE):
            await response.write(text.encode())
        if not still:
            return


def _may_follow(reader: Reader, visitor: Visitor, topics: list[str]) -> None:
    for topic in topics:
        word, _, number = topic.partition(":")
        if word not in TOPIC_RIGHTS or not (number == "" or number.isdigit()) or len(topic) > 30:
            raise NotFound("There is nothing to follow by this name.")
        action, kind = TOPIC_RIGHTS[word]
        authorize(reader, visitor, action, kind, int(number or 0), changes=False)
    if not topics:
        authorize(reader, visitor, Action.USE_ACCOUNT, Kind.ACCOUNT, changes=False)


def _still(reader: Reader, visitor: Visitor, topics: list[str]) -> bool:
    """Tell whether the visitor is still signed in and may still see what it follows."""
    now = visitor
    if visitor.session_token is not None:
        session = operators.session(reader, visitor.session_token)
        if session is None:
            return False
        now = Visitor(visitor.address, session.owner, session, visitor.session_token)
    elif visitor.token is not None and (visitor.token.expires_at or 2**62) <= reader.now:
        return False
    try:
        _may_follow(reader, now, topics)
    except GatewayError:
        return False
    return True


ACCOUNT = View(Action.USE_ACCOUNT, Kind.ACCOUNT, account)
