"""The search for people, the same on every page: words in order, 15 a page (04, 6.8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from gateway.model.accounts import Owner
from gateway.model.kinds import Authority
from gateway.registry import owners
from gateway.registry.database import Reader

PAGE_ROWS = 15
QUERY_MAX = 64
"""No name is longer; the rest of an overlong query is not looked at."""
WORDS_MAX = 8
"""More words make matching slow and find nothing more."""

T = TypeVar("T")
Key = tuple[str, int]
"""Where a page begins or ends: a name, folded, and the id that tells equal names apart."""

FIRST: Key = ("", 0)


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Rows of a search; `before` and `after` lead to the pages around it, None where none is."""

    rows: tuple[T, ...]
    before: Key | None = None
    after: Key | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """What one account may see of another."""

    id: int
    full_name: str
    authority: Authority
    enabled: bool

    @property
    def provider(self) -> bool:
        """Tell whether the name is shown in the colour of providers."""
        return self.authority >= Authority.PROVIDER


def pattern(text: str) -> str:
    """Return the LIKE pattern (escape character: backslash) of words that must occur in order."""
    found = []
    for word in text[:QUERY_MAX].casefold().split()[:WORDS_MAX]:
        for special in ("\\", "%", "_"):
            word = word.replace(special, "\\" + special)
        found.append(word)
    return "%" + "%".join([*found, ""]) if found else "%"


def search(
    reader: Reader,
    text: str,
    *,
    after: Key | None = None,
    before: Key | None = None,
    only: str = "1",
    parameters: tuple[object, ...] = (),
) -> Page[int]:
    """Return a page of ids of accounts by name: the page after a key, or the one before a key.

    `only` is a condition of ours on the row `o`, with its `parameters`; never a text of a visitor.
    """
    matching = (
        "FROM owner o WHERE casefold(o.full_name) LIKE ? ESCAPE '\\'"
        f" AND ({only}) AND (casefold(o.full_name), o.id) "
    )
    given = (_storable(pattern(text)), *parameters)
    backwards = before is not None
    key = (before if before is not None else after) or FIRST
    edge = (_storable(key[0]), key[1])
    compare, order = ("<", "DESC") if backwards else (">", "ASC")
    rows = reader.rows(
        f"SELECT casefold(o.full_name), o.id {matching} {compare} (?, ?)"
        f" ORDER BY casefold(o.full_name) {order}, o.id {order} LIMIT ?",
        *given,
        *edge,
        PAGE_ROWS,
    )
    if backwards:
        rows.reverse()
    if not rows:
        return Page(())

    def lies(direction: str, at: tuple[str, int]) -> bool:
        return reader.one(f"SELECT 1 {matching} {direction} (?, ?)", *given, *at) is not None

    first, last = (rows[0][0], rows[0][1]), (rows[-1][0], rows[-1][1])
    return Page(
        tuple(row[1] for row in rows),
        first if lies("<", first) else None,
        last if lies(">", last) else None,
    )


def person(reader: Reader, owner_id: int) -> Person:
    """Return what others may see of an account. Raises NotFound."""
    return person_of(owners.get(reader, owner_id))


def person_of(owner: Owner) -> Person:
    """Return what others may see of an account."""
    return Person(owner.id, owner.full_name, owner.authority, owner.enabled)


def persons(reader: Reader, found: Page[int]) -> Page[Person]:
    """Return a page of ids as a page of people."""
    return Page(tuple(person(reader, one) for one in found.rows), found.before, found.after)


def _storable(text: str) -> str:
    # A lone surrogate cannot be handed to SQLite; what a visitor typed may hold one.
    return text.encode("utf-8", "replace").decode()
