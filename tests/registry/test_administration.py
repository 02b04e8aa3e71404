"""What administrators do to other accounts, and the settings of the server."""

from __future__ import annotations

import pytest

from gateway.base.errors import Denied, InvalidInput, NotFound
from gateway.model.kinds import Authority
from gateway.registry import (
    action_tokens,
    administration,
    clients,
    domains,
    members,
    outbox,
    owners,
    server_settings,
    settings,
    sites,
    snapshots,
)
from gateway.registry.action_tokens import Purpose
from gateway.registry.changes import ClientDeleted, SettingChanged, SiteChanged, SiteRestartRequired
from gateway.registry.settings import RegistrySettings
from tests.registry.furnished import (
    RECORD,
    URL,
    Opened,
    OpenRegistry,
    make_office,
    make_owner,
)


async def _boss(room: Opened, name: str = "boss") -> int:
    return await room.write(make_owner, name, Authority.ADMINISTRATOR)


async def test_search_shows_everybody_with_state(open_registry: OpenRegistry):
    async with open_registry() as room:
        boss = await _boss(room)
        office = await room.registry.write(make_office)
        await room.write(administration.set_enabled, boss, office.julia, False)
        page = await room.read(administration.search, "")
        assert [(one.full_name, one.authority, one.enabled) for one in page.rows] == [
            ("Julia Robinson", Authority.CONSUMER, False),
            ("Markus Schmidt", Authority.PROVIDER, True),
            ("Mr. boss", Authority.ADMINISTRATOR, True),
        ]
        shown = await room.read(administration.user_page, office.markus)
        assert (shown.editable, shown.domains, shown.sites, shown.contacts) == (True, 1, 3, 1)
        assert not (await room.read(administration.user_page, boss)).editable


async def test_revoking_and_assigning_provider(open_registry: OpenRegistry):
    async with open_registry() as room:
        boss = await _boss(room)
        office = await room.registry.write(make_office)
        for provider in (False, True):
            changes = await room.changes_of(
                administration.set_provider, boss, office.markus, provider
            )
            for site_id in office.sites():
                assert {SiteChanged(site_id), SiteRestartRequired(site_id)} <= changes
                snapshot = await room.read(snapshots.load, site_id)
                assert snapshot.owner_eligible is provider


async def test_nobody_else_and_no_administrator(open_registry: OpenRegistry):
    async with open_registry() as room:
        boss, other = await _boss(room), await _boss(room, "second")
        office = await room.registry.write(make_office)
        for fn, value in (
            (administration.set_provider, (False,)), (administration.set_enabled, (False,)),
            (administration.set_password, (RECORD,)), (administration.delete, ()),
        ):  # fmt: skip
            with pytest.raises(Denied, match="command line"):
                await room.write(fn, boss, other, *value)
            for nobody in (office.markus, office.julia):
                with pytest.raises(Denied, match="Only an administrator"):
                    await room.write(fn, nobody, office.julia, *value)
            with pytest.raises(NotFound):
                await room.write(fn, boss, 999, *value)
        assert (await room.read(owners.get, other)).authority is Authority.ADMINISTRATOR
        with pytest.raises(Denied):
            await room.write(administration.unlock, office.markus, office.julia)


async def test_a_new_password_or_disabling_voids_links(open_registry: OpenRegistry):
    async with open_registry() as room:
        boss = await _boss(room)
        julia = await room.write(make_owner, "julia")
        for fn, value in (
            (administration.set_password, RECORD), (administration.set_enabled, False)
        ):  # fmt: skip
            token, _ = await room.write(action_tokens.draw, Purpose.RESET_PASSWORD, owner_id=julia)
            await room.write(fn, boss, julia, value)
            with pytest.raises(Denied):
                await room.read(action_tokens.look, Purpose.RESET_PASSWORD, token)


async def test_unlocking(open_registry: OpenRegistry):
    async with open_registry() as room:
        boss = await _boss(room)
        for _ in range(5):
            await room.write(owners.record_failure, boss)
        owner = await room.write(administration.unlock, None, boss)
        assert owner.locked_until is None


async def test_deleting_counts_and_removes_clients_elsewhere(open_registry: OpenRegistry):
    async with open_registry() as room:
        boss = await _boss(room)
        office = await room.registry.write(make_office)
        client = await room.write(clients.add, office.alarm.id, office.robinson, office.julia)
        assert await room.read(administration.loss, office.julia) == administration.Loss(0, 0, 1)
        assert await room.read(administration.loss, office.markus) == administration.Loss(1, 3, 1)
        room.heard.clear()
        await room.write(administration.delete, boss, office.julia)
        assert ClientDeleted(office.alarm.id, client.id) in room.heard[0]
        left = await room.read(members.get_user, office.robinson)
        assert not left.reachable


