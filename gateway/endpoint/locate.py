"""From a server name to the address of its tracker: name, balancer, answer (01 section 3.2)."""

from __future__ import annotations

import asyncio
import socket

from gateway.asn1.errors import DecodeError
from gateway.base.clock import Clock
from gateway.base.entropy import Entropy
from gateway.base.errors import ConnectFailed, HostError, TimedOut
from gateway.endpoint.settings import EndpointSettings
from gateway.net import sockets
from gateway.net.tasks import TaskRoom
from gateway.protocol.endpoint import sentence
from gateway.protocol.endpoint_events import SessionFailed
from gateway.wire.balancer import ANSWER_MAX, BalancerAnswer, BalancerRequest
from gateway.wire.codes import ErrorCode


class NoAddress(HostError):
    """The server's name has no address at all."""


class Locator:
    """Finds the tracker of one account; remembers the addresses of the server's name."""

    def __init__(
        self,
        server: str,
        request: BalancerRequest,
        settings: EndpointSettings,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._server = server
        self._request = request.encode()
        self._settings = settings
        self._clock = clock
        self._entropy = entropy
        self._found: dict[int, list[str]] = {}
        self._asked_at = 0.0

    @property
    def age(self) -> float:
        """Return how many seconds ago the name was resolved; meaningless before the first time."""
        return self._clock.monotonic() - self._asked_at

    @property
    def resolved(self) -> bool:
        """Tell whether addresses are known."""
        return bool(self._found)

    async def resolve(self) -> None:
        """Ask for the addresses of the name; raises ConnectFailed or NoAddress."""
        found: dict[int, list[str]] = {}
        for family, address in await sockets.resolve(self._server, self._settings.balancer_port):
            if family in (socket.AF_INET, socket.AF_INET6):
                found.setdefault(family, []).append(str(address[0]))
        if not found:
            raise NoAddress(f"The name {self._server} has no address.")
        self._found = found
        self._asked_at = self._clock.monotonic()

    async def ask(self, room: TaskRoom) -> str:
        """Return the tracker's address.

        Raises ConnectFailed or TimedOut when the balancer cannot be reached, and SessionFailed when
        it refuses, does not answer, or answers nonsense.
        """
        sock = await self._connect(room)
        try:
            answer = await self._exchange(sock)
        finally:
            sock.close()
        if answer.address is None:
            code = ErrorCode.of(answer.error_code)
            raise SessionFailed(code, sentence(code, answer.error_code))
        return str(answer.address)

    def _choose(self, family: int) -> str:
        addresses = self._found[family]
        return addresses[self._entropy.octets(1)[0] % len(addresses)]

    async def _connect(self, room: TaskRoom) -> socket.socket:
        chosen = [self._choose(family) for family in self._found]
        if len(chosen) == 1:
            return await self._dial(chosen[0])
        # One of each family at the same time; the first to connect wins (01 section 3.2).
        racers = {
            room.start(self._race(address), name=f"balancer over {address}") for address in chosen
        }
        winner: socket.socket | None = None
        failure: HostError = ConnectFailed(f"{self._server} cannot be reached.")
        try:
            while racers and winner is None:
                done, racers = await asyncio.wait(racers, return_when=asyncio.FIRST_COMPLETED)
                for racer in done:
                    outcome = racer.result()
                    if isinstance(outcome, HostError):
                        failure = outcome
                    elif winner is None:
                        winner = outcome
                    else:
                        outcome.close()
        except BaseException:
            if winner is not None:
                winner.close()
            raise
        finally:
            for racer in racers:
                racer.cancel()
                racer.add_done_callback(_close_late)
        if winner is None:
            raise failure
        return winner

    async def _race(self, address: str) -> socket.socket | HostError:
        try:
            return await self._dial(address)
        except HostError as error:
            return error

    async def _dial(self, address: str) -> socket.socket:
        settings = self._settings
        return await sockets.connect(
            address, settings.balancer_port, timeout=settings.connect_limit
        )

    async def _exchange(self, sock: socket.socket) -> BalancerAnswer:
        family = 6 if sock.family == socket.AF_INET6 else 4
        answer = b""
        try:
            async with asyncio.timeout(self._settings.answer_limit):
                await sockets.send_all(sock, self._request)
                sockets.close_write(sock)
                while len(answer) <= ANSWER_MAX:
                    part = await sockets.receive(sock, ANSWER_MAX + 1 - len(answer))
                    if not part:
                        break
                    answer += part
        except TimeoutError as error:
            raise SessionFailed(
                ErrorCode.TIMEOUT_EXPIRED, f"{self._server} did not answer in time."
            ) from error
        except TimedOut:
            raise
        except HostError as error:
            raise ConnectFailed(f"{self._server} broke the connection.") from error
        try:
            return BalancerAnswer.decode(answer, self._request, family)
        except DecodeError as error:
            raise SessionFailed(
                ErrorCode.INVALID_SERVER_ENDPOINT, f"{self._server} is no Softnet server: {error}."
            ) from error


def _close_late(racer: asyncio.Task[socket.socket | HostError]) -> None:
    if not racer.cancelled() and racer.exception() is None:
        outcome = racer.result()
        if isinstance(outcome, socket.socket):
            outcome.close()
