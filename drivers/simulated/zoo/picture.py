"""The camera's eye: a test picture with a running clock, encoded once by ffmpeg, watched by many.

The encoder runs only while somebody watches and stops soon after the last one has left.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

from drivers.simulated.zoo.packets import CLOCK, CodedPicture, PictureSplitter

LINGER_SECONDS = 3.0
"""An encoder outlives its last viewer a little: a player opens, closes and opens again."""

QUEUE_PICTURES = 50
"""Pictures that wait for a slow viewer before it loses some: two seconds."""

FIRST_PICTURE_SECONDS = 15.0
"""ffmpeg's start on a loaded small machine."""

SNAPSHOT_AGE_SECONDS = 0.5
"""A snapshot is made once for all who ask within half a second."""

WATCHERS_MAX = 64

_FONTS = (
    Path("/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf"),
    Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"),
)


class CameraBlind(Exception):
    """No picture can be had: ffmpeg is missing or failed, or too many watch."""


class Eye:
    """One stream's source of coded pictures."""

    def __init__(self, *, width: int, height: int, fps: int, label: str) -> None:
        self.width, self.height, self.fps = width, height, fps
        self._label = label
        self._watchers: set[asyncio.Queue[CodedPicture | None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._last_key: CodedPicture | None = None
        self._key_came = asyncio.Event()
        self._shot: tuple[float, bytes] = (0.0, b"")
        self._shooting = asyncio.Lock()
        self.starts = 0

    @property
    def running(self) -> bool:
        """Whether the encoder runs at this moment."""
        return self._task is not None and not self._task.done()

    @property
    def viewers(self) -> int:
        """How many watch at this moment."""
        return len(self._watchers)

    async def pictures(self) -> AsyncIterator[CodedPicture]:
        """Yield pictures from the next key picture on, for as long as the caller likes."""
        if len(self._watchers) >= WATCHERS_MAX:
            raise CameraBlind("too many watch")
        queue: asyncio.Queue[CodedPicture | None] = asyncio.Queue()
        self._watchers.add(queue)
        try:
            self._start()
            waits_for_key = True
            while (picture := await queue.get()) is not None:
                if queue.qsize() > QUEUE_PICTURES:
                    while queue.qsize():
                        queue.get_nowait()
                    waits_for_key = True
                    continue
                waits_for_key = waits_for_key and not picture.is_key
                if not waits_for_key:
                    yield picture
        finally:
            self._watchers.discard(queue)

    async def key_picture(self) -> CodedPicture:
        """Return the newest key picture of a running encoder, starting one where needed."""
        if not self.running or self._last_key is None:
            self._key_came.clear()
            self._start()
            try:
                async with asyncio.timeout(FIRST_PICTURE_SECONDS):
                    await self._key_came.wait()
            except TimeoutError:
                raise CameraBlind("the encoder gave no picture") from None
        if self._last_key is None:
            raise CameraBlind("the encoder ended")
        return self._last_key

    async def snapshot(self) -> bytes:
        """Return the present picture as JPEG."""
        async with self._shooting:
            made_at, shot = self._shot
            if not shot or time.monotonic() - made_at > SNAPSHOT_AGE_SECONDS:
                shot = await self._as_jpeg(await self.key_picture())
                self._shot = (time.monotonic(), shot)
            return shot

    async def close(self) -> None:
        """Stop the encoder."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _start(self) -> None:
        if not self.running:
            self.starts += 1
            self._last_key = None
            self._task = asyncio.create_task(self._run(), name=f"encoder {self._label}")

    async def _run(self) -> None:
        splitter = PictureSplitter()
        try:
            process = await self._encoder()
        except CameraBlind:
            self._end_all()
            return
        assert process.stdout is not None
        start = int(time.monotonic() * CLOCK)
        count = 0
        idle_since: float | None = None
        try:
            while data := await process.stdout.read(65536):
                for units in splitter.feed(data):
                    timestamp = (start + count * CLOCK // self.fps) & 0xFFFFFFFF
                    count += 1
                    self._publish(CodedPicture(units, timestamp, time.time()))
                now = time.monotonic()
                idle_since = None if self._watchers else idle_since or now
                if idle_since is not None and now - idle_since > LINGER_SECONDS:
                    break
        finally:
            self._end_all()
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def _end_all(self) -> None:
        self._last_key = None
        self._key_came.set()
        for queue in self._watchers:
            queue.put_nowait(None)

    def _publish(self, picture: CodedPicture) -> None:
        if picture.is_key:
            self._last_key = picture
            self._key_came.set()
        for queue in self._watchers:
            queue.put_nowait(picture)

    async def _encoder(self) -> asyncio.subprocess.Process:
        source = f"testsrc2=size={self.width}x{self.height}:rate={self.fps}"
        font = next((each for each in _FONTS if each.exists()), None)
        if font is not None:
            size = max(12, self.height // 9)
            clock = (
                f"drawtext=fontfile={font}:text='%{{localtime\\:%T}}'"
                f":x=(w-tw)/2:y=h-th-{size // 2}:fontsize={size}"
                ":fontcolor=white:box=1:boxcolor=black:boxborderw=6"
            )
            source = f"{source},{clock}"
        return await _ffmpeg(
            "-re", "-f", "lavfi", "-i", source,
            "-an", "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency",
            "-profile:v", "baseline", "-pix_fmt", "yuv420p", "-threads", "1",
            "-g", str(self.fps), "-keyint_min", str(self.fps), "-sc_threshold", "0",
            "-x264-params", "repeat-headers=1:slices=1:aud=1",
            "-b:v", "600k", "-maxrate", "900k", "-bufsize", "600k",
            "-f", "h264", "-flush_packets", "1", "pipe:1",
        )  # fmt: skip

    async def _as_jpeg(self, picture: CodedPicture) -> bytes:
        process = await _ffmpeg(
            "-f", "h264", "-i", "pipe:0", "-frames:v", "1", "-q:v", "5",
            "-f", "mjpeg", "pipe:1", has_input=True,
        )  # fmt: skip
        try:
            async with asyncio.timeout(10):
                octets, _ = await process.communicate(picture.annex_b)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if not octets:
            raise CameraBlind("the picture could not be made")
        return octets


async def _ffmpeg(*arguments: str, has_input: bool = False) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            "ffmpeg", "-hide_banner", "-loglevel", "error", "-nostats", *arguments,
            stdin=asyncio.subprocess.PIPE if has_input else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
    except FileNotFoundError:
        raise CameraBlind("ffmpeg is not installed") from None
