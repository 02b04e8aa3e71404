"""What tells open pages that something they show has changed: server-sent events.

A stream carries topics, never contents; the page then asks for what it shows, and is authorized
as for any other request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from gateway.base.errors import Denied
from gateway.registry import changes
from gateway.registry.changes import Change

TOPICS_MAX = 64
"""Topics of one page: a domain page has one for each of its 50 sites."""
TOPICS_KEPT = 4096
"""Topics whose last change is remembered, for pages that were made before it and follow later."""
STREAMS_PER_SOURCE = 24
"""Streams of one address; a browser opens one for each tab."""


class EventStream:
    """The topics that changed and that one page has not been told of yet."""

    def __init__(self, topics: frozenset[str], source: str) -> None:
        self.topics = topics
        self.source = source
        self._pending: set[str] = set()
        self._woken = asyncio.Event()
        self.closed = False

    def offer(self, topic: str) -> None:
        """Note a change; what is pending already is told once."""
        if topic in self.topics:
            self._pending.add(topic)
            self._woken.set()

    def close(self) -> None:
        """Have the stream end."""
        self.closed = True
        self._woken.set()

    async def wait(self, seconds: float) -> tuple[str, ...]:
        """Return the topics that changed, or none when nothing did within `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return ()
        self._woken.clear()
        told = tuple(sorted(self._pending))
        self._pending.clear()
        return told


class EventHub:
    """Hands each change to the pages that show it.

    `count` numbers the changes, from `first` on: a page says at which it was made, and is told what
    changed between that and the beginning of its stream.
    """

    def __init__(self, streams_max: int, first: int = 0) -> None:
        self._streams_max = streams_max
        self._streams: set[EventStream] = set()
        self.count = self._forgotten = first
        self._last: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._streams)

    def open(self, topics: Sequence[str], source: str, since: int | None = None) -> EventStream:
        """Begin a stream with what changed after `since`.

        Raises Denied with code 'busy' when there are too many.
        """
        from_here = sum(1 for stream in self._streams if stream.source == source)
        if len(self._streams) >= self._streams_max or from_here >= STREAMS_PER_SOURCE:
            raise Denied("Too many pages are open. Close some and reload.", "busy")
        stream = EventStream(frozenset(topics[:TOPICS_MAX]), source)
        self._streams.add(stream)
        if since is not None:
            unknown = not self._forgotten <= since <= self.count
            for topic in stream.topics:
                if unknown or self._last.get(topic, since) > since:
                    stream.offer(topic)
        return stream

    def end(self, stream: EventStream) -> None:
        """Forget a stream whose page has gone."""
        self._streams.discard(stream)

    def publish(self, topic: str) -> None:
        """Tell every page that shows `topic`."""
        self.count += 1
        self._last.pop(topic, None)
        self._last[topic] = self.count
        if len(self._last) > TOPICS_KEPT:
            self._forgotten = self._last.pop(next(iter(self._last)))
        for stream in tuple(self._streams):
            stream.offer(topic)

    def close(self) -> None:
        """End all streams."""
        for stream in tuple(self._streams):
            stream.close()

    def committed(self, committed: Sequence[Change]) -> None:
        """Tell what a transaction of the registry changed."""
        for topic in dict.fromkeys(topic for change in committed for topic in topics_of(change)):
            self.publish(topic)


_BY_ID: tuple[tuple[type[Change], str, Callable[[Change], int]], ...] = (
    (changes.DomainChanged, "domain", lambda change: getattr(change, "domain_id", 0)),
    (changes.DomainDeleted, "domain", lambda change: getattr(change, "domain_id", 0)),
    (changes.OwnerChanged, "owner", lambda change: getattr(change, "owner_id", 0)),
    (changes.ContactsChanged, "contacts", lambda change: getattr(change, "owner_id", 0)),
)


def topics_of(change: Change) -> tuple[str, ...]:
    """Return the topics that a change of the registry is told under."""
    if isinstance(change, changes.AuditAppended):
        return ("audit",)
    if isinstance(change, changes.DeviceChanged | changes.DeviceDeleted):
        return ("cameras",)
    if isinstance(change, changes.InvitationsChanged | changes.OutboxChanged):
        return ("administration",)
    if isinstance(change, changes.SiteChange):
        return (f"site:{change.site_id}", f"shared:{change.site_id}")
    for kind, word, identify in _BY_ID:
        if isinstance(change, kind):
            return (f"{word}:{identify(change)}",)
    return ()
