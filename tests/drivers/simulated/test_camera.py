"""The virtual camera as programs of other people see it: ffmpeg, ffprobe, plain HTTP."""

from __future__ import annotations

import asyncio
import json
import shutil
from contextlib import asynccontextmanager
from urllib.parse import quote

import aiohttp
import pytest

from drivers.simulated import camera as program
from drivers.simulated import gst_camera
from tests.drivers.cameras import PASSWORD, USER, stranger, virtual_camera

LOGIN = f"{USER}:{quote(PASSWORD, safe='')}"

needs_ffmpeg = pytest.mark.skipif(
    shutil.which("ffmpeg") is None, reason="ffmpeg is not installed (apt install ffmpeg)"
)


async def run(*command: str, seconds: float = 30) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(seconds):
            out, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, out.decode(), said.decode()


def stream_url(camera: dict, path: str = "/main", login: str = LOGIN) -> str:
    return f"rtsp://{login}@{camera['address']}:{camera['rtsp_port']}{path}"


async def pull(camera: dict, transport: str, *, path: str = "/main", frames: int = 20) -> list[str]:
    """Return the checksums of decoded frames, as ffmpeg sees them."""
    code, out, said = await run(
        "ffmpeg", "-hide_banner", "-loglevel", "error", "-rtsp_transport", transport,
        "-i", stream_url(camera, path), "-frames:v", str(frames), "-f", "framemd5", "-",
    )  # fmt: skip
    assert code == 0, said
    return [line.split(",")[-1].strip() for line in out.splitlines() if not line.startswith("#")]


@asynccontextmanager
async def control(camera: dict):
    base = f"http://127.0.0.1:{camera['control_port']}"
    async with aiohttp.ClientSession(base) as session:
        yield session


async def state(camera: dict) -> dict:
    async with control(camera) as session, session.get("/") as answer:
        return await answer.json()


async def faults(camera: dict, spec: str) -> dict:
    async with control(camera) as session, session.post("/faults", data=spec) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


@needs_ffmpeg
@pytest.mark.timeout_s(90)
@pytest.mark.parametrize("login", ["any", "md5", "basic"])
async def test_ffmpeg_pulls_over_tcp_and_udp(tmp_path, login):
    async with virtual_camera(tmp_path, "--login", login) as camera:
        for transport in ("tcp", "udp"):
            sums = await pull(camera, transport)
            assert len(sums) == 20
            assert len(set(sums)) > 15, "the picture does not move"
        seen = await state(camera)
        assert seen["plays"] == 2
        assert seen["logins_refused"] == 0
        assert seen["encoder_starts"] <= 2


@needs_ffmpeg
@pytest.mark.timeout_s(60)
async def test_ffprobe_reads_both_streams_and_a_stranger_stays_out(tmp_path):
    async with virtual_camera(tmp_path) as camera:
        for path, size in (("/main", (640, 360)), ("/sub", (320, 180)), ("/", (640, 360))):
            code, out, said = await run(
                "ffprobe", "-loglevel", "error", "-rtsp_transport", "tcp",
                "-show_streams", "-of", "json", stream_url(camera, path),
            )  # fmt: skip
            assert code == 0, said
            stream = json.loads(out)["streams"][0]
            assert (stream["codec_name"], (stream["width"], stream["height"])) == ("h264", size)
        code, _, said = await run(
            "ffprobe", "-loglevel", "error", "-rtsp_transport", "tcp",
            stream_url(camera, login=f"{USER}:wrong"),
        )  # fmt: skip
        assert code != 0
        assert "401" in said
        assert (await state(camera))["logins_refused"] == 1


@needs_ffmpeg
@pytest.mark.timeout_s(60)
async def test_many_watch_one_encoder_and_it_stops_after_the_last(tmp_path):
    async with virtual_camera(tmp_path) as camera:
        both = [asyncio.create_task(pull(camera, "tcp")) for _ in range(3)]
        assert [len(each) for each in await asyncio.gather(*both)] == [20, 20, 20]
        seen = await state(camera)
        assert seen["encoder_starts"] == 1
        async with asyncio.timeout(10):
            while (await state(camera))["encoders"]:
                await asyncio.sleep(0.2)


