"""The broker: paho on its own network thread, last will, everything told again after a reconnect.

What the broker should hold is kept as one table, topic to payload. Calls change the table and may
come from any thread; a thread of ours works off what differs. So a slow broker costs no memory (the
newest value of a topic wins), and one that came back empty is told everything once more.

Every connection has a paho client of its own: the library's own reconnecting would send what it
still held from before, and an old value could win over a newer one. And paho is never called with
our lock held, because it calls us with its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.base.errors import HostError
from gateway.base.notices import Notice, NoticeHub, Severity
from gateway.telemetry.settings import MqttSettings
from gateway.telemetry.topics import GONE, OFFLINE, ONLINE, CameraState, Topics

_log = logging.getLogger(__name__)

IN_FLIGHT_MAX = 20
"""Messages the broker has not acknowledged; as many as brokers commonly allow."""
CONNECT_SECONDS = 5.0
STOP_SECONDS = 2.0
"""How long stopping waits for the broker to take the farewell."""
FIRST_PAUSE_SECONDS = 0.5
STABLE_SECONDS = 10.0
"""A connection that lasted this long ends the growth of pauses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerConnected(Notice):
    """The broker took us and is being told everything."""

    broker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerLost(Notice):
    """The broker is not reached, refused us, or went away; attempts go on."""

    broker: str
    reason: str
    severity: Severity = Severity.WARNING


@dataclass(slots=True)
class _Link:
    """One connection: what the broker has not acknowledged, and why it ended."""

    in_flight: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    early: set[int] = field(default_factory=set)  # acknowledged before publish() returned
    busy: bool = False  # a message is on its way into paho
    ended: str = ""


