"""What a client is to whoever wants to act on it, and the answer: one function for every page.

Clients are the one kind of object with three possible masters: the owner of the domain, the partner
behind a Contact user, the creator of a guest client (04 section 5.5, traps 13 and SHR-18).
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.access.decision import Decision
from gateway.access.operators import Action, Relation, Standing, decide
from gateway.base.errors import NotFound
from gateway.model.kinds import UserKind
from gateway.model.sites import Client
from gateway.registry import clients, guests, members, sharing, sites
from gateway.registry.database import Reader
from gateway.registry.guests import Creator

_ACTIONS = {
    UserKind.OWNER: Action.MANAGE_OWN_CLIENT,
    UserKind.PRIVATE: Action.MANAGE_OWN_CLIENT,
    UserKind.CONTACT: Action.MANAGE_CONTACT_CLIENT,
    UserKind.GUEST: Action.MANAGE_GUEST_CLIENT,
}


def to_client(reader: Reader, who: Creator, client_id: int) -> tuple[Relation, Client | None]:
    """Return what a client is to an account or a confirmed mail address, and the client.

    An owner's relation to guest clients that others created is FOREIGN: of these it learns the
    number only. A partner's is PARTNER only while the partnership serves and the user has rights.
    """
    try:
        client = clients.get(reader, client_id)
    except NotFound:
        return Relation.FOREIGN, None
    if client.user_kind is UserKind.GUEST:
        return _if_found(
            lambda: guests.own_client(reader, client_id, who), Relation.CREATED
        ), client
    me = who.owner_id
    if me is None:
        return Relation.FOREIGN, client
    if sites.get(reader, client.site_id).owner_id == me:
        return Relation.OWN, client
    if client.user_kind is UserKind.CONTACT:
        found = _if_found(lambda: sharing.managed_client(reader, me, client_id), Relation.PARTNER)
        return found, client
    return Relation.FOREIGN, client


def may_manage_client(reader: Reader, standing: Standing, who: Creator, client_id: int) -> Decision:
    """Tell whether somebody may set the password or ping period of a client, or delete it."""
    relation, client = to_client(reader, who, client_id)
    kind = UserKind.PRIVATE if client is None else client.user_kind
    return decide(_ACTIONS[kind], standing, relation)


def may_add_client(
    reader: Reader, standing: Standing, me: int, site_id: int, user_id: int
) -> Decision:
    """Tell whether an account may add a client to a user on a site, quotas aside."""
    try:
        site = sites.get(reader, site_id)
        user = members.get_user(reader, user_id)
    except NotFound:
        return decide(Action.MANAGE_OWN_CLIENT, standing, Relation.FOREIGN)
    if user.domain_id != site.domain_id:
        return decide(Action.MANAGE_OWN_CLIENT, standing, Relation.FOREIGN)
    if user.kind is UserKind.GUEST:
        reason = guests.refusal(reader, site)
        return (
            Decision(False, str(reason))
            if reason
            else decide(Action.CREATE_GUEST_CLIENT, standing, Relation.FOREIGN)
        )
    if user.kind is UserKind.CONTACT:
        serves = sharing.serves(reader, user) and sharing.has_rights(reader, site_id, user_id)
        relation = Relation.PARTNER if user.partner_id == me and serves else Relation.FOREIGN
        if site.owner_id == me:
            relation = Relation.OWN
        return decide(Action.MANAGE_CONTACT_CLIENT, standing, relation)
    relation = Relation.OWN if site.owner_id == me else Relation.FOREIGN
    return decide(Action.MANAGE_OWN_CLIENT, standing, relation)


def _if_found(look: Callable[[], object], relation: Relation) -> Relation:
    try:
        look()
    except NotFound:
        return Relation.FOREIGN
    return relation
