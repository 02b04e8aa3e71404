"""What everybody does to the own account besides the password: name and mail address (ACC-04)."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.access.operators import Action
from gateway.net.listener import source_of
from gateway.registry import owners, self_service
from gateway.registry.database import Tx
from gateway.web import fields, shapes
from gateway.web.authority import Kind
from gateway.web.operations_sites import require_owner
from gateway.web.routing import Call, Operation


@dataclass(frozen=True, slots=True)
class Asked:
    """How the link travels that was asked for, in a word."""

    outcome: str


def _ask_for_address(tx: Tx, call: Call) -> Asked:
    source = source_of(call.visitor.address)
    answer = self_service.ask_for_address(tx, require_owner(call), call.values["email"], source)
    return Asked(answer.value)


ACCOUNT_NAME = Operation(
    name="account.rename",
    action=Action.USE_ACCOUNT,
    kind=Kind.ACCOUNT,
    summary="Change one's own full name; the account name stays.",
    fields=(fields.text("full_name", maximum=64),),
    within=lambda tx, call: owners.rename(tx, require_owner(call), call.values["full_name"]),
    shape=shapes.OWNER,
)
ACCOUNT_EMAIL = Operation(
    name="account.set-email",
    action=Action.USE_ACCOUNT,
    kind=Kind.ACCOUNT,
    summary="Ask for another mail address of one's own; it counts when its link is confirmed.",
    fields=(fields.text("email"),),
    within=_ask_for_address,
    shape=shapes.ASKED,
)
ACCOUNT_FORGET_EMAIL = Operation(
    name="account.forget-email",
    action=Action.USE_ACCOUNT,
    kind=Kind.ACCOUNT,
    summary="Take the mail address off one's own account, confirmed or not.",
    within=lambda tx, call: self_service.forget_address(tx, require_owner(call)),
    shape=shapes.OWNER,
)
