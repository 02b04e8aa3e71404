"""The two scenes of the seed pages, set up behind the page with real devices connected.

John: domain *Home Surveillance* with SITE_1, four cameras, Alison. Markus: *Office Automation* with
three sites and the Contact user Robinson for Julia Robinson. Rows that are about making these
things make them on the page instead.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.base.secret import Secret
from gateway.endpoint.service import ServiceEndpoint
from gateway.model.kinds import Authority, ServiceStatus, SiteKind, UserKind
from gateway.model.structure import SiteStructure
from gateway.registry import clients, contacts, members, services, sites
from tests.features.world import CAMERA, PLAIN, World, open_world, until

CAMERAS = ("Entrance", "Garage", "Backyard", "Living Room")


@dataclass
class Scene:
    """A prepared world; ids by the names that people see."""

    world: World
    owner: int
    domain: int
    sites: dict[str, int] = field(default_factory=dict)
    users: dict[str, int] = field(default_factory=dict)
    devices: list[ServiceEndpoint] = field(default_factory=list)

    @property
    def site(self) -> int:
        """The first site."""
        return next(iter(self.sites.values()))

    async def add_site(
        self, name: str, kind: SiteKind, structure: SiteStructure, *hostnames: str,
        versions: tuple[str, ...] = (),
    ) -> int:  # fmt: skip
        """Make a site, connect its devices, wait until all are online; "1.0" is their version."""
        world = self.world

        def make(tx: Any) -> tuple[int, list[tuple[str, Secret]]]:
            site = sites.add(tx, self.domain, name, kind)
            if kind is SiteKind.SINGLE_SERVICE:
                made = [*services.list_for(tx, site.id)]
            else:
                made = [services.add(tx, site.id, hostname) for hostname in hostnames]
            return site.id, [
                (one.uri(world.host), services.generate_password(tx, one.id)) for one in made
            ]

        site_id, accounts = await world.registry.write(make)
        self.sites[name] = site_id
        started = []
        for number, (uri, password) in enumerate(accounts):
            # One of many builds the site; the others come when it is built.
            version = versions[number] if versions else "1.0"
            device = await world.device(uri, password.reveal(), structure, version)
            started.append(device)
            if number == 0:
                await until(lambda: started[0].status is ServiceStatus.ONLINE)
        for device in started:
            await until(lambda device=device: device.status is ServiceStatus.ONLINE)  # type: ignore[misc]
        self.devices += started
        return site_id

    async def add_user(
        self, name: str, site: str = "", *roles: str, kind: UserKind = UserKind.PRIVATE,
        contact_id: int | None = None,
    ) -> int:  # fmt: skip
        """Make a user of the domain, with roles on one site."""

        def make(tx: Any) -> int:
            user = members.add_user(tx, self.domain, kind, name, contact_id=contact_id)
            if site:
                self._give(tx, self.sites[site], user.id, roles)
            return user.id

        self.users[name] = await self.world.registry.write(make)
        return self.users[name]

    def _give(self, tx: Any, site_id: int, user_id: int, roles: tuple[str, ...]) -> None:
        by_name = {role.name: role.id for role in members.list_roles(tx, site_id)}
        members.set_roles(tx, site_id, user_id, [by_name[role] for role in roles])

    async def give(self, name: str, site: str, *roles: str) -> None:
        """Set the roles of a user on a site."""
        user_id, site_id = self.users[name], self.sites[site]
        await self.world.registry.write(lambda tx: self._give(tx, site_id, user_id, roles))

    async def client_of(
        self, name: str, site: str = "", creator: int | None = None
    ) -> tuple[int, str, str]:
        """Make a client of a user with a password; return id, URI and password."""
        site_id = self.sites[site] if site else self.site

        def make(tx: Any) -> tuple[int, str, str]:
            made = clients.add(tx, site_id, self.users[name], creator or self.owner)
            password = clients.generate_password(tx, made.id)
            return made.id, made.uri(self.world.host), password.reveal()

        return await self.world.registry.write(make)

    async def _learn_users(self) -> None:
        listed = await self.world.registry.read(
            lambda reader: members.list_users(reader, self.domain)
        )
        self.users.update({user.name: user.id for user in listed})


@contextlib.asynccontextmanager
async def john(
    state: Path, *, cameras: int = 4, names: tuple[str, ...] = CAMERAS,
    versions: tuple[str, ...] = (), **more: Any,
) -> AsyncIterator[Scene]:  # fmt: skip
    """John's SITE_1 with cameras online; Owner is Administrator there, Alison is User."""
    async with open_world(state, **more) as world:
        owner, (domain,) = await world.person(
            "John", "john", Authority.PROVIDER, "Home Surveillance"
        )
        scene = Scene(world, owner, domain)
        await scene.add_site(
            "SITE_1", SiteKind.MULTI_SERVICE, CAMERA, *names[:cameras], versions=versions[:cameras]
        )
        await scene._learn_users()
        await scene.add_user("Alison", "SITE_1", "User")
        yield scene


@contextlib.asynccontextmanager
async def markus(
    state: Path, *, julia_is: Authority = Authority.CONSUMER, **more: Any
) -> AsyncIterator[Scene]:
    """Markus's *Office Automation*, shared with his contact Julia Robinson (account "julia").

    `scene.users["Julia"]` is Julia's account, `scene.users["Robinson"]` the Contact user for her.
    """
    async with open_world(state, **more) as world:
        owner, (domain,) = await world.person(
            "Markus Schmidt", "markus", Authority.PROVIDER, "Office Automation"
        )
        julia, _ = await world.person("Julia Robinson", "julia", julia_is)
        scene = Scene(world, owner, domain)
        await scene.add_site("Alarm System", SiteKind.SINGLE_SERVICE, PLAIN)
        await scene.add_site("Surveillance System", SiteKind.MULTI_SERVICE, CAMERA, *CAMERAS)
        await scene.add_site("Smart Thermostat", SiteKind.SINGLE_SERVICE, CAMERA)
        await scene._learn_users()

        def befriend(tx: Any) -> int:
            contacts.invite(tx, julia, owner)
            return contacts.accept(tx, owner, julia).id

        contact_id = await world.registry.write(befriend)
        system = scene.sites["Surveillance System"]

        def default_role(tx: Any) -> None:
            by_name = {role.name: role.id for role in members.list_roles(tx, system)}
            sites.set_default_role(tx, system, by_name["User"])

        await world.registry.write(default_role)
        await scene.add_user("GuardPost", "Surveillance System", "Operator")
        await scene.add_user("Assistant", "Surveillance System", "User")
        await scene.add_user("Robinson", kind=UserKind.CONTACT, contact_id=contact_id)
        alarm, robinson = scene.sites["Alarm System"], scene.users["Robinson"]
        await world.registry.write(lambda tx: members.add_site_user(tx, alarm, robinson))
        scene.users["Julia"] = julia
        yield scene


@contextlib.asynccontextmanager
async def nothing_yet(state: Path, **more: Any) -> AsyncIterator[Scene]:
    """John's *Home Surveillance* as it is made: Owner and Guest, no site."""
    async with open_world(state, **more) as world:
        owner, (domain,) = await world.person(
            "John", "john", Authority.PROVIDER, "Home Surveillance"
        )
        scene = Scene(world, owner, domain)
        await scene._learn_users()
        yield scene
