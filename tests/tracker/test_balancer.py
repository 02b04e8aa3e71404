"""The balancer over real sockets: all five questions, both families, the public address."""

from __future__ import annotations

import asyncio
import dataclasses
import ipaddress

import pytest

from gateway.model.kinds import ClientCategory, SiteKind
from gateway.registry import sites
from gateway.wire.balancer import BalancerAnswer, BalancerRequest
from gateway.wire.codes import ErrorCode
from tests.support.raw_peer import ask_balancer
from tests.tracker.conftest import OpenServer, Server


async def asked(server: Server, request: BalancerRequest, which: int = 0) -> str | int:
    """Return the address as text, or the error code."""
    answer = await ask_balancer(server.tracker.balancer_addresses[which], request)
    assert answer is not None
    return answer.error_code if answer.address is None else str(answer.address)


async def test_all_five_questions(open_server: OpenServer) -> None:
    async with open_server(server_name="Softnet.Example") as server:
        here = server.address[0]
        for kind in SiteKind:
            site_id = await server.site(kind)
            account, mine = await server.service(site_id), await server.client(site_id)
            site = await server.registry.read(lambda r, s=site_id: sites.get(r, s))
            assert await asked(server, BalancerRequest(None, account.uid)) == here
            assert await asked(server, BalancerRequest("softnet.example", account.uid)) == here
            wrong_name = BalancerRequest("other.example", account.uid)
            assert await asked(server, wrong_name) == ErrorCode.INVALID_SERVER_ENDPOINT
            for category in ClientCategory:
                key = site.site_key if category.stateless else mine.key
                request = BalancerRequest(None, category=category, key=key)
                fits = category.site_kind is kind
                expected = here if fits else ErrorCode.INVALID_CLIENT_CATEGORY
                assert await asked(server, request) == expected
        unknown = BalancerRequest(None, category=ClientCategory.MULTI_SERVICE, key="nosuchkey")
        assert await asked(server, unknown) == ErrorCode.CLIENT_NOT_REGISTERED
        nobody = BalancerRequest(None, b"nobody's service")
        assert await asked(server, nobody) == ErrorCode.SERVICE_NOT_REGISTERED


async def test_both_families_and_the_public_address(open_server: OpenServer) -> None:
    hosts = ("127.15.7.7", "::1")
    async with open_server(bind_addresses=hosts) as server:
        account = await server.service(await server.site())
        for which, host in enumerate(hosts):
            assert await asked(server, BalancerRequest(None, account.uid), which) == host


async def test_the_public_address_stands_in_for_the_local_one(open_server: OpenServer) -> None:
    async with open_server(public_ipv4="203.0.113.9") as server:
        account = await server.service(await server.site())
        assert await asked(server, BalancerRequest(None, account.uid)) == "203.0.113.9"
        assert ipaddress.ip_address("203.0.113.9").version == 4


@pytest.mark.parametrize("question", [b"", b"\x01\x05", b"\x01" * 1025])
async def test_what_is_no_question_gets_no_answer(open_server: OpenServer, question: bytes) -> None:
    async with open_server() as server:
        reader, writer = await asyncio.open_connection(*server.tracker.balancer_addresses[0])
        writer.write(question)
        writer.write_eof()
        try:
            assert await reader.read() == b""
        except ConnectionResetError:
            pass
        writer.close()
        try:
            await writer.wait_closed()
        except ConnectionError:
            pass


async def test_without_the_half_close_nothing_is_answered(open_server: OpenServer) -> None:
    async with open_server(question_limit=0.3) as server:
        account = await server.service(await server.site())
        reader, writer = await asyncio.open_connection(*server.tracker.balancer_addresses[0])
        writer.write(BalancerRequest(None, account.uid).encode())
        started = asyncio.get_running_loop().time()
        assert await reader.read() == b""
        assert asyncio.get_running_loop().time() - started >= 0.25
        writer.close()
        await writer.wait_closed()


