"""A playing conversation put aside while its client says nothing (no I/O).

A mediator takes some kilobytes, most of it equal for all who watch a stream. Put aside it is one
`StreamMemo`, which they share, and a few octets of its own.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from gateway.cameras.rtsp_rewrite import Presentation
from gateway.driverkit.digest import LoginGround
from gateway.driverkit.driver import StreamSource

REQUEST_LOAD = 50
"""In an `OwnMemo.load` a request weighs as much as so many frames that have no place to go."""


@dataclass(frozen=True, slots=True, kw_only=True, weakref_slot=True)
class StreamMemo:
    """What those who watch a stream have in common; fields as of mediator and translator."""

    place: Callable[[str], StreamSource]
    operate: bool
    hidden: tuple[str, ...]
    echoes: tuple[str, ...]
    login: LoginGround | None
    presentations: tuple[tuple[str, Presentation], ...]
    timeout: str
    base: str
    stream: str
    tracks: tuple[int, ...]
    channels_up: frozenset[int]
    source: StreamSource | None

    def __repr__(self) -> str:
        # The rest are logins, and addresses of the LAN.
        return f"StreamMemo(stream={self.stream!r})"


class OwnMemo(NamedTuple):
    """What is one conversation's own: plain numbers and texts, so that they can be packed."""

    session_id: str
    camera_session: str
    nonce: str
    opaque: str | None
    uses: int
    cseq: int
    strays: int
    load: int


class MemoTable:
    """The stream memos in use, each kept once."""

    def __init__(self) -> None:
        self._kept: weakref.WeakKeyDictionary[StreamMemo, weakref.ref[StreamMemo]] = (
            weakref.WeakKeyDictionary()
        )

    def __len__(self) -> int:
        return len(self._kept)

    def shared(self, memo: StreamMemo) -> StreamMemo:
        """Return the memo that equals this one, or this one from now on."""
        kept = self._kept.get(memo)
        found = kept() if kept is not None else None
        if found is None:
            found = memo
            self._kept[memo] = weakref.ref(memo)
        return found
