"""The state folder's lock and its kept texts."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from gateway.appliance.state import kept_text, locked
from gateway.base.errors import HostError


def test_a_text_is_made_once_and_only_we_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "relay.secret"
    assert kept_text(path, lambda: "first") == "first"
    assert kept_text(path, lambda: "second") == "first"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [found.name for found in tmp_path.iterdir()] == ["relay.secret"]


def test_an_empty_file_is_made_anew_and_a_strange_one_is_told(tmp_path: Path) -> None:
    path = tmp_path / "id"
    path.write_text("")
    assert kept_text(path, lambda: "made") == "made"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(HostError, match="cannot be read"):
        kept_text(path, lambda: "other")
    with pytest.raises(HostError, match="cannot be written"):
        kept_text(tmp_path / "no" / "folder", lambda: "text")


def test_a_second_gateway_is_turned_away_until_the_first_is_gone(tmp_path: Path) -> None:
    held = locked(tmp_path)
    with pytest.raises(HostError, match="Another gateway uses the state"):
        locked(tmp_path)
    os.close(held)
    os.close(locked(tmp_path))
