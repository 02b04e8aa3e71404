"""The snapshot that trackers decide by."""

from __future__ import annotations

import time

import pytest

from gateway.base.errors import NotFound
from gateway.model.devices import Sighting
from gateway.model.kinds import Authority, ClientCategory, GuestSupport, SiteKind, UserKind
from gateway.model.snapshot import Member
from gateway.registry import clients, devices, members, owners, services, sites, snapshots
from gateway.registry.settings import RegistrySettings
from tests.registry.furnished import CAMERA, PLAIN, Opened, OpenRegistry, make_owner, make_site


async def test_a_built_site(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        found = await room.read(snapshots.load, built.site.id)
        owner, guest = await room.read(members.list_users, built.domain.id)
        roles = await room.read(members.list_roles, built.site.id)
        assert (found.id, found.uid, found.kind) == (
            built.site.id, built.site.uid, SiteKind.MULTI_SERVICE
        )  # fmt: skip
        assert (found.enabled, found.owner_eligible, found.blank) == (True, True, False)
        assert found.structure is not None
        assert found.structure.roles == CAMERA.roles
        assert found.structure.events == CAMERA.events
        assert found.structure.guest_support is GuestSupport.STATELESS
        assert found.ss_hash == b"h" * 20
        assert found.roles == tuple(sorted((role.id, role.name) for role in roles))
        assert found.members == (Member(owner.id, UserKind.OWNER, "Owner", (roles[0].id,)),)
        assert found.users == {
            owner.id: Member(owner.id, UserKind.OWNER, "Owner"),
            guest.id: Member(guest.id, UserKind.GUEST, "Guest"),
        }
        assert found.guest_user_id == guest.id
        (service,) = found.services
        assert (service.uid, service.hostname, service.version) == (
            built.service.uid, "Service1", "1.0"
        )  # fmt: skip
        assert (service.service_type, service.ss_hash) == ("IP Camera", b"h" * 20)


async def test_a_camera_of_this_gateway_is_known_as_its_own(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        other = await room.write(services.add, built.site.id, "Somebody's")
        device = await room.write(devices.upsert_sighting, Sighting("mac:0011", "rtsp"))
        await room.write(devices.adopt, device.id, built.service.id)
        found = await room.read(snapshots.load, built.site.id)
        assert {service.id: service.own for service in found.services} == {
            built.service.id: True, other.id: False,
        }  # fmt: skip


async def test_a_blank_site(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        blank = await room.write(sites.add, built.domain.id)
        found = await room.read(snapshots.load, blank.id)
        assert (found.blank, found.ss_hash, found.members, found.roles) == (True, None, (), ())
        assert len(found.users) == 2
        assert found.services[0].service_type is None
        with pytest.raises(NotFound):
            await room.read(snapshots.load, 99)


@pytest.mark.parametrize(
    ("authority", "enabled", "eligible"),
    [(Authority.CONSUMER, True, False), (Authority.PROVIDER, True, True),
     (Authority.PROVIDER, False, False), (Authority.ADMINISTRATOR, True, True)],
)  # fmt: skip
async def test_owners_that_are_not_served(open_registry, authority, enabled, eligible):
    async with open_registry() as room:
        await room.write(make_owner, "boss4", Authority.ADMINISTRATOR)
        owner_id = await room.write(make_owner, "markus", authority)
        built = await room.registry.write(lambda tx: make_site(tx, owner_id=owner_id))
        await room.write(owners.set_enabled, owner_id, enabled)
        assert (await room.read(snapshots.load, built.site.id)).owner_eligible is eligible


async def test_guests_need_support_the_switch_and_the_user(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        guest = (await room.read(members.list_users, built.domain.id))[-1]

        async def allowed() -> bool:
            return (await room.read(snapshots.load, built.site.id)).guest_allowed

        seen = [await allowed()]
        await room.write(sites.set_guest_allowed, built.site.id, True)
        seen.append(await allowed())
        await room.write(members.set_user_enabled, guest.id, False)
        seen.append(await allowed())
        assert seen == [False, True, False]


async def test_a_snapshot_is_of_its_own_domain_only(open_registry: OpenRegistry):
    async with open_registry() as room:
        built = await room.registry.write(make_site)
        other = await room.write(make_owner, "julia")
        plain = await room.registry.write(lambda tx: make_site(tx, PLAIN, owner_id=other))
        found = await room.read(snapshots.load, plain.site.id)
        assert found.structure is not None
        assert found.structure.roles == ()
        users = {user.id for user in await room.read(members.list_users, built.domain.id)}
        assert not users & set(found.users)


async def _big_site(room: Opened) -> tuple[int, list[str]]:
    """Fill a site with 50 services and 500 clients of 100 users."""
    built = await room.registry.write(make_site)

    def fill(tx):
        role_ids = [role.id for role in members.list_roles(tx, built.site.id)]
        for _ in range(49):
            services.add(tx, built.site.id)
        keys = []
        for number in range(100):
            user = members.add_user(tx, built.domain.id, UserKind.PRIVATE, f"User {number}")
            members.set_roles(tx, built.site.id, user.id, role_ids[: 1 + number % 3])
            for _ in range(5):
                client = clients.add(tx, built.site.id, user.id, built.owner_id)
                clients.generate_password(tx, client.id)
                keys.append(client.key)
        return keys

    return built.site.id, await room.registry.write(fill)


async def test_a_big_site_loads_in_few_statements_and_quickly(open_registry: OpenRegistry):
    async with open_registry(RegistrySettings(clients_per_creator=1000)) as room:
        site_id, _ = await _big_site(room)

        def load(reader):
            statements: list[str] = []
            reader.db.conn.set_trace_callback(statements.append)
            found = snapshots.load(reader, site_id)
            reader.db.conn.set_trace_callback(None)
            begun = time.perf_counter()
            for _ in range(5):
                snapshots.load(reader, site_id)
            return found, len(statements), (time.perf_counter() - begun) / 5

        found, statements, seconds = await room.registry.read(load)
        assert (len(found.services), len(found.members), len(found.users)) == (50, 101, 102)
        assert statements <= 7
        assert seconds < 0.02


async def test_logging_in_is_one_statement_by_an_index(open_registry: OpenRegistry):
    async with open_registry(RegistrySettings(clients_per_creator=1000)) as room:
        site_id, keys = await _big_site(room)
        uid = (await room.read(services.list_for, site_id))[7].uid
        site_key = (await room.read(sites.get, site_id)).site_key

        def trace(reader):
            statements: list[str] = []
            reader.db.conn.set_trace_callback(statements.append)
            assert clients.login(reader, ClientCategory.MULTI_SERVICE, keys[-1])
            assert clients.login(reader, ClientCategory.MULTI_SERVICE_STATELESS, site_key)
            assert services.login(reader, uid)
            reader.db.conn.set_trace_callback(None)
            plans = [
                row[3] for sql in statements for row in reader.rows(f"EXPLAIN QUERY PLAN {sql}")
            ]
            return len(statements), plans

        statements, plans = await room.registry.read(trace)
        assert statements == 3
        assert all("SEARCH" in plan for plan in plans), plans
