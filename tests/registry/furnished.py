"""A furnished registry for tests: a turned clock, a heard feed, an owner with a built site."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

from gateway.base.secret import Secret
from gateway.model.kinds import (
    Authority,
    EventKind,
    GuestAccess,
    GuestSupport,
    SiteKind,
    UserKind,
)
from gateway.model.sites import Domain, Service, Site
from gateway.model.structure import EventDefinition, SiteStructure
from gateway.registry import (
    contacts,
    domains,
    members,
    outbox,
    owners,
    server_settings,
    services,
    sites,
    structure,
)
from gateway.registry.changes import Change
from gateway.registry.database import Reader, Registry, Tx
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


def befriend(tx: Tx, one: int, other: int) -> tuple[int, int]:
    """Make two accounts contacts; return each side's row."""
    contacts.invite(tx, one, other)
    contacts.accept(tx, other, one)
    (mine,) = (found.id for found in contacts.list_for(tx, one) if found.partner_id == other)
    (theirs,) = (found.id for found in contacts.list_for(tx, other) if found.partner_id == one)
    return mine, theirs


@dataclass(frozen=True)
class Office:
    """The scene of the second seed page: Markus shares two of three sites with Julia."""

    markus: int
    julia: int
    contact_of_markus: int
    contact_of_julia: int
    domain: Domain
    surveillance: Site
    thermostat: Site
    alarm: Site
    robinson: int

    def sites(self) -> tuple[int, int, int]:
        return self.surveillance.id, self.thermostat.id, self.alarm.id


def make_office(tx: Tx) -> Office:
    markus = owners.add(tx, "markus", "Markus Schmidt", RECORD, Authority.PROVIDER).id
    julia = owners.add(tx, "julia", "Julia Robinson", RECORD, Authority.CONSUMER).id
    of_markus, of_julia = befriend(tx, markus, julia)
    domain = domains.add(tx, markus, "Office Automation")
    kinds = SiteKind.MULTI_SERVICE, SiteKind.SINGLE_SERVICE, SiteKind.SINGLE_SERVICE
    declared = (
        CAMERA,
        SiteStructure("Thermo", "Argus", roles=("Administrator", "User")),
        SiteStructure("iSentry", "Argus"),
    )
    names = ("Surveillance System", "Smart Thermostat", "Alarm System")
    built = []
    for name, kind, wanted in zip(names, kinds, declared, strict=True):
        site = sites.add(tx, domain.id, name, kind)
        if kind is SiteKind.MULTI_SERVICE:
            for number in range(1, 5):
                services.add(tx, site.id, f"Camera {number}")
        for service in services.list_for(tx, site.id):
            structure.store_for_service(
                tx, service.id, wanted, "2.3.1", wanted.service_type[:1].encode() * 20
            )
        structure.build(tx, site.id, services.list_for(tx, site.id)[0].id)
        built.append(sites.get(tx, site.id))
    user = members.add_user(tx, domain.id, UserKind.CONTACT, "Robinson", contact_id=of_markus)
    roles = {role.name: role.id for role in members.list_roles(tx, built[0].id)}
    sites.set_default_role(tx, built[0].id, roles["User"])
    members.add_site_user(tx, built[2].id, user.id)
    return Office(markus, julia, of_markus, of_julia, domain, *built, user.id)


URL = "https://box.example.org"


def with_mail(tx: Tx, **more: object) -> None:
    """Set a mail server that has taken its test letter."""
    values = {"management_url": URL, "smtp_host": "mail.example.org", "anyone_can_register": True}
    server_settings.change(tx, {**values, **more})
    assert server_settings.mail_tested(tx, server_settings.load(tx))


def last_link(reader: Reader, purpose: str) -> Secret:
    """Return the text that the newest letter of this purpose carries behind the last slash."""
    found = next(one for one in outbox.list_all(reader) if one.purpose == purpose)
    assert found.link is not None
    return Secret(found.link.reveal().rpartition("/")[2])
