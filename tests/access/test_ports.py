"""The rule on a port against everyone who may stand behind a client."""

from __future__ import annotations

import pytest

from gateway.access.ports import Actor, GuestRule, RolesRule, decide
from gateway.model.kinds import GuestAccess, UserKind

USER = Actor(UserKind.PRIVATE, 3, "Alison", ("User",))
ADMINISTRATOR = Actor(UserKind.OWNER, 1, "Owner", ("Administrator", "User"))
PLAIN = Actor(UserKind.CONTACT, 4, "Julia")
GUEST = Actor(UserKind.GUEST, 2, "Guest")
STATELESS = Actor(UserKind.STATELESS_GUEST)
IMPOSTOR = Actor(UserKind.GUEST, 2, "Guest", ("Administrator",))
EVERYBODY = (USER, ADMINISTRATOR, PLAIN, GUEST, STATELESS)


@pytest.mark.parametrize(
    ("rule", "allowed"),
    [
        (None, EVERYBODY),
        (RolesRule(("User",)), (USER, ADMINISTRATOR)),
        (RolesRule(("Administrator", "Operator")), (ADMINISTRATOR,)),
        (RolesRule(("user",)), ()),
        (RolesRule(("Use",)), ()),
        (GuestRule(GuestAccess.ALLOWED), EVERYBODY),
        (GuestRule(GuestAccess.GUEST_DENIED), (USER, ADMINISTRATOR, PLAIN)),
        (GuestRule(GuestAccess.STATELESS_GUEST_DENIED), (USER, ADMINISTRATOR, PLAIN, GUEST)),
    ],
)
def test_who_may_pass(rule, allowed):
    for actor in EVERYBODY:
        decision = decide(rule, actor)
        assert bool(decision) is (actor in allowed), actor
        assert bool(decision.reason) is not decision.allowed


def test_a_guest_never_has_a_role():
    assert not decide(RolesRule(("Administrator",)), IMPOSTOR)


def test_a_refusal_names_the_roles():
    assert (
        "Administrator, Operator" in decide(RolesRule(("Administrator", "Operator")), USER).reason
    )


def test_a_rule_without_roles_is_a_mistake():
    with pytest.raises(ValueError, match="no role"):
        RolesRule(())
