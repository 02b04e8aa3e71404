"""What an operation takes, as data: read from a form or a JSON body, described in OpenAPI."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from multidict import MultiMapping

from gateway.base.errors import InvalidInput
from gateway.base.secret import Secret

NUMBERS_MAX = 100
"""Entries of a list of numbers; a site has at most 30 roles."""
ID_MAX = 2**63 - 1
"""The largest id that the registry can hold."""


class FieldKind(enum.Enum):
    """The types a field can have; the values are those of JSON schema."""

    TEXT = "string"
    SECRET = "secret"  # noqa: S105  (a kind, not a secret)
    NUMBER = "integer"
    FLAG = "boolean"
    NUMBERS = "array"


@dataclass(frozen=True, slots=True)
class Field:
    """One value of an operation; `maximum` is a length for texts, else the largest number.

    A field that is not required and not given has `default`.
    """

    name: str
    kind: FieldKind = FieldKind.TEXT
    required: bool = True
    maximum: int = 256
    default: Any = None
    choices: tuple[str, ...] = ()
    help: str = ""

    @property
    def label(self) -> str:
        """Return the field's name in a sentence."""
        return self.name.replace("_", " ")

    def schema(self) -> dict[str, Any]:
        """Return the field in JSON schema."""
        found: dict[str, Any] = {"type": self.kind.value}
        if self.kind in (FieldKind.TEXT, FieldKind.SECRET):
            found = {"type": "string", "maxLength": self.maximum}
            if self.kind is FieldKind.SECRET:
                found["format"] = "password"
            if self.choices:
                found["enum"] = list(self.choices)
        elif self.kind is FieldKind.NUMBER:
            found |= {"minimum": 0, "maximum": self.maximum}
        elif self.kind is FieldKind.NUMBERS:
            found |= {"items": {"type": "integer", "minimum": 1}, "maxItems": NUMBERS_MAX}
        if not self.required:
            found["type"] = [found["type"], "null"]
            if self.choices:
                found["enum"] = [*self.choices, None]
        if self.help:
            found["description"] = self.help
        return found


def text(name: str, *, required: bool = True, maximum: int = 256, **more: Any) -> Field:
    """Declare a text."""
    return Field(name, FieldKind.TEXT, required, maximum, default="", **more)


def secret(name: str, *, required: bool = True, maximum: int = 256, **more: Any) -> Field:
    """Declare a text that is never shown, logged or given back."""
    return Field(name, FieldKind.SECRET, required, maximum, default=Secret(""), **more)


def number(name: str, *, required: bool = True, maximum: int = ID_MAX, **more: Any) -> Field:
    """Declare a whole number from 0."""
    return Field(name, FieldKind.NUMBER, required, maximum, **more)


def flag(name: str, *, required: bool = True, **more: Any) -> Field:
    """Declare a yes or no."""
    return Field(name, FieldKind.FLAG, required, **more)


def numbers(name: str, *, required: bool = True, **more: Any) -> Field:
    """Declare a list of ids."""
    return Field(name, FieldKind.NUMBERS, required, default=(), **more)


def from_json(fields: tuple[Field, ...], body: object) -> dict[str, Any]:
    """Return the values of a JSON body. Raises InvalidInput naming the field."""
    if not isinstance(body, Mapping):
        raise InvalidInput("The body must be a JSON object.")
    unknown = set(body) - {field.name for field in fields}
    if unknown:
        name = min(unknown, key=str)[:64]
        raise InvalidInput(f"There is no field {name!r} here. Remove it.", name)
    return {field.name: _json_value(field, body.get(field.name)) for field in fields}


def from_form(fields: tuple[Field, ...], form: MultiMapping[Any]) -> dict[str, Any]:
    """Return the values of a submitted form. Raises InvalidInput naming the field."""
    return {field.name: _form_value(field, form) for field in fields}


def _json_value(field: Field, value: Any) -> Any:
    if value is None:
        if field.required:
            raise InvalidInput(f"The field {field.name!r} is missing.", field.name)
        return field.default
    kind = field.kind
    if kind in (FieldKind.TEXT, FieldKind.SECRET):
        if not isinstance(value, str):
            raise InvalidInput(f"The {field.label} must be a text.", field.name)
        return _text_value(field, value)
    if kind is FieldKind.FLAG:
        if not isinstance(value, bool):
            raise InvalidInput(f"The {field.label} must be true or false.", field.name)
        return value
    if kind is FieldKind.NUMBER:
        return _number_value(field, value)
    if not isinstance(value, list) or len(value) > NUMBERS_MAX:
        raise InvalidInput(
            f"The {field.label} must be a list of at most {NUMBERS_MAX} numbers.", field.name
        )
    return tuple(_number_value(field, item) for item in value)


def _form_value(field: Field, form: MultiMapping[Any]) -> Any:
    if field.kind is FieldKind.NUMBERS:
        given = form.getall(field.name, [])
        if len(given) > NUMBERS_MAX:
            raise InvalidInput(f"There are too many {field.label}.", field.name)
        return tuple(_typed_number(field, item) for item in given)
    value = form.get(field.name)
    if field.kind is FieldKind.FLAG:
        return value in ("1", "on", "true", "yes")
    if not isinstance(value, str) or (not value and field.kind is FieldKind.NUMBER):
        if field.required:
            raise InvalidInput(f"Fill in the {field.label}.", field.name)
        return field.default
    if field.kind is FieldKind.NUMBER:
        return _typed_number(field, value)
    return _text_value(field, value)


def _typed_number(field: Field, value: object) -> int:
    typed = value.strip() if isinstance(value, str) else ""
    if not (typed.isascii() and typed.isdigit() and len(typed) < 20):
        raise InvalidInput(f"The {field.label} must be a whole number.", field.name)
    return _number_value(field, int(typed))


def _number_value(field: Field, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= field.maximum:
        bound = f" up to {field.maximum}" if field.maximum < ID_MAX else ""
        raise InvalidInput(f"The {field.label} must be a whole number{bound}.", field.name)
    return value


def _text_value(field: Field, value: str) -> str | Secret:
    if len(value) > field.maximum:
        raise InvalidInput(
            f"The {field.label} can have at most {field.maximum} characters.", field.name
        )
    if field.required and not value.strip():
        raise InvalidInput(f"Fill in the {field.label}.", field.name)
    if not value.isprintable() and any(ord(each) < 0x20 or ord(each) == 0x7F for each in value):
        raise InvalidInput(
            f"The {field.label} must not contain line breaks or control characters.", field.name
        )
    if any(0xD800 <= ord(each) <= 0xDFFF for each in value):
        raise InvalidInput(f"The {field.label} contains half a character.", field.name)
    if field.choices and value not in field.choices and (value or field.required):
        raise InvalidInput(
            f"The {field.label} must be one of: {', '.join(field.choices)}.", field.name
        )
    return Secret(value) if field.kind is FieldKind.SECRET else value
