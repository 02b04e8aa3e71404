"""What relays do to octets: the scenes that each of them has to pass without a blemish.

Everything sent is whole interleaved frames, so that the tunnel of a camera, which reads what the
client says, can be put through the same scenes as relays that do not look. A scene raises Blemish.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.contenders import HOST, Relay

SECONDS = 30.0
"""For one whole step of a scene; only what hangs takes that long."""
RESET_SECONDS = 10.0
FRAME = 1_432
SHORT, LONG = 2_000 * FRAME, 8_000 * FRAME
END_BUFFER = 128 * 1024
"""The ends' own socket buffers; the kernel grants twice that, and the relay's part is the rest."""
STALL_SECONDS = 1.0
STALL_HELD = 4 * END_BUFFER + 4_000_000 // 8
"""Octets between both ends when the client stalls: their own, and a second at 4 Mbit/s."""
SPIN = 0.2
"""Share of a core above which a relay with nothing to do spins."""
CHANNEL_DOWN, CHANNEL_UP = 0, 1
"""Media to the client; receiver reports to the camera, of which nothing limits the content."""


class Blemish(Exception):
    """What a relay did that a plain connection would not have done."""


@dataclass
class Ends:
    """A connection through a relay, seen from both ends."""

    client: socket.socket
    camera: socket.socket
    cpu: Callable[[], float]

    def close(self) -> None:
        """Close both."""
        self.client.close()
        self.camera.close()


def frames(octets: int, channel: int, seed: int) -> bytes:
    """Return frames of random content, all together `octets` long."""
    content = random.Random(seed)
    head = struct.pack("!cBH", b"$", channel, FRAME - 4)
    return b"".join(head + content.randbytes(FRAME - 4) for _ in range(octets // FRAME))


DOWN = frames(LONG, CHANNEL_DOWN, 1)
UP = frames(LONG, CHANNEL_UP, 2)


def _check(what: str, true: object) -> None:
    if not true:
        raise Blemish(what)


def _sending(sock: socket.socket, data: bytes, *, end: bool = True) -> threading.Thread:
    def send() -> None:
        with contextlib.suppress(OSError):  # the other end tells what is missing
            sock.sendall(data)
            if end:
                sock.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


def _take(sock: socket.socket, count: int, *, pause: float = 0.0) -> bytes:
    """Return the next `count` octets, fewer at the end."""
    taken = bytearray()
    while len(taken) < count:
        part = sock.recv(min(65_536, count - len(taken)))
        if not part:
            break
        taken += part
        if pause:
            time.sleep(pause)
    return bytes(taken)


def _same(what: str, got: bytes, wanted: bytes) -> None:
    if got != wanted:
        mark = hashlib.sha1(got).hexdigest()[:8]
        raise Blemish(f"{what}: {len(got)} octets of {len(wanted)} ({mark})")


def _ended(what: str, sock: socket.socket) -> None:
    rest = _take(sock, 1 << 20)
    # A tunnel says goodbye to its camera.
    if rest and not rest.startswith(b"TEARDOWN "):
        raise Blemish(f"{what}: {len(rest)} octets after the end")


def duplex(ends: Ends) -> None:
    """Both ways at once, the reader of one of them slow, both directions ended."""
    came: list[bytes] = []

    def camera() -> None:
        came.append(_take(ends.camera, len(UP)))

    threads = [_sending(ends.client, UP), _sending(ends.camera, DOWN)]
    threads.append(threading.Thread(target=camera, daemon=True))
    threads[-1].start()
    _same("down", _take(ends.client, len(DOWN), pause=0.0002), DOWN)
    for thread in threads:
        thread.join(SECONDS)
    _same("up", came[0] if came else b"", UP)
    _ended("down", ends.client)
    _ended("up", ends.camera)


def client_closes_its_half(ends: Ends) -> None:
    """The client sends and ends its direction; the camera goes on sending."""
    sending = _sending(ends.client, UP)
    _same("up", _take(ends.camera, len(UP)), UP)
    sending.join(SECONDS)
    time.sleep(0.2)
    _sending(ends.camera, DOWN[:SHORT])
    _same("down after the client's end", _take(ends.client, SHORT), DOWN[:SHORT])
    _ended("down", ends.client)
    _ended("up", ends.camera)


def camera_closes_its_half(ends: Ends) -> None:
    """The camera sends and ends its direction; the client still sends."""
    _sending(ends.camera, DOWN[:SHORT])
    _same("down", _take(ends.client, SHORT), DOWN[:SHORT])
    _ended("down", ends.client)
    time.sleep(0.2)
    _sending(ends.client, UP)
    _same("up after the camera's end", _take(ends.camera, len(UP)), UP)
    _ended("up", ends.camera)


def _reset(ends: Ends, culprit: socket.socket, witness: socket.socket) -> None:
    _sending(ends.camera, DOWN[:FRAME], end=False)
    _same("before the reset", _take(ends.client, FRAME), DOWN[:FRAME])
    culprit.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    culprit.close()
    witness.settimeout(RESET_SECONDS)
    try:
        _take(witness, 1 << 20)
    except TimeoutError:
        raise Blemish("a reset is not passed on") from None
    except OSError:
        return
    raise Blemish("a reset is passed on as an orderly end")


def client_resets(ends: Ends) -> None:
    """A reset of the client reaches the camera as one."""
    _reset(ends, ends.client, ends.camera)


def camera_resets(ends: Ends) -> None:
    """A reset of the camera reaches the client as one."""
    _reset(ends, ends.camera, ends.client)


def _urgent(
    ends: Ends, source: socket.socket, sink: socket.socket, data: bytes, before: int
) -> None:
    cut = before * FRAME
    sending = _sending(source, data[:cut], end=False)
    got = _take(sink, cut)
    sending.join(SECONDS)
    source.send(b"!", socket.MSG_OOB)
    time.sleep(0.05)
    sending = _sending(source, data[cut : 2 * cut], end=False)
    sink.settimeout(RESET_SECONDS)
    try:
        got += _take(sink, cut)
    except TimeoutError:
        raise Blemish("it hangs at an urgent octet") from None
    # Without urgent data in its interface a relay may drop that octet or take it in line.
    if b"!" not in data[cut : cut + 1] and got[cut : cut + 1] == b"!":
        got = got[:cut] + got[cut + 1 :] + _take(sink, 1)
    _same("around an urgent octet", got, data[: 2 * cut])
    sending.join(SECONDS)
    began = ends.cpu()
    time.sleep(0.5)
    share = (ends.cpu() - began) / 0.5
    _check(f"it spins after an urgent octet ({share:.0%} of a core)", share < SPIN)


def urgent_of_the_client(ends: Ends) -> None:
    """One urgent octet among small frames of the client."""
    _urgent(ends, ends.client, ends.camera, UP, 3)


def urgent_of_the_camera(ends: Ends) -> None:
    """One urgent octet within a fast stream."""
    _urgent(ends, ends.camera, ends.client, DOWN, 2_000)


def client_stalls(ends: Ends) -> None:
    """A client that stops reading holds the camera back, costs nothing and loses nothing."""
    sent = 0
    ends.camera.setblocking(False)
    end = time.monotonic() + STALL_SECONDS
    while time.monotonic() < end:
        try:
            sent += ends.camera.send(DOWN[sent : sent + 65_536])
        except BlockingIOError:
            time.sleep(0.01)
    _check(f"a stalled client lets {sent} octets in", sent <= min(STALL_HELD, len(DOWN) - 1))
    began = ends.cpu()
    time.sleep(0.5)
    share = (ends.cpu() - began) / 0.5
    _check(f"it spins while the client stalls ({share:.0%} of a core)", share < SPIN)
    ends.camera.settimeout(SECONDS)
    _sending(ends.camera, DOWN[sent:])
    _same("after a stall", _take(ends.client, len(DOWN)), DOWN)
    _ended("down", ends.client)


SCENES: tuple[Callable[[Ends], None], ...] = (
    duplex,
    client_closes_its_half,
    camera_closes_its_half,
    client_resets,
    camera_resets,
    urgent_of_the_client,
    urgent_of_the_camera,
    client_stalls,
)


# -- through which the scenes are played

_DESCRIPTION = (
    "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=scene\r\nt=0 0\r\na=control:*\r\n"
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track0\r\n"
)


def _talk(client: socket.socket, listening: socket.socket) -> socket.socket:
    """Bring a connection to PLAY on both ends at once; return the camera's."""
    camera: socket.socket | None = None
    questions = (
        ("DESCRIBE", "", ""),
        ("SETUP", "/track0", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"),
        ("PLAY", "", "Session: {session}\r\n"),
    )
    session = ""
    for number, (method, track, more) in enumerate(questions, 1):
        more = more.format(session=session)
        client.sendall(
            f"{method} rtsp://camera/scene{track} RTSP/1.0\r\nCSeq: {number}\r\n{more}\r\n".encode()
        )
        while camera is None:
            camera, _ = listening.accept()
            camera.settimeout(SECONDS)
            if not camera.recv(1, socket.MSG_PEEK):
                camera.close()  # whoever asked whether the relay listens
                camera = None
        asked = _head(camera)
        body = _DESCRIPTION if method == "DESCRIBE" else ""
        fields = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n" if body else ""
        fields += "Session: 1\r\n" if not body else ""
        fields += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n" if track else ""
        cseq = _field(asked, "CSeq")
        camera.sendall(f"RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\n{fields}\r\n{body}".encode())
        told = _head(client)
        _check(f"{method} is answered {told.splitlines()[0]!r}", told.startswith("RTSP/1.0 200"))
        _take(client, int(_field(told, "Content-Length") or 0))
        session = _field(told, "Session").partition(";")[0]
    assert camera is not None
    return camera


def _head(sock: socket.socket) -> str:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        octet = sock.recv(1)
        _check("the dialogue breaks off", octet)
        head += octet
    return head.decode()


def _field(head: str, name: str) -> str:
    for line in head.splitlines():
        key, _, value = line.partition(":")
        if key.lower() == name.lower():
            return value.strip()
    return ""


@contextlib.contextmanager
def connected(relay: Relay, listening: socket.socket) -> Iterator[Ends]:
    """Yield a new connection through a relay, playing."""
    with socket.socket() as client:
        client.settimeout(SECONDS)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, END_BUFFER)
        client.connect(relay.address)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with _talk(client, listening) as camera:
            camera.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield Ends(client, camera, relay.cpu)


@contextlib.contextmanager
def staged(name: str, folder: Path, host: str = HOST) -> Iterator[tuple[Relay, socket.socket]]:
    """Start a relay before a listening camera."""
    with socket.create_server((host, 0)) as listening:
        listening.settimeout(SECONDS)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, END_BUFFER)
        relay = Relay(name, listening.getsockname()[:2], folder, host=host)
        try:
            yield relay, listening
        finally:
            relay.close()


def verify(name: str, folder: Path) -> list[str]:
    """Play every scene through a relay; return what was wrong."""
    faults = []
    for scene in SCENES:
        # A relay that spins or hangs after one scene must not fail the next.
        with staged(name, folder) as (relay, listening):
            try:
                with connected(relay, listening) as ends:
                    scene(ends)
            except (Blemish, OSError) as fault:
                faults.append(f"{scene.__name__}: {fault}")
    return faults
