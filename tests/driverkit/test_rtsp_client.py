"""The RTSP conversation against scripted servers; whole cameras are in tests/drivers."""

from __future__ import annotations

import asyncio
import random
import shutil
from contextlib import asynccontextmanager

import pytest

from gateway.base.clock import SystemClock
from gateway.base.entropy import SystemEntropy
from gateway.base.errors import Denied, InvalidInput
from gateway.base.secret import Secret
from gateway.driverkit import errors, keyframe, rtsp_client
from gateway.driverkit.addresses import AddressPolicy
from gateway.driverkit.digest import CameraCredentials
from gateway.driverkit.driver import DeviceTarget, DriverTools, RtspAddress
from gateway.driverkit.rtsp_client import RtspConversation

OK = b"RTSP/1.0 200 OK\r\nCSeq: %d\r\n"
SDP = b"v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:t\r\n"


async def dial(address: str, port: int, *, timeout_s: float):
    async with asyncio.timeout(timeout_s):
        return await asyncio.open_connection(address, port)


@asynccontextmanager
async def scripted(*answers: bytes, policy: AddressPolicy | None = None, keep: bool = False):
    """Serve the answers, one to each request (with its CSeq filled in), then close."""
    address = f"127.13.{random.randrange(1, 255)}.{random.randrange(1, 255)}"
    asked: list[bytes] = []
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for number, answer in enumerate(answers, 1):
                asked.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(answer.replace(b"%d", str(number).encode()))
                await writer.drain()
            await reader.read()
        except (OSError, asyncio.IncompleteReadError):
            pass
        writer.close()
        done.set()

    server = await asyncio.start_server(serve, address, 0)
    port = server.sockets[0].getsockname()[1]
    credentials = CameraCredentials("admin", Secret("secret-word"))
    target = DeviceTarget(address=address, credentials=credentials)
    tools = DriverTools.lend(
        target,
        dial=dial,
        policy=policy or AddressPolicy(allow_loopback=True),
        clock=SystemClock(),
        entropy=SystemEntropy(),
    )
    conversation = RtspConversation(
        address, RtspAddress("ignored", port, "/main"), tools=tools, credentials=credentials,
        keep_frames=keep,
    )  # fmt: skip
    await conversation.open()
    try:
        yield conversation, asked
    finally:
        await conversation.close()
        await done.wait()
        server.close()
        await server.wait_closed()


async def test_answers_are_found_among_media_and_foreign_requests():
    noise = b"$\x00\x00\x03abc" + b"OPTIONS * RTSP/1.0\r\nCSeq: 77\r\n\r\n"
    late = b"RTSP/1.0 200 OK\r\nCSeq: 99\r\nPublic: WRONG\r\n\r\n"
    answer = noise + late + OK + b"Public: OPTIONS, describe\r\n\r\n"
    async with scripted(answer) as (conversation, asked):
        assert await conversation.options() == ("DESCRIBE", "OPTIONS")
        assert asked[0].startswith(b"OPTIONS rtsp://127.13.")
        assert b"secret-word" not in asked[0]


async def test_the_base_of_a_description_is_always_here():
    head = b"Content-Base: rtsp://u:p@192.0.2.1:9/x/\r\nContent-Length: " + str(len(SDP)).encode()
    async with scripted(OK + head + b"\r\n\r\n" + SDP) as (conversation, _):
        described = await conversation.describe()
        assert described.base == conversation.url.removesuffix("/main") + "/x/"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", errors.Misbehaved),
        (b"RTSP/1.0 401 No\r\nCSeq: %d\r\n\r\n", errors.Unsupported),
        (b"RTSP/1.0 403 No\r\nCSeq: %d\r\n\r\n", errors.CredentialsRefused),
        (b"RTSP/1.0 404 No\r\nCSeq: %d\r\n\r\n", errors.Unsupported),
        (b"RTSP/1.0 453 No\r\nCSeq: %d\r\n\r\n", errors.Busy),
        (b"RTSP/1.0 302 Go\r\nCSeq: %d\r\nLocation: rtsp://x/\r\n\r\n", errors.Unsupported),
        (b"RTSP/1.0 500 Oh\r\nCSeq: %d\r\n\r\n", errors.Unsupported),
        (OK + b"\r\n", errors.Misbehaved),
        (b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n" * 100, errors.Misbehaved),
    ],
)
async def test_each_answer_has_its_error(answer, error):
    async with scripted(answer) as (conversation, _):
        with pytest.raises(error):
            await conversation.describe()


