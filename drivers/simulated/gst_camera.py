"""A camera that is not ours: GStreamer's RTSP server with a login, for tests against a stranger.

It runs under the system's Python, which has the GStreamer bindings:
``/usr/bin/python3 drivers/simulated/gst_camera.py --path /axis-media/media.amp --user root ...``.
Only the standard library and those bindings are used, and they are loaded when it runs.
Prints one line of JSON when ready.
"""

from __future__ import annotations

import argparse
import importlib
import json
import signal
import sys
from pathlib import Path
from typing import Any

PIPELINE = (
    "( videotestsrc is-live=1 pattern=ball ! "
    "video/x-raw,format=I420,width={width},height={height},framerate={fps}/1 ! "
    "{overlay}"
    "x264enc tune=zerolatency speed-preset=ultrafast bitrate=600 key-int-max={fps} threads=1 ! "
    "video/x-h264,profile=constrained-baseline ! "
    "rtph264pay name=pay0 pt=96 config-interval=1 )"
)

OVERLAY = "clockoverlay time-format=%H:%M:%S font-desc=30 ! "
"""A clock in the picture, where Debian's gstreamer1.0-x is installed; the ball moves anyhow."""

ROLE = "viewer"


def options(arguments: list[str]) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(prog="gst_camera.py", description=__doc__)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--path", action="append", default=[], help="may be given several times")
    parser.add_argument("--user", default="", help="without: no login")
    parser.add_argument("--password-file", default="", help="first line is the password")
    parser.add_argument("--login", choices=("digest", "basic"), default="digest")
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=360)
    parser.add_argument("--fps", type=int, default=15)
    return parser.parse_args(arguments)


def serve(wanted: argparse.Namespace) -> int:
    """Be a camera until SIGTERM or SIGINT; return the exit code."""
    gi = importlib.import_module("gi")
    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtsp", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    glib, gst, rtsp, rtsp_server = (
        importlib.import_module(f"gi.repository.{name}")
        for name in ("GLib", "Gst", "GstRtsp", "GstRtspServer")
    )
    gst.init(None)
    server = rtsp_server.RTSPServer()
    server.set_address(wanted.address)
    server.set_service(str(wanted.port))
    for path in wanted.path or ["/main"]:
        server.get_mount_points().add_factory(path, _factory(gst, rtsp_server, wanted))
    if wanted.user:
        server.set_auth(_login(rtsp, rtsp_server, wanted))
    if not server.attach(None):
        sys.stderr.write("the port cannot be used\n")
        return 1
    loop = glib.MainLoop()
    for number in (signal.SIGTERM, signal.SIGINT):
        glib.unix_signal_add(glib.PRIORITY_HIGH, number, loop.quit)
    # Sessions whose viewer has gone without TEARDOWN are cleaned up now and then.
    glib.timeout_add_seconds(5, lambda: server.get_session_pool().cleanup() >= 0)
    ready = {"ready": True, "address": wanted.address, "rtsp_port": server.get_bound_port()}
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()
    loop.run()
    return 0


def _factory(gst: Any, rtsp_server: Any, wanted: argparse.Namespace) -> Any:
    factory = rtsp_server.RTSPMediaFactory()
    factory.set_launch(
        PIPELINE.format(
            width=wanted.width,
            height=wanted.height,
            fps=wanted.fps,
            overlay=OVERLAY if gst.ElementFactory.find("clockoverlay") else "",
        )
    )
    factory.set_shared(True)
    if wanted.user:
        permissions = rtsp_server.RTSPPermissions()
        permissions.add_permission_for_role(ROLE, "media.factory.access", True)
        permissions.add_permission_for_role(ROLE, "media.factory.construct", True)
        factory.set_permissions(permissions)
    return factory


def _login(rtsp: Any, rtsp_server: Any, wanted: argparse.Namespace) -> Any:
    password = Path(wanted.password_file).read_text(encoding="utf-8").splitlines()[0]
    auth = rtsp_server.RTSPAuth()
    token = rtsp_server.RTSPToken()
    token.set_string("media.factory.role", ROLE)
    if wanted.login == "digest":
        auth.set_supported_methods(rtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(wanted.user, password, token)
    else:
        auth.set_supported_methods(rtsp.RTSPAuthMethod.BASIC)
        auth.add_basic(rtsp_server.RTSPAuth.make_basic(wanted.user, password), token)
    return auth


if __name__ == "__main__":
    sys.exit(serve(options(sys.argv[1:])))
