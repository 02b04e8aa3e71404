"""Any camera known by its rtsp:// address: typed by a person, or announced as `_rtsp._tcp`."""

from __future__ import annotations

from gateway.driverkit.manifest import DriverManifest, MdnsMatch

MANIFEST = DriverManifest(
    name="rtsp",
    title="RTSP camera",
    driver="drivers.rtsp.driver:RtspDriver",
    # Without a path the announcement says nothing that could be opened.
    mdns=(MdnsMatch("_rtsp._tcp", properties={"path": "?*"}),),
    needs_credentials=False,
    priority=0,
    by_url=True,
)
