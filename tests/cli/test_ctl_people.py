"""`ctl` about people: accounts, contacts, invitations, the outbox, settings, guests, the audit."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import ctl_call
from gateway.model.accounts import Scope
from gateway.model.kinds import Authority
from gateway.registry import clients, members, operators, server_settings, sites
from tests.cli.test_ctl import Terminal
from tests.web.callers import PASSWORD
from tests.web.rig import Rig, add_owner, build_site, open_rig


async def _account(rig: Rig, folder: Path, name: str, authority: Authority) -> int:
    """Create an account with a token in the file of its name; return its id."""
    owner = await add_owner(rig.registry, name, authority)
    secret, _ = await rig.registry.write(
        lambda tx: operators.add_token(tx, "ctl", owner, [Scope.ADMINISTER])
    )
    (folder / name).write_text(secret.reveal())
    return owner


async def _good(terminal: Terminal, who: str, words: str, *more: str) -> Any:
    code, out, err = await terminal.run(words, *more, "--json", token=who)
    assert (code, err) == (0, ""), err
    return json.loads(out)


@pytest.mark.timeout_s(60)
async def test_two_people_become_contacts_and_share(tmp_path: Path, capsys):
    async with open_rig(tmp_path) as rig:
        terminal = Terminal(rig, tmp_path, capsys)
        rig.server.desk.claimed = True
        markus = await _account(rig, tmp_path, "markus", Authority.ADMINISTRATOR)
        julia = await _account(rig, tmp_path, "julia", Authority.CONSUMER)
        domain, site, _ = await rig.registry.write(lambda tx: build_site(tx, markus))
        found = (await _good(terminal, "markus", "contact search own"))["items"]
        assert [one["id"] for one in found] == [julia]
        await _good(terminal, "markus", f"contact invite {julia}")
        sent = (await _good(terminal, "markus", "contact sent"))["items"]
        assert sent[0]["other_id"] == julia
        code, out, _ = await terminal.run("contact received", token="julia")
        assert (code, out.splitlines()[0].split()) == (0, ["OTHER", "OTHER_NAME", "CREATED_AT"])
        await _good(terminal, "julia", f"contact refuse {markus}")
        await _good(terminal, "markus", f"contact invite {julia}")
        await _good(terminal, "markus", f"contact withdraw {julia}")
        await _good(terminal, "julia", f"contact invite {markus}")
        contact = await _good(terminal, "markus", f"contact accept {julia}")
        number = contact["id"]
        await _good(
            terminal, "markus", f"contact edit {number}", "Julia R.", "--user-default-name", "Jules"
        )
        user = await _good(terminal, "markus", f"user share {domain} {number}", "--undedicated")
        assert (user["name"], user["dedicated"]) == ("Jules", False)
        roles = await rig.registry.read(lambda reader: members.list_roles(reader, site))
        await _good(terminal, "markus", f"role default {site} {roles[-1].name}")
        code, out, _ = await terminal.run(f"user sights {user['id']}", token="markus")
        assert (code, "Entrance" in out) == (0, True)
        code, out, _ = await terminal.run("service viewers 1", token="markus")
        assert (code, "Jules" in out) == (0, True)
        code, out, _ = await terminal.run(f"contact show {number}", token="markus")
        assert "House" in out
        hers = (await _good(terminal, "julia", "contact list"))["items"][0]["id"]
        code, out, _ = await terminal.run(f"contact domain {hers} {domain}", token="julia")
        assert (code, "Surveillance System" in out) == (0, True)
        assert await _good(terminal, "markus", f"contact shared {number} {domain}")
        edited = await _good(terminal, "markus", f"user edit {user['id']} Robinson --dedicated")
        assert (edited["name"], edited["dedicated"], edited["enabled"]) == ("Robinson", True, True)
        await rig.registry.write(lambda tx: sites.set_guest_allowed(tx, site, True))
        guest = await _good(terminal, "julia", f"client add-guest {site}")
        kept = await rig.registry.read(lambda reader: clients.get(reader, guest["id"]))
        assert kept.creator_id == julia
        # What is another's is not there, and the box's own token has no contacts.
        code, _, err = await terminal.run(f"contact show {hers}", token="markus")
        assert (code, "does not exist" in err) == (ctl_call.EXIT_NOT_FOUND, True)
        code, _, err = await terminal.run("contact list")
        assert (code, "no account" in err) == (ctl_call.EXIT_REFUSED, True)
        await _good(terminal, "markus", f"contact delete {number}")


@pytest.mark.timeout_s(60)
async def test_the_server_is_run_from_the_terminal(tmp_path: Path, capsys):
    async with open_rig(tmp_path) as rig:
        terminal = Terminal(rig, tmp_path, capsys)
        rig.server.desk.claimed = True
        await _account(rig, tmp_path, "markus", Authority.ADMINISTRATOR)
        await terminal.good("setting set hand_over true")
        await terminal.good("setting set management_url http://box.example")
        await terminal.good("setting set invitation_days 7")
        await terminal.good("setting reset invitation_days")
        chosen = await rig.registry.read(server_settings.load)
        assert (chosen.hand_over, chosen.invitation_days) == (True, 14)
        code, _, err = await terminal.run("setting set smtp_port 0")
        assert (code, "smtp_port" in err) == (ctl_call.EXIT_REFUSED, True)
        made = await _good(terminal, "markus", "invitation add --email anna@example.org")
        await _good(
            terminal, "markus", f"invitation edit {made['id']} --email anna@example.org",
            "--make-provider",
        )  # fmt: skip
        await terminal.good(f"invitation send {made['id']}")
        letter = (await terminal.good("outbox list"))["items"][0]
        assert letter["link"].startswith("http://box.example/invitation/")
        link = tmp_path / "link"
        link.write_text(letter["link"].rpartition("/")[2])
        await terminal.good(
            "link invitation anna", "Anna Schmidt", "--link-file", str(link), "--password-file",
            terminal.password("z" * 12),
        )  # fmt: skip
        owners = (await terminal.good("owner list"))["items"]
        assert "anna" in {one["account_name"] for one in owners}
        await terminal.good("link forgot anna")
        link.write_text("none")
        assert (await terminal.run("link unlock", "--link-file", str(link)))[0] != 0
        made = await _good(
            terminal, "markus", "invitation add --email bob@example.org --make-provider"
        )
        await terminal.good(f"invitation send {made['id']}")
        letter = (await terminal.good("outbox list"))["items"][0]
        await terminal.good(f"outbox hand-over {letter['id']}")
        await terminal.good(f"outbox delete {letter['id']}")
        listed = (await terminal.good("invitation list --state valid"))["items"]
        assert [one["make_provider"] for one in listed] == [True]
        await terminal.good(f"invitation delete {made['id']}")
        await terminal.good("invitation clear expired")
        assert (await terminal.run("request list"))[1] == "Nothing.\n"
        assert (await terminal.run("request dismiss 1"))[0] == ctl_call.EXIT_NOT_FOUND
        assert (await terminal.run("mail test a@example.org"))[0] == ctl_call.EXIT_REFUSED
        code, _, err = await terminal.run(
            "mail set-password", "--password-file", terminal.password("x")
        )
        assert (code, "without a sender" in err) == (ctl_call.EXIT_REFUSED, True)
        await terminal.good("owner unlock 1")


async def test_ones_own_account(tmp_path: Path, capsys):
    async with open_rig(tmp_path) as rig:
        terminal = Terminal(rig, tmp_path, capsys)
        rig.server.desk.claimed = True
        await _account(rig, tmp_path, "markus", Authority.ADMINISTRATOR)
        current = tmp_path / "current"
        current.write_text(f"{PASSWORD}\n")
        change = ("--current-file", str(current), "--password-file", terminal.password("y" * 12))
        await _good(terminal, "markus", "account set-password", *change)
        code, _, err = await terminal.run("account set-password", *change, token="markus")
        assert (code, "not your present password" in err) == (ctl_call.EXIT_REFUSED, True)
        assert (await _good(terminal, "markus", "account set-name", "Markus S."))[
            "full_name"
        ] == "Markus S."
        code, out, _ = await terminal.run("account show", token="markus")
        assert (code, "Markus S." in out) == (0, True)


async def test_guests_by_mail(tmp_path: Path, capsys):
    async with open_rig(tmp_path) as rig:
        terminal = Terminal(rig, tmp_path, capsys)
        rig.server.desk.claimed = True
        markus = await _account(rig, tmp_path, "markus", Authority.ADMINISTRATOR)
        _, site, _ = await rig.registry.write(lambda tx: build_site(tx, markus))
        key = await rig.registry.write(lambda tx: _open_to_guests(tx, site))
        asked = await terminal.good(f"guest-link create {key} anna@example.org")
        assert asked["outcome"]
        letter = (await terminal.good("outbox list"))["items"][0]
        link = tmp_path / "link"
        link.write_text(letter["link"].rpartition("/")[2])
        shown = await terminal.good("guest-link use", "--link-file", str(link))
        assert shown["password"]
        assert (await terminal.run("guest-link use", "--link-file", str(link)))[0] != 0
        await terminal.good("guest-link browse anna@example.org")
        letter = (await terminal.good("outbox list"))["items"][0]
        link.write_text(letter["link"].rpartition("/")[2])
        code, out, _ = await terminal.run("guest-link list", "--link-file", str(link))
        assert (code, "Surveillance System" in out) == (0, True)


def _open_to_guests(tx: Any, site: int) -> str:
    sites.set_guest_allowed(tx, site, True)
    server_settings.change(tx, {"management_url": "http://box.example", "hand_over": True})
    return sites.get(tx, site).site_key


async def test_the_audit_is_checked(tmp_path: Path, capsys):
    async with open_rig(tmp_path) as rig:
        terminal = Terminal(rig, tmp_path, capsys)
        rig.server.desk.claimed = True
        await _account(rig, tmp_path, "markus", Authority.ADMINISTRATOR)
        for name in ("One", "Two", "Three"):
            await _good(terminal, "markus", f"domain add {name}")
        assert (await terminal.good("audit check"))["whole"] is True
        assert len((await terminal.good("audit list --action domain.* --limit 2"))["items"]) == 2
        with sqlite3.connect(rig.registry.path) as file:
            file.execute("DROP TRIGGER audit_never_shrinks")
            file.execute("DELETE FROM audit WHERE detail LIKE '%Two%'")
        file.close()
        code, out, _ = await terminal.run("audit check")
        assert (code, "removed" in out) == (ctl_call.EXIT_REFUSED, True)
