"""The race of direct candidates: who writes where, and which one wins (02 section 7)."""

from __future__ import annotations

import ipaddress
import itertools
import random

import pytest

from gateway.protocol.connector import DirectOffered
from gateway.protocol.connector_direct import (
    CANDIDATES_MAX,
    PATIENCE,
    Commit,
    DirectRace,
    Discard,
    WriteKey,
    race_of,
    sensible,
    targets,
)
from gateway.wire.rendezvous import ProxyRole, pack_private, pack_public

CLIENT, SERVICE = ProxyRole.CLIENT, ProxyRole.SERVICE
OURS, THEIRS = b"ours", b"thrs"


def race(role: ProxyRole, *, alone: bool = False) -> DirectRace:
    return DirectRace(role, OURS, THEIRS, alone=alone)


def test_a_service_reads_first_and_writes_on_the_one_it_commits_to() -> None:
    running = race(SERVICE)
    assert running.opened(1, 0.0) == running.opened(2, 0.0) == []
    assert running.deadline is None
    assert running.received(2, THEIRS[:3]) == []
    assert running.wants(2) == 1
    assert running.received(2, THEIRS[3:]) == [Commit(2, write=True)]


def test_a_client_answers_on_the_candidate_on_which_the_service_wrote() -> None:
    running = race(CLIENT)
    assert running.opened(1, 5.0) == running.opened(2, 5.1) == []
    assert running.deadline == 5.0 + PATIENCE
    assert running.tick(5.1) == []
    assert running.received(2, THEIRS) == [Commit(2, write=True)]


def test_a_client_does_not_wait_for_ever() -> None:
    running = race(CLIENT)
    running.opened(1, 5.0)
    running.opened(2, 5.1)
    assert running.tick(5.2) == [WriteKey(1), WriteKey(2)]
    assert running.deadline is None
    assert running.opened(3, 5.3) == [WriteKey(3)]
    assert running.received(1, THEIRS) == [Commit(1, write=False)]


def test_a_client_with_one_path_writes_at_once_but_not_to_strangers() -> None:
    running = race(CLIENT, alone=True)
    assert running.opened(1, 0.0, announced=False) == []
    assert running.opened(2, 0.0) == [WriteKey(2)]
    assert running.tick(PATIENCE) == [WriteKey(1)]  # a symmetric NAT looks like a stranger


@pytest.mark.parametrize("role", ProxyRole)
@pytest.mark.parametrize("octets", [b"thrx", OURS, b"\0\0\0\0", b""])
def test_a_wrong_key_or_an_early_end_discards(role: ProxyRole, octets: bytes) -> None:
    running = race(role)
    running.opened(1, 0.0)
    assert running.received(1, octets) == [Discard(1)]
    assert running.wants(1) == 0
    assert running.received(1, THEIRS) == [Discard(1)]
    running.opened(2, 0.0)
    assert running.received(2, b"th") == []
    assert running.received(2, b"") == [Discard(2)]


def test_only_so_many_candidates_are_looked_at() -> None:
    running = race(SERVICE)
    for number in range(CANDIDATES_MAX):
        assert running.opened(number, 0.0) == []
        assert running.received(number, b"") == [Discard(number)]
    assert running.opened(99, 0.0) == [Discard(99)]


@pytest.mark.parametrize("seed", range(200))
@pytest.mark.parametrize("reference", [None, CLIENT, SERVICE])
def test_both_ends_settle_on_the_same_candidate(seed: int, reference: ProxyRole | None) -> None:
    """Two or three connections come about, each with its own delay; nobody picks alone.

    With a reference endpoint (it writes at once, and takes the first right key) this holds while
    a key needs less than the client's patience.
    """
    chance = random.Random(seed)
    keys = {CLIENT: b"CCCC", SERVICE: b"SSSS"}
    races = {
        role: DirectRace(role, keys[role], keys[role.other], alone=False) for role in ProxyRole
    }
    delays = {number: chance.uniform(0.001, 0.09) for number in range(chance.choice((2, 3)))}
    order = itertools.count()
    pending = [
        (chance.uniform(0, 0.05), next(order), role, "open", number, b"")
        for number in delays
        for role in ProxyRole
    ]
    won: dict[ProxyRole, int] = {}
    while pending:
        pending.sort()
        now, _, role, what, number, octets = pending.pop(0)
        if role in won:
            continue

        def write(target: int, role: ProxyRole = role, now: float = now) -> None:
            arrival = now + delays[target]
            pending.append((arrival, next(order), role.other, "read", target, keys[role]))

        if role is reference:
            if what == "open":
                write(number)
            else:
                won[role] = number
            continue
        running = races[role]
        if what == "open":
            moves = running.opened(number, now)
            if running.deadline is not None:
                pending.append((running.deadline, next(order), role, "tick", 0, b""))
        elif what == "tick":
            moves = running.tick(now)
        elif running.wants(number):
            moves = running.received(number, octets)
        else:  # it is open at the other end already, and will be here
            pending.append((now + 0.01, next(order), role, what, number, octets))
            continue
        for move in moves:
            if isinstance(move, WriteKey) or (isinstance(move, Commit) and move.write):
                write(move.candidate)
            if isinstance(move, Commit):
                won[role] = move.candidate
    assert len(won) == 2
    assert won[CLIENT] == won[SERVICE]


@pytest.mark.parametrize(
    ("address", "local", "fits"),
    [
        ("192.0.2.1", "10.0.0.1", True),
        ("127.0.0.1", "10.0.0.1", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("224.0.0.251", "10.0.0.1", False),
        ("255.255.255.255", "10.0.0.1", False),
        ("0.0.0.0", "10.0.0.1", False),
        ("2001:db8::1", "10.0.0.1", False),
        ("2001:db8::1", "2001:db8::2", True),
        ("::1", "2001:db8::2", False),
        ("ff02::1", "2001:db8::2", False),
    ],
)
def test_nobody_sends_us_everywhere(address: str, local: str, fits: bool) -> None:
    host = ipaddress.ip_address(address)
    assert sensible(host, 80, ipaddress.ip_address(local)) is fits
    assert not sensible(host, 0, ipaddress.ip_address(local))
    assert targets(pack_public(host, 80), None, local) == ((address, 80) if fits else None, None)


def test_targets_of_dual_mode() -> None:
    public = pack_public(ipaddress.ip_address("192.0.2.1"), 1000)
    private = pack_private(ipaddress.IPv4Address("10.9.9.9"), 2000)
    assert targets(public, private, "10.0.0.1") == (("192.0.2.1", 1000), ("10.9.9.9", 2000))
    offer = DirectOffered(public, OURS, THEIRS, private)
    assert race_of(CLIENT, offer).opened(1, 0.0) == []  # patient
    offer = DirectOffered(public, OURS, THEIRS, None)
    assert race_of(CLIENT, offer).opened(1, 0.0) == [WriteKey(1)]
