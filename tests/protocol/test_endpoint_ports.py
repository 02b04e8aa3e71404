"""The places of a virtual port, and how many of them one client may hold."""

from __future__ import annotations

from dataclasses import replace

from gateway.model.kinds import TransportKind, UserKind
from gateway.protocol.endpoint_ports import PortTable
from gateway.wire.connect import RequestOk
from tests.protocol.test_endpoint_service import online_service, request, said, tell

TCP = TransportKind.TCP


def test_one_client_gets_half_of_a_long_backlog_and_another_still_gets_in() -> None:
    session, memory = online_service()
    port = memory.ports.open(TCP, 600, 8, None)
    answers = []
    for number in range(6):
        tell(session, replace(request(600), request_uid=bytes([number]) * 16))
        answers += said(session)
    assert [isinstance(answer, RequestOk) for answer in answers] == [True] * 4 + [False] * 2
    assert answers[-1].error_code == 116
    tell(session, replace(request(600), request_uid=bytes(16), client_id=901))
    assert isinstance(said(session)[0], RequestOk)
    assert port.held_by((UserKind.OWNER, 900), 1_000_000.0) == 0  # promises end by themselves


def test_a_place_is_promised_until_its_data_comes_or_the_time_is_over() -> None:
    table = PortTable()
    port = table.open(TCP, 554, 8, None)
    client = (int(UserKind.PRIVATE), 7)
    for number in range(4):
        assert table.admit(TCP, 554, client, bytes([number]) * 16, 10.0)
    assert not table.admit(TCP, 554, client, b"x" * 16, 39.0)
    assert table.admit(TCP, 554, client, b"x" * 16, 40.0)
    assert port.held_by(client, 40.0) == 1
    assert table.admit(TCP, 555, client, b"y" * 16, 40.0)  # nobody listens: not our question
