"""Accounts, web sessions, tokens and audit rows as the registry returns them, without secrets."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from gateway.model.kinds import Authority


@dataclass(frozen=True, slots=True)
class Owner:
    """An account; times are Unix seconds, `locked_until` is None unless it is locked.

    `email` is confirmed; `email_pending` was only typed and is of no use until it is.
    """

    id: int
    account_name: str
    full_name: str
    authority: Authority
    enabled: bool
    email: str | None
    locked_until: int | None
    created_at: int
    last_login_at: int | None
    email_pending: str | None = None

    @property
    def eligible(self) -> bool:
        """Tell whether this account's sites are served (04 section 4.1)."""
        return self.enabled and self.authority >= Authority.PROVIDER


@dataclass(frozen=True, slots=True)
class WebSession:
    """A signed-in browser; `csrf_key` goes into forms, the token itself is not stored."""

    owner: Owner
    csrf_key: bytes = field(repr=False)
    persistent: bool
    created_at: int
    expires_at: int


class Scope(enum.StrEnum):
    """What a token allows a program to do."""

    READ = "read"
    MANAGE = "manage"
    ADMINISTER = "administer"


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A token of a program; without an owner it is the box's own, for local tools."""

    id: int
    name: str
    owner_id: int | None
    scopes: frozenset[Scope]
    created_at: int
    expires_at: int | None
    last_used_at: int | None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what to which object, and how it ended; `hash` covers the row and the one before."""

    id: int
    at: int
    actor_id: int | None
    address: str
    action: str
    object: str
    detail: str
    outcome: str
    hash: bytes


class InvitationState(enum.IntEnum):
    """What became of an invitation to register (04 section 4.6)."""

    VALID = 0
    ACCEPTED = 1
    EXPIRED = 2
    ACCOUNT_GONE = 3


@dataclass(frozen=True, slots=True)
class Invitation:
    """An invitation to register; whoever has `key` may use it, so only administrators see it."""

    id: int
    inviter_id: int
    inviter_name: str
    key: str = field(repr=False)
    email: str | None
    text: str
    make_provider: bool
    state: InvitationState
    created_at: int
    expires_at: int
    accepted_at: int | None
    new_owner_id: int | None


@dataclass(frozen=True, slots=True)
class AccountRequest:
    """Somebody asked for an account on a box that cannot send mail."""

    id: int
    email: str
    message: str
    source: str
    created_at: int
