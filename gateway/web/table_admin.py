"""The part of the route table that is for administrators."""

from __future__ import annotations

from collections.abc import Callable

from gateway.access.operators import Action
from gateway.web import operations_admin as ops
from gateway.web import operations_box as box
from gateway.web import pages_admin as pages
from gateway.web.authority import Kind
from gateway.web.routing import Call, Route, Side, ask, form, page, tell


def _user(call: Call, _: object) -> str:
    return f"/admin/users/{call.id(Kind.OWNER)}?done=saved"


def _invitation(_: Call, invitation: object) -> str:
    number = getattr(invitation, "id", 0)
    return f"/admin/invitations?open={number}#invitation-{number}"


def _to(path: str, done: str = "saved") -> Callable[[Call, object], str]:
    return lambda _call, _: f"{path}?done={done}"


PAGES: tuple[Route, ...] = (
    page("/admin/users", pages.USERS),
    page("/admin/users/{owner}", pages.USER),
    form("/admin/users/{owner}/enabled", box.OWNER_ENABLE, pages.USER, _user),
    form("/admin/users/{owner}/authority", box.OWNER_AUTHORITY, pages.USER, _user),
    form("/admin/users/{owner}/unlock", ops.OWNER_UNLOCK, pages.USER, _user),
    form("/admin/users/{owner}/password", box.OWNER_PASSWORD, pages.USER, _user),
    form("/admin/users/{owner}/delete", box.OWNER_DELETE, pages.USER, _to("/admin/users")),
    page("/admin/invitations", pages.INVITATIONS),
    form("/admin/invitations", ops.INVITATION_ADD, pages.INVITATIONS, _invitation),
    form(
        "/admin/invitations/clear", ops.INVITATION_CLEAR, pages.INVITATIONS,
        _to("/admin/invitations"),
    ),
    form("/admin/invitations/{invitation}", ops.INVITATION_EDIT, pages.INVITATIONS, _invitation),
    form(
        "/admin/invitations/{invitation}/send", ops.INVITATION_SEND, pages.INVITATIONS,
        _to("/admin/invitations", "mail.queued"),
    ),
    form(
        "/admin/invitations/{invitation}/delete", ops.INVITATION_DELETE, pages.INVITATIONS,
        _to("/admin/invitations"),
    ),
    form(
        "/admin/requests/{request}/approve", ops.REQUEST_APPROVE, pages.INVITATIONS, _invitation
    ),
    form(
        "/admin/requests/{request}/dismiss", ops.REQUEST_DISMISS, pages.INVITATIONS,
        _to("/admin/invitations"),
    ),
    page("/admin/settings", pages.SETTINGS),
    form("/admin/settings", ops.SETTING_CHANGE, pages.SETTINGS, _to("/admin/settings")),
    form("/admin/mail/password", ops.MAIL_PASSWORD, pages.SETTINGS, _to("/admin/settings")),
    form("/admin/mail/test", ops.MAIL_TEST, pages.SETTINGS, _to("/admin/settings", "mail.tested")),
    page("/admin/outbox", pages.OUTBOX),
    form("/admin/outbox/{letter}/hand-over", ops.LETTER_HAND_OVER, pages.OUTBOX,
         _to("/admin/outbox")),
    form("/admin/outbox/{letter}/retry", ops.LETTER_RETRY, pages.OUTBOX, _to("/admin/outbox")),
    form("/admin/outbox/{letter}/delete", ops.LETTER_DELETE, pages.OUTBOX, _to("/admin/outbox")),
    page("/audit", pages.AUDIT),
    Route(
        method="GET", path="/audit.csv", side=Side.PAGE, action=Action.VIEW_AUDIT,
        handler=pages.audit_csv,
    ),
)  # fmt: skip

API: tuple[Route, ...] = (
    tell("POST", "/owners/{owner}/unlock", ops.OWNER_UNLOCK),
    ask("/invitations", ops.INVITATION_LIST),
    tell("POST", "/invitations", ops.INVITATION_ADD, 201),
    tell("POST", "/invitations/clear", ops.INVITATION_CLEAR),
    tell("PUT", "/invitations/{invitation}", ops.INVITATION_EDIT),
    tell("POST", "/invitations/{invitation}/send", ops.INVITATION_SEND),
    tell("DELETE", "/invitations/{invitation}", ops.INVITATION_DELETE),
    ask("/account-requests", ops.REQUEST_LIST),
    tell("POST", "/account-requests/{request}/approve", ops.REQUEST_APPROVE),
    tell("DELETE", "/account-requests/{request}", ops.REQUEST_DISMISS),
    ask("/settings", ops.SETTING_LIST),
    tell("PUT", "/settings", ops.SETTING_CHANGE),
    tell("PUT", "/mail/password", ops.MAIL_PASSWORD),
    tell("POST", "/mail/test", ops.MAIL_TEST),
    ask("/outbox", ops.LETTER_LIST),
    tell("POST", "/outbox/{letter}/hand-over", ops.LETTER_HAND_OVER),
    tell("POST", "/outbox/{letter}/retry", ops.LETTER_RETRY),
    tell("DELETE", "/outbox/{letter}", ops.LETTER_DELETE),
)
