"""What is open to people without an account, and their own guest clients."""

from __future__ import annotations

from pathlib import Path

from gateway.model.accounts import InvitationState
from gateway.model.kinds import Authority
from gateway.registry import clients, guests, invitations, outbox, owners, server_settings, sites
from tests.web.callers import PASSWORD, Program
from tests.web.rig import add_owner, build_site, open_rig

HERE = {"hand_over": True, "management_url": "http://box.example"}


async def test_reg_06_07_an_invitation_is_used_once(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        rig.server.desk.claimed = True
        admin = await add_owner(rig.registry, "first", Authority.ADMINISTRATOR)
        made = await rig.registry.write(
            lambda tx: invitations.create(tx, admin, make_provider=True)
        )
        person = rig.browser()
        _, text, _ = await person.get(f"/invitation/{made.key}")
        assert "Owner first invites you" in text
        form = {"full_name": "Julia Robinson", "account_name": "julia", "password": "x"}
        status, text, _ = await person.post(f"/invitation/{made.key}", form)
        assert (status, "Julia Robinson" in text) == (422, True)
        status, _, headers = await person.post(
            f"/invitation/{made.key}", {**form, "password": PASSWORD}
        )
        assert (status, headers["Location"]) == (303, "/sign-in?done=account.created")
        status, text, _ = await person.get(f"/invitation/{made.key}")
        assert (status, "already applied" in text) == (403, True)
        await person.sign_in("julia")
        found = await rig.registry.read(lambda r: owners.by_account_name(r, "julia"))
        assert found is not None
        assert found.authority is Authority.PROVIDER
        used = await rig.registry.read(lambda r: invitations.list_all(r, InvitationState.ACCEPTED))
        assert used[0].new_owner_id == found.id
        await person.close()


async def test_reg_01_02_03_04_registering_by_a_link(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        rig.server.desk.claimed = True
        person = rig.browser()
        assert (await person.get("/register"))[0] == 303
        assert "New User" not in (await person.get("/sign-in"))[1]
        await rig.registry.write(
            lambda tx: server_settings.change(tx, {**HERE, "anyone_can_register": True})
        )
        assert "New User" in (await person.get("/sign-in"))[1]
        await person.get("/register")
        assert (await person.post("/register", {"email": "nonsense"}))[0] == 422
        _, text, _ = await person.post("/register", {"email": "julia@example.org"})
        assert "Ask its operator" in text
        letter = (await rig.registry.read(outbox.list_all))[0]
        assert letter.link is not None
        path = letter.link.reveal().removeprefix("http://box.example")
        assert "julia@example.org" in (await person.get(path))[1]
        form = {"full_name": "Julia", "account_name": "julia", "password": PASSWORD}
        assert (await person.post(path, form))[0] == 303
        assert (await person.get(path))[0] == 403
        await person.sign_in("julia")
        await person.close()


async def test_acc_03_a_password_is_reset_and_the_answer_tells_nothing(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        rig.server.desk.claimed = True
        julia = await add_owner(rig.registry, "julia", Authority.CONSUMER)

        def prepare(tx) -> None:
            server_settings.change(tx, HERE)
            tx.run("UPDATE owner SET email = 'j@example.org' WHERE id = ?", julia)

        await rig.registry.write(prepare)
        person = rig.browser()
        await person.get("/forgot")
        known = (await person.post("/forgot", {"name": "julia"}))[1]
        unknown = (await person.post("/forgot", {"name": "nobody"}))[1]
        assert known == unknown
        link = (await rig.registry.read(outbox.list_all))[0].link
        assert link is not None
        path = link.reveal().removeprefix("http://box.example")
        await person.get(path)
        assert (await person.post(path, {"password": "another horse battery"}))[0] == 303
        await person.sign_in("julia", "another horse battery")
        await person.close()


async def test_gst_03_04_05_14_pub_01_02_03_04_guest_clients_of_an_account(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        rig.server.desk.claimed = True
        markus = await add_owner(rig.registry, "markus", Authority.PROVIDER)
        await add_owner(rig.registry, "julia", Authority.CONSUMER)
        domain, site, _ = await rig.registry.write(lambda tx: build_site(tx, markus))
        key = (await rig.registry.read(lambda r: sites.get(r, site))).site_key
        julia, stranger = rig.browser(), rig.browser()
        await julia.sign_in("julia")
        assert "does not allow guests" in (await stranger.get(f"/guest?site={key}"))[1]
        assert "offers nothing" in (await stranger.get(f"/public/owners/{markus}"))[1]
        assert (await stranger.get("/guest?site=nothing"))[0] == 404
        assert (await julia.post(f"/guest-clients/add/{site}"))[0] == 404
        await rig.registry.write(lambda tx: sites.set_guest_allowed(tx, site, True))
        for path in (f"/guest.aspx?site={key}", f"/public/domains/{domain}"):
            _, text, _ = await stranger.get(path)
            assert f"softnet-ms://</span>{key}@gateway.example" in text
            assert "add client" not in text
            assert "supported roles" not in text
            assert "add client" in (await julia.get(path))[1]
        assert "Owner markus" in (await stranger.get("/public?q=mark"))[1]
        status, _, headers = await julia.post(f"/guest-clients/add/{site}")
        assert status == 303
        client = (await rig.registry.read(lambda r: clients.list_for(r, site)))[0]
        assert headers["Location"].startswith(f"/guest-clients/{domain}?open={client.id}")
        assert "House" in (await julia.get("/guest-clients"))[1]
        status, text, _ = await julia.post(f"/guest-clients/{domain}/clients/{client.id}/password")
        assert (status, "shown-password" in text) == (200, True)
        assert (await julia.post(f"/guest-clients/{domain}/clients/{client.id}/delete"))[0] == 303
        assert await rig.registry.read(lambda r: guests.total(r, site)) == 0
        await julia.close()
        await stranger.close()


async def test_acc_06_home_lists_what_was_used_last(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        rig.server.desk.claimed = True
        markus = await add_owner(rig.registry, "markus", Authority.PROVIDER)
        ids = [
            (await rig.registry.write(lambda tx, name=name: build_site(tx, markus, name)))[0]
            for name in ("Alpha", "Beta")
        ]
        browser = rig.browser()
        await browser.sign_in("markus")
        for number in ids:
            await browser.get(f"/domains/{number}")
        _, text, _ = await browser.get("/home")
        assert text.index("Beta") < text.index("Alpha")
        await browser.close()


async def test_an_account_by_programs(tmp_path: Path):
    """Asking, signing up, getting back in and an invitation, all without a page."""
    async with open_rig(tmp_path) as rig:
        rig.server.desk.claimed = True
        admin = await add_owner(rig.registry, "first", Authority.ADMINISTRATOR)
        program = Program(rig.url, None)

        async def link() -> str:
            letter = (await rig.registry.read(outbox.list_all))[0]
            assert letter.link is not None
            return letter.link.reveal().rpartition("/")[2]

        status, _ = await program.call("POST", "/links/register", {"email": "j@example.org"})
        assert status == 403
        await rig.registry.write(
            lambda tx: server_settings.change(tx, {**HERE, "anyone_can_register": True})
        )
        asked = await program.good("POST", "/links/register", {"email": "j@example.org"})
        assert "Ask its operator" in asked["answer"]
        form = {"full_name": "Julia", "account_name": "julia", "password": PASSWORD}
        body = {"link": await link(), **form}
        assert await program.good("POST", "/links/sign-up", body) == {"done": True}
        assert (await program.call("POST", "/links/sign-up", body))[0] == 403
        status, problem = await program.call("POST", "/links/register", {"email": "J@example.org"})
        assert (status, "belongs to an account" in problem["detail"]) == (409, True)
        await program.good("POST", "/links/forgot", {"name": "julia"})
        body = {"link": await link(), "password": "x"}
        assert (await program.call("POST", "/links/reset", body))[0] == 422
        await program.good("POST", "/links/reset", {**body, "password": "another horse battery"})
        made = await rig.registry.write(lambda tx: invitations.create(tx, admin))
        body = {"link": made.key, **form, "account_name": "robinson"}
        await program.good("POST", "/links/invitation", body)
        assert (await program.call("POST", "/links/unlock", {"link": "none"}))[0] == 403
        await program.close()
        person = rig.browser()
        await person.sign_in("julia", "another horse battery")
        await person.sign_in("robinson")
        await person.close()
