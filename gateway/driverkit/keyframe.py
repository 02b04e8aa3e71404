"""One still picture out of a stream: its next key picture, decoded by PyAV in a thread.

PyAV is an optional part of the installation; without it a snapshot of this kind is Unsupported.
"""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING

from gateway.base.errors import ProtocolViolation
from gateway.driverkit.digest import CameraCredentials
from gateway.driverkit.driver import DriverTools, Picture, RtspAddress
from gateway.driverkit.errors import Misbehaved, Unreachable, Unsupported
from gateway.driverkit.rtp import START_CODE, PictureAssembler, parse_rtp
from gateway.driverkit.rtsp_client import RtspConversation
from gateway.driverkit.sdp import control_url

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

DECODE_SECONDS = 10.0
"""One 4K picture decodes and compresses in under a second on a small board."""

KEY_PICTURE_SECONDS = 15.0
"""Cameras send a key picture every 1 to 4 seconds, a few only every 10."""

PIXELS_MAX = 20_000_000
"""Pixels of a picture that is decoded at all, told to the decoder before it begins: 5K cameras have
under 15 million, and each million costs some 13 MB while it is made a JPEG."""

_CODECS = {"H264": "h264", "H265": "hevc", "JPEG": "mjpeg"}


async def picture_from_stream(
    host: str,
    source: RtspAddress,
    *,
    tools: DriverTools,
    credentials: CameraCredentials | None,
) -> Picture:
    """Watch the stream until its next key picture and return that as JPEG.

    Raises the device errors; Unsupported for codecs without a decoder here.
    """
    conversation = RtspConversation(
        host, source, tools=tools, credentials=credentials, keep_frames=True
    )
    try:
        async with asyncio.timeout(KEY_PICTURE_SECONDS):
            await conversation.open()
            codec, octets = await _key_picture(conversation)
            taken_at = tools.clock.wall()
    except TimeoutError:
        raise Unreachable("The camera sent no whole picture in time.") from None
    except ProtocolViolation as error:
        raise Misbehaved(str(error)) from None
    finally:
        await conversation.close()
    return Picture(await picture_as_jpeg(codec, octets), "image/jpeg", taken_at)


async def _key_picture(conversation: RtspConversation) -> tuple[str, bytes]:
    described = await conversation.describe()
    track = described.sdp.first("video")
    if track is None:
        raise Unsupported("The camera's stream has no picture.")
    if track.codec not in ("H264", "H265"):
        raise Unsupported(f"Pictures of codec {track.codec or 'unknown'} cannot be shown.")
    await conversation.setup(control_url(described.base, track.control))
    await conversation.play()
    assembler = PictureAssembler(track.codec)
    async for frame in conversation.frames():
        if frame.channel != 0:
            continue
        unit = assembler.feed(parse_rtp(frame.payload))
        if unit is not None and unit.is_key:
            sets = b"".join(START_CODE + each for each in track.parameter_sets)
            return track.codec, sets + unit.octets
    raise Unreachable("The camera ended the stream.")


async def picture_as_jpeg(codec: str, octets: bytes) -> bytes:
    """Return a JPEG of a key picture given in Annex B form with its parameter sets.

    Raises Unsupported (no PyAV, unknown codec) or Misbehaved (cannot be decoded).
    """
    name = _CODECS.get(codec)
    if name is None:
        raise Unsupported(f"Pictures of codec {codec or 'unknown'} cannot be shown.")
    try:
        async with asyncio.timeout(DECODE_SECONDS):
            return await asyncio.to_thread(_transcode, name, octets)
    except TimeoutError:
        raise Misbehaved("The camera's picture could not be decoded in time.") from None


def _transcode(codec: str, octets: bytes) -> bytes:
    try:
        import av
        import av.error
    except ImportError:
        raise Unsupported(
            "Snapshots from the stream need the package PyAV (pip install av)."
        ) from None
    try:
        frame = _first_frame(codec, octets)
        if frame.width * frame.height > PIXELS_MAX:
            raise Misbehaved("The camera's picture is too large.")
        sink = io.BytesIO()
        with av.open(sink, "w", format="mjpeg") as container:
            stream = container.add_stream("mjpeg", rate=1)
            stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "yuvj420p"
            stream.codec_context.color_range = 2
            container.mux(stream.encode(frame.reformat(format="yuvj420p", dst_color_range="JPEG")))
            container.mux(stream.encode(None))
        return sink.getvalue()
    except (av.error.FFmpegError, ValueError):
        raise Misbehaved("The camera's picture cannot be decoded.") from None


def _first_frame(codec: str, octets: bytes) -> VideoFrame:
    import av

    decoder = av.CodecContext.create(codec, "r")
    if not isinstance(decoder, av.VideoCodecContext):
        raise Unsupported(f"Pictures of codec {codec} cannot be shown.")
    decoder.thread_count = 1
    decoder.options = {"max_pixels": str(PIXELS_MAX)}
    frames = [*decoder.decode(av.Packet(octets)), *decoder.decode(None)]
    if not frames:
        raise Misbehaved("The camera's picture cannot be decoded.")
    return frames[0]
