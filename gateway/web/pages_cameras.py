"""The pages of cameras and of what is being watched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.access.operators import Action
from gateway.registry import devices, members, sites
from gateway.registry.database import Reader
from gateway.web.authority import Kind
from gateway.web.doors import CameraView, FoundView
from gateway.web.operations_cameras import (
    camera_view,
    own_sites,
    sessions_of,
    sites_for_cameras,
)
from gateway.web.routing import Page, Rendered, View

if TYPE_CHECKING:
    from gateway.web.desk import Desk

STATE_WORDS = {
    "starting": "starting",
    "online": "online",
    "offline": "offline",
    "refused": "login refused",
    "foreign": "another device answers",
}
"""The states of a camera in words; others are shown as they are."""
FOUND_SHOWN = 200
"""Found devices shown at once; a hostile LAN can announce thousands."""


async def cameras(desk: Desk, page: Page) -> Rendered:
    """Cameras on the LAN and cameras adopted."""
    visitor = page.call.visitor

    def read(reader: Reader) -> tuple[dict[int, str], tuple[tuple[int, str], ...]]:
        return own_sites(reader, visitor), sites_for_cameras(reader, visitor)

    own, targets = await desk.read(read)
    adopted = [camera for camera in desk.cameras.adopted() if camera.site_id in own]
    adopted.sort(key=lambda camera: (camera.name.lower(), camera.device_id))
    found = sorted(desk.cameras.found(), key=_by_presence)
    return Rendered(
        "cameras.html",
        {
            "adopted": adopted,
            "found": found[:FOUND_SHOWN],
            "found_more": max(0, len(found) - FOUND_SHOWN),
            "sites": own,
            "targets": targets,
            "state_words": STATE_WORDS,
        },
        ("cameras", "sessions", f"owner:{visitor.owner_id or 0}"),
    )


def _by_presence(found: FoundView) -> tuple[bool, str, str]:
    return (not found.present, (found.name or found.model).lower(), found.identity)


async def add_camera(desk: Desk, page: Page) -> Rendered:
    """The login of a camera that shall be looked at: a found one, or one by address."""
    where = str(page.typed.get("where", "")) or page.query.get("where", "")[:1024]
    found = next((seen for seen in desk.cameras.found() if seen.identity == where), None)
    return Rendered("camera_add.html", {"where": where, "found": found})


async def confirm_camera(desk: Desk, page: Page) -> Rendered:
    """What the camera said and showed, before it is added."""
    key = page.request.match_info["probe"]
    visitor = page.call.visitor
    probe = desk.probes.get(key, visitor, desk.clock.monotonic())
    targets = await desk.read(lambda reader: sites_for_cameras(reader, visitor))
    info = probe.probed.info
    suggested = _hostname(info.name or info.model or info.maker)
    return Rendered(
        "camera_confirm.html",
        {"probe": probe, "info": info, "targets": targets, "suggested": suggested},
    )


def _hostname(text: str) -> str:
    """Return a name from the network as a hostname may be, for a form to start with."""
    allowed = " _$.*+#@%&=':^()[]-/!"
    kept = "".join(
        char if char.isascii() and (char.isalnum() or char in allowed) else " " for char in text
    )
    return " ".join(kept.split())[:42].strip() or "Camera"


async def camera(desk: Desk, page: Page) -> Rendered:
    """One adopted camera: its picture, its state, who may see it, what can be done to it."""
    device_id = page.call.id(Kind.DEVICE)
    view = camera_view(desk, device_id)
    site, rights, device = await desk.read(
        lambda reader: (
            sites.get(reader, view.site_id),
            members.rights(reader, view.site_id),
            devices.get(reader, device_id),
        )
    )
    watching = [session for session in desk.cameras.sessions() if session.device_id == device_id]
    return Rendered(
        "camera.html",
        {
            "camera": view,
            "device": device,
            "site": site,
            "rights": [given for given in rights if given.allowed],
            "watching": watching,
            "state_words": STATE_WORDS,
        },
        ("cameras", "sessions", f"site:{view.site_id}"),
    )


async def sessions(desk: Desk, page: Page) -> Rendered:
    """What is being watched now."""
    visitor = page.call.visitor
    own = await desk.read(lambda reader: own_sites(reader, visitor))
    named: dict[int, CameraView] = {
        view.device_id: view for view in desk.cameras.adopted() if view.site_id in own
    }
    open_now = sorted(sessions_of(desk, own), key=lambda session: -session.since)
    return Rendered(
        "sessions.html", {"sessions": open_now, "cameras": named}, ("sessions", "cameras")
    )


CAMERAS = View(Action.VIEW_CAMERA, Kind.ACCOUNT, cameras)
ADD = View(Action.ADOPT_CAMERA, Kind.ACCOUNT, add_camera)
CONFIRM = View(Action.ADOPT_CAMERA, Kind.ACCOUNT, confirm_camera)
CAMERA = View(Action.VIEW_CAMERA, Kind.DEVICE, camera)
SESSIONS = View(Action.MANAGE_CAMERA, Kind.ACCOUNT, sessions)
