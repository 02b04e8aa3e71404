"""The checks that every driver must pass against a device it is made for, callable from tests.

``await complaints(...)`` returns sentences, none when all is well. The device has to be in good
health and reachable; the checks never change anything in it, and try a wrong password once.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from gateway.base.clock import Clock
from gateway.base.entropy import Entropy
from gateway.base.errors import GatewayError, NotFound
from gateway.base.secret import Secret
from gateway.driverkit.addresses import AddressPolicy
from gateway.driverkit.digest import CameraCredentials
from gateway.driverkit.driver import (
    ByteReader,
    ByteWriter,
    DeviceInfo,
    DeviceTarget,
    Dial,
    Driver,
    DriverTools,
)
from gateway.driverkit.errors import CredentialsRefused, DriverError, Unreachable
from gateway.driverkit.loader import DriverLoader

TEXT_MAX = 128
"""Characters of any fact that a driver reports."""

PROBE_SECONDS = 30.0


@dataclass(slots=True)
class _WatchedDial:
    """Passes connections on and notes where to; can be told to fail."""

    inner: Dial
    places: list[tuple[str, int]]
    fails: bool = False

    async def __call__(
        self, address: str, port: int, *, timeout_s: float
    ) -> tuple[ByteReader, ByteWriter]:
        self.places.append((address, port))
        if self.fails:
            raise ConnectionRefusedError("refused for the test")
        return await self.inner(address, port, timeout_s=timeout_s)


class _Bench:
    """One driver, one device, and what was found wrong so far."""

    def __init__(
        self,
        loader: DriverLoader,
        name: str,
        target: DeviceTarget,
        *,
        dial: Dial,
        policy: AddressPolicy,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self.loader, self.name, self.target = loader, name, target
        self.dial = _WatchedDial(dial, [])
        self.policy, self.clock, self.entropy = policy, clock, entropy
        self.found: list[str] = []

    def say(self, complaint: str) -> None:
        self.found.append(complaint)

    def open(self, target: DeviceTarget) -> Driver:
        tools = DriverTools.lend(
            target, dial=self.dial, policy=self.policy, clock=self.clock, entropy=self.entropy
        )
        return self.loader.open(self.name, target, tools)


async def complaints(
    loader: DriverLoader,
    name: str,
    target: DeviceTarget,
    *,
    dial: Dial,
    policy: AddressPolicy,
    clock: Clock,
    entropy: Entropy,
    expected_identity: str = "",
) -> tuple[str, ...]:
    """Return what is wrong with driver `name` used on the device at `target`."""
    bench = _Bench(loader, name, target, dial=dial, policy=policy, clock=clock, entropy=entropy)
    checks = (_check_life, _check_facts, _check_unreachable, _check_login, _check_cancelling)
    for check in checks:
        try:
            async with asyncio.timeout(2 * PROBE_SECONDS):
                await check(bench, expected_identity)
        except TimeoutError:
            bench.say(f"{check.__name__[7:]}: took longer than {2 * PROBE_SECONDS:g} seconds")
        except Exception as error:
            bench.say(f"{check.__name__[7:]}: raised {type(error).__name__}: {error}")
    strangers = {place[0] for place in bench.dial.places} - {target.address}
    if strangers:
        bench.say(f"it connects to other addresses than the device's: {sorted(strangers)}")
    return tuple(bench.found)


async def _check_life(bench: _Bench, _: str) -> None:
    driver = bench.open(bench.target)
    if bench.dial.places:
        bench.say("constructing it opens connections")
    await driver.close()
    await driver.close()
    try:
        driver.stream_source("no such stream")
    except NotFound:
        pass
    else:
        bench.say("an unknown stream does not raise NotFound")


async def _check_facts(bench: _Bench, expected_identity: str) -> None:
    driver = bench.open(bench.target)
    try:
        info = await driver.probe()
        _judge_facts(bench, info, expected_identity)
        for stream in info.streams:
            source = driver.stream_source(stream.name)
            if (source.host, source.port, source.path) != (
                bench.target.address,
                stream.port,
                stream.path,
            ):
                bench.say(f"stream_source({stream.name!r}) is not what probe() said")
        if driver.stream_source("") != driver.stream_source("main"):
            bench.say('the stream "" is not the main stream')
        web = driver.web_target()
        if (web.port if web else 0) != info.web_port:
            bench.say("web_target() is not what probe() said")
        if web is not None and web.host != bench.target.address:
            bench.say("web_target() leads to another host")
        if info.snapshot:
            picture = await driver.snapshot()
            if picture.content_type != "image/jpeg" or not picture.octets.startswith(b"\xff\xd8"):
                bench.say("snapshot() returns something else than a JPEG picture")
            if not abs(picture.taken_at - bench.clock.wall()) < PROBE_SECONDS:
                bench.say("the snapshot's time is not the present")
        again = await driver.probe()
        if again.identity != info.identity:
            bench.say("a second probe finds another identity")
    finally:
        await driver.close()


def _judge_facts(bench: _Bench, info: DeviceInfo, expected_identity: str) -> None:
    if expected_identity and info.identity != expected_identity:
        bench.say(f"probe() finds identity {info.identity!r}, not {expected_identity!r}")
    if not info.identity:
        bench.say("probe() finds no identity at all")
    if not info.streams or info.streams[0].name != "main":
        bench.say('the first stream is not "main"')
    names = [stream.name for stream in info.streams]
    if len(set(names)) != len(names):
        bench.say("two streams have one name")
    texts = (info.identity, info.name, info.maker, info.model, info.firmware, info.serial, info.mac)
    if any(len(text) > TEXT_MAX or not text.isprintable() for text in texts):
        bench.say("a fact is too long or holds control characters")
    secret = _password(bench.target)
    if secret and secret in repr(info):
        bench.say("the password shows in what probe() returns")


async def _check_unreachable(bench: _Bench, _: str) -> None:
    # A discard address: RFC 863's port is closed on every camera.
    target = replace(
        bench.target,
        port=9,
        url=_with_port_nine(bench.target.url),
        properties={**bench.target.properties, "http": "9", "rtsp": "9"},
    )
    bench.dial.fails = True
    driver = bench.open(target)
    try:
        await driver.probe()
    except Unreachable:
        pass
    except GatewayError as error:
        bench.say(f"an unreachable device raises {type(error).__name__}, not Unreachable")
    else:
        bench.say("probe() succeeds without a device")
    finally:
        bench.dial.fails = False
        await driver.close()


def _with_port_nine(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    host = place.rpartition(":")[0] if ":" in place.rpartition("]")[2] else place
    return f"{scheme}{mark}{host}:9{slash}{path}" if mark else url


async def _check_login(bench: _Bench, _: str) -> None:
    given = bench.target.credentials
    if given is None:
        return
    wrong = CameraCredentials(given.user, Secret("wrong-" + bench.entropy.octets(6).hex()))
    for credentials in (wrong, None):
        driver = bench.open(replace(bench.target, credentials=credentials))
        try:
            await driver.probe()
        except CredentialsRefused as error:
            secret = credentials.password.reveal() if credentials is not None else ""
            if secret and secret in str(error):
                bench.say("the password shows in an error")
        except DriverError as error:
            bench.say(f"a wrong login raises {type(error).__name__}, not CredentialsRefused")
        else:
            bench.say("probe() succeeds with a wrong login")
        finally:
            await driver.close()


async def _check_cancelling(bench: _Bench, _: str) -> None:
    driver = bench.open(bench.target)
    try:
        async with asyncio.timeout(0.001):
            await driver.probe()
    except (TimeoutError, DriverError):
        pass
    finally:
        await driver.close()


def _password(target: DeviceTarget) -> str:
    return target.credentials.password.reveal() if target.credentials is not None else ""
