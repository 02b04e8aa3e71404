"""How each object looks in JSON: one table for the answers and for their description."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from gateway.base.secret import Secret

Getter = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of object; `properties` maps a name to its JSON type, `getters` what is computed.

    A type ending in '?' may be null; one ending in '[]' is a list.
    """

    name: str
    properties: Mapping[str, str]
    getters: Mapping[str, Getter]

    def of(self, value: Any) -> dict[str, Any]:
        """Return the JSON object for a value of this kind."""
        return {
            name: plain(self.getters[name](value) if name in self.getters else getattr(value, name))
            for name in self.properties
        }

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of this kind."""
        return {
            "type": "object",
            "properties": {name: _schema(kind) for name, kind in self.properties.items()},
            "required": list(self.properties),
        }


def plain(value: Any) -> Any:
    """Return a value as JSON knows it; a Secret only where an operation reveals it itself."""
    if isinstance(value, Secret):
        raise TypeError("a secret is revealed by name, never by shape")
    if isinstance(value, enum.Enum):
        return value.name.lower() if isinstance(value, enum.IntEnum) else value.value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple | list | frozenset):
        return [plain(item) for item in value]
    return value


def _schema(kind: str) -> dict[str, Any]:
    if kind.endswith("?"):
        inner = _schema(kind[:-1])
        if "$ref" in inner:
            return {"anyOf": [inner, {"type": "null"}]}
        return inner | {"type": [inner["type"], "null"]}
    if kind.endswith("[]"):
        return {"type": "array", "items": _schema(kind[:-2])}
    if kind[0].isupper():
        return {"$ref": f"#/components/schemas/{kind}"}
    return {"type": kind}


def shape(name: str, properties: str, /, **getters: Getter) -> Shape:
    """Declare a kind by words of the form 'name:type'."""
    pairs = (word.partition(":") for word in properties.split())
    return Shape(name, {key: kind for key, _, kind in pairs}, getters)


def _from(part: str, names: str) -> dict[str, Getter]:
    """Return getters for what lies in a part of the value."""
    return {name: attrgetter(f"{part}.{name}") for name in names.split()}


OWNER = shape(
    "Owner",
    "id:integer account_name:string full_name:string authority:string enabled:boolean"
    " locked_until:integer? created_at:integer last_login_at:integer?",
)
DOMAIN = shape("Domain", "id:integer owner_id:integer name:string created_at:integer")
SITE = shape(
    "Site",
    "id:integer uid:string domain_id:integer owner_id:integer kind:string description:string"
    " enabled:boolean built:boolean service_type:string? contract_author:string?"
    " guest_support:string guest_allowed:boolean role_based:boolean default_role_id:integer?"
    " implicit_users:boolean created_at:integer",
    uid=lambda site: site.uid_text,
)
ROLE = shape("Role", "id:integer site_id:integer name:string position:integer")
SERVICE = shape(
    "Service",
    "id:integer uid:string site_id:integer hostname:string enabled:boolean ping_period:integer"
    " service_type:string? contract_author:string? version:string has_password:boolean"
    " password_set_at:integer? created_at:integer last_seen_at:integer?"
    " uri:string online:boolean status:string",
    uid=lambda row: row.service.uid_text,
    **_from(
        "service",
        "id site_id hostname enabled ping_period service_type contract_author version"
        " has_password password_set_at created_at last_seen_at",
    ),
)
CLIENT = shape(
    "Client",
    "id:integer key:string site_id:integer user_id:integer user_name:string user_kind:string"
    " creator_id:integer? service_type:string? contract_author:string? description:string"
    " ping_period:integer has_password:boolean password_set_at:integer? created_at:integer"
    " last_seen_at:integer? uri:string online:boolean status:string",
    **_from(
        "client",
        "id key site_id user_id user_name user_kind creator_id service_type contract_author"
        " description ping_period has_password password_set_at created_at last_seen_at",
    ),
)
CREDENTIALS = shape(
    "Credentials",
    "id:integer uri:string password:string",
    password=lambda shown: shown.password.reveal(),
)
USER = shape(
    "User",
    "id:integer domain_id:integer kind:string name:string dedicated:boolean enabled:boolean"
    " contact_id:integer? contact_name:string? clients:integer created_at:integer",
)
RIGHTS = shape(
    "Rights",
    "user:User allowed:boolean explicit_roles:string[] default_role:string? explicit:boolean"
    " implicit:boolean",
    user=lambda given: USER.of(given.user),
    explicit_roles=lambda given: [role.name for role in given.explicit_roles],
    default_role=lambda given: given.default_role.name if given.default_role else None,
)
TOKEN = shape(
    "Token",
    "id:integer name:string owner_id:integer? scopes:string[] created_at:integer"
    " expires_at:integer? last_used_at:integer?",
    scopes=lambda token: sorted(scope.value for scope in token.scopes),
)
NEW_TOKEN = shape("NewToken", "id:integer token:string", token=lambda made: made.secret.reveal())
FOUND = shape(
    "FoundCamera",
    "identity:string name:string maker:string model:string address:string driver:string"
    " present:boolean conflict:boolean",
)
STREAM = shape("Stream", "name:string codec:string width:integer height:integer fps:number")
PROBED = shape(
    "ProbedCamera",
    "identity:string name:string maker:string model:string firmware:string streams:Stream[]"
    " has_picture:boolean",
    streams=lambda probed: [STREAM.of(stream) for stream in probed.info.streams],
    has_picture=lambda probed: probed.picture is not None,
    **_from("info", "identity name maker model firmware"),
)
CAMERA = shape(
    "Camera",
    "device_id:integer site_id:integer service_id:integer name:string maker:string model:string"
    " firmware:string address:string state:string reason:string viewers:integer"
    " since:number service_status:string service_trouble:string",
)
SESSION = shape(
    "Session",
    "id:string device_id:integer camera:string user:string client_id:integer port:integer"
    " mode:string since:number octets:integer",
)
AUDIT = shape(
    "AuditEntry",
    "id:integer at:integer actor_id:integer? address:string action:string object:string"
    " detail:string outcome:string hash:string",
)
STATUS = shape(
    "Status",
    "version:string claimed:boolean started_at:integer cameras:integer online:integer"
    " found:integer sessions:integer",
)
DONE = shape("Done", "done:boolean", done=lambda _: True)
PROBLEM = shape("Problem", "type:string title:string status:integer detail:string field:string?")

ALL = (
    OWNER, DOMAIN, SITE, ROLE, SERVICE, CLIENT, CREDENTIALS, USER, RIGHTS, TOKEN, NEW_TOKEN, FOUND,
    STREAM, PROBED, CAMERA, SESSION, AUDIT, STATUS, DONE, PROBLEM,
)  # fmt: skip
