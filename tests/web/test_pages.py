"""The pages as a browser without eyes sees them: the guide's words, kept input, hostile names."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from gateway.model.kinds import SiteKind, UserKind
from gateway.registry import clients, members, services, sites, structure
from gateway.web import pages_cameras, pages_sites, rendering
from gateway.wire.structure import structure_hash
from tests.web.callers import PASSWORD, Browser
from tests.web.rig import (
    CAMERA_PASSWORD,
    CONTRACT,
    JPEG,
    Adopted,
    Found,
    Rig,
    Watching,
    build_structure,
    open_rig,
)

HOSTILE = "<img src=x onerror=alert(1)>\"'&{{7*7}}</script><script>alert(2)</script>"


class Parsed(HTMLParser):
    """What of a page could run or lie: tags, attributes, scripts, ids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.handlers: list[str] = []
        self.ids: list[str] = []
        self.styles = 0
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name.startswith("on"):
                self.handlers.append(f"{tag} {name}")
            if name == "style":
                self.styles += 1
            if name == "id" and value:
                self.ids.append(value)
        if tag == "script":
            assert dict(attrs).get("src", "").startswith("/static/app.js")

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        # A URI's scheme stands in an element of its own, so that it does not break at its hyphen.
        return " ".join(" ".join(self.words).split()).replace(":// ", "://")


async def _claimed(rig: Rig) -> Browser:
    browser = rig.browser()
    await browser.claim(rig.code)
    return browser


async def _page(browser: Browser, path: str) -> Parsed:
    status, text, _ = await browser.get(path)
    assert status == 200, (path, status)
    assert len(text) < 100_000, path
    parsed = Parsed(text)
    assert not parsed.handlers
    assert parsed.styles == 0
    assert parsed.tags.count("script") == 1
    assert len(parsed.ids) == len(set(parsed.ids)), (path, sorted(parsed.ids))
    return parsed


async def test_the_scene_of_chapter_3_5(tmp_path: Path):
    """Seed: add client, generate password, URI and password once, ok, online with description."""
    async with open_rig(tmp_path) as rig:
        browser = await _claimed(rig)
        await rig.registry.write(lambda tx: build_structure(tx, 1))
        shown = await _page(browser, "/sites/1/clients")
        for words in (
            "Client management", "IP cameras", "IP Camera ( Softnet Camera Gateway )",
            "Owner ( Administrator )", "add client", "Supported roles", "config",
        ):  # fmt: skip
            assert words in shown.text, words
        assert "Alison" not in shown.text
        status, _, headers = await browser.post("/domains/1/users", {"name": "Alison"})
        assert status == 303
        alison = await rig.registry.read(lambda reader: members.list_users(reader, 1)[1])
        site = await _page(browser, f"/sites/1?user={alison.id}")
        assert "Denied users" in site.text
        role = await rig.registry.read(lambda reader: members.list_roles(reader, 1)[2])
        form = [("user_id", str(alison.id)), ("role_ids", str(role.id))]
        assert (await browser.post("/sites/1/roles", form))[0] == 303
        assert "Alison ( User )" in (await _page(browser, "/sites/1/clients")).text
        status, _, headers = await browser.post("/sites/1/clients", {"user_id": str(alison.id)})
        client = await rig.registry.read(lambda reader: clients.list_for(reader, 1)[0])
        assert (status, headers["Location"]) == (
            303,
            f"/sites/1/clients?open={client.id}#client-{client.id}",
        )
        opened = await _page(browser, f"/sites/1/clients?open={client.id}")
        uri = f"softnet-m://{client.key}@gateway.example"
        assert uri in opened.text
        assert "generate password" in opened.text
        assert "no password yet" in opened.text
        status, text, headers = await browser.post(f"/sites/1/clients/{client.id}/password")
        assert status == 200
        assert headers["Cache-Control"] == "no-store"
        password = re.search(r'id="shown-password">([^<]+)<', text).group(1)
        assert len(password) == 16
        assert uri in Parsed(text).text
        assert 'class="qr' in text
        assert "<svg" in text
        parsed = Parsed(text)
        assert not parsed.handlers
        assert parsed.styles == 0
        assert "ok" in parsed.words
        # Never again.
        for path in (
            f"/sites/1/clients?open={client.id}",
            "/sites/1/clients",
            "/audit",
            "/sites/1",
        ):
            assert password not in (await browser.get(path))[1]
        await rig.registry.write(
            lambda tx: clients.store_description(
                tx, client.id, CONTRACT.service_type, CONTRACT.contract_author,
                "Surveillance Control. V: 2.1.2",
            )
        )  # fmt: skip
        rig.live.client_online(1, client.id)
        online = await _page(browser, "/sites/1/clients")
        assert f"{client.key} Surveillance Control. V: 2.1.2 online" in online.text
        await browser.close()


