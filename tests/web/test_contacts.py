"""Contacts and clients of shared devices as the pages and programs have them (guide 8 and 10.2)."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from gateway.model.kinds import Authority, UserKind
from gateway.registry import clients, contacts, members, sites
from tests.web.callers import Browser
from tests.web.rig import Rig, add_owner, build_site, open_rig, share


@dataclass
class Scene:
    rig: Rig
    markus: Browser
    julia: Browser
    markus_id: int
    julia_id: int


@contextlib.asynccontextmanager
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with open_rig(tmp_path) as rig:
        rig.server.desk.claimed = True
        await add_owner(rig.registry, "first", Authority.ADMINISTRATOR)
        markus_id = await add_owner(rig.registry, "markus", Authority.PROVIDER)
        julia_id = await add_owner(rig.registry, "julia", Authority.CONSUMER)
        markus, julia = rig.browser(), rig.browser()
        try:
            await markus.sign_in("markus")
            await julia.sign_in("julia")
            yield Scene(rig, markus, julia, markus_id, julia_id)
        finally:
            await markus.close()
            await julia.close()


async def text_of(browser: Browser, path: str) -> str:
    status, text, _ = await browser.get(path)
    assert status == 200, (path, status, text)
    return text


async def sent(browser: Browser, path: str, data=None) -> str:
    status, text, headers = await browser.post(path, data)
    assert status == 303, (path, status, text)
    return headers["Location"]


async def test_con_04_05_06_07_08_an_invitation_is_sent_shown_withdrawn_and_accepted(tmp_path):
    async with scene(tmp_path) as found:
        markus, julia = found.markus, found.julia
        page = await text_of(markus, "/contacts/new?q=own+JUL")
        assert "Owner julia" in page
        assert "Owner first" not in page
        assert await sent(markus, f"/contacts/invite/{found.julia_id}") == (
            f"/contacts/new?done=contact.sent&to={found.julia_id}"
        )
        assert "Owner julia" not in await text_of(markus, "/contacts/new?q=julia")
        assert "Owner julia" in await text_of(markus, "/contacts")
        assert "Invitations: 1" in await text_of(julia, "/account")
        await sent(markus, f"/contacts/withdraw/{found.julia_id}")
        assert "Invitations: " not in await text_of(julia, "/account")
        await sent(markus, f"/contacts/invite/{found.julia_id}")
        await sent(julia, f"/contacts/accept/{found.markus_id}")
        for browser, name in ((markus, "Owner julia"), (julia, "Owner markus")):
            assert f">{name}</a>" in await text_of(browser, "/contacts")
        assert "Invitations: " not in await text_of(julia, "/account")


async def test_con_09_10_refusing_leaves_nothing_and_crossed_invitations_make_the_contact(tmp_path):
    async with scene(tmp_path) as found:
        await sent(found.markus, f"/contacts/invite/{found.julia_id}")
        await sent(found.julia, f"/contacts/refuse/{found.markus_id}")
        assert "Owner julia" not in await text_of(found.markus, "/contacts")
        await sent(found.markus, f"/contacts/invite/{found.julia_id}")
        where = await sent(found.julia, f"/contacts/invite/{found.markus_id}")
        assert where.startswith("/contacts/new?done=contact.created")
        assert ">Owner markus</a>" in await text_of(found.julia, "/contacts")


async def test_con_02_03_11_12_edit_delete_and_restore(tmp_path):
    async with scene(tmp_path) as found:
        shared = await found.rig.registry.write(
            lambda tx: share(tx, found.markus_id, found.julia_id)
        )
        read = found.rig.registry.read
        mine = (await read(lambda reader: contacts.list_for(reader, found.markus_id)))[0]
        page = await text_of(found.markus, f"/contacts?contact={mine.id}")
        assert "1 user that you made for it and 1 client" in page
        status, text, _ = await found.markus.post(f"/contacts/{mine.id}/edit", {"name": " "})
        assert (status, "Fill in the name" in text) == (422, True)
        await sent(found.markus, f"/contacts/{mine.id}/edit",
                   {"name": "Julia Robinson", "user_default_name": "Robinson"})  # fmt: skip
        assert "&lt;Julia Robinson&gt;" in await text_of(
            found.markus, f"/sites/{shared['site']}/clients"
        )
        theirs = (await read(lambda reader: contacts.list_for(reader, found.julia_id)))[0]
        await sent(found.julia, f"/contacts/{theirs.id}/delete")
        assert "(*)" in await text_of(found.markus, "/contacts")
        assert "has deleted this contact" in await text_of(found.markus, f"/contacts/{mine.id}")
        where = await sent(found.julia, f"/contacts/invite/{found.markus_id}")
        assert where.startswith("/contacts/new?done=contact.restored")
        again = (await read(lambda reader: contacts.list_for(reader, found.julia_id)))[0]
        base = f"/contacts/{again.id}/domains/{shared['domain']}"
        assert "Robinson" in await text_of(found.julia, base)


async def test_con_15_shr_21_the_owner_makes_a_user_and_the_partner_does_the_rest(tmp_path):
    async with scene(tmp_path) as found:
        await sent(found.markus, f"/contacts/invite/{found.julia_id}")
        await sent(found.julia, f"/contacts/accept/{found.markus_id}")
        read = found.rig.registry.read
        mine = (await read(lambda reader: contacts.list_for(reader, found.markus_id)))[0]
        theirs = (await read(lambda reader: contacts.list_for(reader, found.julia_id)))[0]
        domain, site, _ = await found.rig.registry.write(
            lambda tx: build_site(tx, found.markus_id, "Office Automation")
        )
        assert "choose a contact" in await text_of(found.markus, f"/domains/{domain}/users/new")
        await sent(
            found.markus,
            f"/domains/{domain}/contact-users",
            {"contact_id": mine.id, "name": "Robinson", "dedicated": "1", "enabled": "1"},
        )
        user = next(one for one in await read(lambda r: members.list_users(r, domain))
                    if one.kind is UserKind.CONTACT)  # fmt: skip
        assert (user.dedicated, user.enabled) == (True, True)
        # Domain at once, but no site without rights (SHR-03, SHR-07).
        assert "Office Automation" in await text_of(found.julia, f"/contacts/{theirs.id}")
        base = f"/contacts/{theirs.id}/domains/{domain}"
        assert "Surveillance System" not in await text_of(found.julia, base)
        role = next(one for one in await read(lambda r: members.list_roles(r, site))
                    if one.name == "Operator")  # fmt: skip
        await sent(found.markus, f"/sites/{site}/roles",
                   {"user_id": user.id, "role_ids": role.id})  # fmt: skip
        page = await text_of(found.julia, base)
        assert "Surveillance System" in page
        assert ">Operator</span>" in page
        assert "Alison" not in page
        assert "config" not in page
        where = await sent(found.julia, f"{base}/sites/{site}/clients", {"user_id": user.id})
        client = (await read(lambda r: clients.list_for(r, site)))[0]
        assert where == f"{base}?open={client.id}#client-{client.id}"
        assert (client.user_id, client.creator_id) == (user.id, found.julia_id)
        status, page, _ = await found.julia.post(f"{base}/clients/{client.id}/password")
        assert status == 200
        assert f"softnet-m://</span>{client.key}@gateway.example" in page
        assert re.search(r'id="shown-password">[0-9A-Za-z]{9,}<', page)
        await sent(found.julia, f"{base}/clients/{client.id}/ping-period", {"ping_period": "30"})
        assert "P: 30" in await text_of(found.julia, base)
        # The row in the owner's account: the same key, and nothing to press (SHR-16, 17, 18).
        page = await text_of(found.markus, f"/sites/{site}/clients?open={client.id}")
        assert client.key in page
        assert f"/clients/{client.id}/password" not in page
        assert f'add client<span class="unseen"> for {user.name}' not in page
        page = await text_of(found.markus, f"/contacts/{mine.id}/shared/{domain}")
        assert client.key in page
        assert "add client" not in page
        assert "config" in page
        await sent(found.julia, f"{base}/clients/{client.id}/delete")
        assert await read(lambda r: clients.list_for(r, site)) == ()


async def test_shr_17_18_22_the_owner_only_views_and_the_partner_administers_nothing(tmp_path):
    async with scene(tmp_path) as found:
        shared = await found.rig.registry.write(
            lambda tx: share(tx, found.markus_id, found.julia_id)
        )
        site, client = shared["site"], shared["client"]
        before = await found.rig.registry.read(lambda r: clients.get(r, client))
        for path, data in (
            (f"/sites/{site}/clients", {"user_id": shared["user"]}),
            (f"/sites/{site}/clients/{client}/password", {}),
            (f"/sites/{site}/clients/{client}/ping-period", {"ping_period": "20"}),
            (f"/sites/{site}/clients/{client}/delete", {}),
        ):
            status, _, _ = await found.markus.post(path, data)
            assert status in (403, 404), path
        assert await found.rig.registry.read(lambda r: clients.list_for(r, site)) == (before,)
        for path in (f"/sites/{site}/enabled", f"/sites/{site}/delete",
                     f"/domains/{shared['domain']}/delete"):  # fmt: skip
            status, _, _ = await found.julia.post(path, {"enabled": "0"})
            assert status in (403, 404), path
        assert (await found.rig.registry.read(lambda r: sites.get(r, site))).enabled


async def test_shr_24_what_is_not_shared_any_more_is_out_of_reach(tmp_path):
    async with scene(tmp_path) as found:
        shared = await found.rig.registry.write(
            lambda tx: share(tx, found.markus_id, found.julia_id)
        )
        theirs = (await found.rig.registry.read(lambda r: contacts.list_for(r, found.julia_id)))[0]
        base = f"/contacts/{theirs.id}/domains/{shared['domain']}"
        assert "Surveillance System" in await text_of(found.julia, base)
        await found.rig.registry.write(lambda tx: sites.set_default_role(tx, shared["site"], None))
        assert "Surveillance System" not in await text_of(found.julia, base)
        status, _, _ = await found.julia.post(f"{base}/clients/{shared['client']}/password")
        assert status == 404
        await found.rig.registry.write(lambda tx: members.delete_user(tx, shared["user"]))
        assert (await found.julia.get(base))[0] == 404


async def test_who_can_see_this_camera_and_what_can_this_user_see(tmp_path):
    async with scene(tmp_path) as found:
        shared = await found.rig.registry.write(
            lambda tx: share(tx, found.markus_id, found.julia_id)
        )
        service = await found.rig.registry.read(
            lambda r: r.number("SELECT min(id) FROM service WHERE site_id = ?", shared["site"])
        )
        page = await text_of(found.markus, f"/services/{service}/viewers")
        assert "Robinson" in page
        assert "the site&#39;s default role" in page
        assert "Alison" in page
        page = await text_of(found.markus, f"/users/{shared['user']}/sights")
        assert "Surveillance System" in page
        assert "Entrance" in page
        assert (await found.julia.get(f"/services/{service}/viewers"))[0] in (403, 404)
        assert (await found.julia.get(f"/users/{shared['user']}/sights"))[0] in (403, 404)
