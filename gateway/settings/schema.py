"""The whole of the settings: which section belongs to which room, and how values are typed."""

from __future__ import annotations

import dataclasses
import enum
import functools
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.appliance.settings import ApplianceSettings
from gateway.base.errors import InvalidInput
from gateway.base.secret import Secret
from gateway.base.setting import SettingFacts, facts_of
from gateway.cameras.settings import CameraSettings
from gateway.discovery.settings import DiscoverySettings
from gateway.registry.settings import RegistrySettings
from gateway.relay.settings import RelaySettings
from gateway.telemetry.settings import LogSettings, MailSettings, MqttSettings
from gateway.tracker.settings import TrackerSettings
from gateway.web.settings import WebSettings


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """All settings; each section is one room's own dataclass and is handed to that room."""

    server: TrackerSettings = field(default_factory=TrackerSettings)
    relay: RelaySettings = field(default_factory=RelaySettings)
    web: WebSettings = field(default_factory=WebSettings)
    discovery: DiscoverySettings = field(default_factory=DiscoverySettings)
    cameras: CameraSettings = field(default_factory=CameraSettings)
    mqtt: MqttSettings = field(default_factory=MqttSettings)
    mail: MailSettings = field(default_factory=MailSettings)
    registry: RegistrySettings = field(default_factory=RegistrySettings)
    log: LogSettings = field(default_factory=LogSettings)
    appliance: ApplianceSettings = field(default_factory=ApplianceSettings)


@dataclass(frozen=True, slots=True)
class Shape:
    """The type of a setting: its word for people, and whether it is a list or may be absent."""

    kind: type  # bool, int, float, str, Secret or an enumeration
    is_list: bool = False
    is_optional: bool = False

    @property
    def words(self) -> str:
        """The type in a sentence."""
        names = {bool: "true or false", int: "a whole number", float: "a number"}
        one = names.get(self.kind, "a text")
        plural = {"a whole number": "whole numbers", "a number": "numbers", "a text": "texts"}
        return f"a list of {plural.get(one, one)}" if self.is_list else one


@dataclass(frozen=True, slots=True)
class Entry:
    """One setting: where it stands and all that is known of it."""

    section: str
    key: str
    shape: Shape
    default: Any
    facts: SettingFacts

    @property
    def name(self) -> str:
        """`section.key`, as on the command line."""
        return f"{self.section}.{self.key}"


@functools.cache
def sections() -> Mapping[str, type]:
    """Return section name to settings class, in the order of the file."""
    hints = typing.get_type_hints(GatewaySettings)
    return types.MappingProxyType(
        {f.name: hints[f.name] for f in dataclasses.fields(GatewaySettings)}
    )


@functools.cache
def entries(section: str) -> Mapping[str, Entry]:
    """Return key to entry for one section, in the order of its class."""
    cls = sections()[section]
    hints = typing.get_type_hints(cls)
    found = {
        item.name: Entry(section, item.name, shape_of(hints[item.name]), item.default, facts)
        for item, facts in facts_of(cls)
    }
    return types.MappingProxyType(found)


def all_entries() -> Iterator[Entry]:
    """Yield every setting of every section in the order of the file."""
    for section in sections():
        yield from entries(section).values()


def shape_of(hint: Any) -> Shape:
    """Return the shape that an annotation stands for. Raises TypeError for one we do not offer."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        inner = [argument for argument in arguments if argument is not type(None)]
        if len(inner) == 1 and len(inner) < len(arguments):
            return dataclasses.replace(shape_of(inner[0]), is_optional=True)
    elif origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis and arguments[0] in (str, int, float):
            return Shape(arguments[0], is_list=True)
    elif hint in (bool, int, float, str, Secret) or (
        isinstance(hint, type) and issubclass(hint, enum.Enum)
    ):
        return Shape(hint)
    raise TypeError(f"a setting cannot be of type {hint!r}")


def from_toml(entry: Entry, value: Any) -> Any:
    """Return a TOML value as the setting's own type. Raises InvalidInput in a sentence."""
    shape = entry.shape
    if shape.is_list:
        if not isinstance(value, list):
            raise InvalidInput(f"{entry.key} must be {shape.words}.", entry.key)
        return tuple(_one(entry, item) for item in value)
    return _one(entry, value)


def from_text(entry: Entry, text: str) -> Any:
    """Return a text from the environment or the command line as the setting's own type.

    Lists are separated by commas; true is any of true, yes, on, 1. Raises InvalidInput.
    """
    if entry.shape.is_list:
        parts = [part.strip() for part in text.split(",")]
        return tuple(_parsed(entry, part) for part in parts if part)
    return _parsed(entry, text.strip())


def _parsed(entry: Entry, text: str) -> Any:
    kind = entry.shape.kind
    try:
        if kind is bool:
            words = {"true": True, "yes": True, "on": True, "1": True}
            words |= {"false": False, "no": False, "off": False, "0": False}
            return words[text.lower()]
        if kind in (int, float):
            return kind(text)
    except (KeyError, ValueError):
        raise InvalidInput(f"{entry.key} must be {entry.shape.words}.", entry.key) from None
    return _one(entry, text)


def _one(entry: Entry, value: Any) -> Any:
    kind = entry.shape.kind
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    if issubclass(kind, enum.Enum):
        try:
            return kind(value)
        except ValueError:
            allowed = ", ".join(str(member.value) for member in kind)
            raise InvalidInput(f"{entry.key} must be one of: {allowed}.", entry.key) from None
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    raise InvalidInput(f"{entry.key} must be {entry.shape.words}.", entry.key)


def to_plain(value: Any, *, mask: bool = True) -> Any:
    """Return a setting's value as what TOML and JSON know; secrets masked unless told."""
    if isinstance(value, Secret):
        return ("***" if value else "") if mask else value.reveal()
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, tuple):
        return [to_plain(item, mask=mask) for item in value]
    return value
