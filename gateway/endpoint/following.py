"""The events that a client subscribes to (03 section 5)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.asn1.errors import DecodeError
from gateway.base.clock import Clock
from gateway.base.errors import InvalidInput
from gateway.model import names
from gateway.model.kinds import EventKind
from gateway.net.tasks import TaskRoom
from gateway.protocol.endpoint import EndpointSession
from gateway.protocol.endpoint_client import ClientSession
from gateway.protocol.endpoint_events import EventStorageFailed
from gateway.protocol.endpoint_inbox import Delivery, Inbox, IncomingEvent, Outcome

_log = logging.getLogger(__name__)

EventHandler = Callable[[IncomingEvent], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class EventSubscription:
    """One subscription; `cancel` ends it. A handler that runs then runs to its end."""

    kind: EventKind
    name: str
    cancel: Callable[[], None]


class FollowedEvents:
    """The subscriptions of a client; `ClientEndpoint.events` is one.

    Subscriptions are told to the server whenever the client is online, and the server keeps those
    of stateful clients: subscribe before connecting, or what is missing then is dropped there. One
    instance of an event is handled at a time; different events are independent of each other.
    """

    def __init__(
        self,
        inbox: Inbox,
        clock: Clock,
        room: TaskRoom,
        session: Callable[[], EndpointSession | None],
        flush: Callable[[], None],
        announce: Callable[[EventStorageFailed], None],
        *,
        stateless: bool,
    ) -> None:
        self._inbox = inbox
        self._clock = clock
        self._room = room
        self._session = session
        self._flush = flush
        self._announce = announce
        self._stateless = stateless
        self._handlers: dict[str, EventHandler] = {}

    def subscribe(self, kind: EventKind, name: str, handler: EventHandler) -> EventSubscription:
        """Have `handler` called with each new instance of an event.

        It is acknowledged when the handler returns. When it fails, the server delivers the instance
        again after 300 s; except for a DecodeError, which would come again every time. An instance
        whose handler outlives its program may be handled twice; `FilePositions` is for the rest.
        Raises Conflict for a name that is subscribed to already, InvalidInput for a name that
        cannot be, or a private event and a client that has no account.
        """
        names.event_name(name)
        if kind is EventKind.PRIVATE and self._stateless:
            raise InvalidInput("Only a client with an account receives private events.", "kind")
        self._inbox.follow(kind, name)
        self._handlers[name] = handler
        session = self._online()
        if session is not None:
            session.follow(kind, name, self._clock.monotonic())
            self._flush()

        def cancel() -> None:
            if self._handlers.get(name) is handler:
                self._cancel(kind, name)

        return EventSubscription(kind, name, cancel)

    def _cancel(self, kind: EventKind, name: str) -> None:
        del self._handlers[name]
        self._inbox.leave(name)
        session = self._online()
        if session is not None:
            session.leave_event(kind, name, self._clock.monotonic())
            self._flush()

    def _online(self) -> ClientSession | None:
        session = self._session()
        return session if isinstance(session, ClientSession) and not session.finished else None

    # -- the endpoint's side

    def report(self) -> None:
        """Announce what went wrong with the storage while there was no session."""
        for problem in self._inbox.take_problems():
            self._announce(EventStorageFailed(problem))

    def start(self, delivery: Delivery) -> None:
        """Run the handler of an instance."""
        if not self._room.closed:
            delivery.started = True
            self._room.start(self._handle(delivery), name=f"event {delivery.event.name}")

    async def _handle(self, delivery: Delivery) -> None:
        name = delivery.event.name
        handler = self._handlers.get(name)
        done = False
        try:
            if handler is not None:
                await handler(delivery.event)
                done = True
        except DecodeError:
            _log.exception("the handler of the event %s could not read its arguments", name)
            done = True
        except Exception:
            _log.exception("the handler of the event %s failed", name)
        finally:
            if done:
                self._settle(self._inbox.handled(delivery))
            elif not self._room.closed:
                self._settle(self._inbox.failed(delivery))

    def _settle(self, outcomes: tuple[Outcome, ...]) -> None:
        session = self._online()
        for outcome in outcomes:
            if session is not None:
                session.take_outcome(outcome, self._clock.monotonic())
            elif outcome.start is not None:
                self.start(outcome.start)
        self._flush()
        self.report()

    def close(self) -> None:
        """Let go of the storage."""
        self._inbox.close()
