"""Topics and payloads as the table in `telemetry.topics` says."""

from __future__ import annotations

import json

import pytest

from gateway.base.errors import InvalidInput
from gateway.telemetry.topics import CameraState, Topics

TOPICS = Topics("softnet-gw", "a1b2")
LOBBY = CameraState(
    camera_id="7",
    name="Lobby ä",
    online=False,
    since=1_700_000_000.4,
    reason="It refuses the password.",
    viewers=2,
    maker="Axis",
    model="M1065",
)


def test_names():
    assert TOPICS.status == "softnet-gw/a1b2/status"
    assert TOPICS.camera_state("7") == "softnet-gw/a1b2/camera/7/state"
    assert TOPICS.camera_availability("7") == "softnet-gw/a1b2/camera/7/availability"
    assert Topics("site/north", "x").status == "site/north/x/status"


def test_payload():
    assert json.loads(LOBBY.payload()) == {
        "online": False,
        "since": "2023-11-14T22:13:20Z",
        "reason": "It refuses the password.",
        "viewers": 2,
        "name": "Lobby ä",
        "maker": "Axis",
        "model": "M1065",
    }


def test_a_camera_and_its_removal_have_the_same_topics():
    told = TOPICS.of_camera(LOBBY)
    assert told["softnet-gw/a1b2/camera/7/availability"] == b"offline"
    assert TOPICS.of_camera_gone("7") == dict.fromkeys(told, b"")


def test_texts_of_a_camera_are_bounded():
    state = CameraState(camera_id="7", name="n" * 9999, online=True, since=0, reason="r" * 9999)
    assert len(state.payload()) < 1000


@pytest.mark.parametrize("word", ["", "a/b", "+", "#", "a b", "é", "x" * 65, "a\n"])
def test_ids_that_no_topic_can_hold(word):
    with pytest.raises(InvalidInput):
        TOPICS.camera_state(word)
    with pytest.raises(InvalidInput):
        Topics("p", word)


@pytest.mark.parametrize("prefix", ["", "/a", "a/", "a+", "#", "a\0"])
def test_prefixes_that_no_topic_can_begin_with(prefix):
    with pytest.raises(InvalidInput):
        Topics(prefix, "x")
