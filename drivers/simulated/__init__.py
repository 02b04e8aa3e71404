"""A camera made of code, for demos, tests and benchmarks: a driver and the program it drives.

- `driver`: what the gateway loads. `camera`: the program, ``python -m drivers.simulated.camera``.
- `zoo_*`: its parts: picture source, packets, RTSP and HTTP servers, announcement, faults.
- `gst_camera`: a camera that is not ours (GStreamer), for end-to-end tests.
"""

from __future__ import annotations

from gateway.driverkit.manifest import DriverManifest, IdentityKey, IdentityKind, MdnsMatch

_PROPERTIES = {"maker": "Softnet", "model": "Virtual*", "id": "?*"}

MANIFEST = DriverManifest(
    name="simulated",
    title="Virtual camera",
    driver="drivers.simulated.driver:SimulatedDriver",
    mdns=(
        MdnsMatch("_rtsp._tcp", properties=_PROPERTIES),
        MdnsMatch("_http._tcp", properties=_PROPERTIES),
    ),
    needs_credentials=True,
    priority=50,
    identity=(IdentityKey(IdentityKind.SERIAL, "id"), IdentityKey(IdentityKind.MAC, "mac")),
    maker="Softnet",
)