# -- settings ------------------------------------------------------------------------------------


async def test_settings_have_defaults_and_ranges(open_registry: OpenRegistry):
    async with open_registry() as room:
        found = await room.read(server_settings.load)
        assert (found.invitation_days, found.anyone_can_register, found.smtp_port) == (
            14, False, 587
        )  # fmt: skip
        rows = {row.name: row for row in await room.read(server_settings.rows)}
        assert (rows["key_length"].value, rows["key_length"].facts.maximum) == (9, 32)
        assert "readers" not in rows
        assert not any(row.changed for row in rows.values())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("key_length", 3), ("key_length", 33), ("key_length", "nine"), ("key_length", ""),
        ("key_length", True), ("account_password_min_length", 3), ("invitation_days", 0),
        ("smtp_port", 65536), ("smtp_security", "rot13"), ("anyone_can_register", "perhaps"),
        ("server_address", "box:7737"), ("server_address", "[::1]"), ("server_address", "büro"),
        ("management_url", "box.example.org"), ("management_url", "javascript:alert(1)"),
        ("management_url", "https://box/path"), ("management_url", "https://a@box"),
        ("mail_address", "nobody"), ("smtp_host", "a b"), ("smtp_user", "a\nb"),
        ("readers", 1), ("secret_key", "x"), ("domains_per_owner", 10**9),
        ("smtp_host", "x" * 254),
    ],
)  # fmt: skip
async def test_a_value_out_of_its_range_changes_nothing(open_registry, name, value):
    async with open_registry() as room:
        with pytest.raises(InvalidInput) as refused:
            await room.write(server_settings.change, {"hand_over": True, name: value})
        assert refused.value.field == name
        assert await room.read(settings.all_values) == {}


async def test_settings_are_kept_and_taken_back(open_registry: OpenRegistry):
    async with open_registry() as room:
        values = {"management_url": URL + "/", "anyone_can_register": "on", "smtp_port": " 25 "}
        room.heard.clear()
        assert set(await room.write(server_settings.change, values)) == set(values)
        assert SettingChanged("server.smtp_port") in room.heard[0]
        assert await room.write(server_settings.change, values) == ()
    async with open_registry() as room:
        found = await room.read(server_settings.load)
        assert (found.management_url, found.anyone_can_register, found.smtp_port) == (
            URL, True, 25
        )  # fmt: skip
        await room.write(server_settings.change, {"smtp_port": None})
        assert (await room.read(server_settings.load)).smtp_port == 587


async def test_lengths_and_quotas_stand_over_the_configuration(open_registry: OpenRegistry):
    async with open_registry(RegistrySettings(key_length=10, domains_per_owner=5)) as room:
        office = await room.registry.write(make_office)
        assert len(office.alarm.site_key) == 10
        await room.write(
            server_settings.change,
            {"key_length": 12, "client_password_length": 9, "domains_per_owner": 1},
        )
        site = await room.write(sites.add, office.domain.id)
        client = await room.write(clients.add, office.alarm.id, office.robinson, office.julia)
        password = await room.write(clients.generate_password, client.id)
        assert (len(site.site_key), len(client.key), len(password)) == (12, 12, 9)
        with pytest.raises(Exception, match="can have 1 domains"):
            await room.write(domains.add, office.markus)
    async with open_registry(RegistrySettings(key_length=10)) as room:
        seen = await room.registry.read(lambda reader: reader.settings.key_length)
        assert seen == 12, "it is in force from the first reading on"
        await room.write(server_settings.change, {"key_length": None})
        seen = await room.registry.read(lambda reader: reader.settings.key_length)
        assert seen == 10


async def test_values_edited_by_hand_are_passed_over(open_registry: OpenRegistry):
    async with open_registry() as room:
        for name, value in (
            ("registry.key_length", "99"), ("registry.lock_time", "-1"),
            ("registry.readers", "7"), ("registry.users_per_domain", "many"),
            ("server.smtp_port", "0"), ("server.anyone_can_register", "perhaps"),
            ("server.management_url", "nowhere"),
        ):  # fmt: skip
            await room.write(settings.put, name, value)
        now = await room.registry.read(lambda reader: reader.settings)
        assert now == RegistrySettings()
        assert await room.read(server_settings.load) == server_settings.ServerSettings()
        assert await room.read(outbox.mode) is outbox.MailMode.OFF


async def test_another_mail_password_voids_the_test(open_registry: OpenRegistry):
    async with open_registry() as room:
        await room.write(server_settings.change, {"management_url": URL, "smtp_host": "mail"})
        await room.write(server_settings.mail_tested, await room.read(server_settings.load))
        assert await room.read(outbox.mode) is outbox.MailMode.SMTP
        await room.write(server_settings.mail_password_changed)
        assert await room.read(outbox.mode) is outbox.MailMode.OFF
