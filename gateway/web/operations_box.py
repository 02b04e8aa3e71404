"""What can be done to accounts, tokens and the box itself, once for pages and programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway import __version__
from gateway.access.operators import Action
from gateway.base.errors import Denied, InvalidInput
from gateway.base.secret import Secret
from gateway.model import names
from gateway.model.accounts import ApiToken, Owner, Scope
from gateway.model.kinds import Authority
from gateway.registry import administration, audit, operators, owners
from gateway.registry.database import Reader, Tx
from gateway.registry.passwords import hash_password
from gateway.web import fields, shapes
from gateway.web.authority import Kind
from gateway.web.fields import ID_MAX
from gateway.web.operations_sites import require_owner
from gateway.web.routing import Call, NewToken, Operation, Query

if TYPE_CHECKING:
    from gateway.web.desk import Desk

AUTHORITIES = {authority.name.lower(): authority for authority in Authority}
TOKEN_DAYS_MAX = 3650


# -- accounts ------------------------------------------------------------------------------------


async def hashed(desk: Desk, call: Call) -> Mapping[str, Any]:
    """Return the record of the password that was typed. Raises InvalidInput."""
    typed: Secret = call.values["password"]
    names.account_password(typed.reveal(), desk.registry.settings.account_password_min_length)
    return {"record": await desk.registry.hash(lambda: hash_password(typed))}


def _add_owner(tx: Tx, call: Call) -> Owner:
    authority = AUTHORITIES[call.values["authority"] or "consumer"]
    if authority is Authority.ADMINISTRATOR:
        _only_the_box(call)
    values = call.values
    return owners.add(tx, values["account_name"], values["full_name"], values["record"], authority)


def _set_authority(tx: Tx, call: Call) -> Owner:
    authority = AUTHORITIES[call.values["authority"]]
    if authority is Authority.ADMINISTRATOR:
        _only_the_box(call)
    owner = administration.changeable(tx, call.visitor.owner_id, call.id(Kind.OWNER))
    return owners.set_authority(tx, owner.id, authority)


def _only_the_box(call: Call) -> None:
    if not call.visitor.is_box:
        raise Denied("Administrators are made with the command line on the box itself.")


async def _checked_and_hashed(desk: Desk, call: Call) -> Mapping[str, Any]:
    if not await owners.verify_password(desk.registry, require_owner(call), call.values["current"]):
        raise InvalidInput("This is not your present password.", "current")
    return await hashed(desk, call)


OWNER_LIST = Query(
    action=Action.MANAGE_OWNERS,
    kind=Kind.NONE,
    summary="List all accounts.",
    shape=shapes.OWNER,
    many=True,
    read=lambda reader, _: owners.list_all(reader),
)
OWNER_ME = Query(
    action=Action.USE_ACCOUNT,
    kind=Kind.ACCOUNT,
    summary="Return one's own account.",
    shape=shapes.OWNER,
    read=lambda reader, call: owners.get(reader, require_owner(call)),
)
OWNER_ADD = Operation(
    name="owner.add",
    action=Action.MANAGE_OWNERS,
    kind=Kind.NONE,
    summary="Create an account.",
    fields=(
        fields.text("account_name", maximum=64),
        fields.text("full_name", maximum=64),
        fields.secret("password", maximum=64),
        fields.text("authority", required=False, choices=tuple(AUTHORITIES)),
    ),
    prepare=hashed,
    within=_add_owner,
    shape=shapes.OWNER,
)
OWNER_PASSWORD = Operation(
    name="owner.set-password",
    action=Action.MANAGE_OWNERS,
    kind=Kind.OWNER,
    summary="Set an account's password, unlock it and end its web sessions.",
    fields=(fields.secret("password", maximum=64),),
    prepare=hashed,
    within=lambda tx, call: administration.set_password(
        tx, call.visitor.owner_id, call.id(Kind.OWNER), call.values["record"]
    ),
)
OWNER_ENABLE = Operation(
    name="owner.enable",
    action=Action.MANAGE_OWNERS,
    kind=Kind.OWNER,
    summary="Enable or disable an account.",
    fields=(fields.flag("enabled"),),
    within=lambda tx, call: administration.set_enabled(
        tx, call.visitor.owner_id, call.id(Kind.OWNER), call.values["enabled"]
    ),
    shape=shapes.OWNER,
)
OWNER_AUTHORITY = Operation(
    name="owner.set-authority",
    action=Action.MANAGE_OWNERS,
    kind=Kind.OWNER,
    summary="Make an account consumer or provider; administrators are made on the box itself.",
    fields=(fields.text("authority", choices=tuple(AUTHORITIES)),),
    within=_set_authority,
    shape=shapes.OWNER,
)
OWNER_DELETE = Operation(
    name="owner.delete",
    action=Action.MANAGE_OWNERS,
    kind=Kind.OWNER,
    summary="Delete an account with its domains and every client that it created.",
    within=lambda tx, call: administration.delete(tx, call.visitor.owner_id, call.id(Kind.OWNER)),
)
ACCOUNT_PASSWORD = Operation(
    name="account.set-password",
    action=Action.USE_ACCOUNT,
    kind=Kind.ACCOUNT,
    summary="Change one's own password; the other browsers are signed out.",
    fields=(fields.secret("current", maximum=64), fields.secret("password", maximum=64)),
    prepare=_checked_and_hashed,
    within=lambda tx, call: owners.set_password(
        tx,
        require_owner(call),
        call.values["record"],
        keep_session=operators.token_hash(call.visitor.session_token)
        if call.visitor.session_token
        else None,
    ),
)


# -- tokens of programs --------------------------------------------------------------------------


def _add_token(tx: Tx, call: Call) -> NewToken:
    scope = Scope(call.values["scope"])
    if not call.visitor.covers(scope):
        raise Denied("A token cannot make one that may do more than itself.", "scope")
    days = call.values["days"]
    life = days * 86_400 if days else None
    secret, token = operators.add_token(
        tx, call.values["name"], call.visitor.owner_id, (scope,), life_seconds=life
    )
    return NewToken(token.id, token.name, _known(token, secret))


def _known(token: ApiToken, secret: Secret) -> Secret:
    if not secret:
        raise ValueError(f"token {token.id} was drawn without a secret")
    return secret


TOKEN_LIST = Query(
    action=Action.USE_ACCOUNT,
    kind=Kind.ACCOUNT,
    summary="List one's own tokens; with the token of the box, those of the box.",
    shape=shapes.TOKEN,
    many=True,
    read=lambda reader, call: operators.list_tokens(reader, call.visitor.owner_id),
)
TOKEN_ADD = Operation(
    name="token.add",
    action=Action.USE_ACCOUNT,
    kind=Kind.ACCOUNT,
    summary="Create a token for a program; it is shown this one time.",
    fields=(
        fields.text("name", maximum=64),
        fields.text("scope", choices=tuple(scope.value for scope in Scope)),
        fields.number("days", required=False, maximum=TOKEN_DAYS_MAX, help="none: no end"),
    ),
    within=_add_token,
    shape=shapes.NEW_TOKEN,
)
TOKEN_DELETE = Operation(
    name="token.delete",
    action=Action.USE_ACCOUNT,
    kind=Kind.TOKEN,
    summary="Make a token void.",
    within=lambda tx, call: operators.delete_token(tx, call.id(Kind.TOKEN)),
)


# -- the box -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Status:
    """The box in numbers."""

    version: str
    claimed: bool
    started_at: int
    cameras: int
    online: int
    found: int
    sessions: int


@dataclass(frozen=True, slots=True)
class NewCode:
    """A setup code that was just drawn."""

    code: Secret


async def _new_code(desk: Desk, call: Call) -> NewCode:
    del call
    return NewCode(await desk.new_code())


SETUP_CODE = Operation(
    name="setup.new-code",
    action=Action.MANAGE_SERVER,
    kind=Kind.NONE,
    summary="Draw another setup code for a box that has no owner; the one before is void.",
    outside=_new_code,
    shape=shapes.SETUP_CODE,
)
STATUS = Query(
    action=Action.USE_ACCOUNT,
    kind=Kind.ACCOUNT,
    summary="Return the box in numbers.",
    shape=shapes.STATUS,
    read=lambda reader, _: owners.count(reader),
    finish=lambda desk, _, count: status_of(desk, claimed=count > 0),
)
AUDIT_LIST = Query(
    action=Action.VIEW_AUDIT,
    kind=Kind.NONE,
    summary="List what was done, newest first.",
    shape=shapes.AUDIT,
    many=True,
    fields=(
        fields.number("limit", required=False, maximum=audit.PAGE_MAX, default=100),
        fields.number("before", required=False, maximum=ID_MAX),
        fields.text("object", required=False),
        fields.text("action", required=False, maximum=64, help="one that ends in *: all such"),
        fields.number("actor_id", required=False),
        fields.text("outcome", required=False, maximum=32),
        fields.number("since", required=False, help="Unix time of the first second"),
        fields.number("until", required=False, help="Unix time of the first second not wanted"),
        fields.text("text", required=False),
    ),
    read=lambda reader, call: list_audit(reader, call.values),
)


AUDIT_CHAIN = Query(
    action=Action.VIEW_AUDIT,
    kind=Kind.NONE,
    summary="Check that no row of the audit was removed or changed; this reads all of them.",
    shape=shapes.CHAIN,
    read=lambda reader, _: audit.verify(reader),
)


def list_audit(reader: Reader, values: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return rows of the audit as asked."""
    return audit.list_all(
        reader,
        limit=values.get("limit") or 100,
        before_id=values.get("before") or None,
        object=values.get("object") or None,
        action=values.get("action") or None,
        actor_id=values.get("actor_id") or None,
        outcome=values.get("outcome") or None,
        since=values.get("since") or None,
        until=values.get("until") or None,
        text=values.get("text") or "",
    )


def status_of(desk: Desk, *, claimed: bool) -> Status:
    """Return the box in numbers."""
    adopted = desk.cameras.adopted()
    return Status(
        __version__,
        claimed,
        desk.started_at,
        len(adopted),
        sum(1 for camera in adopted if camera.state == "online"),
        len(desk.cameras.found()),
        len(desk.cameras.sessions()),
    )
