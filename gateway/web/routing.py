"""What a route is: data that says who may call it and what it takes, and the calls made of it."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

from gateway.access.operators import Action
from gateway.base.secret import Secret
from gateway.registry.database import Reader, Tx
from gateway.web.authority import Kind, Visitor
from gateway.web.fields import Field
from gateway.web.shapes import DONE, Shape

if TYPE_CHECKING:
    from gateway.web.desk import Desk

UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Side(enum.StrEnum):
    """Whom a route answers: people with pages, programs with JSON."""

    PAGE = "page"
    API = "api"


@dataclass(frozen=True, slots=True)
class Call:
    """One request on its way through an operation or query.

    `ids` are the numbers of the path by kind, `host` is what URIs name when no server address is
    configured.
    """

    visitor: Visitor
    ids: Mapping[str, int]
    values: Mapping[str, Any]
    host: str = ""

    def id(self, kind: Kind) -> int:
        """Return the id of the path's object of this kind."""
        return self.ids[kind.value]


@dataclass(frozen=True, slots=True)
class Credentials:
    """A URI and its password, to be shown this one time."""

    id: int
    uri: str
    password: Secret


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token of a program that was just drawn, to be shown this one time."""

    id: int
    name: str
    secret: Secret


def _as_it_is(_desk: Desk, _call: Call, value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One change that an operator can make; pages and programs share it.

    `within` runs in the transaction that also authorizes and audits; `outside` is for what no
    transaction can hold, the cameras; `prepare` returns values that take long to compute.
    `subject` names another object to authorize than the path's.
    """

    name: str
    action: Action
    kind: Kind
    summary: str
    fields: tuple[Field, ...] = ()
    within: Callable[[Tx, Call], Any] | None = None
    outside: Callable[[Desk, Call], Awaitable[Any]] | None = None
    prepare: Callable[[Desk, Call], Awaitable[Mapping[str, Any]]] | None = None
    subject: Callable[[Call], tuple[Kind, int]] | None = None
    shape: Shape = DONE
    finish: Callable[[Desk, Call, Any], Any] = _as_it_is
    detail: Callable[[Call, Any], str] | None = None
    noted: bool = True
    """False for what only reads, and takes a body because a secret of its does not belong in an
    address: it leaves no row in the audit."""

    def authorized(self, call: Call) -> tuple[Kind, int]:
        """Return the object that the caller must be allowed to change."""
        if self.subject is not None:
            return self.subject(call)
        return self.kind, call.ids.get(self.kind.value, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One question that a program can ask; `many` answers with a list under 'items'."""

    action: Action
    kind: Kind
    summary: str
    shape: Shape
    read: Callable[[Reader, Call], Any]
    many: bool = False
    fields: tuple[Field, ...] = ()
    finish: Callable[[Desk, Call, Any], Any] = _as_it_is


@dataclass(slots=True)
class Page:
    """What a view knows besides its object: what was typed, what was wrong, what to show once."""

    call: Call
    request: web.Request
    failed: str = ""
    errors: dict[str, str] = field(default_factory=dict)
    typed: Mapping[str, Any] = field(default_factory=dict)
    shown: Credentials | NewToken | None = None
    notice: str = ""
    """What a form was about and is gone meanwhile, in a sentence."""
    since: int = 0
    """Which changes it shows: those up to this number of the event hub."""

    @property
    def query(self) -> Mapping[str, str]:
        """Return the parameters of the address."""
        return self.request.query

    def faults(self, action: str) -> Mapping[str, str]:
        """Return what was wrong with the form that is sent to `action`, by field."""
        return self.errors if self.failed and self.request.path == action else {}

    def retyped(self, action: str) -> Mapping[str, Any]:
        """Return what was typed into the form that is sent to `action`, so that it stays."""
        return self.typed if self.failed and self.request.path == action else {}

    def opened(self, kind: Kind, parameter: str) -> int:
        """Return which object's editor is open: the one just acted on, else as the address says."""
        if self.shown is not None or self.failed:
            return self.call.ids.get(kind.value, 0)
        return self.number(parameter)

    def number(self, name: str) -> int:
        """Return a number of the address, or 0."""
        given = self.request.query.get(name, "")
        return int(given) if given.isascii() and given.isdigit() and len(given) < 19 else 0


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a view returns: a template and its values; `topics` are what keeps the page live."""

    template: str
    values: Mapping[str, Any]
    topics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class View:
    """A page: who may see it, and what makes it. A form's answer is a page too, and asks alike."""

    action: Action
    kind: Kind
    make: Callable[[Desk, Page], Awaitable[Rendered]]


Handler = Callable[["Desk", web.Request, Visitor], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One line of the route table; without an action it is open to everybody.

    Exactly one of `operation`, `query`, `view` alone, and `handler` says what it does; a page's
    operation has a `view` to return to, and `after` to go to when it is done.
    """

    method: str
    path: str
    side: Side
    kind: Kind = Kind.NONE
    action: Action | None = None
    csrf: bool = False
    status: int = 200
    summary: str = ""
    operation: Operation | None = None
    query: Query | None = None
    view: View | None = None
    after: Callable[[Call, Any], str] | None = None
    handler: Handler | None = None
    takes: tuple[Field, ...] = ()
    """What a handler takes in its body, and `answers` what it returns: for the description."""
    answers: Shape | None = None

    @property
    def changes(self) -> bool:
        """Tell whether the route may change anything."""
        reads = self.operation is not None and not self.operation.noted
        return self.method in UNSAFE and not reads

    @property
    def fields(self) -> tuple[Field, ...]:
        """Return what the route takes in its body or query."""
        source = self.operation or self.query
        return self.takes if source is None else source.fields


def page(path: str, view: View) -> Route:
    """Declare a page."""
    return Route(
        method="GET", path=path, side=Side.PAGE, kind=view.kind, action=view.action, view=view
    )


def form(path: str, operation: Operation, view: View, after: Callable[[Call, Any], str]) -> Route:
    """Declare where a form of a page is sent; what goes wrong is shown beside it by `view`."""
    return Route(
        method="POST",
        path=path,
        side=Side.PAGE,
        kind=operation.kind,
        action=operation.action,
        csrf=True,
        summary=operation.summary,
        operation=operation,
        view=view,
        after=after,
    )


def ask(path: str, query: Query) -> Route:
    """Declare a question of the API."""
    return Route(
        method="GET",
        path=f"/api/v1{path}",
        side=Side.API,
        kind=query.kind,
        action=query.action,
        summary=query.summary,
        query=query,
    )


def tell(method: str, path: str, operation: Operation, status: int = 200) -> Route:
    """Declare a change of the API; a browser's own calls need the CSRF token in a header."""
    return Route(
        method=method,
        path=f"/api/v1{path}",
        side=Side.API,
        kind=operation.kind,
        action=operation.action,
        csrf=True,
        status=status,
        summary=operation.summary,
        operation=operation,
    )
