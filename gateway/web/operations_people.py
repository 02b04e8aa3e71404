"""What can be done to users, their rights and their clients, once for pages and programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.access.operators import Action
from gateway.base.errors import Conflict, InvalidInput, NotFound
from gateway.base.secret import Secret
from gateway.model.kinds import UserKind
from gateway.model.sites import Client
from gateway.registry import clients, members, sites
from gateway.registry.database import Reader, Tx
from gateway.web import fields, shapes
from gateway.web.authority import Kind
from gateway.web.doors import LiveEndpoint
from gateway.web.operations_sites import OFFLINE
from gateway.web.routing import Call, Credentials, Operation, Query

if TYPE_CHECKING:
    from gateway.web.desk import Desk


@dataclass(frozen=True, slots=True)
class ClientRow:
    """A client with what is live of it."""

    client: Client
    uri: str
    live: LiveEndpoint

    @property
    def online(self) -> bool:
        """Tell whether its program is connected and served."""
        return self.live.online

    @property
    def status(self) -> str:
        """Return what the tracker says of it, in words."""
        return self.live.status or ("online" if self.live.online else "offline")


def client_row(desk: Desk, call: Call, client: Client) -> ClientRow:
    """Return a client as it is shown."""
    live = desk.live.live(client.site_id).clients.get(client.id, OFFLINE)
    return ClientRow(client, client.uri(desk.address(call)), live)


def client_rows(desk: Desk, call: Call, found: tuple[Client, ...]) -> tuple[ClientRow, ...]:
    """Return clients as they are shown."""
    return tuple(client_row(desk, call, client) for client in found)


# -- users of a domain ---------------------------------------------------------------------------

USER_LIST = Query(
    action=Action.VIEW_DOMAIN,
    kind=Kind.DOMAIN,
    summary="List the users of a domain: Owner, the others by name, Guest.",
    shape=shapes.USER,
    many=True,
    read=lambda reader, call: members.list_users(reader, call.id(Kind.DOMAIN)),
)
USER_ADD = Operation(
    name="user.add",
    action=Action.MANAGE_DOMAIN,
    kind=Kind.DOMAIN,
    summary="Create a Private user.",
    fields=(
        fields.text("name", maximum=36),
        fields.flag("dedicated", required=False, default=False),
    ),
    within=lambda tx, call: members.add_user(
        tx,
        call.id(Kind.DOMAIN),
        UserKind.PRIVATE,
        call.values["name"],
        dedicated=bool(call.values["dedicated"]),
    ),
    shape=shapes.USER,
)
USER_RENAME = Operation(
    name="user.rename",
    action=Action.MANAGE_DOMAIN,
    kind=Kind.USER,
    summary="Give a user another name.",
    fields=(fields.text("name", maximum=36),),
    within=lambda tx, call: members.rename_user(tx, call.id(Kind.USER), call.values["name"]),
    shape=shapes.USER,
)
USER_ENABLE = Operation(
    name="user.enable",
    action=Action.MANAGE_DOMAIN,
    kind=Kind.USER,
    summary="Enable or disable a user.",
    fields=(fields.flag("enabled"),),
    within=lambda tx, call: members.set_user_enabled(
        tx, call.id(Kind.USER), call.values["enabled"]
    ),
    shape=shapes.USER,
)
USER_DEDICATE = Operation(
    name="user.dedicate",
    action=Action.MANAGE_DOMAIN,
    kind=Kind.USER,
    summary="Have a user take only what it is given explicitly, or the defaults too.",
    fields=(fields.flag("dedicated"),),
    within=lambda tx, call: members.set_dedicated(tx, call.id(Kind.USER), call.values["dedicated"]),
    shape=shapes.USER,
)


def _edit_user(tx: Tx, call: Call) -> Any:
    user = members.get_user(tx, call.id(Kind.USER))
    if user.kind in (UserKind.PRIVATE, UserKind.CONTACT):
        members.rename_user(tx, user.id, call.values["name"])
        members.set_dedicated(tx, user.id, bool(call.values["dedicated"]))
    elif call.values["dedicated"] or call.values["name"] not in ("", user.name):
        raise Conflict(f"{user.name} belongs to the domain. It can only be enabled or disabled.")
    return members.set_user_enabled(tx, user.id, not call.values["disabled"])


USER_EDIT = Operation(
    name="user.edit",
    action=Action.MANAGE_DOMAIN,
    kind=Kind.USER,
    summary="Set a user's name, and whether it is disabled or dedicated; of Owner and Guest only "
    "the second.",
    fields=(
        fields.text("name", required=False, maximum=36),
        fields.flag("disabled", required=False, default=False),
        fields.flag("dedicated", required=False, default=False),
    ),
    within=_edit_user,
    shape=shapes.USER,
)
USER_DELETE = Operation(
    name="user.delete",
    action=Action.MANAGE_DOMAIN,
    kind=Kind.USER,
    summary="Delete a user with its clients.",
    within=lambda tx, call: members.delete_user(tx, call.id(Kind.USER)),
)


# -- rights on a site ----------------------------------------------------------------------------

ROLE_LIST = Query(
    action=Action.VIEW_DOMAIN,
    kind=Kind.SITE,
    summary="List the roles that the site supports, as its devices declared them.",
    shape=shapes.ROLE,
    many=True,
    read=lambda reader, call: members.list_roles(reader, _site(reader, call)),
)
RIGHTS_LIST = Query(
    action=Action.VIEW_DOMAIN,
    kind=Kind.SITE,
    summary="List every user of the domain with what the site gives it.",
    shape=shapes.RIGHTS,
    many=True,
    read=lambda reader, call: members.rights(reader, call.id(Kind.SITE)),
)
RIGHTS_ROLES = Operation(
    name="rights.roles",
    action=Action.MANAGE_DOMAIN,
    kind=Kind.SITE,
    summary="Give a user exactly these roles of the site; none takes all explicit rights away.",
    fields=(fields.number("user_id"), fields.numbers("role_ids", required=False)),
    within=lambda tx, call: members.set_roles(
        tx, call.id(Kind.SITE), call.values["user_id"], call.values["role_ids"]
    ),
)
RIGHTS_ADD = Operation(
    name="rights.add-user",
    action=Action.MANAGE_DOMAIN,
    kind=Kind.SITE,
    summary="Add a user to a site without roles, or make an implicit user explicit.",
    fields=(fields.number("user_id"),),
    within=lambda tx, call: members.add_site_user(tx, call.id(Kind.SITE), call.values["user_id"]),
)
RIGHTS_REMOVE = Operation(
    name="rights.remove-user",
    action=Action.MANAGE_DOMAIN,
    kind=Kind.SITE,
    summary="Take a user off a site without roles.",
    fields=(fields.number("user_id"),),
    within=lambda tx, call: members.remove_site_user(
        tx, call.id(Kind.SITE), call.values["user_id"]
    ),
)


# -- clients -------------------------------------------------------------------------------------


def shown_clients(every: tuple[Client, ...], call: Call) -> tuple[Client, ...]:
    """Return the clients of a site without the guest clients that others created (04, 6.7)."""
    mine = call.visitor.owner_id
    return tuple(
        client
        for client in every
        if client.user_kind is not UserKind.GUEST
        or (client.creator_id is not None and client.creator_id == mine)
        or call.visitor.is_box
    )


def _site(reader: Reader, call: Call) -> int:
    return sites.get(reader, call.id(Kind.SITE)).id


def _add_client(tx: Tx, call: Call) -> Client:
    site_id = call.id(Kind.SITE)
    creator_id = call.visitor.owner_id
    if creator_id is None:  # the box's own token acts for the owner of the site
        creator_id = sites.get(tx, site_id).owner_id
    rights = {given.user.id: given for given in members.rights(tx, site_id)}
    user_id = call.values["user_id"]
    if user_id in rights and not rights[user_id].allowed:
        if creator_id != sites.get(tx, site_id).owner_id:  # a partner does not learn of the site
            raise NotFound("This site does not exist any more. Reload the page.")
        raise InvalidInput(
            f"{rights[user_id].user.name} has no rights on this site. Give it rights first.",
            "user_id",
        )
    return clients.add(tx, site_id, user_id, creator_id)


def _client_password(tx: Tx, client_id: int) -> tuple[Client, Secret]:
    return clients.get(tx, client_id), clients.generate_password(tx, client_id)


def _delete_client(tx: Tx, client_id: int) -> Any:
    client = clients.get(tx, client_id)
    clients.delete(tx, client_id)
    return client


CLIENT_LIST = Query(
    action=Action.VIEW_DOMAIN,
    kind=Kind.SITE,
    summary="List the clients of a site, newest first.",
    shape=shapes.CLIENT,
    many=True,
    read=lambda reader, call: shown_clients(clients.list_for(reader, call.id(Kind.SITE)), call),
    finish=client_rows,
)
CLIENT_ADD = Operation(
    name="client.add",
    action=Action.MANAGE_OWN_CLIENT,
    kind=Kind.SITE,
    summary="Add a client for a user of the site, without a password yet.",
    fields=(fields.number("user_id"),),
    subject=lambda call: (Kind.USER, call.values["user_id"]),
    within=_add_client,
    detail=lambda _, client: f"client {client.key} for {client.user_name}",
    shape=shapes.CLIENT,
    finish=client_row,
)
CLIENT_PASSWORD = Operation(
    name="client.generate-password",
    action=Action.MANAGE_OWN_CLIENT,
    kind=Kind.CLIENT,
    summary="Draw a new password for a client; URI and password are shown this one time.",
    within=lambda tx, call: _client_password(tx, call.id(Kind.CLIENT)),
    detail=lambda _, drawn: f"client {drawn[0].key} of {drawn[0].user_name}",
    shape=shapes.CREDENTIALS,
    finish=lambda desk, call, drawn: Credentials(
        drawn[0].id, drawn[0].uri(desk.address(call)), drawn[1]
    ),
)
CLIENT_PING = Operation(
    name="client.ping-period",
    action=Action.MANAGE_OWN_CLIENT,
    kind=Kind.CLIENT,
    summary="Set the ping period: 10 to 300 seconds, or 0 for the program's own.",
    fields=(fields.number("ping_period", maximum=100_000),),
    within=lambda tx, call: clients.set_ping_period(
        tx, call.id(Kind.CLIENT), call.values["ping_period"]
    ),
    shape=shapes.CLIENT,
    finish=client_row,
)
CLIENT_DELETE = Operation(
    name="client.delete",
    action=Action.MANAGE_OWN_CLIENT,
    kind=Kind.CLIENT,
    summary="Delete a client.",
    within=lambda tx, call: _delete_client(tx, call.id(Kind.CLIENT)),
    detail=lambda _, client: f"client {client.key} of {client.user_name}",
)
