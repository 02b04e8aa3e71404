"""A real mosquitto on an address of its own, and an observer that is not our publisher."""

from __future__ import annotations

import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
PORT = 18830


class Broker:
    """mosquitto on one loopback address; can be stopped, killed, frozen and started again."""

    def __init__(self, folder: Path, extra: str = "allow_anonymous true", port: int = PORT) -> None:
        self.host = f"127.14.{random.randint(1, 250)}.{random.randint(2, 250)}"
        self.port = port
        self.log = folder / "mosquitto.log"
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            f"user root\npersistence false\nlistener {port} {self.host}\n{extra}\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start and wait until it listens."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [MOSQUITTO, "-v", "-c", str(self._config)], stdout=log, stderr=log
            )
        for _ in range(200):
            try:
                socket.create_connection((self.host, self.port), 1).close()
            except OSError:
                assert self._process.poll() is None, self.log.read_text()
                time.sleep(0.02)
            else:
                return self
        raise AssertionError(self.log.read_text())

    def kill(self) -> None:
        """End it without any farewell; what it retained is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
        self._process = None

    def freeze(self) -> None:
        """Let it hold its connections and answer nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


class Observer:
    """Subscribes to everything under a prefix and remembers each message in order."""

    def __init__(self, broker: Broker, *, user: str = "", password: str = "") -> None:
        self._changed = threading.Condition()
        self.heard: list[tuple[str, bytes, bool]] = []
        self._subscribed = False
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        if user:
            self._client.username_pw_set(user, password)
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()

    def _on_subscribe(self, *_: object) -> None:
        with self._changed:
            self._subscribed = True
            self._changed.notify_all()

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        with self._changed:
            self.heard.append((message.topic, message.payload, message.retain))
            self._changed.notify_all()

    def latest(self, topic: str) -> bytes | None:
        """Return the last payload heard of a topic."""
        return next((payload for name, payload, _ in reversed(self.heard) if name == topic), None)

    def wait(self, topic: str, payload: bytes, seconds: float = 15) -> None:
        """Wait until the last payload of a topic is this one."""
        with self._changed:
            met = self._changed.wait_for(lambda: self.latest(topic) == payload, seconds)
        assert met, f"{topic} is {self.latest(topic)!r}, not {payload!r}"

    def __enter__(self) -> Self:
        with self._changed:
            assert self._changed.wait_for(lambda: self._subscribed, 10)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def retained(broker: Broker, *topics: str, **login: str) -> dict[str, bytes]:
    """Return what a newcomer is told: the retained messages of these topics and whatever else.

    A sentinel message is sent after subscribing; the broker delivers in order, so when it comes
    back everything retained has come before it.
    """
    with Observer(broker, **login) as observer:
        observer._client.publish("sentinel", b"now", qos=1)
        observer.wait("sentinel", b"now")
        found = {name: payload for name, payload, kept in observer.heard if kept}
    return {name: found.get(name, b"") for name in topics} if topics else found
