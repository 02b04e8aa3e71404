"""The table of management actions, read out in full so that no row changes unseen."""

from __future__ import annotations

import pytest

from gateway.access.decision import ALLOWED, Decision
from gateway.access.operators import (
    TABLE,
    Action,
    Relation,
    Standing,
    decide,
    decide_about_owner,
)
from gateway.base.errors import Denied, NotFound
from gateway.model.kinds import Authority

A, C, P, ADMIN = Standing.ANONYMOUS, Standing.CONSUMER, Standing.PROVIDER, Standing.ADMINISTRATOR
NONE, OWN, PARTNER, CREATED, FOREIGN = Relation

# Written by hand after 04 section 5.5, one line for each action: who, to which objects.
EXPECTED = {
    Action.REGISTER: ({A}, {NONE}),
    Action.USE_ACCOUNT: ({C, P, ADMIN}, {OWN}),
    Action.CREATE_DOMAIN: ({P, ADMIN}, {NONE}),
    Action.VIEW_DOMAIN: ({P, ADMIN}, {OWN}),
    Action.MANAGE_DOMAIN: ({P, ADMIN}, {OWN}),
    Action.VIEW_CLIENT: ({C, P, ADMIN}, {OWN, PARTNER, CREATED}),
    Action.MANAGE_OWN_CLIENT: ({P, ADMIN}, {OWN}),
    Action.MANAGE_CONTACT_CLIENT: ({C, P, ADMIN}, {PARTNER}),
    Action.MANAGE_GUEST_CLIENT: ({A, C, P, ADMIN}, {CREATED}),
    Action.CREATE_GUEST_CLIENT: ({A, C, P, ADMIN}, {NONE, OWN, PARTNER, CREATED, FOREIGN}),
    Action.USE_CONTACTS: ({C, P, ADMIN}, {NONE, OWN}),
    Action.SHARE: ({P, ADMIN}, {OWN}),
    Action.USE_PUBLIC_SERVICES: ({A, C, P, ADMIN}, {NONE, OWN, PARTNER, CREATED, FOREIGN}),
    Action.VIEW_FOUND_CAMERAS: ({P, ADMIN}, {NONE}),
    Action.ADOPT_CAMERA: ({P, ADMIN}, {OWN}),
    Action.VIEW_CAMERA: ({P, ADMIN}, {OWN}),
    Action.MANAGE_CAMERA: ({P, ADMIN}, {OWN}),
    Action.MANAGE_OWNERS: ({ADMIN}, {NONE, OWN, PARTNER, CREATED, FOREIGN}),
    Action.MANAGE_SERVER: ({ADMIN}, {NONE}),
    Action.VIEW_AUDIT: ({ADMIN}, {NONE}),
    Action.VIEW_HEALTH: ({A, C, P, ADMIN}, {NONE}),
}


def test_every_action_has_a_row():
    assert set(TABLE) == set(Action) == set(EXPECTED)


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("standing", Standing)
@pytest.mark.parametrize("relation", Relation)
def test_the_whole_table(action, standing, relation):
    who, to = EXPECTED[action]
    decision = decide(action, standing, relation)
    assert decision.allowed is (standing in who and relation in to)
    assert bool(decision.reason) is not decision.allowed


def test_the_owner_may_see_but_not_touch_the_clients_of_a_contact():
    assert decide(Action.VIEW_CLIENT, P, OWN)
    refused = decide(Action.MANAGE_CONTACT_CLIENT, P, OWN)
    assert not refused
    assert "Only the account that this belongs to" in refused.reason


def test_a_foreign_object_looks_absent():
    decision = decide(Action.MANAGE_DOMAIN, ADMIN, FOREIGN)
    assert decision.hidden
    with pytest.raises(NotFound, match="does not exist"):
        decision.enforce()


def test_reasons_say_what_to_do():
    assert decide(Action.MANAGE_DOMAIN, A, FOREIGN).reason == "Sign in first."
    assert "Provider role" in decide(Action.CREATE_DOMAIN, C).reason
    assert "administrator" in decide(Action.MANAGE_SERVER, P).reason
    with pytest.raises(Denied, match="Provider role"):
        decide(Action.CREATE_DOMAIN, C).enforce()
    ALLOWED.enforce()
    assert Decision(True)


def test_administrators_are_not_changed_on_the_pages():
    assert decide_about_owner(ADMIN, Authority.PROVIDER)
    assert not decide_about_owner(P, Authority.CONSUMER)
    refused = decide_about_owner(ADMIN, Authority.ADMINISTRATOR)
    assert not refused
    assert "command line" in refused.reason


def test_standings_of_accounts():
    assert Standing.of(None) is A
    assert [Standing.of(authority) for authority in Authority] == [C, P, ADMIN]


def test_the_table_cannot_be_changed():
    with pytest.raises(TypeError):
        TABLE[Action.REGISTER] = {}  # type: ignore[index]
