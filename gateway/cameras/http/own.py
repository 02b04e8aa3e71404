"""Port 8080: the gateway's own HTTP for a camera. `/snapshot.jpg` and `/info.json`."""

from __future__ import annotations

import json

from aiohttp import web

from gateway.cameras.http.serve import guarded, sentence
from gateway.cameras.live import LiveCamera

PATHS = ("/snapshot.jpg", "/info.json")


def facts(camera: LiveCamera) -> dict[str, object]:
    """Return what a client may know of a camera: no address, no serial, no login."""
    seen, info = camera.device.seen, camera.info
    streams = []
    if info is not None:
        streams = [
            {
                "name": stream.name,
                "codec": stream.codec,
                "width": stream.width,
                "height": stream.height,
                "fps": stream.fps,
                "audio": stream.has_audio,
            }
            for stream in info.streams
        ]
    return {
        "name": camera.device.name,
        "maker": seen.maker or (info.maker if info else ""),
        "model": seen.model or (info.model if info else ""),
        "firmware": seen.firmware or (info.firmware if info else ""),
        "state": str(camera.state),
        "reason": _without_address(camera),
        "since": int(camera.since),
        "snapshot": info.snapshot if info else None,
        "streams": streams,
    }


def _without_address(camera: LiveCamera) -> str:
    text = camera.reason
    for hidden in camera.hidden:
        text = text.replace(hidden, "(the camera)")
    return text


async def answer(camera: LiveCamera, request: web.BaseRequest) -> web.StreamResponse:
    """Answer one request to port 8080. Raises GatewayError for a picture that cannot be had."""
    if request.path not in PATHS:
        return sentence(404, "There are /snapshot.jpg and /info.json.")
    if request.method not in ("GET", "HEAD"):
        return web.Response(status=405, headers=guarded({"Allow": "GET, HEAD"}))
    if request.path == "/info.json":
        body = json.dumps(facts(camera), ensure_ascii=False).encode()
        return web.Response(body=body, headers=guarded({"Content-Type": "application/json"}))
    picture = await camera.snapshot()
    kind = picture.content_type if picture.content_type.startswith("image/") else "image/jpeg"
    return web.Response(body=picture.octets, headers=guarded({"Content-Type": kind}))
