"""What forms and JSON bodies may contain, whatever is sent."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict

from gateway.base.errors import InvalidInput
from gateway.base.secret import Secret
from gateway.web.fields import (
    ID_MAX,
    Field,
    flag,
    from_form,
    from_json,
    number,
    numbers,
    secret,
    text,
)

FIELDS: tuple[Field, ...] = (
    text("name", maximum=10),
    text("kind", required=False, choices=("single", "multi")),
    secret("password", required=False, maximum=8),
    number("count", required=False, maximum=300),
    flag("enabled", required=False, default=False),
    numbers("ids", required=False),
)
EMPTY = {"kind": "", "password": Secret(""), "count": None, "enabled": False, "ids": ()}


def test_json():
    body = {"name": "a", "password": "p", "count": 3, "enabled": True, "ids": [1, 2]}
    assert from_json(FIELDS, body) == {
        "name": "a", "kind": "", "password": Secret("p"), "count": 3, "enabled": True,
        "ids": (1, 2),
    }  # fmt: skip
    assert from_json(FIELDS, {"name": "a"}) == {"name": "a", **EMPTY}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], ""), ("x", ""), (None, ""),
        ({}, "name"), ({"name": None}, "name"), ({"name": 1}, "name"), ({"name": "  "}, "name"),
        ({"name": "x" * 11}, "name"), ({"name": "a\nb"}, "name"), ({"name": "a\x00"}, "name"),
        ({"name": "\ud800"}, "name"), ({"name": "a", "kind": "both"}, "kind"),
        ({"name": "a", "password": "x" * 9}, "password"), ({"name": "a", "count": -1}, "count"),
        ({"name": "a", "count": 301}, "count"), ({"name": "a", "count": True}, "count"),
        ({"name": "a", "count": 1.5}, "count"), ({"name": "a", "enabled": "yes"}, "enabled"),
        ({"name": "a", "ids": [0.5]}, "ids"), ({"name": "a", "ids": [1] * 101}, "ids"),
        ({"name": "a", "ids": {}}, "ids"), ({"name": "a", "extra": 1}, "extra"),
        ({"name": "a", "ids": [ID_MAX + 1]}, "ids"),
    ],
)  # fmt: skip
def test_json_that_is_refused(body: Any, field: str):
    with pytest.raises(InvalidInput) as refused:
        from_json(FIELDS, body)
    assert refused.value.field == field
    assert str(refused.value).endswith(".")


def test_forms():
    form = MultiDict(
        [("name", "a"), ("count", " 12 "), ("enabled", "on"), ("ids", "1"), ("ids", "7")]
    )
    assert from_form(FIELDS, form) == {
        **EMPTY, "name": "a", "count": 12, "enabled": True, "ids": (1, 7),
    }  # fmt: skip
    assert from_form(FIELDS, MultiDict(name="a", count="")) == {"name": "a", **EMPTY}


@pytest.mark.parametrize(
    "form",
    [{}, {"name": ""}, {"name": "a", "count": "x"}, {"name": "a", "count": "\u0663"},
     {"name": "a", "count": "9" * 30}, {"name": "a", "ids": "1.5"}, {"name": "a", "count": "-1"}],
)  # fmt: skip
def test_forms_that_are_refused(form):
    with pytest.raises(InvalidInput):
        from_form(FIELDS, MultiDict(form))


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
))  # fmt: skip
def test_nothing_else_is_raised_whatever_is_sent(body):
    for sent in (body, {"name": body, "count": body, "ids": body, "password": body}):
        try:
            found = from_json(FIELDS, sent)
        except InvalidInput:
            continue
        assert set(found) == {field.name for field in FIELDS}


def test_a_number_in_its_schema():
    assert number("x", maximum=5).schema() == {"type": "integer", "minimum": 0, "maximum": 5}
    assert secret("x", required=False).schema()["type"] == ["string", "null"]
    assert numbers("x").schema()["items"] == {"type": "integer", "minimum": 1}
    assert text("x", choices=("a",), required=False).schema()["enum"] == ["a", None]
