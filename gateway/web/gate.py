"""What every request passes: by whose name, from where, who, and whether it is forged."""

from __future__ import annotations

import dataclasses
import hmac
import ipaddress
import logging
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import urlsplit

from aiohttp import web

from gateway.base.errors import Denied, GatewayError, NotFound
from gateway.registry import self_service
from gateway.web.answers import form_of, host_name, problem_answer, see_other
from gateway.web.authority import Visitor
from gateway.web.desk import Desk
from gateway.web.entry import TOKEN_MAX, VISIT_COOKIE, visit_token, visitor_of
from gateway.web.problems import FAULT, BadRequest, Problem, problem_of
from gateway.web.routing import UNSAFE, Route, Side

CSRF_FIELD = "csrf"
CSRF_HEADER = "X-CSRF-Token"

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_log = logging.getLogger(__name__)

Served = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Gate:
    """Stands before the desk. `routes` is the whole table; what is not in it does not exist."""

    def __init__(self, desk: Desk, host_names: frozenset[str]) -> None:
        self._desk = desk
        self.host_names = host_names
        self.busy: dict[object, int] = {}

    def serve(self, route: Route) -> Served:
        """Return what answers the requests of a route."""

        async def served(request: web.Request) -> web.StreamResponse:
            visitor = Visitor(request.remote or "")
            connection = request.protocol
            self.busy[connection] = self.busy.get(connection, 0) + 1
            try:
                self._check_host(route, request)
                self._check_origin(request)
                if turned := self._unclaimed(route):
                    return turned
                visitor = await visitor_of(self._desk.registry, request, self._desk.clock.wall())
                visitor = await self._welcomed(route, visitor)
                await self._check_forgery(route, request, visitor)
                return await self._desk.serve(route, request, visitor)
            except GatewayError as error:
                return self._answer(route.side, problem_of(error), visitor, request)
            except web.HTTPException as error:
                problem = Problem(error.status, "http", error.reason, error.reason)
                return self._answer(route.side, problem, visitor, request)
            except Exception:
                _log.exception("%s %s failed", route.method, route.path)
                return self._answer(
                    route.side,
                    Problem(500, "fault", "Something went wrong", FAULT),
                    visitor,
                    request,
                )
            finally:
                self.busy[connection] -= 1
                if not self.busy[connection]:
                    del self.busy[connection]

        return served

    async def stranger(self, request: web.Request) -> web.StreamResponse:
        """Answer what no route of the table fits."""
        side = Side.API if request.path.startswith("/api/") else Side.PAGE
        error: GatewayError = NotFound("There is no such page. Check the address.")
        if isinstance(request.match_info.http_exception, web.HTTPMethodNotAllowed):
            error = BadRequest(f"{request.method[:16]} is not possible here.", 405, "method")
        visitor = Visitor(request.remote or "")
        try:
            self._check_host(None, request)
            visitor = await visitor_of(self._desk.registry, request, self._desk.clock.wall())
            visitor = await self._welcomed(None, visitor)
        except GatewayError as other:
            error = other
        return self._answer(side, problem_of(error), visitor, request)

    # -- the checks -----------------------------------------------------------------------------

    def _check_host(self, route: Route | None, request: web.Request) -> None:
        """Refuse names that are not ours: a page elsewhere may have its name lead to this box."""
        if route is not None and route.path == "/health":
            return
        name = host_name(request.host)
        if name in self.host_names or _is_own_address(name, request):
            return
        raise BadRequest(
            "This gateway does not know itself by this name. Use its address, or add the name to "
            "the setting web.host_names.",
            421,
            "host",
        )

    def _check_origin(self, request: web.Request) -> None:
        """Refuse changes that another site's page asks for."""
        if request.method not in UNSAFE:
            return
        site = request.headers.get("Sec-Fetch-Site")
        origin = request.headers.get("Origin")
        foreign = site not in (None, "same-origin", "none")
        if origin is not None:
            try:
                foreign = foreign or urlsplit(origin).netloc.lower() != request.host.lower()
            except ValueError:
                foreign = True
        if foreign:
            raise Denied("This was sent by another site's page and is refused.", "origin")

    def _unclaimed(self, route: Route) -> web.StreamResponse | None:
        if self._desk.claimed or route.path in OPEN_UNCLAIMED:
            return None
        if route.side is Side.API:
            raise Denied("This box has no owner yet. Set it up with the setup code.", "unclaimed")
        return see_other("/setup")

    async def _welcomed(self, route: Route | None, visitor: Visitor) -> Visitor:
        """Return a visitor of a page who has not signed in with how to get an account (REG-01)."""
        page = route is None or (route.side is Side.PAGE and route.path != "/static/{name}")
        if visitor.signed_in or not page or not self._desk.claimed:
            return visitor
        way = await self._desk.read(self_service.registration)
        return dataclasses.replace(visitor, registration=str(way))

    async def _check_forgery(self, route: Route, request: web.Request, visitor: Visitor) -> None:
        if not route.csrf or visitor.token is not None:
            return
        if route.side is Side.API:
            if visitor.session is None:
                return  # whoever is nobody is refused by the authorizer
            given = request.headers.get(CSRF_HEADER, "")
        else:
            given = str((await form_of(request)).get(CSRF_FIELD, ""))
        if visitor.session is not None:
            wanted = visitor.csrf
        else:
            visit = request.cookies.get(VISIT_COOKIE, "")
            wanted = (
                visit_token(self._desk.visit_key, visit) if 16 <= len(visit) <= TOKEN_MAX else ""
            )
        if not wanted or not hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode()):
            if route.action is not None and not visitor.signed_in:
                raise Denied("Sign in first.", "sign-in")
            raise Denied("This form is too old. Load the page again and repeat.", "csrf")

    # -- the answers ----------------------------------------------------------------------------

    def _answer(
        self, side: Side, problem: Problem, visitor: Visitor, request: web.Request
    ) -> web.StreamResponse:
        if side is Side.API:
            return problem_answer(problem)
        if problem.status == 401 and request.method == "GET" and request.path != "/events":
            return see_other("/sign-in")
        return self._desk.renderer.problem_page(problem, visitor)


OPEN_UNCLAIMED = frozenset(
    {"/setup", "/health", "/static/{name}", "/api/v1/setup", "/api/v1/setup/code"}
)
"""All that a box without an owner offers (appliance.md, section 1); the last to its own token."""


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Set what every answer carries, over whatever a handler forgot."""
    for name, value in HEADERS.items():
        if name not in response.headers:
            response.headers[name] = value
    response.headers.pop("Server", None)
    # aiohttp fills it in again when it is absent, with its version.
    response.headers["Server"] = "softnet-gateway"


def own_names(*given: str, extra: Mapping[str, str] | None = None) -> frozenset[str]:
    """Return the lower-case names by which browsers may call the page."""
    found = {"localhost"}
    for name in (*given, *(extra or {})):
        plain = name.strip().lower().strip("[]")
        if plain:
            found.add(plain)
            if "." not in plain and ":" not in plain:
                found.add(f"{plain}.local")
    return frozenset(found)


def _is_own_address(name: str, request: web.Request) -> bool:
    """Tell whether a literal address is the one that the connection came in on, or loopback."""
    try:
        called = ipaddress.ip_address(name)
    except ValueError:
        return False
    transport = request.transport
    local = transport.get_extra_info("sockname") if transport is not None else None
    if called.is_loopback:
        return True
    if not local:
        return False
    try:
        bound = ipaddress.ip_address(str(local[0]).partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(bound, "ipv4_mapped", None)
    return called in (bound, mapped)
