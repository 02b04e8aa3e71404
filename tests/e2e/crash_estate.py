"""The daemon that is killed while it is managed, and a model of what was confirmed to it."""

from __future__ import annotations

import asyncio
import copy
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp

from tests.web.callers import PASSWORD

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0
ROLES = ("Administrator", "Operator", "User")

State = dict[str, Any]
Act = tuple[str, str, dict[str, Any], Callable[[State], None]]
"""Method, path, body, and what it does to the state."""


class Box:
    """The daemon on an address of its own, and a program that manages it."""

    def __init__(self, state: Path, address: str) -> None:
        self.state, self.address = state, address
        self.process: subprocess.Popen[bytes] | None = None
        self.session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        bound = [
            f"--set={room}.bind_addresses={self.address}" for room in ("server", "relay", "web")
        ]
        with (self.state.parent / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "run", "--state", str(self.state), *bound,
                 "--set=discovery.enabled=false", "--set=discovery.announce_gateway=false"],
                cwd=ROOT, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.session = aiohttp.ClientSession()
        async with asyncio.timeout(START_SECONDS):
            while True:
                assert self.process.poll() is None, (self.state.parent / "log").read_text()[-2000:]
                with suppress(aiohttp.ClientError, OSError):
                    async with self.session.get(f"http://{self.address}:8080/health") as answer:
                        assert answer.status == 200
                        return
                await asyncio.sleep(0.05)  # the program tells a service manager only

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        assert self.session is not None
        headers = {}
        if path != "/setup":
            headers["Authorization"] = f"Bearer {(self.state / 'api.token').read_text().strip()}"
        url = f"http://{self.address}:8080/api/v1{path}"
        async with self.session.request(method, url, json=body, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    async def good(self, method: str, path: str, body: Any = None) -> Any:
        status, found = await self.call(method, path, body)
        assert status < 300, (method, path, body, found)
        return found

    async def items(self, path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.good("GET", path))["items"]
        return found

    async def kill(self) -> None:
        """End the daemon and the processes that it started, without a word."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(timeout=30)
            self.process = None
        if self.session is not None:
            await self.session.close()
            self.session = None


class Estate:
    """What is managed: a site with its users, services and clients, and domains beside it."""

    def __init__(self, box: Box, chance: random.Random) -> None:
        self.box, self.chance = box, chance
        self.numbers = 0
        self.ids: dict[str, dict[str, int]] = {}
        self.roles: dict[str, int] = {}
        self.viewer = ""
        """The key of the client that is connected; it stays."""

    async def furnish(self) -> None:
        code = (self.box.state / "setup-code").read_text().strip()
        await self.box.good("POST", "/setup", {
            "code": code, "full_name": "Markus Schmidt", "account_name": "markus",
            "password": PASSWORD,
        })  # fmt: skip
        made = await self.box.good("POST", "/domains", {"name": "House", "owner_id": 1})
        self.domain = made["id"]
        site = {"description": "Cameras", "kind": "multi"}
        self.site = (await self.box.good("POST", f"/domains/{self.domain}/sites", site))["id"]
        gate = {"hostname": "Gate"}
        self.service = (await self.box.good("POST", f"/sites/{self.site}/services", gate))["id"]

    async def observe(self) -> State:
        """Return what the registry holds, by names, and keep the ids."""
        items = self.box.items
        users = await items(f"/domains/{self.domain}/users")
        rights = await items(f"/sites/{self.site}/rights")
        services = await items(f"/sites/{self.site}/services")
        clients = await items(f"/sites/{self.site}/clients")
        domains = await items("/domains")
        site = await self.box.good("GET", f"/sites/{self.site}")
        self.rights = rights
        self.ids = {
            "users": {one["name"]: one["id"] for one in users},
            "services": {one["hostname"]: one["id"] for one in services},
            "clients": {one["key"]: one["id"] for one in clients},
            "domains": {one["name"]: one["id"] for one in domains},
        }
        given = {one["user"]["name"]: frozenset(one["explicit_roles"]) for one in rights}
        named = {number: name for name, number in self.roles.items()}
        for one in domains:  # whole: no domain without its two users
            kinds = Counter(user["kind"] for user in await items(f"/domains/{one['id']}/users"))
            assert (kinds["owner"], kinds["guest"]) == (1, 1), one
        self.state: State = {
            "users": {
                one["name"]: (one["enabled"], one["dedicated"], given[one["name"]])
                for one in users
            },
            "services": {
                one["hostname"]: (one["enabled"], one["ping_period"]) for one in services
            },
            "clients": {
                one["key"]: (one["user_name"], one["ping_period"], one["has_password"])
                for one in clients
            },
            "domains": sorted(one["name"] for one in domains),
            "site": (
                site["description"], site["guest_allowed"], named.get(site["default_role_id"]),
            ),
        }  # fmt: skip
        return copy.deepcopy(self.state)

    def act(self, state: State) -> Act:
        """Return an operation that can be done now."""
        while True:
            name = self.chance.choice(
                "user user_change user_roles user_delete service service_change service_delete"
                " client client client_change client_delete domain domain_change domain_delete"
                " site".split()
            )
            if found := getattr(self, f"_{name}")(state):
                act: Act = found
                return act

    def _fresh(self, word: str) -> str:
        self.numbers += 1
        return f"{word} {self.numbers}"

    def _one(self, state: State, kind: str, word: str) -> str:
        """Return one of ours of this kind, '' without any."""
        return self.chance.choice([one for one in state[kind] if one.startswith(word)] or [""])

    def _user(self, state: State) -> Act:
        name = self._fresh("User")
        done: Any = lambda new: new["users"].update({name: (True, False, frozenset())})  # noqa: E731
        return "POST", f"/domains/{self.domain}/users", {"name": name}, done

    def _user_change(self, state: State) -> Act | None:
        if not (name := self._one(state, "users", "User")):
            return None
        path = f"/users/{self.ids['users'][name]}"
        enabled, dedicated, roles = state["users"][name]
        word = self.chance.choice(["name", "enabled", "dedicated"])
        if word == "name":
            fresh = self._fresh("User")

            def renamed(new: State) -> None:
                new["users"][fresh] = new["users"].pop(name)
                self.ids["users"][fresh] = self.ids["users"][name]
                for key, (user, ping, password) in new["clients"].items():
                    if user == name:
                        new["clients"][key] = (fresh, ping, password)

            return "PUT", f"{path}/name", {"name": fresh}, renamed
        value = not (enabled if word == "enabled" else dedicated)
        after = (value, dedicated, roles) if word == "enabled" else (enabled, value, roles)
        return (
            "PUT",
            f"{path}/{word}",
            {word: value},
            lambda new: new["users"].update({name: after}),
        )

    def _user_roles(self, state: State) -> Act | None:
        if not (name := self._one(state, "users", "User")):
            return None
        wanted = self.chance.sample(ROLES, self.chance.randint(0, 3))
        body = {"user_id": self.ids["users"][name], "role_ids": [self.roles[one] for one in wanted]}
        after = (*state["users"][name][:2], frozenset(wanted))
        path = f"/sites/{self.site}/rights/roles"
        return "PUT", path, body, lambda new: new["users"].update({name: after})

    def _user_delete(self, state: State) -> Act | None:
        if len(state["users"]) < 6 or not (name := self._one(state, "users", "User")):
            return None

        def gone(new: State) -> None:
            del new["users"][name]
            new["clients"] = {key: one for key, one in new["clients"].items() if one[0] != name}

        return "DELETE", f"/users/{self.ids['users'][name]}", {}, gone

    def _service(self, state: State) -> Act:
        name, path = self._fresh("Host"), f"/sites/{self.site}/services"
        return (
            "POST",
            path,
            {"hostname": name},
            lambda new: new["services"].update({name: (True, 0)}),
        )

    def _service_change(self, state: State) -> Act | None:
        if not (name := self._one(state, "services", "Host")):
            return None
        path = f"/services/{self.ids['services'][name]}"
        enabled, ping = state["services"][name]
        if self.chance.random() < 0.5:
            after = (not enabled, ping)
            return (
                "PUT",
                f"{path}/enabled",
                {"enabled": not enabled},
                (lambda new: new["services"].update({name: after})),
            )
        fresh = self._fresh("Host")

        def renamed(new: State) -> None:
            new["services"][fresh] = new["services"].pop(name)
            self.ids["services"][fresh] = self.ids["services"][name]

        return "PUT", f"{path}/hostname", {"hostname": fresh}, renamed

    def _service_delete(self, state: State) -> Act | None:
        if len(state["services"]) < 5 or not (name := self._one(state, "services", "Host")):
            return None
        path = f"/services/{self.ids['services'][name]}"
        return "DELETE", path, {}, lambda new: new["services"].pop(name)

    def _client(self, state: State) -> Act | None:
        able = [one["user"] for one in self.rights if one["allowed"]]
        able = [one for one in able if one["name"] in state["users"] and one["kind"] == "owner"]
        if not able:
            return None
        fresh = self._fresh("?")
        done: Any = lambda new: new["clients"].update({fresh: ("Owner", 0, False)})  # noqa: E731
        return "POST", f"/sites/{self.site}/clients", {"user_id": able[0]["id"]}, done

    def _client_change(self, state: State) -> Act | None:
        keys = [
            key for key in state["clients"] if key in self.ids["clients"] and key != self.viewer
        ]
        if not keys:
            return None
        key = self.chance.choice(keys)
        path = f"/clients/{self.ids['clients'][key]}"
        user, _, password = state["clients"][key]
        if self.chance.random() < 0.5:
            ping = self.chance.randint(10, 300)
            return (
                "PUT",
                f"{path}/ping-period",
                {"ping_period": ping},
                (lambda new: new["clients"].update({key: (user, ping, password)})),
            )
        after = (user, state["clients"][key][1], True)
        return "POST", f"{path}/password", {}, lambda new: new["clients"].update({key: after})

    def _client_delete(self, state: State) -> Act | None:
        keys = [
            key for key in state["clients"] if key in self.ids["clients"] and key != self.viewer
        ]
        if len(keys) < 4:
            return None
        key = self.chance.choice(keys)
        path = f"/clients/{self.ids['clients'][key]}"
        return "DELETE", path, {}, lambda new: new["clients"].pop(key)

    def _domain(self, state: State) -> Act:
        name = self._fresh("Domain")
        return (
            "POST",
            "/domains",
            {"name": name, "owner_id": 1},
            (lambda new: new["domains"].append(name)),
        )

    def _domain_change(self, state: State) -> Act | None:
        if not (name := self._one(state, "domains", "Domain")):
            return None
        fresh = self._fresh("Domain")
        path = f"/domains/{self.ids['domains'][name]}/name"

        def renamed(new: State) -> None:
            new["domains"][new["domains"].index(name)] = fresh
            self.ids["domains"][fresh] = self.ids["domains"][name]

        return "PUT", path, {"name": fresh}, renamed

    def _domain_delete(self, state: State) -> Act | None:
        if not (name := self._one(state, "domains", "Domain")):
            return None
        path = f"/domains/{self.ids['domains'][name]}"
        return "DELETE", path, {}, lambda new: new["domains"].remove(name)

    def _site(self, state: State) -> Act:
        text, guests, role = state["site"]
        if self.chance.random() < 0.5:
            fresh = self._fresh("Site")
            return (
                "PUT",
                f"/sites/{self.site}/description",
                {"description": fresh},
                (lambda new: new.update(site=(fresh, guests, role))),
            )
        wanted = self.chance.choice([one for one in ROLES if one != role])
        return (
            "PUT",
            f"/sites/{self.site}/default-role",
            {"role_id": self.roles[wanted]},
            (lambda new: new.update(site=(text, guests, wanted))),
        )

    def learn(self, method: str, path: str, answer: dict[str, Any], state: State) -> None:
        """Keep the id that a new object was given, and a client's key."""
        kind = path.rpartition("/")[2]
        if method != "POST" or kind not in self.ids:
            return
        name = answer.get("hostname") or answer.get("name") or answer.get("key") or ""
        if kind == "clients":
            placeholder = next(key for key in state["clients"] if key.startswith("?"))
            state["clients"][name] = state["clients"].pop(placeholder)
        self.ids[kind][name] = answer["id"]


def same(seen: State, expected: State) -> bool:
    """Tell whether two states are one; a key that was not told yet may be any."""
    new = [key for key in expected["clients"] if key.startswith("?")]
    if new:
        (key,) = new
        others = seen["clients"].keys() - expected["clients"].keys()
        if len(others) != 1:
            return False
        expected = {**expected, "clients": dict(expected["clients"])}
        expected["clients"][others.pop()] = expected["clients"].pop(key)
    return {**seen, "domains": sorted(seen["domains"])} == {
        **expected, "domains": sorted(expected["domains"])
    }  # fmt: skip
