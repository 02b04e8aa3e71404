"""The route table: every page and every call of the API, who may use it, and what it takes.

Nothing is served that does not stand here; the tests go through it line by line.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from gateway.access.operators import Action
from gateway.web import (
    entry,
    fields,
    openapi,
    pages_box,
    pages_cameras,
    pages_clients,
    pages_sites,
    shapes,
    table_admin,
    table_contacts,
    table_open,
)
from gateway.web import operations_account as mine
from gateway.web import operations_box as box
from gateway.web import operations_cameras as cam
from gateway.web import operations_contacts as contacts
from gateway.web import operations_people as people
from gateway.web import operations_sites as places
from gateway.web.authority import Kind
from gateway.web.routing import Call, Handler, Operation, Route, Side, ask, form, page, tell


def _open(method: str, path: str, side: Side, handler: Handler, summary: str = "") -> Route:
    csrf = method == "POST" and side is Side.PAGE
    return Route(method=method, path=path, side=side, handler=handler, csrf=csrf, summary=summary)


def _guarded(path: str, action: Action, kind: Kind, handler: Handler) -> Route:
    return Route(method="GET", path=path, side=Side.PAGE, action=action, kind=kind, handler=handler)


def _site(call: Call, _: Any = None) -> str:
    return f"/sites/{call.id(Kind.SITE)}"


def _site_user(call: Call, _: Any) -> str:
    return f"{_site(call)}?done=rights.saved#users"


def _service(call: Call, service: Any) -> str:
    return f"{_site(call)}?service={service.service.id}#service-{service.service.id}"


def _service_tab(tab: str) -> Callable[[Call, Any], str]:
    """Return what leads back to the editor of a service that was just used."""
    return lambda call, row: _service(call, row).replace("#", f"&tab={tab}#")


def _clients(call: Call, _: Any = None) -> str:
    return f"/sites/{call.id(Kind.SITE)}/clients"


def _client(call: Call, row: Any) -> str:
    return f"{_clients(call)}?open={row.client.id}#client-{row.client.id}"


def _domain(call: Call, _: Any = None) -> str:
    return f"/domains/{call.id(Kind.DOMAIN)}"


def _user(_: Call, user: Any) -> str:
    return f"/domains/{user.domain_id}?done=user.edit#user-{user.id}"


def _with_back(operation: Operation) -> Operation:
    """Return an operation whose form says which site's page it was opened from."""
    taken = (
        # What is not chosen is told in the operation's own words.
        dataclasses.replace(one, required=False) if one.name == "contact_id" else one
        for one in operation.fields
    )
    return dataclasses.replace(operation, fields=(*taken, fields.number("back", required=False)))


def _user_added(call: Call, _: Any) -> str:
    back = call.values["back"]
    return f"/sites/{back}?done=user.add#users" if back else f"{_domain(call)}?done=user.add#users"


def _camera(call: Call, _: Any) -> str:
    return f"/cameras/{call.id(Kind.DEVICE)}"


