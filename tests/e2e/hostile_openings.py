"""What is said at the open ports: good openings, and every way in which one can be bad."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.model.kinds import ClientCategory, EndpointType
from gateway.wire import catalogue
from gateway.wire.balancer import BalancerRequest
from gateway.wire.catalogue import Direction
from gateway.wire.channel import ClientOpen
from gateway.wire.codes import ErrorCode
from gateway.wire.connect import ClientRendezvousData, ClientRequestError
from gateway.wire.rendezvous import (
    TCP_TYPES,
    UDP_TYPES,
    ClientEndpointHello,
    ClientProxy,
    ProxyAuthHash,
    encode_control,
)
from tests.e2e.hostile_box import BOX4, BOX6, Siege, loop_inside
from tests.e2e.hostile_peer import (
    BALANCER,
    PAGE,
    PORTS,
    RELAY,
    RENDEZVOUS,
    RENDEZVOUS_UDP,
    TRACKER,
    Ending,
    damaged,
    garbage,
    poke,
    pokes,
)
from tests.support.raw_peer import RawPeer
from tests.support.structures import CAMERA

HELLO_SECONDS = 10.0
"""The one limit that no setting shortens: the first message at the rendezvous."""
KEY = "abcdefghi"
QUESTION = BalancerRequest(None, category=ClientCategory.MULTI_SERVICE, key=KEY).encode()
HEADER = bytes((1, EndpointType.CLIENT))
LOGIN = HEADER + catalogue.encode(
    Direction.CLIENT_TO_TRACKER, ClientOpen(ClientCategory.MULTI_SERVICE, KEY)
)
HELLO = encode_control(TCP_TYPES, ClientProxy(bytes(range(16))))
HELLO_UDP = encode_control(UDP_TYPES, ClientEndpointHello(bytes(range(16))))
GUESS = encode_control(TCP_TYPES, ProxyAuthHash(bytes(20), bytes(20)))
ASKED = b"GET /sign-in HTTP/1.1\r\nHost: localhost\r\n\r\n"
OPENINGS = {
    BALANCER: QUESTION,
    TRACKER: LOGIN,
    RENDEZVOUS: HELLO,
    RENDEZVOUS_UDP: HELLO_UDP,
    RELAY: bytes((1, *range(16))),
    PAGE: ASKED,
}
"""What each port expects to hear first."""
POST = (
    b"POST /sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n\r\n"
)

CLAIM = (
    b"POST /api/v1/setup HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: 2\r\n\r\n{}"
)

SILENT_ENDS = [
    (BALANCER, b"x" * 2000, False),  # longer than a question can be
    (BALANCER, b"", True),
    (BALANCER, QUESTION[:2], True),
    (TRACKER, bytes((1, 9)), False),  # there is no such type of endpoint
    (TRACKER, HEADER + bytes.fromhex("847fffffff"), False),  # a frame of 2 GB
    (TRACKER, HEADER + bytes.fromhex("820401") + bytes(1025), False),  # larger than a login
    (TRACKER, bytes((1, EndpointType.SERVICE)) + bytes.fromhex("820101"), False),
    (TRACKER, HEADER + bytes.fromhex("80"), False),
    (TRACKER, HEADER + bytes.fromhex("85"), False),
    (TRACKER, HEADER + bytes.fromhex("0100"), False),
    (TRACKER, LOGIN[:-3], True),
    (TRACKER, b"", True),
    (RENDEZVOUS, bytes.fromhex("8181") + bytes(129), False),  # larger than any message
    (RENDEZVOUS, bytes.fromhex("847fffffff"), False),
    (RENDEZVOUS, bytes.fromhex("02ff00"), False),  # no such message
    (RENDEZVOUS, bytes.fromhex("00"), False),
    (RENDEZVOUS, HELLO[:-3], True),
    (RENDEZVOUS, b"", True),
    (RENDEZVOUS_UDP, bytes.fromhex("8181") + bytes(129), False),
    (RENDEZVOUS_UDP, bytes.fromhex("02ff00"), False),
    (RENDEZVOUS_UDP, HELLO_UDP[:-3], True),
    (RELAY, bytes((9, *range(16))), False),  # no such role
    (RELAY, bytes((1, *range(16))), False),  # nobody waits for this
    (RELAY, bytes(5), True),
    (RELAY, b"", True),
]


NONSENSE = [
    (b"\x16\x03\x01" + bytes(200), 400),
    (b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 100_000 + b"\r\n", 400),
    (b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
    (POST.replace(b"5000", b"99999999999999999999999"), 400),
    (POST.replace(b"5000", b"-1"), 400),
    (POST.replace(b"5000", b"100000000") + b"a" * 300_000, 413),
    (POST.replace(b"Content-Length: 5000", b"Transfer-Encoding: chunked") + b"zz\r\n", 400),
    (POST.replace(b"h: 5000", b"h: 5\r\nContent-Length: 6"), 400),
    (b"GET /%00%ff/../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
]


async def make_noise() -> dict[int, list[Ending]]:
    """Say garbage and damaged openings at every port; return how each of them ended."""
    ends: dict[int, list[Ending]] = {}

    async def attack(port: int) -> None:
        texts = garbage(port, 60) + damaged(port, [OPENINGS[port]], 120)
        parts = [
            pokes(address, port, texts, half_close=half, patience=HELLO_SECONDS + 2)
            for address in (BOX4, BOX6)
            for half in (False, True)
        ]
        ends[port] = [end for part in await asyncio.gather(*parts) for end in part]

    await asyncio.gather(*(attack(port) for port in PORTS))
    return ends


SLOW = {
    BALANCER: [QUESTION[:1]] + [b"\1"] * 200,
    TRACKER: [HEADER, bytes.fromhex("820300")] + [b"\1"] * 200,
    RENDEZVOUS: [b"\x7f"] + [b"\1"] * 200,
    RENDEZVOUS_UDP: [b"\x7f"] + [b"\1"] * 200,
    RELAY: [bytes((n,)) for n in (1, *range(100))],
    PAGE: [b"GET / HTTP/1.1\r\nX: "] + [b"a"] * 200,
}
PATIENCE = {BALANCER: 5, TRACKER: 9, RENDEZVOUS: 12, RENDEZVOUS_UDP: 12, RELAY: 5, PAGE: 12}


async def dawdle() -> dict[int, list[Ending]]:
    """Say an octet every 0.2 s at every port, and a body of the page so (under 0)."""
    ends = {}
    for port in PORTS:
        ends[port] = asyncio.gather(
            *(
                poke(address, port, SLOW[port], pause=0.2, patience=PATIENCE[port])
                for address in (BOX4, BOX6)
                for _ in range(25)
            )
        )
    bodies = [POST] + [b"a"] * 200
    ends[0] = asyncio.gather(*(poke(BOX4, PAGE, bodies, pause=0.2, patience=18) for _ in range(25)))
    return {port: list(await each) for port, each in ends.items()}


BAD_QUESTIONS = [
    (bytes((2,)) + QUESTION[1:], ErrorCode.INCOMPATIBLE_PROTOCOL_VERSION),
    (bytes((1, 9)) + QUESTION[2:], ErrorCode.ENDPOINT_DATA_FORMAT_ERROR),
    (QUESTION[:-1], ErrorCode.ENDPOINT_DATA_FORMAT_ERROR),
    (QUESTION + b"\0", ErrorCode.CLIENT_NOT_REGISTERED),  # octets behind it are ignored
    (QUESTION, ErrorCode.CLIENT_NOT_REGISTERED),
    (bytes((1, 2)) + QUESTION[2:], ErrorCode.CLIENT_NOT_REGISTERED),
]


async def log_in(account: dict[str, Any]) -> RawPeer:
    """Log in as a client and get online."""
    peer = await RawPeer.connect((BOX4, TRACKER), EndpointType.CLIENT)
    await peer.login_client(ClientCategory.MULTI_SERVICE, account["key"], account["password"])
    await peer.install_client(CAMERA)
    return peer


async def verdict(peer: RawPeer) -> ClientRequestError | ClientRendezvousData:
    """Return the next answer to a request."""
    while True:
        message = await peer.receive()
        if isinstance(message, ClientRequestError | ClientRendezvousData):
            return message


def both(siege: Siege, port: int, octets: bytes, **how: Any) -> list[Ending]:
    """Say the same over IPv4 and IPv6; return both ends."""

    async def ask() -> list[Ending]:
        calls = (poke(address, port, octets, **how) for address in (BOX4, BOX6))
        return list(await asyncio.gather(*calls))

    return loop_inside(siege.bad, ask)
