"""What administrators do besides accounts: invitations, requests, settings, mail, outbox."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.access.operators import Action
from gateway.model.accounts import InvitationState
from gateway.registry import administration, invitations, outbox, server_settings
from gateway.registry.database import Tx
from gateway.web import fields, shapes
from gateway.web.authority import Kind
from gateway.web.operations_sites import require_owner
from gateway.web.routing import Call, Operation, Query

if TYPE_CHECKING:
    from gateway.web.desk import Desk

ADMIN = Action.MANAGE_SERVER
STATES = {state.name.lower().replace("_", "-"): state for state in InvitationState}

OWNER_UNLOCK = Operation(
    name="owner.unlock",
    action=Action.MANAGE_OWNERS,
    kind=Kind.OWNER,
    summary="Take back a lock that wrong passwords brought.",
    within=lambda tx, call: administration.unlock(tx, call.visitor.owner_id, call.id(Kind.OWNER)),
    shape=shapes.OWNER,
)

# -- invitations to register ---------------------------------------------------------------------

INVITATION_LIST = Query(
    action=ADMIN,
    kind=Kind.NONE,
    summary="List the invitations to register in a state, newest first.",
    shape=shapes.INVITATION,
    many=True,
    fields=(fields.text("state", required=False, choices=tuple(STATES)),),
    read=lambda reader, call: invitations.list_all(reader, STATES[call.values["state"] or "valid"]),
)
_INVITATION = (
    fields.text("email", required=False),
    fields.text("text", required=False, maximum=invitations.TEXT_MAX),
    fields.flag("make_provider", required=False, default=False),
)
INVITATION_ADD = Operation(
    name="invitation.create",
    action=ADMIN,
    kind=Kind.NONE,
    summary="Invite a person to register.",
    fields=_INVITATION,
    within=lambda tx, call: invitations.create(
        tx,
        require_owner(call),
        email=call.values["email"],
        text=call.values["text"],
        make_provider=call.values["make_provider"],
    ),
    shape=shapes.INVITATION,
)
INVITATION_EDIT = Operation(
    name="invitation.edit",
    action=ADMIN,
    kind=Kind.INVITATION,
    summary="Change a valid invitation; its key stays.",
    fields=_INVITATION,
    within=lambda tx, call: invitations.edit(
        tx,
        call.id(Kind.INVITATION),
        email=call.values["email"],
        text=call.values["text"],
        make_provider=call.values["make_provider"],
    ),
    shape=shapes.INVITATION,
)
INVITATION_SEND = Operation(
    name="invitation.send",
    action=ADMIN,
    kind=Kind.INVITATION,
    summary="Mail an invitation to its address.",
    within=lambda tx, call: invitations.send(tx, call.id(Kind.INVITATION)),
)
INVITATION_DELETE = Operation(
    name="invitation.delete",
    action=ADMIN,
    kind=Kind.INVITATION,
    summary="Delete an invitation.",
    within=lambda tx, call: invitations.delete(tx, call.id(Kind.INVITATION)),
)
INVITATION_CLEAR = Operation(
    name="invitation.clear",
    action=ADMIN,
    kind=Kind.NONE,
    summary="Delete the accepted or the expired invitations.",
    fields=(fields.text("state", choices=tuple(STATES)),),
    within=lambda tx, call: invitations.clear(tx, STATES[call.values["state"]]),
    detail=lambda call, gone: f"{gone} {call.values['state']}",
)
REQUEST_LIST = Query(
    action=ADMIN,
    kind=Kind.NONE,
    summary="List the accounts that were asked for.",
    shape=shapes.ACCOUNT_REQUEST,
    many=True,
    read=lambda reader, _: invitations.requests(reader),
)
REQUEST_APPROVE = Operation(
    name="request.approve",
    action=ADMIN,
    kind=Kind.REQUEST,
    summary="Turn a request for an account into an invitation.",
    within=lambda tx, call: invitations.approve(tx, call.id(Kind.REQUEST), require_owner(call)),
    shape=shapes.INVITATION,
)
REQUEST_DISMISS = Operation(
    name="request.dismiss",
    action=ADMIN,
    kind=Kind.REQUEST,
    summary="Throw a request for an account away.",
    within=lambda tx, call: invitations.dismiss(tx, call.id(Kind.REQUEST)),
)

# -- settings and mail ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Changed:
    """Which setting was asked to change."""

    name: str


def _set(tx: Tx, call: Call) -> Changed:
    values = call.values
    wanted = None if values["reset"] else values["value"]
    server_settings.change(tx, {values["name"]: wanted})
    return Changed(values["name"])


SETTING_LIST = Query(
    action=ADMIN,
    kind=Kind.NONE,
    summary="List the settings of the pages with their defaults.",
    shape=shapes.SETTING,
    many=True,
    read=lambda reader, _: server_settings.rows(reader),
)
SETTING_CHANGE = Operation(
    name="setting.change",
    action=ADMIN,
    kind=Kind.NONE,
    summary="Set a value, or restore its default.",
    fields=(
        fields.text("name", maximum=64),
        fields.text("value", required=False),
        fields.flag("reset", required=False, default=False),
    ),
    within=_set,
)


async def _mail_password(desk: Desk, call: Call) -> None:
    await desk.mail.set_password(call.values["password"])
    await desk.registry.write(server_settings.mail_password_changed)


async def _mail_test(desk: Desk, call: Call) -> None:
    await desk.mail.test(call.values["to"])


MAIL_PASSWORD = Operation(
    name="mail.password",
    action=ADMIN,
    kind=Kind.NONE,
    summary="Keep the password of the mail server; an empty one is forgotten.",
    fields=(fields.secret("password", required=False),),
    outside=_mail_password,
)
MAIL_TEST = Operation(
    name="mail.test",
    action=ADMIN,
    kind=Kind.NONE,
    summary="Send a test message; when it is taken, mail travels by the mail server.",
    fields=(fields.text("to"),),
    outside=_mail_test,
)

# -- outbox --------------------------------------------------------------------------------------


def _letter(call: Call) -> int:
    return call.id(Kind.LETTER)


def _about(_: Call, letter: Any) -> str:
    return f"{letter.purpose} to {letter.to}"


LETTER_LIST = Query(
    action=ADMIN,
    kind=Kind.NONE,
    summary="List the messages, newest first, with the links of those that were not sent.",
    shape=shapes.LETTER,
    many=True,
    fields=(fields.number("before", required=False),),
    read=lambda reader, call: outbox.list_all(reader, before_id=call.values["before"]),
)
LETTER_HAND_OVER = Operation(
    name="letter.hand-over",
    action=ADMIN,
    kind=Kind.LETTER,
    summary="Note that the link was given to its reader; it is forgotten.",
    within=lambda tx, call: outbox.hand_over(tx, _letter(call)),
    detail=_about,
    shape=shapes.LETTER,
)
LETTER_RETRY = Operation(
    name="letter.retry",
    action=ADMIN,
    kind=Kind.LETTER,
    summary="Send a message that failed once more.",
    within=lambda tx, call: outbox.retry(tx, _letter(call)),
    detail=_about,
    shape=shapes.LETTER,
)
LETTER_DELETE = Operation(
    name="letter.delete",
    action=ADMIN,
    kind=Kind.LETTER,
    summary="Take a message out of the outbox; its link stays good.",
    within=lambda tx, call: outbox.delete(tx, _letter(call)),
)