class MqttPublisher:
    """Tells one broker of the gateway and its cameras for as long as it runs."""

    def __init__(
        self, settings: MqttSettings, *, gateway_id: str, notices: NoticeHub | None = None
    ) -> None:
        self._settings = settings
        self._notices = notices
        self.topics = Topics(settings.prefix, settings.gateway_id or gateway_id)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        # One lock over all below; paho's callbacks and our callers meet here.
        self._changed = threading.Condition()  # re-entrant
        self._wanted: dict[str, bytes] = {self.topics.status: ONLINE}
        self._differs: dict[str, None] = {}  # in the order of change
        self._link: _Link | None = None  # only while connected
        self._complaint = ""
        self._table_full = False

    @property
    def broker(self) -> str:
        """The broker's name and port for people."""
        return f"{self._settings.host}:{self._settings.port}"

    @property
    def connected(self) -> bool:
        """Tell whether the broker has taken us."""
        with self._changed:
            return self._link is not None

    @property
    def complaint(self) -> str:
        """Why the broker is not reached, in words, or ""."""
        with self._changed:
            return self._complaint

    def start(self) -> None:
        """Begin on a thread of its own; returns at once. Does nothing without a broker's name."""
        if not self._settings.host or self._thread is not None:
            return
        with contextlib.suppress(RuntimeError):
            self._loop = asyncio.get_running_loop()
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """Say farewell, then end; bounded in time even where the broker hangs."""
        if self._thread is not None:
            await asyncio.to_thread(self._stop)

    def publish_camera(self, state: CameraState) -> None:
        """Let the broker hold this state of a camera. Raises InvalidInput for its id."""
        self._want(self.topics.of_camera(state))

    def remove_camera(self, camera_id: str) -> None:
        """Let the broker hold nothing of this camera any more. Raises InvalidInput for its id."""
        self._want(self.topics.of_camera_gone(camera_id))

    async def settled(self, seconds: float) -> bool:
        """Wait until the broker has acknowledged all that is wanted; tell whether it did."""
        return await asyncio.to_thread(self._settle, seconds)

    # --- the table ----------------------------------------------------------------------------

    def _want(self, topics: Mapping[str, bytes]) -> None:
        with self._changed:
            for topic, payload in topics.items():
                if self._wanted.get(topic) == payload:
                    continue
                if topic not in self._wanted and len(self._wanted) >= self._settings.outbox:
                    if not self._table_full:
                        _log.warning("more topics than mqtt.outbox allows; %s is not told", topic)
                    self._table_full = True
                    continue
                self._wanted[topic] = payload
                self._differs.pop(topic, None)
                self._differs[topic] = None
            self._changed.notify_all()

    def _settle(self, seconds: float) -> bool:
        def told() -> bool:
            link = self._link
            if link is None or self._differs:
                return False
            return not link.in_flight and not link.busy

        with self._changed:
            return self._changed.wait_for(told, seconds)

    def _stop(self) -> None:
        if self.connected:
            self._want({self.topics.status: OFFLINE})
            self._settle(STOP_SECONDS)
        with self._changed:
            self._stopping.set()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(CONNECT_SECONDS + 1)
        self._thread = None
        self._wanted[self.topics.status] = ONLINE  # for another start

    # --- the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                self._one_connection()
            except (OSError, ValueError, HostError) as error:
                self._lost(str(error))
            except Exception:
                _log.exception("the connection to the broker ended in a fault of ours")
                self._lost("an internal fault; the log has it")
            if time.monotonic() - began > STABLE_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            # Spread, so that a restarted broker does not meet all its gateways in one moment.
            self._stopping.wait(pause * random.uniform(0.7, 1.3))  # noqa: S311 (no secret)
            pause = min(pause * 2, self._settings.reconnect_max)

    def _one_connection(self) -> None:
        """Connect and work until the connection ends. Raises OSError or HostError."""
        client = self._new_client()
        link = _Link()

        def on_connect(
            _client: paho.Client, _: Any, _flags: Any, code: ReasonCode, _p: Properties | None
        ) -> None:
            if code.is_failure:
                self._end(link, f"the broker refuses us: {code}")
                return
            with self._changed:
                self._link = link
                self._differs = dict.fromkeys(self._wanted)
                self._complaint = ""
                self._changed.notify_all()
            _log.info("connected to the broker %s", self.broker)
            self._post(BrokerConnected(broker=self.broker))

        def on_publish(
            _client: paho.Client, _: Any, mid: int, code: ReasonCode, _p: Properties | None
        ) -> None:
            if code.is_failure:
                _log.warning("the broker does not take a message: %s", code)
            with self._changed:
                if mid in link.in_flight:
                    self._acknowledged(*link.in_flight.pop(mid))
                else:
                    link.early.add(mid)

        def on_disconnect(
            _client: paho.Client, _: Any, _flags: Any, code: ReasonCode, _p: Properties | None
        ) -> None:
            self._end(link, f"the connection was lost: {code}")

        client.on_connect = on_connect
        client.on_publish = on_publish
        client.on_disconnect = on_disconnect
        client.connect(self._settings.host, self._settings.port, self._settings.keep_alive)
        client.loop_start()
        try:
            self._work_off(client, link)
        finally:
            with self._changed:
                self._link = None
                self._changed.notify_all()
            client.disconnect()
            client.loop_stop()
        if not self._stopping.is_set():
            self._lost(link.ended)

    def _work_off(self, client: paho.Client, link: _Link) -> None:
        """Hand to paho what differs, as far as the broker keeps up, until the connection ends."""

        def something_to_do() -> bool:
            if link.ended or self._stopping.is_set():
                return True
            room = len(link.in_flight) < IN_FLIGHT_MAX
            return self._link is link and room and bool(self._differs)

        while True:
            with self._changed:
                # A broker that accepts the connection and never answers is given up.
                limit = None if self._link is link else 2 * CONNECT_SECONDS
                if not self._changed.wait_for(something_to_do, limit):
                    self._end(link, "the broker does not answer")
                if link.ended or self._stopping.is_set():
                    return
                topic = next(iter(self._differs))
                payload = self._wanted[topic]
                del self._differs[topic]
                link.busy = True
            sent = client.publish(topic, payload, qos=1, retain=True)
            with self._changed:
                link.busy = False
                if sent.rc != paho.MQTT_ERR_SUCCESS:
                    self._end(link, f"the connection was lost: {paho.error_string(sent.rc)}")
                elif sent.mid in link.early:
                    link.early.discard(sent.mid)
                    self._acknowledged(topic, payload)
                else:
                    link.in_flight[sent.mid] = (topic, payload)

    def _acknowledged(self, topic: str, payload: bytes) -> None:
        """Note that the broker holds a payload; the lock is held."""
        if payload == GONE and self._wanted.get(topic) == GONE and topic not in self._differs:
            del self._wanted[topic]
            self._table_full = False
        self._changed.notify_all()

    def _end(self, link: _Link, reason: str) -> None:
        with self._changed:
            link.ended = link.ended or reason
            self._changed.notify_all()

    def _new_client(self) -> paho.Client:
        settings = self._settings
        protocol = paho.MQTTv5 if settings.version == "5" else paho.MQTTv311
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"softnet-gw-{self.topics.gateway_id}",
            protocol=protocol,
            clean_session=None if settings.version == "5" else True,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_SECONDS
        client.max_inflight_messages_set(IN_FLIGHT_MAX)
        if settings.user or settings.password or settings.password_file:
            client.username_pw_set(settings.user, self._password())
        if settings.tls:
            client.tls_set(ca_certs=settings.ca_file or None)
        client.will_set(self.topics.status, OFFLINE, qos=1, retain=True)
        return client

    def _password(self) -> str | None:
        # Read anew for each connection, so that a changed file needs no restart.
        if self._settings.password_file:
            try:
                text = Path(self._settings.password_file).read_text(encoding="utf-8")
            except OSError as error:
                raise HostError(f"mqtt.password_file cannot be read: {error.strerror}.") from None
            return text.rstrip("\r\n")
        return self._settings.password.reveal() or None

    def _lost(self, reason: str) -> None:
        with self._changed:
            news = reason != self._complaint
            self._complaint = reason
        if news:
            _log.warning("no connection to the broker %s: %s", self.broker, reason)
            self._post(BrokerLost(broker=self.broker, reason=reason))

    def _post(self, notice: Notice) -> None:
        loop, notices = self._loop, self._notices
        if loop is not None and notices is not None:
            post: Callable[[Notice], None] = notices.post
            # The loop may have ended while we were on our way.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(post, notice)
