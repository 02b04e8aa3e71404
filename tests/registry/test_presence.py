"""Who was here, for many endpoints in one transaction."""

from __future__ import annotations

from gateway.registry import clients, presence, services
from gateway.registry.changes import ClientDescribed
from gateway.registry.database import Tx
from tests.registry.furnished import OpenRegistry, make_site


async def test_services_and_clients_are_remembered(open_registry: OpenRegistry):
    async with open_registry() as room:

        def make(tx: Tx) -> tuple[int, int, list[int]]:
            built = make_site(tx)
            user = tx.number("SELECT id FROM domain_user WHERE kind = 1")
            made = [clients.add(tx, built.site.id, user, built.owner_id).id for _ in range(3)]
            return built.site.id, built.service.id, made

        site_id, service_id, made = await room.registry.write(make)
        room.clock.seconds += 60
        now = int(room.clock.seconds)
        await room.write(presence.services_seen, [service_id, service_id + 50])
        assert (await room.read(services.get, service_id)).last_seen_at == now
        told = [(one, "Camera", "Somebody", "Phone") for one in made]
        changes = await room.changes_of(presence.clients_described, told)
        assert changes == {ClientDescribed(site_id, one) for one in made}
        room.clock.seconds += 60
        told[1] = (made[1], "Camera", "Somebody", "Tablet")
        changes = await room.changes_of(presence.clients_described, [*told, (999, "C", "S", "")])
        assert changes == {ClientDescribed(site_id, made[1])}
        for one, said in zip(made, ("Phone", "Tablet", "Phone"), strict=True):
            found = await room.read(clients.get, one)
            assert (found.description, found.last_seen_at) == (said, now + 60)
        assert await room.changes_of(presence.clients_described, told) == set()
        await room.write(presence.clients_described, [])
