"""What happens before the daemon's own work: settings, state folder, options."""

from __future__ import annotations

import os
import stat

import pytest

from gateway.base.errors import HostError
from gateway.cli import run
from gateway.cli.main import main


@pytest.fixture(autouse=True)
def keep_umask():
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


def test_the_state_folder_is_closed_to_others(tmp_path):
    folder = run.prepared_state(tmp_path / "a" / "b")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (folder / "key").touch()
    assert stat.S_IMODE((folder / "key").stat().st_mode) == 0o600
    assert run.prepared_state(folder) == folder


def test_a_state_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(HostError, match="cannot be made"):
        run.prepared_state(tmp_path / "file" / "state")


def test_where_the_state_is_by_default(monkeypatch):
    monkeypatch.delenv("SOFTNET_GATEWAY_STATE", raising=False)
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    assert str(run._default_state()) == "var"
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/a:/var/lib/b")
    assert str(run._default_state()) == "/var/lib/a"
    monkeypatch.setenv("SOFTNET_GATEWAY_STATE", "/srv/state")
    assert str(run._default_state()) == "/srv/state"


def test_settings_at_fault_stop_it_before_anything_else(tmp_path, capsys):
    state = tmp_path / "state"
    assert main(["run", "--state", str(state), "--set", "mqtt.port=0"]) == 78
    assert "--set mqtt.port: port must be at least 1." in capsys.readouterr().err
    assert not state.exists()


@pytest.mark.parametrize("count", ["-1", "65", "x"])
def test_demo_cameras_are_bounded(count):
    with pytest.raises(SystemExit) as ended:
        main(["run", "--demo", count])
    assert ended.value.code == 2
