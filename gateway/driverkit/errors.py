"""What can go wrong with a device; a driver raises only these, or a LocalError."""

from __future__ import annotations

from gateway.base.errors import GatewayError, HostError, RemoteError


class DriverError(GatewayError):
    """Root of the device errors; the text is a sentence for the owner."""


class Unreachable(DriverError, HostError):
    """The device does not answer: off, moved, or a firewall stands between."""


class CredentialsRefused(DriverError, RemoteError):
    """The device refused the login. Never retried without a person: cameras lock the account."""


class Unsupported(DriverError, RemoteError):
    """The device, or this installation, cannot do what was asked."""


class Misbehaved(DriverError, RemoteError):
    """The device answered, but with something that no rule allows."""


class Busy(DriverError, RemoteError):
    """The device is at its limit of sessions or bandwidth; try again later."""
