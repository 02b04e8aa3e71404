"""What a legal name is, shown by examples and by search."""

from __future__ import annotations

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.base.errors import InvalidInput
from gateway.model import names

SET = "".join(chr(code) for code in range(32, 127) if chr(code) not in '",;<>?\\`{|}~')
LETTER_FIRST = [names.user_name, names.role_name, names.event_name, names.service_type,
                names.contract_author, names.client_description]  # fmt: skip
LENGTHS = [
    (names.user_name, 36), (names.hostname, 42), (names.role_name, 256), (names.event_name, 256),
    (names.service_type, 256), (names.contract_author, 256), (names.version, 64),
    (names.client_description, 256), (names.domain_name, 96), (names.site_description, 96),
    (names.full_name, 64), (names.account_name, 64), (names.contact_name, 64),
]  # fmt: skip
EVERY = [check for check, _ in LENGTHS]


def test_the_set_is_that_of_the_protocol():
    assert "".join(sorted(SET)) == "".join(sorted(names.NAME_SET))


@pytest.mark.parametrize(("check", "longest"), LENGTHS)
def test_the_longest_name_is_accepted_and_no_longer_one(check, longest):
    assert check("a" * longest) == "a" * longest
    with pytest.raises(InvalidInput, match=str(longest)):
        check("a" * (longest + 1))


@pytest.mark.parametrize("check", LETTER_FIRST)
@pytest.mark.parametrize("text", ["1a", "_a", "$a", "(a)"])
def test_a_letter_comes_first(check, text):
    with pytest.raises(InvalidInput, match="begin with a Latin letter"):
        check(text)


@pytest.mark.parametrize("text", ["1a", "_a", "$.*+#@%&=':^()[]-/!", "Front door 2"])
def test_a_hostname_begins_with_anything_of_the_set(text):
    assert names.hostname(text) == text


@pytest.mark.parametrize("check", [names.user_name, names.hostname, names.role_name])
@pytest.mark.parametrize("char", [*'",;<>?\\`{|}~äß字\t\n\x00', "\ud800"])
def test_other_characters_are_refused_by_name(check, char):
    with pytest.raises(InvalidInput, match="must not contain"):
        check(f"a{char}b")


@pytest.mark.parametrize("check", [names.user_name, names.hostname])
def test_two_blanks_in_a_row_are_refused(check):
    with pytest.raises(InvalidInput, match="two blanks"):
        check("a  b")


def test_blanks_around_a_hostname_are_removed_and_those_around_a_user_name_refused():
    assert names.hostname("  a b ") == "a b"
    for text in (" a b", "a b "):
        with pytest.raises(InvalidInput):
            names.user_name(text)


@pytest.mark.parametrize("check", [names.role_name, names.event_name, names.service_type])
def test_what_a_device_declares_is_not_trimmed_but_refused(check):
    for text in (" a", "a "):
        with pytest.raises(InvalidInput):
            check(text)


def test_a_version_may_be_empty_and_end_with_a_blank():
    assert names.version("") == ""
    assert names.version("1.0 ") == "1.0 "
    assert names.client_description("") == ""


@pytest.mark.parametrize("check", [names.domain_name, names.full_name, names.site_description])
@pytest.mark.parametrize("text", ["line\nbreak", "nul\x00here", "sep\u2028here", "half\ud800pair"])
def test_free_texts_have_no_controls(check, text):
    with pytest.raises(InvalidInput, match="control characters"):
        check(text)


def test_free_texts_take_any_script():
    assert names.domain_name(" Büro 東京 ") == "Büro 東京"
    assert names.site_description("   ") == ""
    with pytest.raises(InvalidInput, match="1 to 96"):
        names.domain_name("   ")


def test_an_account_name_is_not_trimmed():
    with pytest.raises(InvalidInput, match="blank"):
        names.account_name(" markus")


@pytest.mark.parametrize("text", ["a@b.c", "name.part+tag@mail.example.org"])
def test_mail_addresses(text):
    assert names.email(f" {text} ") == text


@pytest.mark.parametrize(
    "text", ["", "a", "a@b", "@b.c", "a@.c", "a@b.", "a b@c.d", "a@b@c.d", "a@b..c", "a" * 260]
)
def test_no_mail_addresses(text):
    with pytest.raises(InvalidInput, match=r"name@example\.org"):
        names.email(text)


def test_a_long_mail_address_is_refused_quickly():
    with pytest.raises(InvalidInput):
        names.email("a@" + "b." * 100_000)


def test_passwords_of_accounts():
    assert names.account_password("long enough", 8) == "long enough"
    for text in ("short", "x" * 65, " leading blank", "with\ncontrol"):
        with pytest.raises(InvalidInput):
            names.account_password(text, 8)


@pytest.mark.parametrize("seconds", [0, 10, 150, 300])
def test_ping_periods(seconds):
    assert names.ping_period(seconds) == seconds


@pytest.mark.parametrize("seconds", [-1, 1, 9, 301, 2**40])
def test_no_ping_periods(seconds):
    with pytest.raises(InvalidInput, match="10 to 300"):
        names.ping_period(seconds)


def test_the_text_of_a_uid():
    assert names.uid_text(bytes(range(16))) == "00010203-0405-0607-0809-0a0b0c0d0e0f"


def _is_for_people(error: InvalidInput) -> None:
    sentence = str(error)
    assert sentence[0].isupper()
    assert sentence[-1] in ".!"
    assert error.field


@given(st.text(max_size=300))
@example("a" * 300)
@example(" ")
def test_every_check_answers_or_refuses_with_a_sentence(text):
    for check in [*EVERY, names.email]:
        try:
            stored = check(text)
        except InvalidInput as error:
            _is_for_people(error)
        else:
            assert check(stored) == stored, "what is stored is legal itself"
            stored.encode("utf-8")


@given(st.text(alphabet=SET, min_size=1, max_size=36))
def test_user_names_are_exactly_those_of_the_rule(text):
    legal = text[0] in string.ascii_letters and text[-1] != " " and "  " not in text
    try:
        names.user_name(text)
    except InvalidInput:
        assert not legal
    else:
        assert legal
