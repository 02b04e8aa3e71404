"""Virtual cameras started beside the gateway."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.appliance.demo import DemoCameras
from gateway.base.errors import HostError


@pytest.mark.timeout_s(60)
async def test_cameras_listen_and_end_with_their_owner(tmp_path: Path) -> None:
    demo = DemoCameras(tmp_path / "demo")
    front, back = await demo.start(2)
    assert [front.name, back.name] == ["Front Door", "Back Yard"]
    reader, writer = await asyncio.open_connection("127.0.0.1", front.rtsp_port)
    writer.write(b"OPTIONS rtsp://127.0.0.1/main RTSP/1.0\r\nCSeq: 1\r\n\r\n")
    assert (await reader.readline()).startswith(b"RTSP/1.0 ")
    writer.close()
    await demo.stop()
    with pytest.raises(OSError, match=str(back.rtsp_port)):
        await asyncio.open_connection("127.0.0.1", back.rtsp_port)


async def test_a_camera_that_cannot_start_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/bin/true")
    demo = DemoCameras(tmp_path / "demo")
    with pytest.raises(HostError, match="did not start"):
        await demo.start(1)
    await demo.stop()
