"""The laws can fail: each finds its fault in a bad sample and is silent about a good one."""

from __future__ import annotations

import pytest

from tests.architecture import laws
from tests.architecture.laws import Module

BAD = [
    (laws.breaks_floors, "gateway.wire.codes", "import gateway.net.tasks"),
    (laws.breaks_floors, "gateway.relay.server", "from gateway.tracker import server"),
    (laws.breaks_floors, "gateway.relay.server", "from gateway import tracker"),
    (laws.breaks_floors, "gateway.model.kinds", "from ..asn1 import reader"),
    (laws.breaks_floors, "gateway.net.stream",
     "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import gateway.cameras.bridge"),
    (laws.breaks_floors, "gateway.net.stream", "def f():\n    from gateway.web import server"),
    (laws.breaks_floors, "gateway.cameras.bridge", "import drivers.rtsp"),
    (laws.breaks_floors, "gateway.attic.box", "import enum"),
    (laws.breaks_floors, "drivers.rtsp.driver", "import gateway.net.stream"),
    (laws.breaks_floors, "drivers.rtsp.driver", "from drivers.axis import driver"),
    (laws.breaks_purity, "gateway.protocol.liveness", "import time"),
    (laws.breaks_purity, "gateway.wire.uri", "from os import path"),
    (laws.breaks_purity, "gateway.base.errors", "import asyncio"),
    (laws.breaks_purity, "gateway.site.engine", "def f():\n    import random"),
    (laws.breaks_purity, "gateway.base.clock", "import random"),
    (laws.breaks_doors, "gateway.tracker.server", "import sqlite3"),
    (laws.breaks_doors, "gateway.web.server", "import zeroconf"),
    (laws.breaks_doors, "gateway.telemetry.topics", "import paho.mqtt.client as mqtt"),
    (laws.breaks_doors, "gateway.tracker.server", "import socket\nsocket.socket()"),
    (laws.breaks_doors, "gateway.tracker.server", "from socket import socket as s\ns()"),
    (laws.breaks_doors, "gateway.endpoint.tcp", "import asyncio\nasyncio.open_connection('a', 1)"),
    (laws.breaks_doors, "gateway.endpoint.tcp", "async def f(loop, s):\n    loop.sock_recv(s, 1)"),
    (laws.breaks_doors, "gateway.web.server", "import os\nos.system('reboot')"),
    (laws.breaks_doors, "gateway.cameras.bridge", "import subprocess"),
    (laws.breaks_doors, "gateway.appliance.notify", "import systemd.daemon"),
    (laws.breaks_doors, "drivers.rtsp.driver", "import aiohttp"),
    (laws.breaks_tasks, "gateway.web.server", "import asyncio\nasyncio.create_task(f())"),
    (laws.breaks_tasks, "gateway.web.server", "asyncio.get_running_loop().create_task(f())"),
    (laws.breaks_tasks, "gateway.web.server", "async with asyncio.TaskGroup() as g: ..."
     .replace("async with", "with")),
    (laws.breaks_print, "gateway.web.server", "print('here')"),
    (laws.breaks_size, "gateway.web.server", "\n" * laws.CODE_LINES_MAX),
    (laws.breaks_names, "gateway.web.helpers", ""),
    (laws.breaks_names, "gateway.net.socket_utils", ""),
    (laws.breaks_names, "gateway.web.server", "class SessionManager: ..."),
    (laws.lacks_docstring, "gateway.web.server", "import enum"),
    (laws.lacks_docstring, "gateway.web.server", '"""Doc."""\nclass Open: ...'),
    (laws.lacks_docstring, "gateway.web.server", '"""Doc."""\nasync def start(): ...'),
    (laws.lacks_future_annotations, "gateway.web.server", "import enum"),
]  # fmt: skip

GOOD = [
    (laws.breaks_floors, "gateway.tracker.server", "from gateway.registry import sites"),
    (laws.breaks_floors, "gateway.tracker.server", "from gateway.tracker import balancer"),
    (laws.breaks_floors, "gateway.web.server", "from gateway import __version__"),
    (laws.breaks_floors, "drivers.rtsp.driver", "from gateway.driverkit import rtsp"),
    (laws.breaks_floors, "drivers.rtsp", "from drivers.rtsp import driver"),
    (laws.breaks_purity, "gateway.base.clock", "import time"),
    (laws.breaks_purity, "gateway.net.stream", "import asyncio, socket, time"),
    (laws.breaks_doors, "gateway.registry.database", "import sqlite3"),
    (laws.breaks_doors, "gateway.net.sockets", "import socket\nsocket.socket()"),
    (laws.breaks_doors, "gateway.endpoint.tcp", "import socket\ndef f(s: socket.socket): ..."),
    (laws.breaks_doors, "drivers.simulated.zoo.web", "import aiohttp, subprocess"),
    (laws.breaks_floors, "gateway.__main__", "from gateway.cli import main"),
    (laws.breaks_tasks, "gateway.net.tasks", "import asyncio\nasyncio.create_task(f())"),
    (laws.breaks_print, "gateway.cli.run", "print('ready')"),
    (laws.breaks_names, "gateway.web.commons_hall", ""),
    (laws.lacks_docstring, "gateway.web.server", '"""Doc."""\ndef _private(): ...'),
]


@pytest.mark.parametrize(("law", "name", "source"), BAD)
def test_law_finds_the_fault(law, name, source):
    assert list(law(Module.of(name, source)))


@pytest.mark.parametrize(("law", "name", "source"), GOOD)
def test_law_is_silent(law, name, source):
    assert not list(law(Module.of(name, source)))


def test_relative_imports_of_a_package_are_resolved():
    package = Module.of("gateway.relay", "from ..tracker import x", "gateway/relay/__init__.py")
    assert [name for name, _ in laws.imports(package)] == ["gateway.tracker.x"]


def test_every_law_has_a_bad_sample():
    assert {law for law, *_ in BAD} == set(laws.LAWS)