PAGES: tuple[Route, ...] = (
    _open("GET", "/", Side.PAGE, pages_box.home),
    _open("GET", "/health", Side.API, pages_box.health, "Say that the gateway answers."),
    _open("GET", "/static/{name}", Side.PAGE, pages_box.static),
    _open("GET", "/setup", Side.PAGE, entry.show_setup),
    _open("POST", "/setup", Side.PAGE, entry.set_up),
    _open("GET", "/sign-in", Side.PAGE, entry.show_sign_in),
    _open("POST", "/sign-in", Side.PAGE, entry.sign_in),
    _open("POST", "/sign-out", Side.PAGE, entry.sign_out),
    _guarded("/events", Action.USE_ACCOUNT, Kind.ACCOUNT, pages_box.events),
    page("/account", pages_box.ACCOUNT),
    form(
        "/account/password", box.ACCOUNT_PASSWORD, pages_box.ACCOUNT,
        lambda _call, _: "/account?done=account.set-password",
    ),
    form(
        "/account/name", mine.ACCOUNT_NAME, pages_box.ACCOUNT,
        lambda _call, _: "/account?done=account.rename",
    ),
    form(
        "/account/email", mine.ACCOUNT_EMAIL, pages_box.ACCOUNT,
        lambda _, asked: f"/account?done=email.{asked.outcome}",
    ),
    form(
        "/account/email/forget", mine.ACCOUNT_FORGET_EMAIL, pages_box.ACCOUNT,
        lambda _call, _: "/account?done=account.forget-email",
    ),
    form(
        "/account/tokens", box.TOKEN_ADD, pages_box.ACCOUNT,
        lambda _call, _: "/account#tokens",
    ),
    form(
        "/account/tokens/{token}/delete", box.TOKEN_DELETE, pages_box.ACCOUNT,
        lambda _call, _: "/account?done=token.delete#tokens",
    ),
    # cameras
    page("/cameras", pages_cameras.CAMERAS),
    page("/cameras/add", pages_cameras.ADD),
    form(
        "/cameras/look", cam.CAMERA_LOOK, pages_cameras.ADD,
        lambda _, probe: f"/cameras/add/{probe.key}",
    ),
    page("/cameras/add/{probe}", pages_cameras.CONFIRM),
    form(
        "/cameras/add/{probe}", cam.CAMERA_ADOPT_PROBED, pages_cameras.CONFIRM,
        lambda _call, _: "/cameras?done=camera.adopt",
    ),
    _guarded(
        "/cameras/add/{probe}/picture", Action.ADOPT_CAMERA, Kind.ACCOUNT, cam.probe_picture
    ),
    page("/cameras/{device}", pages_cameras.CAMERA),
    _guarded("/cameras/{device}/snapshot", Action.VIEW_CAMERA, Kind.DEVICE, cam.snapshot),
    form("/cameras/{device}/name", cam.CAMERA_RENAME, pages_cameras.CAMERA, _camera),
    form(
        "/cameras/{device}/credentials", cam.CAMERA_CREDENTIALS, pages_cameras.CAMERA,
        lambda call, _: f"{_camera(call, None)}?done=camera.credentials",
    ),
    form(
        "/cameras/{device}/forget", cam.CAMERA_FORGET, pages_cameras.CAMERA,
        lambda _call, _: "/cameras?done=camera.forget",
    ),
    page("/sessions", pages_cameras.SESSIONS),
    form(
        "/sessions/end", cam.SESSION_END, pages_cameras.SESSIONS,
        lambda _call, _: "/sessions?done=session.end",
    ),
    # domains, sites, services
    page("/domains", pages_sites.MY_DOMAINS),
    form(
        "/domains", places.DOMAIN_ADD, pages_sites.MY_DOMAINS,
        lambda _, domain: f"/domains/{domain.id}",
    ),
    page("/domains/{domain}", pages_sites.DOMAIN),
    form("/domains/{domain}/name", places.DOMAIN_RENAME, pages_sites.DOMAIN, _domain),
    form(
        "/domains/{domain}/rename", places.DOMAIN_RENAME, pages_sites.MY_DOMAINS,
        lambda _call, _: "/domains?edit=1&done=domain.rename",
    ),
    form(
        "/domains/{domain}/delete", places.DOMAIN_DELETE, pages_sites.DOMAIN,
        lambda _call, _: "/domains?edit=1&done=domain.delete",
    ),
    form(
        "/domains/{domain}/sites", places.SITE_ADD, pages_sites.DOMAIN,
        lambda _, site: f"/sites/{site.id}",
    ),
    page("/domains/{domain}/users/new", pages_sites.NEW_USER),
    form("/domains/{domain}/users", _with_back(people.USER_ADD), pages_sites.NEW_USER, _user_added),
    form(
        "/domains/{domain}/contact-users", _with_back(contacts.USER_SHARE), pages_sites.NEW_USER,
        _user_added,
    ),
    form("/domains/{domain}/users/{user}", people.USER_EDIT, pages_sites.DOMAIN, _user),
    form(
        "/domains/{domain}/users/{user}/delete", people.USER_DELETE, pages_sites.DOMAIN,
        lambda call, _: f"{_domain(call)}?done=user.delete#users",
    ),
    page("/sites/{site}", pages_sites.SITE),
    form("/sites/{site}/description", places.SITE_RENAME, pages_sites.SITE, _site),
    form(
        "/sites/{site}/enabled", places.SITE_ENABLE, pages_sites.SITE,
        lambda call, _: f"{_site(call)}?edit=status#site-editor",
    ),
    form("/sites/{site}/multi", places.SITE_MULTI, pages_sites.SITE, _site),
    form("/sites/{site}/guests", places.SITE_GUESTS, pages_sites.SITE, _site_user),
    form("/sites/{site}/default-role", places.SITE_DEFAULT_ROLE, pages_sites.SITE, _site_user),
    form("/sites/{site}/implicit", places.SITE_IMPLICIT, pages_sites.SITE, _site_user),
    form("/sites/{site}/roles", people.RIGHTS_ROLES, pages_sites.SITE, _site_user),
    form("/sites/{site}/users", people.RIGHTS_ADD, pages_sites.SITE, _site_user),
    form("/sites/{site}/users/remove", people.RIGHTS_REMOVE, pages_sites.SITE, _site_user),
    page("/sites/{site}/delete", pages_sites.DELETE_SITE),
    form(
        "/sites/{site}/delete", places.SITE_DELETE, pages_sites.DELETE_SITE,
        lambda _, domain_id: f"/domains/{domain_id}?done=site.delete",
    ),
    form("/sites/{site}/services", places.SERVICE_ADD, pages_sites.SITE, _service),
    form(
        "/sites/{site}/services/{service}/password", places.SERVICE_PASSWORD, pages_sites.SITE,
        _site,
    ),
    form(
        "/sites/{site}/services/{service}/hostname", places.SERVICE_RENAME, pages_sites.SITE,
        _service_tab("hostname"),
    ),
    form(
        "/sites/{site}/services/{service}/enabled", places.SERVICE_ENABLE, pages_sites.SITE,
        _service_tab("status"),
    ),
    form(
        "/sites/{site}/services/{service}/ping-period", places.SERVICE_PING, pages_sites.SITE,
        _service_tab("ping"),
    ),
    form(
        "/sites/{site}/services/{service}/structure", places.SERVICE_APPLY, pages_sites.SITE,
        lambda call, _: f"{_site(call)}?done=service.apply-structure",
    ),
    form(
        "/sites/{site}/services/{service}/delete", places.SERVICE_DELETE, pages_sites.SITE,
        lambda call, _: f"{_site(call)}?done=service.delete",
    ),
    # clients
    page("/sites/{site}/clients", pages_clients.CLIENTS),
    form("/sites/{site}/clients", people.CLIENT_ADD, pages_clients.CLIENTS, _client),
    form(
        "/sites/{site}/clients/{client}/password", people.CLIENT_PASSWORD,
        pages_clients.CLIENTS, _clients,
    ),
    form(
        "/sites/{site}/clients/{client}/ping-period", people.CLIENT_PING,
        pages_clients.CLIENTS, _client,
    ),
    form(
        "/sites/{site}/clients/{client}/delete", people.CLIENT_DELETE,
        pages_clients.CLIENTS, lambda call, _: f"{_clients(call)}?done=client.delete",
    ),
)  # fmt: skip

