"""What is kept of events survives, and goes with what it belongs to (03 section 4, 04 6.9)."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from gateway.model.structure import SiteStructure
from gateway.registry import clients, pubsub, services, sites, structure
from gateway.registry.database import Tx
from gateway.site.retained import Batch, Instance, Retained
from tests.registry.furnished import CAMERA, PLAIN, Built, Opened, OpenRegistry, make_site

CONTRACT = (CAMERA.service_type, CAMERA.contract_author)
ARGUMENTS = bytes.fromhex("3003020101")
NOW = 1_800_000_000.0


def uid(number: int) -> bytes:
    return number.to_bytes(16, "big")


def kept(number: int, service_id: int, **values: Any) -> Instance:
    return Instance(number, service_id, uid(number), NOW, **{"arguments": ARGUMENTS, **values})


async def furnished(room: Opened) -> tuple[Built, int, Batch]:
    """Return a site, a client, and a stored batch with an instance of each kind."""

    def make(tx: Tx) -> tuple[Built, int]:
        built = make_site(tx)
        users = tx.rows("SELECT id FROM domain_user WHERE kind = 1")
        client = clients.add(tx, built.site.id, users[0][0], built.owner_id)
        return built, client.id

    built, client_id = await room.registry.write(make)
    service_id = built.service.id
    batch = Batch(1, CONTRACT, 12)
    batch.instances = {
        9: ("Status", kept(9, service_id, null=True, arguments=None)),
        10: ("Motion", kept(10, service_id)),
        12: ("Notice", kept(12, service_id, client_id=client_id)),
    }
    batch.marks = {(service_id, name): uid(5) for name in ("Status", "Motion", "Notice")}
    batch.cursors = {(client_id, "Status"): 0, (client_id, "Motion"): 4}
    await room.write(pubsub.keep, [(built.site.id, batch)])
    return built, client_id, batch


async def loaded(room: Opened, built: Built) -> Retained:
    return await room.read(pubsub.load, built.site.id)


async def test_a_batch_comes_back_as_it_was_kept(open_registry: OpenRegistry):
    async with open_registry() as room:
        built, _, batch = await furnished(room)
    async with open_registry() as room:
        found = await loaded(room, built)
        assert found.last_instance_id == 12
        assert found.instances == tuple(batch.instances.values())
        assert {(s, n): u for s, n, u in found.marks} == batch.marks
        assert {(c, n): at for c, n, at in found.subscriptions} == batch.cursors
        other = await room.read(pubsub.load, built.site.id + 1)
        assert other == Retained()


async def test_a_later_batch_replaces_moves_and_takes_back(open_registry: OpenRegistry):
    async with open_registry() as room:
        built, client_id, batch = await furnished(room)
        later = Batch(2, CONTRACT, 13)
        later.instances = {13: ("Motion", kept(13, built.service.id))}
        later.marks = {(built.service.id, "Motion"): uid(13)}
        later.gone = {10, 12}
        later.cursors = {(client_id, "Status"): 9, (client_id, "Motion"): None}
        later.cursors[client_id, "Notice"] = 12
        await room.write(pubsub.keep, [(built.site.id, later)])
        found = await loaded(room, built)
        assert [instance.id for _, instance in found.instances] == [9, 13]
        assert found.last_instance_id == 13
        assert (built.service.id, "Motion", uid(13)) in found.marks
        assert set(found.subscriptions) == {(client_id, "Status", 9), (client_id, "Notice", 12)}
        await room.write(pubsub.keep, [(built.site.id, dataclasses.replace(batch, gone={9}))])
        assert (await loaded(room, built)).last_instance_id == 13


async def test_what_belongs_to_nobody_any_more_is_passed_over(open_registry: OpenRegistry):
    async with open_registry() as room:
        built, client_id, _ = await furnished(room)
        before = await loaded(room, built)
        strange = Batch(2, CONTRACT, 99)
        strange.instances = {
            97: ("Motion", kept(97, built.service.id + 50)),
            98: ("No Such Event", kept(98, built.service.id)),
        }
        strange.marks = {(built.service.id + 50, "Motion"): uid(1), (1, "No Such Event"): uid(1)}
        strange.cursors = {(client_id + 50, "Motion"): 3, (client_id, "No Such Event"): 3}
        await room.write(pubsub.keep, [(built.site.id, strange)])
        found = await loaded(room, built)
        assert found == dataclasses.replace(before, last_instance_id=99)
        foreign = dataclasses.replace(strange, contract=("Other", "Author"))
        foreign.instances = {100: ("Motion", kept(100, built.service.id))}
        await room.write(pubsub.keep, [(built.site.id, foreign), (built.site.id + 9, strange)])
        assert await loaded(room, built) == found


@pytest.mark.parametrize(
    ("declared", "instances", "subscriptions"),
    [
        (CAMERA, [9, 10, 12], {"Status", "Motion"}),
        (dataclasses.replace(CAMERA, events=CAMERA.events[1:]), [10, 12], {"Motion"}),
        (dataclasses.replace(CAMERA, service_type="Other"), [], set()),
        (PLAIN, [], set()),
    ],
)
async def test_a_rebuilt_structure_keeps_what_it_still_has(
    open_registry: OpenRegistry,
    declared: SiteStructure,
    instances: list[int],
    subscriptions: set[str],
):
    async with open_registry() as room:
        built, _, _ = await furnished(room)

        def rebuild(tx: Tx) -> None:
            structure.store_for_service(tx, built.service.id, declared, "2.0", b"n" * 20)
            structure.apply(tx, built.site.id, built.service.id)

        await room.registry.write(rebuild)
        found = await loaded(room, built)
        assert [instance.id for _, instance in found.instances] == instances
        assert {name for _, name, _ in found.subscriptions} == subscriptions
        assert {name for _, name, _ in found.marks} >= subscriptions
        assert found.last_instance_id == 12


async def test_a_client_a_service_a_site_take_theirs_along(open_registry: OpenRegistry):
    async with open_registry() as room:
        built, client_id, _ = await furnished(room)
        await room.write(clients.delete, client_id)
        found = await loaded(room, built)
        assert [instance.id for _, instance in found.instances] == [9, 10]
        assert found.subscriptions == ()
        await room.write(services.delete, built.service.id)
        found = await loaded(room, built)
        assert (found.instances, found.marks, found.last_instance_id) == ((), (), 12)
        await room.write(sites.delete, built.site.id)
        assert await loaded(room, built) == Retained()


async def test_what_has_expired_is_swept(open_registry: OpenRegistry):
    async with open_registry() as room:
        built, _, _ = await furnished(room)
        room.clock.seconds = NOW + 3599
        assert await room.write(pubsub.expire) is False
        assert len((await loaded(room, built)).instances) == 3
        room.clock.seconds = NOW + 3600
        await room.write(pubsub.expire)
        assert [i.id for _, i in (await loaded(room, built)).instances] == [9, 12]
        room.clock.seconds = NOW + 86_400
        await room.write(pubsub.expire)
        assert [i.id for _, i in (await loaded(room, built)).instances] == [9]
