"""What a setting may be, and how texts and TOML values become it."""

from __future__ import annotations

import enum

import pytest

from gateway.base.errors import InvalidInput
from gateway.base.secret import Secret
from gateway.base.setting import SettingFacts, check
from gateway.settings import schema
from gateway.settings.schema import Entry, Shape


class Colour(enum.Enum):
    RED = "red"


def entry(kind, **shape):
    return Entry("lamp", "key", Shape(kind, **shape), None, SettingFacts())


@pytest.mark.parametrize(
    ("hint", "shape"),
    [
        (int, Shape(int)),
        (str | None, Shape(str, is_optional=True)),
        (tuple[str, ...], Shape(str, is_list=True)),
        (Secret, Shape(Secret)),
        (Colour, Shape(Colour)),
    ],
)
def test_shapes(hint, shape):
    assert schema.shape_of(hint) == shape


@pytest.mark.parametrize("hint", [list[str], dict[str, int], int | str, tuple[int, str], bytes])
def test_shapes_not_offered(hint):
    with pytest.raises(TypeError):
        schema.shape_of(hint)


@pytest.mark.parametrize(
    ("kind", "given", "meant"),
    [
        (int, 5, 5),
        (float, 5, 5.0),
        (bool, True, True),
        (str, "a", "a"),
        (Colour, "red", Colour.RED),
    ],
)
def test_toml_values(kind, given, meant):
    value = schema.from_toml(entry(kind), given)
    assert value == meant
    assert type(value) is type(meant)


@pytest.mark.parametrize(
    ("kind", "given"),
    [(int, True), (int, "5"), (int, 5.0), (float, "x"), (float, False), (bool, 1), (str, 1),
     (Colour, "blue"), (Secret, 4), (int, [1])],
)  # fmt: skip
def test_toml_values_of_the_wrong_type(kind, given):
    with pytest.raises(InvalidInput, match=r"^key must be .*\.$"):
        schema.from_toml(entry(kind), given)


def test_lists():
    listed = entry(str, is_list=True)
    assert schema.from_toml(listed, ["a", "b"]) == ("a", "b")
    assert schema.from_text(listed, "a, b,") == ("a", "b")
    assert schema.from_text(listed, "") == ()
    assert schema.from_text(entry(int, is_list=True), "1,2") == (1, 2)
    with pytest.raises(InvalidInput, match="a list of texts"):
        schema.from_toml(listed, "a")
    with pytest.raises(InvalidInput, match="a list of whole numbers"):
        schema.from_text(entry(int, is_list=True), "1,x")


@pytest.mark.parametrize(
    ("kind", "text", "meant"),
    [
        (int, " 7 ", 7),
        (float, "1.5", 1.5),
        (bool, "Yes", True),
        (bool, "0", False),
        (str, "7", "7"),
    ],
)
def test_texts(kind, text, meant):
    assert schema.from_text(entry(kind), text) == meant


@pytest.mark.parametrize(("kind", "text"), [(int, "x"), (bool, "maybe"), (float, "")])
def test_texts_of_the_wrong_type(kind, text):
    with pytest.raises(InvalidInput, match="key must be"):
        schema.from_text(entry(kind), text)


def test_secrets_are_masked():
    assert schema.to_plain(Secret("plain")) == "***"
    assert schema.to_plain(Secret("")) == ""
    assert schema.to_plain(Secret("plain"), mask=False) == "plain"


def test_every_declared_setting_is_in_order():
    """Each default passes its own bounds, has a help text, and its type is one we offer."""
    for cls in schema.sections().values():
        check(cls())
    assert not [item.name for item in schema.all_entries() if not item.facts.help]
    keys = {item.name for item in schema.all_entries()}
    assert len(keys) == len(list(schema.all_entries()))


def test_section_names_have_no_underscore():
    """The environment separates section and key by the first one."""
    assert not [name for name in schema.sections() if "_" in name]
