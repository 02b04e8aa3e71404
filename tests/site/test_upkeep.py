"""What management changes while endpoints are connected (04 section 7, 01 section 10.7)."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from gateway.model.kinds import SiteKind, UserKind
from gateway.model.snapshot import Member, SiteSnapshot
from gateway.site.happenings import (
    ClientExpelled,
    ClientPingPeriodSet,
    SiteDropped,
    SiteEnded,
    StatusChanged,
)
from gateway.wire.codes import ErrorCode
from gateway.wire.groups import (
    ServiceIncluded,
    ServiceOfflineInGroup,
    ServiceRemoved,
    ServiceUpdated,
    SingleServiceUpdated,
)
from gateway.wire.installer import HostnameChanged, SetPingPeriod
from gateway.wire.membership import (
    ActingGuest,
    ActingUser,
    GuestAllowed,
    GuestDenied,
    UserEntry,
    UserIncluded,
    UserList,
    UserRemoved,
    UserUpdated,
)
from tests.site.stage import ALISON, BOB, GUEST, OWNER, USERS, Stage, a_service, a_site
from tests.support.structures import CAMERA, OPEN_CAMERA, PLAIN_LAMP

ROLE = 1001


def member(user_id: int, *roles: int, name: str = "") -> Member:
    found = dataclasses.replace(USERS[user_id], role_ids=roles)
    return dataclasses.replace(found, name=name) if name else found


class Scene:
    """A site with a service online and clients of Owner, Alison and Bob."""

    def __init__(self, snapshot: SiteSnapshot, structure: Any = CAMERA) -> None:
        self.stage = stage = Stage(snapshot)
        self.service = stage.service(1, structure)
        self.owner = stage.client(501, OWNER, structure)
        self.alison = stage.client(502, ALISON, structure)
        self.bob = stage.client(503, BOB, structure)
        self.guest = stage.client(504, GUEST, structure)
        self.everybody = (self.service, self.owner, self.alison, self.bob, self.guest)
        for number in self.everybody:
            stage.heard(number)

    def said(self) -> dict[int, list[Any]]:
        return {number: found for number in self.everybody if (found := self.stage.heard(number))}


def test_a_user_gains_rights() -> None:
    scene = Scene(a_site())
    scene.stage.manage(members=(*scene.stage.snapshot.members, member(BOB, ROLE)))
    assert scene.said() == {
        scene.service: [UserIncluded(True, UserEntry(BOB, "Bob", (ROLE,)))],
    }
    assert scene.stage.ended == {scene.bob: ErrorCode.RESTART}


def test_a_user_gains_rights_while_its_client_runs_as_guest() -> None:
    scene = Scene(a_site(OPEN_CAMERA, guest_allowed=True), OPEN_CAMERA)
    scene.stage.manage(members=(*scene.stage.snapshot.members, member(BOB, ROLE)))
    assert scene.said()[scene.bob] == [ActingUser(BOB, "Bob", ("Administrator",))]
    assert not scene.stage.ended


def test_a_user_is_renamed_or_gets_other_roles() -> None:
    scene = Scene(a_site())
    both = (member(OWNER, ROLE), member(ALISON, ROLE, 1002))
    scene.stage.manage(members=both)
    assert scene.said() == {
        scene.service: [UserUpdated(True, UserEntry(ALISON, "Alison", (ROLE, 1002)))],
        scene.alison: [ActingUser(ALISON, "Alison", ("Administrator", "Viewer"))],
    }
    renamed = (both[0], member(ALISON, ROLE, 1002, name="Alice"))
    users = {**USERS, ALISON: dataclasses.replace(USERS[ALISON], name="Alice")}
    scene.stage.manage(members=renamed, users=users)
    said = scene.said()
    assert said[scene.service] == [UserUpdated(True, UserEntry(ALISON, "Alice", (ROLE, 1002)))]
    assert said[scene.alison] == [ActingUser(ALISON, "Alice", ("Administrator", "Viewer"))]


@pytest.mark.parametrize("guests", [False, True])
def test_a_user_loses_rights(guests: bool) -> None:
    scene = Scene(a_site(OPEN_CAMERA, guest_allowed=guests), OPEN_CAMERA)
    scene.stage.manage(members=(member(OWNER, ROLE),))
    said = scene.said()
    assert said[scene.service] == [UserRemoved(True, ALISON)]
    if guests:
        assert said[scene.alison] == [ActingGuest()]
        assert not scene.stage.ended
    else:
        assert scene.stage.ended == {scene.alison: ErrorCode.RESTART}


def test_a_parked_client_of_a_user_that_loses_rights_does_no_harm() -> None:
    # The reference crashes here: a parked client acts as nobody (01 section 10.7).
    stage = Stage(a_site(OPEN_CAMERA, guest_allowed=True))
    parked = stage.client(501, ALISON, CAMERA)
    stage.manage(members=(member(OWNER, ROLE),))
    assert parked not in stage.ended or stage.ended[parked] is ErrorCode.RESTART


def test_a_user_is_deleted() -> None:
    scene = Scene(a_site())
    users = {key: user for key, user in USERS.items() if key != ALISON}
    scene.stage.manage(members=(member(OWNER, ROLE),), users=users)
    assert scene.said() == {scene.service: [UserRemoved(True, ALISON)]}
    assert scene.stage.ended == {scene.alison: ErrorCode.CLIENT_NOT_REGISTERED}


def test_many_changes_go_as_one_list() -> None:
    scene = Scene(a_site())
    crowd = {200 + n: Member(200 + n, UserKind.PRIVATE, f"User{n}", (ROLE,)) for n in range(9)}
    members = (*scene.stage.snapshot.members, *crowd.values())
    scene.stage.manage(members=members, users={**USERS, **crowd})
    ((only,),) = scene.said().values()
    assert isinstance(only, UserList)
    assert len(only.users) == 11


def test_guests_are_let_in_and_shut_out() -> None:
    scene = Scene(a_site(OPEN_CAMERA), OPEN_CAMERA)
    stateless = scene.stage.client(0, 0, OPEN_CAMERA)
    scene.stage.manage(guest_allowed=True)
    assert scene.said() == {scene.service: [GuestAllowed(True)]}
    restarted = {scene.bob, scene.guest, stateless}
    assert scene.stage.ended == dict.fromkeys(restarted, ErrorCode.RESTART)

    scene = Scene(a_site(OPEN_CAMERA, guest_allowed=True), OPEN_CAMERA)
    stateless = scene.stage.client(0, 0, OPEN_CAMERA)
    scene.stage.manage(guest_allowed=False)
    assert scene.said() == {scene.service: [GuestDenied(True)]}
    restarted = {scene.bob, scene.guest, stateless}
    assert scene.stage.ended == dict.fromkeys(restarted, ErrorCode.RESTART)


def test_plain_sites_use_their_own_component() -> None:
    # The reference sends these with the number of role-based sites (trap 22).
    snapshot = a_site(PLAIN_LAMP, members=(USERS[OWNER], USERS[ALISON]))
    scene = Scene(snapshot, PLAIN_LAMP)
    renamed = dataclasses.replace(USERS[ALISON], name="Alice")
    scene.stage.manage(
        members=(USERS[OWNER], renamed), users={**USERS, ALISON: renamed}, guest_allowed=True
    )
    said = scene.said()
    assert said[scene.service] == [
        UserUpdated(False, UserEntry(ALISON, "Alice")),
        GuestAllowed(False),
    ]
    assert said[scene.alison] == [ActingUser(ALISON, "Alice", None)]


def test_a_hostname_is_told_to_the_service_and_the_clients() -> None:
    scene = Scene(a_site())
    parked = scene.stage.service(2, PLAIN_LAMP, upload=True)
    scene.stage.heard(parked)
    scene.said()
    scene.stage.change_service(1, hostname="Porch")
    assert scene.said() == {
        scene.service: [HostnameChanged("Porch")],
        scene.owner: [ServiceUpdated(1, "1.0", "Porch")],
        scene.alison: [ServiceUpdated(1, "1.0", "Porch")],
    }
    scene.stage.change_service(2, hostname="Attic", enabled=False)
    scene.said()
    scene.stage.change_service(2, hostname="Cellar")
    assert scene.said() == {}


def test_a_hostname_on_a_single_site() -> None:
    snapshot = a_site(kind=SiteKind.SINGLE_SERVICE, services=(a_service(1, CAMERA),))
    scene = Scene(snapshot)
    scene.stage.change_service(1, hostname="Porch")
    assert scene.said()[scene.owner] == [SingleServiceUpdated("1.0", "Porch")]


def test_a_service_is_disabled_enabled_and_deleted() -> None:
    scene = Scene(a_site())
    scene.stage.change_service(1, enabled=False)
    assert scene.said()[scene.owner] == [ServiceRemoved(1)]
    assert scene.stage.ended == {scene.service: ErrorCode.RESTART}
    parked = scene.stage.service(1)
    scene.stage.change_service(1, enabled=True)
    assert scene.stage.ended[parked] is ErrorCode.RESTART
    assert scene.said()[scene.owner] == [ServiceIncluded(1, "Cam1", "1.0")]
    online = scene.stage.service(1)
    scene.said()
    scene.stage.manage(services=(a_service(2, CAMERA),))
    assert scene.stage.ended[online] is ErrorCode.SERVICE_NOT_REGISTERED
    assert scene.said()[scene.owner] == [ServiceRemoved(1)]


def test_deleting_a_disabled_service_is_not_told_twice() -> None:
    services = (a_service(1, CAMERA), a_service(2, CAMERA, enabled=False))
    scene = Scene(a_site(services=services))
    scene.stage.manage(services=services[:1])
    assert scene.said() == {}


def test_a_service_is_added() -> None:
    scene = Scene(a_site())
    new = a_service(3, None, version="")
    scene.stage.manage(services=(*scene.stage.snapshot.services, new))
    assert scene.said()[scene.owner] == [ServiceIncluded(3, "Cam3", "")]


def test_a_new_service_password_restarts_it_and_clients_see_it_go() -> None:
    scene = Scene(a_site())
    scene.stage.change_service(1, credential_stamp=b"new")
    assert scene.stage.ended == {scene.service: ErrorCode.RESTART}
    assert scene.said()[scene.owner] == [ServiceOfflineInGroup(1)]


def test_ping_periods() -> None:
    scene = Scene(a_site())
    scene.stage.change_service(1, ping_period=0)
    assert scene.said() == {}
    scene.stage.change_service(1, ping_period=12)
    scene.stage.do(ClientPingPeriodSet(501, 11))
    assert scene.said() == {
        scene.service: [SetPingPeriod(12)],
        scene.owner: [SetPingPeriod(11)],
    }


def test_clients_are_expelled() -> None:
    scene = Scene(a_site())
    scene.stage.do(ClientExpelled(501, ErrorCode.CLIENT_NOT_REGISTERED))
    scene.stage.do(ClientExpelled(502, ErrorCode.RESTART))
    scene.stage.do(ClientExpelled(999, ErrorCode.RESTART))
    assert scene.stage.ended == {
        scene.owner: ErrorCode.CLIENT_NOT_REGISTERED,
        scene.alison: ErrorCode.RESTART,
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"enabled": False},
        {"owner_eligible": False},
        {"kind": SiteKind.SINGLE_SERVICE},
        {"ss_hash": b"another structure..!"},
        {"roles": ((1001, "Administrator"), (1003, "Viewer"))},
    ],
)
def test_what_restarts_everybody(changes: dict[str, Any]) -> None:
    scene = Scene(a_site())
    scene.stage.manage(**changes)
    assert scene.stage.ended == dict.fromkeys(scene.everybody, ErrorCode.RESTART)
    assert scene.stage.effects[-1] == SiteDropped()
    assert scene.said() == {}


def test_a_deleted_site_says_so_to_each_in_its_way() -> None:
    scene = Scene(a_site())
    gone = SiteEnded(ErrorCode.SERVICE_NOT_REGISTERED, ErrorCode.CLIENT_NOT_REGISTERED)
    scene.stage.do(gone)
    assert scene.stage.ended[scene.service] is ErrorCode.SERVICE_NOT_REGISTERED
    assert scene.stage.ended[scene.owner] is ErrorCode.CLIENT_NOT_REGISTERED
    assert scene.stage.site.empty


def test_nothing_changed_nothing_said() -> None:
    scene = Scene(a_site())
    scene.stage.manage()
    assert scene.said() == {}
    assert not scene.stage.ended


def test_a_service_that_leaves_is_offline_and_a_parked_one_is_not_missed() -> None:
    scene = Scene(a_site())
    parked = scene.stage.service(2, PLAIN_LAMP, upload=True)
    scene.stage.leave(parked)
    assert scene.said() == {}
    scene.stage.leave(scene.service)
    assert scene.said()[scene.owner] == [ServiceOfflineInGroup(1)]
    scene.stage.leave(scene.service)
    assert scene.said() == {}
    statuses = [effect.status.name for effect in scene.stage.stored(StatusChanged)]
    assert statuses.count("OFFLINE") == 2
