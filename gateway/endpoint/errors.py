"""How a request of a client can fail: one class a code of 02 section 2.5."""

from __future__ import annotations

from gateway.base.errors import RemoteError
from gateway.wire.codes import ErrorCode


class RequestRefused(RemoteError):
    """A request came to nothing; `code` is the protocol's number."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class AccessDenied(RequestRefused):
    """The service does not let this user in here."""


class ServiceOffline(RequestRefused):
    """The service is not online."""


class ServiceBusy(RequestRefused):
    """The service takes no more connections at the moment."""


class PortUnreachable(RequestRefused):
    """The service does not listen on this virtual port."""


class ConnectionAttemptFailed(RequestRefused):
    """The two ends could not meet at the proxy."""


class MissingProcedure(RequestRefused):
    """The service does not offer this procedure."""


class RequestTimedOut(RequestRefused):
    """There was no success in time."""


class ClientOffline(RequestRefused):
    """This client itself is not online."""


_KINDS: dict[int, tuple[type[RequestRefused], str]] = {
    ErrorCode.ACCESS_DENIED: (
        AccessDenied,
        "Access denied: your user may not use this. Ask the owner for the right role.",
    ),
    ErrorCode.SERVICE_OFFLINE: (ServiceOffline, "The service is not online. Try again later."),
    ErrorCode.SERVICE_BUSY: (
        ServiceBusy,
        "The service takes no more connections now. Close others or try again later.",
    ),
    ErrorCode.PORT_UNREACHABLE: (PortUnreachable, "The service has nothing on this port."),
    ErrorCode.CONNECTION_ATTEMPT_FAILED: (
        ConnectionAttemptFailed,
        "The service agreed, but the connection could not be made. Try again.",
    ),
    ErrorCode.MISSING_PROCEDURE: (
        MissingProcedure,
        "The service does not offer this procedure.",
    ),
    ErrorCode.TIMEOUT_EXPIRED: (
        RequestTimedOut,
        "The service did not answer in time. Try again later.",
    ),
    ErrorCode.CLIENT_OFFLINE: (
        ClientOffline,
        "This client is not online at the moment. Try again when it is.",
    ),
}


def refused(code: int) -> RequestRefused:
    """Return the error for a code that a request ended with."""
    kind, text = _KINDS.get(code, (RequestRefused, f"The request failed with error {code}."))
    return kind(code, text)
