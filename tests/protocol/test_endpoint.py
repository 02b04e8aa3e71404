"""What services' and clients' sessions share: opening, limits, pings, the one way to die."""

from __future__ import annotations

import random

import pytest

from gateway.model.kinds import ClientCategory, ClientStatus, ServiceStatus
from gateway.protocol.endpoint import EndpointSession
from gateway.protocol.endpoint_events import (
    Authenticated,
    SessionEnded,
    SessionFailed,
    StatusChanged,
)
from gateway.wire.catalogue import Direction, encode
from gateway.wire.channel import Error, HashAndKey2, OpenOk, Ping, Pong, Restore, RestoreOk
from gateway.wire.codes import ErrorCode
from gateway.wire.framing import frame
from gateway.wire.installer import ClientOnline, GetState, Params, ServiceOnline, SetPingPeriod
from gateway.wire.membership import ActingUser
from gateway.wire.message import Message
from tests.protocol.endpoint_bench import (
    CHALLENGE,
    CHANNEL_ID,
    USERS,
    client,
    heard,
    online_client,
    online_service,
    said,
    service,
    tell,
)

SERVICE_LIFE = (CHALLENGE, OpenOk(CHANNEL_ID), GetState(), USERS, ServiceOnline(), Pong())


def ended(session: EndpointSession) -> ErrorCode:
    """Return how a session ended; it must have said so exactly once, and last."""
    events = heard(session)
    ends = [event for event in events if isinstance(event, SessionEnded)]
    assert len(ends) == 1
    assert events[-1] is ends[0]
    assert session.finished is ends[0].failure
    assert session.deadline is None
    assert str(ends[0].failure)
    return ends[0].failure.code


def fresh() -> EndpointSession:
    """Return a service's session that is about to open."""
    session, memory = service()
    memory.channel_id = None
    return type(session)(session._profile, memory, session._entropy)


def test_header_and_first_frame_go_out_together() -> None:
    session = fresh()
    session.start(0.0)
    assert session.outgoing() == b"\x01\x01" + bytes.fromhex("160101 3012 0410") + b"u" * 16


def test_a_known_channel_is_restored() -> None:
    session, memory = service()
    again = type(session)(session._profile, memory, session._entropy)
    again.start(0.0)
    assert said(again) == [Restore(b"u" * 16, CHANNEL_ID)]
    tell(again, CHALLENGE)
    assert isinstance(said(again)[0], HashAndKey2)
    tell(again, RestoreOk())
    assert heard(again) == [Authenticated()]
    assert memory.channel_id == CHANNEL_ID


@pytest.mark.parametrize("number", [0, 1])
def test_both_forms_of_the_version_error(number: int) -> None:
    session = fresh()
    session.start(0.0)
    session.feed(bytes((4, 0, number, 0, 0x5C)), 1.0)
    assert ended(session) is ErrorCode.INCOMPATIBLE_PROTOCOL_VERSION


@pytest.mark.parametrize(
    "messages",
    [
        (OpenOk(CHANNEL_ID),),  # nobody is let in without a challenge
        (CHALLENGE, CHALLENGE),
        (CHALLENGE, RestoreOk()),  # asked with OPEN
        (GetState(),),
        (CHALLENGE, ServiceOnline()),
        (CHALLENGE, OpenOk(CHANNEL_ID), OpenOk(CHANNEL_ID)),
    ],
)
def test_messages_out_of_their_place(messages: tuple[Message, ...]) -> None:
    session = fresh()
    session.start(0.0)
    tell(session, *messages)
    assert ended(session) is ErrorCode.INPUT_DATA_FORMAT_ERROR


@pytest.mark.parametrize(
    "octets",
    [
        frame(b"\x03\x01"),
        frame(b"\x02\x09"),
        frame(b"\x06\x02\x30\x80"),
        frame(b"\x01\x04\x00"),
        b"\x80",
        b"\x85",
        b"\x01",
        b"\x84\x00\x40\x00\x01",
    ],
)
def test_what_cannot_be_read_ends_the_session(octets: bytes) -> None:
    session, _ = online_service()
    session.feed(octets + b"\x02\x02\x01" * 3, 1.0)
    assert ended(session) is ErrorCode.INPUT_DATA_FORMAT_ERROR
    session.feed(octets, 2.0)
    session.tick(3.0)
    assert session.outgoing() == b""
    assert heard(session) == []


