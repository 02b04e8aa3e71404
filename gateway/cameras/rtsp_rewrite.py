"""What a client may see of a camera's RTSP: URLs, headers and descriptions, rewritten (no I/O).

Everything is rebuilt from an allow-list, so that neither an address of the LAN nor a login that a
camera repeats can slip through. Client URLs are ``/main``, ``/sub``, ``/`` and ``<one>/track<n>``;
the camera's own paths never leave the gateway, so a client can only reach what DESCRIBE named.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, urlsplit

from gateway.base.errors import InvalidInput, NotFound, ProtocolViolation
from gateway.driverkit.digest import CameraCredentials
from gateway.driverkit.rtsp import Headers, Response
from gateway.driverkit.sdp import LINE_MAX, LINES_MAX, MEDIA_MAX, control_url

CLIENT_URL_MAX = 512
"""Characters of a client's URL: an authority and two short words."""
CAMERA_URL_MAX = 1024
"""Characters of a camera's URL; the longest known are near 500."""
MAIN = "main"
CHANNEL_MAX = 255
REMEMBERED_MAX = 64
"""Descriptions kept with what they were made of, for the next viewer: two for each camera."""
REMEMBERED_OCTETS = 8 * 1024
"""Octets of a description that is kept; real ones have under 3 KiB."""
NOWHERE = "0.0.0.0"  # noqa: S104  (an address that says nothing, RFC 4566 section 5.7)

