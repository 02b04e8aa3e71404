"""The tables of what hostile cameras do, and what the pages must not take from them."""

from __future__ import annotations

import re
import struct
from fractions import Fraction
from html.parser import HTMLParser

import av

from tests.e2e.hostile_box import BAD4, BOX4, BOX6
from tests.e2e.hostile_camera import (
    FLOOD,
    Trick,
    announcement,
    answers,
    asks_for_login_for_ever,
    pours,
    says_nothing,
    speaks_garbage,
)

FOREIGN = "10.93.0.66"
"""Another address of the hostile host; whoever is led there has been led astray."""
OK = "RTSP/1.0 200 OK\nCSeq: {cseq}\n"
MOVED = "RTSP/1.0 302 Moved\nCSeq: {cseq}\nContent-Length: 0\nLocation: "


TRICKS: dict[str, Trick] = {
    "garbage": speaks_garbage,
    "endless headers": answers(OK, endless=b"X-Y: zzzzzzzzzz\r\n" * 4000),
    "endless line": answers("RTSP/1.0 200 ", endless=FLOOD),
    "huge body": answers(OK + "Content-Length: 1000000000000\n\n", endless=FLOOD),
    "negative body": answers(OK + "Content-Length: -5\n", "xxxxx"),
    "two lengths": answers(OK + "Content-Length: 1\nContent-Length: 200000\n", "x"),
    "login for ever": asks_for_login_for_ever,
    "moved to another host": answers(f"{MOVED}rtsp://{FOREIGN}/x\n"),
    "moved to the gateway": answers(f"{MOVED}rtsp://{BOX4}:7740/x\n"),
    "moved to loopback": answers(f"{MOVED}rtsp://127.0.0.1:8080/x\n"),
    "answers before it is asked": pours(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n" * 500),
    "asks without an end": pours(b"OPTIONS * RTSP/1.0\r\nCSeq: 7\r\n\r\n" * 500),
    "frames for ever": pours(b"$\x00\xff\xff" + bytes(65535)),
    "frames that lie": pours(b"$\x07\xff\xff" + b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n" * 7),
    "pours": pours(FLOOD),
    "no picture": answers(OK + "Content-Type: application/sdp\nContent-Length: 5\n", "v=0\r\n"),
    "description of garbage": answers(OK + "Content-Length: 5\n", "\x00\xff<>"),
    "not RTSP": answers("HTTP/1.1 200 OK\nContent-Length: 0\n"),
}


SLOW: dict[str, Trick] = {
    "silence": says_nothing,
    "one octet at a time": pours(b"R", pause=0.2),
    "one header at a time": answers(OK, endless=b"X: y\r\n", pause=0.2),
}


HTTP_OK = "HTTP/1.1 200 OK\nContent-Type: {kind}\n"
FACTS = '{{"serial": "{serial}", "name": "<img src=x onerror=alert(1)>", "mac": "\\u001b[2J"}}'
HTTP_TRICKS: dict[str, Trick] = {
    "garbage": speaks_garbage,
    "endless headers": answers("HTTP/1.1 200 OK\n", endless=b"X-Y: zzzzzzzzzz\r\n" * 4000),
    "endless line": answers("HTTP/1.1 200 ", endless=FLOOD),
    "endless body": answers("HTTP/1.1 200 OK\n\n", endless=FLOOD),
    "endless chunks": answers(
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n", endless=b"10\r\n" + b"A" * 16 + b"\r\n"
    ),
    "huge body": answers("HTTP/1.1 200 OK\nContent-Length: 1000000000000\n\n", endless=FLOOD),
    "login for ever": asks_for_login_for_ever,
    "moved to another host": answers(
        f"HTTP/1.1 302 Found\nContent-Length: 0\nLocation: http://{FOREIGN}/info.json\n"
    ),
    "moved to the gateway": answers(
        f"HTTP/1.1 307 Found\nContent-Length: 0\nLocation: http://{BOX4}:8080/api/v1/status\n"
    ),
    "moved to loopback": answers(
        "HTTP/1.1 301 Moved\nContent-Length: 0\nLocation: http://127.0.0.1:8080/\n"
    ),
    "moved in a circle": answers("HTTP/1.1 302 Found\nContent-Length: 0\nLocation: /info.json\n"),
    "moved to a file": answers(
        "HTTP/1.1 302 Found\nContent-Length: 0\nLocation: file:///etc/passwd\n"
    ),
    "facts without an end": answers("HTTP/1.1 200 OK\nContent-Length: 9000\n", "[" * 9000),
    "not the facts": answers("HTTP/1.1 200 OK\nContent-Length: 2\n", "[]"),
}


def virtual(serial: str, rtsp: int, http: int, name: bytes = b"") -> bytes:
    """Return an announcement that looks like one of the product's own virtual cameras."""
    properties = {"maker": "Softnet", "model": "Virtual", "id": serial, "path": "/main"}
    ports = {"rtsp": str(rtsp), "http": str(http)}
    host = b"evil-" + serial.encode()
    return announcement(name or serial.encode(), rtsp, properties | ports, [BAD4], host=host)


EVIL_NAMES = (
    b"<script>alert('x')</script>",
    b"\"'><img src=x onerror=alert(1)>",
    b"\x1b[2J\x00\x07\r\nSet-Cookie: a=b",
    "\u202eevil\u2066 {{ 7 * 7 }} ${7*7}".encode(),
    b"\xff\xfe\xfd not text",
    b"../../etc/passwd",
    b"'; DROP TABLE device; --",
)


WRONG_ADDRESSES = {
    "LOOP0001": ["127.0.0.1"],
    "LOOP0002": ["::1"],
    "OWN00001": [BOX4],
    "OWN00002": ["10.91.0.1", "10.92.0.1"],
    "OWN00003": [BOX6],
    "MAPPED01": ["::ffff:127.0.0.1"],
    "MAPPED02": [f"::ffff:{BOX4}"],
    "MULTI001": ["224.0.0.251"],
    "NONE0001": ["0.0.0.0"],
    "NONE0002": ["::"],
    "BROAD001": ["255.255.255.255"],
}


class Tags(HTMLParser):
    """Notes elements and attributes that only an announcement can have brought into a page."""

    def __init__(self) -> None:
        super().__init__()
        self.bad: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {name for name, _ in attrs}
        if any(name.startswith("on") for name in names) or tag == "b":
            self.bad.append(f"{tag} {attrs}")
        if tag == "script" and "src" not in names:
            self.bad.append(f"{tag} {attrs}")
        if tag == "img" and dict(attrs).get("src") == "x":
            self.bad.append(f"{tag} {attrs}")


def huge_picture() -> bytes:
    """Return an interleaved H.264 key picture of 64 megapixels; it takes some hundred octets."""
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width = encoder.height = 8192
    encoder.pix_fmt = "yuv420p"
    encoder.time_base = Fraction(1, 10)
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "slices": "1"}
    frame = av.VideoFrame(8192, 8192, "yuv420p")
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    octets = b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
    units = [each for each in re.split(b"\x00\x00\x00?\x01", octets) if each]
    frames = []
    packets = [(unit, False) for unit in units]
    number = 0
    for at, (unit, _) in enumerate(packets):
        pieces = [unit]
        if len(unit) > 1400:
            kind, rest = unit[0], unit[1:]
            chunks = [rest[n : n + 1400] for n in range(0, len(rest), 1400)]
            pieces = [
                bytes(
                    (
                        kind & 0x60 | 28,
                        kind & 0x1F | 0x80 * (n == 0) | 0x40 * (n == len(chunks) - 1),
                    )
                )
                + chunk
                for n, chunk in enumerate(chunks)
            ]
        for n, piece in enumerate(pieces):
            number += 1
            last = at == len(packets) - 1 and n == len(pieces) - 1
            head = struct.pack("!BBHII", 0x80, 96 | 0x80 * last, number, 1000, 7)
            payload = head + piece
            frames.append(struct.pack("!cBH", b"$", 0, len(payload)) + payload)
    return b"".join(frames)
