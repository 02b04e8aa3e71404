"""The waiting times of 01 section 5.3."""

from __future__ import annotations

import pytest

from gateway.protocol.backoff import Asked, BackOff, BackOffTable
from gateway.wire.codes import ErrorCode


def _back_off(*, service: bool = True) -> BackOff:
    return BackOff(BackOffTable(), service=service)


def test_a_reaching_the_balancer() -> None:
    back_off = _back_off()
    back_off.procedure_started()
    assert [back_off.unreachable() for _ in range(8)] == [2, 5, 10, 20, 30, 60, 60, 60]
    assert back_off.unknown_name() == 600
    back_off.procedure_started()
    assert back_off.unreachable() == 2


def test_a_old_addresses_are_asked_for_again_after_five_failures() -> None:
    back_off = _back_off()
    back_off.procedure_started()
    assert back_off.resolve_again(600)
    assert not back_off.resolve_again(599)
    for _ in range(5):
        back_off.unreachable()
    assert not back_off.resolve_again(10_000)
    back_off.unreachable()
    assert back_off.resolve_again(600)
    assert not back_off.resolve_again(599)


@pytest.mark.parametrize(
    "code",
    [
        ErrorCode.CONFIG_ERROR,
        ErrorCode.INVALID_SERVER_ENDPOINT,
        ErrorCode.TIMEOUT_EXPIRED,
        ErrorCode.UNEXPECTED_ERROR,
    ],
)
def test_b_an_answer_that_haste_would_not_change(code: ErrorCode) -> None:
    back_off = _back_off()
    back_off.procedure_started()
    assert back_off.after(code, Asked.BALANCER) == 60


def test_c_the_tracker_is_lost() -> None:
    back_off = _back_off()
    waits = []
    for _ in range(9):
        back_off.procedure_started()
        waits.append(back_off.after(ErrorCode.NETWORK_ERROR, Asked.TRACKER))
    assert waits == [1, 2, 5, 10, 20, 40, 60, 60, 60]
    back_off.installed()
    assert back_off.after(ErrorCode.RESTART, Asked.TRACKER) == 1
    back_off.procedure_started()
    assert back_off.after(ErrorCode.RESTART, Asked.TRACKER) == 1
    back_off.procedure_started()
    assert back_off.after(ErrorCode.RESTART, Asked.TRACKER) == 2
    back_off.restarted()
    assert back_off.after(ErrorCode.RESTART, Asked.TRACKER) == 1


@pytest.mark.parametrize(
    "code",
    [
        ErrorCode.ENDPOINT_DATA_FORMAT_ERROR,
        ErrorCode.DBMS_ERROR,
        ErrorCode.INPUT_DATA_FORMAT_ERROR,
        ErrorCode.UNEXPECTED_ERROR,
    ],
)
def test_d_other_errors_of_the_tracker(code: ErrorCode) -> None:
    for service in (True, False):
        assert _back_off(service=service).after(code, Asked.TRACKER) == 60


def test_e_no_second_attempt() -> None:
    service, client = _back_off(), _back_off(service=False)
    tracker, balancer = Asked.TRACKER, Asked.BALANCER
    assert service.after(ErrorCode.PASSWORD_NOT_MATCHED, tracker) is None
    assert client.after(ErrorCode.PASSWORD_NOT_MATCHED, tracker) is None
    # A service deleted while connected asks the balancer once more; a client never does.
    assert service.after(ErrorCode.SERVICE_NOT_REGISTERED, tracker) == 60
    assert service.after(ErrorCode.SERVICE_NOT_REGISTERED, balancer) is None
    assert client.after(ErrorCode.CLIENT_NOT_REGISTERED, tracker) is None
    assert client.after(ErrorCode.INVALID_CLIENT_CATEGORY, tracker) == 60
    assert client.after(ErrorCode.INVALID_CLIENT_CATEGORY, balancer) is None
    assert service.after(ErrorCode.CONSTRAINT_VIOLATION, tracker) is None
