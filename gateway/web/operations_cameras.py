"""What can be done to cameras and their live sessions, once for pages and programs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web

from gateway.access.operators import Action
from gateway.base.errors import InvalidInput, NotFound
from gateway.driverkit.digest import CREDENTIAL_MAX, CameraCredentials
from gateway.driverkit.driver import URL_MAX, Picture
from gateway.registry import devices, domains, sites
from gateway.registry.database import Reader
from gateway.web import fields, shapes
from gateway.web.authority import Kind, Visitor, authorize
from gateway.web.doors import CameraView, ProbedView, SessionView
from gateway.web.routing import Call, Operation, Query

if TYPE_CHECKING:
    from gateway.web.desk import Desk

PROBES_MAX = 32
"""Cameras that may be looked at before they are added, at the same time."""
PROBE_SECONDS = 900.0
"""How long such a look, with its password, is kept in memory."""
PICTURE_TYPES = frozenset({"image/jpeg", "image/png"})
"""What a camera may call its picture; anything else would be a page of the camera's own."""
PAIRS_MAX = 200
"""Owned sites looked through for one visitor's cameras; quotas keep them below."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A camera that was asked and waits to be added; only who asked may see it."""

    key: str
    owner_id: int | None
    where: str
    credentials: CameraCredentials | None
    probed: ProbedView
    at: float


class ProbeDrawer:
    """Keeps the cameras that were asked and are not added yet, few and for a short time."""

    def __init__(self) -> None:
        self._probes: OrderedDict[str, Probe] = OrderedDict()

    def put(self, probe: Probe) -> None:
        """Keep a probe; the oldest goes when there are too many."""
        self._probes[probe.key] = probe
        while len(self._probes) > PROBES_MAX:
            self._probes.popitem(last=False)

    def get(self, key: str, visitor: Visitor, now: float) -> Probe:
        """Return a probe of this visitor. Raises NotFound."""
        for old in [kept.key for kept in self._probes.values() if now - kept.at > PROBE_SECONDS]:
            del self._probes[old]
        probe = self._probes.get(key)
        if probe is None or probe.owner_id != visitor.owner_id:
            raise NotFound("This look at a camera is too old. Choose the camera again.")
        return probe

    def drop(self, key: str) -> None:
        """Forget a probe with its password."""
        self._probes.pop(key, None)


def credentials_of(values: Mapping[str, Any]) -> CameraCredentials | None:
    """Return the login that was typed; None when neither part was."""
    user, password = values["user"].strip(), values["password"]
    if not user and not password:
        return None
    if not user:
        raise InvalidInput("Fill in the camera's user name too.", "user")
    return CameraCredentials(user, password)


LOGIN = (
    fields.text("user", required=False, maximum=CREDENTIAL_MAX),
    fields.secret("password", required=False, maximum=CREDENTIAL_MAX),
)
WHERE = fields.text(
    "where", maximum=URL_MAX, help="the identity of a found camera, or an rtsp:// address"
)


def own_sites(reader: Reader, visitor: Visitor) -> dict[int, str]:
    """Return the ids and descriptions of the sites whose cameras the visitor may see."""
    if visitor.owner_id is not None:
        return {site.id: site.description for site in sites.list_owned(reader, visitor.owner_id)}
    if not visitor.is_box:
        return {}
    adopted = {device.site_id for device in devices.list_all(reader) if device.site_id is not None}
    return {site_id: sites.get(reader, site_id).description for site_id in sorted(adopted)}


def _cameras_of(desk: Desk, _: Call, own: Mapping[int, str]) -> tuple[CameraView, ...]:
    return tuple(camera for camera in desk.cameras.adopted() if camera.site_id in own)


def sessions_of(desk: Desk, own: Mapping[int, str]) -> tuple[SessionView, ...]:
    """Return the live sessions of the cameras on these sites."""
    mine = {camera.device_id for camera in desk.cameras.adopted() if camera.site_id in own}
    return tuple(session for session in desk.cameras.sessions() if session.device_id in mine)


