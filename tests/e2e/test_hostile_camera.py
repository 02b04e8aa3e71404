"""Hostile devices on the LAN of the real daemon, while another camera is watched.

One story on one daemon: each trick ends with a clear sentence or without effect, the memory keeps
its bound, and neither the good camera nor its viewer notices.
"""

from __future__ import annotations

import random
import re
import threading
import time
import zlib
from asyncio import StreamReader
from collections.abc import Iterator

import pytest

from tests.e2e.hostile_box import BAD4, BOX4, ApiFault, Siege, inside, missing
from tests.e2e.hostile_camera import (
    FLOOD,
    SDP,
    Den,
    Reader,
    Writer,
    announcement,
    answers,
    asked,
    describes,
    says_nothing,
    shout,
)
from tests.e2e.hostile_tricks import (
    EVIL_NAMES,
    FACTS,
    FOREIGN,
    HTTP_OK,
    HTTP_TRICKS,
    SLOW,
    TRICKS,
    WRONG_ADDRESSES,
    Tags,
    huge_picture,
    virtual,
)
from tests.support.lan import wait_until

REASON = missing()
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON or "all is there")

GROWTH_MAX = 50.0
"""MB by which the daemon may grow at any moment."""
LOGIN = {"user": "root", "password": "given-to-evil"}
SENTENCE = re.compile(r"[A-Z].{10,200}[.?]")


@pytest.fixture(scope="module")
def siege(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Siege]:
    made = Siege(tmp_path_factory.mktemp("siege"))
    try:
        made.bad.run("ip", "address", "add", f"{FOREIGN}/24", "dev", made.bad_wire)
        made.start()
        made.adopt_camera()
        made.start_viewer()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def den(siege: Siege) -> Iterator[Den]:
    made = Den(siege.bad)
    made.serve(FOREIGN, 554, says_nothing, "foreign")
    made.serve(FOREIGN, 80, says_nothing, "foreign")
    yield made
    made.close()


@pytest.fixture(scope="module")
def calm(siege: Siege) -> float:
    return siege.resident()


@pytest.fixture(autouse=True)
def _nobody_else_is_touched(
    siege: Siege, den: Den, calm: float, request: pytest.FixtureRequest
) -> Iterator[None]:
    at = len(siege.daemon.lines)
    siege.viewer.longest_pause = 0.0
    yield
    assert siege.alive(), siege.daemon.text
    siege.viewer.check()
    assert siege.viewer.longest_pause < 3
    assert siege.good_is_well()
    if "huge_picture" not in request.node.name:
        assert siege.resident() - calm < GROWTH_MAX
    said = siege.daemon.lines[at:]
    assert not [line for line in said if "Traceback" in line or " ERROR " in line], "\n".join(said)
    assert len(said) <= 10, "\n".join(said)
    assert den.heard["foreign"] == 0, "the gateway was led to another host"


@pytest.mark.parametrize("trick", TRICKS)
def test_a_camera_that_misbehaves_is_not_adopted(siege: Siege, den: Den, trick: str) -> None:
    port = 6000 + list(TRICKS).index(trick)
    den.serve(BAD4, port, TRICKS[trick])
    begun = time.monotonic()
    with pytest.raises(ApiFault) as refused:
        siege.api(
            "POST",
            "/cameras",
            {
                "where": f"rtsp://{BAD4}:{port}/x",
                "site_id": 1,
                "name": "Evil",
                **LOGIN,
            },
        )
    assert refused.value.status < 600
    assert SENTENCE.fullmatch(refused.value.sentence), refused.value.sentence
    assert time.monotonic() - begun < 15
    assert den.heard[str(port)] >= 1
    assert [view["name"] for view in siege.items("/cameras")] == ["Lobby"]


def test_slow_cameras_hold_nobody_up(siege: Siege, den: Den) -> None:
    places = {}
    for number, (name, trick) in enumerate(SLOW.items()):
        den.serve(BAD4, 6100 + number, trick)
        places[name] = f"rtsp://{BAD4}:{6100 + number}/x"
    den.serve(BAD4, 6150, says_nothing)
    inside(siege.bad, lambda: shout(BAD4, [virtual("SLOW0001", 554, 6150)]))
    places["web"] = "serial:slow0001"
    wait_until(lambda: siege.found(places["web"]), 8, "the device is found")
    ends: dict[str, tuple[float, str]] = {}

    def probe(name: str) -> None:
        begun = time.monotonic()
        try:
            siege.api("POST", "/cameras/probe", {"where": places[name], **LOGIN})
        except ApiFault as fault:
            ends[name] = time.monotonic() - begun, fault.sentence

    probes = [threading.Thread(target=probe, args=(name,)) for name in places]
    for each in probes:
        each.start()
    begun = time.monotonic()
    assert siege.good_is_well()
    assert time.monotonic() - begun < 2
    for each in probes:
        each.join(40)
    assert ends.keys() == places.keys()
    assert all(took < 32 and SENTENCE.fullmatch(said) for took, said in ends.values()), ends


