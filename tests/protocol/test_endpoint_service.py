"""A service's session: installation, members, decisions on requests, calls."""

from __future__ import annotations

import dataclasses

import pytest

from gateway.model.kinds import GuestSupport, ServiceStatus, TransportKind, UserKind
from gateway.protocol.endpoint_events import (
    ClientVouched,
    HostnameChanged,
    MeetClient,
    MembersChanged,
    PendingConnection,
    PendingDropped,
    RequestDenied,
    SessionFailed,
    StatusChanged,
)
from gateway.protocol.endpoint_ports import HELD_MAX
from gateway.protocol.endpoint_service import ServiceSession
from gateway.wire.codes import ErrorCode
from gateway.wire.connect import (
    RequestOk,
    ServiceAuthError,
    ServiceAuthHash,
    ServiceAuthKey,
    ServiceConnectionAccepted,
    ServiceConnectionRequest,
    ServiceRendezvousData,
    ServiceRequestError,
)
from gateway.wire.framing import frame
from gateway.wire.groups import hostname_hash
from gateway.wire.installer import (
    GetSiteStructure,
    GetState,
    ServiceOnline,
    ServiceParked,
    ServiceState,
    UploadSiteStructure,
)
from gateway.wire.installer import HostnameChanged as HostnameMessage
from gateway.wire.membership import (
    GuestAllowed,
    GuestDenied,
    RoleEntry,
    UserEntry,
    UserIncluded,
    UserList,
    UserRemoved,
    UserUpdated,
)
from gateway.wire.message import Message
from gateway.wire.pubsub import LastStorageUid, NewStorageUid, RaiseAcknowledged
from gateway.wire.structure import structure_hash
from tests.protocol.endpoint_bench import (
    CAMERA,
    PLAIN,
    USERS,
    heard,
    online_service,
    said,
    service,
    tell,
)

TCP, UDP = TransportKind.TCP, TransportKind.UDP
REQUEST, CONNECTION = b"r" * 16, b"n" * 16
OWNER, EVE = 11, 12


def request(
    port: int,
    user: int = OWNER,
    kind: UserKind = UserKind.OWNER,
    transport: TransportKind = TCP,
    tag: bytes | None = None,
) -> ServiceConnectionRequest:
    return ServiceConnectionRequest(transport, REQUEST, port, kind, user, 900, tag)


def rendezvous(
    port: int, number: int = 0, user: int = OWNER, tag: bytes | None = None
) -> ServiceRendezvousData:
    uid = bytes([number]) * 16
    return ServiceRendezvousData(
        TCP, uid, uid, 1, b"\x7f\0\0\5", port, UserKind.OWNER, user, 900, tag
    )


def pending(session: ServiceSession, port: int, number: int = 0) -> PendingConnection:
    tell(session, rendezvous(port, number))
    (event,) = heard(session)
    assert isinstance(event, MeetClient)
    return event.entry


# -- installation


def test_state_tells_what_is_known() -> None:
    session, memory = service()
    tell(session, GetState())
    (state,) = said(session)
    assert isinstance(state, ServiceState)
    assert state.profile.ss_hash == structure_hash(CAMERA)
    assert state.membership.list_hash is None
    assert state.membership.guest_allowed is False
    assert state.hostname_hash is None
    assert state.version == "1.0"
    tell(session, HostnameMessage("Door"), USERS, GuestAllowed(True), ServiceOnline())
    assert heard(session) == [
        HostnameChanged("Door"),
        MembersChanged(),
        MembersChanged(),
        StatusChanged(ServiceStatus.ONLINE),
    ]
    session.feed(b"", 2.0)
    again, _ = service(memory=memory)
    tell(again, GetState())
    (state,) = said(again)
    assert isinstance(state, ServiceState)
    assert state.membership.list_hash == USERS.list_hash()
    assert state.membership.guest_allowed is True
    assert state.hostname_hash == hostname_hash("Door")


def test_a_structure_is_uploaded_when_asked_for() -> None:
    session, _ = service()
    tell(session, GetState(), GetSiteStructure())
    assert said(session)[1] == UploadSiteStructure(CAMERA, "1.0")
    tell(session, ServiceParked(ServiceStatus.SITE_STRUCTURE_MISMATCH))
    assert session.status is ServiceStatus.SITE_STRUCTURE_MISMATCH


@pytest.mark.parametrize("status", [ServiceStatus.OFFLINE, ServiceStatus.ONLINE])
def test_parked_needs_a_reason(status: ServiceStatus) -> None:
    session, _ = service()
    tell(session, ServiceParked(status))
    assert isinstance(session.finished, SessionFailed)


@pytest.mark.parametrize("known", [None, True, False])
def test_the_storage_is_introduced_unless_it_is_known(known: bool | None) -> None:
    session, memory = service()
    memory.outbox.storage_uid = b"o" * 16
    if known is not None:
        tell(session, LastStorageUid(b"o" * 16 if known else b"x" * 16))
    tell(session, ServiceOnline())
    assert said(session) == ([] if known else [NewStorageUid(b"o" * 16)])
    tell(session, RaiseAcknowledged(0, b"x" * 16))
    assert not session.finished
    tell(session, LastStorageUid(b"o" * 16))
    assert isinstance(session.finished, SessionFailed)


