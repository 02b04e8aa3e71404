"""The page on interoperability says what a run of now says, and leaves no file out."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from tests.interop import transcripts
from tests.interop.table import PAGE, Row, render, transcript_rows, vector_rows
from tests.support.recordings import FOLDER

FILES = sorted(path.name for path in FOLDER.rglob("*") if path.is_file())


@functools.cache
def rows() -> tuple[list[Row], list[Row]]:
    return transcript_rows(), vector_rows()


def test_the_page_is_that_of_this_run() -> None:
    page = PAGE.read_text("utf-8")
    assert page == render(*rows()), "write it anew: python -m tests.interop.table"


def test_every_file_has_one_row() -> None:
    recorded, computed = rows()
    assert sorted(row.file for row in (*recorded, *computed)) == FILES
    page = PAGE.read_text("utf-8")
    for file in FILES:
        assert page.count(f"| {file} |") == 1, file


@pytest.mark.parametrize("file", FILES)
def test_every_row_passes(file: str) -> None:
    (row,) = (row for found in rows() for row in found if row.file == file)
    assert row.failures == []


def test_a_recording_that_nobody_can_play_is_seen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The page can fail: another octet of the server, and another answer of a formula."""
    recording = transcripts.recordings.load("02")
    raw = transcripts.recordings
    steps = list(recording.steps)
    at = next(i for i, step in enumerate(steps) if step.name == "ONLINE")
    spoilt = bytes([*steps[at].octets[:-1], steps[at].octets[-1] ^ 1])
    steps[at] = raw.Step(steps[at].at, steps[at].connection, steps[at].way, spoilt, "ONLINE")
    changed = raw.Recording(
        recording.name, recording.description, recording.connections, tuple(steps),
        recording.services, recording.clients, recording.raw,
    )  # fmt: skip
    monkeypatch.setattr(raw, "load", lambda name: changed)
    monkeypatch.setattr(transcripts.servers.recordings, "names", lambda: ("02",))
    assert transcripts.guarded(lambda: transcripts.server("02")).failure
    path = tmp_path / "00.json"
    path.write_text(
        '{"vectors": [{"name": "x", "algorithm": "sha1", "preimage_hex": "00", "value_hex": "00"}]}'
    )
    monkeypatch.undo()
    assert transcripts.guarded(lambda: transcripts.hash_vectors(path)).failure == "x"
