"""Procedures that a service offers and a client calls (03 sections 1.3 to 1.5).

Arguments, results and error data are each one SEQUENCE in the Softnet ASN.1 dialect; `gateway.asn1`
writes and reads them.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.access.ports import Actor
from gateway.asn1.reader import is_one_sequence
from gateway.base.clock import Clock
from gateway.base.errors import InvalidInput, RemoteError
from gateway.model.kinds import UserKind
from gateway.protocol.endpoint_events import CallArrived
from gateway.protocol.endpoint_service import ServiceSession
from gateway.wire.codes import ErrorCode
from gateway.wire.rpc import ERROR_DATA_MAX, PAYLOAD_MAX

_log = logging.getLogger(__name__)

EMPTY = b"\x30\x00"
"""No arguments, or no result."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,255}\Z")


@dataclass(frozen=True, slots=True)
class IncomingCall:
    """A permitted call; `client_id` is 0 for stateless guests (03 section 1.4)."""

    procedure: str
    actor: Actor
    client_id: int
    arguments: bytes
    session_tag: bytes | None


Handler = Callable[[IncomingCall], Awaitable[bytes]]


class ProcedureFailed(RemoteError):
    """The application's own error: any code but 0, and maybe a SEQUENCE of data.

    A handler raises it to answer with it; a client's `call` raises it when it was answered so.
    """

    def __init__(self, code: int, error: bytes | None = None, message: str = "") -> None:
        super().__init__(message or f"The procedure failed with code {code}.")
        self.code = code
        self.error = error


def check_name(name: str) -> None:
    """Raise InvalidInput unless `name` can be a procedure's."""
    if not _NAME.match(name):
        raise InvalidInput(
            "A procedure's name is a letter, then letters, digits and underscores.", "procedure"
        )


def check_payload(octets: bytes) -> None:
    """Raise InvalidInput unless the octets can be arguments."""
    if len(octets) > PAYLOAD_MAX or not is_one_sequence(octets):
        raise InvalidInput(f"Arguments are one SEQUENCE of at most {PAYLOAD_MAX} octets.")


async def serve_call(
    session: ServiceSession,
    call: CallArrived,
    handler: Handler,
    clock: Clock,
    flush: Callable[[], None],
) -> None:
    """Run a handler and send its answer on the session that brought the call.

    What a handler may not return, or fails with, is answered with ARGUMENT_ERROR, where the
    reference would let the client wait (03 trap R5).
    """
    client_id = 0 if call.actor.kind is UserKind.STATELESS_GUEST else call.client_id
    incoming = IncomingCall(call.procedure, call.actor, client_id, call.arguments, call.session_tag)
    try:
        result = await handler(incoming)
        if len(result) > PAYLOAD_MAX or not is_one_sequence(result):
            raise ValueError("the result is not one SEQUENCE of a permitted size")
        session.answer(call, result, clock.monotonic())
    except ProcedureFailed as failure:
        data = failure.error
        fits = data is None or (len(data) <= ERROR_DATA_MAX and is_one_sequence(data))
        if failure.code and fits:
            session.answer_error(call, failure.code, data, clock.monotonic())
        else:
            session.refuse(call, ErrorCode.ARGUMENT_ERROR, clock.monotonic())
    except asyncio.CancelledError:
        session.refuse(call, ErrorCode.ARGUMENT_ERROR, clock.monotonic())
        flush()
        raise
    except Exception:
        _log.exception("the handler of the procedure %s failed", call.procedure)
        session.refuse(call, ErrorCode.ARGUMENT_ERROR, clock.monotonic())
    flush()
