"""Announcements against manifests, and which address of several is the one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.discovery.matching import (
    LocalNetwork,
    Sighting,
    browse_types,
    candidates,
    clean_properties,
    clean_text,
    usable_addresses,
)
from gateway.driverkit.addresses import AddressPolicy
from gateway.driverkit.loader import DriverLoader
from gateway.driverkit.manifest import DriverManifest, MdnsMatch

OFFICE = (
    LocalNetwork("eth0", 2, "192.168.1.5", 24),
    LocalNetwork("eth0", 2, "2001:db8:1::5", 64),
    LocalNetwork("eth0", 2, "fe80::5%2", 64),
)
ANY = AddressPolicy(own_addresses=frozenset({"192.168.1.5", "2001:db8:1::5"}))

AXIS = DriverManifest(
    name="axis",
    title="Axis",
    driver="x:Y",
    mdns=(MdnsMatch("_axis-video._tcp", properties={"macaddress": "ACCC8E*"}),),
    priority=80,
)
HIK = DriverManifest(
    name="hikvision", title="Hikvision", driver="x:Y", mdns=(MdnsMatch("_CGI._tcp", "HIKVISION *"),)
)
RTSP = DriverLoader.installed().manifest("rtsp")


def sighting(service_type: str, name: str = "x", **properties: str) -> Sighting:
    return Sighting(
        service_type=service_type,
        name=name,
        host="h.local",
        addresses=("192.168.1.9",),
        port=80,
        properties=properties,
    )


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (sighting("_axis-video._tcp", macaddress="accc8e3c0419"), [("axis", "mac:accc8e3c0419")]),
        (sighting("_axis-video._tcp", macaddress="1ccae3000001"), []),
        (sighting("_axis-video._tcp"), []),
        (sighting("_cgi._TCP", "Hikvision DS-2CD - 733050075"), [("hikvision", None)]),
        (sighting("_CGI._tcp", "Other"), []),
        (sighting("_rtsp._tcp", path="/stream"), [("rtsp", None)]),
        (sighting("_rtsp._tcp", path="/s", id="S-1234"), [("rtsp", "serial:s-1234")]),
        (sighting("_rtsp._tcp"), []),
        (sighting("_rtsp._tcp", path=""), []),
        (sighting("_ipp._tcp", path="/x"), []),
    ],
)
def test_drivers_are_found_by_announcement(seen, expected):
    found = candidates(seen, (RTSP, HIK, AXIS))
    assert [(each.manifest.name, each.identity) for each in found] == expected


def test_the_better_driver_comes_first():
    seen = sighting("_rtsp._tcp", maker="Softnet", model="Virtual Camera", id="SIM-1", path="/main")
    found = candidates(seen, DriverLoader.installed().manifests)
    assert [each.manifest.name for each in found] == ["simulated", "rtsp"]


def test_types_are_one_in_any_case():
    twice = DriverManifest(
        name="b", title="b", driver="x:Y", mdns=(MdnsMatch("_cgi._tcp"), MdnsMatch("_rtsp._tcp"))
    )
    assert browse_types((HIK, twice)) == ("_CGI._tcp", "_rtsp._tcp")


@pytest.mark.parametrize(
    ("announced", "expected"),
    [
        # Avahi lists every address of the host, that of another network first.
        (["10.99.0.7", "192.168.1.9", "127.0.0.1", "::1", "fe80::9"], ["192.168.1.9"]),
        # Axis: DHCP address and 169.254.x.y, in any order.
        (["169.254.7.7", "192.168.1.9"], ["192.168.1.9"]),
        (["192.168.1.9", "2001:db8:1::9"], ["192.168.1.9", "2001:db8:1::9"]),
        (["2001:db8:1::9", "fe80::9%2"], ["2001:db8:1::9"]),
        (["10.99.0.7", "169.254.7.7"], ["10.99.0.7"]),
        (["169.254.7.7", "fe80::9%2"], ["169.254.7.7", "fe80::9%2"]),
        (["fe80::9%2"], ["fe80::9%2"]),
        (["fe80::9"], []),
        (["127.0.0.1", "::1", "0.0.0.0", "224.0.0.251", "255.255.255.255"], []),
        (["192.168.1.5", "2001:db8:1::5"], []),
        (["192.168.1.8", "192.168.1.9", "192.168.1.8"], ["192.168.1.8", "192.168.1.9"]),
        (["camera.local", "", "1.2.3"], []),
        ([], []),
    ],
)
def test_the_address_that_can_be_reached(announced, expected):
    assert list(usable_addresses(announced, OFFICE, ANY)) == expected


def test_addresses_behind_a_reflector_are_a_setting():
    assert usable_addresses(["10.9.0.7"], OFFICE, ANY) == ("10.9.0.7",)
    assert usable_addresses(["10.9.0.7"], OFFICE, ANY, allow_off_subnet=False) == ()


def test_loopback_only_for_demos():
    loopback = (LocalNetwork("lo", 1, "127.0.0.1", 8),)
    demo = AddressPolicy(allow_loopback=True)
    assert usable_addresses(["127.13.0.2"], loopback, ANY) == ()
    assert usable_addresses(["127.13.0.2"], loopback, demo) == ("127.13.0.2",)


def test_properties_are_cleaned():
    raw = {
        b"MAC": b"aa",
        b"mac": b"bb",
        b"flag": None,
        b"": b"x",
        b"evil\x00": b"x",
        b"line": b"a\r\nb",
        b"latin": b"caf\xe9",
        b"utf": "Bürö".encode(),
        b"k" * 40: b"x",
        b"bidi": "a\u202eb".encode(),
        b"long": b"x" * 256,
    }
    assert clean_properties(raw) == {"mac": "aa", "flag": "", "utf": "Bürö"}
    assert len(clean_properties({b"k%d" % n: b"v" for n in range(500)})) == 64


def test_names_are_cleaned():
    assert clean_text("  Front\r\nDoor\x1b[31m \u202e", 63) == "FrontDoor[31m"
    assert clean_text("x" * 500, 63) == "x" * 63


@given(
    st.dictionaries(st.binary(max_size=40), st.one_of(st.none(), st.binary(max_size=300))),
    st.text(max_size=100),
    st.lists(st.text(max_size=40), max_size=20),
)
def test_whatever_is_announced_nothing_breaks(raw, name, addresses):
    properties = clean_properties(raw)
    assert all(value.isprintable() for value in properties.values())
    seen = Sighting(
        service_type="_rtsp._tcp",
        name=clean_text(name, 63),
        host="h",
        addresses=usable_addresses(addresses, OFFICE, ANY),
        port=1,
        properties=properties,
    )
    candidates(seen, (RTSP, AXIS, HIK))
