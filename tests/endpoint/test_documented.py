"""The programs of docs/endpoints.md run as they are printed, and meet."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from gateway.base.secret import Secret
from gateway.model.kinds import SiteKind
from gateway.registry import services, sites
from gateway.registry.database import Tx
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
        uri, _ = await running.client_account(site)
        mistaken = await _start(_program(1, uri, Secret("not the password")))
        out, _ = await mistaken.communicate()
        assert mistaken.returncode == 1
        assert "password" in out.decode().lower()


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


async def _said(process: asyncio.subprocess.Process, words: bytes, seconds: float = 20) -> None:
    assert process.stdout is not None
    async with asyncio.timeout(seconds):
        while words not in (line := await process.stdout.readline()):
            assert line, f"the program ended before it said {words!r}"


async def _lines(program: str) -> list[str]:
    client = await _start(program)
    out, _ = await client.communicate()
    assert client.returncode == 0, out
    return out.decode().splitlines()


@pytest.mark.timeout_s(60)
async def test_the_thermometer_is_read(tmp_path: Path) -> None:
    async with softnet(tmp_path) as running:
        site = await running.site()
        _, uri, password = await running.service_account(site, "Thermometer")
        service = await _start(_program(4, uri, password))
        try:
            await _said(service, b"status=<ServiceStatus.ONLINE")
            for _ in range(2):
                lines = await _lines(_program(5, *await running.client_account(site)))
                assert lines == ["21.5 for cellar"]
        finally:
            service.kill()
            await service.communicate()


@pytest.mark.timeout_s(60)
@pytest.mark.parametrize("kind", SiteKind)
async def test_the_workshop_knows_its_people(tmp_path: Path, kind: SiteKind) -> None:
    """A user with the owner's role, one with none, and a guest without an account."""
    async with softnet(tmp_path) as running:
        site = await running.site(kind)
        _, uri, password = await running.service_account(site, "Cellar")
        service = await _start(_program(6, uri, password))
        try:
            await _said(service, b"status ONLINE")

            def open_up(tx: Tx) -> str:
                sites.set_guest_allowed(tx, site, allowed=True)
                return sites.get(tx, site).site_key

            key = await running.registry.write(open_up)
            await _said(service, b"and guests")
            lines = await _lines(_program(7, *await running.client_account(site)))
            tail = "wants wood"
            assert [line for line in lines if line.startswith("port")] == [
                *(f"port {n} Owner ['Master'] at {n} {tail}" for n in (1, 2, 3)), "port 4 121",
            ]  # fmt: skip
            assert "swept" in lines
            assert "not swept 7" in lines
            assert lines[-1] == "connection closed"
            assert any(line.startswith("light") for line in lines)
            assert any("services" in line and "True" in line for line in lines)

            scheme = "softnet-ss" if kind is SiteKind.SINGLE_SERVICE else "softnet-ms"
            guest = _program(7, f"{scheme}://{key}@{running.host}", Secret(""))
            lines = await _lines(guest)
            # Nobody vouches for this service: the server refuses anonymous guests in its place.
            assert [line for line in lines if line.startswith("port")] == [
                f"port {number} 112" for number in (1, 2, 3, 4)
            ]
            assert lines.count("not swept 112") == 2
            assert any(line.startswith("light") for line in lines)
        finally:
            service.kill()
            await service.communicate()


@pytest.mark.timeout_s(60)
async def test_the_gate_is_opened_through_a_local_port(tmp_path: Path) -> None:
    async with softnet(tmp_path) as running:
        site = await running.site()
        _, uri, password = await running.service_account(site, "Front Gate")
        service = await _start(_program(8, uri, password), tmp_path)
        try:
            for words in (b"listened on already", b"no role 'Thief'", b"Burglar"):
                await _said(service, words)
            lines = await _lines(_program(9, *await running.client_account(site)))
            assert lines[:2] == ["The event 'Visitor' is subscribed to already.", "105"]
            assert "no event Burglar" in lines
            assert "opened for me" in lines
            assert lines[-2:] == ["site True connected", "handled ['Visitor']"]
            await _said(service, b"open at Front Gate")
            await _said(service, b"not listened on any more")
            assert await service.wait() == 0
        finally:
            if service.returncode is None:
                service.kill()
            await service.communicate()
        assert (tmp_path / "gate.events").exists()
