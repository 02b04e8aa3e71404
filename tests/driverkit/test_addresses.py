"""What may be connected to."""

from __future__ import annotations

import pytest

from gateway.base.errors import Denied, InvalidInput
from gateway.driverkit.addresses import AddressPolicy, parse_address


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1",
        "127.13.0.9",
        "::1",
        "::ffff:127.0.0.1",
        "0.0.0.0",
        "0.1.2.3",
        "::",
        "224.0.0.251",
        "ff02::fb",
        "255.255.255.255",
        "192.168.1.2",
    ],
)
def test_refuses_what_no_camera_can_have(text: str) -> None:
    policy = AddressPolicy(own_addresses=frozenset({"192.168.1.2"}))
    with pytest.raises(Denied):
        policy.check(text)
    assert not policy.permits(text)


@pytest.mark.parametrize("text", ["192.168.1.3", "10.0.0.1", "2001:db8::5", "fe80::1%eth0"])
def test_permits_neighbours(text: str) -> None:
    assert AddressPolicy().permits(text)


def test_loopback_and_link_local_are_settings() -> None:
    assert AddressPolicy(allow_loopback=True).permits("127.0.0.1")
    assert not AddressPolicy(allow_link_local=False).permits("fe80::1%eth0")
    assert not AddressPolicy(allow_link_local=False).permits("169.254.3.4")


@pytest.mark.parametrize("text", ["", "camera.local", "192.168.1", "1.2.3.4:554", "1.2.3.4 "])
def test_names_are_no_addresses(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_address(text)
    assert not AddressPolicy().permits(text)
