"""The one-question lookup at the server: request, half-close, answer (01 sections 3.3, 3.4).

The endpoint's half needs no machine: `gateway.wire.balancer` encodes the question and reads the
answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.asn1.errors import DecodeError
from gateway.base.errors import TimedOut
from gateway.protocol.machine import Conversation, Unexpected
from gateway.wire.balancer import (
    REQUEST_MAX,
    REQUEST_MIN,
    VERSION,
    BalancerAnswer,
    BalancerRequest,
    IpAddress,
)
from gateway.wire.channel import KEY_MAX, KEY_MIN
from gateway.wire.codes import ErrorCode

REQUEST_LIMIT = 30.0
"""Seconds until the half-close; then the connection is closed without an answer."""


@dataclass(frozen=True, slots=True)
class BalancerAsked:
    """A well-formed question; answer with found() or refuse()."""

    request: BalancerRequest


class BalancerServer(Conversation[BalancerAsked]):
    """One question at the balancer.

    `server_name` is this server's own name; without one every name is accepted, unlike in the
    reference (01 section 3.3).
    """

    def __init__(self, server_name: str = "", *, request_limit: float = REQUEST_LIMIT) -> None:
        super().__init__()
        self._server_name = server_name.lower()
        self._limit = request_limit
        self._due: float | None = None
        self._request = b""
        self._asked = False

    @property
    def deadline(self) -> float | None:
        """Return when tick() is due."""
        return self._due

    def start(self, now: float) -> None:
        """Begin to wait for the question."""
        self._due = now + self._limit

    def tick(self, now: float) -> None:
        """Close without an answer when the question did not come in time."""
        if self._due is not None and now >= self._due:
            self._finish(TimedOut("The balancer was not asked in time."))

    def _receive(self, data: bytes, now: float) -> None:  # noqa: ARG002
        if self._asked or len(self._request) + len(data) > REQUEST_MAX:
            raise Unexpected("a question longer than 1024 octets")
        self._request += data

    def _peer_closed(self, now: float) -> None:  # noqa: ARG002
        if self._asked:
            return
        self._asked = True
        if len(self._request) < REQUEST_MIN:
            self._finish(True)
        elif self._request[0] != VERSION:
            self.refuse(ErrorCode.INCOMPATIBLE_PROTOCOL_VERSION)
        else:
            self._judge()

    def _judge(self) -> None:
        try:
            request = BalancerRequest.decode(self._request)
        except DecodeError:
            self.refuse(ErrorCode.ENDPOINT_DATA_FORMAT_ERROR)
            return
        name = request.server_name
        if self._server_name and name is not None and name.lower() != self._server_name:
            self.refuse(ErrorCode.INVALID_SERVER_ENDPOINT)
        elif request.key is not None and not KEY_MIN <= len(request.key) <= KEY_MAX:
            self.refuse(ErrorCode.CLIENT_NOT_REGISTERED)
        else:
            self._emit(BalancerAsked(request))

    def found(self, address: IpAddress) -> None:
        """Name the tracker; the address is of the family of the connection."""
        self._answer(BalancerAnswer(address))

    def refuse(self, code: ErrorCode) -> None:
        """Answer with an error."""
        self._answer(BalancerAnswer(error_code=int(code)))

    def _answer(self, answer: BalancerAnswer) -> None:
        if not self._finished:
            self._send(answer.encode(self._request))
            self._finish(True)
