"""The rendered file and schema say what the dataclasses say; committed copies are up to date."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from gateway.settings import loader, render, schema

CONFIG = Path(__file__).resolve().parents[2] / "config"


@pytest.mark.parametrize(
    ("name", "rendered"),
    [("gateway.toml", render.toml_file), ("gateway.schema.json", render.json_schema)],
)
def test_the_committed_files_are_up_to_date(name, rendered):
    assert (CONFIG / name).read_text() == rendered(), "run: make render"


def test_the_file_holds_every_setting_once():
    text = render.toml_file()
    for entry in schema.all_entries():
        assert f"\n# {entry.key} = " in text.partition(f"\n[{entry.section}]\n")[2]
    assert max(map(len, text.splitlines())) <= 100


def test_the_schema_accepts_the_defaults_and_names_the_bounds():
    document = json.loads(render.json_schema())
    assert document["additionalProperties"] is False
    port = document["properties"]["mqtt"]["properties"]["port"]
    assert (port["type"], port["minimum"], port["maximum"], port["default"]) == (
        "integer", 1, 65535, 1883,
    )  # fmt: skip
    password = document["properties"]["mqtt"]["properties"]["password"]
    assert password["writeOnly"] is True
    assert "default" not in password
    level = document["properties"]["log"]["properties"]["level"]
    assert level["enum"] == ["debug", "info", "warning", "error"]


def test_what_is_in_force_masks_secrets_and_tells_origins(tmp_path):
    file = tmp_path / "gateway.toml"
    file.write_text('[mqtt]\nhost = "broker"\npassword = "correct horse"\n')
    loaded = loader.load(file)
    text = render.toml_in_force(loaded.settings, loaded.origins)
    assert "correct horse" not in text
    assert f'host = "broker"  # {file}, line 2\n' in text
    assert 'password = "***"' in text
    shown = tomllib.loads(text)
    assert set(shown) == set(schema.sections())
    assert shown["mqtt"]["port"] == 1883


@pytest.mark.parametrize(
    "value", [True, False, 0, -3, 1.5, "", 'a "b" \\ \n \t ä \x7f', ["a", "b"], [], [1, 2]]
)
def test_toml_values_read_back(value):
    assert tomllib.loads(f"x = {render.toml_value(value)}")["x"] == value