@pytest.mark.parametrize(
    ("base", "track"),
    [
        (f"rtsp://{FOREIGN}/x", "track0"),
        ("*", f"rtsp://{FOREIGN}:554/track0"),
        ("*", "rtsp://127.0.0.1:554/track0"),
        (f"rtsp://root:pw@{FOREIGN}/", f"rtsp://root:pw@{BOX4}:7740/track0"),
        ("*", "//[::1]/track0"),
        ("*", "track0 RTSP/1.0\t<script>"),
    ],
)
def test_a_description_leads_nowhere_else(siege: Siege, den: Den, base: str, track: str) -> None:
    number = 6200 + zlib.crc32((base + track).encode()) % 500
    requests: list[str] = []
    name = "\x1b[2J<script>alert(1)</script>\u202e"
    den.serve(BAD4, number, describes(SDP.format(name=name, base=base, track=track), requests))
    begun = time.monotonic()
    try:
        siege.api("POST", "/cameras/probe", {"where": f"rtsp://{BAD4}:{number}/x"})
        sentence = "It went well."
    except ApiFault as fault:
        sentence = fault.sentence
    assert SENTENCE.fullmatch(sentence), sentence
    assert time.monotonic() - begun < 25
    assert requests
    own = f"rtsp://{BAD4}:{number}/"
    for each in requests:
        parts = each.split(" ")
        assert len(parts) == 3, each
        assert parts[1].startswith(own), each
        assert "root:pw" not in each


# -- a device that is known by its announcement, with HTTP behind it ------------------------------


@pytest.mark.parametrize("trick", HTTP_TRICKS)
def test_a_web_face_that_misbehaves_is_not_adopted(siege: Siege, den: Den, trick: str) -> None:
    number = list(HTTP_TRICKS).index(trick)
    serial, port = f"EVIL{number:04d}", 7000 + number
    den.serve(BAD4, port, HTTP_TRICKS[trick])
    inside(siege.bad, lambda: shout(BAD4, [virtual(serial, 554, port)]))
    identity = f"serial:{serial.lower()}"
    wait_until(lambda: siege.found(identity), 6, "the device is found")
    begun = time.monotonic()
    with pytest.raises(ApiFault) as refused:
        siege.api("POST", "/cameras", {"where": identity, "site_id": 1, "name": "Evil", **LOGIN})
    assert SENTENCE.fullmatch(refused.value.sentence), refused.value.sentence
    assert time.monotonic() - begun < 15
    assert den.heard[str(port)] >= 1


@pytest.mark.parametrize("how", ["said to be large", "without an end"])
def test_a_snapshot_of_a_gigabyte(siege: Siege, den: Den, how: str) -> None:
    number = ["said to be large", "without an end"].index(how)
    serial, port = f"BIGPIC{number}", 7100 + number
    ends = {
        "said to be large": "Content-Length: 1000000000\n\n",
        "without an end": "\n",
    }
    picture = HTTP_OK.format(kind="image/jpeg") + ends[how]
    send_picture = answers(picture, endless=b"\xff\xd8" + FLOOD)
    facts = FACTS.format(serial=serial)

    async def web(reader: Reader, writer: Writer) -> None:
        start, _ = await asked(reader)
        if "info.json" in start:
            length = f"Content-Length: {len(facts)}\r\n"
            writer.write(f"HTTP/1.1 200 OK\r\n{length}Connection: close\r\n\r\n{facts}".encode())
            await writer.drain()
            return
        again = StreamReader()
        again.feed_data(b"GET / HTTP/1.1\r\n\r\n")
        await send_picture(again, writer)

    den.serve(BAD4, port, web)
    den.serve(BAD4, port + 50, describes(SDP.format(name="x", base="*", track="t"), []))
    inside(siege.bad, lambda: shout(BAD4, [virtual(serial, port + 50, port)]))
    identity = f"serial:{serial.lower()}"
    wait_until(lambda: siege.found(identity), 6, "the device is found")
    before = siege.resident()
    begun = time.monotonic()
    probed = siege.api("POST", "/cameras/probe", {"where": identity, **LOGIN})
    assert not probed["has_picture"]
    assert time.monotonic() - begun < 15
    assert siege.resident() - before < GROWTH_MAX


