"""HTTP to a pinned device, against real servers on loopback."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from gateway.base.entropy import SystemEntropy
from gateway.base.errors import Denied, InvalidInput
from gateway.base.secret import Secret
from gateway.driverkit.addresses import AddressPolicy
from gateway.driverkit.digest import Algorithm, CameraCredentials
from gateway.driverkit.errors import CredentialsRefused, Misbehaved, Unreachable, Unsupported
from gateway.driverkit.http import HttpAccess
from gateway.driverkit.login_gate import Admission, LoginGate

GOOD = CameraCredentials("admin", Secret("p@ss#1"))
POLICY = AddressPolicy(allow_loopback=True)


class Device:
    """A small web server with a login, a redirect or two, and large answers."""

    def __init__(self, gate: LoginGate | None) -> None:
        self.gate = gate
        self.logins: list[Admission] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.gate is not None:
            verdict = self.gate.check(
                request.method, request.raw_path, request.headers.get("Authorization")
            )
            self.logins.append(verdict)
            if verdict is not Admission.ADMITTED:
                answer = web.Response(status=401)
                for offer in self.gate.challenges(stale=verdict is Admission.STALE):
                    answer.headers.add("WWW-Authenticate", offer)
                return answer
        to = request.query.get("to")
        if to:
            return web.Response(status=302, headers={"Location": to})
        if request.path == "/big":
            answer = web.StreamResponse()
            await answer.prepare(request)
            for _ in range(64):
                await answer.write(b"x" * 65536)
            return answer
        if request.path == "/slow":
            await asyncio.sleep(0.6)
        return web.Response(text=f"{request.method} {request.raw_path}")


@asynccontextmanager
async def device(gate: LoginGate | None = None, address: str = ""):
    address = address or f"127.13.{random.randrange(1, 255)}.{random.randrange(1, 255)}"
    served = Device(gate)
    server = web.Server(served.handle, access_log=None)
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, address, 0).start()
    try:
        yield served, runner.addresses[0][0], runner.addresses[0][1]
    finally:
        await runner.cleanup()
        # aiohttp's handlers of connections that were broken off need a few rounds to end.
        for _ in range(200):
            if len(asyncio.all_tasks()) == 1:
                break
            await asyncio.sleep(0.01)


def access(address: str, credentials: CameraCredentials | None = GOOD) -> HttpAccess:
    return HttpAccess(address, credentials=credentials, policy=POLICY, entropy=SystemEntropy())


@pytest.mark.parametrize("offers", [(Algorithm.SHA256, Algorithm.MD5), (Algorithm.MD5,), ()])
async def test_logs_in_once_and_keeps_the_nonce(offers):
    gate = LoginGate(GOOD, realm="x", entropy=SystemEntropy(), offers=offers, basic=not offers)
    async with device(gate) as (served, address, port), access(address) as http:
        for path in ("/a?b=c%20d", "/e", "/f"):
            reply = await http.get(path, port=port)
            assert (reply.status, reply.body) == (200, f"GET {path}".encode())
        assert served.logins == [Admission.MISSING] + [Admission.ADMITTED] * 3


async def test_a_stale_nonce_costs_one_more_request():
    gate = LoginGate(GOOD, realm="x", entropy=SystemEntropy(), nonce_uses=1)
    async with device(gate) as (_, address, port), access(address) as http:
        assert [(await http.get("/a", port=port)).status for _ in range(3)] == [200] * 3


async def test_a_refused_login_is_never_sent_again():
    gate = LoginGate(GOOD, realm="x", entropy=SystemEntropy())
    wrong = CameraCredentials("admin", Secret("wrong"))
    async with device(gate) as (served, address, port):
        async with access(address, wrong) as http:
            for _ in range(3):
                with pytest.raises(CredentialsRefused):
                    await http.get("/a", port=port)
        assert served.logins == [Admission.MISSING, Admission.REFUSED]
        async with access(address, None) as http:
            with pytest.raises(CredentialsRefused):
                await http.get("/a", port=port)


async def test_redirects_stay_on_the_host():
    async with device() as (_, address, port), access(address) as http:
        reply = await http.get("/?to=/there%3Fx=1", port=port)
        assert reply.body == b"GET /there?x=1"
        for elsewhere in ("http://192.0.2.1/", "//192.0.2.1/", "file:///etc/passwd", "http://["):
            with pytest.raises(Misbehaved):
                await http.get(f"/?to={elsewhere}", port=port)
        with pytest.raises(Misbehaved):
            await http.get("/?to=/%3Fto=/%3Fto=/%3Fto=/%3Fto=/x", port=port, timeout_s=5)


async def test_bounds_of_size_and_time():
    async with device() as (_, address, port), access(address) as http:
        with pytest.raises(Misbehaved):
            await http.get("/big", port=port)
        with pytest.raises(Misbehaved):
            await http.get("/12345", port=port, max_octets=4)
        with pytest.raises(Unreachable):
            await http.get("/slow", port=port, timeout_s=0.2)
        assert (await http.get("/big", port=port, max_octets=8_000_000)).status == 200


async def test_what_is_no_http():
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"\x00\xff hello\r\n\r\n")
        writer.close()

    address = f"127.13.{random.randrange(1, 255)}.3"
    server = await asyncio.start_server(answer, address, 0)
    port = server.sockets[0].getsockname()[1]
    async with access(address) as http:
        with pytest.raises((Misbehaved, Unreachable)):
            await http.get("/", port=port)
        server.close()
        await server.wait_closed()
        with pytest.raises(Unreachable):
            await http.get("/", port=port)


async def test_ipv6():
    async with device(address="::1") as (_, address, port), access("::1") as http:
        assert address == "::1"
        assert (await http.get("/six", port=port)).body == b"GET /six"


async def test_a_login_of_unknown_kind():
    class Odd(LoginGate):
        def challenges(self, *, stale: bool = False) -> tuple[str, ...]:
            return ("Negotiate abc",)

    gate = Odd(GOOD, realm="x", entropy=SystemEntropy())
    async with device(gate) as (_, address, port), access(address) as http:
        with pytest.raises(Unsupported):
            await http.get("/", port=port)


def test_what_is_never_asked():
    with pytest.raises(Denied):
        HttpAccess("127.0.0.1", credentials=None, policy=AddressPolicy(), entropy=SystemEntropy())
    with pytest.raises(InvalidInput):
        access("camera.local")


@pytest.mark.parametrize(("path", "port"), [("x", 80), ("/a b", 80), ("/\r\nX: y", 80), ("/", 0)])
async def test_a_bad_path_or_port_is_our_own_mistake(path, port):
    async with access("127.0.0.1") as http:
        with pytest.raises(InvalidInput):
            await http.get(path, port=port)
