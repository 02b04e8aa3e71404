"""The set-up script: names what is missing, installs it once, and is quick when nothing changed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534


@pytest.fixture
def checkout(tmp_path):
    """A copy of what the script needs, in a folder that other users may enter."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and folder.name.startswith(
            ("pytest-", "popen-", "test_")
        ):
            folder.chmod(0o755)
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "setup.sh", tmp_path / ".ci")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "bin").mkdir()
    return tmp_path


def program(checkout: Path, name: str, text: str) -> None:
    path = checkout / "bin" / name
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)


def setup(
    checkout: Path, verb: str, *, as_nobody: bool = False
) -> subprocess.CompletedProcess[str]:
    prefix = []
    if as_nobody and os.geteuid() == 0:
        prefix = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    return subprocess.run(
        [*prefix, str(checkout / ".ci" / "setup.sh"), verb],
        env={"PATH": f"{checkout}/bin:/usr/sbin:/usr/bin:/sbin:/bin", "VENV": "venv"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_without_root_it_names_the_missing_packages(checkout):
    program(
        checkout, "dpkg-query", 'for last; do :; done; [ "$last" != ffmpeg ] && echo ok installed'
    )
    program(checkout, "sudo", "exit 1")
    done = setup(checkout, "demo", as_nobody=True)
    assert done.returncode == 1
    assert "could not be installed without root:\nsetup:     ffmpeg \n" in done.stderr
    assert "apt-get install ffmpeg" in done.stderr
    assert not (checkout / "venv").exists()


def test_an_unknown_verb(checkout):
    assert setup(checkout, "fly").returncode == 2


def test_the_second_time_nothing_is_asked(checkout):
    """pip and dpkg-query are counted; a changed pyproject.toml makes it begin again."""
    calls = checkout / "calls"
    program(checkout, "dpkg-query", f"echo dpkg-query >>{calls}; echo ok installed")
    venv_python = checkout / "venv" / "bin" / "python"
    venv_python.parent.mkdir(parents=True)
    venv_python.write_text(f'#!/bin/sh\necho "$*" >>{calls}\nexit 0\n')
    venv_python.chmod(0o755)
    assert setup(checkout, "run").returncode == 0
    first = calls.read_text()
    assert "-m pip install" in first
    assert "dpkg-query" in first
    calls.unlink()
    assert setup(checkout, "run").returncode == 0
    assert not calls.exists()
    with (checkout / "pyproject.toml").open("a") as project:
        project.write("# changed\n")
    assert setup(checkout, "run").returncode == 0
    assert "-m pip install" in calls.read_text()


def test_setting_up_for_tests_covers_the_lesser_verbs(checkout):
    program(checkout, "dpkg-query", "echo ok installed")
    venv_python = checkout / "venv" / "bin" / "python"
    venv_python.parent.mkdir(parents=True)
    venv_python.write_text("#!/bin/sh\nexit 0\n")
    venv_python.chmod(0o755)
    assert setup(checkout, "test").returncode == 0
    venv_python.write_text("#!/bin/sh\nexit 1\n")
    for verb in ("run", "demo", "image"):
        assert setup(checkout, verb).returncode == 0
