"""The pages of administrators: users, invitations, settings, outbox, audit."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.model.kinds import Authority
from gateway.registry import audit, invitations, outbox, owners, self_service, server_settings
from gateway.registry.outbox import LetterState
from tests.web.callers import Browser, Program
from tests.web.rig import Rig, add_owner, open_rig


@contextlib.asynccontextmanager
async def office(tmp_path: Path) -> AsyncIterator[tuple[Rig, Browser, int]]:
    async with open_rig(tmp_path) as rig:
        rig.server.desk.claimed = True
        admin = await add_owner(rig.registry, "first", Authority.ADMINISTRATOR)
        browser = rig.browser()
        try:
            await browser.sign_in("first")
            yield rig, browser, admin
        finally:
            await browser.close()


async def test_adm_01_02_an_account_is_found_and_given_another_role(tmp_path: Path):
    async with office(tmp_path) as (rig, admin, me):
        other = await add_owner(rig.registry, "julia", Authority.CONSUMER)
        _, text, _ = await admin.get("/admin/users?q=own+jul")
        assert "Owner julia" in text and f"/admin/users/{me}" not in text  # noqa: PT018
        base = f"/admin/users/{other}"
        assert "Assign the Provider role" in (await admin.get(base))[1]
        assert (await admin.post(f"{base}/authority", {"authority": "provider"}))[0] == 303
        assert (await admin.post(f"{base}/enabled", {"enabled": "0"}))[0] == 303
        found = await rig.registry.read(lambda reader: owners.get(reader, other))
        assert (found.authority, found.enabled) == (Authority.PROVIDER, False)
        assert "[disabled]" in (await admin.get("/admin/users"))[1]
        status, _, _ = await admin.post(f"/admin/users/{me}/enabled", {"enabled": "0"})
        assert status == 403


async def test_adm_03_reg_07_an_invitation_is_made_shown_changed_and_deleted(tmp_path: Path):
    async with office(tmp_path) as (rig, admin, _):
        await admin.get("/admin/invitations")
        status, _, headers = await admin.post(
            "/admin/invitations", {"text": "For Julia", "make_provider": "1"}
        )
        assert status == 303
        made = (await rig.registry.read(
            lambda reader: invitations.list_all(reader, invitations.InvitationState.VALID)
        ))[0]  # fmt: skip
        assert made.make_provider
        _, text, _ = await admin.get(headers["Location"].partition("#")[0])
        assert f"{rig.url}/invitation/{made.key}" in text
        named = {"name": "management_url", "value": "https://box.example"}
        await admin.get("/admin/settings")
        assert (await admin.post("/admin/settings", named))[0] == 303
        while not rig.server.desk.renderer.management_url:
            await asyncio.sleep(0.01)
        _, text, _ = await admin.get(headers["Location"].partition("#")[0])
        assert f"https://box.example/invitation/{made.key}" in text
        assert rig.url not in text
        where = f"/admin/invitations/{made.id}"
        assert (await admin.post(where, {"text": "Another"}))[0] == 303
        assert "Another" in (await admin.get("/admin/invitations"))[1]
        assert (await admin.post(f"{where}/delete"))[0] == 303
        assert "Another" not in (await admin.get("/admin/invitations"))[1]


async def test_adm_04_settings_are_checked_and_take_effect_at_once(tmp_path: Path):
    async with office(tmp_path) as (rig, admin, _):
        await admin.get("/admin/settings")
        status, text, _ = await admin.post(
            "/admin/settings", {"name": "invitation_days", "value": "1000"}
        )
        assert status == 422
        assert 'aria-describedby="fault-invitation_days"' in text
        for name, value in (("server_address", "cams.example"), ("hand_over", "1"),
                            ("management_url", "https://box.example.org")):  # fmt: skip
            assert (await admin.post("/admin/settings", {"name": name, "value": value}))[0] == 303
        chosen = await rig.registry.read(server_settings.load)
        assert (chosen.server_address, chosen.hand_over) == ("cams.example", True)
        assert "hand over" in (await admin.get("/admin/settings"))[1]
        assert rig.server.desk.server_address == "cams.example"
        status, _, _ = await admin.get("/health", headers={"Host": "box.example.org"})
        assert status == 200
        status, text, _ = await admin.post("/admin/mail/test", {"to": "a@example.org"})
        assert status == 409


async def test_adm_06_a_link_is_handed_over_and_forgotten(tmp_path: Path):
    async with office(tmp_path) as (rig, admin, me):

        def prepare(tx) -> None:
            server_settings.change(tx, {"hand_over": True, "management_url": "http://box"})
            self_service.ask_for_address(tx, me, "first@example.org", "192.0.2.1")

        await rig.registry.write(prepare)
        letter = (await rig.registry.read(outbox.list_all))[0]
        _, text, _ = await admin.get("/admin/outbox")
        assert letter.link is not None
        assert letter.link.reveal() in text
        assert (await admin.post(f"/admin/outbox/{letter.id}/hand-over"))[0] == 303
        after = await rig.registry.read(lambda reader: outbox.get(reader, letter.id))
        assert (after.state, after.link) == (LetterState.HANDED_OVER, None)
        assert letter.link.reveal() not in (await admin.get("/admin/outbox"))[1]


@pytest.mark.parametrize("command", [("password", {"password": "another long one"}),
                                     ("enabled", {"enabled": "0"})])  # fmt: skip
async def test_open_links_are_void_when_an_administrator_decides(
    tmp_path: Path, command: tuple[str, dict[str, str]]
):
    async with office(tmp_path) as (rig, admin, _):
        julia = await add_owner(rig.registry, "julia", Authority.CONSUMER)

        def prepare(tx) -> None:
            server_settings.change(tx, {"hand_over": True, "management_url": "http://box"})
            tx.run("UPDATE owner SET email = 'j@example.org' WHERE id = ?", julia)
            self_service.ask_for_password(tx, "julia", "192.0.2.1")

        await rig.registry.write(prepare)
        (letter,) = await rig.registry.read(outbox.list_all)
        assert letter.link is not None
        path = letter.link.reveal().removeprefix("http://box")
        stranger = rig.browser()
        assert (await stranger.get(path))[0] == 200
        await admin.get(f"/admin/users/{julia}")
        assert (await admin.post(f"/admin/users/{julia}/{command[0]}", command[1]))[0] == 303
        await rig.registry.write(lambda tx: owners.set_enabled(tx, julia, True))
        assert (await stranger.get(path))[0] != 200
        await stranger.close()


async def test_audit_is_filtered_and_given_to_spreadsheets(tmp_path: Path):
    async with office(tmp_path) as (rig, admin, me):
        for number in range(3):
            await rig.registry.write(
                lambda tx, number=number: audit.append(
                    tx, me, "192.0.2.7", "client.add", f"site {number}", "=formula"
                )
            )
        _, text, _ = await admin.get("/audit?action=client.*&object=site+1")
        assert text.count('class="mono">client.add') == 1
        assert 'href="/audit.csv?action=client.%2A&amp;object=site+1"' in text
        status, text, headers = await admin.get(f"/audit.csv?text=192.0.2.7&actor_id={me}")
        assert (status, headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
        rows = list(csv.reader(io.StringIO(text)))
        assert tuple(rows[0]) == audit.CSV_HEADER
        assert [row[5] for row in rows[1:]] == ["site 2", "site 1", "site 0"]
        assert rows[1][6] == "'=formula"
        assert len((await admin.get("/audit.csv?from=2100-01-01"))[1].splitlines()) == 1


async def test_a_row_removed_from_the_audit_shows(tmp_path: Path):
    async with office(tmp_path) as (rig, admin, me):
        for number in range(3):
            await rig.registry.write(
                lambda tx, number=number: audit.append(tx, me, "", "client.add", f"site {number}")
            )
        program = Program(rig.url, rig.token)
        assert "The chain is whole: " in (await admin.get("/audit?check=1"))[1]
        found = await program.good("GET", "/audit/chain")
        assert (found["whole"], found["finding"], found["missing"]) == (True, "", [])

        def tamper(tx) -> int:
            gone = tx.number("SELECT max(id) - 1 FROM audit")
            tx.run("DROP TRIGGER audit_never_shrinks")
            tx.run("DELETE FROM audit WHERE id = ?", gone)
            return gone

        gone = await rig.registry.write(tamper)
        _, text, _ = await admin.get("/audit?check=1&action=client.*")
        assert "The chain is broken" in text
        assert f"Row {gone} was removed." in text
        found = await program.good("GET", "/audit/chain")
        assert (found["whole"], found["missing"]) == (False, [gone, gone])
        await program.close()


async def test_a_link_is_given_as_a_code_to_scan(tmp_path: Path):
    async with office(tmp_path) as (rig, admin, me):

        def prepare(tx) -> None:
            server_settings.change(tx, {"hand_over": True, "management_url": "http://box"})
            self_service.ask_for_address(tx, me, "first@example.org", "192.0.2.1")

        await rig.registry.write(prepare)
        letter = (await rig.registry.read(outbox.list_all))[0]
        assert "<svg" not in (await admin.get("/admin/outbox"))[1]
        assert 'class="qr"' in (await admin.get(f"/admin/outbox?qr={letter.id}"))[1]