# -- what is announced -----------------------------------------------------------------------------


def test_addresses_that_no_camera_can_have_are_not_believed(siege: Siege) -> None:
    packets = [
        announcement(
            serial.encode(),
            554,
            {"path": "/", "id": serial, "maker": "Softnet", "model": "Virtual"},
            addresses,
            host=serial.encode(),
        )
        for serial, addresses in WRONG_ADDRESSES.items()
    ]
    properties = {"path": "/", "id": "RIGHT001", "maker": "Softnet", "model": "Virtual"}
    right = announcement(
        b"RIGHT001", 554, properties, [*WRONG_ADDRESSES["OWN00001"], BAD4], host=b"right"
    )
    inside(siege.bad, lambda: shout(BAD4, [*packets, right]))
    wait_until(lambda: siege.found("serial:right001"), 8, "the good announcement is heard")
    every = {each["identity"]: each["address"] for each in siege.items("/cameras/found")}
    assert every["serial:right001"] == BAD4
    for serial in WRONG_ADDRESSES:
        if f"serial:{serial.lower()}" in every:
            assert every[f"serial:{serial.lower()}"] == ""
            with pytest.raises(ApiFault):
                siege.api("POST", "/cameras/probe", {"where": f"serial:{serial.lower()}", **LOGIN})


def test_names_are_shown_as_text(siege: Siege) -> None:
    packets = []
    for number, name in enumerate(EVIL_NAMES):
        serial = f"NAME{number:04d}"
        text = {"path": f"/{number}", "id": serial, "maker": "Softnet", "model": "Virtual<b>x</b>"}
        packets.append(announcement(name, 554, text, [BAD4], host=b"names"))
    inside(siege.bad, lambda: shout(BAD4, packets))
    wait_until(lambda: siege.found("serial:name0000"), 8, "the announcements are heard")
    wait_until(lambda: siege.found("serial:name0006"), 8, "the announcements are heard")
    for path in ("/cameras", "/cameras/add"):
        page = siege.browse(path)
        assert "NAME0000" in page.upper() or "alert" in page, "the device is shown at all"
        assert not re.search(r"evil\W*49", page), "a name was worked out as a template"
        seen = Tags()
        seen.feed(page)
        assert not seen.bad, f"{path}: {seen.bad}"
        assert not any(ord(char) < 32 and char not in "\n\t\r" for char in page)
        assert "\x1b" not in page
        assert "<b>x</b>" not in page
    assert "\u202e" not in str(siege.items("/cameras/found"))


def test_five_thousand_devices_and_megabytes_of_text(siege: Siege, calm: float) -> None:
    chance = random.Random(8)

    def flood() -> None:
        for number in range(5000):
            serial = f"FLOOD{number:05d}"
            text = {"path": "/", "id": serial, "maker": "Softnet", "model": "Virtual"}
            shout(BAD4, [announcement(serial.encode(), 554, text, [BAD4], host=b"flood")])
            if number % 25 == 0:
                time.sleep(0.01)
        for number in range(300):
            strings = [chance.randbytes(chance.randint(1, 255)) for _ in range(33)]
            shout(BAD4, [announcement(f"text{number}".encode(), 554, strings, [BAD4])])
        for _ in range(2000):
            shout(BAD4, [chance.randbytes(chance.randint(0, 1400))])

    begun = time.monotonic()
    inside(siege.bad, flood)
    assert siege.good_is_well()
    wait_until(lambda: siege.found("serial:flood00000"), 10, "something of it is listed")
    time.sleep(1)  # more of it is looked at meanwhile
    found = siege.items("/cameras/found")
    assert len(found) <= 1100
    begun = time.monotonic()
    siege.browse("/cameras")
    assert time.monotonic() - begun < 3
    assert siege.resident() - calm < GROWTH_MAX


def test_a_huge_picture_in_the_stream_does_not_fill_the_memory(siege: Siege, den: Den) -> None:
    peak = 0.0
    requests: list[str] = []
    sdp = SDP.format(name="x", base="*", track="t")
    den.serve(BAD4, 6800, describes(sdp, requests, huge_picture()))
    before, done = siege.resident(), threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.02):
            peak = max(peak, siege.resident() - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        siege.api("POST", "/cameras/probe", {"where": f"rtsp://{BAD4}:6800/x"})
    except ApiFault as fault:
        assert "picture" in str(fault)  # noqa: PT017
    finally:
        done.set()
        watcher.join()
    assert any(each.startswith("PLAY") for each in requests)
    assert peak < GROWTH_MAX
