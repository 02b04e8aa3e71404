"""The datagrams of the UDP rendezvous against the captured ones."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.datagrams import (
    HOLE_PUNCH,
    LOCAL_HOLE_PUNCH,
    EndpointInfo,
    endpoint_info,
    hole_punch,
    read_endpoint_info,
    read_hole_punch,
)
from gateway.wire.rendezvous import pack_private, pack_public, unpack_private, unpack_public
from tests.support.recordings import vectors

RAW = {v["id"]: v for v in vectors("connections")["vectors"] if v["id"].startswith("raw.udp.")}
UID = bytes(range(16))


def test_an_endpoint_introduces_itself_over_ipv4_as_captured() -> None:
    vector = RAW["raw.udp.ENDPOINT_INFO.v4"]
    uid = bytes.fromhex(vector["inputs"]["endpointUid"])
    local = pack_private(ipaddress.IPv4Address("127.0.0.1"), 52499)
    octets = bytes.fromhex(vector["hex"])
    assert endpoint_info(uid, local) == octets
    assert read_endpoint_info(octets, ipv4=True) == EndpointInfo(uid, local)
    assert read_endpoint_info(octets[:17], ipv4=True) is None


def test_trap_t6_over_ipv6_both_sizes_are_taken_and_the_tail_means_nothing() -> None:
    vector = RAW["raw.udp.ENDPOINT_INFO.v6"]
    uid = bytes.fromhex(vector["inputs"]["endpointUid"])
    octets = bytes.fromhex(vector["hex"])
    assert len(octets) == 23
    for size in (17, 23):
        assert read_endpoint_info(octets[:size], ipv4=False) == EndpointInfo(uid, None)
    assert endpoint_info(uid) == octets[:17]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("P2P_LOCAL_HOLE_PUNCH", LOCAL_HOLE_PUNCH), ("P2P_HOLE_PUNCH", HOLE_PUNCH)],
)
def test_punches_are_as_captured(name: str, kind: int) -> None:
    vector = RAW[f"raw.udp.{name}"]
    octets = bytes.fromhex(vector["hex"])
    uid = bytes.fromhex(vector["inputs"]["senderEndpointUid"])
    assert hole_punch(kind, uid) == octets
    assert read_hole_punch(octets, uid) == kind
    assert read_hole_punch(octets, UID) is None
    assert read_hole_punch(octets + b"x", uid) is None


@given(
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=6, max_size=6),
    st.sampled_from((HOLE_PUNCH, LOCAL_HOLE_PUNCH)),
)
def test_every_datagram_survives_the_wire(uid: bytes, local: bytes, kind: int) -> None:
    assert read_endpoint_info(endpoint_info(uid, local), ipv4=True) == EndpointInfo(uid, local)
    assert read_endpoint_info(endpoint_info(uid), ipv4=False) == EndpointInfo(uid, None)
    assert read_hole_punch(hole_punch(kind, uid), uid) == kind
    assert read_endpoint_info(hole_punch(kind, uid), ipv4=False) is None


@given(st.binary(max_size=40), st.binary(min_size=16, max_size=16), st.booleans())
def test_any_datagram_can_be_looked_at(octets: bytes, uid: bytes, ipv4: bool) -> None:
    info = read_endpoint_info(octets, ipv4=ipv4)
    assert info is None or octets[:1] == b"\x56"
    assert read_hole_punch(octets, uid) in (None, HOLE_PUNCH, LOCAL_HOLE_PUNCH)


@given(st.ip_addresses(), st.integers(0, 65535))
def test_addresses_survive_the_wire(address: ipaddress.IPv4Address, port: int) -> None:
    assert unpack_public(pack_public(address, port)) == (address, port)
    if address.version == 4:
        assert unpack_private(pack_private(address, port)) == (address, port)


@pytest.mark.parametrize("octets", [b"", b"V", b"V" + UID + bytes(5), b"W" + UID + bytes(6)])
def test_other_datagrams_are_nothing(octets: bytes) -> None:
    assert read_endpoint_info(octets, ipv4=True) is None
    assert read_endpoint_info(octets, ipv4=False) is None
    assert read_hole_punch(octets, UID) is None
    assert read_hole_punch(b"\x56" + UID, UID) is None
