from __future__ import annotations

import pytest

from tests.cameras.harness import PASSWORD, USER, Tap, gate, player, stranger, virtual_camera


def leaks(received: bytes, camera) -> list[bytes]:
    secrets = [PASSWORD, f"{USER}:", camera["address"], "192.0.2.99", "WWW-Authenticate"]
    return [each.encode() for each in secrets if each.encode() in received]


@pytest.mark.timeout_s(60)
@pytest.mark.parametrize(
    ("login", "faults"),
    [
        ("md5", "leak_credentials"),
        ("sha256", "foreign_control"),
        ("basic", ""),
        ("any", "stale_every=3,leak_credentials,foreign_control"),
    ],
)
async def test_ffmpeg_plays_through_the_mediator(tmp_path, login, faults):
    async with (
        virtual_camera(tmp_path, "--login", login, "--faults", faults) as camera,
        gate(camera) as opened,
        Tap().before(opened.address, opened.port) as tap,
    ):
        code, out, said = await player(
            "-rtsp_transport", "tcp", "-i", f"rtsp://{tap.address}:{tap.port}/main",
            "-frames:v", "100", "-an", "-f", "framemd5", "-",
        )  # fmt: skip
        assert code == 0, said
        frames = [line for line in out.splitlines() if line and line[0] != "#"]
        assert len(frames) == 100
        assert len({line.rsplit(",", 1)[1] for line in frames}) > 50  # the clock moves
        end = await opened.ends.get()
        assert end.octets_down >= len(tap.received) > 10_000
        assert end.fault is None
        assert not leaks(bytes(tap.received), camera)


@pytest.mark.timeout_s(60)
@pytest.mark.parametrize("login", ["digest", "basic"])
async def test_a_server_that_is_not_ours(tmp_path, login):
    async with (
        stranger(tmp_path, "--login", login) as camera,
        gate(camera, main=camera["path"]) as opened,
        Tap().before(opened.address, opened.port) as tap,
    ):
        code, out, said = await player(
            "-rtsp_transport", "tcp", "-show_streams", "-of", "json",
            f"rtsp://{tap.address}:{tap.port}/",
            program="ffprobe",
        )  # fmt: skip
        assert code == 0, said
        assert '"codec_name": "h264"' in out
        assert '"width": 640' in out
        assert not leaks(bytes(tap.received), camera)


@pytest.mark.timeout_s(60)
async def test_udp_is_answered_461_and_players_then_ask_for_tcp(tmp_path):
    async with virtual_camera(tmp_path) as camera, gate(camera) as opened:
        code, out, said = await player(
            "-i", f"rtsp://{opened.address}:{opened.port}/sub", "-frames:v", "5",
            "-f", "framemd5", "-",
        )  # fmt: skip
        assert code == 0, said
        assert len([line for line in out.splitlines() if line and line[0] != "#"]) == 5
