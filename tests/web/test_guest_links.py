"""Guest clients of a mail address: links that create, list and edit them (GST-06 to GST-10)."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gateway.base.secret import Secret
from gateway.model.kinds import Authority
from gateway.registry import clients, outbox, server_settings, sites
from gateway.registry.database import Tx
from tests.web.callers import Browser, Program
from tests.web.rig import Rig, add_owner, build_site, open_rig

HERE = {"hand_over": True, "management_url": "http://box.example"}
JULIA = "julia@example.org"


@dataclass
class Scene:
    rig: Rig
    person: Browser
    domain: int
    site: int
    key: str

    async def link(self) -> str:
        """Return the path of the link in the newest letter."""
        letter = (await self.rig.registry.read(outbox.list_all))[0]
        assert letter.link is not None
        assert letter.to == JULIA
        return urlsplit(letter.link.reveal()).path

    async def post(self, page: str, path: str, form: dict[str, str] | None = None):
        await self.person.get(page)
        return await self.person.post(path, form)


@contextlib.asynccontextmanager
async def scene(tmp_path: Path, *, mail: bool = True) -> AsyncIterator[Scene]:
    async with open_rig(tmp_path) as rig:
        rig.server.desk.claimed = True
        markus = await add_owner(rig.registry, "markus", Authority.PROVIDER)

        def within(tx: Tx) -> tuple[int, int, int]:
            if mail:
                server_settings.change(tx, HERE)
            made = build_site(tx, markus)
            sites.set_guest_allowed(tx, made[1], True)
            return made

        domain, site, _ = await rig.registry.write(within)
        key = (await rig.registry.read(lambda reader: sites.get(reader, site))).site_key
        person = rig.browser()
        try:
            yield Scene(rig, person, domain, site, key)
        finally:
            await person.close()


async def _made(found: Scene) -> str:
    """Create a client by mail; return its key."""
    page = f"/guest/new?site={found.key}"
    status, text, _ = await found.post(page, "/guest/new", {"site_key": found.key, "email": JULIA})
    assert (status, "Ask its operator" in text) == (200, True)
    link = await found.link()
    assert JULIA in (await found.person.get(link))[1]
    status, text, _ = await found.post(link, link)
    assert status == 200
    assert re.search(r'id="shown-password">[0-9A-Za-z]{9,}<', text)
    client = (await found.rig.registry.read(lambda r: clients.list_for(r, found.site)))[0]
    assert client.creator_email == JULIA
    assert client.key in text
    return client.key


async def test_gst_06_07_pub_05_a_stranger_creates_a_client_by_mail(tmp_path: Path):
    async with scene(tmp_path) as found:
        _, text, _ = await found.person.get(f"/public/domains/{found.domain}")
        assert f'href="/guest/new?site={found.key}"' in text
        assert "new guest client" in text
        page = f"/guest/new?site={found.key}"
        form = {"site_key": found.key, "email": "nonsense"}
        status, text, _ = await found.post(page, "/guest/new", form)
        assert (status, 'aria-invalid="true"' in text, "nonsense" in text) == (422, True, True)
        await _made(found)
        letter = (await found.rig.registry.read(outbox.list_all))[0]
        assert letter.link is None, "a link that was used lies around nowhere"
        assert (await found.person.get("/guest/new/" + "A" * 43))[0] == 403


async def test_gst_07_the_link_works_once_and_for_an_hour(tmp_path: Path):
    async with scene(tmp_path) as found:
        page = f"/guest/new?site={found.key}"
        await found.post(page, "/guest/new", {"site_key": found.key, "email": JULIA})
        link = await found.link()
        assert (await found.post(link, link))[0] == 200
        status, text, _ = await found.person.get(link)
        assert (status, "used already" in text) == (403, True)
        await found.post(page, "/guest/new", {"site_key": found.key, "email": JULIA})
        link = await found.link()
        await found.rig.registry.write(
            lambda tx: tx.run("UPDATE action_token SET expires_at = created_at")
        )  # fmt: skip
        status, text, _ = await found.person.get(link)
        assert (status, "expired" in text) == (403, True)


async def test_gst_08_09_10_browsing_editing_and_one_more(tmp_path: Path):
    async with scene(tmp_path) as found:
        key = await _made(found)
        status, text, _ = await found.post("/guest/browse", "/guest/browse", {"email": JULIA})
        assert (status, "Ask its operator" in text) == (200, True)
        browse = await found.link()
        _, text, _ = await found.person.get(browse)
        assert "House" in text
        assert key not in text
        base = f"{browse}/{found.domain}"
        client = (await found.rig.registry.read(lambda r: clients.list_for(r, found.site)))[0]
        _, text, _ = await found.person.get(f"{base}?open={client.id}")
        assert key in text
        assert "generate password" not in text
        assert "send an editing link" in text
        status, _, _ = await found.post(base, f"{base}/edit", {"client_id": str(client.id)})
        assert status == 200
        edit = await found.link()
        assert edit.startswith("/guest/edit/")
        status, text, _ = await found.post(edit, f"{edit}/password")
        assert (status, "shown-password" in text) == (200, True)
        status, text, _ = await found.post(edit, f"{edit}/ping-period", {"ping_period": "9"})
        assert (status, 'aria-invalid="true"' in text) == (422, True)
        status, _, _ = await found.post(edit, f"{edit}/ping-period", {"ping_period": "30"})
        assert status == 303
        assert "P: 30" in (await found.person.get(edit))[1]
        status, text, _ = await found.post(base, f"{base}/new", {"site_id": str(found.site)})
        assert (status, "Ask its operator" in text) == (200, True)
        link = await found.link()
        assert (await found.post(link, link))[0] == 200
        assert len(await found.rig.registry.read(lambda r: clients.list_for(r, found.site))) == 2
        assert (await found.post(edit, f"{edit}/delete"))[0] == 303
        assert (await found.person.get(edit))[0] in (403, 404)
        assert (await found.post(base, f"{base}/edit", {"client_id": str(client.id)}))[0] == 404


async def test_gst_08_another_address_sees_and_edits_nothing(tmp_path: Path):
    async with scene(tmp_path) as found:
        await _made(found)
        client = (await found.rig.registry.read(lambda r: clients.list_for(r, found.site)))[0]
        await found.post("/guest/browse", "/guest/browse", {"email": "other@example.org"})
        letter = (await found.rig.registry.read(outbox.list_all))[0]
        assert letter.link is not None
        link = urlsplit(letter.link.reveal()).path
        assert "no guest clients" in (await found.person.get(link))[1]
        base = f"{link}/{found.domain}"
        assert (await found.post(link, f"{base}/edit", {"client_id": str(client.id)}))[0] == 404


async def test_gst_06_14_without_mail_or_guests_a_sentence_stands_there(tmp_path: Path):
    async with scene(tmp_path, mail=False) as found:
        _, text, _ = await found.person.get(f"/guest?site={found.key}")
        assert "This box sends no mail" in text
        for page in (f"/guest/new?site={found.key}", "/guest/browse"):
            _, text, _ = await found.person.get(page)
            assert "This box sends no mail" in text
            assert "<form" not in text.partition("<main")[2]
        form = {"site_key": found.key, "email": JULIA}
        await found.person.get("/sign-in")
        assert (await found.person.post("/guest/new", form))[0] == 409
        await found.rig.registry.write(lambda tx: sites.set_guest_allowed(tx, found.site, False))
        assert (
            "does not allow guests" in (await found.person.get(f"/guest/new?site={found.key}"))[1]
        )


async def test_the_same_by_programs(tmp_path: Path):
    async with scene(tmp_path) as found:
        program = Program(found.rig.url, None)
        try:
            asked = await program.good(
                "POST", "/guest-links/create", {"site_key": found.key, "email": JULIA}
            )
            assert asked == {"outcome": "ask-operator"}
            link = (await found.link()).rpartition("/")[2]
            made = await program.good("POST", "/guest-links/use", {"link": link})
            assert made["uri"].startswith("softnet-m://")
            assert Secret(made["password"])
            await program.good("POST", "/guest-links/browse", {"email": JULIA})
            browse = (await found.link()).rpartition("/")[2]
            listed = await program.good("POST", "/guest-links/list", {"link": browse})
            assert listed["email"] == JULIA
            assert [one["id"] for one in listed["sites"][0]["site"]["clients"]] == [made["id"]]
            await program.good(
                "POST", "/guest-links/edit", {"link": browse, "client_id": made["id"]}
            )
            edit = (await found.link()).rpartition("/")[2]
            body = {"link": edit, "ping_period": 30}
            changed = await program.good("POST", "/guest-links/ping-period", body)
            assert changed["ping_period"] == 30
            again = await program.good("POST", "/guest-links/password", {"link": edit})
            assert again["password"] != made["password"]
            await program.good("POST", "/guest-links/another",
                               {"link": browse, "site_id": found.site})  # fmt: skip
            await program.good("POST", "/guest-links/delete", {"link": edit})
            status, _ = await program.call("POST", "/guest-links/list", {"link": edit})
            assert status == 403
        finally:
            await program.close()
