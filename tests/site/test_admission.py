"""Who is let in, as what, and what it is told on the way (01 sections 7, 8 and 9.4)."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from gateway.model.kinds import (
    ClientCategory,
    ClientStatus,
    GuestSupport,
    ServiceStatus,
    SiteKind,
    UserKind,
)
from gateway.site.happenings import (
    BuildEnded,
    BuildSite,
    ClientArrived,
    Close,
    ServiceArrived,
    SiteDropped,
    StoreDescription,
    StoreSeen,
    StoreStructure,
)
from gateway.wire.codes import ErrorCode
from gateway.wire.groups import (
    ServiceOfflineInGroup,
    ServiceOnlineInGroup,
    ServiceOnlineInGroup2,
    ServicesOnline,
    ServicesUpdated,
    SingleServiceUpdated,
    hostname_hash,
)
from gateway.wire.installer import (
    ClientOnline,
    ClientParked,
    ClientState,
    GetSiteStructure,
    GetState,
    HostnameChanged,
    MembershipState,
    Params,
    ServiceOnline,
    ServiceParked,
    ServiceState,
    SiteProfile,
    UploadSiteStructure,
)
from gateway.wire.membership import (
    ActingGuest,
    ActingUser,
    GuestAllowed,
    GuestDenied,
    UserEntry,
    UserList,
    user_hash,
)
from gateway.wire.pubsub import LastStorageUid, SyncStateful
from gateway.wire.structure import structure_hash
from tests.site.stage import ALISON, BOB, GUEST, OWNER, UID, Stage, a_service, a_site
from tests.support.structures import CAMERA, OPEN_CAMERA, PLAIN_LAMP

OTHER_EVENTS = dataclasses.replace(CAMERA, events=CAMERA.events[:1])
DISABLED_2 = (a_service(1, CAMERA), a_service(2, CAMERA, enabled=False))


@pytest.mark.parametrize(
    ("changes", "structure", "status"),
    [
        ({}, CAMERA, ServiceStatus.ONLINE),
        ({}, PLAIN_LAMP, ServiceStatus.SERVICE_TYPE_CONFLICT),
        ({"enabled": False}, PLAIN_LAMP, ServiceStatus.SERVICE_TYPE_CONFLICT),
        ({}, OTHER_EVENTS, ServiceStatus.SITE_STRUCTURE_MISMATCH),
        ({"services": DISABLED_2}, OTHER_EVENTS, ServiceStatus.SITE_STRUCTURE_MISMATCH),
        ({"services": DISABLED_2, "owner_eligible": False}, CAMERA, ServiceStatus.DISABLED),
        ({"owner_eligible": False, "enabled": False}, CAMERA, ServiceStatus.OWNER_DISABLED),
        ({"enabled": False}, CAMERA, ServiceStatus.SITE_DISABLED),
    ],
)
def test_the_status_of_a_service(changes: dict[str, Any], structure: Any, status: Any) -> None:
    stage = Stage(a_site(**changes))
    service = stage.service(2, structure, upload=structure is not CAMERA)
    last = stage.heard(service)[-1]
    assert last == (ServiceOnline() if status is ServiceStatus.ONLINE else ServiceParked(status))
    assert service not in stage.ended


@pytest.mark.parametrize(
    ("changes", "user", "structure", "status"),
    [
        ({}, OWNER, CAMERA, ClientStatus.ONLINE),
        ({"structure": None, "ss_hash": None}, OWNER, CAMERA, ClientStatus.SITE_BLANK),
        ({"owner_eligible": False}, OWNER, PLAIN_LAMP, ClientStatus.SERVICE_TYPE_CONFLICT),
        ({"owner_eligible": False, "enabled": False}, OWNER, CAMERA, ClientStatus.OWNER_DISABLED),
        ({"enabled": False}, BOB, CAMERA, ClientStatus.SITE_DISABLED),
        ({}, BOB, CAMERA, ClientStatus.ACCESS_DENIED),
        ({}, GUEST, CAMERA, ClientStatus.ACCESS_DENIED),
        ({}, 0, CAMERA, ClientStatus.ACCESS_DENIED),
    ],
)
def test_the_status_of_a_client(
    changes: dict[str, Any], user: int, structure: Any, status: Any
) -> None:
    stage = Stage(a_site(**changes))
    said = stage.heard(stage.client(501, user, structure))
    assert said[0] == GetState()
    if status is ClientStatus.ONLINE:
        assert ClientOnline(UID) in said
    else:
        assert said[1:] == [ClientParked(UID, status)]


def test_guests_and_users_without_rights_where_guests_are_allowed() -> None:
    stage = Stage(a_site(OPEN_CAMERA, guest_allowed=True))
    for user in (BOB, GUEST, 0):
        said = stage.heard(stage.client(500 + user, user, OPEN_CAMERA))
        assert said[-1] == ClientOnline(UID)
        assert not any(isinstance(m, ActingUser | ActingGuest) for m in said)
    stateful = dataclasses.replace(OPEN_CAMERA, guest_support=GuestSupport.STATEFUL)
    stage = Stage(a_site(stateful, guest_allowed=True))
    assert stage.heard(stage.client(1, GUEST, stateful))[-1] == ClientOnline(UID)
    denied = ClientParked(UID, ClientStatus.ACCESS_DENIED)
    assert stage.heard(stage.client(0, 0, stateful))[-1] == denied


def test_a_former_user_is_told_that_it_is_guest_now() -> None:
    stage = Stage(a_site(OPEN_CAMERA, guest_allowed=True))
    known = user_hash(BOB, "Bob", ("Administrator",))
    said = stage.heard(stage.client(1, BOB, OPEN_CAMERA, user_hash=known))
    assert ActingGuest() in said


def test_a_fresh_service_is_brought_up_to_date_in_order() -> None:
    storage = bytes(16)
    stage = Stage(a_site(services=(a_service(1, CAMERA, storage_uid=storage, ping_period=20),)))
    users = (UserEntry(OWNER, "Owner", (1001,)), UserEntry(ALISON, "Alison", (1001,)))
    said = stage.heard(stage.service(1))
    assert said[:2] == [GetState(), HostnameChanged("Cam1")]
    assert isinstance(said[2], UserList)
    assert said[2].users == users
    assert said[3:] == [LastStorageUid(storage), ServiceOnline(), Params(20)]


def test_a_service_that_knows_everything_is_told_nothing() -> None:
    stage = Stage()
    (listed,) = [m for m in stage.heard(stage.service(1)) if isinstance(m, UserList)]
    knows = {"list_hash": listed.list_hash(), "hostname": hostname_hash("Cam2")}
    assert stage.heard(stage.service(2, knows=knows)) == [GetState(), ServiceOnline()]


def test_both_hashes_of_a_plain_list_count() -> None:
    stage = Stage(a_site(PLAIN_LAMP))
    (listed,) = [m for m in stage.heard(stage.service(1, PLAIN_LAMP)) if isinstance(m, UserList)]
    assert not listed.role_based
    for known in (listed.list_hash(), listed.nested_list_hash()):
        knows = {"list_hash": known, "guest_allowed": False}
        said = stage.heard(stage.service(2, PLAIN_LAMP, knows=knows))
        assert not any(isinstance(m, UserList | GuestDenied) for m in said)


def test_guest_access_is_told_when_it_differs() -> None:
    stage = Stage(a_site(OPEN_CAMERA, guest_allowed=True))
    for believed in (None, False, True):
        said = stage.heard(stage.service(1, OPEN_CAMERA, knows={"guest_allowed": believed}))
        assert (GuestAllowed(True) in said) is (believed is not True)


def test_the_structure_is_asked_for_when_it_is_not_the_stored_one() -> None:
    stage = Stage(a_site(services=(a_service(1, CAMERA), a_service(2, None))))
    fresh = stage.service(2, upload=True)
    assert stage.heard(fresh)[0] == GetSiteStructure()
    stage.service(1, OTHER_EVENTS)
    (asked,) = [c for c in stage.said if GetSiteStructure() in stage.said[c]]
    assert stage.heard(asked) == [GetState(), GetSiteStructure()]
    (stored,) = stage.stored(StoreStructure)
    assert (stored.service_id, stored.ss_hash) == (2, structure_hash(CAMERA))


def test_a_new_version_is_stored_and_told_once() -> None:
    stage = Stage()
    client = stage.client()
    stage.heard(client)
    stage.service(1, version="2.0")
    assert stage.heard(client) == [ServiceOnlineInGroup2(1, "2.0")]
    assert StoreSeen(1, version="2.0") in stage.effects
    stage.service(1, version="2.0")
    assert stage.heard(client) == [ServiceOnlineInGroup(1)]


def test_the_group_hash_follows_a_new_version() -> None:
    stage = Stage()
    stage.service(1, version="2.0")
    first = stage.heard(stage.client(501))
    (group,) = [m for m in first if isinstance(m, ServicesUpdated)]
    assert [s.version for s in group.services] == ["2.0", "1.0"]
    again = stage.heard(stage.client(501, group_hash=group.group_hash()))
    assert not any(isinstance(m, ServicesUpdated) for m in again)
    assert ServicesOnline((1,)) in again


def test_disabled_services_are_left_out_of_the_group() -> None:
    stage = Stage(a_site(services=DISABLED_2))
    (group,) = [m for m in stage.heard(stage.client()) if isinstance(m, ServicesUpdated)]
    assert [s.id for s in group.services] == [1]


def test_a_single_site_never_shows_an_empty_hostname() -> None:
    services = (a_service(1, CAMERA, hostname=""),)
    stage = Stage(a_site(kind=SiteKind.SINGLE_SERVICE, services=services))
    assert SingleServiceUpdated("1.0", "Service1") in stage.heard(stage.client())


def test_what_a_client_knows_of_itself_is_not_repeated() -> None:
    stage = Stage()
    said = stage.heard(stage.client(501, ALISON))
    (told,) = [m for m in said if isinstance(m, ActingUser)]
    assert told == ActingUser(ALISON, "Alison", ("Administrator",))
    known = user_hash(ALISON, "Alison", ("Administrator",))
    said = stage.heard(stage.client(501, ALISON, user_hash=known))
    assert not any(isinstance(m, ActingUser) for m in said)


def test_both_hashes_of_a_user_without_roles_count() -> None:
    bare = dataclasses.replace(a_site().users[BOB])
    for roles in (None, ()):
        stage = Stage(a_site(members=(bare,)))
        said = stage.heard(stage.client(1, BOB, user_hash=user_hash(BOB, "Bob", roles)))
        assert not any(isinstance(m, ActingUser) for m in said)
    said = stage.heard(stage.client(2, BOB))
    assert ActingUser(BOB, "Bob", ()) in said


def test_order_of_a_clients_welcome() -> None:
    stage = Stage()
    stage.service(1)
    said = stage.heard(stage.client(501, OWNER, ping=30))
    kinds = [
        GetState,
        ActingUser,
        ServicesUpdated,
        ServicesOnline,
        ClientOnline,
        SyncStateful,
        Params,
    ]
    assert [type(m) for m in said] == kinds
    assert stage.stored(StoreDescription) == [
        StoreDescription(501, CAMERA.service_type, CAMERA.contract_author, "")
    ]


def test_a_blank_site_is_built_and_everybody_comes_back() -> None:
    stage = Stage(a_site(None))
    client = stage.client()
    first = stage.service(1, upload=True)
    second = stage.service(2, upload=True)
    assert stage.stored(BuildSite) == [BuildSite(1)]
    assert stage.heard(first) == [GetSiteStructure()]
    stage.do(BuildEnded(1, True))
    assert stage.ended == dict.fromkeys((client, first, second), ErrorCode.RESTART)
    assert stage.site.over
    assert stage.effects[-1] == SiteDropped()


def test_a_failed_building_is_told_to_its_cause_only() -> None:
    stage = Stage(a_site(None))
    first, second = stage.service(1, upload=True), stage.service(2, upload=True)
    stage.do(BuildEnded(1, False, ErrorCode.DBMS_ERROR))
    assert stage.ended == {first: ErrorCode.DBMS_ERROR, second: ErrorCode.RESTART}


@pytest.mark.parametrize("changes", [{"enabled": False}, {"owner_eligible": False}])
def test_a_blank_site_that_may_not_be_built_parks(changes: dict[str, Any]) -> None:
    stage = Stage(a_site(None, **changes))
    assert stage.heard(stage.service(1, upload=True))[-1] == ServiceParked(ServiceStatus.SITE_BLANK)


def test_a_service_that_the_site_does_not_know() -> None:
    stage = Stage()
    assert stage.ended[stage.service(99)] is ErrorCode.SERVICE_NOT_REGISTERED


@pytest.mark.parametrize(
    ("restored", "channel", "code"),
    [
        (False, b"", None),
        (True, b"\x01" * 16, None),
        (True, b"x" * 16, ErrorCode.DUPLICATED_SERVICE_UID_USAGE),
    ],
)
def test_the_same_service_twice(restored: bool, channel: bytes, code: ErrorCode | None) -> None:
    stage = Stage()
    first = stage.service(1)
    second = stage.service(1, channel=channel, restored=restored)
    assert stage.ended == {first: code}
    assert stage.heard(second)[-1] == ServiceOnline()
    stage.leave(first)
    assert stage.site.view()[0].id == 1


def test_the_same_client_twice() -> None:
    stage = Stage()
    first = stage.client(501)
    second = stage.client(501, channel=b"x" * 16, restored=True)
    assert stage.ended == {first: ErrorCode.DUPLICATED_CLIENT_KEY_USAGE}
    assert len(stage.site.view()) == 1
    stage.client(501)
    assert stage.ended[second] is None


@pytest.mark.parametrize("restored", [False, True])
@pytest.mark.parametrize("upload", [False, True])
def test_a_service_that_was_overtaken_by_a_later_connection(restored: bool, upload: bool) -> None:
    """The program was restarted while the last words of the old one were lost on their way."""
    stage = Stage()
    client = stage.client()
    stage.do(ServiceArrived(-1, 1, b"x" * 16, restored))
    newer = stage.service(1)
    stage.heard(newer)
    stage.heard(client)
    known = stage.site.snapshot.services
    profile = SiteProfile(CAMERA.service_type, CAMERA.contract_author, structure_hash(CAMERA))
    state = ServiceState(profile, "0.9", MembershipState())
    effects = stage.say(-1, UploadSiteStructure(OTHER_EVENTS, "0.9") if upload else state)
    assert stage.ended == {-1: None}
    assert effects == [Close(-1)]
    assert stage.heard(newer) == stage.heard(client) == []
    assert [live.status for live in stage.site.view()] == [ServiceStatus.ONLINE] * 2
    assert stage.site.snapshot.services == known
    stage.leave(-1)
    # If its program does live, it comes back and is the older one of 01 section 9.4.
    stage.service(1, channel=b"x" * 16, restored=True)
    assert stage.ended[newer] is ErrorCode.DUPLICATED_SERVICE_UID_USAGE


@pytest.mark.parametrize("restored", [False, True])
def test_a_client_that_was_overtaken_by_a_later_connection(restored: bool) -> None:
    stage = Stage()
    category = ClientCategory.MULTI_SERVICE
    stage.do(ClientArrived(-1, 501, OWNER, UserKind.OWNER, category, b"x" * 16, restored))
    newer = stage.client(501)
    state = ClientState(CAMERA.service_type, CAMERA.contract_author, "old", None, None)
    assert stage.say(-1, state) == [Close(-1)]
    stage.leave(-1)
    service = stage.service(1)
    assert ServiceOnlineInGroup(1) in stage.heard(newer)
    assert service not in stage.ended
    assert newer not in stage.ended
    stage.client(501, channel=b"x" * 16, restored=True)
    assert stage.ended[newer] is ErrorCode.DUPLICATED_CLIENT_KEY_USAGE


def test_a_replacement_that_is_parked_is_told_to_the_clients() -> None:
    stage = Stage()
    client = stage.client()
    stage.service(1)
    stage.heard(client)
    stage.service(1, OTHER_EVENTS)
    asked = max(stage.said)
    stage.heard(client)
    stage.change_service(1, ss_hash=None)
    replaced = stage.service(1, OTHER_EVENTS, upload=True)
    assert ServiceParked(ServiceStatus.SITE_STRUCTURE_MISMATCH) in stage.heard(replaced)
    assert ServiceOfflineInGroup(1) in stage.heard(client)
    assert asked in stage.said


def test_stateless_clients_are_never_duplicates() -> None:
    stage = Stage(a_site(OPEN_CAMERA, guest_allowed=True))
    for _ in range(3):
        stage.client(0, 0, OPEN_CAMERA)
    assert not stage.ended
    assert [live.id for live in stage.site.view()] == [1, 2, 3]
    assert all(live.stateless for live in stage.site.view())
