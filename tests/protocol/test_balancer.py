"""The one-question lookup at the server, against the answers of the reference balancer."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from gateway.base.errors import GatewayError, TimedOut
from gateway.protocol.balancer import BalancerAsked, BalancerServer
from gateway.wire.balancer import BalancerAnswer, BalancerRequest
from gateway.wire.codes import ErrorCode
from tests.support.recordings import vectors

HERE = ipaddress.ip_address("127.0.0.1")
UID = bytes.fromhex("00112233445566778899aabbccddeeff")


def play(machine: BalancerServer, request: BalancerRequest) -> None:
    """Answer as a server with one service, one client and one site, all single-service."""
    if request.service_uid is not None:
        known, code = request.service_uid == UID, ErrorCode.SERVICE_NOT_REGISTERED
    elif request.key not in ("alicekey", "sitekey1"):
        known, code = False, ErrorCode.CLIENT_NOT_REGISTERED
    else:
        assert request.category is not None
        known, code = request.category in (1, 3), ErrorCode.INVALID_CLIENT_CATEGORY
    if known:
        machine.found(HERE)
    else:
        machine.refuse(code)


def ask(question: bytes, name: str = "srv.example", step: int = 2000) -> BalancerServer:
    machine = BalancerServer(name)
    machine.start(0.0)
    for at in range(0, len(question), step):
        machine.feed(question[at : at + step], 0.1)
    assert machine.next_event() is None
    machine.feed(b"", 0.2)
    event = machine.next_event()
    if isinstance(event, BalancerAsked):
        play(machine, event.request)
    return machine


@pytest.mark.parametrize("step", [1, 2000])
@pytest.mark.parametrize("case", vectors("auth")["balancer_exchanges"], ids=lambda c: c["case"])
def test_answers_are_those_of_the_reference(case: dict[str, Any], step: int) -> None:
    machine = ask(bytes.fromhex(case["request_hex"]), step=step)
    assert machine.outgoing().hex() == case["response_hex"]
    assert machine.finished is True


def test_any_name_will_do_where_the_server_has_none() -> None:
    question = BalancerRequest("whatever.example", UID).encode()
    answer = BalancerAnswer.decode(ask(question, name="").outgoing(), question, 4)
    assert answer.address == HERE


def test_long_keys_are_unknown_clients() -> None:
    for key in ("abc", "k" * 33):
        question = bytes((1, 1, 0x30, len(key) + 2, 0x13, len(key))) + key.encode()
        answer = BalancerAnswer.decode(ask(question).outgoing(), question, 4)
        assert answer.error_code == ErrorCode.CLIENT_NOT_REGISTERED


def test_a_question_is_bounded_in_size_and_time() -> None:
    machine = BalancerServer()
    machine.start(0.0)
    machine.feed(bytes(1024), 0.1)
    assert not machine.finished
    machine.feed(b"?", 0.2)
    assert isinstance(machine.finished, GatewayError)
    assert machine.outgoing() == b""
    slow = BalancerServer()
    slow.start(0.0)
    slow.feed(b"\x01", 29.0)
    assert slow.deadline == 30.0
    slow.tick(30.0)
    assert isinstance(slow.finished, TimedOut)
    assert slow.outgoing() == b""


def test_both_families() -> None:
    question = BalancerRequest(None, UID).encode()
    for text, size in (("203.0.113.7", 10), ("2001:db8::7", 22)):
        machine = BalancerServer()
        machine.start(0.0)
        machine.feed(question, 0.1)
        machine.feed(b"", 0.2)
        machine.next_event()
        machine.found(ipaddress.ip_address(text))
        octets = machine.outgoing()
        assert len(octets) == size
        family = 4 if size == 10 else 6
        assert str(BalancerAnswer.decode(octets, question, family).address) == text
