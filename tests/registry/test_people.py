"""The search for people: words in order, any case, every script, 15 a page."""

from __future__ import annotations

import pytest

from gateway.model.kinds import Authority
from gateway.registry import owners, people
from tests.registry.furnished import RECORD, OpenRegistry

NAMES = ["Sophie Germain", "Markus Schmidt", "Martin Evans", "Zoë Müller", "100% Sure", "A_b Corp",
         "Back\\slash", "Élodie", "Иван Петров"]  # fmt: skip


def _fill(tx, full_names=NAMES):
    return {
        name: owners.add(tx, f"acct{number:03}", name, RECORD, Authority.CONSUMER).id
        for number, name in enumerate(full_names)
    }


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("s ger", ["Sophie Germain"]), ("ger s", []), ("mar", ["Markus Schmidt", "Martin Evans"]),
        ("mar dt", ["Markus Schmidt"]), ("  MAR   DT ", ["Markus Schmidt"]),
        ("%", ["100% Sure"]), ("_", ["A_b Corp"]), ("\\", ["Back\\slash"]), ("0%", ["100% Sure"]),
        ("MÜLLER", ["Zoë Müller"]), ("петр", ["Иван Петров"]), ("é", ["Élodie"]),
        ("'; DROP TABLE owner; --", []), ("x" * 5000, []), ("half\ud800", []),
        ("e e e e e e e e e e e e e", []),
    ],
)  # fmt: skip
async def test_parts_of_the_name_in_this_order(open_registry: OpenRegistry, text, found):
    async with open_registry() as room:
        ids = await room.registry.write(_fill)
        page = await room.read(people.search, text)
        by_id = {owner_id: name for name, owner_id in ids.items()}
        assert [by_id[one] for one in page.rows] == found


async def test_an_empty_text_finds_all_sorted_without_regard_to_case(open_registry: OpenRegistry):
    async with open_registry() as room:
        names = ["delta", "Alfa", "charlie", "Bravo"]
        ids = await room.registry.write(lambda tx: _fill(tx, [*names]))
        page = await room.read(people.search, "")
        assert page.rows == tuple(ids[name] for name in ("Alfa", "Bravo", "charlie", "delta"))
        assert (page.before, page.after) == (None, None)


async def test_pages_are_cut_by_name_and_id_and_stay_whole_when_rows_go(open_registry):
    async with open_registry() as room:
        names = [f"Twin {number % 20:02}" for number in range(40)]

        def fill(tx):
            return [owners.add(tx, f"acct{i}", name, RECORD).id for i, name in enumerate(names)]

        ids = await room.registry.write(fill)
        expected = [owner_id for _, owner_id in sorted(zip(names, ids, strict=True))]
        first = await room.read(people.search, "twin")
        assert (list(first.rows), first.before) == (expected[:15], None)
        second = await room.read(people.search, "twin", after=first.after)
        assert list(second.rows) == expected[15:30]
        third = await room.read(people.search, "twin", after=second.after)
        assert (list(third.rows), third.after) == (expected[30:], None)
        back = await room.read(people.search, "twin", before=third.before)
        assert back.rows == second.rows
        start = await room.read(people.search, "twin", before=back.before)
        assert (start.rows, start.before) == (first.rows, None)
        await room.write(owners.delete, expected[14])
        again = await room.read(people.search, "twin", after=first.after)
        assert again.rows == second.rows, "a row that goes must not shift the pages"


async def test_a_word_that_could_match_in_many_ways_is_answered_quickly(open_registry):
    async with open_registry() as room:
        await room.registry.write(lambda tx: _fill(tx, ["a" * 64] * 50))
        page = await room.read(people.search, "a a a a a a a b")
        assert page.rows == ()
