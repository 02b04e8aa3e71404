"""The programs of docs/endpoints.md run as they are printed, and meet."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

from gateway.base.secret import Secret
from gateway.registry import services
from tests.endpoint.softnet import softnet

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "endpoints.md"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def _program(number: int, uri: str, password: Secret) -> str:
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)[number]
    body, _, _ = code.rpartition("asyncio.run(")
    return f"{body}asyncio.run(main({uri!r}, {password.reveal()!r}))\n"


async def _start(code: str, folder: Path | None = None) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-u", "-c", code, cwd=folder, env=ENVIRONMENT,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip


async def test_the_examples_meet(tmp_path: Path) -> None:
    async with softnet(tmp_path) as running:
        site = await running.site()
        service_id, uri, password = await running.service_account(site, "Echo")
        service = await _start(_program(0, uri, password))
        try:
            assert service.stdout is not None
            async with asyncio.timeout(15):
                while b"StatusChanged" not in await service.stdout.readline():
                    pass
            client = await _start(_program(1, *await running.client_account(site)))
            out, _ = await client.communicate()
            assert out.decode().splitlines()[-1] == "direct b'hello'"
            assert client.returncode == 0
            async with asyncio.timeout(15):
                while b"Owner is here" not in await service.stdout.readline():
                    pass
        finally:
            service.kill()
            await service.communicate()
        made = await running.registry.read(lambda reader: services.get(reader, service_id))
        assert made.service_type == "Echo"


async def test_the_doorbell_rings(tmp_path: Path) -> None:
    async with softnet(tmp_path) as running:
        site = await running.site()
        _, uri, password = await running.service_account(site, "Doorbell")
        service = await _start(_program(2, uri, password), tmp_path)
        try:
            assert service.stdout is not None
            async with asyncio.timeout(15):
                while b"StatusChanged" not in await service.stdout.readline():
                    pass
            program = _program(3, *await running.client_account(site))
            for _ in range(2):  # the second time it goes on where it was
                client = await _start(program, tmp_path)
                out, _ = await client.communicate()
                lines = out.decode().splitlines()
                assert client.returncode == 0, out
                assert lines.count("Owner rang") == 1
            assert "the door is closed" not in lines
        finally:
            service.kill()
            await service.communicate()
        assert (tmp_path / "doorbell.events").exists()
        assert (tmp_path / "resident.positions").exists()
