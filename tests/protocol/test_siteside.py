"""A connection at the tracker, octet by octet, against the probes of the reference tracker."""

from __future__ import annotations

import random
from typing import Any

import pytest

from gateway.base.errors import GatewayError, TimedOut
from gateway.model.kinds import ClientStatus, ServiceStatus
from gateway.protocol.siteside import (
    CLIENT_FRAME_MAX,
    Authenticated,
    CredentialsAsked,
    Departed,
    Phase,
    Received,
    TrackerConnection,
)
from gateway.wire.channel import Error, Open
from gateway.wire.codes import ErrorCode
from gateway.wire.digest import challenge_response, salted_password
from gateway.wire.framing import frame
from gateway.wire.installer import (
    ClientOnline,
    ClientParked,
    GetSiteStructure,
    GetState,
    ServiceOnline,
    ServiceParked,
    ServiceState,
)
from tests.support.recorded_events import ScriptedEntropy
from tests.support.recordings import vectors

SALT = bytes(range(16))
UID = bytes.fromhex("00112233445566778899aabbccddeeff")
STORED = salted_password(SALT, "pass1")
OPEN_SERVICE = bytes.fromhex("1601013012041000112233445566778899aabbccddeeff")
OPEN_CLIENT = bytes.fromhex("110101300d0201011308616c6963656b6579")
PING, KEEP_ALIVE = bytes.fromhex("020201"), bytes.fromhex("020202")
STATE = bytes.fromhex(
    "390501303530311" + "60f486f6d6520546865726d6f7374617416084a6f686e20446f650414"
    "b85ea9074bfc4f0ff0cdc41c733ebcacb7371be43000"
)


def connection(**limits: float) -> TrackerConnection:
    machine = TrackerConnection(ScriptedEntropy(), **limits)
    machine.start(0.0)
    return machine


def answer(machine: TrackerConnection, now: float) -> None:
    """Play the owner that knows one service and one single-service client."""
    while (event := machine.next_event()) is not None:
        if not isinstance(event, CredentialsAsked):
            continue
        login = event.login
        if isinstance(login, Open):
            if login.service_uid == UID:
                machine.challenge(SALT, STORED, now)
            else:
                machine.refuse(ErrorCode.SERVICE_NOT_REGISTERED, now)
        elif login.key != "alicekey":  # type: ignore[union-attr]
            machine.refuse(ErrorCode.CLIENT_NOT_REGISTERED, now)
        elif login.category != 1:  # type: ignore[union-attr]
            machine.refuse(ErrorCode.INVALID_CLIENT_CATEGORY, now)
        else:
            machine.challenge(SALT, STORED, now)


def proof() -> bytes:
    key2 = b"k" * 20
    response = challenge_response(bytes(20), key2, STORED)
    return bytes.fromhex("300103302c0414") + response + bytes.fromhex("0414") + key2


def logged_in(kind: int = 1, **limits: float) -> TrackerConnection:
    machine = connection(**limits)
    machine.feed(bytes((1, kind)) + (OPEN_SERVICE if kind == 1 else OPEN_CLIENT), 1.0)
    answer(machine, 1.0)
    machine.feed(proof(), 2.0)
    event = machine.next_event()
    assert isinstance(event, Authenticated)
    machine.outgoing()
    return machine


@pytest.mark.parametrize("probe", vectors("auth")["tracker_probes"], ids=lambda p: p["case"])
def test_probes_of_the_reference_tracker(probe: dict[str, Any]) -> None:
    machine = connection()
    sent = b""
    for segment in probe["segments_sent_hex"]:
        machine.feed(bytes.fromhex(segment), 1.0)
        answer(machine, 1.0)
        sent += machine.outgoing()
    received = bytes.fromhex(probe["received_hex"])
    if probe["case"] == "header in two segments":
        # The reference closes; a new server accepts any segmentation (01 section 3.5).
        assert sent[:3] == bytes.fromhex("2c0101")
        assert not machine.finished
        return
    if probe["case"] == "version 2":
        received = bytes.fromhex("040001005c")  # type 1 is what endpoints understand
    if received[:3] == bytes.fromhex("2c0101"):
        received = received[:-20] + bytes(20)  # the key is drawn anew each time
    assert sent == received
    assert bool(machine.finished) is (probe["then"] == "connection closed")


