"""What can be done to domains, sites and services, once for pages and programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.access.operators import Action
from gateway.base.errors import Conflict, InvalidInput
from gateway.model.kinds import SiteKind
from gateway.model.sites import Service
from gateway.registry import devices, domains, owners, services, sites, structure
from gateway.registry.database import Reader, Tx
from gateway.web import fields, shapes
from gateway.web.authority import Kind
from gateway.web.doors import LiveEndpoint
from gateway.web.routing import Call, Credentials, Operation, Query

if TYPE_CHECKING:
    from gateway.web.desk import Desk

OFFLINE = LiveEndpoint(False, "offline")


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """A service with what is live of it."""

    service: Service
    uri: str
    live: LiveEndpoint

    @property
    def online(self) -> bool:
        """Tell whether its device is connected and served."""
        return self.live.online

    @property
    def status(self) -> str:
        """Return what the tracker says of it, in words."""
        return self.live.status or ("online" if self.live.online else "offline")


def service_row(desk: Desk, call: Call, service: Service) -> ServiceRow:
    """Return a service as it is shown."""
    live = desk.live.live(service.site_id).services.get(service.id, OFFLINE)
    return ServiceRow(service, service.uri(desk.address(call)), live)


def service_rows(desk: Desk, call: Call, found: tuple[Service, ...]) -> tuple[ServiceRow, ...]:
    """Return services as they are shown."""
    return tuple(service_row(desk, call, service) for service in found)


def require_owner(call: Call) -> int:
    """Return the account that acts; the box's own token has none. Raises InvalidInput."""
    owner_id = call.values.get("owner_id") or call.visitor.owner_id
    if owner_id is None:
        raise InvalidInput(
            "Say whose it shall be: the token of the box has no account.", "owner_id"
        )
    if call.visitor.owner_id not in (None, owner_id):
        raise InvalidInput(
            "You can only create this for yourself. Leave the owner out.", "owner_id"
        )
    return int(owner_id)


# -- domains -----------------------------------------------------------------------------------


def list_domains(reader: Reader, call: Call) -> tuple[Any, ...]:
    """Return the domains that the visitor may list, by name."""
    if call.visitor.owner_id is not None:
        return domains.list_for(reader, call.visitor.owner_id)
    wanted = call.values.get("owner_id")
    every = (owner.id for owner in owners.list_all(reader) if wanted in (None, owner.id))
    return tuple(domain for owner_id in every for domain in domains.list_for(reader, owner_id))


OWNER_ID = fields.number(
    "owner_id", required=False, help="whose it shall be; only for the token of the box"
)
DOMAIN_LIST = Query(
    action=Action.VIEW_DOMAIN,
    kind=Kind.ACCOUNT,
    summary="List one's own domains; with the token of the box, all domains.",
    shape=shapes.DOMAIN,
    many=True,
    fields=(OWNER_ID,),
    read=list_domains,
)
DOMAIN_GET = Query(
    action=Action.VIEW_DOMAIN,
    kind=Kind.DOMAIN,
    summary="Return a domain.",
    shape=shapes.DOMAIN,
    read=lambda reader, call: domains.get(reader, call.id(Kind.DOMAIN)),
)
DOMAIN_ADD = Operation(
    name="domain.add",
    action=Action.CREATE_DOMAIN,
    kind=Kind.NONE,
    summary="Create a domain with its Owner and Guest users.",
    fields=(fields.text("name", required=False, maximum=96), OWNER_ID),
    within=lambda tx, call: domains.add(tx, require_owner(call), call.values["name"]),
    shape=shapes.DOMAIN,
)
DOMAIN_RENAME = Operation(
    name="domain.rename",
    action=Action.MANAGE_DOMAIN,
    kind=Kind.DOMAIN,
    summary="Give a domain another name.",
    fields=(fields.text("name", maximum=96),),
    within=lambda tx, call: domains.rename(tx, call.id(Kind.DOMAIN), call.values["name"]),
    shape=shapes.DOMAIN,
)
DOMAIN_DELETE = Operation(
    name="domain.delete",
    action=Action.MANAGE_DOMAIN,
    kind=Kind.DOMAIN,
    summary="Delete a domain with its sites, users and clients.",
    within=lambda tx, call: _delete_domain(tx, call.id(Kind.DOMAIN)),
)


def _delete_domain(tx: Tx, domain_id: int) -> None:
    for site in sites.list_for(tx, domain_id):
        refuse_with_cameras(tx, site.id)
    domains.delete(tx, domain_id)