async def test_a_type_conflict_is_red_and_in_words(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        browser = await _claimed(rig)
        await rig.registry.write(lambda tx: build_structure(tx, 1))
        client = await rig.registry.write(lambda tx: clients.add(tx, 1, 1, 1))
        await rig.registry.write(
            lambda tx: clients.store_description(tx, client.id, "RTX-5", "Cold Vision", "")
        )
        _, text, _ = await browser.get("/sites/1/clients")
        assert '<span class="red">RTX-5 ( Cold Vision )</span>' in text
        assert "service type conflict" in text
        await browser.close()


async def test_states_of_services(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        browser = await _claimed(rig)

        def within(tx):
            build_structure(tx, 1)
            other = services.add(tx, 1, "Foreign")
            kind = type(CONTRACT)("RTX-5", "Cold Vision", roles=("A",))
            structure.store_for_service(tx, other.id, kind, "", structure_hash(kind))
            drifted = services.add(tx, 1, "Drifted")
            kind = type(CONTRACT)(CONTRACT.service_type, CONTRACT.contract_author, roles=("A",))
            structure.store_for_service(tx, drifted.id, kind, "", structure_hash(kind))
            fresh = services.add(tx, 1, "Fresh")
            services.set_enabled(tx, fresh.id, False)

        await rig.registry.write(within)
        shown = (await _page(browser, "/sites/1")).text
        assert "Foreign RTX-5 ( Cold Vision ) service type conflict" in shown
        assert "Drifted site structure mismatch" in shown
        assert "Fresh service type undefined; disabled" in shown
        assert "Entrance ver. 1.2.3 offline" in shown
        await browser.close()


async def test_a_blank_site_and_a_single_one(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        browser = await _claimed(rig)
        assert "site blank" in (await _page(browser, "/sites/1")).text
        site = await rig.registry.write(lambda tx: sites.add(tx, 1, "", SiteKind.SINGLE_SERVICE))
        shown = await _page(browser, f"/sites/{site.id}")
        assert "SITE_2" in shown.text or "SITE_1" in shown.text
        assert "multi-service hosting" in shown.text
        assert "ping period" not in shown.text
        assert "structure" not in shown.words
        offer = await _page(browser, f"/sites/{site.id}?edit=hosting")
        assert "set as multi-service site" in offer.text
        assert "must be of one type" in offer.text
        assert "Service1" in shown.text
        assert "Denied users" not in shown.text
        assert (await browser.post(f"/sites/{site.id}/multi"))[0] == 303
        assert (await browser.post(f"/sites/{site.id}/enabled", {"enabled": "0"}))[0] == 303
        assert "site blank; disabled" in (await _page(browser, f"/sites/{site.id}")).text
        await browser.close()


async def test_nothing_typed_is_lost(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        browser = await _claimed(rig)
        for path, name, value, says in (
            ("/domains/1/users", "name", "9 lives", "must begin with a Latin letter"),
            ("/domains/1/name", "name", "x\ty", "control characters"),
            ("/sites/1/description", "description", "d" * 97, "at most 96"),
            ("/sites/1/services", "hostname", "a<b", "must not contain"),
        ):
            status, text, _ = await browser.post(path, {name: value})
            assert status == 422, (path, status)
            assert html.escape(value, quote=True).replace("&#x27;", "&#39;") in text, path
            assert 'aria-invalid="true"' in text
            assert says in text, path
            assert "markus" not in text or "Markus" in text
        await browser.close()


async def test_hostile_names_stay_texts(tmp_path: Path):
    """Whatever a device, a camera or a user is called, it is shown and never run."""
    async with open_rig(tmp_path) as rig:
        browser = await _claimed(rig)
        rig.cameras.here = [Found(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)]
        device = await rig.cameras.adopt(1, 1, "cam", None, "Gate")
        rig.cameras.cameras[device] = Adopted(
            device, 1, 1, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, "offline", HOSTILE, 3,
            HOSTILE, HOSTILE,
        )  # fmt: skip
        rig.cameras.watched["1"] = Watching(HOSTILE, device, HOSTILE, HOSTILE, mode=HOSTILE)
        await rig.registry.write(lambda tx: sites.rename(tx, 1, HOSTILE[:90]))
        await browser.post("/domains/1/name", {"name": HOSTILE[:90]})
        await browser.post("/domains/1/users", {"name": HOSTILE})
        for path in ("/cameras", f"/cameras/{device}", "/sessions", "/sites/1", "/sites/1/clients",
                     "/domains", "/domains/1", "/audit", "/cameras/add"):  # fmt: skip
            parsed = await _page(browser, path)
            if path != "/cameras/add":
                assert "onerror=alert(1)" in parsed.text, path
            assert "49" not in parsed.text.partition("{{7*7}}")[0][-4:]
        status, text, _ = await browser.get("/cameras/add", params={"where": HOSTILE})
        assert status == 200
        assert Parsed(text).tags.count("script") == 1
        for path in ("/audit", "/cameras/add", "/sites/1/clients", "/cameras"):
            status, text, _ = await browser.get(
                path, params={"action": HOSTILE, "where": "x" + HOSTILE, "done": HOSTILE,
                              "tab": HOSTILE, "open": HOSTILE},
            )  # fmt: skip
            parsed = Parsed(text)
            assert status == 200
            assert parsed.tags.count("script") == 1
            assert not parsed.handlers
        status, text, _ = await browser.get(f"/{HOSTILE}")
        assert (status, Parsed(text).tags.count("script")) == (404, 1)
        await browser.close()


async def test_adding_a_camera(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        browser = await _claimed(rig)
        rig.cameras.here = [Found("serial:1", "Front door", "Acme", "Dome 4")]
        listed = (await _page(browser, "/cameras")).text
        assert "Front door" in listed
        assert "1 found" in listed
        assert "Front door" in (await _page(browser, "/cameras/add?where=serial:1")).text
        form = {"where": "serial:1", "user": "admin", "password": "wrong"}
        status, text, _ = await browser.post("/cameras/look", form)
        assert (status, "The camera refused" in text) == (422, True)
        assert 'value="admin"' in text
        assert "wrong" not in text
        status, _, headers = await browser.post(
            "/cameras/look", {**form, "password": CAMERA_PASSWORD}
        )
        assert status == 303
        step = headers["Location"]
        _, text, _ = await browser.get(step)
        assert "Dome 4" in text
        assert CAMERA_PASSWORD not in text
        async with browser.session.get(f"{browser.url}{step}/picture") as answer:
            assert (answer.content_type, await answer.read()) == ("image/jpeg", JPEG)
        probe = step.rpartition("/")[2]
        bad = {"probe": probe, "name": "Tür", "site_id": "1"}
        status, text, _ = await browser.post(step, bad)
        assert (status, "Tür" in text, "must not contain" in text) == (422, True, True)
        status, _, headers = await browser.post(step, {**bad, "name": "Front door"})
        assert (status, headers["Location"]) == (303, "/cameras?done=camera.adopt")
        page = (await _page(browser, "/cameras?done=camera.adopt")).text
        assert "The camera was added." in page
        assert "0 found" in page
        assert (await browser.get(step))[0] == 404, "the look is used up, with its password"
        # Somebody else's look is nobody's business.
        rig.cameras.here = [Found("serial:2")]
        _, _, headers = await browser.post(
            "/cameras/look", {**form, "where": "serial:2", "password": CAMERA_PASSWORD}
        )
        await browser.close()
        await _stranger_sees_nothing(rig, headers["Location"])


async def _stranger_sees_nothing(rig: Rig, step: str) -> None:
    from gateway.model.kinds import Authority
    from tests.web.rig import add_owner

    await add_owner(rig.registry, "julia", Authority.PROVIDER)
    julia = rig.browser()
    await julia.sign_in("julia")
    assert (await julia.get(step))[0] == 404
    assert (await julia.get(f"{step}/picture"))[0] == 404
    await julia.close()


async def test_a_camera_cannot_make_its_picture_a_page(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        browser = await _claimed(rig)
        device = await rig.cameras.adopt(1, 1, "cam", None, "Gate")
        rig.cameras.picture = b"<script>alert(1)</script>"
        status, _, headers = await browser.get(f"/cameras/{device}/snapshot")
        assert (status, headers["Content-Type"]) == (200, "image/jpeg")
        assert headers["X-Content-Type-Options"] == "nosniff"
        await browser.close()


@pytest.mark.timeout_s(120)
async def test_a_large_site_is_quick_and_small(tmp_path: Path):
    """50 services and 500 clients: under 100 kB, and under 50 ms of the server where it is idle."""
    async with open_rig(tmp_path) as rig:
        browser = await _claimed(rig)

        def within(tx):
            build_structure(tx, 1)
            for _ in range(49):
                services.add(tx, 1)
            role = members.list_roles(tx, 1)[2].id
            for number in range(25):
                user = members.add_user(tx, 1, UserKind.PRIVATE, f"User {number:02}")
                members.set_roles(tx, 1, user.id, [role])
                for _ in range(20):
                    clients.add(tx, 1, user.id, 1)

        await rig.registry.write(within)
        sizes = {}
        for path in ("/sites/1/clients", "/sites/1", "/domains/1"):
            _, text, _ = await browser.get(path)
            sizes[path] = len(text)
        assert max(sizes.values()) < 100_000, sizes
        one = (await rig.registry.read(lambda reader: clients.list_for(reader, 1)))[0].key
        found = (await _page(browser, f"/sites/1/clients?q={one.upper()}")).text
        assert found.count(one) == 1
        assert "No client found." in (await _page(browser, "/sites/1/clients?q=nothing")).text
        await browser.close()


def test_hostnames_suggested():
    assert pages_cameras._hostname("Tür <1>  north") == "T r 1 north"
    assert pages_cameras._hostname("<<>>") == "Camera"
    assert len(pages_cameras._hostname("x" * 100)) == 42


def test_words_for_times_and_sizes():
    assert rendering._duration(0) == "0 seconds"
    assert rendering._duration(61) == "1 minute"
    assert rendering._duration(7200) == "2 hours"
    assert rendering._duration(200_000) == "2 days"
    assert [rendering._octets(count) for count in (0, 999, 1000, 2_500_000)] == [
        "0 B", "999 B", "1.0 kB", "2.5 MB",
    ]  # fmt: skip
    assert rendering._cut("x" * 25) == "x" * 24 + "..."
    assert PASSWORD not in rendering._when(0)
    assert pages_sites.View is not None