def test_octet_by_octet_to_online_and_back() -> None:
    machine = connection()
    for octet in bytes((1, 1)) + OPEN_SERVICE:
        machine.feed(bytes((octet,)), 1.0)
    event = machine.next_event()
    assert isinstance(event, CredentialsAsked)
    assert event.login == Open(UID)
    machine.challenge(SALT, STORED, 1.1)
    for octet in proof():
        machine.feed(bytes((octet,)), 1.2)
    event = machine.next_event()
    assert isinstance(event, Authenticated)
    assert len(event.channel_id) == 16
    assert machine.phase is Phase.INSTALLING
    machine.send(GetState(), 1.3)
    for octet in PING + STATE:
        machine.feed(bytes((octet,)), 1.4)
    event = machine.next_event()
    assert isinstance(event, Received)
    assert isinstance(event.message, ServiceState)
    machine.send(ServiceOnline(), 1.5)
    assert machine.outgoing().endswith(bytes.fromhex("020501020201020503"))
    machine.feed(b"", 2.0)
    assert machine.finished is True


def test_a_wrong_password_is_told_and_then_nothing_is_heard() -> None:
    machine = connection()
    machine.feed(bytes((1, 2)) + OPEN_CLIENT, 1.0)
    answer(machine, 1.0)
    machine.outgoing()
    machine.feed(proof()[:-1] + b"?", 2.0)
    assert machine.outgoing() == bytes.fromhex("0401050062")
    assert machine.phase is Phase.REFUSED
    machine.feed(PING * 100, 3.0)
    assert machine.outgoing() == b""
    assert machine.deadline == 22.0
    machine.tick(22.0)
    assert isinstance(machine.finished, TimedOut)


def test_error_numbers_differ_by_endpoint_type() -> None:
    for kind, expected in ((1, "04010400f5"), (2, "04010500f5")):
        machine = logged_in(kind)
        machine.fail(ErrorCode.RESTART, 3.0)
        machine.fail(ErrorCode.RESTART, 3.0)
        assert machine.outgoing().hex() == expected


@pytest.mark.parametrize(
    ("phase", "octets", "code"),
    [
        ("installing", "020f09", 110),
        ("installing", "020e01", 110),
        ("installing", "020502", 110),
        ("installing", "020101", 110),
        ("online", "020501", 110),
        ("online", "020101", 110),
        ("online", "020c01", 110),
        ("online", "02ff01", 110),
        ("online", "020a05", 110),
        ("online", "050a013001ff", 110),
        ("online", "160f0930120410" + "aa" * 16, 110),
        ("parked", "0e0e0130" + "00" * 11, 110),
    ],
)
def test_what_is_not_reachable_is_answered_with_110(phase: str, octets: str, code: int) -> None:
    machine = logged_in()
    machine.send(GetState(), 3.0)
    if phase != "installing":
        machine.feed(STATE, 3.0)
        machine.next_event()
        online = phase == "online"
        machine.send(ServiceOnline() if online else ServiceParked(ServiceStatus.DISABLED), 3.0)
    machine.outgoing()
    machine.feed(bytes.fromhex(octets), 4.0)
    assert machine.outgoing() == bytes.fromhex("040104") + code.to_bytes(2, "big")
    assert isinstance(machine.next_event(), Departed)
    assert machine.deadline == 24.0


def test_events_are_reachable_where_the_site_has_some() -> None:
    machine = logged_in()
    machine.open_events()
    machine.send(ServiceOnline(), 3.0)
    machine.feed(bytes.fromhex("160f0930120410" + "aa" * 16), 4.0)
    assert isinstance(machine.next_event(), Received)


def test_a_wrong_number_of_the_monitor_closes_without_a_word() -> None:
    machine = logged_in()
    machine.feed(bytes.fromhex("020203"), 3.0)
    assert isinstance(machine.next_event(), Departed)
    assert machine.outgoing() == b""
    assert isinstance(machine.finished, GatewayError)


