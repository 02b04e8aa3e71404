"""What `ctl` can do, as data: one line for each verb, made into parser, request and answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.cli.ctl_call import EXIT_NOT_FOUND, CtlFault, Gateway
from gateway.cli.ctl_people import PEOPLE
from gateway.cli.ctl_words import Argument, Verb, given, number, switch


def find_user(gateway: Gateway, site: int, wanted: str) -> int:
    """Return the id of a user of the site's domain, given as an id or by name."""
    if wanted.isdigit():
        return int(wanted)
    domain = gateway.ask(f"/sites/{site}")["domain_id"]
    for user in gateway.ask(f"/domains/{domain}/users")["items"]:
        if user["name"].lower() == wanted.lower():
            return int(user["id"])
    return _none("user", wanted)


def _none(what: str, wanted: str) -> int:
    raise CtlFault(f"There is no {what} {wanted!r} here.", EXIT_NOT_FOUND)


def _user_body(gateway: Gateway, values: Mapping[str, Any]) -> dict[str, Any]:
    return {"user_id": find_user(gateway, values["site"], values["user"])}


def _roles_body(gateway: Gateway, values: Mapping[str, Any]) -> dict[str, Any]:
    roles = {role["name"]: role["id"] for role in gateway.ask(_roles(values))["items"]}
    wanted = [roles.get(name) or _none("role", name) for name in values["role"]]
    return {**_user_body(gateway, values), "role_ids": wanted}


def _default_role_body(gateway: Gateway, values: Mapping[str, Any]) -> dict[str, Any]:
    if values["role"] == "none":
        return {"role_id": None}
    roles = {role["name"]: role["id"] for role in gateway.ask(_roles(values))["items"]}
    return {"role_id": roles.get(values["role"]) or _none("role", values["role"])}


def _roles(values: Mapping[str, Any]) -> str:
    return f"/sites/{values['site']}/roles"


def _camera_body(_: Gateway, values: Mapping[str, Any]) -> dict[str, Any]:
    body = {"where": values["where"], "user": values.get("user"), "password": values["password"]}
    if "site" in values:
        body |= {"site_id": values["site"], "name": values["name"]}
    return body


_SITE, _DOMAIN, _SERVICE = number("site"), number("domain"), number("service")
_USER, _CLIENT, _DEVICE, _OWNER = (
    number("user"),
    number("client"),
    number("device"),
    number("owner"),
)
_ON_SITE = Argument("user", "name or id of the user")
_PASSWORD = Argument("--password-file", "file with the password; - for standard input", secret=True)
_SECONDS = Argument("ping_period", "10 to 300 seconds, or 0 for the endpoint's own", int)

_OWNERS = ("id", "account_name", "full_name", "authority", "enabled", "last_login_at")
_DOMAINS = ("id", "owner_id", "name")
_SITES = ("id", "domain_id", "description", "kind", "built", "enabled", "service_type")
_SERVICES = ("id", "hostname", "uri", "online", "status", "version", "enabled", "has_password")
_USERS = ("id", "domain_id", "kind", "name", "dedicated", "enabled", "clients")
_CLIENTS = ("id", "key", "uri", "user_name", "online", "status", "description", "has_password")
_CAMERAS = ("device_id", "name", "state", "reason", "viewers", "address", "site_id", "service_id")
_SHOWN = ("id", "uri", "password")


