"""Somebody who installs this package only: what an import brings, what is typed and documented."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import gateway
import gateway.endpoint
from tests.endpoint.test_documented import ENVIRONMENT, PAGE, ROOT

PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


def test_the_import_needs_nothing_but_python() -> None:
    code = "import json, sys, gateway.endpoint; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    before = subprocess.run(
        [sys.executable, "-c", code.replace(", gateway.endpoint", "")],
        env=ENVIRONMENT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    there = {name.partition(".")[0] for name in json.loads(before.stdout)}
    assert "gateway" in loaded
    strangers = {name for name in loaded - there if name not in sys.stdlib_module_names}
    assert strangers == {"gateway"}


def test_rooms_of_the_server_stay_out() -> None:
    code = "import sys, gateway.endpoint; print(*sorted({m.split('.')[1] for m in sys.modules"
    code += " if m.startswith('gateway.')}))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    assert not set(done.stdout.split()) & {
        "registry", "tracker", "relay", "web", "cameras", "site", "discovery", "telemetry", "cli",
    }  # fmt: skip


def test_the_package_says_that_it_is_typed() -> None:
    """PEP 561: without the mark every name of ours is Any to a program's type checker."""
    assert (Path(gateway.__file__).parent / "py.typed").is_file()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert "py.typed" in project["tool"]["setuptools"]["package-data"]["*"]


def test_programs_import_from_one_place() -> None:
    for program in PROGRAMS:
        assert set(re.findall(r"(?:from|import) (gateway\S*)", program)) == {"gateway.endpoint"}


def test_every_public_name_is_in_a_program() -> None:
    """Each name of the library occurs in an example, and each example is run (test_documented)."""
    used = set(re.findall(r"\w+", "\n".join(PROGRAMS)))
    assert set(gateway.endpoint.__all__) <= used
    assert len(PROGRAMS) == 10


VERBS = {
    "ServiceEndpoint": "listen listen_udp offer resolve hostname members guest_allowed",
    "ClientEndpoint": "connect_tcp connect_udp call services user site_uid",
    "Endpoint": "connect disconnect close online subscribe status connectivity events",
    "PortListener": "accept close number",
    "LocalForward": "open close",
}


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_is_on_the_page(name: str) -> None:
    """What an application calls; what only the library calls on itself is not named there."""
    words = set(re.findall(r"\w+", PAGE.read_text("utf-8")))
    verbs = set(VERBS[name].split())
    assert verbs <= words
    if name != "Endpoint":
        kind = getattr(gateway.endpoint, name)
        assert all(hasattr(kind, verb) for verb in verbs)


def test_the_programs_of_the_page_are_sound_to_a_type_checker(tmp_path: Path) -> None:
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed")
    for number, program in enumerate(PROGRAMS):
        (tmp_path / f"program{number}.py").write_text(program, "utf-8")
    # As if installed: errors inside the package are not reported, its types are followed.
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-error-summary",
         f"--cache-dir={tmp_path / 'cache'}", "--follow-imports=silent",
         *sorted(str(path) for path in tmp_path.glob("program*.py"))],
        env={**ENVIRONMENT, "MYPYPATH": str(ROOT)}, cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("", 0), done.stdout + done.stderr
