"""What a contact's state means for people."""

from __future__ import annotations

import pytest

from gateway.model.contacts import Contact, short_name
from gateway.model.kinds import Authority, ContactStatus


def _contact(status=ContactStatus.MUTUAL, enabled=True, authority=Authority.PROVIDER) -> Contact:
    return Contact(1, 1, 2, "Julia", None, status, "Julia R.", authority, enabled, 0)


@pytest.mark.parametrize(
    ("contact", "usable", "mark", "warning"),
    [
        (_contact(), True, "", ""),
        (_contact(enabled=False), False, "", "disabled"),
        (_contact(ContactStatus.PARTNER_LEFT), False, "(*)", "invites you"),
        (_contact(ContactStatus.PARTNER_DELETED, None, None), False, "(**)", "gone"),
    ],
)
def test_states(contact, usable, mark, warning):
    assert (contact.usable, contact.mark) == (usable, mark)
    assert warning in contact.warning
    assert bool(contact.warning) is not usable


@pytest.mark.parametrize(
    ("authority", "provides"),
    [(None, False), (Authority.CONSUMER, False), (Authority.PROVIDER, True),
     (Authority.ADMINISTRATOR, True)],
)  # fmt: skip
def test_who_can_share(authority, provides):
    assert _contact(authority=authority).partner_provides is provides


def test_long_names_are_cut_with_dots():
    assert short_name("x" * 24) == "x" * 24
    assert short_name("x" * 25) == "x" * 24 + "..."
