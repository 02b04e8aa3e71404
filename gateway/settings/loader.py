"""From file, environment and command line to checked settings; every fault names its place."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from gateway.base.errors import InvalidInput
from gateway.base.setting import check
from gateway.settings.schema import (
    Entry,
    GatewaySettings,
    entries,
    from_text,
    from_toml,
    sections,
)

ENVIRONMENT_PREFIX = "SOFTNET_GATEWAY_"
# Words of the command line that share the prefix and are no settings.
ENVIRONMENT_RESERVED = frozenset({"STATE", "CONFIG", "TOKEN", "URL", "DEMO"})
FILE_OCTETS_MAX = 1 << 20
"""A settings file is written by people; a larger one is a mistake."""


class SettingsError(InvalidInput):
    """The settings cannot be used; the text names file and line, or the variable, and a remedy."""

    # What sysexits.h calls EX_CONFIG; the service's unit knows that trying again would not help.
    exit_code: ClassVar[int] = 78


@dataclass(frozen=True, slots=True)
class Loaded:
    """Checked settings, and where each value that is not a default came from."""

    settings: GatewaySettings
    origins: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Values:
    """Values by section and key, each with its place; later sources win."""

    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)

    def put(self, entry: Entry, value: Any, origin: str) -> None:
        self.values.setdefault(entry.section, {})[entry.key] = value
        self.origins[entry.name] = origin


def load(
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    overrides: Iterable[str] = (),
) -> Loaded:
    """Return the settings of `file`, over them `environment`, over them `section.key=value` texts.

    Raises SettingsError with a sentence that names the place of the first fault.
    """
    gathered = _Values()
    if file is not None:
        _read_file(file, gathered)
    for variable, text in sorted((environment or {}).items()):
        _read_variable(variable, text, gathered)
    for override in overrides:
        _read_override(override, gathered)
    built: dict[str, Any] = {}
    for section, cls in sections().items():
        built[section] = _build(section, cls, gathered)
    return Loaded(GatewaySettings(**built), dict(gathered.origins))


def _build(section: str, cls: type, gathered: _Values) -> Any:
    values = gathered.values.get(section, {})
    try:
        settings = cls(**values)
        check(settings)
    except InvalidInput as error:
        origin = gathered.origins.get(f"{section}.{error.field}", f"section [{section}]")
        raise SettingsError(f"{origin}: {_sentence(str(error))}", error.field) from None
    return settings


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else text + "."


# --- the file ---------------------------------------------------------------------------------


def _read_file(path: Path, gathered: _Values) -> None:
    try:
        octets = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}.") from None
    if len(octets) > FILE_OCTETS_MAX:
        raise SettingsError(f"{path} is too large to be a settings file.")
    try:
        text = octets.decode("utf-8")
        document = tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = octets[: error.start].count(b"\n") + 1
        raise SettingsError(f"{path}, line {line}: the text is not UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(_syntax_sentence(path, str(error))) from None
    lines = key_lines(text)
    for section, table in document.items():
        place = f"{path}, line {lines.get((section,), 1)}"
        if section not in sections():
            raise SettingsError(f"{place}: {_unknown('section', section, sections())}", section)
        if not isinstance(table, dict):
            raise SettingsError(f"{place}: {section} must be a section, [{section}].", section)
        for key, value in table.items():
            where = lines.get((section, key), lines.get((section,), 1))
            place = f"{path}, line {where}"
            known = entries(section)
            if key not in known:
                complaint = _unknown(f"key in [{section}]", key, known)
                raise SettingsError(f"{place}: {complaint}", key)
            try:
                gathered.put(known[key], from_toml(known[key], value), place)
            except InvalidInput as error:
                raise SettingsError(f"{place}: {error}", key) from None


def _syntax_sentence(path: Path, message: str) -> str:
    found = re.search(r"\(at line (\d+), column (\d+)\)|\(at end of document\)", message)
    cause = message[: found.start()].strip() if found else message
    if found and found[1]:
        return f"{path}, line {found[1]}, column {found[2]}: {_sentence(cause)}"
    return f"{path}: {_sentence(cause)} The file ends too early."


_HEADER = re.compile(r"^\s*\[\s*([^\[\]#]+?)\s*\]\s*(?:#.*)?$")
_KEY = re.compile(r"^\s*((?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*[A-Za-z0-9_\"'-]+)*)\s*=")


def key_lines(text: str) -> dict[tuple[str, ...], int]:
    """Return the line of each table and key of a TOML text, by path; the first one counts.

    tomllib tells no lines, so this looks for headers and keys. It is only used to say where
    something is, so a line in the middle of a long string may at worst be named wrongly.
    """
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.split("\n"), 1):
        if header := _HEADER.match(line):
            table = _path(header[1])
            found.setdefault(table, number)
        elif key := _KEY.match(line):
            path = (*table, *_path(key[1]))
            for length in range(len(table) + 1, len(path) + 1):
                found.setdefault(path[:length], number)
    return found


def _path(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _unknown(noun: str, word: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(word, names, n=1)
    advice = f"did you mean {near[0]}?" if near else f"there are: {', '.join(names)}."
    return f"there is no {noun} named {word}; {advice}"


# --- environment and command line -------------------------------------------------------------


def _read_variable(variable: str, text: str, gathered: _Values) -> None:
    if not variable.startswith(ENVIRONMENT_PREFIX):
        return
    rest = variable.removeprefix(ENVIRONMENT_PREFIX)
    if rest in ENVIRONMENT_RESERVED:
        return
    section, _, key = rest.lower().partition("_")
    _read_text(section, key, text, f"environment variable {variable}", gathered)


def _read_override(override: str, gathered: _Values) -> None:
    name, separator, text = override.partition("=")
    section, dot, key = name.strip().partition(".")
    # The value is not repeated: it may be a secret.
    origin = f"--set {name.strip()}"
    if not separator or not dot:
        raise SettingsError(f"{origin}: give it as section.key=value.")
    _read_text(section, key, text, origin, gathered)


def _read_text(section: str, key: str, text: str, origin: str, gathered: _Values) -> None:
    if section not in sections():
        raise SettingsError(f"{origin}: {_unknown('section', section, sections())}", section)
    known = entries(section)
    if key not in known:
        raise SettingsError(f"{origin}: {_unknown(f'key in [{section}]', key, known)}", key)
    try:
        gathered.put(known[key], from_text(known[key], text), origin)
    except InvalidInput as error:
        raise SettingsError(f"{origin}: {error}", key) from None