async def test_a_wrong_login_is_sent_once():
    no = b'RTSP/1.0 401 No\r\nCSeq: %d\r\nWWW-Authenticate: Digest realm="a", nonce="%d"\r\n\r\n'
    async with scripted(no, no, no) as (conversation, asked):
        with pytest.raises(errors.CredentialsRefused):
            await conversation.describe()
        assert len(asked) == 2
        assert b"Authorization: Digest" in asked[1]
        assert b"secret-word" not in b"".join(asked)


async def test_a_silent_server_is_given_up(monkeypatch):
    monkeypatch.setattr(rtsp_client, "ANSWER_SECONDS", 0.2)
    async with scripted(b"") as (conversation, _):
        with pytest.raises(errors.Unreachable):
            await conversation.options()


async def test_nobody_there_and_forbidden_places():
    server = await asyncio.start_server(lambda r, w: w.close(), "127.13.4.4", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    for policy, error in (
        (AddressPolicy(allow_loopback=True), errors.Unreachable),
        (AddressPolicy(), Denied),
    ):
        lent = DriverTools.lend(
            DeviceTarget(address="192.0.2.1"),
            dial=dial, policy=policy, clock=SystemClock(), entropy=SystemEntropy(),
        )  # fmt: skip
        conversation = RtspConversation(
            "127.13.4.4", RtspAddress("x", port), tools=lent, credentials=None
        )
        with pytest.raises(error):
            await conversation.open()
        with pytest.raises(errors.Unreachable):
            await conversation.options()
        await conversation.close()


async def test_frames_come_with_their_payload_when_kept():
    playing = OK + b"\r\n$\x00\x00\x03abc$\x01\x00\x01z"
    async with scripted(playing, keep=True) as (conversation, _):
        await conversation.play()
        seen = []
        async for frame in conversation.frames(silence_s=1):
            seen.append((frame.channel, frame.payload))
            if len(seen) == 2:
                break
        assert seen == [(0, b"abc"), (1, b"z")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rtsp://10.0.0.2", RtspAddress("10.0.0.2", 554, "/")),
        (" RTSP://Cam.local:8554/a?b=c ", RtspAddress("cam.local", 8554, "/a?b=c")),
        ("rtsp://[2001:db8::1]/x", RtspAddress("2001:db8::1", 554, "/x")),
    ],
)
def test_addresses_are_taken_apart(text, expected):
    address = RtspAddress.parse(text)
    assert address == expected
    assert RtspAddress.parse(address.url) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10.0.0.2",
        "http://x/",
        "rtsp://",
        "rtsp://u@x/",
        "rtsp://x:0x/",
        "rtsp://[::1",
        "rtsp://x/\ny",
        "rtsp://x/" + "a" * 1100,
    ],
)
def test_wrong_addresses_are_refused(text):
    with pytest.raises(InvalidInput):
        RtspAddress.parse(text)


async def test_pictures_that_cannot_be_decoded():
    with pytest.raises(errors.Misbehaved):
        await keyframe.picture_as_jpeg("H264", b"\0\0\0\1\x65garbage")
    with pytest.raises(errors.Unsupported):
        await keyframe.picture_as_jpeg("VP8", b"")


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
@pytest.mark.parametrize(("codec", "encoder"), [("H264", "libx264"), ("H265", "libx265")])
async def test_key_pictures_become_jpeg(codec, encoder):
    made = await asyncio.create_subprocess_exec(
        "ffmpeg", "-loglevel", "quiet", "-f", "lavfi", "-i", "testsrc2=size=322x242:rate=1",
        "-frames:v", "1", "-pix_fmt", "yuv420p", "-c:v", encoder, "-f", {"H265": "hevc"}.get(
            codec, "h264"), "-", stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    octets, _ = await made.communicate()
    jpeg = await keyframe.picture_as_jpeg(codec, octets)
    import av

    frame = av.CodecContext.create("mjpeg", "r").decode(av.Packet(jpeg))[0]
    assert (frame.width, frame.height) == (322, 242)
    # Not a grey or black field: a test picture has all colours.
    assert len(set(bytes(frame.planes[0]))) > 100
