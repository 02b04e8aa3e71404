"""The events that a service raises (03 sections 2 and 3)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.base.clock import Clock
from gateway.model.kinds import EventKind
from gateway.protocol.endpoint import EndpointSession
from gateway.protocol.endpoint_events import EventDropped, EventStorageFailed
from gateway.protocol.endpoint_outbox import Outbox
from gateway.protocol.endpoint_service import ServiceSession


class RaisedEvents:
    """Raises events of a service; `ServiceEndpoint.events` is one.

    A raise never waits for the network: what is raised is kept, connected or not, until the server
    has acknowledged it, and is sent in the order in which it was raised. With a `FileQueue` it also
    outlives the program. All methods that raise events return the uid of the new instance and fail
    with NotFound (no such event of this kind in the structure), InvalidInput (arguments that are
    not one SEQUENCE of at most 2048 octets) or QuotaExceeded (the storage is full). With
    `WhenFull.DROP_OLDEST` the oldest instances that are not under way give way in that case, and
    each is announced as `EventDropped`.
    """

    def __init__(
        self,
        outbox: Outbox,
        clock: Clock,
        session: Callable[[], EndpointSession | None],
        flush: Callable[[], None],
        announce: Callable[[EventDropped | EventStorageFailed], None],
    ) -> None:
        self._outbox = outbox
        self._clock = clock
        self._session = session
        self._flush = flush
        self._announce = announce
        self._waiting: list[asyncio.Future[None]] = []

    def __len__(self) -> int:
        """Return how many instances the server has not acknowledged yet."""
        return len(self._outbox)

    def raise_replacing(self, name: str, arguments: bytes | None = None) -> bytes:
        """Give a replacing event its new value."""
        return self._raise(EventKind.REPLACING, name, arguments)

    def raise_null(self, name: str) -> bytes:
        """Take the value of a replacing event away."""
        return self._raise(EventKind.REPLACING, name, null=True)

    def raise_queueing(self, name: str, arguments: bytes | None = None) -> bytes:
        """Add an instance to a queueing event."""
        return self._raise(EventKind.QUEUEING, name, arguments)

    def raise_private(self, name: str, client_id: int, arguments: bytes | None = None) -> bytes:
        """Raise a private event for one client, as calls and connections name it."""
        return self._raise(EventKind.PRIVATE, name, arguments, client_id=client_id)

    def _raise(
        self,
        kind: EventKind,
        name: str,
        arguments: bytes | None = None,
        *,
        null: bool = False,
        client_id: int = 0,
    ) -> bytes:
        raised = self._outbox.raise_event(kind, name, arguments, null=null, client_id=client_id)
        session = self._session()
        if isinstance(session, ServiceSession) and not session.finished:
            session.send_raised(self._clock.monotonic())
            self._flush()
        self.report()
        return raised.instance_uid

    async def taken(self) -> None:
        """Wait until the server has acknowledged everything; a program may end then."""
        if not self._outbox:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        finally:
            self._waiting.remove(waiter)

    # -- the endpoint's side

    def report(self) -> None:
        """Announce what went wrong with the storage, or was dropped from it."""
        for problem in self._outbox.take_problems():
            self._announce(EventStorageFailed(problem))
        for one in self._outbox.take_dropped():
            self._announce(EventDropped(one.kind, one.name, one.instance_uid))

    def emptied(self) -> None:
        """Wake whoever waits for that."""
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    def close(self) -> None:
        """Let go of the storage; waiting ends, cancelled."""
        for waiter in self._waiting:
            waiter.cancel()
        self._outbox.close()
