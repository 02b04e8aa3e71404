"""The one authorizer: who is asking, what the object is to them, and whether they may.

Every page, every call of the API and every event stream asks here; `access.operators` holds the
table of answers.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
from dataclasses import dataclass

from gateway.access.decision import Decision
from gateway.access.operators import Action, Relation, Standing, decide
from gateway.base.errors import Denied, NotFound
from gateway.base.secret import Secret
from gateway.model.accounts import ApiToken, Owner, Scope, WebSession
from gateway.model.kinds import UserKind
from gateway.model.sites import DomainUser
from gateway.registry import (
    contacts,
    devices,
    domains,
    members,
    operators,
    owners,
    relations,
    services,
    sharing,
    sites,
)
from gateway.registry.database import Reader
from gateway.registry.guests import Creator


class Kind(enum.StrEnum):
    """What a route is about; also the name of its id in the path."""

    NONE = "none"
    """Nothing, or what is to be created at the top."""
    ACCOUNT = "account"
    """The visitor's own account and what it holds as a whole."""
    OWNER = "owner"
    DOMAIN = "domain"
    SITE = "site"
    SERVICE = "service"
    USER = "user"
    CLIENT = "client"
    DEVICE = "device"
    TOKEN = "token"  # noqa: S105  (a word)
    CONTACT = "contact"
    PERSON = "person"
    """Another account, as far as everybody signed in may know of it."""
    INVITATION = "invitation"
    """To register; like letters and requests it is the box's own."""
    LETTER = "letter"
    REQUEST = "request"
    SHARED = "shared"
    """A site of a partner's, as far as the partner shares it."""


OF_THE_BOX = frozenset({Kind.NONE, Kind.INVITATION, Kind.LETTER, Kind.REQUEST})
"""What belongs to no account."""
KIND_NAMES = frozenset(str(kind) for kind in Kind)
"""What a parameter of a path may be called to be read as an id."""

STANDING = "standing"
"""The code of what the authorizer refuses, to be told from what an object refuses."""

_SCOPE_RANK = {Scope.READ: 0, Scope.MANAGE: 1, Scope.ADMINISTER: 2}
_ADMINISTRATION = frozenset({Action.MANAGE_OWNERS, Action.MANAGE_SERVER, Action.VIEW_AUDIT})


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who is asking: nobody, a signed-in browser, or a program with a token.

    A token without an owner is the box's own: whoever can read its file has the box.
    """

    address: str
    owner: Owner | None = None
    session: WebSession | None = None
    session_token: Secret | None = None
    token: ApiToken | None = None
    invitations: int = 0
    """How many invitations to be a contact wait for an answer."""
    registration: str = ""
    """How somebody who has not signed in may get an account; "" where that is not asked."""

    @property
    def is_box(self) -> bool:
        """Tell whether this is the machine's own token."""
        return self.token is not None and self.token.owner_id is None

    @property
    def standing(self) -> Standing:
        """Return what the visitor is on this server."""
        if self.is_box:
            return Standing.ADMINISTRATOR
        return Standing.of(self.owner.authority if self.owner else None)

    @property
    def owner_id(self) -> int | None:
        """Return the account's id, or None."""
        return self.owner.id if self.owner else None

    @property
    def signed_in(self) -> bool:
        """Tell whether this is anybody at all."""
        return self.standing is not Standing.ANONYMOUS

    @property
    def csrf(self) -> str:
        """Return what a form must carry to be taken as this session's own; "" without a session."""
        if self.session is None:
            return ""
        return hmac.new(self.session.csrf_key, b"form", hashlib.sha256).hexdigest()

    def may(self, action: Action, relation: Relation = Relation.OWN) -> bool:
        """Tell whether a page should offer `action` at all."""
        return bool(decide(action, self.standing, relation))

    def covers(self, needed: Scope) -> bool:
        """Tell whether the visitor's token reaches that far; a browser always does."""
        if self.token is None:
            return True
        return max(_SCOPE_RANK[scope] for scope in self.token.scopes) >= _SCOPE_RANK[needed]


