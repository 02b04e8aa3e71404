"""From a name to a tracker's address: the race of two families, and balancers that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from gateway.base.clock import SystemClock
from gateway.base.entropy import SystemEntropy
from gateway.base.errors import ConnectFailed, HostError
from gateway.endpoint.locate import Locator
from gateway.endpoint.settings import EndpointSettings
from gateway.net import sockets
from gateway.net.listener import Listener
from gateway.net.tasks import TaskRoom
from gateway.protocol.endpoint_events import SessionFailed
from gateway.wire.balancer import BalancerAnswer, BalancerRequest
from gateway.wire.codes import ErrorCode
from tests.endpoint.softnet import own_address

REQUEST = BalancerRequest("cameras.example", service_uid=bytes(range(16)))
OCTETS = REQUEST.encode()
Answer = Callable[[bytes], bytes]


@contextlib.asynccontextmanager
async def balancer(
    host: str, answer: Answer, port: int = 0, *, close: bool = True
) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A balancer that reads up to the half-close and answers what it is told to."""
    asked: list[bytes] = []
    async with TaskRoom("balancer") as room:

        async def serve(sock: socket.socket) -> None:
            with sock:
                question = b""
                while part := await sockets.receive(sock, 1024):
                    question += part
                asked.append(question)
                with contextlib.suppress(HostError):
                    await sockets.send_all(sock, answer(question))
                if not close:
                    await asyncio.Event().wait()

        listener = Listener(room, lambda sock, _: room.start(serve(sock), name="serve") and None)
        found = listener.open([host], port)
        try:
            yield found[0][1], asked
        finally:
            listener.close()


def locator(host: str, port: int, limit: float = 5.0) -> Locator:
    settings = EndpointSettings(balancer_port=port, answer_limit=limit, connect_limit=5.0)
    return Locator(host, REQUEST, settings, SystemClock(), SystemEntropy())


def tell(address: str) -> Answer:
    return BalancerAnswer(address=ipaddress.ip_address(address)).encode


async def ask(found: Locator) -> str:
    async with TaskRoom("test") as room:
        await found.resolve()
        return await found.ask(room)


async def test_the_question_ends_with_a_half_close() -> None:
    host = own_address()
    async with balancer(host, tell("192.0.2.7")) as (port, asked):
        assert await ask(locator(host, port)) == "192.0.2.7"
        assert asked == [OCTETS]


@pytest.mark.parametrize("family", ["127.0.0.1", "::1"])
async def test_of_two_families_the_one_that_answers_wins(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def both(_host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[object, ...]]]:
        return [
            (socket.AF_INET6, ("::1", port, 0, 0)),
            (socket.AF_INET, ("127.0.0.1", port)),
        ]

    expected = "2001:db8::7" if ":" in family else "192.0.2.7"
    async with balancer(family, tell(expected)) as (port, asked):
        found = locator("localhost", port)
        with monkeypatch.context() as patch:
            patch.setattr(sockets, "resolve", both)
            await found.resolve()
        async with TaskRoom("test") as room:
            assert await found.ask(room) == expected
        assert len(asked) == 1


async def test_both_families_at_once_leave_one_question(monkeypatch: pytest.MonkeyPatch) -> None:
    async def both(_host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[object, ...]]]:
        return [
            (socket.AF_INET6, ("::1", port, 0, 0)),
            (socket.AF_INET, ("127.0.0.1", port)),
        ]

    async with (
        balancer("127.0.0.1", tell("192.0.2.7")) as (port, four),
        balancer("::1", tell("2001:db8::7"), port) as (_, six),
    ):
        found = locator("localhost", port)
        with monkeypatch.context() as patch:
            patch.setattr(sockets, "resolve", both)
            await found.resolve()
        async with TaskRoom("test") as room:
            assert await found.ask(room) in ("192.0.2.7", "2001:db8::7")
        assert [one for one in four + six if one] == [OCTETS]  # the loser was closed unasked


def spoil(answer: bytes) -> bytes:
    return bytes((answer[0] ^ 1,)) + answer[1:]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (lambda _: b"", ErrorCode.INVALID_SERVER_ENDPOINT),
        (lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n" * 100, ErrorCode.INVALID_SERVER_ENDPOINT),
        (lambda asked: spoil(tell("192.0.2.7")(asked)), ErrorCode.INVALID_SERVER_ENDPOINT),
        (tell("2001:db8::7"), ErrorCode.INVALID_SERVER_ENDPOINT),  # not the connection's family
        (lambda asked: BalancerAnswer(error_code=95).encode(asked), 95),
        (lambda asked: BalancerAnswer(error_code=233).encode(asked), 233),
        (lambda asked: BalancerAnswer(error_code=7777).encode(asked), ErrorCode.UNEXPECTED_ERROR),
    ],
)
async def test_answers_that_are_none(answer: Answer, code: int) -> None:
    host = own_address()
    async with balancer(host, answer) as (port, _):
        with pytest.raises(SessionFailed) as failed:
            await ask(locator(host, port))
        assert failed.value.code == code


async def test_an_answer_that_never_ends() -> None:
    host = own_address()
    async with balancer(host, lambda _: b"\x00\x01", close=False) as (port, _):
        with pytest.raises(SessionFailed) as failed:
            await ask(locator(host, port, limit=0.2))
        assert failed.value.code is ErrorCode.TIMEOUT_EXPIRED


async def test_nobody_there_and_no_such_name() -> None:
    with pytest.raises(ConnectFailed, match="cannot be reached"):
        await ask(locator(own_address(), 1))
    with pytest.raises(ConnectFailed, match="cannot be resolved"):
        await ask(locator("no-such-host.invalid", 7737))