def refuse_with_cameras(tx: Tx, site_id: int, service_id: int | None = None) -> None:
    """Raise Conflict while a camera of this gateway is bridged here: it is forgotten first."""
    for service in services.list_for(tx, site_id):
        if service_id in (None, service.id) and devices.by_service(tx, service.id) is not None:
            raise Conflict(
                f"{service.hostname} is a camera of this gateway. Forget it on the page of the "
                "cameras first."
            )


# -- sites -------------------------------------------------------------------------------------

SITE_LIST = Query(
    action=Action.VIEW_DOMAIN,
    kind=Kind.DOMAIN,
    summary="List the sites of a domain, newest first.",
    shape=shapes.SITE,
    many=True,
    read=lambda reader, call: sites.list_for(reader, call.id(Kind.DOMAIN)),
)
SITE_GET = Query(
    action=Action.VIEW_DOMAIN,
    kind=Kind.SITE,
    summary="Return a site.",
    shape=shapes.SITE,
    read=lambda reader, call: sites.get(reader, call.id(Kind.SITE)),
)
SITE_ADD = Operation(
    name="site.add",
    action=Action.MANAGE_DOMAIN,
    kind=Kind.DOMAIN,
    summary="Create a blank site; a single-service one comes with its service.",
    fields=(
        fields.text("description", required=False, maximum=96),
        fields.text("kind", required=False, choices=("single", "multi"), help="single by default"),
    ),
    within=lambda tx, call: sites.add(
        tx,
        call.id(Kind.DOMAIN),
        call.values["description"],
        SiteKind.MULTI_SERVICE if call.values["kind"] == "multi" else SiteKind.SINGLE_SERVICE,
    ),
    shape=shapes.SITE,
)
SITE_RENAME = Operation(
    name="site.describe",
    action=Action.MANAGE_DOMAIN,
    kind=Kind.SITE,
    summary="Give a site another description; blank restores SITE_n.",
    fields=(fields.text("description", required=False, maximum=96),),
    within=lambda tx, call: sites.rename(tx, call.id(Kind.SITE), call.values["description"]),
    shape=shapes.SITE,
)
SITE_ENABLE = Operation(
    name="site.enable",
    action=Action.MANAGE_DOMAIN,
    kind=Kind.SITE,
    summary="Switch a site on or off.",
    fields=(fields.flag("enabled"),),
    within=lambda tx, call: sites.set_enabled(tx, call.id(Kind.SITE), call.values["enabled"]),
    shape=shapes.SITE,
)
SITE_MULTI = Operation(
    name="site.make-multi",
    action=Action.MANAGE_DOMAIN,
    kind=Kind.SITE,
    summary="Set a blank single-service site as multi-service site, for good.",
    within=lambda tx, call: sites.make_multi(tx, call.id(Kind.SITE)),
    shape=shapes.SITE,
)
SITE_GUESTS = Operation(
    name="site.guests",
    action=Action.MANAGE_DOMAIN,
    kind=Kind.SITE,
    summary="Allow or deny guests on a site.",
    fields=(fields.flag("allowed"),),
    within=lambda tx, call: sites.set_guest_allowed(tx, call.id(Kind.SITE), call.values["allowed"]),
    shape=shapes.SITE,
)
SITE_DEFAULT_ROLE = Operation(
    name="site.default-role",
    action=Action.MANAGE_DOMAIN,
    kind=Kind.SITE,
    summary="Set the role that Owner and undedicated users have by default; none removes it.",
    fields=(fields.number("role_id", required=False),),
    within=lambda tx, call: sites.set_default_role(
        tx, call.id(Kind.SITE), call.values["role_id"] or None
    ),
    shape=shapes.SITE,
)
SITE_IMPLICIT = Operation(
    name="site.implicit-users",
    action=Action.MANAGE_DOMAIN,
    kind=Kind.SITE,
    summary="Allow or deny implicit users on a site without roles.",
    fields=(fields.flag("allowed"),),
    within=lambda tx, call: sites.set_implicit_users(
        tx, call.id(Kind.SITE), call.values["allowed"]
    ),
    shape=shapes.SITE,
)
SITE_DELETE = Operation(
    name="site.delete",
    action=Action.MANAGE_DOMAIN,
    kind=Kind.SITE,
    summary="Delete a site with its services and clients.",
    within=lambda tx, call: _delete_site(tx, call.id(Kind.SITE)),
)


