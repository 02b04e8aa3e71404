"""Questions and answers of the balancer, and what is neither."""

from __future__ import annotations

import ipaddress
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.base.errors import RemoteError
from gateway.model.kinds import ClientCategory
from gateway.wire.balancer import BalancerAnswer, BalancerRequest

UIDS = st.binary(min_size=16, max_size=16)
NAMES = st.none() | st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=64
)
KEYS = st.text("ABCxyz0189", min_size=4, max_size=32)
QUESTIONS = st.builds(BalancerRequest, NAMES, service_uid=UIDS) | st.builds(
    BalancerRequest, NAMES, category=st.sampled_from(ClientCategory), key=KEYS
)
ANSWERS = st.builds(BalancerAnswer, address=st.ip_addresses()) | st.builds(
    BalancerAnswer, error_code=st.integers(1, 65535)
)


@given(QUESTIONS)
def test_every_question_survives_the_wire(question: BalancerRequest) -> None:
    octets = question.encode()
    assert BalancerRequest.decode(octets) == question
    assert BalancerRequest.decode(octets).encode() == octets


@given(QUESTIONS, ANSWERS)
def test_every_answer_survives_the_wire_and_fits_its_question_only(
    question: BalancerRequest, answer: BalancerAnswer
) -> None:
    asked = question.encode()
    octets = answer.encode(asked)
    family = 6 if isinstance(answer.address, ipaddress.IPv6Address) else 4
    assert BalancerAnswer.decode(octets, asked, family) == answer
    other = BalancerRequest("other.example", b"o" * 16).encode()
    with pytest.raises(RemoteError):
        BalancerAnswer.decode(octets, other, family)
    if answer.address is not None:
        with pytest.raises(RemoteError):
            BalancerAnswer.decode(octets, asked, 10 - family)


def test_any_wrong_octet_of_an_answer_is_seen() -> None:
    asked = BalancerRequest(None, b"u" * 16).encode()
    for answer in (
        BalancerAnswer(ipaddress.ip_address("192.0.2.7")),
        BalancerAnswer(ipaddress.ip_address("2001:db8::7")),
        BalancerAnswer(error_code=95),
    ):
        octets = answer.encode(asked)
        for at in range(len(octets)):
            for bit in range(8):
                broken = bytearray(octets)
                broken[at] ^= 1 << bit
                with pytest.raises(RemoteError):
                    BalancerAnswer.decode(bytes(broken), asked, 4 if len(octets) == 10 else 6)


def test_garbage_ends_in_a_remote_error_only() -> None:
    dice = random.Random(7737)
    good = BalancerRequest("softnet.example", b"u" * 16).encode()
    refused = 0
    for _ in range(6000):
        if dice.random() < 0.5:
            octets = bytearray(good)
            octets[dice.randrange(len(octets))] = dice.randrange(256)
        else:
            octets = bytearray(dice.randbytes(dice.randrange(60)))
        for decode in (
            BalancerRequest.decode,
            lambda data: BalancerAnswer.decode(data, good, 4),
        ):
            try:
                decode(bytes(octets))
            except RemoteError:
                refused += 1
    assert refused > 6000
