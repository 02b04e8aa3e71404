"""The tree keeps the laws of `laws.py`, and the few that need more than a syntax tree."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.architecture import laws
from tests.architecture.laws import ROOT

PRODUCT = laws.modules("gateway", "drivers")
CODE = [*PRODUCT, *laws.modules("tests", "bench", "image")]

# Modules out of reach of their room's tests, each with the place where it is tested instead. This
# list only ever gets shorter.
TESTED_ELSEWHERE: dict[str, str] = {
    "gateway.app": "tests/e2e runs the whole program; nothing of it can be had alone",
}


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
def test_the_product_keeps(law):
    complaints = [complaint for module in PRODUCT for complaint in law(module)]
    assert not complaints, "\n" + "\n".join(complaints)


def test_tests_and_tools_keep_the_size():
    complaints = [complaint for module in CODE for complaint in laws.breaks_size(module)]
    assert not complaints, "\n" + "\n".join(complaints)


def _reached(start: set[str]) -> set[str]:
    """Return the modules of one room that `start` leads to through imports within the room."""
    known = {module.name: module for module in PRODUCT}
    rooms = {".".join(name.split(".")[:2]) for name in start}
    found: set[str] = set()
    waiting = [name for name in start if name in known]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for target, _ in laws.imports(known[name]):
            inside = ".".join(target.split(".")[:2]) in rooms
            names = (target, target.rpartition(".")[0])
            waiting += [near for near in names if inside and near in known]
    return found


def _imported_by_tests(folder: Path) -> set[str]:
    """Return the dotted names that the test files of a folder import."""
    names: set[str] = set()
    for path in folder.rglob("*.py"):
        sample = laws.Module.of(f"tests.{path.stem}", path.read_text(), str(path))
        for name, _ in laws.imports(sample):
            names |= {name, name.rpartition(".")[0]}
    return names


def _room_of(module: laws.Module) -> str:
    parts = module.name.split(".")
    if parts[0] == "drivers":
        return "drivers"
    return "" if len(parts) == 2 and module.path.name != "__init__.py" else parts[1]


def test_every_module_is_within_reach_of_its_rooms_tests():
    """The tests in the folder of the room's name import it, or something that leads to it."""
    missing = []
    reach: dict[str, set[str]] = {}
    for module in PRODUCT:
        special = module.path.name in ("__init__.py", "__main__.py")
        if special or module.name in TESTED_ELSEWHERE:
            continue
        room = _room_of(module)
        if room not in reach:
            folders = [ROOT / "tests" / (room or "e2e")]
            # The recorded conversations are tests of these rooms as well.
            if room in ("wire", "protocol", "site"):
                folders.append(ROOT / "tests" / "transcripts")
            names = {name for folder in folders for name in _imported_by_tests(folder)}
            top = "drivers." if room == "drivers" else f"gateway.{room}"
            reach[room] = _reached({name for name in names if name.startswith(top)})
        if module.name not in reach[room]:
            missing.append(f"no test in tests/{room} reaches {module.path}")
    assert not missing, "\n" + "\n".join(missing)


def test_exceptions_are_not_out_of_date():
    names = {module.name for module in PRODUCT}
    assert not [name for name in TESTED_ELSEWHERE if name not in names]


# Run in an interpreter of its own: libraries are loaded once, then every module is imported in a
# fork that has seen nothing else of ours.
LONE_IMPORTS = """
import importlib, os, sys, warnings
warnings.simplefilter("ignore")
for name in ("asyncio", "aiohttp.web", "cryptography.hazmat.primitives.ciphers.aead", "zeroconf",
             "zeroconf.asyncio", "paho.mqtt.client", "sqlite_utils", "jinja2", "argon2", "segno"):
    importlib.import_module(name)
failed = running = 0
for name in sys.argv[1:]:
    if running == os.cpu_count():
        failed |= os.wait()[1]
        running -= 1
    running += 1
    if os.fork() == 0:
        try:
            importlib.import_module(name)
        except BaseException as error:
            print(f"{name}: {type(error).__name__}: {error}", flush=True)
            os._exit(1)
        os._exit(0)
while running:
    failed |= os.wait()[1]
    running -= 1
sys.exit(1 if failed else 0)
"""


def _in_fresh_interpreter(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip


def test_every_module_can_be_imported_alone():
    names = [module.name for module in PRODUCT if module.path.name != "__main__.py"]
    done = _in_fresh_interpreter(LONE_IMPORTS, *names)
    assert done.returncode == 0, done.stdout + done.stderr


def test_lone_imports_can_fail():
    done = _in_fresh_interpreter(LONE_IMPORTS, "gateway.base.errors", "gateway.base.no_such_module")
    assert done.returncode == 1
    assert "no_such_module" in done.stdout
    assert "errors" not in done.stdout


def _entry_points() -> dict[str, str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project["entry-points"]["gateway.drivers"]


@pytest.mark.parametrize(("name", "target"), _entry_points().items())
def test_a_manifest_comes_without_its_driver(name, target):
    package, _, attribute = target.partition(":")
    if not (ROOT / package.replace(".", "/") / "__init__.py").exists():
        pytest.fail(f"the entry point {name} leads to {package}, which is not there")
    program = f"""
import sys, {package} as package
manifest = package.{attribute}
assert manifest.name == {name!r}, manifest.name
module = manifest.driver.partition(":")[0]
assert module not in sys.modules, module + " was loaded with its manifest"
for heavy in ("aiohttp", "zeroconf", "cryptography"):
    assert heavy not in sys.modules, heavy + " was loaded with the manifest"
"""
    done = _in_fresh_interpreter(program)
    assert done.returncode == 0, done.stderr


def test_no_traces_of_a_developers_machine():
    # Spelled in parts so that this file does not find itself.
    traces = ["/work" + "/", "/tmp" + "/team", "/root" + "/", "/home" + "/"]
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    if listed.returncode != 0:
        pytest.skip("not a git checkout: nothing says which files are the project's")
    found = []
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if not path.is_file() or path.stat().st_size > 1_000_000:
            continue
        text = path.read_bytes()
        found += [f"{name} mentions {trace}" for trace in traces if trace.encode() in text]
    assert not found, "\n" + "\n".join(found)


# What may stand in the repository's top folder; the rest has a room.
TOP = frozenset(
    ".ci .gitignore CHANGELOG.md CONTRIBUTING.md DECISIONS.md LICENSE Makefile README.md bench "
    "config docs drivers gateway image pyproject.toml systemd tests".split()
)


def test_the_top_folder_is_tidy():
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout: nothing says which files are the project's")
    tops = {name.partition("/")[0] for name in listed.stdout.split("\0") if name}
    assert not tops - TOP


def test_folders_that_must_not_be_packages():
    for folder in ("config", "systemd", "image", "tests"):
        assert not (ROOT / folder / "__init__.py").exists(), folder


def test_rooms_have_a_map():
    """A room's `__init__.py` holds its docstring and names, no logic."""
    wrong = []
    for module in PRODUCT:
        if module.path.name != "__init__.py" or module.path.parts[0] != "gateway":
            continue
        allowed = (ast.Expr, ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign)
        wrong += [
            f"{module.path}:{node.lineno} logic in a room's map"
            for node in module.tree.body
            if not isinstance(node, allowed)
        ]
    assert not wrong, "\n" + "\n".join(wrong)
