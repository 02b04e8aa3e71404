"""The JSON API from a token's side: every kind of object made, read, changed and deleted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.model.kinds import Authority
from gateway.registry import devices, services
from gateway.web import (
    fields,
    openapi,
    operations_box,
    operations_cameras,
    operations_people,
    operations_sites,
    shapes,
)
from gateway.web.routing import Side
from gateway.web.table import ROUTES
from tests.web.callers import PASSWORD, Program
from tests.web.rig import (
    CAMERA_PASSWORD,
    JPEG,
    Found,
    Rig,
    Watching,
    add_owner,
    build_structure,
    open_rig,
)


async def _claimed(rig: Rig) -> Program:
    program = Program(rig.url, rig.token)
    claim = {"code": rig.code, "full_name": "Markus Schmidt", "account_name": "markus",
             "password": PASSWORD}  # fmt: skip
    owner = await program.good("POST", "/setup", claim)
    assert owner["authority"] == "administrator"
    return program


async def test_domains_sites_and_services(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        box = await _claimed(rig)
        assert (await box.call("POST", "/domains", {"name": "No owner"}))[0] == 422
        domain = await box.good("POST", "/domains", {"name": "House", "owner_id": 1})
        assert (await box.good("GET", f"/domains/{domain['id']}"))["name"] == "House"
        names = [one["name"] for one in (await box.good("GET", "/domains"))["items"]]
        assert names == ["House", "My Cameras"]
        await box.good("PUT", f"/domains/{domain['id']}/name", {"name": "Home"})
        site = await box.good("POST", f"/domains/{domain['id']}/sites", {})
        assert (site["description"], site["kind"], site["built"]) == (
            "SITE_1", "single_service", False,
        )  # fmt: skip
        assert (await box.good("PUT", f"/sites/{site['id']}/multi"))["kind"] == "multi_service"
        made = await box.good("POST", f"/sites/{site['id']}/services", {"hostname": "Gate"})
        assert made["uri"] == f"softnet-srv://{made['uid']}@gateway.example"
        drawn = await box.good("POST", f"/services/{made['id']}/password")
        assert (drawn["uri"], len(drawn["password"])) == (made["uri"], 16)
        named = await box.good("PUT", f"/services/{made['id']}/hostname", {"hostname": "Door"})
        assert named["hostname"] == "Door"
        off = await box.good("PUT", f"/services/{made['id']}/enabled", {"enabled": False})
        assert off["enabled"] is False
        status, problem = await box.call(
            "PUT", f"/services/{made['id']}/ping-period", {"ping_period": 5}
        )
        assert (status, problem["field"]) == (422, "ping_period")
        await box.good("PUT", f"/services/{made['id']}/ping-period", {"ping_period": 60})
        status, problem = await box.call("POST", f"/services/{made['id']}/apply-structure")
        assert (status, "not declared" in problem["detail"]) == (409, True)
        listed = (await box.good("GET", f"/sites/{site['id']}/services"))["items"]
        assert [(one["hostname"], one["ping_period"], one["has_password"]) for one in listed] == [
            ("Service1", 0, False), ("Door", 60, True),
        ]  # fmt: skip
        await box.good("DELETE", f"/services/{made['id']}")
        await box.good("DELETE", f"/sites/{site['id']}")
        await box.good("DELETE", f"/domains/{domain['id']}")
        assert (await box.call("GET", f"/sites/{site['id']}"))[0] == 404
        await box.close()


async def test_users_roles_and_clients(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        box = await _claimed(rig)
        await rig.registry.write(lambda tx: build_structure(tx, 1))
        user = await box.good("POST", "/domains/1/users", {"name": "Alison"})
        status, problem = await box.call("POST", "/domains/1/users", {"name": "ALISON"})
        assert (status, problem["type"].rpartition(":")[2]) == (409, "conflict")
        status, problem = await box.call("POST", "/domains/1/users", {"name": "<b>"})
        assert (status, problem["field"]) == (422, "name")
        status, problem = await box.call("POST", "/sites/1/clients", {"user_id": user["id"]})
        assert (status, "no rights" in problem["detail"]) == (422, True)
        roles = {
            one["name"]: one["id"] for one in (await box.good("GET", "/sites/1/roles"))["items"]
        }
        assert list(roles) == ["Administrator", "Operator", "User"]
        await box.good(
            "PUT", "/sites/1/rights/roles", {"user_id": user["id"], "role_ids": [roles["User"]]}
        )
        rights = {one["user"]["name"]: one
                  for one in (await box.good("GET", "/sites/1/rights"))["items"]}  # fmt: skip
        assert rights["Alison"]["explicit_roles"] == ["User"]
        assert rights["Owner"]["explicit_roles"] == ["Administrator"]
        assert rights["Guest"]["allowed"] is False
        await box.good("PUT", "/sites/1/default-role", {"role_id": roles["Operator"]})
        await box.good("PUT", "/sites/1/default-role", {"role_id": None})
        client = await box.good("POST", "/sites/1/clients", {"user_id": user["id"]})
        assert client["uri"] == f"softnet-m://{client['key']}@gateway.example"
        assert (client["creator_id"], client["has_password"]) == (1, False)
        drawn = await box.good("POST", f"/clients/{client['id']}/password")
        assert drawn["uri"] == client["uri"]
        listed = await box.good("GET", "/sites/1/clients")
        assert listed["items"][0]["has_password"] is True
        assert drawn["password"] not in json.dumps(listed)
        rig.live.client_online(1, client["id"])
        assert (await box.good("GET", "/sites/1/clients"))["items"][0]["online"] is True
        await box.good("PUT", f"/clients/{client['id']}/ping-period", {"ping_period": 30})
        await box.good("PUT", f"/users/{user['id']}/dedicated", {"dedicated": True})
        await box.good("PUT", f"/users/{user['id']}/enabled", {"enabled": False})
        await box.good("DELETE", f"/clients/{client['id']}")
        assert (await box.good("GET", "/sites/1/clients"))["items"] == []
        await box.good("DELETE", f"/users/{user['id']}")
        audit = (await box.good("GET", "/audit?limit=200"))["items"]
        assert drawn["password"] not in json.dumps(audit)
        actions = [one["action"] for one in reversed(audit) if one["outcome"] == "done"]
        assert actions[:4] == ["claim", "user.add", "rights.roles", "site.default-role"]
        assert actions[-2:] == ["client.delete", "user.delete"]
        await box.close()


async def test_a_site_without_roles(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        box = await _claimed(rig)
        plain = {"user_id": 1}
        status, problem = await box.call("POST", "/sites/1/rights/users", plain)
        assert (status, "blank" in problem["detail"]) == (409, True)
        await rig.registry.write(lambda tx: build_structure(tx, 1))
        status, problem = await box.call("POST", "/sites/1/rights/users", plain)
        assert (status, "by roles" in problem["detail"]) == (409, True)
        assert (await box.call("PUT", "/sites/1/implicit-users", {"allowed": True}))[0] == 409
        await box.good("PUT", "/sites/1/guests", {"allowed": True})
        guest = next(one for one in (await box.good("GET", "/domains/1/users"))["items"]
                     if one["kind"] == "guest")  # fmt: skip
        made = await box.good("POST", "/sites/1/clients", {"user_id": guest["id"]})
        assert made["user_kind"] == "guest"
        await box.good("DELETE", f"/clients/{made['id']}")
        await box.close()


async def test_accounts(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        box = await _claimed(rig)
        fresh = {"account_name": "julia", "full_name": "Julia Robinson", "password": PASSWORD}
        owner = await box.good("POST", "/owners", fresh)
        assert owner["authority"] == "consumer"
        assert (await box.call("POST", "/owners", fresh))[0] == 409
        assert (await box.call("POST", "/owners", {**fresh, "password": "short"}))[0] == 422
        path = f"/owners/{owner['id']}"
        await box.good("PUT", f"{path}/authority", {"authority": "provider"})
        await box.good("POST", f"{path}/password", {"password": "another one 99"})
        julia = rig.browser()
        await julia.sign_in("julia", "another one 99")
        await julia.close()
        await box.good("PUT", f"{path}/enabled", {"enabled": False})
        status, problem = await box.call("PUT", "/owners/1/enabled", {"enabled": False})
        assert (status, "last administrator" in problem["detail"]) == (409, True)
        assert len((await box.good("GET", "/owners"))["items"]) == 2
        await box.good("DELETE", path)
        status = await box.good("GET", "/status")
        assert (status["claimed"], status["cameras"]) == (True, 0)
        await box.close()


async def test_cameras_and_sessions(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        box = await _claimed(rig)
        rig.cameras.here = [Found("serial:1", "Front door", "Acme", "Dome 4")]
        assert (await box.good("GET", "/cameras/found"))["items"][0]["identity"] == "serial:1"
        login = {"where": "serial:1", "user": "admin", "password": "wrong"}
        status, problem = await box.call("POST", "/cameras/probe", login)
        assert (status, problem["field"]) == (422, "password")
        login["password"] = CAMERA_PASSWORD
        probed = await box.good("POST", "/cameras/probe", login)
        assert (probed["has_picture"], probed["streams"][0]["width"]) == (True, 1920)
        camera = await box.good("POST", "/cameras", {**login, "name": "Front door", "site_id": 1})
        assert (camera["name"], camera["site_id"]) == ("Front door", 1)
        device = camera["device_id"]
        assert await box.good("GET", f"/cameras/{device}/snapshot") == JPEG
        assert (await box.good("GET", "/cameras"))["items"][0]["device_id"] == device
        # What a camera stands for is not pulled from under it.
        status, problem = await box.call("DELETE", f"/services/{camera['service_id']}")
        assert (status, "Forget it" in problem["detail"]) == (409, True)
        assert (await box.call("DELETE", "/sites/1"))[0] == 409
        assert (await box.call("DELETE", "/domains/1"))[0] == 409
        assert (await box.call("POST", f"/services/{camera['service_id']}/password"))[0] == 409
        await box.good("PUT", f"/cameras/{device}/name", {"name": "Gate"})
        await box.good("PUT", f"/cameras/{device}/credentials", {"user": "u", "password": "p"})
        given = rig.cameras.credentials[device]
        assert given is not None
        assert (given.user, given.password.reveal()) == ("u", "p")
        assert (await box.call("PUT", f"/cameras/{device}/credentials", {"password": "p"}))[
            0
        ] == 422
        rig.cameras.watched["7"] = Watching("7", device, "Gate")
        assert (await box.good("GET", "/sessions"))["items"][0]["user"] == "Alison"
        await box.good("POST", "/sessions/end", {"session": "7"})
        assert (await box.call("POST", "/sessions/end", {"session": "7"}))[0] == 404
        await box.good("DELETE", f"/cameras/{device}")
        assert (await box.call("GET", f"/cameras/{device}/snapshot"))[0] == 404
        left = await rig.registry.read(
            lambda reader: (devices.list_all(reader), services.list_for(reader, 1))
        )
        assert left == ((), ())
        audit = json.dumps(await box.good("GET", "/audit"))
        assert CAMERA_PASSWORD not in audit
        await box.close()


async def test_refusals_are_in_the_audit_and_bounded(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        box = await _claimed(rig)
        await add_owner(rig.registry, "julia", Authority.PROVIDER)
        julia = rig.browser()
        await julia.sign_in("julia")
        for _ in range(50):
            assert (await julia.post("/sites/1/enabled", {"enabled": "0"}))[0] == 404
            headers = {"X-CSRF-Token": julia.csrf}
            async with julia.session.put(
                f"{rig.url}/api/v1/sites/1/enabled", json={"enabled": False}, headers=headers
            ) as answer:
                assert answer.status == 404
        denied = [one for one in (await box.good("GET", "/audit?limit=500"))["items"]
                  if one["outcome"] == "denied"]  # fmt: skip
        assert 0 < len(denied) <= 30
        assert denied[0]["actor_id"] == 2
        await julia.close()
        await box.close()


def test_the_description_names_every_call():
    document = openapi.document(ROUTES)
    told = {(method.upper(), path) for path, of in document["paths"].items() for method in of}
    assert told == {(route.method, route.path) for route in ROUTES if route.side is Side.API}
    identifiers = [one["operationId"] for of in document["paths"].values() for one in of.values()]
    assert len(identifiers) == len(set(identifiers))
    text = json.dumps(document)
    for name in {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in document["components"]["schemas"], name


async def test_answers_are_as_described(tmp_path: Path):
    """What a call answers has exactly the properties that its shape declares."""
    async with open_rig(tmp_path) as rig:
        box = await _claimed(rig)
        document = await box.good("GET", "/openapi.json")
        schemas = document["components"]["schemas"]
        rig.cameras.here = [Found("serial:1")]
        await rig.cameras.adopt(1, 1, "serial:2", None, "Gate")
        for path, name in (
            ("/domains", "Domain"), ("/domains/1/sites", "Site"), ("/sites/1/services", "Service"),
            ("/domains/1/users", "User"), ("/owners", "Owner"), ("/tokens", "Token"),
            ("/cameras/found", "FoundCamera"), ("/cameras", "Camera"), ("/audit", "AuditEntry"),
        ):  # fmt: skip
            for item in (await box.good("GET", path))["items"]:
                assert set(item) == set(schemas[name]["properties"]), path
        await box.close()


def test_every_operation_is_in_the_table():
    rooms = (operations_box, operations_cameras, operations_people, operations_sites)
    declared = {
        id(value): name
        for room in rooms
        for name, value in vars(room).items()
        if type(value).__name__ in ("Operation", "Query")
    }
    used = {id(route.operation or route.query) for route in ROUTES}
    assert {name for key, name in declared.items() if key not in used} == set()


def test_a_secret_has_no_shape():
    with pytest.raises(TypeError):
        shapes.plain(fields.Secret("x"))
