"""Each fault is refused with its place; the three sources override one another in order."""

from __future__ import annotations

import pytest

from gateway.settings import loader, render, schema
from gateway.settings.loader import SettingsError


def write(folder, text):
    path = folder / "gateway.toml"
    path.write_text(text)
    return path


def test_defaults():
    loaded = loader.load()
    assert loaded.settings == schema.GatewaySettings()
    assert loaded.origins == {}


def test_order_of_sources(tmp_path):
    file = write(tmp_path, '[mqtt]\nhost = "file"\nport = 1\nuser = "u"\n')
    environment = {
        "SOFTNET_GATEWAY_MQTT_HOST": "env",
        "SOFTNET_GATEWAY_MQTT_PORT": "2",
        "HOME": "/",
    }
    loaded = loader.load(file, environment, ["mqtt.port=3"])
    mqtt = loaded.settings.mqtt
    assert (mqtt.user, mqtt.host, mqtt.port) == ("u", "env", 3)
    assert loaded.origins == {
        "mqtt.user": f"{file}, line 4",
        "mqtt.host": "environment variable SOFTNET_GATEWAY_MQTT_HOST",
        "mqtt.port": "--set mqtt.port",
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("\n[mqqt]\n", "line 2: there is no section named mqqt; did you mean mqtt?"),
        (
            "[mqtt]\n# x\nprot = 1\n",
            r"line 3: there is no key in \[mqtt\] named prot; did you mean",
        ),
        ("[mqtt]\nport = 70000\n", "line 2: port must be at most 65535."),
        ('[mqtt]\n\n\nport = "1"\n', "line 4: port must be a whole number."),
        ('[log]\nlevel = "loud"\n', "line 2: level must be one of: debug, info"),
        ("mqtt = 3\n", r"line 1: mqtt must be a section, \[mqtt\]."),
        ("mqtt.port = 0\n", "line 1: port must be at least 1."),
        ("[mqtt]\nport = \n", "line 2, column 8: Invalid value."),
        ("[mqtt]\nport = 1\nport = 2\n", "line 3, column 9: Cannot overwrite a value."),
        ('[mqtt]\nhost = "a', "Unterminated string. The file ends too early."),
    ],
)
def test_faults_in_the_file(tmp_path, text, sentence):
    with pytest.raises(SettingsError, match=r"gateway.toml[,:] .*" + sentence):
        loader.load(write(tmp_path, text))


def test_text_that_is_not_utf8(tmp_path):
    path = tmp_path / "gateway.toml"
    path.write_bytes(b'[mqtt]\nhost = "\xff"\n')
    with pytest.raises(SettingsError, match="line 2: the text is not UTF-8"):
        loader.load(path)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(SettingsError, match="No such file"):
        loader.load(tmp_path / "none.toml")
    with pytest.raises(SettingsError, match="Is a directory"):
        loader.load(tmp_path)
    with pytest.raises(SettingsError, match="too large"):
        loader.load(write(tmp_path, "#" * (loader.FILE_OCTETS_MAX + 1)))


@pytest.mark.parametrize(
    ("variable", "text", "sentence"),
    [
        ("MQTT_PROT", "1", r"SOFTNET_GATEWAY_MQTT_PROT: there is no key in \[mqtt\] named prot"),
        ("MQTTPORT", "1", "there is no section named mqttport"),
        ("MQTT_PORT", "x", "SOFTNET_GATEWAY_MQTT_PORT: port must be a whole number"),
        ("MQTT_PORT", "0", "environment variable SOFTNET_GATEWAY_MQTT_PORT: port must be at least"),
    ],
)
def test_faults_in_the_environment(variable, text, sentence):
    with pytest.raises(SettingsError, match=sentence):
        loader.load(environment={"SOFTNET_GATEWAY_" + variable: text})


def test_words_of_the_command_line_are_no_settings():
    loader.load(environment={"SOFTNET_GATEWAY_STATE": "/x", "SOFTNET_GATEWAY_TOKEN": "t"})


@pytest.mark.parametrize("override", ["mqtt.port", "port=1", "=", "mqtt.port=0", "a.b=c"])
def test_faults_on_the_command_line(override):
    with pytest.raises(SettingsError, match="^--set "):
        loader.load(overrides=[override])


def test_a_fault_never_repeats_a_secret():
    secret = "correct horse"
    with pytest.raises(SettingsError) as caught:
        loader.load(overrides=[f"mqtt.passwort={secret}"])
    assert secret not in str(caught.value)


def test_the_rendered_file_loads_as_all_defaults(tmp_path):
    loaded = loader.load(write(tmp_path, render.toml_file()))
    assert loaded.settings == schema.GatewaySettings()
    assert loaded.origins == {}


def test_the_rendered_file_loads_with_every_line_uncommented(tmp_path):
    lines = []
    keys = {entry.key for entry in schema.all_entries()}
    for line in render.toml_file().splitlines():
        bare = line.removeprefix("# ")
        lines.append(bare if bare.partition(" = ")[0] in keys and " = " in bare else line)
    loaded = loader.load(write(tmp_path, "\n".join(lines)))
    assert loaded.settings == schema.GatewaySettings()
    assert set(loaded.origins) == {entry.name for entry in schema.all_entries()}