CAMERA_FOUND = Query(
    action=Action.VIEW_FOUND_CAMERAS,
    kind=Kind.NONE,
    summary="List the cameras on the LAN that nobody has adopted.",
    shape=shapes.FOUND,
    many=True,
    read=lambda _reader, _call: None,
    finish=lambda desk, _call, _: desk.cameras.found(),
)
CAMERA_LIST = Query(
    action=Action.VIEW_CAMERA,
    kind=Kind.ACCOUNT,
    summary="List the adopted cameras with their live state.",
    shape=shapes.CAMERA,
    many=True,
    read=lambda reader, call: own_sites(reader, call.visitor),
    finish=_cameras_of,
)
SESSION_LIST = Query(
    action=Action.MANAGE_CAMERA,
    kind=Kind.ACCOUNT,
    summary="List what is being watched now.",
    shape=shapes.SESSION,
    many=True,
    read=lambda reader, call: own_sites(reader, call.visitor),
    finish=lambda desk, _call, own: sessions_of(desk, own),
)


async def _probe(desk: Desk, call: Call) -> ProbedView:
    return await desk.cameras.probe(
        call.values["where"].strip(),
        credentials_of(call.values),
        driver=call.values["driver"] or None,
    )


CAMERA_PROBE = Operation(
    name="camera.probe",
    action=Action.ADOPT_CAMERA,
    kind=Kind.ACCOUNT,
    summary="Ask a camera who it is, with the login given, before adding it.",
    fields=(WHERE, *LOGIN, fields.text("driver", required=False, maximum=64)),
    outside=_probe,
    shape=shapes.PROBED,
)


async def _adopt(desk: Desk, call: Call) -> int:
    site_id = call.values["site_id"]
    owner_id = (await desk.read(lambda reader: sites.get(reader, site_id))).owner_id
    return await desk.cameras.adopt(
        owner_id,
        site_id,
        call.values["where"].strip(),
        credentials_of(call.values),
        call.values["name"].strip(),
    )


async def _adopt_probed(desk: Desk, call: Call) -> int:
    """Add the camera that was looked at, with the login that was used for it."""
    probe = desk.probes.get(call.values["probe"], call.visitor, desk.clock.monotonic())
    site_id = call.values["site_id"]
    owner_id = (await desk.read(lambda reader: sites.get(reader, site_id))).owner_id
    device_id = await desk.cameras.adopt(
        owner_id, site_id, probe.where, probe.credentials, call.values["name"].strip()
    )
    desk.probes.drop(probe.key)
    return device_id


def _adopted(desk: Desk, _call: Call, device_id: int) -> CameraView:
    return camera_view(desk, device_id)


def camera_view(desk: Desk, device_id: int) -> CameraView:
    """Return an adopted camera. Raises NotFound."""
    for camera in desk.cameras.adopted():
        if camera.device_id == device_id:
            return camera
    raise NotFound("This camera does not exist any more. Go back to the cameras.")


_NAME_AND_SITE = (fields.text("name", maximum=42), fields.number("site_id"))

CAMERA_ADOPT = Operation(
    name="camera.adopt",
    action=Action.ADOPT_CAMERA,
    kind=Kind.NONE,
    summary="Make a camera a service of a site.",
    fields=(WHERE, *LOGIN, *_NAME_AND_SITE),
    subject=lambda call: (Kind.SITE, call.values["site_id"]),
    outside=_adopt,
    detail=lambda call, device: f"device {device} {call.values['name']!r} {call.values['where']}",
    shape=shapes.CAMERA,
    finish=_adopted,
)
CAMERA_ADOPT_PROBED = Operation(
    name="camera.adopt",
    action=Action.ADOPT_CAMERA,
    kind=Kind.NONE,
    summary="Make the camera that was looked at a service of a site.",
    fields=(fields.text("probe", maximum=64), *_NAME_AND_SITE),
    subject=lambda call: (Kind.SITE, call.values["site_id"]),
    outside=_adopt_probed,
    detail=lambda call, device: f"device {device} {call.values['name']!r}",
    shape=shapes.CAMERA,
    finish=_adopted,
)


async def _rename(desk: Desk, call: Call) -> int:
    await desk.cameras.rename(call.id(Kind.DEVICE), call.values["name"].strip())
    return call.id(Kind.DEVICE)


async def _set_credentials(desk: Desk, call: Call) -> int:
    await desk.cameras.set_credentials(call.id(Kind.DEVICE), credentials_of(call.values))
    return call.id(Kind.DEVICE)


async def _forget(desk: Desk, call: Call) -> None:
    await desk.cameras.forget(call.id(Kind.DEVICE))


