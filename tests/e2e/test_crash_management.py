"""The daemon is killed at any moment of 200 management operations; nothing confirmed is lost.

The operations go through the JSON API of `softnet-gateway run`, with a service and a client of
ours connected. After each kill and restart the registry is compared with a model of what was
confirmed: that is there, and the one operation in flight is there whole or not at all; and the
endpoints come back and see exactly the users and services that the registry holds.

The seed is printed; SEED=n repeats a run, SOAK=n makes n times as many operations and kills.
"""

from __future__ import annotations

import asyncio
import copy
import os
import random
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from gateway.base.clock import SystemClock
from gateway.base.entropy import SystemEntropy
from gateway.base.secret import Secret
from gateway.endpoint.client import ClientEndpoint
from gateway.endpoint.service import ServiceEndpoint
from gateway.endpoint.session import Endpoint
from gateway.model.kinds import ClientStatus, ServiceStatus
from gateway.net.tasks import TaskRoom
from tests.e2e.crash_estate import ROLES, Act, Box, Estate, State, same
from tests.endpoint.softnet import QUICK
from tests.web.rig import CONTRACT

SOAK = int(os.environ.get("SOAK") or 0)
OPERATIONS, KILLS = 200 * max(1, SOAK), 10 * max(1, SOAK)
LONGEST = 0.015
"""Seconds from an operation's request to the kill, at most; most take 2 to 10 ms."""
PATIENCE = 60.0
"""Seconds for the endpoints to be back; they take less than two on an idle machine."""


async def until(
    endpoints: tuple[Endpoint, ...], holds: Callable[[], bool], what: Callable[[], object]
) -> None:
    """Wait for what endpoints hear to make something true."""
    heard = asyncio.Event()
    unsubscribes = [endpoint.subscribe(lambda _: heard.set()) for endpoint in endpoints]
    try:
        async with asyncio.timeout(PATIENCE):
            while not holds():
                heard.clear()
                await heard.wait()
    except TimeoutError:
        raise AssertionError(str(what())) from None
    finally:
        for unsubscribe in unsubscribes:
            unsubscribe()


async def join(estate: Estate, room: TaskRoom) -> tuple[ServiceEndpoint, ClientEndpoint]:
    """Connect a service, whose structure builds the site, and a client of a user of it."""
    box = estate.box
    drawn = await box.good("POST", f"/services/{estate.service}/password")
    parts = {"room": room, "clock": SystemClock(), "entropy": SystemEntropy()}
    service = ServiceEndpoint(
        drawn["uri"], Secret(drawn["password"]), structure=CONTRACT, settings=QUICK, **parts
    )
    service.connect()
    await until((service,), lambda: service.status is ServiceStatus.ONLINE, lambda: service.status)
    estate.roles = {
        one["name"]: one["id"] for one in await box.items(f"/sites/{estate.site}/roles")
    }
    assert set(estate.roles) == set(ROLES)
    alison = await box.good("POST", f"/domains/{estate.domain}/users", {"name": "Alison"})
    rights = {"user_id": alison["id"], "role_ids": [estate.roles["User"]]}
    await box.good("PUT", f"/sites/{estate.site}/rights/roles", rights)
    made = await box.good("POST", f"/sites/{estate.site}/clients", {"user_id": alison["id"]})
    estate.viewer = made["key"]
    drawn = await box.good("POST", f"/clients/{made['id']}/password")
    client = ClientEndpoint(
        drawn["uri"], Secret(drawn["password"]), service_type=CONTRACT.service_type,
        contract_author=CONTRACT.contract_author, settings=QUICK, **parts,
    )  # fmt: skip
    client.connect()
    await until((client,), lambda: client.status is ClientStatus.ONLINE, lambda: client.status)
    return service, client


async def see_the_same(estate: Estate, service: ServiceEndpoint, client: ClientEndpoint) -> None:
    """Wait until the endpoints are back and see what the registry holds."""
    users = sorted(
        one["user"]["name"]
        for one in estate.rights
        if one["allowed"] and one["user"]["enabled"] and one["user"]["kind"] != "guest"
    )
    state = estate.state
    hosts = sorted(name for name, (enabled, _) in state["services"].items() if enabled)

    def seen() -> tuple[object, ...]:
        return (
            service.status, sorted(one.name for one in service.members),
            client.status, sorted(one.hostname for one in client.services),
        )  # fmt: skip

    wanted = (ServiceStatus.ONLINE, users, ClientStatus.ONLINE, hosts)
    await until((service, client), lambda: seen() == wanted, lambda: f"{seen()}\n{wanted}")


async def killed(box: Box, act: Act, seconds: float) -> bool:
    """Kill the daemon so long after an operation was asked for; tell whether that was confirmed."""
    method, path, body, _ = act
    asked = asyncio.ensure_future(box.call(method, path, body))
    await asyncio.sleep(seconds)
    await box.kill()
    try:
        status, _ = await asked
    except (aiohttp.ClientError, OSError, ValueError):
        return False
    return status < 300


@pytest.mark.timeout_s(400 * max(1, SOAK))
async def test_what_was_confirmed_is_there_after_each_kill(tmp_path: Path) -> None:
    seed = int(os.environ.get("SEED") or random.randrange(1 << 32))
    print("seed", seed)
    chance = random.Random(seed)
    address = f"127.16.{random.randint(1, 250)}.{random.randint(2, 250)}"
    box = Box(tmp_path / "state", address)
    estate = Estate(box, chance)
    room = TaskRoom("crash")
    outcomes: Counter[str] = Counter()
    try:
        await box.start()
        await estate.furnish()
        service, client = await join(estate, room)
        state = await estate.observe()
        await see_the_same(estate, service, client)
        kills = set(chance.sample(range(10, OPERATIONS), KILLS))
        for number in range(OPERATIONS):
            act = estate.act(state)
            method, path, body, effect = act
            expected: State = copy.deepcopy(state)
            effect(expected)
            if number not in kills:
                answer = await box.good(method, path, body)
                state = expected
                estate.learn(method, path, answer, state)
                continue
            confirmed = await killed(box, act, chance.uniform(0, LONGEST))
            await box.start()
            seen = await estate.observe()
            done, undone = same(seen, expected), same(seen, state)
            outcomes["confirmed" if confirmed else "done" if done else "not done"] += 1
            assert done or (undone and not confirmed), (act[:3], confirmed, state, seen)
            state = seen
            await see_the_same(estate, service, client)
        assert same(await estate.observe(), state)
        await see_the_same(estate, service, client)
        chain = await box.good("GET", "/audit/chain")
        assert chain["whole"], chain
        assert chain["rows"] > OPERATIONS - KILLS
        await service.close()
        await client.close()
    finally:
        await box.kill()
        await room.close()
    print(dict(outcomes))
    assert outcomes.total() == KILLS
    with sqlite3.connect(tmp_path / "state" / "registry.sqlite") as file:
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert file.execute("PRAGMA foreign_key_check").fetchall() == []
    file.close()
