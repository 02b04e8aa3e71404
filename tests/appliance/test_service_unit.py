"""The service's unit file: understood by systemd, hardened, and in step with the program."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.settings.loader import SettingsError

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "systemd" / "gateway.service"
EXPOSURE_MAX = 2.5

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60
    )


def exposure(unit: Path) -> float:
    done = analyze("security", "--offline=yes", "--no-pager", str(unit))
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    return float(found[1])


def service(text: str) -> dict[str, str]:
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    parser.optionxform = str
    parser.read_string(text)
    return dict(parser["Service"])


@needs_systemd
def test_systemd_understands_every_line(tmp_path):
    unit = tmp_path / "gateway.service"
    program = service(UNIT.read_text())["ExecStart"].split()[0]
    unit.write_text(UNIT.read_text().replace(program, "/bin/true"))
    done = analyze("verify", "--man=no", str(unit))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    unit.write_text(unit.read_text().replace("ProtectClock=", "ProtectClocks="))
    assert "ProtectClocks" in analyze("verify", "--man=no", str(unit)).stderr, (
        "must be able to fail"
    )


@needs_systemd
def test_exposure(tmp_path):
    assert exposure(UNIT) <= EXPOSURE_MAX
    weaker = tmp_path / "gateway.service"
    weaker.write_text(re.sub(r"(?m)^(Protect|Restrict|System).*$", "", UNIT.read_text()))
    assert exposure(weaker) > EXPOSURE_MAX, "must be able to fail"


def test_the_unit_and_the_program_agree():
    unit = service(UNIT.read_text())
    assert unit["Type"] == "notify"
    assert int(unit["WatchdogSec"]) > 0
    assert int(unit["RestartPreventExitStatus"]) == SettingsError.exit_code
    words = unit["ExecStart"].split()
    assert words[1] == "run"
    assert "--state" in words
    install = (ROOT / "systemd" / "install.sh").read_text()
    for place in (
        words[0].removesuffix("/bin/softnet-gateway"),
        "/etc/softnet-gateway",
        unit["User"],
    ):
        assert place in install


def test_the_services_user():
    user = service(UNIT.read_text())["User"]
    assert f"\nu {user} - " in (ROOT / "systemd" / "sysusers.conf").read_text()
