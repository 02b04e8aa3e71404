"""Services and the credentials of endpoints."""

from __future__ import annotations

import hashlib
import re

import pytest

from gateway.base.entropy import SystemEntropy
from gateway.base.errors import Conflict, InvalidInput, NotFound
from gateway.base.secret import Secret
from gateway.model.kinds import SiteKind
from gateway.registry import credentials, services, snapshots
from gateway.registry.changes import (
    ServiceAdded,
    ServiceCredentialsChanged,
    ServiceDeleted,
    ServicePingPeriodChanged,
    SiteChanged,
)
from gateway.registry.settings import RegistrySettings
from tests.registry.furnished import PLAIN, OpenRegistry, make_site
from tests.support.recordings import vectors


class Counting:
    """Entropy that always draws the same text of a length, so that keys collide."""

    def octets(self, count: int) -> bytes:
        return bytes(count)

    def uid(self) -> bytes:
        return bytes(16)

    def text(self, alphabet: str, count: int) -> str:
        return alphabet[-1] * count


def test_alphabets_are_those_of_the_guide():
    assert len(credentials.KEY_ALPHABET) == 34
    assert len(credentials.PASSWORD_ALPHABET) == 58
    assert not set("lo") & set(credentials.KEY_ALPHABET)
    assert not set("loIO") & set(credentials.PASSWORD_ALPHABET)
    for sample in ("a78rhvpwn", "t5bd8tyt6", "we9sjnmic"):
        assert set(sample) <= set(credentials.KEY_ALPHABET)
    for sample in ("rxj6EprGR", "Zk964byTN", "8YCSEwrpw", "v5j8x4pnEZ"):
        assert set(sample) <= set(credentials.PASSWORD_ALPHABET)


def test_every_letter_is_drawn_and_a_letter_comes_first():
    keys = [credentials.draw_key(SystemEntropy(), 9) for _ in range(2000)]
    assert all(re.fullmatch("[a-km-np-z][0-9a-km-np-z]{8}", key) for key in keys)
    assert set("".join(key[1:] for key in keys)) == set(credentials.KEY_ALPHABET)
    assert "z" in {key[0] for key in keys}
    drawn = credentials.draw_password(SystemEntropy(), 5000).reveal()
    assert set(drawn) == set(credentials.PASSWORD_ALPHABET)


def test_taken_keys_make_longer_ones_in_the_end():
    asked: list[str] = []

    def taken(key: str) -> bool:
        asked.append(key)
        return len(key) < 11

    assert credentials.draw_free_key(Counting(), 9, taken) == "z" * 11
    assert [len(key) for key in asked] == [9, 9, 9, 10, 10, 10, 11]
    with pytest.raises(Conflict, match="random source"):
        credentials.draw_free_key(Counting(), 30, lambda key: True)


def test_salting_is_that_of_the_handshake():
    salted = credentials.salt_password(Counting(), Secret("aZ9"))
    assert salted.digest == hashlib.sha1(bytes(16) + b"\0a\0Z\x009").digest()
    assert salted.matches(Secret("aZ9"))
    assert not salted.matches(Secret("aZ8"))
    assert repr(salted) == "SaltedPassword(...)"


@pytest.mark.parametrize("entry", vectors("auth")["salted_password"], ids=lambda e: e["password"])
def test_salting_is_that_of_the_recordings(entry):
    salt, digest = bytes.fromhex(entry["salt_hex"]), bytes.fromhex(entry["salted_password_hex"])
    assert credentials.SaltedPassword(salt, digest).matches(Secret(entry["password"]))


