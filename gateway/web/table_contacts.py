"""The part of the route table about contacts, what they share, and who can see what."""

from __future__ import annotations

from typing import Any

from gateway.web import operations_contacts as ops
from gateway.web import operations_people as people
from gateway.web import pages_contacts as pages
from gateway.web.authority import Kind
from gateway.web.routing import Call, Route, ask, form, page, tell


def _domain(call: Call, _: Any = None) -> str:
    return f"/contacts/{call.id(Kind.CONTACT)}/domains/{call.id(Kind.DOMAIN)}"


def _client(call: Call, row: Any) -> str:
    return f"{_domain(call)}?open={row.client.id}#client-{row.client.id}"


PAGES: tuple[Route, ...] = (
    page("/contacts", pages.CONTACTS),
    page("/contacts/new", pages.NEW_CONTACT),
    form(
        "/contacts/invite/{person}", ops.CONTACT_INVITE, pages.NEW_CONTACT,
        lambda call, invited: (
            f"/contacts/new?done=contact.{invited.outcome}&to={call.id(Kind.PERSON)}"
        ),
    ),
    form(
        "/contacts/withdraw/{person}", ops.CONTACT_WITHDRAW, pages.CONTACTS,
        lambda _call, _: "/contacts?edit=1&done=contact.withdraw",
    ),
    form(
        "/contacts/accept/{person}", ops.CONTACT_ACCEPT, pages.CONTACTS,
        lambda _call, _: "/contacts?done=contact.accept",
    ),
    form(
        "/contacts/refuse/{person}", ops.CONTACT_REFUSE, pages.CONTACTS,
        lambda _call, _: "/contacts?done=contact.refuse",
    ),
    page("/contacts/{contact}", pages.CONTACT),
    form(
        "/contacts/{contact}/edit", ops.CONTACT_EDIT, pages.CONTACTS,
        lambda call, _: f"/contacts?edit=1&done=contact.edit#contact-{call.id(Kind.CONTACT)}",
    ),
    form(
        "/contacts/{contact}/delete", ops.CONTACT_DELETE, pages.CONTACTS,
        lambda _call, _: "/contacts?edit=1&done=contact.delete",
    ),
    page("/contacts/{contact}/domains/{domain}", pages.CONTACT_DOMAIN),
    form(
        "/contacts/{contact}/domains/{domain}/sites/{site}/clients", people.CLIENT_ADD,
        pages.CONTACT_DOMAIN, _client,
    ),
    form(
        "/contacts/{contact}/domains/{domain}/sites/{site}/guest-clients", ops.GUEST_CLIENT_ADD,
        pages.CONTACT_DOMAIN, _client,
    ),
    form(
        "/contacts/{contact}/domains/{domain}/clients/{client}/password", people.CLIENT_PASSWORD,
        pages.CONTACT_DOMAIN, _domain,
    ),
    form(
        "/contacts/{contact}/domains/{domain}/clients/{client}/ping-period", people.CLIENT_PING,
        pages.CONTACT_DOMAIN, _client,
    ),
    form(
        "/contacts/{contact}/domains/{domain}/clients/{client}/delete", people.CLIENT_DELETE,
        pages.CONTACT_DOMAIN, lambda call, _: f"{_domain(call)}?done=client.delete",
    ),
    page("/contacts/{contact}/shared/{domain}", pages.SHARED_DOMAIN),
    page("/services/{service}/viewers", pages.VIEWERS),
    page("/users/{user}/sights", pages.SIGHTS),
)  # fmt: skip

API: tuple[Route, ...] = (
    ask("/contacts", ops.CONTACT_LIST),
    ask("/contacts/{contact}", ops.CONTACT_GET),
    tell("PUT", "/contacts/{contact}", ops.CONTACT_EDIT),
    tell("DELETE", "/contacts/{contact}", ops.CONTACT_DELETE),
    ask("/contacts/{contact}/domains/{domain}", ops.CONTACT_DOMAIN),
    ask("/contacts/{contact}/shared/{domain}", ops.SHARED_DOMAIN),
    ask("/people", ops.PEOPLE),
    ask("/contact-invitations/sent", ops.SENT),
    ask("/contact-invitations/received", ops.RECEIVED),
    tell("POST", "/people/{person}/invitation", ops.CONTACT_INVITE),
    tell("DELETE", "/people/{person}/invitation", ops.CONTACT_WITHDRAW),
    tell("POST", "/people/{person}/accept", ops.CONTACT_ACCEPT),
    tell("POST", "/people/{person}/refuse", ops.CONTACT_REFUSE),
    tell("POST", "/domains/{domain}/contact-users", ops.USER_SHARE, 201),
    tell("POST", "/sites/{site}/guest-clients", ops.GUEST_CLIENT_ADD, 201),
    ask("/services/{service}/viewers", ops.VIEWERS),
    ask("/users/{user}/sights", ops.SIGHTS),
)