OTHER = {
    BalancerRequest(None, b"nobody's service"): ErrorCode.SERVICE_NOT_REGISTERED,
    **{
        BalancerRequest(None, category=category, key="nosuchkey"): ErrorCode.CLIENT_NOT_REGISTERED
        for category in ClientCategory
    },
}


def _spoilt(octets: bytes) -> dict[bytes, ErrorCode]:
    """Return what is wrong in every kind of question alike (01 section 3.3)."""
    return {
        b"\x02" + octets[1:]: ErrorCode.INCOMPATIBLE_PROTOCOL_VERSION,
        octets[:1] + b"\x00" + octets[2:]: ErrorCode.ENDPOINT_DATA_FORMAT_ERROR,
        octets[:1] + b"\x06" + octets[2:]: ErrorCode.ENDPOINT_DATA_FORMAT_ERROR,
        octets[:2] + b"\x31" + octets[3:]: ErrorCode.ENDPOINT_DATA_FORMAT_ERROR,
        octets[:-1]: ErrorCode.ENDPOINT_DATA_FORMAT_ERROR,
        octets[:2] + b"\x30\x02\x05\x00": ErrorCode.ENDPOINT_DATA_FORMAT_ERROR,
        octets[:2] + b"\x30\x05\x16\x03abc": ErrorCode.ENDPOINT_DATA_FORMAT_ERROR,
    }


@pytest.mark.parametrize("host", ["127.33.7.7", "::1"], ids=["ipv4", "ipv6"])
async def test_every_kind_of_question_gets_every_answer(open_server: OpenServer, host: str) -> None:
    """All five kinds over each family: the address, and each error code that a question can get."""
    family, size = (6, 22) if ":" in host else (4, 10)
    async with open_server(bind_addresses=(host,), server_name="softnet.example") as server:
        address = server.tracker.balancer_addresses[0]

        async def answered(octets: bytes) -> tuple[bytes, BalancerAnswer]:
            reader, writer = await asyncio.open_connection(*address)
            writer.write(octets)
            writer.write_eof()
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            return answer, BalancerAnswer.decode(answer, octets, family)  # checks the FNV sum

        good = []
        for kind in SiteKind:
            site_id = await server.site(kind)
            account, mine = await server.service(site_id), await server.client(site_id)
            site = await server.registry.read(lambda r, s=site_id: sites.get(r, s))
            good.append(BalancerRequest("softnet.example", account.uid))
            for category in ClientCategory:
                key = site.site_key if category.stateless else mine.key
                request = BalancerRequest("softnet.example", category=category, key=key)
                if category.site_kind is kind:
                    good.append(request)
                else:
                    _, refused = await answered(request.encode())
                    assert refused.error_code == ErrorCode.INVALID_CLIENT_CATEGORY
        assert {request.encode()[1] for request in good} == {1, 2, 3, 4, 5}
        for request in good:
            octets, found = await answered(request.encode())
            assert len(octets) == size
            assert str(found.address) == host
            named = dataclasses.replace(request, server_name="other.example")
            _, refused = await answered(named.encode())
            assert refused.error_code == ErrorCode.INVALID_SERVER_ENDPOINT
            bare = dataclasses.replace(request, server_name=None).encode()
            for spoilt, code in _spoilt(bare).items():
                octets, refused = await answered(spoilt)
                assert (len(octets), refused.error_code) == (7, code), spoilt.hex()
            if request.key is not None:
                for key in ("abc", "k" * 33):
                    longer = bytes((0x30, len(key) + 2, 0x13, len(key))) + key.encode()
                    _, refused = await answered(bare[:2] + longer)
                    assert refused.error_code == ErrorCode.CLIENT_NOT_REGISTERED
        for request, code in OTHER.items():
            _, refused = await answered(request.encode())
            assert refused.error_code == code
        await server.registry.close()  # a disk that fails looks like that
        for request in good:
            _, refused = await answered(request.encode())
            assert refused.error_code == ErrorCode.DBMS_ERROR
