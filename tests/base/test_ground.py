"""Errors, secrets, entropy, notices and settings: what every room leans on."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest

from gateway.base.clock import SystemClock
from gateway.base.entropy import SystemEntropy
from gateway.base.errors import (
    Denied,
    GatewayError,
    HostError,
    InvalidInput,
    LocalError,
    RemoteError,
)
from gateway.base.notices import Notice, NoticeHub, Severity
from gateway.base.secret import Secret
from gateway.base.setting import check, facts_of, setting


def test_every_branch_belongs_to_the_family_and_to_no_other_branch() -> None:
    branches = (LocalError, RemoteError, HostError)
    for branch in branches:
        assert issubclass(branch, GatewayError)
        assert not any(issubclass(branch, other) for other in branches if other is not branch)
    assert InvalidInput("Too long.", "name").field == "name"
    assert Denied("Not yours.", "not-owner").code == "not-owner"


def test_a_secret_shows_itself_nowhere_but_in_reveal() -> None:
    secret = Secret("rxj6EprGR")
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r:>20}",
        str([secret]),
    ]
    assert not any("rxj6" in text for text in shown)
    assert secret.reveal() == "rxj6EprGR"
    assert secret == Secret("rxj6EprGR") != Secret("other")
    assert len(secret) == 9
    assert not Secret("")
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        copy.deepcopy(secret)


def test_entropy_has_the_size_asked_for_and_uses_the_whole_alphabet() -> None:
    entropy = SystemEntropy()
    assert len(entropy.octets(20)) == 20
    assert entropy.uid()[6] >> 4 == 4
    drawn = entropy.text("abcz", 400)
    assert set(drawn) == set("abcz")


def test_the_monotonic_clock_does_not_go_back() -> None:
    clock = SystemClock()
    first = clock.monotonic()
    assert clock.monotonic() >= first
    assert clock.wall() > 1_700_000_000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Opened(Notice):
    name: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Closed(Notice):
    name: str


def test_a_notice_reaches_subscribers_of_its_class_and_of_the_base_only() -> None:
    hub = NoticeHub()
    opened: list[str] = []
    everything: list[Notice] = []
    hub.subscribe(_Opened, lambda notice: opened.append(notice.name))
    end = hub.subscribe(Notice, everything.append)
    hub.post(_Opened(name="a"))
    hub.post(_Closed(name="b", severity=Severity.WARNING))
    end()
    hub.post(_Opened(name="c"))
    assert opened == ["a", "c"]
    assert [type(notice) for notice in everything] == [_Opened, _Closed]


def test_a_failing_subscriber_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    hub = NoticeHub()
    seen: list[str] = []

    def fails(_notice: _Opened) -> None:
        raise RuntimeError("broken subscriber")

    hub.subscribe(_Opened, fails)
    hub.subscribe(_Opened, lambda notice: seen.append(notice.name))
    hub.post(_Opened(name="a"))
    assert seen == ["a"]
    assert "a subscriber of _Opened failed" in caplog.text


@dataclasses.dataclass(frozen=True)
class _Settings:
    port: int = setting(7740, minimum=1, maximum=65535, help="Where the tracker listens.")
    name: str = setting("box", minimum=1, maximum=8)
    mode: str = setting("auto", choices=("auto", "relay"))
    quick: bool = setting(False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"port": 0}, "port must be at least 1"),
        ({"port": 70000}, "port must be at most 65535"),
        ({"name": ""}, "the length of name must be at least 1"),
        ({"name": "x" * 9}, "the length of name must be at most 8"),
        ({"mode": "fast"}, "mode must be one of: auto, relay"),
    ],
)
def test_a_setting_out_of_bounds_is_refused_by_name(change: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check(dataclasses.replace(_Settings(), **change))  # type: ignore[arg-type]
    assert words in str(caught.value)
    assert caught.value.field == next(iter(change))


def test_settings_in_their_bounds_pass_and_tell_their_facts() -> None:
    check(_Settings())
    assert {field.name for field, _ in facts_of(_Settings)} == {"port", "name", "mode", "quick"}
    with pytest.raises(TypeError):
        setting([])
