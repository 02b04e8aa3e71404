"""Where requests are served: reads bodies, authorizes, performs, audits, and answers."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from aiohttp import web
from multidict import MultiDict

from gateway.access.operators import Action
from gateway.base.clock import Clock
from gateway.base.entropy import Entropy
from gateway.base.errors import Denied, GatewayError, HostError, NotFound
from gateway.base.secret import Secret
from gateway.registry import audit
from gateway.registry.database import Reader, Registry, Tx
from gateway.web.answers import form_of, host_name, json_answer, json_body, see_other
from gateway.web.authority import KIND_NAMES, STANDING, Kind, Visitor, authorize
from gateway.web.doors import CameraDoor, LiveDoor, MailDoor, NoMail
from gateway.web.fields import Field, FieldKind, from_form, from_json
from gateway.web.live import EventHub
from gateway.web.operations_cameras import ProbeDrawer
from gateway.web.problems import problem_of
from gateway.web.rendering import Renderer
from gateway.web.routing import (
    Call,
    Credentials,
    NewToken,
    Operation,
    Page,
    Query,
    Route,
    Side,
)
from gateway.web.throttle import Throttle

T = TypeVar("T")

REFUSALS_PER_MINUTE = 30
"""Refused attempts noted in the audit; more tell nothing new and would fill the disk."""
ID_DIGITS = 18
"""The ids of a path stay below 2**63."""

_URI_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}", re.ASCII)
_log = logging.getLogger(__name__)


async def _no_code() -> Secret:
    raise HostError("This box gives out no setup codes.")


@dataclass(slots=True)
class Desk:
    """Everything that serving a request needs."""

    registry: Registry
    cameras: CameraDoor
    live: LiveDoor
    clock: Clock
    entropy: Entropy
    renderer: Renderer
    hub: EventHub
    throttle: Throttle
    probes: ProbeDrawer
    mail: MailDoor = dataclasses.field(default_factory=NoMail)
    server_address: str = ""
    started_at: int = 0
    claimed: bool = False
    visit_key: bytes = b""
    code_burnt: Callable[[], None] = lambda: None
    new_code: Callable[[], Awaitable[Secret]] = _no_code
    """Draws another setup code for a box without an owner."""
    description: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    _refusals: int = 0
    _refusals_since: float = 0.0

    # -- routes ---------------------------------------------------------------------------------

    async def serve(
        self, route: Route, request: web.Request, visitor: Visitor
    ) -> web.StreamResponse:
        """Answer a request; raises the family's errors where no page of its own shows them."""
        if route.handler is not None:
            return await route.handler(self, request, visitor)
        call = Call(visitor, _ids(request), {}, self._host(request))
        if route.query is not None:
            return await self._answer_query(route.query, call, request)
        if route.operation is None:
            await self._check(route.action, call, route.kind)
            return await self._show(route, Page(call, request))
        if route.side is Side.API:
            values = from_json(route.operation.fields, await json_body(request))
            result = await self.perform(route.operation, dataclasses.replace(call, values=values))
            return json_answer(route.operation.shape.of(result), status=route.status)
        return await self._submit(route, call, request)

    async def perform(self, operation: Operation, call: Call) -> Any:
        """Authorize, perform and audit one operation; return its finished result."""
        subject = operation.authorized(call)
        try:
            if operation.prepare is not None or operation.outside is not None:
                await self._authorize(operation.action, call.visitor, *subject)
            if operation.prepare is not None:
                more = await operation.prepare(self, call)
                call = dataclasses.replace(call, values={**call.values, **more})
            if operation.outside is not None:
                result = await operation.outside(self, call)
                await self.registry.write(lambda tx: _note(tx, operation, call, result))
            elif operation.noted:
                result = await self.registry.write(lambda tx: _within(tx, operation, call, subject))
            else:
                result = await self.registry.read(lambda reader: _read(reader, operation, call))
        except (Denied, NotFound) as refused:
            await self._note_refusal(operation, call, refused)
            raise
        return operation.finish(self, call, result)

    async def read(self, read: Callable[[Reader], T]) -> T:
        """Read the registry on one consistent view."""
        return await self.registry.read(read)

    def call(self, request: web.Request, visitor: Visitor, values: Mapping[str, Any]) -> Call:
        """Return the call of a handler that performs an operation by itself."""
        return Call(visitor, _ids(request), values, self._host(request))

    def address(self, call: Call) -> str:
        """Return the host that URIs name."""
        return self.server_address or call.host

    # -- pages ----------------------------------------------------------------------------------

    async def _show(self, route: Route, page: Page, status: int = 200) -> web.Response:
        if route.view is None:
            raise TypeError(f"{route.path} has no view")
        page.since = self.hub.count
        rendered = await route.view.make(self, page)
        return self.renderer.page(rendered, page, status)

    async def _submit(self, route: Route, call: Call, request: web.Request) -> web.Response:
        operation = route.operation
        if operation is None or route.after is None or route.view is None:
            raise TypeError(f"{route.path} takes no form")
        posted = await form_of(request)
        # The answer may be the page, so whoever sends the form must be allowed to see that.
        await self._check(route.view.action, call, route.view.kind)
        page = Page(call, request)
        try:
            call = dataclasses.replace(call, values=from_form(operation.fields, posted))
            result = await self.perform(operation, call)
        except GatewayError as error:
            problem = problem_of(error)
            if problem.status == 404:
                return await self._show_notice(route, page, error)
            if problem.status == 401 or problem.code in (STANDING, "scope"):
                raise
            return await self._show_fault(route, page, operation, posted, error)
        if isinstance(result, Credentials | NewToken):
            page.shown = result
            return await self._show(route, page)
        return see_other(route.after(call, result))

    async def _show_notice(self, route: Route, page: Page, gone: GatewayError) -> web.Response:
        """Show the page as it is now with a notice: what was to be changed is gone (SEC-04)."""
        page.notice = str(gone)
        try:
            return await self._show(route, page, 404)
        except NotFound:
            raise gone from None

    async def _show_fault(
        self,
        route: Route,
        page: Page,
        operation: Operation,
        posted: MultiDict[Any],
        error: GatewayError,
    ) -> web.Response:
        problem = problem_of(error)
        page.failed = operation.name
        page.errors = {problem.field: problem.detail}
        page.typed = _typed(operation.fields, posted)
        if problem.field and problem.field not in {field.name for field in operation.fields}:
            page.errors[""] = problem.detail
        return await self._show(route, page, problem.status)

    # -- programs -------------------------------------------------------------------------------

    async def _answer_query(self, query: Query, call: Call, request: web.Request) -> web.Response:
        values = from_form(query.fields, request.query)
        call = dataclasses.replace(call, values=values)

        def within(reader: Reader) -> Any:
            authorize(
                reader,
                call.visitor,
                query.action,
                query.kind,
                call.ids.get(query.kind.value, 0),
                changes=False,
            )
            return query.read(reader, call)

        found = query.finish(self, call, await self.registry.read(within))
        if query.many:
            return json_answer({"items": [query.shape.of(item) for item in found]})
        return json_answer(query.shape.of(found))

    # -- the authorizer and the audit -----------------------------------------------------------

    async def _check(self, action: Action | None, call: Call, kind: Kind) -> None:
        if action is None:
            return
        await self.registry.read(
            lambda reader: authorize(
                reader, call.visitor, action, kind, call.ids.get(kind.value, 0), changes=False
            )
        )

    async def _authorize(
        self, action: Action, visitor: Visitor, kind: Kind, object_id: int
    ) -> None:
        await self.registry.read(
            lambda reader: authorize(reader, visitor, action, kind, object_id, changes=True)
        )

    async def _note_refusal(self, operation: Operation, call: Call, refused: GatewayError) -> None:
        if not call.visitor.signed_in:
            return
        now = self.clock.monotonic()
        if now - self._refusals_since > 60:
            self._refusals_since, self._refusals = now, 0
        self._refusals += 1
        if self._refusals > REFUSALS_PER_MINUTE:
            return
        _log.warning("refused %s to %s", operation.name, _actor(call.visitor))
        await self.registry.write(
            lambda tx: audit.append(
                tx,
                call.visitor.owner_id,
                call.visitor.address,
                operation.name,
                _object(operation, call),
                str(refused),
                "denied",
            )
        )

    def _host(self, request: web.Request) -> str:
        name = host_name(request.host)
        return name if _URI_HOST.fullmatch(name) else self.renderer.machine_name


