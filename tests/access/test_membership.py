"""Who has which rights on a site, and whom a client acts as: the tables of 04 5.2 and 01 8.5."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access.membership import (
    STATELESS_GUEST,
    SiteRules,
    UserFacts,
    act_as,
    effective_members,
    guests_admitted,
    rights_of,
)
from gateway.model.kinds import GuestSupport, SiteKind, UserKind
from gateway.model.snapshot import Member, SiteSnapshot
from gateway.model.structure import SiteStructure

OWNER = UserFacts(1, UserKind.OWNER, "Owner")
ALISON = UserFacts(3, UserKind.PRIVATE, "Alison")
JULIA = UserFacts(4, UserKind.CONTACT, "Julia", dedicated=True)
GUEST = UserFacts(2, UserKind.GUEST, "Guest")
RBAC = SiteRules(role_based=True, default_role_id=30)
PLAIN = SiteRules(role_based=False, implicit_users=True)
change = dataclasses.replace


@pytest.mark.parametrize(
    ("rules", "user", "role_ids"),
    [
        (RBAC, OWNER, (30,)),
        (RBAC, ALISON, (30,)),
        (RBAC, JULIA, None),
        (RBAC, change(JULIA, role_ids=(10,)), (10,)),
        (RBAC, change(ALISON, role_ids=(10, 40)), (10, 30, 40)),
        (RBAC, change(ALISON, role_ids=(30,)), (30,)),
        (RBAC, change(OWNER, dedicated=True), (30,)),
        (change(RBAC, default_role_id=None), OWNER, None),
        (change(RBAC, default_role_id=None), change(ALISON, role_ids=(10,)), (10,)),
        (RBAC, change(ALISON, listed=True, role_ids=()), (30,)),
        (PLAIN, OWNER, ()),
        (PLAIN, ALISON, ()),
        (PLAIN, JULIA, None),
        (PLAIN, change(JULIA, listed=True), ()),
        (change(PLAIN, implicit_users=False), OWNER, None),
        (change(PLAIN, implicit_users=False), change(ALISON, listed=True), ()),
    ],
)
def test_rights(rules, user, role_ids):
    given_rights = rights_of(rules, user)
    assert given_rights.allowed is (role_ids is not None)
    assert given_rights.role_ids == (role_ids or ())
    members = effective_members(rules, [user])
    expected = () if role_ids is None else (Member(user.user_id, user.kind, user.name, role_ids),)
    assert members == expected


def test_the_default_role_is_told_from_the_explicit_ones():
    found = rights_of(RBAC, change(ALISON, role_ids=(10,)))
    assert (found.explicit_role_ids, found.default_role_id, found.explicit) == ((10,), 30, True)
    found = rights_of(RBAC, change(ALISON, role_ids=(30,)))
    assert (found.explicit_role_ids, found.default_role_id) == ((30,), None)


def test_explicit_users_of_a_plain_site_are_not_implicit():
    assert rights_of(PLAIN, change(ALISON, listed=True)).implicit is False
    assert rights_of(PLAIN, ALISON).implicit is True


@pytest.mark.parametrize("user", [change(ALISON, enabled=False), change(ALISON, reachable=False)])
def test_disabled_and_unreachable_users_are_no_members_but_keep_their_place_in_lists(user):
    assert rights_of(RBAC, user).allowed
    assert effective_members(RBAC, [user]) == ()


def test_members_come_by_id_and_without_guests():
    open_rules = change(PLAIN, guest_support=GuestSupport.STATELESS, guest_allowed=True)
    found = effective_members(open_rules, [ALISON, GUEST, OWNER])
    assert [member.user_id for member in found] == [1, 3]


@pytest.mark.parametrize("support", GuestSupport)
@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize("enabled", [True, False])
def test_guests_are_admitted_only_when_all_say_so(support, allowed, enabled):
    rules = SiteRules(False, support, allowed)
    assert guests_admitted(rules, enabled) is (support > 0 and allowed and enabled)
    assert rights_of(rules, GUEST).allowed is (support > 0 and allowed)


def _site(*, guests: bool, support: GuestSupport = GuestSupport.STATELESS) -> SiteSnapshot:
    return SiteSnapshot(
        1, bytes(16), SiteKind.MULTI_SERVICE, True, True,
        structure=SiteStructure("T", "A", support), guest_allowed=guests,
        members=(Member(1, UserKind.OWNER, "Owner", (10,)),),
        users={1: Member(1, UserKind.OWNER, "Owner"), 2: Member(2, UserKind.GUEST, "Guest")},
        guest_user_id=2,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "user_id", "guests", "acts_as"),
    [
        (UserKind.OWNER, 1, False, UserKind.OWNER),
        (UserKind.OWNER, 1, True, UserKind.OWNER),
        (UserKind.PRIVATE, 3, False, None),
        (UserKind.PRIVATE, 3, True, UserKind.GUEST),
        (UserKind.CONTACT, 99, True, UserKind.GUEST),
        (UserKind.GUEST, 2, True, UserKind.GUEST),
        (UserKind.GUEST, 2, False, None),
        (UserKind.STATELESS_GUEST, 0, True, UserKind.STATELESS_GUEST),
        (UserKind.STATELESS_GUEST, 0, False, None),
    ],
)
def test_whom_a_client_acts_as(kind, user_id, guests, acts_as):
    found = act_as(_site(guests=guests), kind, user_id)
    assert (found and found.kind) == acts_as


def test_stateless_guests_need_a_structure_that_supports_them():
    site = _site(guests=True, support=GuestSupport.STATEFUL)
    assert act_as(site, UserKind.STATELESS_GUEST) is None
    assert act_as(site, UserKind.GUEST, 2) == Member(2, UserKind.GUEST, "Guest")
    assert act_as(_site(guests=True), UserKind.STATELESS_GUEST) is STATELESS_GUEST


def test_nobody_acts_on_a_blank_site():
    blank = change(_site(guests=True), structure=None)
    for kind in UserKind:
        assert act_as(blank, kind, 1) is None


def test_a_guest_client_never_acts_as_a_member_of_the_same_id():
    site = change(_site(guests=False), members=(Member(2, UserKind.OWNER, "Owner"),))
    assert act_as(site, UserKind.GUEST, 2) is None


USERS = st.builds(
    UserFacts,
    user_id=st.integers(1, 50),
    kind=st.sampled_from([UserKind.OWNER, UserKind.PRIVATE, UserKind.CONTACT, UserKind.GUEST]),
    name=st.just("U"),
    dedicated=st.booleans(),
    enabled=st.booleans(),
    reachable=st.booleans(),
    role_ids=st.lists(st.integers(1, 5), unique=True).map(lambda ids: tuple(sorted(ids))),
    listed=st.booleans(),
)
RULES = st.builds(
    SiteRules,
    role_based=st.booleans(),
    guest_support=st.sampled_from(GuestSupport),
    guest_allowed=st.booleans(),
    default_role_id=st.none() | st.integers(1, 5),
    implicit_users=st.booleans(),
)


@given(RULES, USERS)
def test_dedication_and_disabling_never_add_rights(rules, user):
    free = effective_members(rules, [change(user, dedicated=False, enabled=True, reachable=True)])
    for less in ({"dedicated": True}, {"enabled": False}, {"reachable": False}):
        bound = effective_members(rules, [change(user, **less)])
        if bound:
            assert free
            assert set(bound[0].role_ids) <= set(free[0].role_ids)


@given(RULES, st.lists(USERS, unique_by=lambda user: user.user_id))
def test_role_ids_are_ascending_and_single(rules, users):
    for member in effective_members(rules, users):
        assert list(member.role_ids) == sorted(set(member.role_ids))
        assert bool(member.role_ids) is rules.role_based
