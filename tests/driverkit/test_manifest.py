"""Manifests as data, and the identities they find."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gateway.base.errors import InvalidInput
from gateway.driverkit.manifest import (
    COMMON_IDENTITY,
    DriverManifest,
    IdentityKey,
    IdentityKind,
    MdnsMatch,
    identity_of,
    normal_mac,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ACCC8E3C0419", "accc8e3c0419"),
        ("ac:cc:8e:3c:04:19", "accc8e3c0419"),
        ("AC-CC-8E-3C-04-19", "accc8e3c0419"),
        ("00:00:00:00:00:00", None),
        ("ff:ff:ff:ff:ff:ff", None),
        ("01:00:5e:00:00:fb", None),
        ("accc8e3c04", None),
        ("accc8e3c041g", None),
        ("", None),
    ],
)
def test_mac_addresses_have_one_form(text: str, expected: str | None) -> None:
    assert normal_mac(text) == expected


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"MacAddress": "ACCC8E3C0419", "id": "S-1234"}, "mac:accc8e3c0419"),
        ({"mac": "000000000000", "serial": "DS-733050075"}, "serial:ds-733050075"),
        ({"id": "0000000000"}, None),
        ({"id": "../../etc"}, None),
        ({"id": "a" * 65}, None),
        ({"path": "/"}, None),
    ],
)
def test_identity_comes_from_the_best_usable_key(
    properties: dict[str, str], expected: str | None
) -> None:
    assert identity_of(properties, COMMON_IDENTITY) == expected


def test_a_manifest_may_prefer_its_own_keys() -> None:
    keys = (IdentityKey(IdentityKind.SERIAL, "id"),)
    assert identity_of({"mac": "accc8e3c0419", "ID": "Abcd"}, keys) == "serial:abcd"


@pytest.mark.parametrize("service_type", ["", "rtsp", "_rtsp._tcp.local.", "_a b._tcp", "_x._sctp"])
def test_a_wrong_service_type_is_refused(service_type: str) -> None:
    with pytest.raises(InvalidInput):
        MdnsMatch(service_type)


@pytest.mark.parametrize(
    ("name", "title", "driver"),
    [("Bad", "x", "a:B"), ("ok", "", "a:B"), ("ok", "x", "a.B"), ("../x", "x", "a:B")],
)
def test_a_wrong_manifest_is_refused(name: str, title: str, driver: str) -> None:
    with pytest.raises(InvalidInput):
        DriverManifest(name=name, title=title, driver=driver)


def test_match_patterns_are_read_only() -> None:
    match = MdnsMatch("_CGI._tcp", properties={"Path": "/*"})
    assert dict(match.properties) == {"path": "/*"}
    with pytest.raises(TypeError):
        match.properties["x"] = "y"  # type: ignore[index]


@pytest.mark.parametrize("package", ["drivers.rtsp", "drivers.simulated"])
def test_a_manifest_loads_without_its_driver(package: str) -> None:
    program = (
        f"import sys, {package}; "
        f"bad = [m for m in sys.modules if m in ('{package}.driver', 'aiohttp', 'av', 'asyncio')]; "
        f"assert {package}.MANIFEST.name and not bad, bad"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=20)
