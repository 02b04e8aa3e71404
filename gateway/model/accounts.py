"""Accounts, web sessions, tokens and audit rows as the registry returns them, without secrets."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from gateway.model.kinds import Authority


@dataclass(frozen=True, slots=True)
class Owner:
    """An account; times are Unix seconds, `locked_until` is None unless it is locked."""

    id: int
    account_name: str
    full_name: str
    authority: Authority
    enabled: bool
    email: str | None
    locked_until: int | None
    created_at: int
    last_login_at: int | None

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
