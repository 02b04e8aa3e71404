"""A client's session: services, acting user, requests and calls."""

from __future__ import annotations

import pytest

from gateway.model.kinds import ClientCategory, ClientStatus, EventKind, TransportKind, UserKind
from gateway.protocol.endpoint_client import ClientSession
from gateway.protocol.endpoint_events import (
    CallEnded,
    MeetService,
    RequestFailed,
    RequestReady,
    ServicesChanged,
    ServiceVouched,
    SessionFailed,
    StatusChanged,
    UserChanged,
)
from gateway.protocol.endpoint_group import RemoteService
from gateway.wire import groups
from gateway.wire.codes import ErrorCode
from gateway.wire.connect import (
    ClientAuthError,
    ClientAuthHash,
    ClientAuthKey,
    ClientConnectionAccepted,
    ClientRendezvousData,
    ClientRequestError,
    ConnectionRequest,
)
from gateway.wire.installer import ClientOnline, ClientParked, ClientState, GetState
from gateway.wire.membership import ActingGuest, ActingUser, user_hash
from gateway.wire.message import Message
from gateway.wire.pubsub import (
    DeliverQueueingEvent,
    EventRejected,
    Subscriptions,
    SyncOk,
    SyncStateful,
    SyncStateless,
)
from gateway.wire.rpc import CallFailed, CallRefused, CallRequest, CallResult
from tests.protocol.endpoint_bench import client, heard, online_client, said, tell

TCP, UDP = TransportKind.TCP, TransportKind.UDP
SITE = b"i" * 16
SINGLE = ClientCategory.SINGLE_SERVICE


def ask(session: ClientSession, service_id: int = 7, limit: float = 30) -> bytes:
    uid = session.request(TCP, service_id, 554, limit=limit, now=1.0)
    assert said(session) == [ConnectionRequest(TCP, uid, service_id, 554)]
    return uid


def order(uid: bytes) -> ClientRendezvousData:
    return ClientRendezvousData(TCP, uid, b"n" * 16, 3, b"\x7f\0\0\5")


# -- installation and state


def test_state_tells_what_is_known() -> None:
    session, memory = client()
    tell(session, GetState())
    assert said(session) == [ClientState("IP Camera", "me", "mine")]
    tell(session, ActingUser(12, "Eve", ("User",)))
    tell(session, groups.ServicesUpdated((groups.ServiceEntry(7, "Door", "1"),)))
    tell(session, ClientOnline(SITE))
    assert heard(session) == [ServicesChanged(), StatusChanged(ClientStatus.ONLINE)]
    assert memory.user.name == "Eve"
    assert memory.site_uid == SITE
    session.feed(b"", 2.0)
    again, _ = client(memory=memory)
    tell(again, GetState())
    (state,) = said(again)
    assert isinstance(state, ClientState)
    assert state.user_hash == user_hash(12, "Eve", ("User",))
    entries = (groups.ServiceEntry(7, "Door", "1"),)
    assert state.group_hash == groups.ServicesUpdated(entries).group_hash()
    tell(again, ClientOnline(SITE), ActingGuest())
    assert memory.user.kind is UserKind.GUEST
    assert UserChanged() in heard(again)


def test_a_single_client_sends_the_hash_of_its_empty_group() -> None:
    session, _ = client(SINGLE)
    tell(session, GetState())
    (state,) = said(session)
    assert isinstance(state, ClientState)
    assert state.group_hash is not None
    assert state.group_hash.hex() == "c7624d63c789055b2d84d67eb98669f9792d6d7a"


def test_stateless_clients_tell_no_description() -> None:
    session, _ = client(ClientCategory.MULTI_SERVICE_STATELESS)
    tell(session, GetState())
    assert said(session) == [ClientState("IP Camera", "me")]


def test_parked() -> None:
    session, memory = client()
    tell(session, ClientParked(SITE, ClientStatus.ACCESS_DENIED))
    assert session.status is ClientStatus.ACCESS_DENIED
    assert memory.site_uid == SITE


def test_a_single_group_with_an_empty_name() -> None:
    session, memory = client(SINGLE)
    tell(session, groups.SingleServiceUpdated("1.0", ""), groups.SingleServiceOnline())
    tell(session, ClientOnline(SITE), groups.SingleServiceOnline2("2.0"))
    assert memory.group.services() == (RemoteService(0, "", "2.0", True),)
    tell(session, groups.SingleServiceOffline())
    assert not memory.group.services()[0].online