def test_without_events_there_is_no_module_15() -> None:
    session, _ = service(PLAIN)
    tell(session, ServiceOnline())
    assert said(session) == []
    tell(session, RaiseAcknowledged(0, b"x" * 16))
    assert isinstance(session.finished, SessionFailed)


# -- members


def test_members_follow_the_updates() -> None:
    session, memory = online_service()
    members = memory.members
    tell(session, UserIncluded(True, UserEntry(13, "Bob", (2, 1))))
    found = members.resolve(UserKind.PRIVATE, 13)
    assert found is not None
    assert (found.name, found.roles) == ("Bob", ("Administrator", "User"))
    tell(session, UserUpdated(True, UserEntry(13, "Rob")))
    assert [actor.name for actor in members.actors()] == ["Eve", "Owner", "Rob"]
    tell(session, UserRemoved(True, 13), GuestDenied(True))
    assert members.resolve(UserKind.PRIVATE, 13) is None
    assert not members.guest_allowed
    assert [type(event) for event in heard(session)] == [MembersChanged] * 4


@pytest.mark.parametrize(
    "message",
    [
        UserIncluded(True, UserEntry(EVE, "Eve", (2,))),
        UserUpdated(True, UserEntry(99, "Zoe", (2,))),
        UserUpdated(True, UserEntry(EVE, "Eve", (99,))),
        UserRemoved(True, 99),
        UserList(True, (RoleEntry(1, "Administrator"),), ()),
        UserList(True, USERS.roles, (UserEntry(1, "A", (7,)),)),
        UserList(True, USERS.roles, (UserEntry(1, "A"), UserEntry(1, "B"))),
    ],
)
def test_members_that_contradict(message: Message) -> None:
    session, _ = online_service()
    tell(session, message)
    assert isinstance(session.finished, SessionFailed)
    assert session.finished.code is ErrorCode.INPUT_DATA_INCONSISTENT


@pytest.mark.parametrize("message", [UserIncluded(True, UserEntry(5, "A")), UserRemoved(True, EVE)])
def test_single_updates_wait_for_installation(message: Message) -> None:
    session, _ = service()
    tell(session, USERS, message)
    assert isinstance(session.finished, SessionFailed)
    assert session.finished.code is ErrorCode.INPUT_DATA_FORMAT_ERROR


def test_a_plain_service_takes_updates_under_either_number() -> None:
    structure = dataclasses.replace(PLAIN, guest_support=GuestSupport.STATEFUL)
    session, memory = service(structure)
    tell(session, UserList(False, (), (UserEntry(1, "A"),)), ServiceOnline())
    # As the reference tracker sends them: 7.3 without roles and 7.5 (01 section 10.3).
    session.feed(frame(bytes.fromhex("0703 3006 020101 1601 42")), 1.0)
    session.feed(frame(b"\x07\x05"), 1.0)
    assert not session.finished
    assert memory.members.guest_allowed
    assert [actor.name for actor in memory.members.actors()] == ["B"]


def test_guests_are_ignored_where_they_are_not_supported() -> None:
    session, memory = service(PLAIN)
    tell(session, GuestAllowed(False), ServiceOnline())
    assert not memory.members.guest_allowed
    assert memory.members.resolve(UserKind.GUEST, 4) is None


# -- decisions on requests (02 section 4.2)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (request(554), 0),
        (request(554, EVE, UserKind.PRIVATE), 0),
        (request(80, EVE, UserKind.PRIVATE), 112),
        (request(9999, EVE, UserKind.PRIVATE), 121),
        (request(554, 99, UserKind.PRIVATE), 112),  # becomes Guest, and guests have no roles
        (request(8080, 99, UserKind.PRIVATE), 0),
        (request(8080, 4, UserKind.GUEST), 0),
        (request(8080, 0, UserKind.STATELESS_GUEST), 112),
        (request(1, 0, UserKind.STATELESS_GUEST), 0),
        (request(554, transport=UDP), 121),  # nothing of ours listens for datagrams yet
    ],
)
def test_decisions(asked: ServiceConnectionRequest, code: int) -> None:
    session, _ = online_service()
    tell(session, asked)
    (answer,) = said(session)
    if code == 0:
        assert answer == RequestOk(
            asked.transport, REQUEST, asked.virtual_port, asked.user_kind, 900
        )
        assert heard(session) == []
    else:
        assert answer == ServiceRequestError(asked.transport, REQUEST, code, asked.user_kind, 900)
        (event,) = heard(session)
        assert isinstance(event, RequestDenied)
        assert (event.port, event.code, event.client_id) == (asked.virtual_port, code, 900)


def test_nobody_comes_in_as_guest_when_guests_are_denied() -> None:
    session, _ = online_service()
    tell(session, GuestDenied(True))
    for kind in (UserKind.PRIVATE, UserKind.GUEST, UserKind.STATELESS_GUEST):
        tell(session, request(1, 99, kind))
        (answer,) = said(session)
        assert isinstance(answer, ServiceRequestError)
        assert answer.error_code == 112


