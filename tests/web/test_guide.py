"""Pages in the order of the guide: what stands where, for whom, and what its buttons do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.model.kinds import Authority, SiteKind, UserKind
from gateway.registry import (
    clients,
    domains,
    members,
    outbox,
    owners,
    server_settings,
    services,
    sites,
    structure,
)
from gateway.wire.structure import structure_hash
from tests.web.callers import PASSWORD, Program
from tests.web.rig import CONTRACT, add_owner, build_site, open_rig

HERE = {"hand_over": True, "management_url": "http://box.example"}
MENUS = {
    None: ["Home", "Public Services", "Guest Clients by EMail"],
    Authority.CONSUMER: ["Home", "Contacts", "Public"],
    Authority.PROVIDER: ["Home", "Cameras", "Domains", "Contacts", "Public", "Sessions"],
    Authority.ADMINISTRATOR: [
        "Home", "Cameras", "Domains", "Contacts", "Public", "Sessions", "Admin",
    ],
}  # fmt: skip


def _menu(text: str) -> list[str]:
    menu = re.search(r'<nav class="menu[ "].*?</nav>', text, re.DOTALL)
    assert menu is not None
    return re.findall(r">([^<>\n]+)</a>", menu.group())


async def test_acc_01_05_reg_01_the_menu_by_standing(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        rig.server.desk.claimed = True
        for authority, words in MENUS.items():
            person = rig.browser()
            if authority is not None:
                await add_owner(rig.registry, authority.name.lower(), authority)
                await person.sign_in(authority.name.lower())
            status, text, _ = await person.get("/" if authority is None else "/home")
            assert (status, _menu(text)) == (200, words)
            if authority is not None:
                assert f">{authority.name.lower()}</a>" in text
            await person.close()
        stranger = rig.browser()
        for path in ("/", "/public", "/nothing", "/sign-in"):
            text = (await stranger.get(path))[1]
            assert "Ask the administrator" in text, path
            assert "New User" not in text, path
        await rig.registry.write(
            lambda tx: server_settings.change(tx, {"anyone_can_register": True})
        )
        for path in ("/", "/public", "/nothing", "/sign-in"):
            text = (await stranger.get(path))[1]
            assert "Ask the administrator" not in text, path
            assert 'href="/register">New User<' in text, path
        await stranger.close()


async def test_acc_02_whoever_is_locked_out_finds_the_way_to_the_link(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        rig.server.desk.claimed = True
        julia = await add_owner(rig.registry, "julia", Authority.CONSUMER)

        def prepare(tx) -> None:
            server_settings.change(tx, HERE)
            tx.run("UPDATE owner SET email = 'j@example.org' WHERE id = ?", julia)

        await rig.registry.write(prepare)
        person = rig.browser()
        await person.get("/sign-in")
        for attempt in range(6):
            password = PASSWORD if attempt == 5 else "wrong password"
            form = {"account_name": "julia", "password": password}
            status, text, _ = await person.post("/sign-in", form)
        assert (status, 'href="/locked"' in text) == (429, True)
        await person.get("/locked")
        await person.post("/locked", {"name": "julia"})
        link = (await rig.registry.read(outbox.list_all))[0].link
        assert link is not None
        path = link.reveal().removeprefix("http://box.example")
        assert (await person.get(path))[0] == 200, "opening it unlocks nothing"
        assert (await rig.registry.read(lambda r: owners.get(r, julia))).locked_until
        assert (await person.post(path))[0] == 303
        await person.sign_in("julia")
        await person.close()


async def test_acc_04_name_and_mail_address_of_an_account(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        rig.server.desk.claimed = True
        julia = await add_owner(rig.registry, "julia", Authority.CONSUMER)
        await rig.registry.write(lambda tx: server_settings.change(tx, HERE))
        person = rig.browser()
        await person.sign_in("julia")
        _, text, _ = await person.get("/account")
        assert 'name="full_name"' not in text
        assert 'name="email"' not in text
        assert 'href="/account?edit=1"' in text
        await person.get("/account?edit=1")
        status, text, _ = await person.post("/account/name", {"full_name": "JR"})
        assert (status, 'value="JR"' in text) == (422, True)
        assert (await person.post("/account/name", {"full_name": "Julia Robinson"}))[0] == 303
        status, _, headers = await person.post("/account/email", {"email": "j@example.org"})
        assert (status, headers["Location"]) == (303, "/account?done=email.ask-operator")
        found = await rig.registry.read(lambda r: owners.get(r, julia))
        assert (found.full_name, found.email) == ("Julia Robinson", None)
        assert "j@example.org is not confirmed yet" in (await person.get("/account"))[1]
        link = (await rig.registry.read(outbox.list_all))[0].link
        assert link is not None
        path = link.reveal().removeprefix("http://box.example")
        assert "(none) becomes j@example.org" in (await person.get(path))[1]
        assert (await person.post(path))[0] == 303
        assert (await rig.registry.read(lambda r: owners.get(r, julia))).email == "j@example.org"
        await person.get("/account?edit=1")
        assert (await person.post("/account/email/forget"))[0] == 303
        assert (await rig.registry.read(lambda r: owners.get(r, julia))).email is None
        program = Program(rig.url, rig.token)
        status, _ = await program.call("PUT", "/account/name", {"full_name": "Nobody"})
        assert status == 422, "the box's own token has no account"
        await program.close()
        await person.close()


async def test_reg_02_an_address_in_use_is_an_error(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        rig.server.desk.claimed = True
        julia = await add_owner(rig.registry, "julia", Authority.CONSUMER)

        def prepare(tx) -> None:
            server_settings.change(tx, {**HERE, "anyone_can_register": True})
            tx.run("UPDATE owner SET email = 'j@example.org' WHERE id = ?", julia)

        await rig.registry.write(prepare)
        person = rig.browser()
        await person.get("/register")
        status, text, _ = await person.post("/register", {"email": "J@Example.org"})
        assert (status, 'aria-invalid="true"' in text) == (409, True)
        assert "belongs to an account already" in text
        assert await rig.registry.read(outbox.list_all) == ()
        await person.close()


async def test_dom_02_03_04_the_list_of_domains_is_edited(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        rig.server.desk.claimed = True
        markus = await add_owner(rig.registry, "markus", Authority.PROVIDER)
        person = rig.browser()
        await person.sign_in("markus")
        text = (await person.get("/domains"))[1]
        assert "No domains yet" in text
        assert ">edit<" not in text
        domain, _, _ = await rig.registry.write(lambda tx: build_site(tx, markus))
        assert 'href="/domains?edit=1">edit</a>' in (await person.get("/domains"))[1]
        text = (await person.get(f"/domains?edit=1&domain={domain}"))[1]
        assert 'href="/domains">view</a>' in text
        assert "Really? House goes with its 1 site, its 3 users" in text
        status, text, _ = await person.post(f"/domains/{domain}/rename", {"name": "x" * 97})
        assert (status, "at most 96" in text, 'aria-invalid="true"' in text) == (422, True, True)
        assert (await person.post(f"/domains/{domain}/rename", {"name": "Home"}))[0] == 303
        assert (await rig.registry.read(lambda r: domains.get(r, domain))).name == "Home"
        status, _, headers = await person.post(f"/domains/{domain}/delete")
        assert (status, headers["Location"]) == (303, "/domains?edit=1&done=domain.delete")
        await person.close()


async def test_usr_02_03_07_a_user_is_made_and_edited(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        rig.server.desk.claimed = True
        markus = await add_owner(rig.registry, "markus", Authority.PROVIDER)
        domain, site, _ = await rig.registry.write(lambda tx: build_site(tx, markus))
        person = rig.browser()
        await person.sign_in("markus")
        text = (await person.get(f"/domains/{domain}/users/new?site={site}"))[1]
        for words in ("Private user", "Contact user", "Existing users"):
            assert words in text
        status, text, _ = await person.post(
            f"/domains/{domain}/users", {"name": "9", "back": str(site)}
        )
        assert (status, f'name="back" value="{site}"' in text) == (422, True)
        status, _, headers = await person.post(
            f"/domains/{domain}/users", {"name": "Robert", "dedicated": "1", "back": str(site)}
        )
        assert (status, headers["Location"]) == (303, f"/sites/{site}?done=user.add#users")
        users = await rig.registry.read(lambda r: members.list_users(r, domain))
        robert = next(one for one in users if one.name == "Robert")
        assert robert.dedicated
        text = (await person.get(f"/domains/{domain}?user={robert.id}"))[1]
        assert "Site list" not in text
        form = {"contact_id": "", "name": "Robinson", "back": ""}
        status, text, _ = await person.post(f"/domains/{domain}/contact-users", form)
        assert status == 422
        own = f"/domains/{domain}/users/{robert.id}"
        assert (await person.post(own, {"name": "Bob", "disabled": "1"}))[0] == 303
        found = await rig.registry.read(lambda r: members.get_user(r, robert.id))
        assert (found.name, found.enabled, found.dedicated) == ("Bob", False, False)
        assert (await person.post(own, {"name": "alison", "disabled": "1"}))[0] == 409
        guest = next(one for one in users if one.kind is UserKind.GUEST)
        own = f"/domains/{domain}/users/{guest.id}"
        assert (await person.post(own, {"disabled": "1"}))[0] == 303
        assert not (await rig.registry.read(lambda r: members.get_user(r, guest.id))).enabled
        for form in ({"dedicated": "1"}, {"name": "Visitor"}):
            assert (await person.post(own, form))[0] == 409
        await person.close()


@pytest.mark.parametrize(
    ("count", "words"), [(0, "2 services</strong> and <strong>0 clients"),
                         (1, "2 services</strong> and <strong>1 client<")],
    ids=["none", "one"],
)  # fmt: skip
async def test_site_23_the_question_counts(tmp_path: Path, count: int, words: str):
    async with open_rig(tmp_path) as rig:
        rig.server.desk.claimed = True
        markus = await add_owner(rig.registry, "markus", Authority.PROVIDER)
        domain, site, user = await rig.registry.write(lambda tx: build_site(tx, markus))

        def more(tx) -> None:
            services.add(tx, site)
            for _ in range(count):
                clients.add(tx, site, user, markus)

        await rig.registry.write(more)
        person = rig.browser()
        await person.sign_in("markus")
        assert words in (await person.get(f"/sites/{site}/delete"))[1]
        status, _, headers = await person.post(f"/sites/{site}/delete")
        assert (status, headers["Location"]) == (303, f"/domains/{domain}?done=site.delete")
        assert (await person.get(f"/sites/{site}"))[0] == 404
        await person.close()


async def test_svc_06_site_02_which_buttons_a_service_has(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        rig.server.desk.claimed = True
        markus = await add_owner(rig.registry, "markus", Authority.PROVIDER)
        domain, site, _ = await rig.registry.write(lambda tx: build_site(tx, markus))
        blank = await rig.registry.write(
            lambda tx: sites.add(tx, domain, "", SiteKind.SINGLE_SERVICE)
        )
        fresh = await rig.registry.write(lambda tx: services.add(tx, site, "Fresh"))
        built = await rig.registry.read(lambda r: services.list_for(r, site))
        person = rig.browser()
        await person.sign_in("markus")

        async def tabs(path: str) -> list[str]:
            text = (await person.get(path))[1]
            found = re.search(r'<nav class="tabs" aria-label="Service .*?</nav>', text, re.DOTALL)
            return re.findall(r">([^<>\n]+)</a>", found.group()) if found else []

        every = ["account", "hostname", "enable / disable", "ping period"]
        old = next(one for one in built if one.id != fresh.id)
        assert await tabs(f"/sites/{site}") == []
        assert await tabs(f"/sites/{site}?service={fresh.id}") == every
        assert await tabs(f"/sites/{site}?service={old.id}") == [*every, "structure"]
        assert await tabs(f"/sites/{blank.id}") == ["account", "hostname"]
        text = (await person.get(f"/sites/{site}?service={old.id}"))[1]
        assert "softnet-srv://" in text, "account opens first"
        service = (await rig.registry.read(lambda r: services.list_for(r, blank.id)))[0]

        def build(tx) -> None:
            structure.store_for_service(tx, service.id, CONTRACT, "1", structure_hash(CONTRACT))
            structure.build(tx, blank.id, service.id)

        await rig.registry.write(build)
        status, text, _ = await person.post(f"/sites/{blank.id}/multi")
        assert (status, 'role="alert"' in text) == (409, True), "SITE-05: only while blank"
        await person.close()