def test_a_group_follows_the_updates() -> None:
    session, memory = online_client()
    tell(
        session,
        groups.ServiceIncluded(9, "Hall", ""),
        groups.ServiceOnlineInGroup2(9, "3"),
        groups.ServiceUpdated(7, "2", "Gate"),
        groups.ServiceOfflineInGroup(7),
        groups.ServiceRemoved(8),
    )
    assert memory.group.services() == (
        RemoteService(7, "Gate", "2", False),
        RemoteService(9, "Hall", "3", True),
    )
    assert heard(session) == [ServicesChanged()] * 5


@pytest.mark.parametrize(
    "message",
    [
        groups.ServiceRemoved(99),
        groups.ServiceUpdated(99, "", ""),
        groups.ServiceOnlineInGroup(99),
        groups.ServiceOnlineInGroup2(99, ""),
        groups.ServiceOfflineInGroup(99),
    ],
)
def test_unknown_services_in_updates_are_ignored(message: Message) -> None:
    session, _ = online_client()
    tell(session, message)
    assert not session.finished
    assert heard(session) == []


@pytest.mark.parametrize(
    ("category", "before", "message", "code"),
    [
        (ClientCategory.MULTI_SERVICE, False, groups.ServiceIncluded(7, "", ""), 39),
        (ClientCategory.MULTI_SERVICE, True, groups.ServicesOnline((99,)), 39),
        (ClientCategory.MULTI_SERVICE, True, groups.ServiceIncluded(9, "", ""), 38),
        (ClientCategory.MULTI_SERVICE, False, groups.ServicesUpdated(()), 38),
        (ClientCategory.MULTI_SERVICE, False, groups.SingleServiceOnline(), 38),
        (SINGLE, False, groups.ServiceRemoved(7), 38),
        (SINGLE, True, groups.SingleServiceOffline(), 38),
        (SINGLE, False, ClientOnline(SITE), 38),
        (SINGLE, False, SyncStateless(), 38),
        (ClientCategory.MULTI_SERVICE_STATELESS, False, SyncStateful(), 38),
        (SINGLE, True, ClientParked(SITE, ClientStatus.ONLINE), 38),
    ],
)
def test_messages_out_of_their_place(
    category: ClientCategory, before: bool, message: Message, code: int
) -> None:
    session, _ = client(category) if before else online_client(category)
    tell(session, message)
    assert isinstance(session.finished, SessionFailed)
    assert session.finished.code == code


def test_nobody_is_online_after_a_return() -> None:
    session, memory = online_client()
    assert [service.online for service in memory.group.services()] == [True, False]
    session.feed(b"", 2.0)
    assert not any(service.online for service in memory.group.services())
    memory.group.set_online([7])
    client(memory=memory)
    assert not any(service.online for service in memory.group.services())


def test_nothing_is_subscribed_to() -> None:
    session, _ = online_client()
    tell(session, SyncStateful())
    assert said(session) == [SyncOk()]
    tell(session, SyncStateful(b"h" * 20))
    assert said(session) == [Subscriptions(())]
    guest, _ = online_client(ClientCategory.MULTI_SERVICE_STATELESS)
    tell(guest, SyncStateless())
    assert said(guest) == [Subscriptions(())]
    import datetime

    when = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    tell(session, DeliverQueueingEvent("Alarm", 5, b"t" * 16, 1, 7, 0, when))
    assert said(session) == [EventRejected(EventKind.QUEUEING, 5, b"t" * 16)]


# -- requests (02 section 5)


@pytest.mark.parametrize("accepted_first", [True, False])
def test_success_needs_two_things_in_either_order(accepted_first: bool) -> None:
    session, _ = online_client()
    uid = ask(session)
    tell(session, order(uid))
    meeting = MeetService(uid, b"n" * 16, 3, b"\x7f\0\0\5")
    assert heard(session) == [meeting]
    session.ask_for_hash(meeting, b"k" * 20, 2.0)
    assert said(session) == [ClientAuthKey(TCP, uid, 3, b"k" * 20)]
    tell(session, ClientAuthHash(TCP, uid, b"h" * 20, b"2" * 20))
    assert heard(session) == [ServiceVouched(uid, b"h" * 20, b"2" * 20)]
    accept = ClientConnectionAccepted(TCP, uid)
    if accepted_first:
        tell(session, accept)
        assert heard(session) == []
        assert session.connected(uid)
    else:
        assert session.connected(uid)
        assert heard(session) == []
        tell(session, accept)
    assert heard(session) == [RequestReady(uid)]
    tell(session, accept)
    assert heard(session) == []
    assert not session.connected(uid)