def test_big_frames_only_after_authentication() -> None:
    session = fresh()
    session.start(0.0)
    session.feed(b"\x82\x01\x01", 1.0)
    assert ended(session) is ErrorCode.INPUT_DATA_FORMAT_ERROR
    session = fresh()
    session.start(0.0)
    session.outgoing()
    tell(session, CHALLENGE)
    big = encode(Direction.TRACKER_TO_SERVICE, OpenOk(CHANNEL_ID)) + b"\x82\x01\x01"
    session.feed(big, 1.0)  # in the same read
    assert not session.finished


def test_cut_at_every_octet() -> None:
    octets = b"".join(encode(Direction.TRACKER_TO_SERVICE, message) for message in SERVICE_LIFE)
    for at in range(len(octets)):
        session = fresh()
        session.start(0.0)
        session.feed(octets[:at], 1.0)
        session.feed(b"", 2.0)
        assert ended(session) is ErrorCode.NETWORK_ERROR
        assert session.status is ServiceStatus.OFFLINE


def test_one_wrong_octet_never_breaks_the_machine() -> None:
    octets = b"".join(encode(Direction.TRACKER_TO_SERVICE, message) for message in SERVICE_LIFE)
    dice = random.Random(1)
    for _ in range(2000):
        broken = bytearray(octets)
        broken[dice.randrange(len(broken))] = dice.randrange(256)
        session = fresh()
        session.start(0.0)
        session.feed(bytes(broken), 1.0)
        if session.finished:
            assert isinstance(session.finished, SessionFailed)
        session.feed(b"", 2.0)
        ended(session)


@pytest.mark.parametrize("code", [245, 98, 110, 234, 31_000])
def test_errors_come_at_any_time(code: int) -> None:
    for make in (fresh, lambda: service()[0], lambda: online_service()[0]):
        session = make()
        if session.phase.name == "NEW":
            session.start(0.0)
        tell(session, Error(code))
        assert ended(session) is ErrorCode.of(code)
    session, _ = online_client()
    tell(session, Error(code))
    assert ended(session) is ErrorCode.of(code)


def test_a_server_that_does_not_let_us_in() -> None:
    session, _ = service()
    assert session.deadline == 60.0
    session.tick(59.9)
    assert not session.finished
    session.tick(60.0)
    assert ended(session) is ErrorCode.NETWORK_ERROR


@pytest.mark.parametrize("told", range(5))
def test_trap_s13_silence_at_any_step_before_online_lasts_60_s(told: int) -> None:
    """The Java endpoint can wait for ever between connecting and ONLINE."""
    session = fresh()
    session.start(0.0)
    for number, message in enumerate(SERVICE_LIFE[:told]):
        tell(session, message, now=5.0 * number)  # what is said on the way buys no time
    assert session.deadline == 60.0
    session.tick(60.0)
    assert ended(session) is ErrorCode.NETWORK_ERROR


def test_pings_and_a_silent_server() -> None:
    session, _ = online_service()
    assert session.deadline == 300.0
    tell(session, Params(15), now=1.0)
    assert session.deadline is not None
    session.tick(session.deadline)
    assert session.deadline == 16.0
    session.tick(16.0)
    assert said(session) == [Ping()]
    tell(session, Pong(), now=16.1)
    session.tick(31.0)
    session.tick(31.5)
    assert said(session) == [Ping()]
    session.tick(45.9)
    assert not session.finished
    session.tick(46.0)
    assert ended(session) is ErrorCode.NETWORK_ERROR


def test_the_period_of_management_may_come_before_installation() -> None:
    session, _ = client()
    tell(session, GetState(), SetPingPeriod(10), ClientOnline(b"i" * 16), now=0.0)
    assert session.deadline == 10.0


def test_stateless_clients_are_let_in_without_a_challenge() -> None:
    session, memory = client(ClientCategory.MULTI_SERVICE_STATELESS)
    tell(session, GetState(), ClientOnline(b"i" * 16))
    assert heard(session)[-1] == StatusChanged(ClientStatus.ONLINE)
    assert memory.channel_id is None
    again, _ = client(ClientCategory.MULTI_SERVICE_STATELESS, memory)
    tell(again, ActingUser(5, "Eve"))
    assert ended(again) is ErrorCode.INPUT_DATA_FORMAT_ERROR
    challenged = type(session)(session._profile, memory, session._entropy)
    challenged.start(0.0)
    tell(challenged, CHALLENGE)
    assert ended(challenged) is ErrorCode.INPUT_DATA_FORMAT_ERROR


def test_leaving_says_so_once() -> None:
    session, _ = online_service()
    session.leave(5.0)
    session.leave(6.0)
    assert ended(session) is ErrorCode.NO_ERROR
