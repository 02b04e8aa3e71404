"""`softnet-gateway config`: where settings are read from, what is printed, what is refused."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from gateway.cli import config
from gateway.cli.main import main

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith("SOFTNET_GATEWAY_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(config, "SYSTEM_FILE", tmp_path / "system.toml")


def test_config_check(tmp_path, capsys):
    file = tmp_path / "gateway.toml"
    file.write_text('[mqtt]\nhost = "broker"\n')
    assert main(["config", "check", str(file)]) == 0
    assert "in order" in capsys.readouterr().out
    file.write_text("[mqtt]\nport = 0\n")
    assert main(["config", "check", str(file)]) == 78
    assert capsys.readouterr().err == (
        f"softnet-gateway: {file}, line 2: port must be at least 1.\n"
    )


def test_config_show_masks_secrets(tmp_path, capsys, monkeypatch):
    file = tmp_path / "gateway.toml"
    file.write_text('[mqtt]\npassword = "correct horse"\n')
    monkeypatch.setenv("SOFTNET_GATEWAY_CONFIG", str(file))
    assert main(["config", "show", "--set", "mqtt.port=8883"]) == 0
    shown = capsys.readouterr().out
    assert "correct horse" not in shown
    assert tomllib.loads(shown)["mqtt"]["port"] == 8883


def test_config_render(tmp_path, capsys):
    assert main(["config", "render", "--write", str(tmp_path / "new")]) == 0
    for name in ("gateway.toml", "gateway.schema.json"):
        assert (tmp_path / "new" / name).read_text() == (ROOT / "config" / name).read_text()
    assert main(["config", "render", "--schema"]) == 0
    assert capsys.readouterr().out == (ROOT / "config/gateway.schema.json").read_text()
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert main(["config", "render", "--write", str(blocked)]) == 1


def test_the_systems_file_is_read_where_none_is_named(capsys, tmp_path, monkeypatch):
    config.SYSTEM_FILE.write_text("[mqtt]\nport = 1000\n")
    named = tmp_path / "named.toml"
    named.write_text("[mqtt]\nport = 1001\n")

    def port(*arguments: str) -> int:
        assert main(["config", "show", *arguments]) == 0
        return tomllib.loads(capsys.readouterr().out)["mqtt"]["port"]

    assert port() == 1000
    monkeypatch.setenv("SOFTNET_GATEWAY_CONFIG", str(named))
    assert port() == 1001
    assert port("--config", str(config.SYSTEM_FILE)) == 1000