VERBS: tuple[Verb, ...] = (
    Verb("owner", "list", "list all accounts", "GET", "/owners", columns=_OWNERS),
    Verb("owner", "add", "create an account", "POST", "/owners", (
        Argument("account_name"), Argument("full_name"),
        Argument("--authority", choices=("consumer", "provider", "administrator")), _PASSWORD,
    ), given("account_name", "full_name", "authority", "password"), _OWNERS),
    Verb("owner", "claim", "make the first owner of a box that has none", "POST", "/setup", (
        Argument("account_name"), Argument("full_name"),
        Argument("--code", "setup code of the label or console"), _PASSWORD,
    ), given("account_name", "full_name", "code", "password"), _OWNERS, needs_token=False),
    Verb("owner", "setup-code", "draw another setup code for a box that has no owner", "POST",
         "/setup/code", columns=("code",)),
    Verb("owner", "set-password", "set an account's password", "POST", "/owners/{owner}/password",
         (_OWNER, _PASSWORD), given("password")),
    *switch("owner", "/owners/{owner}/enabled", _OWNER, ("enable", "disable"), "enabled",
             "an account"),
    Verb("owner", "set-authority", "give an account another role on the server", "PUT",
         "/owners/{owner}/authority",
         (_OWNER, Argument("authority", choices=("consumer", "provider", "administrator"))),
         given("authority"), _OWNERS),
    Verb("owner", "delete", "delete an account with all its domains", "DELETE", "/owners/{owner}",
         (_OWNER,)),
    Verb("domain", "list", "list domains", "GET", "/domains", (
        Argument("--owner-id", "only of this account", int),), columns=_DOMAINS,
        query=("owner_id",)),
    Verb("domain", "add", "create a domain", "POST", "/domains", (
        Argument("name", optional=True), Argument("--owner-id", "whose it shall be", int),
    ), given("name", "owner_id"), _DOMAINS),
    Verb("domain", "show", "show a domain", "GET", "/domains/{domain}", (_DOMAIN,),
         columns=_DOMAINS),
    Verb("domain", "rename", "rename a domain", "PUT", "/domains/{domain}/name",
         (_DOMAIN, Argument("name")), given("name"), _DOMAINS),
    Verb("domain", "delete", "delete a domain with all that is in it", "DELETE",
         "/domains/{domain}", (_DOMAIN,)),
    Verb("site", "list", "list the sites of a domain", "GET", "/domains/{domain}/sites",
         (_DOMAIN,), columns=_SITES),
    Verb("site", "add", "create a blank site", "POST", "/domains/{domain}/sites", (
        _DOMAIN, Argument("description", optional=True),
        Argument("--kind", choices=("single", "multi")),
    ), given("description", "kind"), _SITES),
    Verb("site", "show", "show a site", "GET", "/sites/{site}", (_SITE,), columns=_SITES),
    Verb("site", "describe", "give a site another description", "PUT",
         "/sites/{site}/description", (_SITE, Argument("description")), given("description"),
         _SITES),
    *switch("site", "/sites/{site}/enabled", _SITE, ("enable", "disable"), "enabled", "a site"),
    Verb("site", "make-multi", "set a blank site as multi-service site", "PUT",
         "/sites/{site}/multi", (_SITE,)),
    *switch("site", "/sites/{site}/guests", _SITE, ("allow-guests", "deny-guests"), "allowed",
             "on a site"),
    *switch("site", "/sites/{site}/implicit-users", _SITE, ("allow-implicit", "deny-implicit"),
             "allowed", "users on a site without roles"),
    Verb("site", "delete", "delete a site with its services and clients", "DELETE",
         "/sites/{site}", (_SITE,)),
    Verb("service", "list", "list the services of a site", "GET", "/sites/{site}/services",
         (_SITE,), columns=_SERVICES),
    Verb("service", "add", "add a service to a multi-service site", "POST",
         "/sites/{site}/services", (_SITE, Argument("hostname", optional=True)),
         given("hostname"), _SERVICES),
    Verb("service", "generate-password", "draw a password and show it once", "POST",
         "/services/{service}/password", (_SERVICE,), columns=_SHOWN),
    Verb("service", "rename", "give a service another hostname", "PUT",
         "/services/{service}/hostname", (_SERVICE, Argument("hostname")), given("hostname"),
         _SERVICES),
    *switch("service", "/services/{service}/enabled", _SERVICE, ("enable", "disable"), "enabled",
             "a service"),
    Verb("service", "ping-period", "set the ping period", "PUT",
         "/services/{service}/ping-period", (_SERVICE, _SECONDS), given("ping_period")),
    Verb("service", "apply-structure", "rebuild the site from this service", "POST",
         "/services/{service}/apply-structure", (_SERVICE,), columns=_SITES),
    Verb("service", "delete", "delete a service", "DELETE", "/services/{service}", (_SERVICE,)),
    Verb("user", "list", "list the users of a domain", "GET", "/domains/{domain}/users",
         (_DOMAIN,), columns=_USERS),
    Verb("user", "add", "create a private user", "POST", "/domains/{domain}/users", (
        _DOMAIN, Argument("name"), Argument("--dedicated", "only explicit rights", bool),
    ), given("name", "dedicated"), _USERS),
    Verb("user", "edit", "set name and marks of a user; what is not given is taken away", "PUT",
         "/users/{user}", (
             _USER, Argument("name", optional=True), Argument("--disabled", kind=bool),
             Argument("--dedicated", "only explicit rights", bool),
         ), given("name", "disabled", "dedicated"), _USERS),
    Verb("user", "rename", "rename a user", "PUT", "/users/{user}/name", (_USER, Argument("name")),
         given("name"), _USERS),
    *switch("user", "/users/{user}/enabled", _USER, ("enable", "disable"), "enabled", "a user"),
    *switch("user", "/users/{user}/dedicated", _USER, ("dedicate", "undedicate"), "dedicated",
             "a user"),
    Verb("user", "delete", "delete a user with its clients", "DELETE", "/users/{user}", (_USER,)),
    Verb("user", "rights", "list who may do what on a site", "GET", "/sites/{site}/rights",
         (_SITE,), columns=("user.id", "user.name", "allowed", "explicit_roles", "default_role")),
    Verb("user", "add-to-site", "add a user to a site without roles", "POST",
         "/sites/{site}/rights/users", (_SITE, _ON_SITE), _user_body),
    Verb("user", "remove-from-site", "take a user off a site without roles", "DELETE",
         "/sites/{site}/rights/users", (_SITE, _ON_SITE), _user_body),
    Verb("role", "list", "list the roles of a site", "GET", "/sites/{site}/roles", (_SITE,),
         columns=("id", "position", "name")),
    Verb("role", "set", "give a user exactly these roles", "PUT", "/sites/{site}/rights/roles", (
        _SITE, _ON_SITE, Argument("role", "names of roles; none takes all away", many=True),
    ), _roles_body),
    Verb("role", "default", "set the user default role", "PUT", "/sites/{site}/default-role",
         (_SITE, Argument("role", "name of the role, or none")), _default_role_body),
    Verb("client", "list", "list the clients of a site", "GET", "/sites/{site}/clients", (_SITE,),
         columns=_CLIENTS),
    Verb("client", "add", "add a client for a user", "POST", "/sites/{site}/clients",
         (_SITE, _ON_SITE), _user_body, _CLIENTS),
    Verb("client", "generate-password", "draw a password and show it once", "POST",
         "/clients/{client}/password", (_CLIENT,), columns=_SHOWN),
    Verb("client", "ping-period", "set the ping period", "PUT", "/clients/{client}/ping-period",
         (_CLIENT, _SECONDS), given("ping_period")),
    Verb("client", "delete", "delete a client", "DELETE", "/clients/{client}", (_CLIENT,)),
    Verb("camera", "found", "list cameras on the LAN that nobody adopted", "GET", "/cameras/found",
         columns=("identity", "name", "maker", "model", "address", "driver", "present")),
    Verb("camera", "list", "list the adopted cameras", "GET", "/cameras", columns=_CAMERAS),
    Verb("camera", "probe", "ask a camera who it is", "POST", "/cameras/probe", (
        Argument("where", "identity of a found camera, or rtsp:// address"),
        Argument("--user", "user name at the camera"), _PASSWORD,
    ), _camera_body, ("identity", "maker", "model", "firmware", "has_picture")),
    Verb("camera", "add", "make a camera a service of a site", "POST", "/cameras", (
        Argument("where", "identity of a found camera, or rtsp:// address"), _SITE,
        Argument("name"), Argument("--user", "user name at the camera"), _PASSWORD,
    ), _camera_body, _CAMERAS),
    Verb("camera", "rename", "rename a camera", "PUT", "/cameras/{device}/name",
         (_DEVICE, Argument("name")), given("name"), _CAMERAS),
    Verb("camera", "credentials", "use another login for a camera", "PUT",
         "/cameras/{device}/credentials",
         (_DEVICE, Argument("--user", "user name at the camera"), _PASSWORD),
         given("user", "password"), _CAMERAS),
    Verb("camera", "snapshot", "fetch the present picture", "GET", "/cameras/{device}/snapshot",
         (_DEVICE, Argument("--output", "file to write; else standard output")), binary=True),
    Verb("camera", "forget", "let go of a camera", "DELETE", "/cameras/{device}", (_DEVICE,)),
    Verb("session", "list", "list what is being watched now", "GET", "/sessions",
         columns=("id", "user", "camera", "port", "mode", "since", "octets")),
    Verb("session", "end", "end a session now", "POST", "/sessions/end", (Argument("session"),),
         given("session")),
    Verb("token", "list", "list the tokens of programs", "GET", "/tokens",
         columns=("id", "name", "scopes", "expires_at", "last_used_at")),
    Verb("token", "add", "create a token and show it once", "POST", "/tokens", (
        Argument("name"), Argument("--scope", choices=("read", "manage", "administer")),
        Argument("--days", "life in days; none: no end", int),
    ), given("name", "scope", "days"), ("id", "token")),
    Verb("token", "delete", "make a token void", "DELETE", "/tokens/{token}", (number("token"),)),
    Verb("status", "show", "show the box in numbers", "GET", "/status",
         columns=("version", "cameras", "online", "found", "sessions")),
    *PEOPLE,
)  # fmt: skip
