"""The page of features has every row, with the tests that there are; all of them pass."""

from __future__ import annotations

from tests.features.table import PAGE, WHY_NOT, page, rows, tests_by_row


def test_the_table_is_whole():
    ids = [row.id for row in rows()]
    assert len(ids) == len(set(ids)) == 190
    assert sum(row.seed for row in rows()) == 49


def test_every_row_is_shown_by_a_test_or_has_a_reason():
    tests = tests_by_row()
    ids = {row.id for row in rows()}
    assert set(tests) <= ids, "a test names a row that does not exist"
    assert sorted(ids - set(tests) - set(WHY_NOT)) == []


def test_the_page_is_that_of_these_tests():
    """What the tests say is known from their own run; here the page must name them all."""
    verdicts = {name: "pass" for names in tests_by_row().values() for name in names}
    assert PAGE.read_text(encoding="utf-8") == page(verdicts), (
        "run: .venv/bin/python -m tests.features.table"
    )