_AUTHORITY = re.compile(r"[A-Za-z0-9.\-_:\[\]%]{1,255}", re.ASCII)
_STREAM = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_PLAIN_PLACE = re.compile(
    r"rtsp://([A-Za-z0-9.\-_:\[\]%]{1,255})/(?!track\d)([A-Za-z0-9._-]{1,64})?(?:/track(\d{1,2}))?/?",
    re.ASCII,
)
"""What nearly every client asks for; whatever else may be meant is taken apart piece by piece."""
_TRACK = re.compile(r"track(\d{1,2})", re.ASCII)
_PRINTABLE = re.compile(r"[\x21-\x7e]+", re.ASCII)
_TEXT = re.compile(r"[\x20-\x7e]*", re.ASCII)
_MEDIA = re.compile(r"([A-Za-z0-9]{1,16}) \d+(?:/\d+)? ([A-Za-z0-9/]{1,32})((?: [\w.-]{1,32})+)")
_BANDWIDTH = re.compile(r"[A-Za-z-]{1,16}:\d{1,10}", re.ASCII)
_TIMES = re.compile(r"\d{1,20} \d{1,20}", re.ASCII)
_ORIGIN = re.compile(r"\S+ (\d{1,20}) (\d{1,20}) ", re.ASCII)
_KEPT_ATTRIBUTES = frozenset(
    "rtpmap fmtp framerate framesize x-dimensions x-framerate cliprect recvonly sendonly sendrecv "
    "inactive range ptime maxptime rtcp-mux rtcp-fb quality mpeg4-esid x-onvif-track extmap".split()
)
_RTP_INFO_URL = re.compile(r'url="?(.*?)"?(?=;(?:seq|rtptime|ssrc)=|$)', re.IGNORECASE)
_RTP_INFO_NUMBER = re.compile(r";(seq|rtptime)=(\d{1,10})(?=;|$)", re.IGNORECASE)
_SSRC = re.compile(r"[0-9A-Fa-f]{1,8}", re.ASCII)
_MODE = re.compile(r'"?(PLAY)"?', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ClientPlace:
    """A client's URL taken apart. ``stream`` is "" for `/`; ``track`` is None for the whole."""

    authority: str
    stream: str
    track: int | None

    @property
    def name(self) -> str:
        """The stream's name; `/` is the main one."""
        return self.stream or MAIN

    @property
    def base(self) -> str:
        """The URL that relative controls start from, with a slash at its end."""
        return f"rtsp://{self.authority}/{self.stream}/" if self.stream else self.root

    @property
    def root(self) -> str:
        """The URL of the camera as a whole."""
        return f"rtsp://{self.authority}/"

    @classmethod
    def parse(cls, url: str) -> ClientPlace:
        """Take a client's URL apart. Raises InvalidInput (400) or NotFound (404)."""
        if plain := _PLAIN_PLACE.fullmatch(url):
            track = None if plain[3] is None else int(plain[3])
            return cls(plain[1], plain[2] or "", track)
        scheme, mark, rest = url.partition("://")
        if not mark or scheme.lower() != "rtsp" or len(url) > CLIENT_URL_MAX:
            raise InvalidInput("Ask with an address like rtsp://camera/main.")
        authority, _, path = rest.partition("/")
        authority = authority.partition("?")[0].rpartition("@")[2]
        if not _AUTHORITY.fullmatch(authority):
            raise InvalidInput("The host in the address is malformed.")
        parts = [part for part in path.partition("?")[0].split("/") if part]
        track = None
        if parts and (found := _TRACK.fullmatch(parts[-1])):
            track = int(found[1])
            parts.pop()
        if len(parts) > 1 or (parts and not _STREAM.fullmatch(parts[0])):
            raise NotFound("This camera offers /main and /sub.")
        return cls(authority, parts[0] if parts else "", track)


@dataclass(frozen=True, slots=True)
class Track:
    """One track of a description: where the camera wants it set up, and which way it flows.

    ``url`` is "" when the camera named no usable one.
    """

    url: str
    to_camera: bool = False


@dataclass(frozen=True, slots=True)
class Presentation:
    """A described stream on the camera's side; the client knows its tracks by their index."""

    url: str
    tracks: tuple[Track, ...]


def camera_url(base: str, place: str) -> str:
    """Return `place` as an URL at the host and port of `base`, or "" when it is malformed."""
    url = control_url(base, place.strip())
    usable = len(url) <= CAMERA_URL_MAX and _PRINTABLE.fullmatch(url)
    return url if usable else ""


def login_echoes(credentials: CameraCredentials | None) -> tuple[str, ...]:
    """Return how a camera may repeat a login inside an URL, plain and percent-encoded."""
    if credentials is None:
        return ()
    user, password = credentials.user, credentials.password.reveal()
    plain = f"{user}:{password}@"
    encoded = f"{quote(user, safe='')}:{quote(password, safe='')}@"
    return (plain, encoded) if plain != encoded else (plain,)


def without_echoes(response: Response, echoes: Collection[str]) -> Response:
    """Return the answer without logins in URLs: a slash in one would hide where the host begins."""
    if not any(_echoed(response, echo) for echo in echoes):
        return response
    items = []
    for name, value in response.headers:
        for echo in echoes:
            value = value.replace(echo, "")
        items.append((name, value))
    body = response.body
    for echo in echoes:
        body = body.replace(echo.encode(), b"")
    return Response(response.status, response.reason, Headers(items), body)


def _echoed(response: Response, echo: str) -> bool:
    return echo.encode() in response.body or any(echo in value for _, value in response.headers)


def rewrite_description(
    body: bytes, *, requested: str, base: str | None, stream: str, hosts: Collection[str]
) -> tuple[bytes, Presentation]:
    """Return the description for the client, and what it means on the camera's side.

    `requested` is the URL that was asked, `base` the camera's Content-Base or Content-Location.
    `hosts` are texts that must not appear. Raises ProtocolViolation when it describes no media.
    """
    rewritten = _remembered if len(body) <= REMEMBERED_OCTETS else _rewritten
    return rewritten(body, requested, base, stream, tuple(hosts))


def _rewritten(
    body: bytes, requested: str, base: str | None, stream: str, hosts: tuple[str, ...]
) -> tuple[bytes, Presentation]:
    lines = body.decode("utf-8", "replace").splitlines()
    if len(lines) > LINES_MAX:
        raise ProtocolViolation("The camera's stream description has too many lines.")
    # Of the base only the path counts: hosts and logins in it are not to be believed.
    start = camera_url(requested, base) if base and "://" in base else requested
    start = start or requested
    head: list[str] = []
    media: list[str] = []
    origin, times = "0 0", "0 0"
    whole = start
    controls: list[tuple[str, bool]] = []
    for line in lines:
        kind, equals, value = line.strip().partition("=")
        if not equals or len(line) > LINE_MAX:
            continue
        key, _, argument = value.partition(":")
        key = key.strip().lower()
        if kind == "m":
            found = _MEDIA.fullmatch(value.strip())
            if len(controls) >= MEDIA_MAX:
                break
            printed = f"{found[1]} 0 {found[2]}{found[3]}" if found else "application 0 RTP/AVP 0"
            controls.append(("", False))
            media += [f"m={printed}", f"a=control:track{len(controls) - 1}"]
        elif kind == "a" and key == "control":
            if not controls:
                whole = camera_url(start, argument) or start
            elif not controls[-1][0]:
                controls[-1] = (argument.strip(), controls[-1][1])
        elif kind == "a" and key in _KEPT_ATTRIBUTES and _TEXT.fullmatch(value):
            if controls and key == "sendonly":
                controls[-1] = (controls[-1][0], True)
            (media if controls else head).append(f"a={_scrubbed(value, hosts)}")
        elif kind == "b" and _BANDWIDTH.fullmatch(value.strip()):
            (media if controls else head).append(f"b={value.strip()}")
        elif kind == "o" and (found := _ORIGIN.match(value)):
            origin = f"{found[1]} {found[2]}"
        elif kind == "t" and not controls and _TIMES.fullmatch(value.strip()):
            times = value.strip()
    if not controls:
        raise ProtocolViolation("The camera's stream description names no stream.")
    opening = [
        "v=0", f"o=- {origin} IN IP4 {NOWHERE}", f"s={stream}", f"c=IN IP4 {NOWHERE}",
    ]  # fmt: skip
    # RFC 4566 section 5 fixes the order: b= lines before t=, attributes last.
    opening += [line for line in head if line[0] == "b"]
    opening += [f"t={times}", "a=control:*"]
    opening += [line for line in head if line[0] == "a"]
    tracks = tuple(
        Track(camera_url(start, control) if control else "", upward) for control, upward in controls
    )
    if len(tracks) == 1 and not tracks[0].url:
        tracks = (Track(whole, tracks[0].to_camera),)
    text = "\r\n".join([*opening, *media]) + "\r\n"
    return text.encode("utf-8"), Presentation(whole, tracks)


# All who watch a camera get the same description, and it is the dearest part of the dialogue.
_remembered = lru_cache(maxsize=REMEMBERED_MAX)(_rewritten)


def rewrite_rtp_info(
    value: str, presentation: Presentation, base: str, set_up: Sequence[int]
) -> str:
    """Return RTP-Info with the client's URLs; entries that belong to no track are left out."""
    entries: list[str] = []
    for position, entry in enumerate(re.split(r",\s*(?=url=)", value, flags=re.IGNORECASE)):
        if len(entries) >= MEDIA_MAX or not (found := _RTP_INFO_URL.match(entry.strip())):
            continue
        track = _track_of(found[1], presentation, position, set_up)
        if track is None:
            continue
        numbers = [f";{match[1].lower()}={match[2]}" for match in _RTP_INFO_NUMBER.finditer(entry)]
        entries.append(f"url={base}track{track}{''.join(numbers)}")
    return ",".join(entries)


def _track_of(
    url: str, presentation: Presentation, position: int, set_up: Sequence[int]
) -> int | None:
    wanted = _path(url)
    for index, track in enumerate(presentation.tracks):
        if track.url and _path(track.url) == wanted:
            return index
    for index, track in enumerate(presentation.tracks):
        if wanted.strip("/") and track.url.rstrip("/").endswith("/" + wanted.strip("/")):
            return index
    # Firmwares that print another URL than they described keep at least the order.
    return set_up[position] if position < len(set_up) else None


def _path(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def choose_channels(transport: str, track: int) -> tuple[int, int] | None:
    """Return the interleaved channels of the first offer over TCP, or None (461).

    An offer without channels gets those of its track's place.
    """
    for offer in transport.split(","):
        fields = [field.strip() for field in offer.split(";")]
        words = {field.partition("=")[0].lower(): field.partition("=")[2] for field in fields}
        if fields[0].upper() != "RTP/AVP/TCP" or "multicast" in words:
            continue
        if words.get("mode", "play").strip('"').lower() != "play":
            continue
        if "interleaved" not in words:
            return (2 * track, 2 * track + 1) if 2 * track < CHANNEL_MAX else None
        channels = _channels(words["interleaved"])
        if channels is not None:
            return channels
    return None


def camera_transport(value: str) -> tuple[str, tuple[int, int]]:
    """Return the camera's Transport without addresses, and its channels.

    Raises ProtocolViolation unless it is interleaved over TCP.
    """
    fields = [field.strip() for field in value.split(",", maxsplit=1)[0].split(";")]
    words = {field.partition("=")[0].lower(): field.partition("=")[2] for field in fields}
    channels = _channels(words.get("interleaved", ""))
    if fields[0].upper() != "RTP/AVP/TCP" or channels is None:
        raise ProtocolViolation("The camera does not send over the connection it was asked to.")
    printed = f"RTP/AVP/TCP;unicast;interleaved={channels[0]}-{channels[1]}"
    if _SSRC.fullmatch(words.get("ssrc", "")):
        printed += f";ssrc={words['ssrc']}"
    if _MODE.fullmatch(words.get("mode", "")):
        printed += ';mode="PLAY"'
    return printed, channels


def _channels(text: str) -> tuple[int, int] | None:
    first, dash, second = text.partition("-")
    if not _digits(first) or (dash and not _digits(second)):
        return None
    pair = int(first), int(second) if dash else int(first) + 1
    return pair if max(pair) <= CHANNEL_MAX else None


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 3


def filtered_methods(values: Iterable[str], allowed: Sequence[str]) -> str:
    """Return the methods that both the camera (Public, Allow) and the contract know."""
    named = {word.strip().upper() for value in values for word in value.split(",")}
    return ", ".join(method for method in allowed if not named - {""} or method in named)


def copied_headers(headers: Headers, names: Iterable[str], hosts: Collection[str]) -> Headers:
    """Return the headers of these names that are short, printable and hold no address."""
    items = []
    for name in names:
        value = headers.get(name)
        if value is not None and len(value) <= 256 and _TEXT.fullmatch(value):
            items.append((name, _scrubbed(value, hosts)))
    return Headers(items)


def scrubbed_body(body: bytes, hosts: Collection[str]) -> bytes:
    """Return a parameter list without the camera's addresses and logins."""
    text = body.decode("utf-8", "surrogateescape")
    return _scrubbed(text, hosts).encode("utf-8", "surrogateescape")


def _scrubbed(text: str, hosts: Collection[str]) -> str:
    for host in hosts:
        if host and host in text:
            text = text.replace(host, NOWHERE)
    return text