def authorize(
    reader: Reader,
    visitor: Visitor,
    action: Action,
    kind: Kind,
    object_id: int = 0,
    *,
    changes: bool,
) -> None:
    """Raise Denied or NotFound unless the visitor may do `action` to the object.

    Clients, and users for whom one is created, answer by the kind of their user (04 section 5.5).
    """
    needed = Scope.MANAGE if changes else Scope.READ
    if action in _ADMINISTRATION:
        needed = Scope.ADMINISTER
    if not visitor.covers(needed):
        raise Denied(f"The token lacks the scope {needed.value!r}. Use another token.", "scope")
    action, relation = _judged(reader, visitor, action, kind, object_id)
    decision = decide(action, visitor.standing, relation)
    if not decision and visitor.standing is Standing.ANONYMOUS:
        raise Denied(decision.reason, "sign-in")
    decision = _hide(decision, relation)
    if not decision and not decision.hidden:
        raise Denied(decision.reason, STANDING)
    decision.enforce()


def _hide(decision: Decision, relation: Relation) -> Decision:
    # Whoever may not do this to any object must not learn either which ids are taken.
    if not decision and relation is Relation.FOREIGN:
        reason = "This object does not exist any more. Reload the page."
        return Decision(False, reason, hidden=True)
    return decision


def _judged(
    reader: Reader, visitor: Visitor, action: Action, kind: Kind, object_id: int
) -> tuple[Action, Relation]:
    try:
        relation, user = _relation(reader, visitor, kind, object_id)
    except NotFound:
        return action, Relation.FOREIGN
    of_contact = user is not None and user.kind is UserKind.CONTACT
    if visitor.is_box and relation is not Relation.NONE:
        # Clients of contacts stay the contact's: not even the box's own token edits them.
        relation = Relation.OWN
    if user is not None and action is Action.MANAGE_OWN_CLIENT:
        if of_contact:
            action = Action.MANAGE_CONTACT_CLIENT
        elif user.kind is UserKind.GUEST:
            if kind is Kind.USER:
                # Adding a guest's client on one's own site; the public pages come by another way.
                return (Action.MANAGE_DOMAIN, relation)
            action = Action.MANAGE_GUEST_CLIENT
            if visitor.is_box:
                relation = Relation.CREATED
    return action, relation


def _relation(
    reader: Reader, visitor: Visitor, kind: Kind, object_id: int
) -> tuple[Relation, DomainUser | None]:
    """Return what the object is to the visitor, and the user behind a client. Raises NotFound."""
    me = visitor.owner_id
    if kind in OF_THE_BOX:
        return Relation.NONE, None
    if kind is Kind.ACCOUNT:
        return (Relation.OWN if visitor.signed_in else Relation.NONE), None
    if kind is Kind.CLIENT:
        relation, client = relations.to_client(reader, Creator(me), object_id)
        if client is None:
            return Relation.FOREIGN, None
        return relation, members.get_user(reader, client.user_id)
    if kind is Kind.SHARED:
        sharing.contact_site(reader, me or 0, object_id)
        return Relation.PARTNER, None
    if kind is Kind.PERSON:
        owners.get(reader, object_id)
        return (Relation.OWN if me is not None else Relation.FOREIGN), None
    if kind is Kind.USER:
        user = members.get_user(reader, object_id)
        return _to_user(reader, user, me), user
    owner_id = _owner_of(reader, kind, object_id)
    return (Relation.OWN if me is not None and owner_id == me else Relation.FOREIGN), None


def _to_user(reader: Reader, user: DomainUser, me: int | None) -> Relation:
    if me is None:
        return Relation.FOREIGN
    if user.owner_id == me:
        return Relation.OWN
    mine = user.partner_id == me and sharing.serves(reader, user)
    return Relation.PARTNER if mine else Relation.FOREIGN


def _owner_of(reader: Reader, kind: Kind, object_id: int) -> int | None:
    if kind is Kind.OWNER:
        return owners.get(reader, object_id).id
    if kind is Kind.DOMAIN:
        return domains.get(reader, object_id).owner_id
    if kind is Kind.SITE:
        return sites.get(reader, object_id).owner_id
    if kind is Kind.SERVICE:
        return sites.get(reader, services.get(reader, object_id).site_id).owner_id
    if kind is Kind.CONTACT:
        return contacts.get(reader, object_id).owner_id
    if kind is Kind.TOKEN:
        return operators.get_token(reader, object_id).owner_id
    if kind is Kind.DEVICE:
        site_id = devices.get(reader, object_id).site_id
        return None if site_id is None else sites.get(reader, site_id).owner_id
    raise ValueError(f"nobody knows whose a {kind} is")
