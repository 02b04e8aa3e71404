"""From entry points to manifests at start, to driver classes on demand.

A driver of a third party that is broken is reported and left out; it never stops the gateway.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Protocol, Self

from gateway.base.errors import GatewayError, NotFound
from gateway.driverkit.driver import DeviceTarget, Driver, DriverClass, DriverTools
from gateway.driverkit.errors import Unsupported
from gateway.driverkit.manifest import DriverManifest

GROUP = "gateway.drivers"

DRIVERS_MAX = 256
"""Drivers that are considered; a far higher number is a mistake of the installation."""

_log = logging.getLogger(__name__)


class ManifestSource(Protocol):
    """Where a manifest comes from; importlib's EntryPoint is one."""

    @property
    def name(self) -> str:
        """The name under which the driver is listed."""

    def load(self) -> object:
        """Import and return the manifest."""


@dataclass(frozen=True, slots=True)
class SkippedDriver:
    """A driver that was left out, and why, in a sentence."""

    name: str
    reason: str


class DriverLoader:
    """The drivers of this installation."""

    def __init__(
        self, manifests: Iterable[DriverManifest], skipped: Iterable[SkippedDriver] = ()
    ) -> None:
        self._manifests = {manifest.name: manifest for manifest in manifests}
        self._skipped = tuple(skipped)

    @classmethod
    def installed(cls) -> Self:
        """Return the drivers that installed packages list under `gateway.drivers`."""
        return cls.of(entry_points(group=GROUP))

    @classmethod
    def of(cls, sources: Iterable[ManifestSource]) -> Self:
        """Return the drivers of these sources; the first of two with one name stays."""
        manifests: dict[str, DriverManifest] = {}
        skipped: list[SkippedDriver] = []
        for source in list(sources)[:DRIVERS_MAX]:
            name = str(source.name)[:64]
            try:
                manifest = source.load()
            except Exception as error:
                skipped.append(SkippedDriver(name, f"its manifest failed: {_said(error)}"))
                continue
            if not isinstance(manifest, DriverManifest):
                skipped.append(SkippedDriver(name, "its entry point is no DriverManifest"))
            elif manifest.name in manifests:
                skipped.append(SkippedDriver(name, f"{manifest.name} is there already"))
            else:
                manifests[manifest.name] = manifest
        for each in skipped:
            _log.warning("driver %s left out: %s", each.name, each.reason)
        return cls(manifests.values(), skipped)

    @property
    def manifests(self) -> tuple[DriverManifest, ...]:
        """All manifests, best priority first."""
        return tuple(sorted(self._manifests.values(), key=lambda each: (-each.priority, each.name)))

    @property
    def skipped(self) -> tuple[SkippedDriver, ...]:
        """What was left out, for the doctor's page."""
        return self._skipped

    def manifest(self, name: str) -> DriverManifest:
        """Return one manifest. Raises NotFound."""
        manifest = self._manifests.get(name)
        if manifest is None:
            raise NotFound(f"There is no camera driver named {name[:32]!r}.")
        return manifest

    def driver_class(self, name: str) -> DriverClass:
        """Import the class now. Raises NotFound, or Unsupported when the driver is broken."""
        manifest = self.manifest(name)
        module, _, attribute = manifest.driver.partition(":")
        try:
            found: DriverClass = getattr(importlib.import_module(module), attribute)
        except Exception as error:
            _log.warning("driver %s cannot be loaded: %s", name, _said(error))
            raise Unsupported(f"The driver {manifest.title} cannot be loaded.") from error
        return found

    def open(self, name: str, target: DeviceTarget, tools: DriverTools) -> Driver:
        """Return a driver for this device; nothing is sent yet.

        Raises NotFound, Unsupported, and InvalidInput for a target that makes no sense.
        """
        made = self.driver_class(name)
        try:
            return made(target, tools)
        except GatewayError:
            raise
        except Exception as error:
            _log.warning("driver %s failed: %s", name, _said(error))
            raise Unsupported(f"The driver {name} failed.") from error


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}"