def _within(tx: Tx, operation: Operation, call: Call, subject: tuple[Kind, int]) -> Any:
    if operation.within is None:
        raise TypeError(f"{operation.name} does nothing")
    authorize(tx, call.visitor, operation.action, *subject, changes=True)
    result = operation.within(tx, call)
    _note(tx, operation, call, result)
    return result


def _read(reader: Reader, operation: Operation, call: Call) -> Any:
    if operation.within is None:
        raise TypeError(f"{operation.name} does nothing")
    subject = operation.authorized(call)
    authorize(reader, call.visitor, operation.action, *subject, changes=False)
    # What leaves no row only reads, whatever its type says: SQLite itself refuses it more.
    return operation.within(cast(Tx, reader), call)


def _note(tx: Tx, operation: Operation, call: Call, result: Any) -> int:
    detail = operation.detail(call, result) if operation.detail else _given(operation, call)
    if call.visitor.token is not None:
        detail = f"{detail} (token {call.visitor.token.name})".strip()
    return audit.append(
        tx,
        call.visitor.owner_id,
        call.visitor.address,
        operation.name,
        _object(operation, call),
        detail,
    )


def _given(operation: Operation, call: Call) -> str:
    shown = (
        f"{field.name}={call.values.get(field.name)}"
        for field in operation.fields
        if field.kind is not FieldKind.SECRET and call.values.get(field.name) not in (None, "", ())
    )
    return " ".join(shown)


def _object(operation: Operation, call: Call) -> str:
    kind, object_id = operation.kind, call.ids.get(operation.kind.value, 0)
    if kind is Kind.NONE:
        kind, object_id = operation.authorized(call)
    return str(kind) if kind in (Kind.NONE, Kind.ACCOUNT) else f"{kind} {object_id}"


def _actor(visitor: Visitor) -> str:
    return "the box's token" if visitor.is_box else f"account {visitor.owner_id}"


def _ids(request: web.Request) -> dict[str, int]:
    found = {}
    for name, value in request.match_info.items():
        if name in KIND_NAMES and value.isascii() and value.isdigit() and len(value) <= ID_DIGITS:
            found[name] = int(value)
        elif name in KIND_NAMES:
            raise NotFound("There is no such page. Check the address.")
    return found


def _typed(fields: Sequence[Field], posted: MultiDict[Any]) -> dict[str, Any]:
    """Return what was typed, so that nothing is lost; secrets are typed again."""
    typed: dict[str, Any] = {}
    for field in fields:
        if field.kind is FieldKind.SECRET:
            continue
        if field.kind is FieldKind.NUMBERS:
            typed[field.name] = [str(value) for value in posted.getall(field.name, [])]
        else:
            typed[field.name] = str(posted.get(field.name, ""))
    return typed