def test_the_session_tag_is_given_back() -> None:
    session, _ = online_service()
    tell(session, request(554, tag=b"\x30\x00"))
    (answer,) = said(session)
    assert isinstance(answer, RequestOk)
    assert answer.session_tag == b"\x30\x00"
    tell(session, rendezvous(554, tag=b"\x31\x00"))
    assert said(session) == [ServiceRequestError(TCP, bytes(16), 122, UserKind.OWNER, 900)]


def test_the_backlog_counts_what_is_pending_and_what_waits() -> None:
    session, memory = online_service()
    first, second = pending(session, 554, 1), pending(session, 554, 2)
    tell(session, request(554))
    (answer,) = said(session)
    assert isinstance(answer, ServiceRequestError)
    assert answer.error_code == 116
    port = session.connected(first)
    assert port is memory.ports.find(TCP, 554)
    tell(session, request(554))
    (answer,) = said(session)
    assert isinstance(answer, ServiceRequestError)  # it waits now, and counts as before
    session.not_connected(second, 2.0)
    (answer,) = said(session)
    assert answer == ServiceRequestError(TCP, second.request_uid, 122, UserKind.OWNER, 900)
    tell(session, request(554))
    assert isinstance(said(session)[0], RequestOk)
    assert port is not None
    assert port.completed.popleft() is first
    session.accept(first, 3.0)
    assert said(session) == [ServiceConnectionAccepted(TCP, first.request_uid, UserKind.OWNER, 900)]


def test_a_backlog_of_zero_needs_somebody_waiting() -> None:
    session, memory = online_service()
    port = memory.ports.open(TCP, 7, 0, None)
    tell(session, request(7))
    assert isinstance(said(session)[0], ServiceRequestError)
    port.armed = 1
    tell(session, request(7))
    assert isinstance(said(session)[0], RequestOk)


def test_a_tracker_cannot_order_more_than_a_service_can_hold() -> None:
    session, _ = online_service()
    for number in range(HELD_MAX):
        uid = number.to_bytes(16, "big")
        tell(session, dataclasses.replace(rendezvous(554), connection_uid=uid))
        if number % 2:
            session.connected(next(iter(session._pending)))
    assert said(session) == []
    tell(session, rendezvous(554, 255))
    (answer,) = said(session)
    assert isinstance(answer, ServiceRequestError)
    assert answer.error_code == 116


def test_rights_are_asked_for_twice() -> None:
    session, _ = online_service()
    tell(session, request(80))
    said(session)
    tell(session, UserUpdated(True, UserEntry(OWNER, "Owner", (2,))), rendezvous(80))
    assert said(session) == [ServiceRequestError(TCP, bytes(16), 112, UserKind.OWNER, 900)]


def test_the_proxys_challenge_goes_through_the_tracker() -> None:
    session, _ = online_service()
    entry = pending(session, 554, 3)
    session.ask_for_hash(entry, b"k" * 20, 2.0)
    assert said(session) == [ServiceAuthKey(TCP, 554, entry.connection_uid, 1, b"k" * 20)]
    tell(session, ServiceAuthHash(TCP, 554, entry.connection_uid, b"h" * 20, b"2" * 20))
    assert heard(session) == [ClientVouched(entry, b"h" * 20, b"2" * 20)]
    tell(session, ServiceAuthHash(TCP, 80, entry.connection_uid, b"h" * 20, b"2" * 20))
    assert heard(session) == []
    tell(session, ServiceAuthError(TCP, 554, entry.connection_uid))
    assert heard(session) == [PendingDropped(entry)]
    assert isinstance(said(session)[0], ServiceRequestError)
    assert session.connected(entry) is None


def test_what_is_pending_expires_silently_after_thirty_seconds() -> None:
    session, memory = online_service()
    entry = pending(session, 554)
    assert session.deadline == 31.0
    session.tick(30.9)
    assert heard(session) == []
    session.tick(31.0)
    assert heard(session) == [PendingDropped(entry)]
    assert said(session) == []
    port = memory.ports.find(TCP, 554)
    assert port is not None
    assert not port.pending


def test_a_lost_session_drops_what_is_pending_and_keeps_what_waits() -> None:
    session, memory = online_service()
    first, second = pending(session, 554, 1), pending(session, 554, 2)
    session.connected(first)
    session.feed(b"", 2.0)
    assert PendingDropped(second) in heard(session)
    port = memory.ports.find(TCP, 554)
    assert port is not None
    assert list(port.completed) == [first]
    assert not port.pending
    session.accept(first, 3.0)
    assert session.outgoing() == b""


def test_a_released_port_drops_what_is_pending() -> None:
    session, memory = online_service()
    entry = pending(session, 554)
    port = memory.ports.find(TCP, 554)
    assert port is not None
    session.release(port)
    memory.ports.close(port)
    assert heard(session) == [PendingDropped(entry)]
    tell(session, request(554))
    (answer,) = said(session)
    assert isinstance(answer, ServiceRequestError)
    assert answer.error_code == 121