API: tuple[Route, ...] = (
    _open("GET", "/api/v1/openapi.json", Side.API, openapi.answer, "Return this description."),
    Route(
        method="POST", path="/api/v1/setup", side=Side.API, handler=entry.set_up_by_program,
        summary="Claim a box that has no owner, with its setup code.", status=201,
        takes=entry.SETUP_FIELDS, answers=shapes.OWNER,
    ),
    tell("POST", "/setup/code", box.SETUP_CODE, 201),
    ask("/status", box.STATUS),
    ask("/account", box.OWNER_ME),
    tell("POST", "/account/password", box.ACCOUNT_PASSWORD),
    tell("PUT", "/account/name", mine.ACCOUNT_NAME),
    tell("POST", "/account/email", mine.ACCOUNT_EMAIL),
    tell("DELETE", "/account/email", mine.ACCOUNT_FORGET_EMAIL),
    ask("/owners", box.OWNER_LIST),
    tell("POST", "/owners", box.OWNER_ADD, 201),
    tell("POST", "/owners/{owner}/password", box.OWNER_PASSWORD),
    tell("PUT", "/owners/{owner}/enabled", box.OWNER_ENABLE),
    tell("PUT", "/owners/{owner}/authority", box.OWNER_AUTHORITY),
    tell("DELETE", "/owners/{owner}", box.OWNER_DELETE),
    ask("/tokens", box.TOKEN_LIST),
    tell("POST", "/tokens", box.TOKEN_ADD, 201),
    tell("DELETE", "/tokens/{token}", box.TOKEN_DELETE),
    ask("/domains", places.DOMAIN_LIST),
    tell("POST", "/domains", places.DOMAIN_ADD, 201),
    ask("/domains/{domain}", places.DOMAIN_GET),
    tell("PUT", "/domains/{domain}/name", places.DOMAIN_RENAME),
    tell("DELETE", "/domains/{domain}", places.DOMAIN_DELETE),
    ask("/domains/{domain}/sites", places.SITE_LIST),
    tell("POST", "/domains/{domain}/sites", places.SITE_ADD, 201),
    ask("/sites/{site}", places.SITE_GET),
    tell("PUT", "/sites/{site}/description", places.SITE_RENAME),
    tell("PUT", "/sites/{site}/enabled", places.SITE_ENABLE),
    tell("PUT", "/sites/{site}/multi", places.SITE_MULTI),
    tell("PUT", "/sites/{site}/guests", places.SITE_GUESTS),
    tell("PUT", "/sites/{site}/default-role", places.SITE_DEFAULT_ROLE),
    tell("PUT", "/sites/{site}/implicit-users", places.SITE_IMPLICIT),
    tell("DELETE", "/sites/{site}", places.SITE_DELETE),
    ask("/sites/{site}/services", places.SERVICE_LIST),
    tell("POST", "/sites/{site}/services", places.SERVICE_ADD, 201),
    tell("POST", "/services/{service}/password", places.SERVICE_PASSWORD),
    tell("PUT", "/services/{service}/hostname", places.SERVICE_RENAME),
    tell("PUT", "/services/{service}/enabled", places.SERVICE_ENABLE),
    tell("PUT", "/services/{service}/ping-period", places.SERVICE_PING),
    tell("POST", "/services/{service}/apply-structure", places.SERVICE_APPLY),
    tell("DELETE", "/services/{service}", places.SERVICE_DELETE),
    ask("/domains/{domain}/users", people.USER_LIST),
    tell("POST", "/domains/{domain}/users", people.USER_ADD, 201),
    tell("PUT", "/users/{user}", people.USER_EDIT),
    tell("PUT", "/users/{user}/name", people.USER_RENAME),
    tell("PUT", "/users/{user}/enabled", people.USER_ENABLE),
    tell("PUT", "/users/{user}/dedicated", people.USER_DEDICATE),
    tell("DELETE", "/users/{user}", people.USER_DELETE),
    ask("/sites/{site}/roles", people.ROLE_LIST),
    ask("/sites/{site}/rights", people.RIGHTS_LIST),
    tell("PUT", "/sites/{site}/rights/roles", people.RIGHTS_ROLES),
    tell("POST", "/sites/{site}/rights/users", people.RIGHTS_ADD),
    tell("DELETE", "/sites/{site}/rights/users", people.RIGHTS_REMOVE),
    ask("/sites/{site}/clients", people.CLIENT_LIST),
    tell("POST", "/sites/{site}/clients", people.CLIENT_ADD, 201),
    tell("POST", "/clients/{client}/password", people.CLIENT_PASSWORD),
    tell("PUT", "/clients/{client}/ping-period", people.CLIENT_PING),
    tell("DELETE", "/clients/{client}", people.CLIENT_DELETE),
    ask("/cameras/found", cam.CAMERA_FOUND),
    tell("POST", "/cameras/probe", cam.CAMERA_PROBE),
    ask("/cameras", cam.CAMERA_LIST),
    tell("POST", "/cameras", cam.CAMERA_ADOPT, 201),
    tell("PUT", "/cameras/{device}/name", cam.CAMERA_RENAME),
    tell("PUT", "/cameras/{device}/credentials", cam.CAMERA_CREDENTIALS),
    tell("DELETE", "/cameras/{device}", cam.CAMERA_FORGET),
    Route(
        method="GET", path="/api/v1/cameras/{device}/snapshot", side=Side.API, kind=Kind.DEVICE,
        action=Action.VIEW_CAMERA, handler=cam.snapshot, summary="Return the present picture.",
    ),
    ask("/sessions", cam.SESSION_LIST),
    tell("POST", "/sessions/end", cam.SESSION_END),
    ask("/audit", box.AUDIT_LIST),
    ask("/audit/chain", box.AUDIT_CHAIN),
)  # fmt: skip

ROUTES: tuple[Route, ...] = (
    *PAGES,
    *table_contacts.PAGES,
    *table_admin.PAGES,
    *table_open.PAGES,
    *API,
    *table_contacts.API,
    *table_admin.API,
    *table_open.API,
)
