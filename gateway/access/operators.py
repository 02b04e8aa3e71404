"""Which operator may do what to which object: one table for pages and command line (04, 5.5)."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType

from gateway.access.decision import ALLOWED, Decision
from gateway.model.kinds import Authority


class Standing(enum.StrEnum):
    """What the person or program at the other end is on this server."""

    ANONYMOUS = "anonymous"
    CONSUMER = "consumer"
    PROVIDER = "provider"
    ADMINISTRATOR = "administrator"

    @classmethod
    def of(cls, authority: Authority | None) -> Standing:
        """Return the standing of an account; None is somebody who has not signed in."""
        if authority is None:
            return cls.ANONYMOUS
        return _STANDINGS[authority]


_STANDINGS = {
    Authority.CONSUMER: Standing.CONSUMER,
    Authority.PROVIDER: Standing.PROVIDER,
    Authority.ADMINISTRATOR: Standing.ADMINISTRATOR,
}


class Relation(enum.StrEnum):
    """What an object is to the account that wants to act on it."""

    NONE = "none"
    """There is no object: creating, listing one's own."""
    OWN = "own"
    """It is the account's own, or in one of its domains."""
    PARTNER = "partner"
    """A client of a Contact user that stands for this account, the partnership being mutual."""
    CREATED = "created"
    """A guest client that the account, or its mail address, created."""
    FOREIGN = "foreign"
    """None of these."""


class Action(enum.StrEnum):
    """What can be done; the names appear in the audit."""

    REGISTER = "register"
    USE_ACCOUNT = "account.use"
    VIEW_DOMAIN = "domain.view"
    CREATE_DOMAIN = "domain.create"
    MANAGE_DOMAIN = "domain.manage"
    """The domain with its sites, services, users, roles and rights."""
    VIEW_CLIENT = "client.view"
    MANAGE_OWN_CLIENT = "client.manage"
    """Clients of Owner and Private users."""
    MANAGE_CONTACT_CLIENT = "contact-client.manage"
    MANAGE_GUEST_CLIENT = "guest-client.manage"
    CREATE_GUEST_CLIENT = "guest-client.create"
    USE_CONTACTS = "contact.use"
    SHARE = "contact.share"
    """Creating Contact users in one's own domain."""
    USE_PUBLIC_SERVICES = "public.use"
    VIEW_FOUND_CAMERAS = "camera.found"
    ADOPT_CAMERA = "camera.adopt"
    """Onto a site of one's own."""
    VIEW_CAMERA = "camera.view"
    MANAGE_CAMERA = "camera.manage"
    """Name, credentials, forgetting it; seeing and ending live sessions."""
    MANAGE_OWNERS = "owner.manage"
    MANAGE_SERVER = "server.manage"
    """Settings, invitations, outbox, tokens of the box."""
    VIEW_AUDIT = "audit.view"
    VIEW_HEALTH = "health.view"


_NONE = frozenset({Relation.NONE})
_OWN = frozenset({Relation.OWN})
_PARTNER = frozenset({Relation.PARTNER})
_CREATED = frozenset({Relation.CREATED})
_ANY = frozenset(Relation)
_NEVER: frozenset[Relation] = frozenset()

_EVERYBODY = tuple(Standing)
_SIGNED_IN = (Standing.CONSUMER, Standing.PROVIDER, Standing.ADMINISTRATOR)
_PROVIDERS = (Standing.PROVIDER, Standing.ADMINISTRATOR)
_ADMINISTRATORS = (Standing.ADMINISTRATOR,)


def _rows(
    *rows: tuple[Action, tuple[Standing, ...], frozenset[Relation]],
) -> Mapping[Action, Mapping[Standing, frozenset[Relation]]]:
    return MappingProxyType(
        {
            action: MappingProxyType({who: (to if who in whom else _NEVER) for who in Standing})
            for action, whom, to in rows
        }
    )


TABLE = _rows(
    (Action.REGISTER, (Standing.ANONYMOUS,), _NONE),
    (Action.USE_ACCOUNT, _SIGNED_IN, _OWN),
    (Action.CREATE_DOMAIN, _PROVIDERS, _NONE),
    (Action.VIEW_DOMAIN, _PROVIDERS, _OWN),
    (Action.MANAGE_DOMAIN, _PROVIDERS, _OWN),
    # The owner sees a contact's clients in its own domain but may not touch them (04, trap 13).
    (Action.VIEW_CLIENT, _SIGNED_IN, _OWN | _PARTNER | _CREATED),
    (Action.MANAGE_OWN_CLIENT, _PROVIDERS, _OWN),
    (Action.MANAGE_CONTACT_CLIENT, _SIGNED_IN, _PARTNER),
    (Action.MANAGE_GUEST_CLIENT, _EVERYBODY, _CREATED),
    (Action.CREATE_GUEST_CLIENT, _EVERYBODY, _ANY),
    (Action.USE_CONTACTS, _SIGNED_IN, _NONE | _OWN),
    (Action.SHARE, _PROVIDERS, _OWN),
    (Action.USE_PUBLIC_SERVICES, _EVERYBODY, _ANY),
    (Action.VIEW_FOUND_CAMERAS, _PROVIDERS, _NONE),
    (Action.ADOPT_CAMERA, _PROVIDERS, _OWN),
    (Action.VIEW_CAMERA, _PROVIDERS, _OWN),
    (Action.MANAGE_CAMERA, _PROVIDERS, _OWN),
    (Action.MANAGE_OWNERS, _ADMINISTRATORS, _ANY),
    (Action.MANAGE_SERVER, _ADMINISTRATORS, _NONE),
    (Action.VIEW_AUDIT, _ADMINISTRATORS, _NONE),
    (Action.VIEW_HEALTH, _EVERYBODY, _NONE),
)
"""The relations in which each standing may do each action; what is not in it is refused."""


def decide(action: Action, standing: Standing, relation: Relation = Relation.NONE) -> Decision:
    """Tell whether somebody of this standing may do `action` to an object so related to it.

    A foreign object is answered as if it did not exist, to whoever may do this to objects of its
    own; the person who has not signed in is asked to do so first.
    """
    relations = TABLE[action][standing]
    if relation in relations:
        return ALLOWED
    if standing is Standing.ANONYMOUS:
        return Decision(False, "Sign in first.")
    if relation is Relation.FOREIGN:
        return Decision(False, "This object does not exist any more. Reload the page.", hidden=True)
    if not relations:
        return Decision(False, _lacking(action))
    return Decision(False, "Only the account that this belongs to may change it.")


def decide_about_owner(standing: Standing, target: Authority) -> Decision:
    """Tell whether an account may be disabled, enabled or given another role on the pages.

    Administrators are changed with the local tool only (04 section 5.5).
    """
    decision = decide(Action.MANAGE_OWNERS, standing)
    if decision and target is Authority.ADMINISTRATOR:
        return Decision(
            False,
            "An administrator cannot be changed here. Use the command line on the box itself.",
        )
    return decision


def _lacking(action: Action) -> str:
    if TABLE[action][Standing.PROVIDER]:
        return "This needs the Provider role. Ask the administrator of this box for it."
    return "Only an administrator of this box may do this."
