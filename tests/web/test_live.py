"""Pages are told what changed, as long as they may see it; nobody is told of what is not theirs."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import aiohttp
import pytest

from gateway.base.errors import Denied
from gateway.model.kinds import Authority
from gateway.registry import changes, contacts, domains, members, owners, sites
from gateway.web import live, pages_box
from gateway.web.live import STREAMS_PER_SOURCE, EventHub, topics_of
from tests.web.callers import Browser
from tests.web.rig import Rig, add_owner, build_site, open_rig, share


class Stream:
    """One open event stream."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer

    async def next(self, seconds: float = 10) -> list[str] | None:
        """Return the topics of the next event, or None at the end of the stream."""
        async with asyncio.timeout(seconds):
            while True:
                line = await self.answer.content.readline()
                if not line:
                    return None
                if line.startswith(b"data: "):
                    return json.loads(line[6:])["topics"]


async def _follow(browser: Browser, *topics: str) -> Stream:
    answer = await browser.stream("/events", params=[("topic", topic) for topic in topics])
    assert answer.status == 200, await answer.text()
    assert answer.content_type == "text/event-stream"
    return Stream(answer)


async def _two_owners(rig: Rig) -> tuple[Browser, int]:
    """Return the browser of one provider and the site of another."""
    rig.server.desk.claimed = True
    await add_owner(rig.registry, "markus", Authority.PROVIDER)
    other = await add_owner(rig.registry, "julia", Authority.PROVIDER)
    await rig.registry.write(lambda tx: build_site(tx, 1, "Mine"))
    _, foreign, _ = await rig.registry.write(lambda tx: build_site(tx, other, "Hers"))
    browser = rig.browser()
    await browser.sign_in("markus")
    return browser, foreign


