"""The values of the model: what they derive from their own fields."""

from __future__ import annotations

import pytest

from gateway.model.accounts import ApiToken, AuditEntry, Owner, Scope, WebSession
from gateway.model.devices import Device, DeviceState, Sighting
from gateway.model.kinds import (
    Authority,
    ClientCategory,
    ContactStatus,
    EventKind,
    GuestSupport,
    SiteKind,
    UserKind,
)
from gateway.model.sites import Client, DomainUser, Role, Service, Site, shared_guest_uri
from gateway.model.snapshot import Member, SiteSnapshot, SnapshotService
from gateway.model.structure import EventDefinition, SiteStructure

UID = bytes(range(16))
UID_TEXT = "00010203-0405-0607-0809-0a0b0c0d0e0f"


def _site(kind: SiteKind) -> Site:
    return Site(1, UID, 1, 1, "sitekey", kind, "d", True, False, None, None, None,
                GuestSupport.NONE, False, False, None, False, 0)  # fmt: skip


def _client(kind: SiteKind) -> Client:
    return Client(1, "clientkey", 1, kind, 1, 1, UserKind.OWNER, "Owner", 1, None, None, None, "",
                  0, False, None, 0, None)  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "client", "guest"),
    [(SiteKind.SINGLE_SERVICE, "softnet-s", "softnet-ss"),
     (SiteKind.MULTI_SERVICE, "softnet-m", "softnet-ms")],
)  # fmt: skip
def test_uris_name_the_kind_of_site(kind, client, guest):
    assert _client(kind).uri("box.example.org") == f"{client}://clientkey@box.example.org"
    assert shared_guest_uri(_site(kind), "10.0.0.1") == f"{guest}://sitekey@10.0.0.1"
    assert _site(kind).uid_text == UID_TEXT


def test_the_uri_of_a_service():
    service = Service(1, UID, 1, "Cam", True, 0, None, None, "", None, False, None, 0, None)
    assert service.uri("box") == f"softnet-srv://{UID_TEXT}@box"
    assert service.uid_text == UID_TEXT


@pytest.mark.parametrize(
    ("authority", "enabled", "eligible"),
    [(Authority.CONSUMER, True, False), (Authority.PROVIDER, True, True),
     (Authority.PROVIDER, False, False), (Authority.ADMINISTRATOR, True, True)],
)  # fmt: skip
def test_whose_sites_are_served(authority, enabled, eligible):
    assert Owner(1, "a", "A", authority, enabled, None, None, 0, None).eligible is eligible


@pytest.mark.parametrize(
    ("kind", "status", "partner_enabled", "reachable"),
    [(UserKind.PRIVATE, None, None, True),
     (UserKind.CONTACT, ContactStatus.MUTUAL, True, True),
     (UserKind.CONTACT, ContactStatus.MUTUAL, False, False),
     (UserKind.CONTACT, ContactStatus.PARTNER_LEFT, True, False),
     (UserKind.CONTACT, ContactStatus.PARTNER_DELETED, None, False)],
)  # fmt: skip
def test_which_users_can_be_served(kind, status, partner_enabled, reachable):
    user = DomainUser(1, 1, 1, kind, "U", False, True, 1, "C", status, 2, partner_enabled, 0, 0)
    assert user.reachable is reachable


def test_what_a_device_is_called():
    def called(**facts: str) -> str:
        seen = Sighting("mac:1", "rtsp", **facts)
        return Device(1, seen, DeviceState.PENDING, None, None, 0, 0, None).name

    assert called(name="Door", model="M1") == "Door"
    assert called(model="M1") == "M1"
    assert called() == "mac:1"


def test_secrets_do_not_show():
    owner = Owner(1, "a", "A", Authority.CONSUMER, True, None, None, 0, None)
    assert "sesame" not in repr(WebSession(owner, b"sesame", False, 0, 1))


def test_scopes_and_entries_are_plain_values():
    token = ApiToken(1, "ctl", None, frozenset({Scope("read")}), 0, None, None)
    assert Scope.READ in token.scopes
    assert AuditEntry(1, 0, None, "", "a", "o", "", "done", b"").action == "a"
    assert Role(1, 1, "User", 1).position == 1


def test_categories():
    assert [category.stateless for category in ClientCategory] == [False, False, True, True]
    assert ClientCategory.SINGLE_SERVICE_STATELESS.site_kind is SiteKind.SINGLE_SERVICE
    assert ClientCategory.MULTI_SERVICE.site_kind is SiteKind.MULTI_SERVICE
    assert [kind.guest for kind in UserKind] == [False, False, False, True, True]


def test_events_of_a_kind_are_sorted_by_octets():
    events = tuple(EventDefinition(EventKind.REPLACING, name) for name in ("b", "B", "a"))
    other = EventDefinition(EventKind.PRIVATE, "A", 60)
    structure = SiteStructure("T", "A", events=(*events, other))
    assert [event.name for event in structure.events_of(EventKind.REPLACING)] == ["B", "a", "b"]
    assert not structure.role_based


def test_a_snapshot_finds_its_parts():
    site = SiteSnapshot(
        1, UID, SiteKind.MULTI_SERVICE, True, True, roles=((1, "A"), (2, "B")),
        services=(SnapshotService(5, UID, "Cam"),), members=(Member(7, UserKind.OWNER, "Owner"),),
    )  # fmt: skip
    assert site.blank
    assert site.service(5) is site.services[0]
    assert site.service(6) is None
    assert site.member(7) is site.members[0]
    assert site.member(8) is None
    assert site.role_names((2, 9, 1)) == ("B", "A")
