"""Settings as a commented file, as a JSON schema, and as a view of what is in force."""

from __future__ import annotations

import enum
import json
import textwrap
from collections.abc import Mapping
from typing import Any

from gateway.base.secret import Secret
from gateway.settings.schema import Entry, GatewaySettings, entries, sections, to_plain

WIDTH = 96

_HEAD = """\
# Settings of the Softnet Camera Gateway.
#
# Every setting stands here with its default, commented out: remove the # of what you change.
# Each can also be given in the environment, as SOFTNET_GATEWAY_<SECTION>_<KEY>, or on the command
# line, as --set section.key=value; the command line wins. `softnet-gateway config check` looks a
# file over, `softnet-gateway config show` tells what is in force.
#
# This file is rendered from the program: make render.
"""


def toml_file() -> str:
    """Return the file `config/gateway.toml`: all defaults as comments, with their help."""
    parts = [_HEAD]
    for section, cls in sections().items():
        parts.append(f"\n# {_title(cls)}\n[{section}]\n")
        for entry in entries(section).values():
            parts.append("\n" + _comment(_explained(entry)))
            parts.append(f"# {entry.key} = {toml_value(to_plain(entry.default))}\n")
    return "".join(parts)


def toml_in_force(settings: GatewaySettings, origins: Mapping[str, str]) -> str:
    """Return the settings in force as TOML; secrets masked, changed values with their origin."""
    parts = []
    for section in sections():
        parts.append(f"[{section}]\n")
        room = getattr(settings, section)
        for entry in entries(section).values():
            value = toml_value(to_plain(getattr(room, entry.key)))
            origin = origins.get(entry.name)
            parts.append(f"{entry.key} = {value}{f'  # {origin}' if origin else ''}\n")
        parts.append("\n")
    return "".join(parts).rstrip("\n") + "\n"


def toml_value(value: Any) -> str:
    """Return a plain value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if value is None:
        return '""'
    return repr(value)


def json_schema() -> str:
    """Return the file `config/gateway.schema.json` for editors and for the page."""
    properties = {}
    for section, cls in sections().items():
        properties[section] = {
            "type": "object",
            "description": _title(cls),
            "additionalProperties": False,
            "properties": {key: _property(entry) for key, entry in entries(section).items()},
        }
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Softnet Camera Gateway",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _property(entry: Entry) -> dict[str, Any]:
    facts, shape = entry.facts, entry.shape
    names: dict[type, str] = {bool: "boolean", int: "integer", float: "number"}
    described: dict[str, Any] = {"type": names.get(shape.kind, "string")}
    if issubclass(shape.kind, enum.Enum):
        described["enum"] = [member.value for member in shape.kind]
    if shape.is_list:
        described = {"type": "array", "items": described}
    lowest, highest = "minimum", "maximum"
    if shape.is_list:
        lowest, highest = "minItems", "maxItems"
    elif described["type"] == "string":
        lowest, highest = "minLength", "maxLength"
    for word, bound in ((lowest, facts.minimum), (highest, facts.maximum)):
        if bound is not None:
            described[word] = int(bound) if float(bound).is_integer() else bound
    if facts.choices:
        described["enum"] = list(facts.choices)
    if shape.kind is Secret:
        described["writeOnly"] = True
    else:
        described["default"] = to_plain(entry.default)
    described["description"] = _explained(entry)
    return described


def _title(cls: type) -> str:
    return (cls.__doc__ or "").strip().splitlines()[0]


def _explained(entry: Entry) -> str:
    """Return help, bounds and unit of a setting in a line or two."""
    facts = entry.facts
    words = facts.help.strip()
    words = words[:1].upper() + words[1:]
    if words and not words.endswith((".", "?", "!")):
        words += "."
    unit = {"s": " seconds"}.get(facts.unit, f" {facts.unit}" if facts.unit else "")
    measure = "" if entry.shape.kind in (int, float) and not entry.shape.is_list else "length "
    low, high = (None if b is None else f"{b:.15g}" for b in (facts.minimum, facts.maximum))
    if facts.choices:
        words += f" One of: {', '.join(facts.choices)}."
    elif low is not None and high is not None:
        words += f" ({measure}{low} to {high}{unit})"
    elif low is not None or high is not None:
        words += f" ({measure}at {'least' if high is None else 'most'} {low or high}{unit})"
    elif unit:
        words += f" ({unit.strip()})"
    return words.strip()


def _comment(text: str) -> str:
    return "".join(f"# {line}\n" for line in textwrap.wrap(text, WIDTH)) if text else ""
