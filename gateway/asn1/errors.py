"""What can be wrong with encoded octets."""

from __future__ import annotations

from gateway.base.errors import LocalError, ProtocolViolation


class DecodeError(ProtocolViolation):
    """Octets that are not an acceptable encoding."""


class Truncated(DecodeError):
    """The octets end before the element does."""


class TrailingElements(DecodeError):
    """Elements are left over where the end was demanded."""


class WrongType(DecodeError):
    """The next element is of another type than the one asked for."""


class OutOfRange(DecodeError):
    """A value or length lies outside its bounds."""


class EncodeError(LocalError):
    """A value of ours that cannot be encoded."""
