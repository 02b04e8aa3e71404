"""The one error family: whose fault it is decides the branch."""

from __future__ import annotations


class GatewayError(Exception):
    """Root of the family; the text is a sentence for people that says what to do."""


class LocalError(GatewayError):
    """Our own caller asked for something that cannot be."""


class RemoteError(GatewayError):
    """A peer on the network broke a rule or refused."""


class HostError(GatewayError):
    """The machine or the network around us failed."""


class InvalidInput(LocalError):
    """A value typed or sent by somebody is not acceptable; `field` names it."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class NotFound(LocalError):
    """The object does not exist, or not for this caller."""


class Conflict(LocalError):
    """The object exists already, or its state does not allow the change."""


class Denied(LocalError):
    """The caller may not do this; `code` is a stable word for programs."""

    def __init__(self, message: str, code: str = "denied") -> None:
        super().__init__(message)
        self.code = code


class QuotaExceeded(LocalError):
    """A configured limit is reached; nothing was changed."""


class ProtocolViolation(RemoteError):
    """Octets from a peer that no rule of the protocol allows."""


class ConnectFailed(HostError):
    """A connection could not be made."""


class TimedOut(HostError):
    """Something did not happen within its time limit."""
