"""How a service answers calls of its procedures (03 section 1.4)."""

from __future__ import annotations

import pytest

from gateway.model.kinds import UserKind
from gateway.protocol.endpoint_events import (
    CallArrived,
)
from gateway.wire.rpc import (
    ServiceCallFailed,
    ServiceCallRefused,
    ServiceCallRequest,
    ServiceCallResult,
)
from tests.protocol.endpoint_bench import (
    heard,
    online_service,
    said,
    tell,
)

REQUEST = b"r" * 16
OWNER, EVE = 11, 12


def call(
    name: str, user: int = EVE, arguments: bytes = b"\x30\x00", kind: UserKind = UserKind.PRIVATE
) -> ServiceCallRequest:
    return ServiceCallRequest(REQUEST, name, kind, user, 900, arguments)


@pytest.mark.parametrize(
    ("asked", "code"),
    [(call("Fly"), 132), (call("Look", OWNER), 112), (call("Look", 0, kind=UserKind.GUEST), 112)],
)
def test_refused_calls(asked: ServiceCallRequest, code: int) -> None:
    session, _ = online_service()
    tell(session, asked)
    assert said(session) == [ServiceCallRefused(REQUEST, asked.user_kind, 900, code)]


def test_calls_are_answered_and_limited() -> None:
    session, _ = online_service()
    tell(session, call("Look", arguments=b"\x04\x00"))
    assert said(session) == []  # no answer at all, as the reference
    tell(session, call("Look"), call("Look"))
    assert said(session) == [ServiceCallRefused(REQUEST, UserKind.PRIVATE, 900, 116)]
    (arrived,) = heard(session)
    assert isinstance(arrived, CallArrived)
    assert arrived.actor.name == "Eve"
    session.answer(arrived, b"\x30\x00", 2.0)
    assert said(session) == [ServiceCallResult(REQUEST, UserKind.PRIVATE, 900, b"\x30\x00")]
    tell(session, call("Look"))
    (arrived,) = heard(session)
    assert isinstance(arrived, CallArrived)
    session.answer_error(arrived, 77, None, 2.0)
    assert said(session) == [ServiceCallFailed(REQUEST, UserKind.PRIVATE, 900, 77)]
