"""What a write confirmed is there after the process was killed in the middle of others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.base.clock import SystemClock
from gateway.base.entropy import SystemEntropy
from gateway.registry import audit, domains, settings
from gateway.registry.database import Registry

# Prints the number of each transaction after its commit was confirmed, until it is killed. Each
# transaction writes three rows that only make sense together.
CHILD = """
import asyncio, sys
from pathlib import Path
from gateway.base.clock import SystemClock
from gateway.base.entropy import SystemEntropy
from gateway.registry import audit, domains, owners, settings
from gateway.registry.database import Registry
from gateway.registry.passwords import PasswordRecord

async def main():
    registry = await Registry.open(Path(sys.argv[1]), clock=SystemClock(), entropy=SystemEntropy())
    known = await registry.read(owners.count)
    if not known:
        await registry.write(
            lambda tx: owners.add(tx, "markus", "Markus", PasswordRecord("$x")))
    number = int(await registry.read(lambda r: settings.get(r, "number")) or 0)
    while True:
        number += 1
        def one(tx):
            settings.put(tx, "number", str(number))
            audit.append(tx, None, "", "count", str(number), "x" * 2000)
            if number % 20 == 0:
                domain = domains.add(tx, 1, f"D{number}")
            elif number % 20 == 10 and number > 10:
                domains.delete(tx, domains.list_for(tx, 1)[0].id)
        await registry.write(one)
        print(number, flush=True)

asyncio.run(main())
"""
KILLS = 6


async def _state(path: Path) -> tuple[int, int, int | None, int]:
    registry = await Registry.open(path, clock=SystemClock(), entropy=SystemEntropy())
    try:
        number = int(await registry.read(lambda reader: settings.get(reader, "number")) or 0)
        chain = await registry.read(audit.verify)
        users = await registry.read(
            lambda reader: (
                reader.number(
                    "SELECT count(*) FROM domain_user u WHERE NOT EXISTS"
                    " (SELECT 1 FROM domain d WHERE d.id = u.domain_id)"
                )
                + abs(
                    2 * len(domains.list_for(reader, 1))
                    - reader.number("SELECT count(*) FROM domain_user")
                )
            )
        )
        return number, chain.rows, chain.broken_at, users
    finally:
        await registry.close()


@pytest.mark.timeout_s(90)
async def test_killed_in_the_middle_of_writes(tmp_path):
    path = tmp_path / "registry.sqlite"
    last_seen = 0
    for round_number in range(KILLS):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path)],
            stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        assert child.stdout is not None
        with child:
            for line in child.stdout:
                if int(line) >= last_seen + 40 + 7 * round_number:
                    break
            os.kill(child.pid, signal.SIGKILL)
            confirmed = [int(line) for line in child.stdout.read().split("\n")[:-1]]
            last_line = confirmed[-1] if confirmed else int(line)
        number, rows, broken_at, stray = await _state(path)
        assert number >= last_line, "a confirmed transaction is gone"
        assert number <= last_line + 1, "more was there than was ever begun"
        assert (rows, broken_at) == (number, None), "the three rows did not stay together"
        assert stray == 0
        last_seen = number
