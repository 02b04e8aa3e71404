"""Passwords of accounts: argon2id, with its parameters in the record (04 section 3.3).

These functions take tens of milliseconds and 19 MiB: run them through `Registry.hash`, which does
one at a time and keeps them out of transactions.
"""

from __future__ import annotations

import argon2
from argon2.exceptions import InvalidHashError, VerificationError

from gateway.base.secret import Secret

_HASHER = argon2.PasswordHasher(
    time_cost=2, memory_cost=19_456, parallelism=1, hash_len=32, salt_len=16
)

TYPED_PASSWORD_MAX = 1024
"""Longer texts are no passwords but attempts to keep the hasher busy."""


class PasswordRecord(str):
    """What is stored of an account's password; not shown in logs."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "PasswordRecord(...)"


def hash_password(password: Secret) -> PasswordRecord:
    """Return the record to be stored for an account's password."""
    return PasswordRecord(_HASHER.hash(password.reveal()))


def check_password(record: str, password: Secret) -> bool:
    """Tell whether a record was made of `password`; False for a record that is none."""
    if len(password) > TYPED_PASSWORD_MAX:
        return False
    try:
        return _HASHER.verify(record, password.reveal())
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False


def outdated(record: str) -> bool:
    """Tell whether a record was made with weaker parameters than today's."""
    return _HASHER.check_needs_rehash(record)


NOBODY = PasswordRecord(
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5bm9ib2R5bm9ibw$"
    "E0/8uZ9vetkk51MGZhuH4Au89hmr4z4rnBvMBFaDtqE"
)
"""Checked for an unknown account, so that the answer takes as long as for a known one."""
