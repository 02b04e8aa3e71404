"""Claiming the box, signing in and out, guessing, sessions and tokens."""

from __future__ import annotations

import asyncio
import logging
import stat
from http.cookies import SimpleCookie
from pathlib import Path

import pytest

from gateway.base.secret import Secret
from gateway.model.kinds import Authority, SiteKind
from gateway.registry import audit, domains, operators, owners, sites
from gateway.web import entry, server, throttle
from tests.web.callers import PASSWORD, Browser, Program
from tests.web.rig import Rig, add_owner, open_rig


async def _set_up(browser: Browser, code: str, **more: str) -> tuple[int, str]:
    await browser.get("/setup")
    status, text, _ = await browser.post(
        "/setup",
        {"code": code, "full_name": "Markus Schmidt", "account_name": "markus",
         "password": PASSWORD, **more},
    )  # fmt: skip
    return status, text


async def test_the_code_makes_the_first_owner(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        code = rig.code
        path = tmp_path / server.CODE_FILE
        assert path.read_text().strip() == code
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        browser = rig.browser()
        assert (await browser.get("/"))[2]["Location"] == "/setup"
        # As people type it: lower case, no dash.
        assert (await _set_up(browser, code.lower().replace("-", "")))[0] == 303
        assert not path.exists()
        assert rig.server.setup_code is None
        found = await rig.registry.read(
            lambda reader: (owners.list_all(reader), domains.list_for(reader, 1),
                            sites.list_owned(reader, 1))
        )  # fmt: skip
        assert [(one.account_name, one.authority) for one in found[0]] == [
            ("markus", Authority.ADMINISTRATOR)
        ]
        assert [one.name for one in found[1]] == ["My Cameras"]
        assert [(one.description, one.kind) for one in found[2]] == [
            ("IP cameras", SiteKind.MULTI_SERVICE)
        ]
        assert (await browser.get("/"))[2]["Location"] == "/cameras"
        # The code is burnt and the page is gone.
        second = rig.browser()
        assert (await second.get("/setup"))[0] == 303
        await second.get("/sign-in")
        status, text, _ = await second.post(
            "/setup", {"code": code, "full_name": "Mallory", "account_name": "mallory",
                       "password": PASSWORD},
        )  # fmt: skip
        assert (status, "has an owner already" in text) == (409, True)
        await browser.close()
        await second.close()


async def test_two_at_once_make_one_owner(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        programs = [Program(rig.url, None) for _ in range(6)]
        code = rig.code
        answers = [
            program.call("POST", "/setup", {"code": code, "full_name": f"Owner {number}",
                                            "account_name": f"owner{number}", "password": PASSWORD})
            for number, program in enumerate(programs)
        ]  # fmt: skip
        statuses = sorted([status for status, _ in await asyncio.gather(*answers)])
        assert statuses == [201, 409, 409, 409, 409, 409]
        assert await rig.registry.read(owners.count) == 1
        for program in programs:
            await program.close()


async def test_wrong_codes_are_held_up_in_all(tmp_path: Path):
    """Five wrong ones close the door for everybody for a while, the right code included."""
    async with open_rig(tmp_path) as rig:
        code = rig.code
        for number in range(throttle.WRONG_MAX):
            browser = rig.browser()
            status, text = await _set_up(browser, f"AAAA-AAA{number + 2}")
            assert (status, "not the setup code" in text) == (422, True)
            assert "Markus Schmidt" in text, "what was typed is kept"
            assert PASSWORD not in text
            await browser.close()
        browser = rig.browser()
        status, text = await _set_up(browser, code)
        assert (status, "Too many wrong attempts" in text) == (429, True)
        assert await rig.registry.read(owners.count) == 0
        await browser.close()


async def test_what_is_typed_wrong_does_not_cost_a_try(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        browser = rig.browser()
        code = rig.code
        for _ in range(throttle.WRONG_MAX + 2):
            status, text = await _set_up(browser, "AAAA-AAAA", password="short")
            assert (status, "8 to 64 characters" in text) == (422, True)
        assert (await _set_up(browser, code))[0] == 303
        await browser.close()


async def test_the_code_survives_a_restart(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        first = rig.code
    async with open_rig(tmp_path) as rig:
        assert rig.code == first
    (tmp_path / server.CODE_FILE).unlink()
    async with open_rig(tmp_path) as rig:
        assert rig.code != first
        browser = rig.browser()
        await browser.claim(rig.code)
        await browser.close()
    (tmp_path / server.CODE_FILE).write_text(first)
    async with open_rig(tmp_path) as rig:
        assert rig.server.setup_code is None
        assert not (tmp_path / server.CODE_FILE).exists()


async def test_another_code_is_drawn_on_the_box(tmp_path: Path):
    """Wrong codes make the code void; who has the box goes on at once, nobody else does."""
    async with open_rig(tmp_path) as rig:
        browser, stranger, box = rig.browser(), Program(rig.url, None), Program(rig.url, rig.token)
        first, wrong = rig.code, Secret("AAAA-AAAA")
        for _ in range(operators.CODE_TRIES - throttle.WRONG_MAX):
            await rig.registry.write(lambda tx: operators.check_setup_code(tx, wrong))
        for _ in range(throttle.WRONG_MAX):
            status, text = await _set_up(browser, wrong.reveal())
        assert (status, "this one is void" in text) == (403, True)
        assert text.count("softnet-gateway ctl owner setup-code") == 2, "answer and hint"
        assert (await _set_up(browser, first))[0] == 429

        assert (await stranger.call("POST", "/setup/code", {}))[0] == 401
        assert (await Program(rig.url, "x" * 43).call("POST", "/setup/code", {}))[0] == 401
        drawn = (await box.good("POST", "/setup/code", {}))["code"]
        assert drawn == rig.code != first
        assert (tmp_path / server.CODE_FILE).read_text().strip() == drawn
        assert (tmp_path / server.CODE_FILE).stat().st_mode & 0o777 == 0o600
        status, text = await _set_up(browser, first)
        assert (status, "not the setup code" in text) == (422, True)
        assert (await _set_up(browser, drawn))[0] == 303
        assert (await box.call("POST", "/setup/code", {}))[0] == 409
        assert not (tmp_path / server.CODE_FILE).exists()
        rows = await rig.registry.read(audit.list_all)
        assert "setup.new-code" in [row.action for row in rows]
        assert drawn not in repr(rows)


async def _claimed(rig: Rig) -> int:
    rig.server.desk.claimed = True
    return await add_owner(rig.registry, "markus", Authority.ADMINISTRATOR)


async def test_signing_in_and_out(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    async with open_rig(tmp_path) as rig:
        await _claimed(rig)
        browser = rig.browser()
        assert (await browser.get("/cameras"))[2]["Location"] == "/sign-in"
        await browser.get("/sign-in")
        status, _, headers = await browser.post(
            "/sign-in", {"account_name": "MARKUS", "password": PASSWORD}
        )
        assert status == 303
        cookie = SimpleCookie(headers["Set-Cookie"])[entry.COOKIE]
        assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")
        assert int(cookie["max-age"]) == operators.SESSION_SECONDS
        assert len(cookie.value) >= 43
        stored = await rig.registry.read(
            lambda reader: reader.rows("SELECT token_hash FROM web_session")
        )
        assert cookie.value.encode() not in b"".join(row[0] for row in stored)
        assert (await browser.get("/cameras"))[0] == 200
        assert (await browser.get("/sign-in"))[0] == 303
        await browser.get("/account")
        assert (await browser.post("/sign-out"))[0] == 303
        assert (await browser.get("/cameras"))[2]["Location"] == "/sign-in"
        # The cookie is worth nothing after signing out, even if somebody kept it.
        status, _, _ = await browser.get(
            "/cameras", headers={"Cookie": f"{entry.COOKIE}={cookie.value}"}
        )
        assert status == 303
        assert PASSWORD not in caplog.text
        assert cookie.value not in caplog.text
        await browser.close()


async def test_a_stay_is_asked_for(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        await _claimed(rig)
        browser = rig.browser()
        await browser.get("/sign-in")
        _, _, headers = await browser.post(
            "/sign-in", {"account_name": "markus", "password": PASSWORD, "keep": "1"}
        )
        cookie = SimpleCookie(headers["Set-Cookie"])[entry.COOKIE]
        assert int(cookie["max-age"]) == operators.PERSISTENT_SESSION_SECONDS
        await browser.close()


async def test_guessing_passwords_ends(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        await _claimed(rig)
        browser = rig.browser()
        await browser.get("/sign-in")
        said = []
        for account in ("markus", "nobody", "markus", "markus", "markus", "markus"):
            status, text, _ = await browser.post(
                "/sign-in", {"account_name": account, "password": "wrong password"}
            )
            said.append((status, "name or the password is wrong" in text))
            assert f'value="{account}"' in text, "what was typed is kept"
        assert said[:5] == [(401, True)] * 5, "an unknown account is told the same"
        assert said[5] == (429, False)
        status, text, _ = await browser.post(
            "/sign-in", {"account_name": "markus", "password": PASSWORD}
        )
        assert (status, "Too many wrong attempts" in text) == (429, True)
        await browser.close()


async def test_a_disabled_account_is_out_at_once(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        await _claimed(rig)
        other = await add_owner(rig.registry, "julia", Authority.PROVIDER)
        browser = rig.browser()
        await browser.sign_in("julia")
        assert (await browser.get("/cameras"))[0] == 200
        await rig.registry.write(lambda tx: owners.set_enabled(tx, other, False))
        assert (await browser.get("/cameras"))[2]["Location"] == "/sign-in"
        await browser.get("/sign-in")
        status, text, _ = await browser.post(
            "/sign-in", {"account_name": "julia", "password": PASSWORD}
        )
        assert (status, "disabled" in text) == (403, True)
        await browser.close()


async def test_changing_the_password_signs_others_out(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        await _claimed(rig)
        here, there = rig.browser(), rig.browser()
        await here.sign_in("markus")
        await there.sign_in("markus")
        status, text, _ = await here.post(
            "/account/password", {"current": "wrong password", "password": "another one 99"}
        )
        assert (status, "not your present password" in text) == (422, True)
        status, _, headers = await here.post(
            "/account/password", {"current": PASSWORD, "password": "another one 99"}
        )
        assert (status, headers["Location"]) == (303, "/account?done=account.set-password")
        assert (await here.get("/cameras"))[0] == 200
        assert (await there.get("/cameras"))[0] == 303
        await here.close()
        await there.close()


async def test_the_local_token(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        path = tmp_path / server.TOKEN_FILE
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        first = rig.token
        await _claimed(rig)
        program = Program(rig.url, first)
        assert (await program.call("GET", "/owners"))[0] == 200
        await program.close()
    async with open_rig(tmp_path) as rig:
        assert rig.token == first, "a restart keeps it"
    (tmp_path / server.TOKEN_FILE).write_text("stale")
    async with open_rig(tmp_path) as rig:
        assert rig.token not in (first, "stale")
        listed = await rig.registry.read(lambda reader: operators.list_tokens(reader, None))
        assert len(listed) == 1, "the old one is void"


async def test_tokens_expire_and_can_be_taken_back(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        owner = await _claimed(rig)
        admin, made = Program(rig.url, rig.token), []
        secret, token = await rig.registry.write(
            lambda tx: operators.add_token(tx, "mine", owner, [operators.Scope.MANAGE])
        )
        mine = Program(rig.url, secret.reveal())
        status, problem = await mine.call("POST", "/tokens", {"name": "up", "scope": "administer"})
        assert (status, problem["detail"]) == (
            403, "A token cannot make one that may do more than itself.",
        )  # fmt: skip
        made = await mine.good("POST", "/tokens", {"name": "down", "scope": "read", "days": 1})
        listed = (await mine.good("GET", "/tokens"))["items"]
        assert {one["name"] for one in listed} == {"mine", "down"}
        assert made["token"] not in str(listed)
        assert (await admin.call("DELETE", f"/tokens/{token.id}"))[0] == 200
        assert (await mine.call("GET", "/tokens"))[0] == 401
        await admin.close()
        await mine.close()
