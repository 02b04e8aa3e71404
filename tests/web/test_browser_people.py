"""Pages of strangers, contacts, guests and administrators, looked over in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from gateway.model.kinds import Authority, ContactStatus, SiteKind
from gateway.model.structure import SiteStructure
from gateway.registry import (
    audit,
    clients,
    contacts,
    guest_mail,
    invitations,
    members,
    outbox,
    owners,
    server_settings,
    services,
    sites,
    structure,
)
from gateway.registry.database import Tx
from gateway.wire.structure import structure_hash
from tests.web import chromium
from tests.web.callers import PASSWORD
from tests.web.chromium import browser_page, look_over
from tests.web.rig import Rig, add_owner, open_rig, share

pytestmark = chromium.needed

PLAIN = SiteStructure("iSentry", "Argus")
MAIL = "julia@example.org"


async def _signed_in(page: Any, rig: Rig, account: str) -> None:
    await page.context.clear_cookies()
    await page.goto(f"{rig.url}/sign-in")
    await page.get_by_label("Account name").fill(account)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log In").click()
    await page.wait_for_url("**/home")


def _plain_site(tx: Tx, domain_id: int) -> int:
    """Build a single-service site without roles; return its id."""
    site = sites.add(tx, domain_id, "Alarm System", SiteKind.SINGLE_SERVICE)
    service = services.list_for(tx, site.id)[0]
    structure.store_for_service(tx, service.id, PLAIN, "1.0", structure_hash(PLAIN))
    structure.build(tx, site.id, service.id)
    sites.set_implicit_users(tx, site.id, True)
    return site.id


async def _scene(rig: Rig) -> dict[str, int]:
    """Markus shares with Julia and with people whose contacts do not serve any more."""
    rig.server.desk.claimed = True
    admin = await add_owner(rig.registry, "first", Authority.ADMINISTRATOR)
    markus = await add_owner(rig.registry, "markus", Authority.PROVIDER)
    julia = await add_owner(rig.registry, "julia", Authority.CONSUMER)
    others = [
        await add_owner(rig.registry, name, Authority.CONSUMER)
        for name in ("left", "gone", "disabled", "newcomer")
    ]

    def within(tx: Tx) -> dict[str, int]:
        server_settings.change(tx, {"hand_over": True, "management_url": "http://box.example"})
        ids = share(tx, markus, julia)
        sites.set_guest_allowed(tx, ids["site"], True)
        ids["plain"] = _plain_site(tx, ids["domain"])
        for person, name in zip(others[:3], ("Lefty", "Goner", "Disabled one"), strict=True):
            contacts.invite(tx, person, markus)
            contact = contacts.accept(tx, markus, person)
            user = members.add_user(
                tx, ids["domain"], members.UserKind.CONTACT, name, contact_id=contact.id
            )
            members.add_site_user(tx, ids["plain"], user.id)
            ids[name] = user.id
        theirs = contacts.list_for(tx, others[0])[0]
        contacts.delete(tx, others[0], theirs.id)
        owners.delete(tx, others[1])
        owners.set_enabled(tx, others[2], False)
        contacts.invite(tx, others[3], markus)
        ids["admin"], ids["markus"], ids["julia"] = admin, markus, julia
        guest_mail.ask_to_create(tx, ids["site"], MAIL, "192.0.2.1")
        invitations.create(tx, admin, email=MAIL, text="Julia of the office next door")
        return ids

    return await rig.registry.write(within)


async def _letter(rig: Rig) -> str:
    letter = (await rig.registry.read(outbox.list_all))[0]
    assert letter.link is not None
    return urlsplit(letter.link.reveal()).path


@pytest.mark.timeout_s(600)
async def test_pages_of_people_for_every_eye(tmp_path: Path):
    axe = chromium.axe_source()
    async with open_rig(tmp_path) as rig, browser_page() as page:
        ids = await _scene(rig)
        wrong: list[str] = []

        async def look(name: str, path: str) -> None:
            await page.goto(rig.url + path)
            wrong.extend(await look_over(page, name, axe))

        key = (await rig.registry.read(lambda r: sites.get(r, ids["site"]))).site_key
        await look("guest-page", f"/guest?site={key}")
        await look("guest-ask", f"/guest/new?site={key}")
        await page.goto(rig.url + await _letter(rig))
        wrong += await look_over(page, "guest-create", axe)
        await page.get_by_role("button", name="create guest client").click()
        await page.locator("#shown-password").wait_for()
        wrong += await look_over(page, "guest-created", axe)
        await rig.registry.write(lambda tx: guest_mail.ask_to_browse(tx, MAIL, "192.0.2.2"))
        await look("guest-browse", f"{await _letter(rig)}/{ids['domain']}")
        await page.get_by_role("link", name="Open client").click()
        await page.get_by_role("button", name="send an editing link").click()
        await page.get_by_text("Ask its operator").wait_for()
        await look("guest-edit", await _letter(rig))

        await _signed_in(page, rig, "markus")
        wrong += await look_over(page, "home", axe)
        await look("contacts", "/contacts")
        contact = (await rig.registry.read(lambda r: contacts.list_for(r, ids["markus"])))[0]
        await look("contacts-edit", f"/contacts?edit=1&contact={contact.id}")
        await look("account-edit", "/account?edit=1")
        await look("domain-of-contacts", f"/domains/{ids['domain']}")
        await look("site-with-guests", f"/sites/{ids['site']}")
        await look("site-plain", f"/sites/{ids['plain']}")
        await look("clients-with-guests", f"/sites/{ids['site']}/clients")

        await _signed_in(page, rig, "first")
        letter = (await rig.registry.read(outbox.list_all))[0]
        await look("outbox", f"/admin/outbox?qr={letter.id}")
        await look("invitation", "/admin/invitations?open=1")
        await look("audit-checked", "/audit?check=1")
        assert not wrong, "\n".join(wrong)
        assert page.complaints == []


@pytest.mark.timeout_s(120)
async def test_con_11_13_14_marks_of_contacts_on_the_page_of_a_site(tmp_path: Path):
    async with open_rig(tmp_path) as rig, browser_page() as page:
        ids = await _scene(rig)
        await _signed_in(page, rig, "markus")
        for path in (f"/domains/{ids['domain']}", f"/sites/{ids['plain']}"):
            await page.goto(rig.url + path)
            for name, mark in (("Lefty", "(*)"), ("Goner", "(**)"), ("Disabled one", "[disabled]")):
                row = page.locator(f"#user-{ids[name]}")
                assert mark in await row.inner_text(), (path, name)
        gone = await rig.registry.read(lambda r: members.get_user(r, ids["Goner"]))
        assert gone.contact_status is ContactStatus.PARTNER_DELETED
        # On the site with roles its boxes take nothing; on the domain's page it can be deleted.
        await page.goto(f"{rig.url}/sites/{ids['site']}?user={gone.id}")
        boxes = page.locator(f"#user-{gone.id} input[type=checkbox]")
        assert await boxes.count() == 3
        assert [await boxes.nth(one).is_disabled() for one in range(3)] == [True] * 3
        await page.goto(f"{rig.url}/domains/{ids['domain']}?user={gone.id}")
        await page.get_by_text("The user should be removed.").wait_for()
        assert await page.get_by_role("button", name="Save").count() == 1  # the domain's name
        await page.get_by_role("button", name="Delete Goner").click()
        await page.get_by_text("The user was deleted.").wait_for()


@pytest.mark.timeout_s(120)
async def test_sec_04_what_was_deleted_elsewhere_is_told_on_a_fresh_page(tmp_path: Path):
    async with open_rig(tmp_path) as rig, browser_page(java_script_enabled=False) as page:
        ids = await _scene(rig)
        await _signed_in(page, rig, "markus")
        client = await rig.registry.write(
            lambda tx: clients.add(tx, ids["site"], members.list_users(tx, ids["domain"])[0].id,
                                   ids["markus"])
        )  # fmt: skip
        await rig.registry.write(
            lambda tx: members.set_roles(
                tx, ids["site"], client.user_id, [members.list_roles(tx, ids["site"])[0].id]
            )
        )
        await page.goto(f"{rig.url}/sites/{ids['site']}/clients?open={client.id}")
        await rig.registry.write(lambda tx: clients.delete(tx, client.id))
        await page.get_by_role("button", name="generate password").click()
        await page.get_by_role("alert").get_by_text("does not exist any more").wait_for()
        assert await page.get_by_text("Client management").count()
        assert await rig.registry.read(lambda r: audit.list_all(r, limit=1))


_MENU = """() => {
  const menu = document.querySelector(".menu");
  const box = (one) => one.getBoundingClientRect();
  const others = [...document.querySelectorAll(".brand, .who > *")].map(box);
  const entries = [...menu.querySelectorAll("a")];
  const wrong = entries.map(box).filter((one) => one.left < 0 || one.right > innerWidth
    || others.some((other) => one.left < other.right && other.left < one.right
      && one.top < other.bottom && other.top < one.bottom));
  return [entries.length, wrong.length, menu.scrollWidth > menu.clientWidth];
}"""


@pytest.mark.timeout_s(120)
async def test_every_entry_of_the_menu_is_seen_at_every_width(tmp_path: Path):
    async with open_rig(tmp_path) as rig, browser_page() as page:
        rig.server.desk.claimed = True
        for name, authority in (
            ("first", Authority.ADMINISTRATOR), ("markus", Authority.PROVIDER),
            ("julia", Authority.CONSUMER), ("", None),
        ):  # fmt: skip
            if authority is not None:
                await add_owner(rig.registry, name, authority)
                await _signed_in(page, rig, name)
            else:
                await page.context.clear_cookies()
                await page.goto(rig.url)
            entries = {"first": 7, "markus": 6}.get(name, 3)
            for width in (320, 360, 412, 480, 600, 720, 1000, 1216, 1280):
                await page.set_viewport_size({"width": width, "height": 700})
                assert await page.evaluate(_MENU) == [entries, 0, False], (name, width)