async def test_what_is_told(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        browser, foreign = await _two_owners(rig)
        stream = await _follow(browser, "site:1", "domain:1", "cameras", "sessions")
        await rig.registry.write(lambda tx: sites.rename(tx, foreign, "Another"))
        await rig.registry.write(lambda tx: sites.rename(tx, 1, "Another"))
        assert await stream.next() == ["site:1"]
        await rig.registry.write(lambda tx: domains.rename(tx, 1, "Another"))
        assert await stream.next() == ["domain:1"]
        rig.cameras.changed()
        assert await stream.next() == ["cameras", "sessions"]
        rig.live.client_online(1, 1)
        assert await stream.next() == ["site:1"]
        user = await rig.registry.read(lambda reader: members.list_users(reader, 1)[1])
        await rig.registry.write(lambda tx: members.set_user_enabled(tx, user.id, False))
        assert await stream.next() == ["domain:1", "site:1"]
        stream.answer.close()
        await browser.close()


@pytest.mark.parametrize(("path", "by", "topic"), [
    ("/contacts/THEIRS/domains/DOMAIN", "role", "contacts:2"),
    ("/contacts/THEIRS/domains/DOMAIN", "guest", "contacts:2"),
    ("/contacts/THEIRS/domains/DOMAIN", "undedicated", "contacts:2"),
    ("/contacts/MINE/shared/DOMAIN", "role", "site:SITE"),
    ("/users/USER/sights", "role", "site:SITE"),
])  # fmt: skip
async def test_what_becomes_visible_by_what_a_site_gives_to_all_is_told(
    tmp_path: Path, path: str, by: str, topic: str
):
    async with open_rig(tmp_path) as rig:
        browser, _ = await _two_owners(rig)
        if "THEIRS" in path:
            await browser.sign_in("julia")
        ids = await rig.registry.write(lambda tx: share(tx, 1, 2))
        site, user = ids["site"], ids["user"]
        words = {word.upper(): str(number) for word, number in ids.items()}
        for word, owner in (("MINE", 1), ("THEIRS", 2)):
            listed = await rig.registry.read(lambda r, who=owner: contacts.list_for(r, who))
            words[word] = str(listed[0].id)
        for word, number in words.items():
            path, topic = path.replace(word, number), topic.replace(word, number)
        role = (await rig.registry.read(lambda reader: sites.get(reader, site))).default_role_id
        if by == "undedicated":
            await rig.registry.write(lambda tx: members.set_dedicated(tx, user, True))
        else:
            await rig.registry.write(lambda tx: sites.set_default_role(tx, site, None))
        acts = {
            "role": lambda tx: sites.set_default_role(tx, site, role),
            "guest": lambda tx: sites.set_guest_allowed(tx, site, True),
            "undedicated": lambda tx: members.set_dedicated(tx, user, False),
        }
        _, text, _ = await browser.get(path)
        assert "Surveillance System" not in text
        followed = re.search(r'data-topics="([^"]*)"', text)
        assert followed is not None
        stream = await _follow(browser, *followed[1].split())
        await rig.registry.write(acts[by])
        assert topic in (await stream.next() or ())
        assert "Surveillance System" in (await browser.get(path))[1]


@pytest.mark.parametrize("topic", ["site:FOREIGN", "domain:2", "owner:2", "audit", "nothing:1",
                                   "site:x", "site:99", "site:-1"])  # fmt: skip
async def test_what_is_not_theirs_cannot_be_followed(tmp_path: Path, topic: str):
    async with open_rig(tmp_path) as rig:
        browser, foreign = await _two_owners(rig)
        wanted = topic.replace("FOREIGN", str(foreign))
        status, _, _ = await browser.get("/events", params=[("topic", wanted)])
        assert status in (403, 404)
        await browser.close()
        stranger = rig.browser()
        assert (await stranger.get("/events", params=[("topic", "site:1")]))[0] == 401
        await stranger.close()


async def test_a_stream_ends_with_the_right_to_it(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        browser, _ = await _two_owners(rig)
        stream = await _follow(browser, "site:1", "owner:1")
        await rig.registry.write(lambda tx: owners.set_enabled(tx, 1, False))
        assert await stream.next() == []  # look once more, and be asked who you are
        assert await stream.next() is None
        stream.answer.close()
        await browser.close()


async def test_a_silent_stream_shows_that_it_lives(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(pages_box, "HEARTBEAT", 0.05)
    async with open_rig(tmp_path) as rig:
        browser, _ = await _two_owners(rig)
        stream = await _follow(browser, "cameras")
        beats = 0
        async with asyncio.timeout(10):
            while beats < 3:
                beats += (await stream.answer.content.readline()).startswith(b": ")
        # Signing out elsewhere, or the end of a session, ends the stream at the next beat.
        await rig.registry.write(lambda tx: tx.run("DELETE FROM web_session"))
        async with asyncio.timeout(10):
            while await stream.answer.content.readline():
                pass
        stream.answer.close()
        await browser.close()


async def test_stopping_the_server_ends_streams(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        browser, _ = await _two_owners(rig)
        stream = await _follow(browser, "cameras")
        await rig.server.stop()
        assert await stream.next() is None
        stream.answer.close()
        await browser.close()


async def test_streams_are_bounded():
    hub = EventHub(STREAMS_PER_SOURCE + 2)
    kept = [hub.open(["cameras"], "a") for _ in range(STREAMS_PER_SOURCE)]
    with pytest.raises(Denied):
        hub.open(["cameras"], "a")
    hub.open(["cameras"], "b")
    hub.open(["cameras"], "c")
    with pytest.raises(Denied):
        hub.open(["cameras"], "d")
    hub.end(kept[0])
    hub.open(["cameras"], "d")


async def test_a_page_that_sleeps_costs_nothing():
    """However much changes, a stream holds each topic once."""
    hub = EventHub(4)
    stream = hub.open([f"site:{number}" for number in range(500)], "a")
    for number in range(10_000):
        hub.publish(f"site:{number % 700}")
    told = await stream.wait(1)
    assert len(told) == live.TOPICS_MAX
    assert await stream.wait(0.01) == ()


async def test_what_changed_before_the_stream_began_is_told_too():
    hub = EventHub(4, first=100)
    made = hub.count
    hub.publish("site:1")
    hub.publish("site:2")
    stream = hub.open(["site:1", "site:3"], "a", made)
    assert await stream.wait(1) == ("site:1",)
    later = hub.open(["site:1", "site:3"], "a", hub.count)
    assert await later.wait(0.01) == ()
    for number in range(live.TOPICS_KEPT):
        hub.publish(f"user:{number}")
    # What is not known any more, or is of another run of the program, may have changed.
    for since in (made, hub.count + 1):
        assert await hub.open(["site:3"], "b", since).wait(1) == ("site:3",)
        hub.close()
        hub._streams.clear()


def test_topics_of_changes():
    assert topics_of(changes.SiteDeleted(3)) == ("site:3", "shared:3")
    assert topics_of(changes.ClientAdded(3, 4)) == ("site:3", "shared:3")
    assert topics_of(changes.UserDeleted(1, 2)) == ()
    assert topics_of(changes.DomainChanged(1)) == ("domain:1",)
    assert topics_of(changes.DeviceDeleted(1)) == ("cameras",)
    assert topics_of(changes.AuditAppended(1)) == ("audit",)
    assert topics_of(changes.OwnerChanged(1)) == ("owner:1",)
