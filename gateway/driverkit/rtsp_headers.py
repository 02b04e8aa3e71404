"""Header fields of RTSP messages, in their order (RFC 2326 section 4.2). Made through `rtsp`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


class Headers:
    """Header fields of one message in their order; names compare without case. Immutable."""

    __slots__ = ("_first", "_items")

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        self._items = tuple(items)
        self._first: dict[str, str] | None = None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._items == other._items

    def __hash__(self) -> int:
        return hash(self._items)

    def __repr__(self) -> str:
        # Names only: a value may be a login.
        return f"Headers({', '.join(name for name, _ in self._items)})"

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the first value of this name."""
        first = self._first
        if first is None:
            first = self._first = {each.lower(): value for each, value in reversed(self._items)}
        return first.get(name.lower(), default)

    def all(self, name: str) -> tuple[str, ...]:
        """Return every value of this name, in order."""
        wanted = name.lower()
        return tuple(value for each, value in self._items if each.lower() == wanted)

    def with_field(self, name: str, value: str) -> Headers:
        """Return a copy in which `name` has just this value, at its old place or at the end."""
        wanted = name.lower()
        items: list[tuple[str, str]] = []
        done = False
        for each, old in self._items:
            if each.lower() != wanted:
                items.append((each, old))
            elif not done:
                items.append((name, value))
                done = True
        if not done:
            items.append((name, value))
        return Headers(items)

    def without(self, *names: str) -> Headers:
        """Return a copy that lacks these names."""
        unwanted = {name.lower() for name in names}
        return Headers((each, value) for each, value in self._items if each.lower() not in unwanted)
