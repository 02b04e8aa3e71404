"""A furnished registry for tests: a turned clock, a heard feed, an owner with a built site."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

from gateway.model.kinds import Authority, EventKind, GuestAccess, GuestSupport, SiteKind
from gateway.model.sites import Domain, Service, Site
from gateway.model.structure import EventDefinition, SiteStructure
from gateway.registry import domains, owners, services, sites, structure
from gateway.registry.changes import Change
from gateway.registry.database import Registry, Tx
from gateway.registry.passwords import PasswordRecord

CAMERA = SiteStructure(
    "IP Camera",
    "Softnet Camera Gateway",
    GuestSupport.STATELESS,
    ("Administrator", "Operator", "User"),
    "Administrator",
    (
        EventDefinition(EventKind.REPLACING, "Status", guest_access=GuestAccess.GUEST_DENIED),
        EventDefinition(EventKind.QUEUEING, "Motion", 3600, 200, roles=("Operator", "User")),
        EventDefinition(EventKind.PRIVATE, "Notice", 86_400),
    ),
)
PLAIN = SiteStructure("Lamp", "John Doe")
RECORD = PasswordRecord("$argon2id$not$checked")


@dataclass
class TurnedClock:
    """A clock that stands still until a test turns it."""

    seconds: float = 1_800_000_000.0

    def monotonic(self) -> float:
        return self.seconds

    def wall(self) -> float:
        return self.seconds


@dataclass
class Opened:
    """An open registry, its clock, and what its feed delivered so far."""

    registry: Registry
    clock: TurnedClock
    heard: list[tuple[Change, ...]] = field(default_factory=list)

    async def write(self, fn: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        return await self.registry.write(lambda tx: fn(tx, *arguments, **named))

    async def read(self, fn: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        return await self.registry.read(lambda reader: fn(reader, *arguments, **named))

    async def changes_of(
        self, fn: Callable[..., Any], *arguments: Any, **named: Any
    ) -> set[Change]:
        """Run a write and return what it announced."""
        self.heard.clear()
        await self.write(fn, *arguments, **named)
        assert len(self.heard) <= 1
        return set(self.heard[0]) if self.heard else set()


OpenRegistry = Callable[..., AbstractAsyncContextManager[Opened]]


@dataclass(frozen=True)
class Built:
    """An owner's multi-service site built as cameras build it."""

    owner_id: int
    domain: Domain
    site: Site
    service: Service


def make_owner(tx: Tx, name: str = "markus", authority: Authority = Authority.PROVIDER) -> int:
    return owners.add(tx, name, f"Mr. {name}", RECORD, authority).id


def make_site(
    tx: Tx,
    declared: SiteStructure = CAMERA,
    kind: SiteKind = SiteKind.MULTI_SERVICE,
    owner_id: int | None = None,
) -> Built:
    owner_id = make_owner(tx) if owner_id is None else owner_id
    domain = domains.add(tx, owner_id, "Office")
    site = sites.add(tx, domain.id, "Surveillance", kind)
    service = (
        services.add(tx, site.id)
        if kind is SiteKind.MULTI_SERVICE
        else services.list_for(tx, site.id)[0]
    )
    structure.store_for_service(tx, service.id, declared, "1.0", b"h" * 20)
    assert structure.build(tx, site.id, service.id)
    return Built(owner_id, domain, sites.get(tx, site.id), services.get(tx, service.id))
