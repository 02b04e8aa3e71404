"""The schedule of pings of 01 section 11.3, second by second."""

from __future__ import annotations

import itertools

from gateway.protocol.liveness import Beat, PingMonitor


def run(monitor: PingMonitor, until: float, *, answers: bool = True) -> list[tuple[float, Beat]]:
    """Tick at every deadline; a ping is answered at once where `answers` says so."""
    beats: list[tuple[float, Beat]] = []
    while (due := monitor.deadline) is not None and due <= until:
        for beat in monitor.check(due):
            beats.append((due, beat))
            if beat is Beat.PING and answers:
                monitor.received(due)
    return beats


def test_pings_at_the_default_period() -> None:
    monitor = PingMonitor()
    monitor.received(0.0)
    monitor.installed(0.0)
    beats = run(monitor, 1300.0)
    assert [beat for _, beat in beats] == [Beat.PING] * len(beats)
    assert beats[0][0] == 300.0
    assert all(b[0] - a[0] <= 360.0 for a, b in itertools.pairwise(beats))


def test_a_silent_tracker_is_lost_after_the_wait() -> None:
    for application, first, wait in ((0, 300.0, 60.0), (100, 100.0, 60.0), (15, 15.0, 15.0)):
        monitor = PingMonitor(application)
        monitor.received(0.0)
        monitor.installed(0.0)
        beats = run(monitor, 1000.0, answers=False)
        assert beats == [(first, Beat.PING), (first + wait, Beat.LOST)]


def test_any_frame_counts_as_an_answer_and_postpones_the_ping() -> None:
    monitor = PingMonitor(20)
    monitor.received(0.0)
    monitor.installed(0.0)
    monitor.received(12.0)
    assert monitor.check(20.0) == []
    assert monitor.deadline == 32.0
    assert monitor.check(32.0) == [Beat.PING]


def test_management_has_the_last_word_until_it_takes_it_back() -> None:
    monitor = PingMonitor(20)
    monitor.set_management_period(60, 0.0)
    assert monitor.period == 60.0
    for ignored in (9, 301, -1):
        monitor.set_management_period(ignored, 0.0)
        assert monitor.period == 60.0
    monitor.set_management_period(0, 0.0)
    assert monitor.period == 20.0


def test_a_change_while_installed_is_taken_up_at_once() -> None:
    monitor = PingMonitor()
    monitor.received(0.0)
    monitor.installed(0.0)
    monitor.set_management_period(12, 14.5)
    assert monitor.deadline == 14.5
    assert monitor.check(14.5) == [Beat.PING]


def test_own_silence_is_broken_although_the_tracker_talks() -> None:
    monitor = PingMonitor()
    monitor.received(0.0)
    monitor.sent(0.0)
    monitor.installed(0.0)
    beats: list[tuple[float, Beat]] = []
    now = 0.0
    while now < 700.0:
        now += 100.0
        monitor.received(now)
        while monitor.deadline is not None and monitor.deadline <= now:
            beats += [(now, beat) for beat in monitor.check(now)]
    kinds = {beat for _, beat in beats}
    assert kinds <= {Beat.KEEP_ALIVE, Beat.PING}
    assert beats
    last = 0.0
    for at, _ in beats:
        assert at - last <= 400.0  # the tracker gives up after 395 to 455
        last = at
    assert Beat.LOST not in kinds


def test_nothing_is_due_before_the_installation() -> None:
    monitor = PingMonitor()
    assert monitor.deadline is None
    assert monitor.check(1000.0) == []
