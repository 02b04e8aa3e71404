"""Virtual cameras come up side by side, answer, and end with the gateway."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys

import pytest

from gateway.appliance import demo
from gateway.appliance.demo import DemoCameras
from gateway.base.errors import HostError

pytestmark = pytest.mark.skipif(
    shutil.which("ffmpeg") is None, reason="ffmpeg is not installed; make test installs it"
)


@pytest.mark.timeout_s(60)
async def test_two_cameras(tmp_path):
    cameras = DemoCameras(tmp_path / "demo")
    try:
        running = await cameras.start(2)
        assert [camera.name for camera in running] == list(demo.NAMES[:2])
        for camera in running:
            reader, writer = await asyncio.open_connection("127.0.0.1", camera.rtsp_port)
            writer.write(b"OPTIONS rtsp://127.0.0.1/ RTSP/1.0\r\nCSeq: 1\r\n\r\n")
            assert (await reader.readline()).startswith(b"RTSP/1.0 ")
            writer.close()
            await writer.wait_closed()
        pids = [process.pid for process in cameras._running]
    finally:
        await cameras.stop()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_a_camera_that_does_not_start(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    cameras = DemoCameras(tmp_path)
    try:
        with pytest.raises(HostError, match="Front Door did not start"):
            await cameras.start(1)
    finally:
        await cameras.stop()
