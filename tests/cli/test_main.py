"""The command line: commands are found lazily, faults are sentences with exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gateway import __version__
from gateway.base.errors import HostError
from gateway.cli import main as cli_main
from gateway.cli.main import guarded, main

ROOT = Path(__file__).resolve().parents[2]


def test_no_command_lists_them(capsys):
    assert main([]) == 2
    assert main(["--help"]) == 0
    assert "config " in capsys.readouterr().out


def test_unknown_command(capsys):
    assert main(["fly"]) == 2
    assert "there is no command fly" in capsys.readouterr().err


def test_version_without_loading_rooms():
    program = (
        "import sys; from gateway.cli.main import main; main(['--version']);"
        "heavy = {'aiohttp', 'sqlite3', 'asyncio'} & set(sys.modules); assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"softnet-gateway {__version__}\n"


def test_python_m_gateway():
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "version"],
        cwd=ROOT, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, f"softnet-gateway {__version__}\n")


def test_faults_are_sentences(capsys):
    def fails() -> int:
        raise HostError("The disk is full. Make room and try again.")

    assert guarded(fails) == cli_main.EXIT_FAULT
    assert (
        capsys.readouterr().err == "softnet-gateway: The disk is full. Make room and try again.\n"
    )


def test_interrupt():
    def interrupted() -> int:
        raise KeyboardInterrupt

    assert guarded(interrupted) == cli_main.EXIT_INTERRUPTED


def test_other_faults_are_not_hidden():
    with pytest.raises(ZeroDivisionError):
        guarded(lambda: 1 // 0)