def _delete_site(tx: Tx, site_id: int) -> int:
    """Delete a site; return its domain's id, for the page that comes next."""
    refuse_with_cameras(tx, site_id)
    domain_id = sites.get(tx, site_id).domain_id
    sites.delete(tx, site_id)
    return domain_id


# -- services ----------------------------------------------------------------------------------

SERVICE_LIST = Query(
    action=Action.VIEW_DOMAIN,
    kind=Kind.SITE,
    summary="List the services of a site.",
    shape=shapes.SERVICE,
    many=True,
    read=lambda reader, call: services.list_for(reader, call.id(Kind.SITE)),
    finish=service_rows,
)
SERVICE_ADD = Operation(
    name="service.add",
    action=Action.MANAGE_DOMAIN,
    kind=Kind.SITE,
    summary="Add a service to a multi-service site; without a hostname it is numbered.",
    fields=(fields.text("hostname", required=False, maximum=42),),
    within=lambda tx, call: services.add(tx, call.id(Kind.SITE), call.values["hostname"]),
    shape=shapes.SERVICE,
    finish=service_row,
)
SERVICE_PASSWORD = Operation(
    name="service.generate-password",
    action=Action.MANAGE_DOMAIN,
    kind=Kind.SERVICE,
    summary="Draw a new password for a service; it is shown this one time.",
    within=lambda tx, call: _service_password(tx, call.id(Kind.SERVICE)),
    shape=shapes.CREDENTIALS,
    finish=lambda desk, call, drawn: Credentials(
        drawn[0].id, drawn[0].uri(desk.address(call)), drawn[1]
    ),
)
SERVICE_RENAME = Operation(
    name="service.hostname",
    action=Action.MANAGE_DOMAIN,
    kind=Kind.SERVICE,
    summary="Give a service another hostname.",
    fields=(fields.text("hostname", maximum=42),),
    within=lambda tx, call: services.set_hostname(
        tx, call.id(Kind.SERVICE), call.values["hostname"]
    ),
    shape=shapes.SERVICE,
    finish=service_row,
)
SERVICE_ENABLE = Operation(
    name="service.enable",
    action=Action.MANAGE_DOMAIN,
    kind=Kind.SERVICE,
    summary="Switch a service of a multi-service site on or off.",
    fields=(fields.flag("enabled"),),
    within=lambda tx, call: services.set_enabled(tx, call.id(Kind.SERVICE), call.values["enabled"]),
    shape=shapes.SERVICE,
    finish=service_row,
)
SERVICE_PING = Operation(
    name="service.ping-period",
    action=Action.MANAGE_DOMAIN,
    kind=Kind.SERVICE,
    summary="Set the ping period: 10 to 300 seconds, or 0 for the device's own.",
    fields=(fields.number("ping_period", maximum=100_000),),
    within=lambda tx, call: services.set_ping_period(
        tx, call.id(Kind.SERVICE), call.values["ping_period"]
    ),
    shape=shapes.SERVICE,
    finish=service_row,
)
SERVICE_APPLY = Operation(
    name="service.apply-structure",
    action=Action.MANAGE_DOMAIN,
    kind=Kind.SERVICE,
    summary="Rebuild the site from the structure that this service declared last.",
    within=lambda tx, call: _apply_structure(tx, call.id(Kind.SERVICE)),
    shape=shapes.SITE,
)
SERVICE_DELETE = Operation(
    name="service.delete",
    action=Action.MANAGE_DOMAIN,
    kind=Kind.SERVICE,
    summary="Delete a service.",
    within=lambda tx, call: _delete_service(tx, call.id(Kind.SERVICE)),
)


def _service_password(tx: Tx, service_id: int) -> tuple[Service, Any]:
    service = services.get(tx, service_id)
    if devices.by_service(tx, service_id) is not None:
        raise Conflict(
            f"{service.hostname} is a camera of this gateway, which keeps its password itself."
        )
    return service, services.generate_password(tx, service_id)


def _apply_structure(tx: Tx, service_id: int) -> Any:
    site_id = services.get(tx, service_id).site_id
    structure.apply(tx, site_id, service_id)
    return sites.get(tx, site_id)


def _delete_service(tx: Tx, service_id: int) -> None:
    refuse_with_cameras(tx, services.get(tx, service_id).site_id, service_id)
    services.delete(tx, service_id)
