"""Bodies in and answers out: forms, JSON, problems, redirections."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from multidict import MultiDict

from gateway.base.errors import InvalidInput
from gateway.web.problems import PROBLEM_TYPE, BadRequest, Problem

BODY_SECONDS = 15.0
"""A body that takes longer is an attempt to hold the connection."""
BODY_MAX = 64 * 1024
"""The largest form has some 100 short fields."""


def host_name(host: str) -> str:
    """Return the name or address of a Host header, without port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


async def form_of(request: web.Request) -> MultiDict[Any]:
    """Return a submitted form. Raises BadRequest for another kind of body."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise BadRequest("A form of this page was expected.", 415, "media-type")
    await _body(request)
    return MultiDict(await request.post())


async def json_body(request: web.Request) -> Any:
    """Return a JSON body; an absent one is an empty object. Raises BadRequest, InvalidInput."""
    if not request.can_read_body:
        return {}
    if request.content_type != "application/json":
        raise BadRequest("Send application/json.", 415, "media-type")
    body = await _body(request)
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidInput("The body is not valid JSON.") from None


async def _body(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except TimeoutError:
        raise BadRequest("The body did not arrive in time.", 408, "too-slow") from None
    except web.HTTPRequestEntityTooLarge:
        raise BadRequest(f"The body is larger than {BODY_MAX} octets.", 413, "too-large") from None


def json_answer(document: Mapping[str, Any], *, status: int = 200) -> web.Response:
    """Return a JSON answer."""
    return web.Response(
        body=json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(),
        content_type="application/json",
        status=status,
    )


def problem_answer(problem: Problem) -> web.Response:
    """Return an error for a program (RFC 9457)."""
    response = web.Response(
        body=json.dumps(problem.document()).encode(),
        content_type=PROBLEM_TYPE,
        status=problem.status,
    )
    if problem.status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="softnet-gateway"'
    return response


def see_other(path: str) -> web.Response:
    """Return a redirection after a form, or to the page that comes first."""
    return web.Response(status=303, headers={"Location": path})
