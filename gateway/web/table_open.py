"""The part of the route table for everybody: links, public services, guest clients, home."""

from __future__ import annotations

from typing import Any

from gateway.web import entry_links as links
from gateway.web import operations_contacts as ops
from gateway.web import operations_guests as by_mail
from gateway.web import operations_people as people
from gateway.web import pages_guest_links as guest_links
from gateway.web import pages_guests as pages
from gateway.web import shapes
from gateway.web.authority import Kind
from gateway.web.entry_links import Asking, Link
from gateway.web.routing import Call, Handler, Route, Side, form, page, tell


def _both(path: str, doing: Link | Asking) -> tuple[Route, Route]:
    return (
        Route(method="GET", path=path, side=Side.PAGE, handler=doing.show),
        Route(method="POST", path=path, side=Side.PAGE, handler=doing.take, csrf=True),
    )


def _get(path: str, handler: Handler) -> Route:
    return Route(method="GET", path=path, side=Side.PAGE, handler=handler)


def _post(path: str, handler: Handler) -> Route:
    return Route(method="POST", path=path, side=Side.PAGE, handler=handler, csrf=True)


def _place(call: Call, _: Any = None) -> str:
    return f"/guest-clients/{call.id(Kind.DOMAIN)}"


def _client(_: Call, row: Any) -> str:
    number = row.client.id
    return f"/guest-clients/{row.client.domain_id}?open={number}#client-{number}"


PAGES: tuple[Route, ...] = (
    *_both("/invitation/{key}", links.INVITATION),
    *_both("/sign-up/{key}", links.SIGN_UP),
    *_both("/reset/{key}", links.RESET),
    *_both("/unlock/{key}", links.UNLOCK),
    *_both("/confirm-mail/{key}", links.CONFIRM),
    *_both("/register", links.REGISTER),
    *_both("/forgot", links.FORGOT),
    *_both("/locked", links.LOCKED),
    _get("/guest/new", guest_links.show_ask),
    _post("/guest/new", guest_links.ask),
    _get("/guest/new/{key}", guest_links.show_create),
    _post("/guest/new/{key}", guest_links.create),
    _get("/guest/browse", guest_links.show_browse_ask),
    _post("/guest/browse", guest_links.browse_ask),
    _get("/guest/browse/{key}", guest_links.browse),
    _get("/guest/browse/{key}/{domain}", guest_links.browse),
    _post("/guest/browse/{key}/{domain}/edit", guest_links.edit_ask),
    _post("/guest/browse/{key}/{domain}/new", guest_links.another),
    _get("/guest/edit/{key}", guest_links.show_edit),
    _post("/guest/edit/{key}/password", guest_links.password),
    _post("/guest/edit/{key}/ping-period", guest_links.ping_period),
    _post("/guest/edit/{key}/delete", guest_links.delete),
    page("/home", pages.HOME),
    page("/public", pages.PUBLIC),
    page("/public/owners/{person}", pages.PUBLIC_OWNER),
    page("/public/domains/{domain}", pages.PUBLIC_DOMAIN),
    page("/guest", pages.GUEST_PAGE),
    page("/guest.aspx", pages.GUEST_PAGE),
    page("/guest-clients", pages.MY_PLACES),
    page("/guest-clients/{domain}", pages.MY_PLACE),
    form("/guest-clients/add/{site}", ops.GUEST_CLIENT_ADD, pages.MY_PLACES, _client),
    form(
        "/guest-clients/{domain}/clients/{client}/password", people.CLIENT_PASSWORD,
        pages.MY_PLACE, _place,
    ),
    form(
        "/guest-clients/{domain}/clients/{client}/ping-period", people.CLIENT_PING,
        pages.MY_PLACE, _client,
    ),
    form(
        "/guest-clients/{domain}/clients/{client}/delete", people.CLIENT_DELETE, pages.MY_PLACE,
        lambda _call, _: "/guest-clients?done=client.delete",
    ),
)  # fmt: skip


def _twin(path: str, doing: Link | Asking, summary: str) -> Route:
    """Return the call of a program that does what a page for everybody does."""
    link = isinstance(doing, Link)
    return Route(
        method="POST",
        path=f"/api/v1{path}",
        side=Side.API,
        handler=doing.take_by_program,
        summary=summary,
        takes=(links.LINK, *doing.fields) if link else doing.fields,
        answers=shapes.DONE if link else shapes.ANSWER,
    )


API: tuple[Route, ...] = (
    _twin("/links/register", links.REGISTER, "Ask for an account."),
    _twin("/links/forgot", links.FORGOT, "Ask for the link that sets a new password."),
    _twin("/links/locked", links.LOCKED, "Ask for the link that unlocks an account."),
    _twin("/links/invitation", links.INVITATION, "Create an account by an invitation's key."),
    _twin("/links/sign-up", links.SIGN_UP, "Create the account that a link confirms."),
    _twin("/links/reset", links.RESET, "Set the password that a link allows to set."),
    _twin("/links/unlock", links.UNLOCK, "Unlock the account that a link is about."),
    _twin("/links/confirm-mail", links.CONFIRM, "Make the address that a link confirms the own."),
    tell("POST", "/guest-links/create", by_mail.ASK_TO_CREATE),
    tell("POST", "/guest-links/browse", by_mail.ASK_TO_BROWSE),
    tell("POST", "/guest-links/edit", by_mail.ASK_TO_EDIT),
    tell("POST", "/guest-links/another", by_mail.ASK_FOR_ANOTHER),
    tell("POST", "/guest-links/list", by_mail.LIST),
    tell("POST", "/guest-links/use", by_mail.CREATE, 201),
    tell("POST", "/guest-links/password", by_mail.PASSWORD),
    tell("POST", "/guest-links/ping-period", by_mail.PING),
    tell("POST", "/guest-links/delete", by_mail.DELETE),
)
