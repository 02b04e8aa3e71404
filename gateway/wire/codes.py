"""The protocol's error codes and how an endpoint reacts to each (01 section 5.1)."""

from __future__ import annotations

import enum


class ErrorCode(enum.IntEnum):
    """Every code of 01 section 5.1, those that never travel included."""

    NO_ERROR = 0
    UNSUPPORTED_HOST_FUNCTIONALITY = 5
    PERSISTENCE_ERROR = 6
    NETWORK_ERROR = 34
    INPUT_DATA_FORMAT_ERROR = 38
    INPUT_DATA_INCONSISTENT = 39
    UNEXPECTED_ERROR = 63
    INCOMPATIBLE_PROTOCOL_VERSION = 92
    INVALID_SERVER_ENDPOINT = 93
    SERVICE_NOT_REGISTERED = 95
    INVALID_CLIENT_CATEGORY = 96
    CLIENT_NOT_REGISTERED = 97
    PASSWORD_NOT_MATCHED = 98
    DUPLICATED_SERVICE_UID_USAGE = 100
    DUPLICATED_CLIENT_KEY_USAGE = 101
    CONSTRAINT_VIOLATION = 102
    CLIENT_OFFLINE = 105
    ENDPOINT_DATA_FORMAT_ERROR = 110
    ENDPOINT_DATA_INCONSISTENT = 111
    ACCESS_DENIED = 112
    SERVICE_OFFLINE = 115
    SERVICE_BUSY = 116
    PORT_UNREACHABLE = 121
    CONNECTION_ATTEMPT_FAILED = 122
    MISSING_PROCEDURE = 132
    ARGUMENT_ERROR = 133
    SERVER_BUSY = 232
    CONFIG_ERROR = 233
    DBMS_ERROR = 234
    DATA_INTEGRITY_ERROR = 238
    RESTART = 245
    TIMEOUT_EXPIRED = 250

    @classmethod
    def of(cls, number: int) -> ErrorCode:
        """Return the code for a received number; unknown ones are UNEXPECTED_ERROR."""
        try:
            return cls(number)
        except ValueError:
            return cls.UNEXPECTED_ERROR


class Reaction(enum.Enum):
    """What an endpoint does after an error (01 section 5.1)."""

    DOWN = "stops for good"
    BACK_OFF = "comes back along the back-off table"
    MINUTE = "comes back after 60 seconds"


_SERVICE_DOWN_BALANCER = frozenset({ErrorCode.SERVICE_NOT_REGISTERED})
_SERVICE_DOWN = frozenset(
    {
        ErrorCode.PASSWORD_NOT_MATCHED,
        ErrorCode.DUPLICATED_SERVICE_UID_USAGE,
        ErrorCode.CONSTRAINT_VIOLATION,
        ErrorCode.UNSUPPORTED_HOST_FUNCTIONALITY,
    }
)
_CLIENT_DOWN_BALANCER = frozenset(
    {ErrorCode.INVALID_CLIENT_CATEGORY, ErrorCode.CLIENT_NOT_REGISTERED}
)
_CLIENT_DOWN = frozenset(
    {
        ErrorCode.CLIENT_NOT_REGISTERED,
        ErrorCode.PASSWORD_NOT_MATCHED,
        ErrorCode.DUPLICATED_CLIENT_KEY_USAGE,
    }
)
_BACK_OFF = frozenset({ErrorCode.NETWORK_ERROR, ErrorCode.RESTART})


def reaction(code: ErrorCode, *, service: bool, balancer: bool) -> Reaction:
    """Return what an endpoint does after `code` from the balancer or on the channel."""
    if balancer:
        down = _SERVICE_DOWN_BALANCER if service else _CLIENT_DOWN_BALANCER
    else:
        down = _SERVICE_DOWN if service else _CLIENT_DOWN
    if code in down:
        return Reaction.DOWN
    return Reaction.BACK_OFF if code in _BACK_OFF else Reaction.MINUTE
