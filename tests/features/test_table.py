"""The page of features has every row, with the tests that there are; all of them pass."""

from __future__ import annotations

from tests.features.table import PAGE, WHY_NOT, page, rows, shown_by_tests


def test_the_table_is_whole():
    ids = [row.id for row in rows()]
    assert len(ids) == len(set(ids)) == 190
    assert sum(row.seed for row in rows()) == 49


def test_every_row_is_shown_by_a_test_or_has_a_reason():
    tests = shown_by_tests()
    ids = {row.id for row in rows()}
    assert set(tests) <= ids, "a test names a row that does not exist"
    assert sorted(ids - set(tests) - set(WHY_NOT)) == []


def test_the_page_is_that_of_these_tests():
    """What the tests say is known from their own run; here the page must name them all."""
    verdicts = {name: "pass" for names in shown_by_tests().values() for name in names}
    assert PAGE.read_text(encoding="utf-8") == page(verdicts), (
        "run: .venv/bin/python -m tests.features.table"
    )
