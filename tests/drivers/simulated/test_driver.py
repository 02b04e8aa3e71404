"""The simulated driver on the virtual camera."""

from __future__ import annotations

import pytest

from drivers.simulated.driver import SimulatedDriver
from gateway.base.clock import SystemClock
from gateway.base.entropy import SystemEntropy
from gateway.base.errors import Denied
from gateway.driverkit import conformance
from gateway.driverkit.addresses import AddressPolicy
from gateway.driverkit.driver import DeviceTarget, DriverTools
from gateway.driverkit.loader import DriverLoader
from tests.drivers.cameras import (
    CREDENTIALS,
    LOOPBACK,
    dial,
    simulated_target,
    tools_for,
    virtual_camera,
)


@pytest.mark.timeout_s(90)
@pytest.mark.parametrize("login", ["any", "sha256", "basic"])
async def test_conforms(tmp_path, login):
    async with virtual_camera(tmp_path, "--login", login, "--name", "Front Door") as camera:
        target = simulated_target(camera)
        found = await conformance.complaints(
            DriverLoader.installed(),
            "simulated",
            target,
            dial=dial,
            policy=LOOPBACK,
            clock=SystemClock(),
            entropy=SystemEntropy(),
            expected_identity=camera["identity"],
        )
        assert found == ()
        driver = SimulatedDriver(target, tools_for(target))
        info = await driver.probe()
        await driver.close()
        assert (info.maker, info.name, info.mac) == ("Softnet", "Front Door", camera["mac"])
        assert [(each.name, each.width, each.height, each.fps) for each in info.streams] == [
            ("main", 640, 360, 15.0),
            ("sub", 320, 180, 10.0),
        ]


def test_loopback_is_refused_unless_allowed():
    target = DeviceTarget(address="127.0.0.1", credentials=CREDENTIALS)
    with pytest.raises(Denied):
        DriverTools.lend(
            target,
            dial=dial,
            policy=AddressPolicy(),
            clock=SystemClock(),
            entropy=SystemEntropy(),
        )
