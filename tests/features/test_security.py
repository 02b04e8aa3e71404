"""Section N: other people's objects, secrets, limits, and two browsers at once."""

from __future__ import annotations

import base64
import dataclasses
import logging
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.access.operators import Standing
from gateway.model.kinds import Authority
from gateway.registry import (
    action_tokens,
    clients,
    contacts,
    domains,
    members,
    server_settings,
    sites,
)
from gateway.registry.database import Reader, Tx
from gateway.web.server import TOKEN_FILE
from gateway.web.table import ROUTES
from tests.features.entry_steps import choose
from tests.features.scenes import Scene, john, markus
from tests.features.steps import command, generate, service_account
from tests.features.world import ADMIN, PASSWORD, open_world
from tests.web import test_table as table
from tests.web.callers import Browser
from tests.web.estate import content, differences, make_estate
from tests.web.rig import MemoryCameras

ID_FIELDS = {"user_id", "contact_id", "site_id", "role_id", "client_id", "service_id"}
"""What a body may name by its id, beside the object of the path."""
NEVER_HERE = {"rights.add-user": (409,), "rights.remove-user": (409,)}
"""Commands for sites without roles; the site of this test has roles, and takes them for nobody."""


@pytest.mark.timeout_s(180)
async def test_sec_01_foreign_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The whole list of commands, as it is routed, with the ids of another owner."""
    async with open_world(tmp_path, browser=False) as world:
        rig: Any = SimpleNamespace(
            registry=world.registry, cameras=MemoryCameras(world.registry), url=world.url
        )
        mine = await make_estate(rig, "markus", Authority.PROVIDER)
        other = await make_estate(rig, "mallory", Authority.PROVIDER)
        role = await world.registry.read(
            lambda reader: members.list_roles(reader, other.ids["site"])[0].id
        )
        for name, body in (
            ("site.default-role", {"role_id": role}), ("rights.roles", {"role_ids": [role]})
        ):  # fmt: skip
            assert name in {one.operation.name for one in ROUTES if one.operation}
            monkeypatch.setitem(table.BODIES, name, body)
        browser = Browser(world.url)
        await browser.sign_in("markus")
        before = await world.registry.read(content)
        asked, wrong = [], []
        for route in ROUTES:
            if not route.changes or route.operation is None:
                continue
            reached = table._expected(route, Standing.PROVIDER, own=True)
            if not reached or table._expected(route, Standing.PROVIDER, own=False):
                continue
            status, text = await table._ask(browser.session, rig, route, other, browser.csrf)
            changed = differences(before, await world.registry.read(content))
            asked.append(route.operation.name)
            if status != 404 or changed:
                wrong.append((route.method, route.path, status, changed, text[-200:]))
            named = ID_FIELDS.intersection(field.name for field in route.operation.fields)
            if named and "{" in route.path:
                # The own object in the path, another owner's in the body.
                mixed = dataclasses.replace(
                    other, ids={**mine.ids, **{
                        name: other.ids[name] for name in ("user", "contact", "site")
                        if f"{{{name}}}" not in route.path
                    }}, shared={**mine.shared, "user": other.shared["user"]},
                )  # fmt: skip
                status, text = await table._ask(browser.session, rig, route, mixed, browser.csrf)
                changed = differences(before, await world.registry.read(content))
                asked.append(f"{route.operation.name} mixed")
                if status not in (404, *NEVER_HERE.get(route.operation.name, ())) or changed:
                    wrong.append((route.method, route.path, status, changed, text[-200:]))
        await browser.close()
        assert not wrong, "\n".join(map(str, wrong))
        commands = {name.partition(" ")[0] for name in asked}
        for kind in ("domain", "site", "service", "user", "client", "camera", "token", "contact"):
            assert any(name.startswith(f"{kind}.") for name in commands), kind
        assert len(asked) > 80


def _forms(secret: bytes | str) -> set[str]:
    """Return the ways in which a secret may be written."""
    if isinstance(secret, str):
        return {secret}
    return {secret.hex(), base64.b64encode(secret).decode(), str(secret)}


def _stored_secrets(reader: Reader) -> set[str]:
    """Return salts, hashes and records of passwords and tokens as the file has them."""
    found: set[str] = set()
    for (name,) in reader.rows("SELECT name FROM sqlite_master WHERE type = 'table'"):
        for column in [row[1] for row in reader.rows(f"PRAGMA table_info({name})")]:
            if re.search(r"salt|pw_|password|hash|secret|sealed|nonce", column):
                if (name, column) in NO_SECRET:
                    continue
                sql = f"SELECT {column} FROM {name} WHERE {column} IS NOT NULL"
                for (value,) in reader.rows(sql):
                    if isinstance(value, (bytes, str)) and len(value) >= 8:
                        found |= _forms(value)
    return found


NO_SECRET = {("audit", "hash"), ("audit", "prev_hash"), ("site", "structure_hash"),
             ("service", "structure_hash")}  # fmt: skip
"""Sums over what everybody may see: the chain of the audit, the structures of devices."""


@pytest.mark.timeout_s(180)
async def test_sec_02_secrets(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    async with john(tmp_path, cameras=1) as scene:
        world = scene.world
        page = await world.signed_in("john", f"/sites/{scene.site}")
        _, service_password = await service_account(page, scene.site, "Entrance")
        await page.goto(f"/sites/{scene.site}/clients")
        await page.get_by_role("button", name="add client for Alison", exact=True).click()
        _, client_password = await generate(page)
        await page.get_by_role("link", name="ok", exact=True).click()
        await page.goto("/account")
        await page.locator("#new-token summary").click()
        await page.get_by_label("What it is for").fill("backup")
        await page.get_by_role("button", name="create the token").click()
        token = await page.locator("#shown-token").inner_text()
        admin = await world.signed_in(ADMIN, "/admin/settings")
        await admin.get_by_label("Password of the mail server").fill("m4il-s3cret-planted")
        await admin.get_by_role("button", name="Save password").click()
        await admin.locator("p.done").wait_for()
        planted = {PASSWORD, service_password, client_password, token, "m4il-s3cret-planted",
                   (tmp_path / TOKEN_FILE).read_text().strip()}  # fmt: skip
        stored = await world.registry.read(_stored_secrets)
        assert len(stored) >= 10
        secrets = planted | stored
        ids = await world.registry.read(lambda reader: {
            "domain": scene.domain, "site": scene.site, "owner": scene.owner, "person": 1,
            "service": reader.number("SELECT min(id) FROM service"),
            "user": scene.users["Alison"], "client": reader.number("SELECT min(id) FROM client"),
            "name": "app.css",
        })  # fmt: skip
        seen = 0
        for somebody in (page, admin):
            for route in ROUTES:
                names = set(re.findall(r"\{(\w+)\}", route.path))
                if route.method != "GET" or names - ids.keys() or route.path.endswith("/events"):
                    continue
                path = re.sub(r"\{(\w+)\}", lambda match: str(ids[match[1]]), route.path)
                answer = await somebody.request.get(path)
                text = await answer.text()
                seen += answer.status == 200
                for secret in secrets:
                    assert secret not in text, path
        assert seen > 60
        # What was opened and edited shows no more; nor do the addresses and the log.
        for path in (f"/sites/{scene.site}/clients?open={ids['client']}&tab=account",
                     "/account?edit=1", f"/sites/{scene.site}?open={ids['service']}&tab=account",
                     "/audit?check=1", "/audit.csv"):  # fmt: skip
            text = await (await page.request.get(path)).text()
            text += await (await admin.request.get(path)).text()
            assert not [secret for secret in secrets if secret in text], path
        rows = await world.registry.read(lambda reader: reader.rows("SELECT * FROM audit"))
        for secret in secrets:
            assert secret not in caplog.text
            assert secret not in str(rows)


async def _limits(scene: Scene, **limits: int | None) -> None:
    await scene.world.registry.write(lambda tx: server_settings.change(tx, dict(limits)))


async def test_sec_03_quotas(tmp_path: Path):
    async with markus(tmp_path) as scene:
        world, system = scene.world, scene.sites["Surveillance System"]
        page = await world.signed_in("markus", "/account")
        julia = await world.signed_in("julia", "/account")
        contact = await world.registry.read(
            lambda reader: contacts.list_for(reader, scene.users["Julia"])[0].id
        )

        def prepare(tx: Tx) -> int:
            sites.set_guest_allowed(tx, system, True)
            robinson, alarm = scene.users["Robinson"], scene.sites["Alarm System"]
            clients.add(tx, alarm, robinson, scene.users["Julia"])
            return clients.add(tx, system, scene.users["GuardPost"], scene.owner).id

        await world.registry.write(prepare)
        alarm = scene.sites["Alarm System"]
        shared = f"/contacts/{contact}/domains/{scene.domain}/sites/{alarm}/clients"
        domain, user = f"/domains/{scene.domain}", scene.users["GuardPost"]
        mine = (page, f"/sites/{system}/clients", {"user_id": user})
        theirs = (julia, shared, {"user_id": scene.users["Robinson"]})
        guest = (julia, f"/guest-clients/add/{system}", {})
        assert await command(julia, guest[1]) == 303
        cases: list[tuple[str, int, tuple[Any, str, dict[str, Any]]]] = [
            ("domains_per_owner", 1, (page, "/domains", {"name": "Another"})),
            ("sites_per_domain", 3, (page, f"{domain}/sites", {"kind": "multi"})),
            ("services_per_owner", 6, (page, f"/sites/{system}/services", {"hostname": "Another"})),
            ("services_per_site", 5, (page, f"/sites/{system}/services", {"hostname": "Another"})),
            ("users_per_domain", 5, (page, f"{domain}/users", {"name": "Another"})),
            ("users_per_owner", 8, (page, f"{domain}/users", {"name": "A third"})),
            ("private_clients_per_owner", 1, mine),
            ("contact_clients_per_owner", 1, theirs),
            ("guest_clients_per_owner", 1, guest),
            ("clients_per_creator", 2, mine),
        ]  # fmt: skip
        told: dict[str, str] = {}
        for name, limit, (who, path, fields) in cases:
            await _limits(scene, **{name: limit})
            before = await world.registry.read(content)
            csrf = await who.locator("input[name=csrf]").first.input_value()
            answer = await who.request.post(path, form={"csrf": csrf, **fields}, max_redirects=0)
            text = await answer.text()
            after = await world.registry.read(content)
            assert answer.status == 409, (name, answer.status, text[-500:])
            assert not differences(before, after), name
            found = re.search(r'role="alert">([^<]*)<', text)
            assert found is not None, name
            assert str(limit) in found[1]
            told[name] = found[1]
            # One more is let in where one more is allowed: it was this limit that held it up.
            await _limits(scene, **{name: limit + 1})
            assert await command(who, path, **fields) == 303, name
            await _limits(scene, **{name: None})
        assert len(set(told.values())) == len(cases), told
        # Without an account, guest clients are counted by mail address.
        await choose(world, clients_per_address=1)
        made, stranger = [], await world.page()
        for _ in range(2):
            secret, _ = await world.registry.write(
                lambda tx: action_tokens.draw(
                    tx, action_tokens.Purpose.CREATE_GUEST, email="eve@example.org", site_id=system
                )
            )
            answer = await stranger.request.post(
                "/api/v1/guest-links/use", data={"link": secret.reveal()}
            )
            made.append((answer.status, await answer.text()))
        assert [status for status, _ in made] == [201, 409], made
        assert "One mail address can create 1 clients" in made[1][1]
        await _limits(scene, domains_per_owner=2)
        await page.goto("/domains")
        before = await world.registry.read(content)
        await page.get_by_label("Name (optional)").fill("One too many")
        await page.get_by_role("button", name="Create", exact=True).click()
        alert = page.locator("main [role=alert]")
        assert "2 domains" in await alert.inner_text()
        assert await page.get_by_label("Name (optional)").input_value() == "One too many"
        assert not differences(before, await world.registry.read(content))


async def test_sec_04_several_browsers(tmp_path: Path):
    async with john(tmp_path, cameras=2) as scene:
        world = scene.world
        await scene.client_of("Alison")
        client = await world.registry.read(
            lambda reader: clients.list_for(reader, scene.site)[0].id
        )
        # This browser hears nothing of what the other one does.
        here = await world.signed_in(
            "john", f"/sites/{scene.site}/clients?open={client}", java_script_enabled=False
        )
        there = await world.signed_in("john", f"/sites/{scene.site}/clients")
        assert await command(there, f"/sites/{scene.site}/clients/{client}/delete") == 303
        await (
            here.get_by_role("button", name="generate password")
            .or_(here.get_by_role("link", name="account", exact=True))
            .first.click()
        )
        if await here.get_by_role("button", name="generate password").count():
            await here.get_by_role("button", name="generate password").click()
        notice = here.locator("main > p.alert[role=alert]")
        assert "does not exist any more" in await notice.inner_text()
        assert "CLIENT MANAGEMENT" in (await here.locator("h1").inner_text()).upper()
        # A user, on the page of the domain.
        alison = scene.users["Alison"]
        await here.goto(f"/domains/{scene.domain}?user={alison}")
        await there.goto(f"/domains/{scene.domain}")
        csrf = await here.locator("input[name=csrf]").first.input_value()
        gone = f"/domains/{scene.domain}/users/{alison}"
        assert await command(there, f"{gone}/delete") == 303
        answer = await here.request.post(f"{gone}/delete", form={"csrf": csrf})
        text = await answer.text()
        assert "does not exist any more" in text
        assert "Home Surveillance" in text, "the page as it is now, with the notice"
        # The domain itself: there is no page left to show the notice on but the one above it.
        await world.registry.write(lambda tx: domains.delete(tx, scene.domain))
        answer = await here.goto(f"/domains/{scene.domain}")
        assert answer.status == 404
        assert "does not exist any more" in await here.locator("main").inner_text()
