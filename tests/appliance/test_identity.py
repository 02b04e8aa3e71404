"""The box's number is made once and survives."""

from __future__ import annotations

import stat

import pytest

from gateway.appliance import identity
from gateway.base.entropy import SystemEntropy
from gateway.base.errors import HostError
from gateway.telemetry.topics import Topics


def test_made_once_and_kept(tmp_path):
    number = identity.own_id(tmp_path, SystemEntropy())
    assert len(number) == identity.LENGTH
    assert set(number) <= set(identity.ALPHABET)
    assert identity.own_id(tmp_path, SystemEntropy()) == number
    assert [path.name for path in tmp_path.iterdir()] == [identity.FILE_NAME]
    assert stat.S_IMODE((tmp_path / identity.FILE_NAME).stat().st_mode) == 0o600


def test_two_boxes_differ(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    numbers = {identity.own_id(tmp_path / name, SystemEntropy()) for name in "ab"}
    assert len(numbers) == 2


def test_it_fits_into_topics(tmp_path):
    assert Topics("p", identity.own_id(tmp_path, SystemEntropy())).status


@pytest.mark.parametrize("text", ["", "a/b+#\n", "\xff", "x" * 33])
def test_a_file_that_holds_something_else(tmp_path, text):
    (tmp_path / identity.FILE_NAME).write_text(text)
    with pytest.raises(HostError, match=identity.FILE_NAME):
        identity.own_id(tmp_path, SystemEntropy())


def test_a_state_folder_that_is_not_there(tmp_path):
    with pytest.raises(HostError, match="cannot be made"):
        identity.own_id(tmp_path / "none", SystemEntropy())


def test_what_a_power_cut_left_is_overwritten(tmp_path):
    (tmp_path / "gateway.new").write_text("half")
    number = identity.own_id(tmp_path, SystemEntropy())
    assert identity.own_id(tmp_path, SystemEntropy()) == number
    assert not (tmp_path / "gateway.new").exists()
