"""Our endpoints send what the reference's endpoints sent, octet for octet, in every recording."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.model.kinds import ClientStatus, ServiceStatus
from gateway.protocol.endpoint_events import RequestReady, SessionEnded, StatusChanged
from gateway.wire.codes import ErrorCode
from tests.support.recordings import load, names
from tests.transcripts.endpoint_replay import Replay

APART = {"16"}
"""Recorded threads raced: a call overtook the answer to SYNC. Each order is compared by itself."""
DIFFERENT = {
    ("15", 4): "the reference's service breaks on user kind 5 where ours answers (02 trap T1)",
}

CONNECTIONS = [
    (name, connection.id)
    for name in names()
    if name != "17"
    for connection in load(name).tracker_connections()
]


def _replayed(
    name: str, last: int | None = None, folder: Path | None = None
) -> tuple[Replay, dict[int, str]]:
    replay = Replay(name, apart=name in APART, folder=folder)
    outcome: dict[int, str] = {}
    for connection in replay.recording.tracker_connections():
        outcome[connection.id] = replay.run(connection.id)
        if connection.id == last:
            break
    replay.end()
    return replay, outcome


@pytest.mark.parametrize(("name", "connection"), CONNECTIONS)
def test_every_connection_octet_for_octet(name: str, connection: int, tmp_path: Path) -> None:
    _, outcome = _replayed(name, connection, tmp_path)
    if (name, connection) in DIFFERENT:
        assert outcome[connection], "the difference is gone: take it off the list"
    else:
        assert outcome[connection] == ""


@pytest.mark.parametrize("piece", [1, 3, 7])
@pytest.mark.parametrize(
    "name",
    ["01", "02", "02b", "03", "04", "06", "07b", "09", "09c", "09d", "11", "12", "14", "15c"],
)
def test_any_segmentation(name: str, piece: int) -> None:
    replay = Replay(name, piece=piece)
    for connection in replay.recording.tracker_connections():
        assert replay.run(connection.id) == ""


def _statuses(replay: Replay, connection: int) -> list[object]:
    events = replay.endpoints[connection].events
    return [event.status for event in events if isinstance(event, StatusChanged)]


def _ends(replay: Replay, connection: int) -> list[ErrorCode]:
    events = replay.endpoints[connection].events
    return [event.failure.code for event in events if isinstance(event, SessionEnded)]


def test_a_blank_site_restarts_its_first_service() -> None:
    replay, _ = _replayed("01")
    assert _ends(replay, 4)[0] is ErrorCode.RESTART
    assert ServiceStatus.ONLINE in _statuses(replay, 4)
    memory = replay.endpoints[4].service
    assert memory is not None
    assert memory.hostname == "Front Door"
    assert [actor.name for actor in memory.members.actors()] == ["Alison", "Owner"]
    assert memory.members.actors()[1].roles == ("Administrator",)


@pytest.mark.parametrize(
    ("name", "connection", "status"),
    [
        ("03b", 2, ServiceStatus.SITE_STRUCTURE_MISMATCH),
        ("03c", 2, ServiceStatus.SERVICE_TYPE_CONFLICT),
        ("04c", 2, ClientStatus.SERVICE_TYPE_CONFLICT),
        ("04d", 2, ClientStatus.ACCESS_DENIED),
        ("04e", 2, ClientStatus.SITE_BLANK),
    ],
)
def test_the_parked_know_why(name: str, connection: int, status: object) -> None:
    replay, _ = _replayed(name)
    assert status in _statuses(replay, connection)


@pytest.mark.parametrize(
    ("name", "connection", "code"),
    [
        ("10", 2, ErrorCode.PASSWORD_NOT_MATCHED),
        ("10", 4, ErrorCode.PASSWORD_NOT_MATCHED),
        ("11", 4, ErrorCode.DUPLICATED_SERVICE_UID_USAGE),
        ("11", 10, ErrorCode.DUPLICATED_CLIENT_KEY_USAGE),
        ("11", 2, ErrorCode.NETWORK_ERROR),
    ],
)
def test_the_refused_know_why(name: str, connection: int, code: ErrorCode) -> None:
    replay, _ = _replayed(name)
    assert _ends(replay, connection)[0] is code


def test_a_client_sees_services_come_and_go() -> None:
    replay, _ = _replayed("03")
    memory = replay.endpoints[4].client
    assert memory is not None
    services = {service.id: service for service in memory.group.services()}
    assert services[2001].hostname == "Front Door"
    assert services[2002].version == "1.5"
    assert not services[2001].online
    assert memory.user.name == "Owner"


def test_success_needs_the_services_acceptance() -> None:
    replay = Replay("07b")
    service, client = (found.id for found in replay.recording.tracker_connections())
    assert replay.run(service) == ""
    assert replay.run(client) == ""
    ready = [one for one in replay.endpoints[client].events if isinstance(one, RequestReady)]
    assert ready == []  # the recorded client had its channel; this replay never said so
    order = replay.endpoints[client].orders[0]
    assert order.server_address == bytes([127, 0, 0, 5])
