"""Public services and guest clients, of accounts and of mail addresses."""

from __future__ import annotations

import pytest

from gateway.base.errors import Conflict, Denied, NotFound, QuotaExceeded
from gateway.model.kinds import Authority, ClientCategory, GuestSupport, SiteKind
from gateway.model.sites import guest_page_address, shared_guest_uri
from gateway.model.structure import SiteStructure
from gateway.registry import (
    clients,
    guest_mail,
    guests,
    members,
    outbox,
    owners,
    services,
    sites,
    structure,
)
from gateway.registry.action_tokens import EXPIRED, USED
from gateway.registry.changes import ClientCredentialsChanged, ClientDeleted
from gateway.registry.guests import Creator, Refusal
from gateway.registry.outbox import MailMode
from gateway.registry.settings import RegistrySettings
from tests.registry.furnished import (
    PLAIN,
    Built,
    Opened,
    OpenRegistry,
    last_link,
    make_owner,
    make_site,
    with_mail,
)

FROM = "192.0.2.1"
JOHN = "john@example.org"


async def _public(room: Opened) -> Built:
    built = await room.registry.write(make_site)
    await room.write(sites.set_guest_allowed, built.site.id, True)
    await room.registry.write(with_mail)
    return built


async def _guest_id(room: Opened, built: Built) -> int:
    return (await room.read(members.list_users, built.domain.id))[-1].id


