"""Errors as answers: one table from the family of errors to HTTP, for pages and programs alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.base.errors import (
    Conflict,
    Denied,
    GatewayError,
    HostError,
    InvalidInput,
    NotFound,
    QuotaExceeded,
    RemoteError,
    TimedOut,
)
from gateway.driverkit.errors import CredentialsRefused, DriverError

PROBLEM_TYPE = "application/problem+json"


class BadRequest(GatewayError):
    """A request that no browser of ours would send; `status` and `code` say what is wrong."""

    def __init__(self, message: str, status: int, code: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


_DENIED = {
    "sign-in": 401,
    "credentials": 401,
    "token": 401,
    "locked": 429,
    "throttled": 429,
    "busy": 429,
}

_FAMILY: tuple[tuple[type[GatewayError], int, str, str], ...] = (
    (InvalidInput, 422, "invalid-input", "A value is not acceptable"),
    (NotFound, 404, "not-found", "Not found"),
    (QuotaExceeded, 409, "quota-exceeded", "A limit is reached"),
    (Conflict, 409, "conflict", "Not possible now"),
    (CredentialsRefused, 422, "camera-credentials", "The camera refused the login"),
    (DriverError, 502, "camera", "The camera did not answer as expected"),
    (TimedOut, 504, "timed-out", "It took too long"),
    (RemoteError, 502, "remote", "The other side refused"),
    (HostError, 503, "unavailable", "Not available now"),
)


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as people and programs see it (RFC 9457); `field` names the value at fault."""

    status: int
    code: str
    title: str
    detail: str
    field: str = ""

    def document(self) -> dict[str, Any]:
        """Return the body for a program."""
        found: dict[str, Any] = {
            "type": f"urn:softnet-gateway:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.field:
            found["field"] = self.field
        return found


def problem_of(error: GatewayError) -> Problem:
    """Return how an error of the family is answered."""
    text = str(error)
    if isinstance(error, BadRequest):
        return Problem(error.status, error.code, "This request cannot be served", text)
    if isinstance(error, Denied):
        status = _DENIED.get(error.code, 403)
        title = {401: "Sign in first", 429: "Not now"}.get(status, "Not allowed")
        return Problem(status, error.code, title, text)
    for kind, status, code, title in _FAMILY:
        if isinstance(error, kind):
            field = getattr(error, "field", "")
            if isinstance(error, CredentialsRefused):
                field = "password"
            return Problem(status, code, title, text, field)
    return Problem(500, "fault", "Something went wrong", FAULT)


FAULT = "Something went wrong inside the gateway. The journal has the details; try again."
