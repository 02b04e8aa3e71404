"""A setting is declared once: its default, bounds, unit and help in one place."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from gateway.base.errors import InvalidInput


@dataclasses.dataclass(frozen=True, slots=True)
class SettingFacts:
    """What is known of a setting beside its type."""

    minimum: float | None = None
    maximum: float | None = None
    unit: str = ""
    help: str = ""
    secret: bool = False
    choices: tuple[str, ...] = ()


def setting(
    default: Any,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    unit: str = "",
    help: str = "",  # noqa: A002  (the word people know)
    secret: bool = False,
    choices: Sequence[str] = (),
) -> Any:
    """Declare one field of a frozen settings dataclass.

    For texts and sequences the bounds are those of the length.
    """
    facts = SettingFacts(minimum, maximum, unit, help, secret, tuple(choices))
    if isinstance(default, list | dict | set):
        raise TypeError("a setting's default must be immutable")
    return dataclasses.field(default=default, metadata={"setting": facts})


def facts_of(settings: object) -> Iterator[tuple[dataclasses.Field[Any], SettingFacts]]:
    """Yield each declared setting of a settings dataclass (class or instance)."""
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]
        facts = field.metadata.get("setting")
        if facts is not None:
            yield field, facts


def check(settings: object) -> None:
    """Raise InvalidInput when a value of the settings dataclass is out of its bounds."""
    for field, facts in facts_of(settings):
        value = getattr(settings, field.name)
        if facts.choices and value not in facts.choices:
            allowed = ", ".join(facts.choices)
            raise InvalidInput(f"{field.name} must be one of: {allowed}.", field.name)
        measure = value if isinstance(value, int | float) else None
        noun = ""
        if isinstance(value, str | tuple):
            measure, noun = len(value), "the length of "
        if measure is None or isinstance(value, bool):
            continue
        unit = f" {facts.unit}" if facts.unit else ""
        if facts.minimum is not None and measure < facts.minimum:
            raise InvalidInput(
                f"{noun}{field.name} must be at least {facts.minimum:g}{unit}.", field.name
            )
        if facts.maximum is not None and measure > facts.maximum:
            raise InvalidInput(
                f"{noun}{field.name} must be at most {facts.maximum:g}{unit}.", field.name
            )
