"""`ctl` against a running page server: every verb reaches its route, faults are sentences."""

from __future__ import annotations

import asyncio
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import ctl, ctl_call, ctl_verbs
from gateway.web.routing import Side
from gateway.web.table import ROUTES
from tests.web.callers import PASSWORD
from tests.web.rig import CAMERA_PASSWORD, JPEG, Found, Rig, Watching, build_structure, open_rig

ROOT = Path(__file__).resolve().parents[2]


class Terminal:
    """Runs `ctl` beside the server, in a thread of its own, and keeps what it said."""

    def __init__(self, rig: Rig, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._rig = rig
        self._folder = tmp_path
        self._capsys = capsys

    async def run(self, words: str, *more: str, token: str = "api.token") -> tuple[int, str, str]:
        source = ["--url", self._rig.url, "--token-file", str(self._folder / token)]
        code = await asyncio.to_thread(ctl.main, [*words.split(), *more, *source])
        out, err = self._capsys.readouterr()
        return code, out, err

    async def good(self, words: str, *more: str) -> Any:
        code, out, err = await self.run(words, *more, "--json")
        assert (code, err) == (0, ""), err
        return json.loads(out)

    def password(self, text: str) -> str:
        """Return the name of a file with a password."""
        path = self._folder / "password"
        path.write_text(f"{text}\nsecond line\n")
        return str(path)


async def _claimed(rig: Rig, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Terminal:
    terminal = Terminal(rig, tmp_path, capsys)
    await terminal.good(
        "owner claim markus", "Markus Schmidt", "--password-file", terminal.password(PASSWORD)
    )
    return terminal


def test_every_verb_has_a_route_and_every_route_a_verb():
    routes = {(route.method, re.sub(r"\{\w+\}", "{}", route.path)) for route in ROUTES
              if route.side is Side.API}  # fmt: skip
    verbs = {(verb.method, re.sub(r"\{\w+\}", "{}", f"/api/v1{verb.path}"))
             for verb in ctl_verbs.VERBS}  # fmt: skip
    assert verbs <= routes
    # The first is for programs that watch the gateway, the second for those that are made from it.
    assert {path for _, path in routes - verbs} == {"/health", "/api/v1/openapi.json"}


def test_every_verb_says_what_it_does_and_takes():
    seen = set()
    for verb in ctl_verbs.VERBS:
        words = f"{verb.noun} {verb.name}"
        assert words not in seen
        seen.add(words)
        assert verb.help, words
        assert verb.method != "GET" or verb.columns or verb.binary, f"{words} shows nothing"
        taken = {argument.key for argument in verb.arguments}
        assert set(re.findall(r"\{(\w+)\}", verb.path)) <= taken, words
        assert set(verb.query) <= taken, words
        for argument in verb.arguments:
            assert not argument.secret or argument.key.endswith("_file"), words


@pytest.mark.timeout_s(60)
async def test_a_household_is_set_up(tmp_path: Path, capsys):
    async with open_rig(tmp_path) as rig:
        terminal = await _claimed(rig, tmp_path, capsys)
        assert (await terminal.good("domain list"))["items"][0]["name"] == "My Cameras"
        await rig.registry.write(lambda tx: build_structure(tx, 1))
        await terminal.good("user add 1 Alison")
        await terminal.good("role set 1 Alison User Operator")
        rights = (await terminal.good("user rights 1"))["items"]
        assert next(one for one in rights if one["user"]["name"] == "Alison")["explicit_roles"] == [
            "Operator", "User",
        ]  # fmt: skip
        client = await terminal.good("client add 1 alison")
        drawn = await terminal.good(f"client generate-password {client['id']}")
        assert drawn["uri"] == client["uri"]
        code, out, _ = await terminal.run(f"client generate-password {client['id']}")
        assert code == 0
        assert re.search(rf"^URI +{re.escape(client['uri'])}$", out, re.MULTILINE)
        assert re.search(r"^PASSWORD +\S{16}$", out, re.MULTILINE)
        code, out, _ = await terminal.run("client list 1")
        assert out.splitlines()[0].split() == [
            "ID", "KEY", "URI", "USER_NAME", "ONLINE", "STATUS", "DESCRIPTION", "HAS_PASSWORD",
        ]  # fmt: skip
        assert out.splitlines()[1].split()[1] == client["key"]
        assert drawn["password"] not in out
        await terminal.good("role default 1 User")
        await terminal.good("role default 1 none")
        await terminal.good("role set 1 Alison")
        await terminal.good(f"client ping-period {client['id']} 60")
        await terminal.good(f"client delete {client['id']}")
        assert (await terminal.run("client list 1"))[1] == "Nothing.\n"
        await terminal.good("user disable 2")
        await terminal.good("site allow-guests 1")
        site = await terminal.good("site add 1", "Second site", "--kind", "multi")
        service = await terminal.good(f"service add {site['id']} Gate")
        assert service["hostname"] == "Gate"
        await terminal.good(f"service generate-password {service['id']}")
        await terminal.good(f"service disable {service['id']}")
        await terminal.good(f"site delete {site['id']}")
        audit = (await terminal.good("audit list --action role.set"))["items"]
        assert audit == []
        assert (await terminal.good("audit list --limit 3"))["items"][0]["action"] == "site.delete"
        assert (await terminal.good("status show"))["claimed"] is True


async def test_cameras(tmp_path: Path, capsys):
    async with open_rig(tmp_path) as rig:
        terminal = await _claimed(rig, tmp_path, capsys)
        rig.cameras.here = [Found("serial:1", "\x1b[31mFront", "Acme", "Dome 4")]
        _, out, _ = await terminal.run("camera found")
        assert "?[31mFront" in out
        assert "\x1b" not in out, "a device's name does not command the terminal"
        login = ("--user", "admin", "--password-file", terminal.password(CAMERA_PASSWORD))
        assert (await terminal.good("camera probe serial:1", *login))["model"] == "Dome 4"
        camera = await terminal.good("camera add serial:1 1", "Front door", *login)
        picture = tmp_path / "picture.jpg"
        device = camera["device_id"]
        code, _, _ = await terminal.run(f"camera snapshot {device} --output", str(picture))
        assert (code, picture.read_bytes()) == (0, JPEG)
        await terminal.good(f"camera rename {device} Gate")
        rig.cameras.watched["7"] = Watching("7", device, "Gate")
        assert len((await terminal.good("session list"))["items"]) == 1
        await terminal.good("session end 7")
        await terminal.good(f"camera forget {device}")
        assert (await terminal.run(f"camera snapshot {device}"))[0] == ctl_call.EXIT_NOT_FOUND


async def test_accounts_and_tokens(tmp_path: Path, capsys, monkeypatch):
    async with open_rig(tmp_path) as rig:
        terminal = await _claimed(rig, tmp_path, capsys)
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
        julia = await terminal.good(
            "owner add julia", "Julia Robinson", "--authority", "provider", "--password-file", "-"
        )
        assert julia["authority"] == "provider"
        await terminal.good("owner set-password 2", "--password-file", terminal.password("x" * 12))
        await terminal.good("owner disable 2")
        await terminal.good("owner enable 2")
        # Only the local tool may do this; the page may not.
        await terminal.good("owner set-authority 2 administrator")
        made = await terminal.good("token add reader --days 1")
        (tmp_path / "reader").write_text(made["token"])
        code, _, err = await terminal.run("user add 1 Bob", token="reader")
        assert (code, "lacks the scope 'manage'" in err) == (ctl_call.EXIT_DENIED, True)
        assert (await terminal.run("domain list", token="reader"))[0] == 0
        await terminal.good(f"token delete {made['id']}")
        assert (await terminal.run("domain list", token="reader"))[0] == ctl_call.EXIT_DENIED
        await terminal.good("owner delete 2")


async def test_a_setup_code_is_drawn_and_taken(tmp_path: Path, capsys):
    async with open_rig(tmp_path) as rig:
        first = rig.code
        terminal = Terminal(rig, tmp_path, capsys)
        assert await terminal.good("owner setup-code") == {"code": rig.code}
        assert rig.code != first
        await _claimed(rig, tmp_path, capsys)
        code, _, err = await terminal.run("owner setup-code")
        assert (code, "has an owner already" in err) == (ctl_call.EXIT_REFUSED, True)


async def test_faults_are_sentences_with_codes(tmp_path: Path, capsys):
    async with open_rig(tmp_path) as rig:
        terminal = Terminal(rig, tmp_path, capsys)
        code, _, err = await terminal.run("domain list")
        assert (code, "no owner yet" in err) == (ctl_call.EXIT_DENIED, True)
        code, _, err = await terminal.run(
            "owner claim ab", "Markus Schmidt", "--password-file", terminal.password(PASSWORD)
        )
        assert (code, "4 to 64 characters" in err) == (ctl_call.EXIT_REFUSED, True)
        await _claimed(rig, tmp_path, capsys)
        assert (await terminal.run("site show 99"))[0] == ctl_call.EXIT_NOT_FOUND
        assert (await terminal.run("client add 1 Nobody"))[0] == ctl_call.EXIT_NOT_FOUND
        code, _, err = await terminal.run("user add 1 Owner")
        assert (code, "has a user Owner already" in err) == (ctl_call.EXIT_REFUSED, True)
        code, _, err = await terminal.run("domain list", token="not-there")
        assert (code, "cannot be read" in err) == (ctl_call.EXIT_DENIED, True)
        (tmp_path / "bad").write_text("nonsense")
        assert (await terminal.run("domain list", token="bad"))[0] == ctl_call.EXIT_DENIED
        url = rig.url
    code = await asyncio.to_thread(ctl.main, ["domain", "list", "--url", url])
    assert code == ctl_call.EXIT_UNREACHABLE
    assert "Is it running?" in capsys.readouterr().err
    assert await asyncio.to_thread(ctl.main, ["domain", "list", "--url", "ftp://x"]) == 2
    capsys.readouterr()


@pytest.mark.parametrize("words", [[], ["fly"], ["client"], ["client", "fly"], ["client", "add"],
                                   ["client", "list", "x"]])  # fmt: skip
def test_wrong_usage(words, capsys):
    with pytest.raises(SystemExit) as ended:
        ctl.main(words)
    assert ended.value.code == ctl_call.EXIT_USAGE
    assert "usage:" in capsys.readouterr().err


def test_the_token_is_found_where_the_daemon_leaves_it(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(ctl_call.TOKEN_VARIABLE, raising=False)
    monkeypatch.setattr(ctl_call, "TOKEN_FILES", ("var/api.token",))
    assert ctl_call.find_token(None) == ""
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "api.token").write_text("here\n")
    assert ctl_call.find_token(None) == "here"
    (tmp_path / "other").write_text("there\n")
    monkeypatch.setenv(ctl_call.TOKEN_VARIABLE, str(tmp_path / "other"))
    assert ctl_call.find_token(None) == "there"


def test_it_starts_light():
    program = (
        "import sys; from gateway.cli import ctl; heavy = {'aiohttp', 'sqlite3', 'asyncio', 'ssl',"
        " 'jinja2', 'gateway.web'} & set(sys.modules); print(sorted(heavy))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout.replace("'", '"'))) <= {"ssl"}, "http.client brings ssl"