CAMERA_RENAME = Operation(
    name="camera.rename",
    action=Action.MANAGE_CAMERA,
    kind=Kind.DEVICE,
    summary="Give a camera another name.",
    fields=(fields.text("name", maximum=42),),
    outside=_rename,
    shape=shapes.CAMERA,
    finish=_adopted,
)
CAMERA_CREDENTIALS = Operation(
    name="camera.credentials",
    action=Action.MANAGE_CAMERA,
    kind=Kind.DEVICE,
    summary="Use another login for a camera.",
    fields=LOGIN,
    outside=_set_credentials,
    shape=shapes.CAMERA,
    finish=_adopted,
)
CAMERA_FORGET = Operation(
    name="camera.forget",
    action=Action.MANAGE_CAMERA,
    kind=Kind.DEVICE,
    summary="Let go of a camera; its service is deleted.",
    outside=_forget,
)


async def _end_session(desk: Desk, call: Call) -> str:
    own = await desk.read(lambda reader: own_sites(reader, call.visitor))
    wanted = call.values["session"]
    found = [session for session in sessions_of(desk, own) if session.id == wanted]
    if not found:
        raise NotFound("This session has ended already.")
    await desk.cameras.end_session(wanted)
    return f"{found[0].user} on {found[0].camera}, port {found[0].port}"


SESSION_END = Operation(
    name="session.end",
    action=Action.MANAGE_CAMERA,
    kind=Kind.ACCOUNT,
    summary="End a live session now.",
    fields=(fields.text("session", maximum=64),),
    outside=_end_session,
    detail=lambda _, told: told,
)


# -- pictures ------------------------------------------------------------------------------------


async def snapshot(desk: Desk, request: web.Request, visitor: Visitor) -> web.Response:
    """Answer with a camera's present picture."""
    text = request.match_info["device"]
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise NotFound("There is no such camera.")
    device_id = int(text)
    await desk.read(
        lambda reader: authorize(
            reader, visitor, Action.VIEW_CAMERA, Kind.DEVICE, device_id, changes=False
        )
    )
    return picture_answer(await desk.cameras.snapshot(device_id))


async def probe_picture(desk: Desk, request: web.Request, visitor: Visitor) -> web.Response:
    """Answer with the picture of a camera that is not added yet."""
    await desk.read(
        lambda reader: authorize(reader, visitor, Action.ADOPT_CAMERA, Kind.ACCOUNT, changes=False)
    )
    probe = desk.probes.get(request.match_info["probe"], visitor, desk.clock.monotonic())
    if probe.probed.picture is None:
        raise NotFound("The camera gave no picture.")
    return picture_answer(probe.probed.picture)


def picture_answer(picture: Picture) -> web.Response:
    """Return a picture of a camera, never as anything but a picture."""
    declared = picture.content_type.partition(";")[0].strip().lower()
    kind = declared if declared in PICTURE_TYPES else "image/jpeg"
    return web.Response(body=picture.octets, content_type=kind)


async def look(desk: Desk, call: Call) -> Probe:
    """Ask a camera and keep what it said until it is added."""
    probed = await desk.cameras.probe(call.values["where"].strip(), credentials_of(call.values))
    probe = Probe(
        desk.entropy.octets(16).hex(),
        call.visitor.owner_id,
        call.values["where"].strip(),
        credentials_of(call.values),
        probed,
        desk.clock.monotonic(),
    )
    desk.probes.put(probe)
    return probe


CAMERA_LOOK = Operation(
    name="camera.look",
    action=Action.ADOPT_CAMERA,
    kind=Kind.ACCOUNT,
    summary="Ask a camera for a picture before adding it.",
    fields=(WHERE, *LOGIN),
    outside=look,
)


def sites_for_cameras(reader: Reader, visitor: Visitor) -> tuple[tuple[int, str], ...]:
    """Return the multi-service sites onto which the visitor may add cameras, with their names."""
    if visitor.owner_id is None:
        return ()
    named = {domain.id: domain.name for domain in domains.list_for(reader, visitor.owner_id)}
    found = sites.list_owned(reader, visitor.owner_id)[:PAIRS_MAX]
    return tuple(
        (site.id, f"{named.get(site.domain_id, '')} / {site.description}")
        for site in found
        if site.kind.name == "MULTI_SERVICE"
    )
