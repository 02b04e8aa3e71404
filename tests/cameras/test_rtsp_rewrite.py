"""What is kept of descriptions for the next viewer, and the short way through clients' URLs."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.base.errors import InvalidInput, NotFound, ProtocolViolation
from gateway.cameras import rtsp_rewrite as rewrite
from gateway.cameras.rtsp_rewrite import ClientPlace, Presentation, rewrite_description
from gateway.driverkit.rtsp import Headers, Response
from tests.cameras.dialogue import CREDENTIALS, HOST, PASSWORD, SDP

ARGUMENTS = {
    "body": [SDP.encode(), SDP.replace("trackID=2", "trackID=9").encode()],
    "requested": [f"rtsp://{HOST}/cam/stream1", f"rtsp://{HOST}1/cam/stream1"],
    "base": [None, f"rtsp://{HOST}/elsewhere/"],
    "stream": ["main", "sub"],
    "hosts": [(), ("npt",), ("npt", "packetization")],
}


def _described(body: bytes, **more) -> tuple[bytes, Presentation]:
    return rewrite_description(body, **more)


def test_a_description_is_kept_by_all_that_it_was_made_of() -> None:
    every = [
        dict(zip(ARGUMENTS, values, strict=True))
        for values in itertools.product(*ARGUMENTS.values())
    ]
    first = [_described(**each) for each in every]
    assert first == [_described(**each) for each in every]
    # Each argument shows in what comes out, so none may be missing in what it is kept by.
    assert len({(body, shown) for body, shown in first}) == len(every)


def test_equal_descriptions_are_made_once_and_large_ones_are_not_kept() -> None:
    given_ = {"requested": f"rtsp://{HOST}/kept", "base": None, "stream": "main", "hosts": [HOST]}
    one, two = (_described(SDP.encode(), **given_)[1] for _ in range(2))
    assert one is two
    padding = "a=x-unknown:" + "x" * 1000 + "\r\n"
    large = (SDP + padding * (rewrite.REMEMBERED_OCTETS // 1000)).encode()
    one, two = (_described(large, **given_)[1] for _ in range(2))
    assert one == two
    assert one is not two


def test_nonsense_is_refused_each_time() -> None:
    for _ in range(2):
        with pytest.raises(ProtocolViolation, match="names no stream"):
            _described(b"v=0\r\n", requested="rtsp://h/", base=None, stream="main", hosts=())


def test_no_more_descriptions_are_kept_than_the_bound() -> None:
    for number in range(rewrite.REMEMBERED_MAX + 8):
        _described(SDP.encode(), requested=f"rtsp://h/{number}", base=None, stream="s", hosts=())
    kept = rewrite._remembered.cache_info()
    assert kept.currsize == kept.maxsize == rewrite.REMEMBERED_MAX


@pytest.mark.parametrize("echo", rewrite.login_echoes(CREDENTIALS))
def test_a_login_is_taken_out_wherever_it_is_repeated(echo: str) -> None:
    echoes = rewrite.login_echoes(CREDENTIALS)
    plain = Response(200, "OK", Headers([("CSeq", "1"), ("Content-Base", "rtsp://h/")]), b"v=0")
    assert rewrite.without_echoes(plain, echoes) == plain
    url = f"rtsp://{echo}h/"
    in_header = Response(200, "OK", Headers([("CSeq", "1"), ("Content-Base", url)]), b"v=0")
    assert rewrite.without_echoes(in_header, echoes) == plain
    in_body = Response(200, "OK", plain.headers, f"a={url}".encode())
    assert rewrite.without_echoes(in_body, echoes).body == b"a=rtsp://h/"
    assert PASSWORD in repr(echoes)


_URLS = st.lists(
    st.sampled_from(
        ["rtsp://", "RTSP://", "h", "cam:554", "[::1]", "/", "/", "//", "main", "sub", "track1",
         "track12", "track123", "/track0", "/track7/", "track1x", "a@", "%41", "?q=1", "", " ", "é",
         "٣", "\n", "x" * 64, "x" * 200, "https://"]
    ),
    max_size=7,
).map("".join)  # fmt: skip


def _place(url: str) -> ClientPlace | str:
    try:
        return ClientPlace.parse(url)
    except (InvalidInput, NotFound) as error:
        return f"{type(error).__name__} {error}"


@given(_URLS)
@example("rtsp://h/track1")
@example("rtsp://h/track1/track2/")
@example("rtsp://h/main/track٣")
@example("rtsp://h//track3")
@example("rtsp://h/main\n")
def test_a_url_is_taken_apart_the_same_with_a_query(url: str) -> None:
    # No URL with a query goes the short way, and a query changes nothing.
    assert _place(f"rtsp://h/{url}") == _place(f"rtsp://h/{url}?")
    if "?" not in url and url.count("/") > 2:
        assert _place(url) == _place(f"{url}?")


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("rtsp://h/", ClientPlace("h", "", None)),
        ("rtsp://h:8554/main", ClientPlace("h:8554", "main", None)),
        ("rtsp://[::1]:554/sub/track12/", ClientPlace("[::1]:554", "sub", 12)),
        ("rtsp://h/track3", ClientPlace("h", "", 3)),
        ("rtsp://h/track1/track2", ClientPlace("h", "track1", 2)),
        ("rtsp://h/track123", ClientPlace("h", "track123", None)),
        ("RTSP://user:x@h", ClientPlace("h", "", None)),
    ],
    ids=range(7),
)
def test_urls_of_clients(url: str, place: ClientPlace) -> None:
    assert ClientPlace.parse(url) == place