async def test_a_password_is_shown_once_and_stored_salted(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        fresh = await room.read(services.login, built.service.uid)
        assert (fresh.salt, fresh.salted_password) == (None, None)
        room.heard.clear()
        password = await room.write(services.generate_password, built.service.id)
        assert re.fullmatch("[0-9A-Za-z]{16}", password.reveal())
        assert set(room.heard[0]) == {
            ServiceCredentialsChanged(built.site.id, built.service.id), SiteChanged(built.site.id)
        }  # fmt: skip
        login = await room.read(services.login, built.service.uid)
        assert credentials.SaltedPassword(login.salt, login.salted_password).matches(password)
        service = await room.read(services.get, built.service.id)
        assert service.has_password
        assert service.password_set_at == int(room.clock.seconds)
        assert password.reveal().encode() not in (room.registry.path).read_bytes()
        assert login.salted_password.hex() not in repr(login)


async def test_a_new_password_changes_the_stamp_in_the_snapshot(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)

        async def stamp() -> bytes:
            return (await room.read(snapshots.load, built.site.id)).services[0].credential_stamp

        stamps = [await stamp()]
        for _ in range(2):
            await room.write(services.generate_password, built.service.id)
            stamps.append(await stamp())
        assert len(set(stamps)) == 3


async def test_password_lengths_are_settings(open_registry: OpenRegistry):
    limits = RegistrySettings(service_password_length=32, key_length=4)
    async with open_registry(limits) as room:
        built = await room.registry.write(make_site)
        assert len(await room.write(services.generate_password, built.service.id)) == 32
        assert len(built.site.site_key) == 4


async def test_services_are_numbered_or_named(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        room.heard.clear()
        named = await room.write(services.add, built.site.id, " Front door ")
        numbered = await room.write(services.add, built.site.id)
        assert [built.service.hostname, named.hostname, numbered.hostname] == [
            "Service1", "Front door", "Service2"
        ]  # fmt: skip
        assert room.heard[0] == (
            ServiceAdded(built.site.id, named.id), SiteChanged(built.site.id)
        )  # fmt: skip
        listed = await room.read(services.list_for, built.site.id)
        assert [service.id for service in listed] == [built.service.id, named.id, numbered.id]
        assert await room.read(services.by_uid, named.uid) == named
        assert await room.read(services.by_uid, bytes(16)) is None
        assert await room.read(services.login, bytes(16)) is None


async def test_a_single_service_site_keeps_its_only_service(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(lambda tx: make_site(tx, PLAIN, SiteKind.SINGLE_SERVICE))
        for refused, message in (
            (lambda tx: services.add(tx, built.site.id), "exactly one service"),
            (lambda tx: services.set_enabled(tx, built.service.id, False), "the site itself"),
            (lambda tx: services.delete(tx, built.service.id), "Delete the site instead"),
        ):
            with pytest.raises(Conflict, match=message):
                await room.registry.write(refused)


async def test_changing_a_service(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        service_id, site_id = built.service.id, built.site.id
        only_site = {SiteChanged(site_id)}
        assert await room.changes_of(services.set_hostname, service_id, "Door") == only_site
        assert await room.changes_of(services.set_hostname, service_id, "Door") == set()
        assert await room.changes_of(services.set_enabled, service_id, False) == only_site
        assert await room.changes_of(services.set_enabled, service_id, False) == set()
        assert await room.changes_of(services.set_ping_period, service_id, 60) == {
            ServicePingPeriodChanged(site_id, service_id, 60), SiteChanged(site_id)
        }  # fmt: skip
        assert await room.changes_of(services.set_ping_period, service_id, 60) == set()
        with pytest.raises(InvalidInput, match="10 to 300"):
            await room.write(services.set_ping_period, service_id, 5)
        changed = await room.read(services.get, service_id)
        assert (changed.hostname, changed.enabled, changed.ping_period) == ("Door", False, 60)
        assert await room.changes_of(services.delete, service_id) == {
            ServiceDeleted(site_id, service_id), SiteChanged(site_id)
        }  # fmt: skip
        with pytest.raises(NotFound):
            await room.read(services.get, service_id)


async def test_being_seen_is_history_and_no_change_unless_something_differs(open_registry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        room.clock.seconds += 10
        assert await room.changes_of(services.seen, built.service.id) == set()
        seen = await room.read(services.get, built.service.id)
        assert seen.last_seen_at == int(room.clock.seconds)
        changes = await room.changes_of(services.seen, built.service.id, version="2.0")
        assert changes == {SiteChanged(built.site.id)}
        storage = bytes(range(16))
        await room.write(services.seen, built.service.id, storage_uid=storage)
        login = await room.read(services.login, built.service.uid)
        assert (login.version, login.storage_uid) == ("2.0", storage)
        assert await room.changes_of(services.seen, 99, version="3") == set()