def test_too_large_a_structure_is_answered_with_102() -> None:
    machine = logged_in()
    machine.send(GetSiteStructure(), 3.0)
    roles = b"".join(b"\x16\x03r%02d" % i for i in range(31))
    names = b"\x30\x81" + bytes((len(roles),)) + roles
    definition = b"\xa1\x81" + bytes((len(names),)) + names
    structure = b"\x16\x01T\x16\x01A\x02\x01\x00" + definition
    body = b"\x30\x81" + bytes((len(structure),)) + structure
    root = b"\x30\x81" + bytes((len(body),)) + body
    machine.outgoing()
    machine.feed(frame(b"\x05\x02" + root), 4.0)
    assert machine.outgoing() == bytes.fromhex("0401040066")


def test_limits_of_frames_follow_the_phase() -> None:
    machine = connection()
    machine.feed(bytes.fromhex("0101") + bytes.fromhex("820101"), 1.0)
    assert machine.finished
    assert machine.outgoing() == b""
    client = connection()
    client.feed(bytes.fromhex("0102") + bytes.fromhex("820400"), 1.0)
    assert not client.finished
    service = logged_in(1)
    service.feed(bytes.fromhex("84003fffff"), 3.0)
    assert not service.finished
    client = logged_in(2)
    client.feed(b"\x83" + (CLIENT_FRAME_MAX + 1).to_bytes(3, "big"), 3.0)
    assert client.finished
    assert isinstance(client.next_event(), Departed)


def test_time_limits() -> None:
    machine = connection()
    assert machine.deadline == 30.0
    machine.feed(bytes((1, 1)), 10.0)
    assert machine.deadline == 70.0
    machine.feed(OPEN_SERVICE, 20.0)
    assert machine.deadline == 70.0
    machine.tick(69.9)
    assert not machine.finished
    machine.tick(70.0)
    assert isinstance(machine.finished, TimedOut)
    assert machine.outgoing() == b""


def test_silence_ends_an_installed_endpoint_and_any_frame_postpones_it() -> None:
    machine = logged_in(2)
    machine.send(ClientOnline(bytes(16)), 5.0)
    assert machine.deadline == 400.0
    machine.feed(KEEP_ALIVE, 100.0)
    assert machine.deadline == 495.0
    machine.send(GetState(), 300.0)
    assert machine.deadline == 495.0
    machine.tick(495.0)
    assert isinstance(machine.finished, TimedOut)


def test_octets_before_the_challenge_are_bounded() -> None:
    machine = connection()
    machine.feed(bytes((1, 1)) + OPEN_SERVICE, 1.0)
    machine.feed(bytes(200), 1.0)
    assert not machine.finished
    machine.feed(bytes(200), 1.0)
    assert machine.finished


def test_late_answers_of_the_owner_do_nothing() -> None:
    machine = connection()
    machine.feed(bytes((1, 1)) + OPEN_SERVICE, 1.0)
    machine.feed(b"", 2.0)
    machine.challenge(SALT, STORED, 3.0)
    machine.admit(3.0)
    machine.refuse(ErrorCode.RESTART, 3.0)
    assert machine.outgoing() == b""


def test_a_parked_client_may_only_beat() -> None:
    machine = logged_in(2)
    machine.send(ClientParked(bytes(16), ClientStatus.ACCESS_DENIED), 3.0)
    machine.outgoing()
    machine.feed(PING + KEEP_ALIVE, 4.0)
    assert machine.outgoing() == PING
    assert machine.phase is Phase.PARKED


def test_garbage_never_raises_and_always_ends() -> None:
    rng = random.Random(7740)
    ended = 0
    for _ in range(800):
        machine = logged_in(rng.choice((1, 2))) if rng.random() < 0.5 else connection()
        if machine.authenticated and rng.random() < 0.6:
            machine.open_events()
            service = machine.endpoint_type == 1
            machine.send(ServiceOnline() if service else ClientOnline(bytes(16)), 3.0)
        for _ in range(20):
            if rng.random() < 0.5:
                octets = frame(bytes((rng.randrange(16), rng.randrange(10))) + rng.randbytes(8))
            else:
                octets = rng.randbytes(rng.randrange(1, 50))
            machine.feed(octets, 4.0)
            answer(machine, 4.0)
        ended += bool(machine.finished) or machine.phase is Phase.REFUSED
        assert len(machine.outgoing()) < 2000
    assert ended > 700


def test_error_is_not_asn1() -> None:
    assert Error(245).body() == bytes.fromhex("00f5")
