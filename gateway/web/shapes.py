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

    A type ending in '?' may be null; one ending in '[]' is a list. Names in `optional` may be
    absent.
    """

    name: str
    properties: Mapping[str, str]
    getters: Mapping[str, Getter]
    optional: frozenset[str] = frozenset()

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
            "required": [name for name in self.properties if name not in self.optional],
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
    " locked_until:integer? email:string? email_pending:string? created_at:integer"
    " last_login_at:integer?",
)
ASKED = shape("Asked", "outcome:string")
ANSWER = shape("Answer", "answer:string", answer=str)
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
SETUP_CODE = shape("SetupCode", "code:string", code=lambda drawn: drawn.code.reveal())
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
CHAIN = shape(
    "AuditChain",
    "rows:integer whole:boolean broken_at:integer? missing:integer[] finding:string head:string",
    missing=lambda report: list(report.missing or ()),
)
CONTACT = shape(
    "Contact",
    "id:integer partner_id:integer? name:string user_default_name:string? status:string"
    " partner_name:string? usable:boolean warning:string created_at:integer",
)
CONTACT_PAGE = shape(
    "ContactPage",
    "contact:Contact warning:string contact_domains:Domain[] shared_domains:Domain[]?",
    contact=lambda page: CONTACT.of(page.contact),
    contact_domains=lambda page: [DOMAIN.of(one) for one in page.contact_domains],
    shared_domains=lambda page: (
        None if page.shared_domains is None else [DOMAIN.of(one) for one in page.shared_domains]
    ),
)
CONTACT_INVITATION = shape(
    "ContactInvitation", "other_id:integer other_name:string created_at:integer"
)
PERSON = shape("Person", "id:integer full_name:string provider:boolean")
INVITED = shape("Invited", "outcome:string")
SHARED_SERVICE = shape(
    "SharedService",
    "id:integer hostname:string version:string trouble:string",
    trouble=lambda line: line.status,
    **_from("service", "id hostname version"),
)
SHARED_USER = shape(
    "SharedUser",
    "id:integer name:string kind:string roles:string[] may_add:boolean",
    roles=lambda line: [role.name for role in line.roles],
    **_from("user", "id name kind"),
)
SHARED_SITE = shape(
    "SharedSite",
    "id:integer uid:string description:string service_type:string? contract_author:string?"
    " state:string services:SharedService[] roles:string[] users:SharedUser[] clients:Client[]"
    " guest_path:string shared_uri:string",
    uid=lambda view: view.panel.site.uid_text,
    state=lambda view: view.panel.status,
    services=lambda view: [SHARED_SERVICE.of(line) for line in view.panel.services],
    roles=lambda view: [role.name for role in view.panel.roles],
    users=lambda view: [SHARED_USER.of(line) for line in view.panel.users],
    clients=lambda view: [CLIENT.of(row) for row in view.rows.values()],
    **_from("panel.site", "id description service_type contract_author"),
)
GUEST_SITE = shape(
    "GuestSite",
    "owner:string domain_id:integer domain:string refusal:string? site:SharedSite",
    owner=lambda entry: entry.site.owner.full_name,
    domain_id=lambda entry: entry.site.domain.id,
    domain=lambda entry: entry.site.domain.name,
    refusal=lambda entry: None if entry.site.refusal is None else str(entry.site.refusal),
    site=lambda entry: SHARED_SITE.of(entry.view),
)
GUEST_LIST = shape(
    "GuestList",
    "email:string sites:GuestSite[]",
    sites=lambda found: [GUEST_SITE.of(one) for one in found.entries],
)
VIEWER = shape(
    "Viewer",
    "user_id:integer? user:string reasons:string[] roles:string[] clients:integer"
    " hindrances:string[] can:boolean",
    user_id=lambda one: None if one.user is None else one.user.id,
    user=lambda one: "" if one.user is None else one.user.name,
)
AUDIENCE = shape(
    "Audience",
    "service_id:integer site_id:integer domain_id:integer hindrances:string[] viewers:Viewer[]",
    service_id=lambda found: found.service.id,
    site_id=lambda found: found.site.id,
    domain_id=lambda found: found.domain.id,
    viewers=lambda found: [VIEWER.of(one) for one in found.viewers],
)
SIGHT = shape(
    "Sight",
    "site_id:integer site:string reasons:string[] roles:string[] clients:integer"
    " hindrances:string[] services:string[]",
    site_id=lambda sight: sight.site.id,
    site=lambda sight: sight.site.description,
    services=lambda sight: [service.hostname for service, _ in sight.services],
)
OUTLOOK = shape(
    "Outlook",
    "user:User domain_id:integer hindrances:string[] sights:Sight[]",
    user=lambda found: USER.of(found.user),
    domain_id=lambda found: found.domain.id,
    sights=lambda found: [SIGHT.of(one) for one in found.sights],
)
INVITATION = shape(
    "Invitation",
    "id:integer inviter_id:integer inviter_name:string email:string? text:string"
    " make_provider:boolean state:string created_at:integer expires_at:integer"
    " accepted_at:integer? new_owner_id:integer? path:string",
    path=lambda one: f"/invitation/{one.key}",
)
ACCOUNT_REQUEST = shape(
    "AccountRequest", "id:integer email:string message:string source:string created_at:integer"
)
LETTER = shape(
    "Letter",
    "id:integer purpose:string to:string subject:string state:string attempts:integer"
    " last_error:string created_at:integer expires_at:integer done_at:integer? link:string?",
    link=lambda letter: letter.link.reveal() if letter.link else None,
)
SETTING = shape(
    "Setting",
    "name:string value:string default:string changed:boolean unit:string help:string",
    value=lambda row: str(row.value),
    default=lambda row: str(row.default),
    **_from("facts", "unit help"),
)
STATUS = shape(
    "Status",
    "version:string claimed:boolean started_at:integer cameras:integer online:integer"
    " found:integer sessions:integer",
)
DONE = shape("Done", "done:boolean", done=lambda _: True)
PROBLEM = Shape(
    "Problem",
    {
        "type": "string", "title": "string", "status": "integer", "detail": "string",
        "field": "string",
    },
    {},
    optional=frozenset({"field"}),
)  # fmt: skip

ALL = (
    OWNER, DOMAIN, SITE, ROLE, SERVICE, CLIENT, CREDENTIALS, USER, RIGHTS, TOKEN, NEW_TOKEN,
    SETUP_CODE, FOUND,
    ASKED, ANSWER, GUEST_SITE, GUEST_LIST, STREAM, PROBED, CAMERA, SESSION, AUDIT, STATUS, DONE,
    PROBLEM, CHAIN, CONTACT, CONTACT_PAGE, CONTACT_INVITATION, PERSON, INVITED, SHARED_SERVICE,
    SHARED_USER, SHARED_SITE, VIEWER, AUDIENCE, SIGHT, OUTLOOK, INVITATION, ACCOUNT_REQUEST,
    LETTER, SETTING,
)  # fmt: skip
