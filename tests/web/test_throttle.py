"""Guessing: five wrong answers bring a hold that grows and ends."""

from __future__ import annotations

from gateway.base.errors import Denied
from gateway.web.throttle import (
    FIRST_HOLD,
    HOLD_MAX,
    KEYS_MAX,
    WINDOW,
    WRONG_MAX,
    Throttle,
)


class Hands:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def _held(throttle: Throttle, key: str) -> bool:
    try:
        throttle.admit(key)
    except Denied as refused:
        return refused.code == "throttled" and "Try again in" in str(refused)
    return False


def test_holds_grow_and_end():
    hands = Hands()
    throttle = Throttle(hands)
    for _ in range(WRONG_MAX - 1):
        throttle.wrong("a")
    assert not _held(throttle, "a")
    throttle.wrong("a")
    assert _held(throttle, "a")
    assert not _held(throttle, "b")
    hold = FIRST_HOLD
    for _ in range(8):
        hands.now += min(hold, HOLD_MAX) - 1
        assert _held(throttle, "a")
        hands.now += 1
        assert not _held(throttle, "a")
        throttle.wrong("a")  # one more is enough now
        hold *= 2
    hands.now += HOLD_MAX
    assert not _held(throttle, "a")


def test_slow_mistakes_do_not_add_up():
    hands = Hands()
    throttle = Throttle(hands)
    for _ in range(WRONG_MAX * 3):
        throttle.wrong("a")
        hands.now += WINDOW / (WRONG_MAX - 1)
        assert not _held(throttle, "a")


def test_a_quiet_time_or_a_right_answer_forgets():
    hands = Hands()
    throttle = Throttle(hands)
    for _ in range(WRONG_MAX):
        throttle.wrong("a")
    hands.now += FIRST_HOLD + WINDOW + 1
    throttle.wrong("a")
    assert not _held(throttle, "a")
    for _ in range(WRONG_MAX - 1):
        throttle.wrong("a")
    assert _held(throttle, "a")
    throttle.right("a")
    assert not _held(throttle, "a")


def test_memory_is_bounded():
    throttle = Throttle(Hands())
    for number in range(KEYS_MAX + 500):
        throttle.wrong(str(number))
    assert len(throttle._records) == KEYS_MAX
