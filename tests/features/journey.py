"""What the two stories share: everything is done on the pages, as the person would do it."""

from __future__ import annotations

from typing import Any

from gateway.endpoint.service import ServiceEndpoint
from gateway.model.kinds import ServiceStatus, SiteKind
from gateway.model.structure import SiteStructure
from tests.features.views import generate_password, text_of
from tests.features.world import PASSWORD, World, until


class Story:
    """A story that is told with numbered pictures."""

    def __init__(self, name: str, world: World) -> None:
        self.name = name
        self.world = world
        self._number = 0

    async def picture(self, page: Any, what: str) -> None:
        """Write what the window shows now."""
        self._number += 1
        await self.world.picture(page, f"stories/{self.name}-{self._number:02}-{what}")


async def heading(page: Any) -> str:
    """Return the heading of a page in one line."""
    return await text_of(page.locator("h1"))


async def claim(story: Story, full_name: str, account_name: str) -> Any:
    """Make an empty box one's own with its setup code; return the window."""
    page = await story.world.page()
    await page.goto("/")
    await page.get_by_label("Setup code").fill(story.world.setup_code)
    await page.get_by_label("Your name").fill(full_name)
    await page.get_by_label("Account name").fill(account_name)
    await page.get_by_label("Password").fill(PASSWORD)
    await story.picture(page, "the-setup-code")
    await page.get_by_role("button", name="Make it mine").click()
    await page.get_by_role("button", name="Log Out").wait_for()
    return page


async def new_domain(page: Any, name: str) -> None:
    """Create a domain, which opens its page."""
    await page.get_by_role("navigation", name="Main").get_by_role("link", name="Domains").click()
    await page.get_by_label("Name (optional)").fill(name)
    await page.get_by_role("button", name="Create").click()
    await page.get_by_role("heading", name=name).wait_for()


async def new_site(page: Any, domain: str, description: str, kind: SiteKind) -> None:
    """Create a site in a domain, which opens SITE CONFIGURATION, and set its kind."""
    await page.get_by_role("navigation", name="Main").get_by_role("link", name="Domains").click()
    await page.get_by_role("link", name=domain, exact=True).click()
    await page.get_by_label("Description (optional)").fill(description)
    await page.locator("#new-site").get_by_role("button", name="Create").click()
    await page.get_by_text("site blank").wait_for()
    if kind is SiteKind.MULTI_SERVICE:
        await page.get_by_role("link", name="multi-service hosting").click()
        await page.get_by_role("button", name="set as multi-service site").click()
        await page.get_by_role("heading", name="List of services").wait_for()


async def device_online(
    world: World, page: Any, structure: SiteStructure, version: str
) -> ServiceEndpoint:
    """Connect a device with the URI and the password of the service that is open on the page."""
    account = await generate_password(page)
    device = await world.device(account.uri, account.password, structure, version)
    await until(lambda: device.status is ServiceStatus.ONLINE)
    await page.get_by_role("link", name="ok", exact=True).click()
    return device


async def only_device(world: World, page: Any, structure: SiteStructure) -> ServiceEndpoint:
    """Set up the one device of a single-service site."""
    await page.get_by_role("link", name="account", exact=True).click()
    return await device_online(world, page, structure, "1.4")


async def first_camera(
    world: World, page: Any, name: str, structure: SiteStructure, version: str
) -> ServiceEndpoint:
    """Name the first service of a multi-service site and connect its device, which builds it."""
    await page.get_by_role("link", name="Open Service1").click()
    await page.get_by_role("link", name="hostname", exact=True).click()
    await page.get_by_label("Hostname", exact=True).fill(name)
    await page.locator(".open").get_by_role("button", name="Save").click()
    await page.get_by_role("link", name="account", exact=True).click()
    return await device_online(world, page, structure, version)


async def next_camera(
    world: World, page: Any, name: str, structure: SiteStructure, version: str
) -> ServiceEndpoint:
    """Add a service to a multi-service site and connect its device."""
    await page.get_by_text("new service", exact=True).click()
    await page.get_by_label("Hostname (optional)").fill(name)
    await page.get_by_role("button", name="add service").click()
    await page.get_by_role("link", name=f"Close {name}").wait_for()
    return await device_online(world, page, structure, version)


async def give_roles(page: Any, user: str, *roles: str) -> None:
    """Tick roles of a user on SITE CONFIGURATION and save."""
    await page.get_by_role("link", name=f"Roles of {user}").click()
    for role in roles:
        await page.locator(".open").get_by_label(role, exact=True).check()
    await page.locator(".open").get_by_role("button", name="Save").click()
    await page.get_by_text("Saved.").wait_for()


async def private_user(page: Any, name: str) -> None:
    """Create a Private user from SITE CONFIGURATION, which is where one comes back to."""
    await page.get_by_role("link", name="new user").click()
    await page.get_by_label("Name of a private user").fill(name)
    await page.get_by_role("button", name="Create the private user").click()
    await page.get_by_role("heading", name="Denied users").wait_for()