async def test_every_reason_for_taking_no_guests(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        seen = []

        async def note():
            site = await room.read(sites.get, built.site.id)
            seen.append(await room.read(guests.refusal, site))
            domains = await room.read(guests.public_domains, built.owner_id)
            assert bool(domains) is (seen[-1] is None)

        await note()
        await room.write(sites.set_guest_allowed, built.site.id, True)
        await note()
        guest = await _guest_id(room, built)
        await room.write(members.set_user_enabled, guest, False)
        await note()
        await room.write(members.set_user_enabled, guest, True)
        await room.write(sites.set_enabled, built.site.id, False)
        await note()
        await room.write(sites.set_enabled, built.site.id, True)
        await room.write(owners.set_authority, built.owner_id, Authority.CONSUMER)
        await note()
        assert seen == [Refusal.DENIED, None, Refusal.DISABLED, Refusal.SITE_DISABLED,
                        Refusal.NOT_SERVED]  # fmt: skip
        blank = await room.write(sites.add, built.domain.id)
        assert await room.read(guests.refusal, blank) is Refusal.BLANK
        plain = await room.registry.write(lambda tx: make_site(tx, PLAIN, owner_id=built.owner_id))
        assert await room.read(guests.refusal, plain.site) is Refusal.NOT_SUPPORTED


async def test_searching_an_owner_a_domain_and_its_public_sites(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await _public(room)
        await room.write(make_owner, "marble", Authority.CONSUMER)
        await room.registry.write(lambda tx: make_site(tx, PLAIN, owner_id=built.owner_id))
        found = await room.read(guests.search_owners, "mar")
        assert [person.id for person in found.rows] == [built.owner_id]
        (domain,) = await room.read(guests.public_domains, built.owner_id)
        shown = await room.read(guests.public_domain, domain.id)
        (site,) = shown.sites
        assert (site.refusal, site.clients) == (None, ())
        assert site.panel.roles == (), "supported roles are not shown"
        assert [line.service.hostname for line in site.panel.services] == ["Service1"]
        assert (site.panel.guest_page, site.panel.guest_uri) == (True, True)
        await room.write(sites.set_guest_allowed, built.site.id, False)
        assert await room.read(guests.public_domains, built.owner_id) == ()
        with pytest.raises(NotFound):
            await room.read(guests.public_domain, domain.id)


async def test_the_guest_page_opens_by_its_key_only(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await _public(room)
        page = await room.read(guests.guest_page, built.site.site_key)
        assert (page.owner.id, page.domain.name) == (built.owner_id, "Office")
        address = guest_page_address(page.panel.site, "https://box.example.org")
        assert address == f"https://box.example.org/guest?site={built.site.site_key}"
        blank = await room.write(sites.add, built.domain.id)
        for key in ("", "nokey", blank.site_key, "x" * 999, "é", built.site.site_key.upper()):
            with pytest.raises(NotFound):
                await room.read(guests.guest_page, key)


async def test_a_guest_client_of_an_account(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await _public(room)
        julia = await room.write(make_owner, "julia", Authority.CONSUMER)
        me = Creator(owner_id=julia)
        client = await room.write(guests.add_client, built.site.id, me)
        assert (client.creator_id, client.creator_email) == (julia, None)
        await room.write(guests.add_client, built.site.id, Creator(owner_id=built.owner_id))
        page = await room.read(guests.guest_page, built.site.site_key, me)
        assert [one.id for one in page.clients] == [client.id]
        (place,) = await room.read(guests.places, me)
        assert (place.owner.id, place.domain.id, place.clients) == (
            built.owner_id, built.domain.id, 1
        )  # fmt: skip
        mine = await room.read(guests.place, built.domain.id, me)
        assert [one.id for one in mine.sites[0].clients] == [client.id]
        assert await room.read(guests.total, built.site.id) == 2
        for stranger in (Creator(owner_id=built.owner_id), Creator(email=JOHN), guests.NOBODY):
            with pytest.raises(NotFound):
                await room.read(guests.own_client, client.id, stranger)
        assert (await room.read(guests.own_client, client.id, me)).id == client.id


async def test_denied_guests_keep_their_clients_and_get_no_new_ones(open_registry):
    async with open_registry() as room:
        built = await _public(room)
        me = Creator(owner_id=await room.write(make_owner, "julia"))
        client = await room.write(guests.add_client, built.site.id, me)
        await room.write(sites.set_enabled, built.site.id, False)
        with pytest.raises(Conflict, match="switched this site off"):
            await room.write(guests.add_client, built.site.id, me)
        await room.write(sites.set_guest_allowed, built.site.id, False)
        page = await room.read(guests.guest_page, built.site.site_key, me)
        assert (page.refusal, page.panel.users[0].may_add) == (Refusal.DENIED, False)
        assert [one.id for one in page.clients] == [client.id]
        assert len((await room.read(guests.place, built.domain.id, me)).sites) == 1


async def test_a_guest_client_by_mail(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await _public(room)
        mode = await room.write(guest_mail.ask_to_create, built.site.id, JOHN, FROM)
        assert mode is MailMode.SMTP
        token = await room.read(last_link, "guest_create")
        page, email = await room.read(guest_mail.creation_form, token)
        assert (page.panel.site.id, email) == (built.site.id, JOHN)
        made = await room.write(guest_mail.create, token)
        assert (made.client.creator_id, made.client.creator_email) == (None, JOHN)
        assert len(made.password) == 16
        login = await room.read(clients.login, ClientCategory.MULTI_SERVICE, made.client.key)
        assert login.salted_password is not None
        with pytest.raises(Denied) as refused:
            await room.write(guest_mail.create, token)
        assert refused.value.code == USED
        assert await room.read(guests.total, built.site.id) == 1


async def test_a_creating_link_lives_an_hour(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await _public(room)
        await room.write(guest_mail.ask_to_create, built.site.id, JOHN, FROM)
        token = await room.read(last_link, "guest_create")
        room.clock.seconds += 3600
        with pytest.raises(Denied) as refused:
            await room.write(guest_mail.create, token)
        assert refused.value.code == EXPIRED


async def test_a_site_that_was_closed_meanwhile_leaves_the_link_good(open_registry):
    async with open_registry() as room:
        built = await _public(room)
        await room.write(guest_mail.ask_to_create, built.site.id, JOHN, FROM)
        token = await room.read(last_link, "guest_create")
        await room.write(sites.set_guest_allowed, built.site.id, False)
        for fn, arguments in (
            (guest_mail.create, (token,)),
            (guest_mail.ask_to_create, (built.site.id, "x@example.org", FROM)),
        ):
            with pytest.raises(Conflict, match="does not allow"):
                await room.write(fn, *arguments)
        await room.write(sites.set_guest_allowed, built.site.id, True)
        await room.write(guest_mail.create, token)


async def _browsing(room: Opened, email: str = JOHN):
    await room.write(guest_mail.ask_to_browse, email, FROM)
    return await room.read(last_link, "guest_browse")


async def test_browsing_shows_the_clients_of_this_address_only(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await _public(room)
        await room.write(guests.add_client, built.site.id, Creator(email=JOHN))
        other = await room.write(guests.add_client, built.site.id, Creator(email="x@example.org"))
        token = await _browsing(room, JOHN.upper())
        email, (place,) = await room.read(guest_mail.browse, token)
        assert (email.casefold(), place.clients) == (JOHN, 1)
        (site,) = (await room.read(guest_mail.browse_domain, token, built.domain.id)).sites
        assert [one.creator_email for one in site.clients] == [JOHN]
        with pytest.raises(NotFound):
            await room.write(guest_mail.ask_to_edit, token, other.id, FROM)
        assert await room.read(guest_mail.browse, await _browsing(room, "new@example.org")) == (
            "new@example.org", ()
        )  # fmt: skip


async def test_browsing_is_view_only_and_an_editing_link_lives_half_an_hour(open_registry):
    async with open_registry() as room:
        built = await _public(room)
        client = await room.write(guests.add_client, built.site.id, Creator(email=JOHN))
        token = await _browsing(room)
        for edit in (guest_mail.generate_password, guest_mail.delete):
            with pytest.raises(Denied):
                await room.write(edit, token)
        await room.write(guest_mail.ask_to_edit, token, client.id, FROM)
        (letter, *_) = await room.read(outbox.list_all)
        assert client.key in letter.body
        editing = await room.read(last_link, "guest_edit")
        assert (await room.read(guest_mail.edited, editing)).id == client.id
        changes = await room.changes_of(guest_mail.generate_password, editing)
        assert changes == {ClientCredentialsChanged(built.site.id, client.id)}
        changed = await room.write(guest_mail.set_ping_period, editing, 30)
        assert changed.ping_period == 30
        room.clock.seconds += 1800
        with pytest.raises(Denied) as refused:
            await room.write(guest_mail.delete, editing)
        assert refused.value.code == EXPIRED
        await room.write(guest_mail.ask_to_edit, token, client.id, FROM)
        editing = await room.read(last_link, "guest_edit")
        changes = await room.changes_of(guest_mail.delete, editing)
        assert changes == {ClientDeleted(built.site.id, client.id)}
        with pytest.raises(Denied):
            await room.read(guest_mail.edited, editing)


async def test_another_client_from_browsing(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await _public(room)
        token = await _browsing(room)
        await room.write(guest_mail.ask_for_another, token, built.site.id, FROM)
        made = await room.write(guest_mail.create, await room.read(last_link, "guest_create"))
        assert made.client.creator_email == JOHN


async def test_quotas_of_a_mail_address(open_registry: OpenRegistry):
    async with open_registry(RegistrySettings(clients_per_address=2)) as room:
        built = await _public(room)
        for email in (JOHN, JOHN.upper()):
            await room.write(guests.add_client, built.site.id, Creator(email=email))
        with pytest.raises(QuotaExceeded, match="mail address"):
            await room.write(guests.add_client, built.site.id, Creator(email=JOHN))
        await room.write(guests.add_client, built.site.id, Creator(email="x@example.org"))


async def test_without_mail_the_forms_are_off(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        assert not await room.read(guest_mail.offered)
        for ask in (
            (guest_mail.ask_to_create, built.site.id, JOHN, FROM),
            (guest_mail.ask_to_browse, JOHN, FROM),
        ):
            with pytest.raises(Conflict, match="Log in"):
                await room.write(*ask)


@pytest.mark.parametrize(
    ("kind", "scheme"),
    [(SiteKind.SINGLE_SERVICE, "softnet-ss"), (SiteKind.MULTI_SERVICE, "softnet-ms")],
)
async def test_the_shared_uri_of_stateless_guests(open_registry, kind, scheme):
    async with open_registry() as room:
        declared = SiteStructure("Door", "Doe", GuestSupport.STATELESS)
        built = await room.registry.write(lambda tx: make_site(tx, declared, kind))
        assert not (await room.read(guests.guest_page, built.site.site_key)).panel.guest_uri
        await room.write(sites.set_guest_allowed, built.site.id, True)
        page = await room.read(guests.guest_page, built.site.site_key)
        assert page.panel.guest_uri
        uri = shared_guest_uri(page.panel.site, "box.example.org")
        assert uri == f"{scheme}://{built.site.site_key}@box.example.org"


async def test_support_that_falls_takes_the_page_and_keeps_the_clients(open_registry):
    async with open_registry() as room:
        declared = SiteStructure("Door", "Doe", GuestSupport.STATEFUL)
        built = await room.registry.write(lambda tx: make_site(tx, declared))
        await room.write(sites.set_guest_allowed, built.site.id, True)
        await room.write(guests.add_client, built.site.id, Creator(email=JOHN))
        page = await room.read(guests.guest_page, built.site.site_key)
        assert (page.panel.guest_page, page.panel.guest_uri) == (True, False)

        def fall(tx):
            service = services.list_for(tx, built.site.id)[0]
            fallen = SiteStructure("Door", "Doe")
            structure.store_for_service(tx, service.id, fallen, "2", b"f" * 20)
            structure.apply(tx, built.site.id, service.id)

        await room.registry.write(fall)
        page = await room.read(guests.guest_page, built.site.site_key, Creator(email=JOHN))
        assert (page.refusal, page.panel.guest_page) == (Refusal.NOT_SUPPORTED, False)
        assert len(page.clients) == 1
