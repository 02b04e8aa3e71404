"""Manifests and drivers of this installation, and what happens to broken ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from gateway.base.errors import NotFound
from gateway.driverkit.driver import DeviceTarget
from gateway.driverkit.errors import Unsupported
from gateway.driverkit.loader import DriverLoader
from gateway.driverkit.manifest import DriverManifest


@dataclass
class Source:
    name: str
    made: Any

    def load(self) -> object:
        if isinstance(self.made, BaseException):
            raise self.made
        return self.made


def manifest(name: str, driver: str = "no.such:Thing", priority: int = 0) -> DriverManifest:
    return DriverManifest(name=name, title=name, driver=driver, priority=priority)


def test_our_own_drivers_are_installed():
    loader = DriverLoader.installed()
    names = [each.name for each in loader.manifests]
    assert {"rtsp", "simulated"} <= set(names)
    assert names.index("simulated") < names.index("rtsp")
    assert loader.driver_class("rtsp").__name__ == "RtspDriver"  # type: ignore[attr-defined]
    assert loader.manifest("rtsp").by_url


def test_broken_drivers_are_left_out_with_a_reason():
    loader = DriverLoader.of(
        [
            Source("good", manifest("good")),
            Source("burnt", ImportError("no module named burnt")),
            Source("odd", {"name": "odd"}),
            Source("twin", manifest("good")),
        ]
    )
    assert [each.name for each in loader.manifests] == ["good"]
    assert [each.name for each in loader.skipped] == ["burnt", "odd", "twin"]
    assert "burnt" in loader.skipped[0].reason


def test_the_best_priority_comes_first():
    loader = DriverLoader([manifest("b"), manifest("a"), manifest("c", priority=9)])
    assert [each.name for each in loader.manifests] == ["c", "a", "b"]


class Falls:
    """A driver that cannot be constructed."""

    def __init__(self, *_: object) -> None:
        raise ZeroDivisionError


@pytest.mark.parametrize("driver", ["no.such.module:Thing", "json:Nothing", f"{__name__}:Falls"])
def test_a_driver_that_fails_is_unsupported(driver):
    loader = DriverLoader([manifest("bad", driver)])
    with pytest.raises(Unsupported):
        loader.open("bad", DeviceTarget(address="192.0.2.1"), None)  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        loader.driver_class("unknown")
