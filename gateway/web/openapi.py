"""The description of the API, made of the route table: OpenAPI 3.1."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from aiohttp import web

from gateway import __version__
from gateway.access.operators import TABLE, Relation, Standing
from gateway.web.answers import json_answer
from gateway.web.authority import Kind, Visitor
from gateway.web.problems import PROBLEM_TYPE
from gateway.web.routing import Route, Side
from gateway.web.shapes import ALL

if TYPE_CHECKING:
    from gateway.web.desk import Desk

_PARAMETER = re.compile(r"\{(\w+)\}")
_PROBLEMS = {
    "400": "The request is malformed.",
    "401": "Sign in, or send a token.",
    "403": "Not allowed.",
    "404": "The object does not exist, or not for this caller.",
    "409": "The present state, or a limit, does not allow it.",
    "415": "Send application/json.",
    "422": "A value is not acceptable; `field` names it.",
    "429": "Too many attempts.",
    "502": "The camera did not answer as expected.",
    "503": "Not available now.",
}


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """Return the description of every route that answers programs."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        if route.side is Side.API:
            paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Softnet Camera Gateway",
            "version": __version__,
            "description": "Everything that the pages can do, for programs.",
        },
        "paths": paths,
        "components": {
            "schemas": {shape.name: shape.schema() for shape in ALL},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": _identifier(route),
        "summary": route.summary,
        "responses": _responses(route),
    }
    parameters = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "integer", "minimum": 1},
        }
        for name in _PARAMETER.findall(route.path)
    ]
    if route.query is not None:
        parameters += [
            {"name": field.name, "in": "query", "required": field.required,
             "schema": field.schema()}
            for field in route.query.fields
        ]  # fmt: skip
    if parameters:
        found["parameters"] = parameters
    fields = route.fields if route.query is None else ()
    if fields:
        found["requestBody"] = {
            "required": any(field.required for field in fields),
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "properties": {field.name: field.schema() for field in fields},
                        "required": [field.name for field in fields if field.required],
                        "additionalProperties": False,
                    }
                }
            },
        }
    if route.action is not None:
        found["security"] = [{"token": []}]
        found["x-standings"] = [
            str(standing)
            for standing in Standing
            if TABLE[route.action][standing] - {Relation.FOREIGN}
        ]
    return found


def _responses(route: Route) -> dict[str, Any]:
    problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
    answers = {
        status: {"description": text, "content": {PROBLEM_TYPE: problem}}
        for status, text in _PROBLEMS.items()
    }
    return {str(route.status): _good(route), **answers}


def _good(route: Route) -> dict[str, Any]:
    shape, many = route.answers, False
    if route.query is not None:
        shape, many = route.query.shape, route.query.many
    elif route.operation is not None:
        shape = route.operation.shape
    if shape is None:
        kind = "image/jpeg" if route.kind is Kind.DEVICE else "application/json"
        return {"description": "Done.", "content": {kind: {"schema": {}}}}
    schema: dict[str, Any] = {"$ref": f"#/components/schemas/{shape.name}"}
    if many:
        schema = {
            "type": "object",
            "properties": {"items": {"type": "array", "items": schema}},
            "required": ["items"],
        }
    return {"description": "Done.", "content": {"application/json": {"schema": schema}}}


def _identifier(route: Route) -> str:
    words = re.findall(r"\w+", route.path.removeprefix("/api/v1").replace("-", "_"))
    return "_".join([route.method.lower(), *words])


async def answer(desk: Desk, request: web.Request, visitor: Visitor) -> web.Response:
    """Answer with the description."""
    del request, visitor
    return json_answer(desk.description)
