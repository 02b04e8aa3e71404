"""What no server would take of an application is refused at once (01 section 15)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.base.errors import InvalidInput
from gateway.endpoint import (
    EMPTY,
    ClientEndpoint,
    EndpointSettings,
    GuestAccess,
    GuestRule,
    IncomingCall,
    RolesRule,
    Secret,
    SequenceWriter,
    ServiceEndpoint,
    SiteStructure,
    TaskRoom,
)
from tests.endpoint.softnet import softnet

SERVICE = "softnet-srv://00112233-4455-6677-8899-aabbccddeeff@server"
ROLES = SiteStructure("Lamp", "Example", roles=("Owner", "User"), owner_role="Owner")
PLAIN = SiteStructure("Lamp", "Example")


def service(room: TaskRoom, **given: Any) -> ServiceEndpoint:
    given = {"password": Secret("x"), "structure": ROLES, **given}
    return ServiceEndpoint(SERVICE, given.pop("password"), room=room, **given)


def client(room: TaskRoom, scheme: str = "softnet-m", **given: Any) -> ClientEndpoint:
    given = {"password": Secret("x"), "service_type": "Lamp", "contract_author": "E", **given}
    return ClientEndpoint(f"{scheme}://abcd1234@server", given.pop("password"), room=room, **given)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"password": Secret("")}, "password"),
        ({"password": Secret("x" * 257)}, "password"),
        ({"password": "x"}, "password"),
        ({"password": None}, "password"),
        ({"version": "1" * 65}, "version"),
        ({"version": "über 1"}, "version"),
        ({"settings": EndpointSettings(ping_period=9)}, "ping_period"),
        ({"settings": EndpointSettings(ping_period=301)}, "ping_period"),
        ({"structure": SiteStructure("", "Example")}, "service_type"),
    ],
    ids=str,
)
async def test_of_a_service(given: dict[str, Any], field: str) -> None:
    async with TaskRoom("test") as room:
        with pytest.raises(InvalidInput) as refused:
            service(room, **given)
        assert refused.value.field == field


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"password": None}, "password"),
        ({"password": Secret("x" * 257)}, "password"),
        ({"service_type": ""}, "service_type"),
        ({"service_type": "Tür"}, "service_type"),
        ({"contract_author": "9"}, "contract_author"),
        ({"description": "d" * 257}, "description"),
        ({"settings": EndpointSettings(ping_period=5)}, "ping_period"),
    ],
    ids=str,
)
async def test_of_a_client(given: dict[str, Any], field: str) -> None:
    async with TaskRoom("test") as room:
        with pytest.raises(InvalidInput) as refused:
            client(room, **given)
        assert refused.value.field == field


async def test_what_is_at_the_bounds_is_taken() -> None:
    async with TaskRoom("test") as room:
        for ping in (0, 10, 300):
            settings = EndpointSettings(ping_period=ping)
            service(room, password=Secret("x" * 256), version="1" * 64, settings=settings)
            client(room, password=Secret("y"), description="d" * 256, settings=settings)
        client(room, "softnet-ms", password=None)


async def test_a_rule_names_roles_that_the_site_has() -> None:
    """Nobody could ever hold another; the reference refuses it too (02, 4.1 and 03, 1.3)."""

    async def answer(_call: IncomingCall) -> bytes:
        return EMPTY

    async with TaskRoom("test") as room:
        with_roles, plain = service(room), service(room, structure=PLAIN)
        for endpoint, names in ((with_roles, ("User", "user")), (plain, ("User",))):
            rule = RolesRule(names)
            for attempt in (
                lambda e=endpoint, r=rule: e.listen(1, rule=r),
                lambda e=endpoint, r=rule: e.listen_udp(1, rule=r),
                lambda e=endpoint, r=rule: e.offer("Do", answer, rule=r),
            ):
                with pytest.raises(InvalidInput) as refused:
                    attempt()
                assert refused.value.field == "rule"
        for endpoint in (with_roles, plain):  # what was refused left nothing in its place
            endpoint.listen(1, rule=GuestRule(GuestAccess.GUEST_DENIED))
            endpoint.offer("Do", answer)
        with_roles.listen_udp(1, rule=RolesRule(("User",)))
        for number in (-(1 << 31) - 1, 1 << 31):
            with pytest.raises(InvalidInput):
                with_roles.listen(number)
        await with_roles.close()
        await plain.close()


async def test_trap_t13_what_cannot_be_asked_for_leaves_nothing_and_the_session_goes_on(
    tmp_path: Path,
) -> None:
    """The reference's client refuses a long tag too, but has the request in its table by then."""
    async with softnet(tmp_path, direct=False) as running:
        site = await running.site()
        await running.online_service(site)
        asking, heard = await running.online_client(site)
        await heard.until(lambda: any(found.online for found in asking.services))
        remote, before = asking.services[0].id, len(heard.events)
        tags = (b"", b"\x30", SequenceWriter().octets(bytes(127)).encode(), EMPTY + b"\0")
        for tag in tags:
            for connect in (asking.connect_tcp, asking.connect_udp):
                with pytest.raises(InvalidInput):
                    await connect(remote, 554, session_tag=tag)
            with pytest.raises(InvalidInput):
                await asking.call(remote, "Look", session_tag=tag)
        for number in (-(1 << 31) - 1, 1 << 31):
            with pytest.raises(InvalidInput):
                await asking.connect_tcp(remote, number)
        assert not asking._departures
        assert not asking._calls
        session = asking._session
        assert session is not None
        assert not session._requests  # type: ignore[attr-defined]
        assert len(heard.events) == before