def test_a_second_order_starts_no_second_connector() -> None:
    session, _ = online_client()
    uid = ask(session)
    tell(session, order(uid), order(uid), order(b"z" * 16))
    assert len(heard(session)) == 1


@pytest.mark.parametrize(
    ("happening", "code"),
    [
        (lambda uid: ClientRequestError(TCP, uid, 112), 112),
        (lambda uid: ClientRequestError(TCP, uid, 777), 777),
        (lambda uid: ClientAuthError(TCP, uid), 122),
        (lambda _: groups.ServiceOfflineInGroup(7), 115),
        (lambda _: groups.ServiceRemoved(7), 115),
    ],
)
def test_failures(happening: object, code: int) -> None:
    session, _ = online_client()
    uid = ask(session)
    assert callable(happening)
    tell(session, happening(uid))
    assert RequestFailed(uid, code) in heard(session)
    assert not session.connected(uid)


def test_our_own_connector_fails() -> None:
    session, _ = online_client()
    uid = ask(session)
    session.not_connected(uid, 2.0)
    assert heard(session) == [RequestFailed(uid, 122)]
    assert said(session) == []


def test_answers_of_the_other_transport_are_not_ours() -> None:
    session, _ = online_client()
    uid = ask(session)
    tell(session, ClientRequestError(UDP, uid, 112), ClientConnectionAccepted(UDP, uid))
    assert heard(session) == []


@pytest.mark.parametrize(("limit", "due"), [(30, 31.0), (0, 6.0), (4, 6.0), (10, 11.0)])
def test_the_time_limit_is_five_seconds_at_least(limit: float, due: float) -> None:
    session, _ = online_client()
    uid = ask(session, limit=limit)
    assert session.deadline == due
    session.tick(due - 0.1)
    assert heard(session) == []
    session.tick(due)
    assert heard(session) == [RequestFailed(uid, ErrorCode.TIMEOUT_EXPIRED)]


def test_a_lost_session_ends_every_request() -> None:
    session, _ = online_client()
    first = ask(session)
    second = session.call(7, "Look", b"\x30\x00", limit=30, now=1.0)
    third = ask_again(session)
    session.abandon(third)
    session.feed(b"", 2.0)
    events = heard(session)
    assert RequestFailed(first, ErrorCode.CLIENT_OFFLINE) in events
    assert CallEnded(second, code=ErrorCode.CLIENT_OFFLINE) in events
    assert not any(isinstance(one, RequestFailed) and one.request_uid == third for one in events)


def ask_again(session: ClientSession) -> bytes:
    return session.request(TCP, 7, 80, limit=30, now=1.0)


def test_calls() -> None:
    session, _ = online_client()
    answers: list[tuple[type[Message], tuple[object, ...], dict[str, object]]] = [
        (CallResult, (b"\x30\x00",), {"result": b"\x30\x00"}),
        (CallFailed, (77, b"\x30\x00"), {"application_code": 77, "error": b"\x30\x00"}),
        (CallRefused, (132,), {"code": 132}),
    ]
    for kind, fields, shown in answers:
        uid = session.call(7, "Look", b"\x30\x00", limit=30, now=1.0)
        assert said(session) == [CallRequest(uid, 7, "Look", b"\x30\x00")]
        tell(session, kind(uid, *fields), kind(uid, *fields))
        assert heard(session) == [CallEnded(uid, **shown)]


@pytest.mark.parametrize("answer", [CallResult, CallFailed])
def test_an_answer_that_is_no_sequence_ends_the_call_and_not_the_session(answer: type) -> None:
    session, _ = online_client()
    uid = session.call(7, "Look", b"\x30\x00", limit=30, now=1.0)
    octets = b"\x04\x00"
    tell(session, CallResult(uid, octets) if answer is CallResult else CallFailed(uid, 5, octets))
    assert heard(session) == [CallEnded(uid, code=ErrorCode.ARGUMENT_ERROR)]
    assert not session.finished