@needs_ffmpeg
@pytest.mark.timeout_s(60)
async def test_media_faults_as_a_viewer_sees_them(tmp_path):
    async with virtual_camera(tmp_path, "--faults", "drop_after=1.5") as camera:
        url = stream_url(camera)
        quiet = ("ffmpeg", "-hide_banner", "-loglevel", "error", "-rtsp_transport", "tcp")
        _, out, _ = await run(*quiet, "-i", url, "-t", "20", "-f", "framemd5", "-", seconds=15)
        frames = [line for line in out.splitlines() if not line.startswith("#")]
        assert len(frames) < 60, "the camera did not drop the connection"
        await faults(camera, "none,stall")
        code, _, _ = await run(
            *quiet, "-timeout", "1500000", "-i", url, "-frames:v", "1", "-f", "null", "-"
        )
        assert code != 0
        await faults(camera, "none,busy")
        code, _, said = await run(*quiet, "-i", url, "-frames:v", "1", "-f", "null", "-")
        assert code != 0
        assert "453" in said
        await faults(camera, "none,one_session")
        assert len(await pull(camera, "tcp", frames=5)) == 5
        assert (await faults(camera, "none"))["one_session"] is False


@pytest.mark.timeout_s(40)
async def test_its_web_face(tmp_path):
    async with virtual_camera(tmp_path, "--name", "<b>Door</b>") as camera:
        base = f"http://{camera['address']}:{camera['http_port']}"
        login = aiohttp.DigestAuthMiddleware(USER, PASSWORD)
        async with aiohttp.ClientSession(base) as session, session.get("/info.json") as answer:
            assert answer.status == 401
            offers = answer.headers.getall("WWW-Authenticate")
        assert [each.partition("algorithm=")[2].partition(",")[0] for each in offers] == [
            "SHA-256",
            "MD5",
        ]
        async with aiohttp.ClientSession(base, middlewares=[login]) as session:
            async with session.get("/info.json") as answer:
                facts = await answer.json()
            async with session.get("/snapshot.jpg") as answer:
                picture = await answer.read()
            async with session.get("/") as answer:
                page = await answer.text()
        assert facts["serial"] == camera["serial"]
        assert picture.startswith(b"\xff\xd8")
        assert "&lt;b&gt;Door" in page
        async with control(camera) as session, session.post("/faults", data="nonsense") as answer:
            assert answer.status == 400


async def test_the_same_name_is_the_same_camera(tmp_path):
    serials = []
    for name in ("One", "One", "Two"):
        async with virtual_camera(tmp_path, "--name", name) as camera:
            serials.append((camera["serial"], camera["mac"], camera["identity"]))
    assert serials[0] == serials[1] != serials[2]


@pytest.mark.parametrize("arguments", [["--size", "9x9"], ["--fps", "90"], ["--login", "none"]])
def test_wrong_options_are_refused(arguments, capsys):
    with pytest.raises(SystemExit):
        program.options(arguments)
    capsys.readouterr()


@needs_ffmpeg
@pytest.mark.timeout_s(60)
async def test_the_stranger_serves_the_same_viewers(tmp_path):
    assert gst_camera.options(["--path", "/x"]).path == ["/x"]
    async with stranger(tmp_path) as camera:
        sums = await pull(camera, "tcp", path=camera["path"])
        assert len(set(sums)) > 15


@needs_ffmpeg
@pytest.mark.timeout_s(60)
@pytest.mark.skipif(shutil.which("gst-launch-1.0") is None, reason="GStreamer is not installed")
@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_a_second_player_of_another_family(tmp_path, transport):
    if (await run("gst-inspect-1.0", "rtspsrc"))[0] != 0:
        pytest.skip("GStreamer's rtspsrc is not installed (gstreamer1.0-plugins-good)")
    async with virtual_camera(tmp_path) as camera:
        place = f"{camera['address']}:{camera['rtsp_port']}"
        code, _, said = await run(
            "gst-launch-1.0", "-q", "rtspsrc", f"location=rtsp://{place}/main",
            f"user-id={USER}", f"user-pw={PASSWORD}", f"protocols={transport}", "latency=0",
            "!", "rtph264depay", "!", "h264parse", "!", "fakesink", "num-buffers=20",
        )  # fmt: skip
        assert code == 0, said
        seen = await state(camera)
        assert (seen["plays"], seen["methods"].get("TEARDOWN")) == (1, 1)
