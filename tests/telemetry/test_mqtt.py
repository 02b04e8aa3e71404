"""The publisher against a real mosquitto: retained state, last will, restarts, login, TLS."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.base.notices import NoticeHub
from gateway.base.secret import Secret
from gateway.telemetry.mqtt import IN_FLIGHT_MAX, BrokerConnected, BrokerLost, MqttPublisher
from gateway.telemetry.settings import MqttSettings
from gateway.telemetry.topics import CameraState
from tests.telemetry.broker import MOSQUITTO, Broker, Observer, retained

ROOT = Path(__file__).resolve().parents[2]
STATUS = "softnet-gw/box1/status"

pytestmark = pytest.mark.skipif(
    not Path(MOSQUITTO).exists(), reason="mosquitto is not installed; make test installs it"
)


def camera(number: int = 7, **changes) -> CameraState:
    facts = {"name": "Lobby", "online": True, "since": 0.0, "viewers": 0} | changes
    return CameraState(camera_id=str(number), **facts)


def state_topic(number: int = 7) -> str:
    return f"softnet-gw/box1/camera/{number}/state"


@pytest.fixture
def broker(tmp_path):
    broker = Broker(tmp_path).start()
    yield broker
    broker.kill()


def publisher(broker: Broker, notices: NoticeHub | None = None, **settings) -> MqttPublisher:
    settings = {"reconnect_max": 1} | settings
    chosen = MqttSettings(host=broker.host, port=broker.port, **settings)
    return MqttPublisher(chosen, gateway_id="box1", notices=notices)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_state_is_retained_and_removed(broker, version):
    ours = publisher(broker, version=version)
    ours.publish_camera(camera(viewers=1))  # before there is a connection
    ours.start()
    try:
        assert await ours.settled(10)
        ours.publish_camera(camera(8, online=False, reason="It does not answer."))
        assert await ours.settled(10)
        told = retained(broker)
        assert told[STATUS] == b"online"
        assert json.loads(told[state_topic(7)])["viewers"] == 1
        assert told["softnet-gw/box1/camera/7/availability"] == b"online"
        assert told["softnet-gw/box1/camera/8/availability"] == b"offline"
        ours.remove_camera("7")
        assert await ours.settled(10)
        assert sorted(retained(broker)) == [
            "softnet-gw/box1/camera/8/availability", state_topic(8), STATUS,
        ]  # fmt: skip
        assert len(ours._wanted) == 3, "what is removed is forgotten once the broker knows"
    finally:
        await ours.stop()
    assert retained(broker, STATUS) == {STATUS: b"offline"}


async def test_the_newest_value_wins_and_nothing_is_told_twice(broker):
    ours = publisher(broker)
    ours.start()
    try:
        assert await ours.settled(10)
        with Observer(broker) as observer:
            for viewers in range(500):
                ours.publish_camera(camera(viewers=viewers))
            assert await ours.settled(10)
            ours.publish_camera(camera(viewers=499))
            assert await ours.settled(10)
            observer.wait(state_topic(), camera(viewers=499).payload())
            told = [payload for topic, payload, _ in observer.heard if topic == state_topic()]
        assert told.count(camera(viewers=499).payload()) == 1
    finally:
        await ours.stop()


@pytest.mark.timeout_s(60)
async def test_a_restarted_broker_is_told_everything_again(broker):
    hub, connected = NoticeHub(), asyncio.Queue()
    lost = asyncio.Queue()
    hub.subscribe(BrokerConnected, connected.put_nowait)
    hub.subscribe(BrokerLost, lost.put_nowait)
    ours = publisher(broker, hub)
    ours.start()
    try:
        for number in range(3 * IN_FLIGHT_MAX):
            ours.publish_camera(camera(number))
        assert await ours.settled(10)
        await connected.get()
        broker.kill()
        assert "lost" in (await lost.get()).reason
        assert not ours.connected
        assert ours.complaint
        ours.publish_camera(camera(1, online=False))
        ours.remove_camera("2")
        broker.start()
        await connected.get()
        assert await ours.settled(10)
        told = retained(broker)
        assert len(told) == 1 + 2 * (3 * IN_FLIGHT_MAX - 1)
        assert told["softnet-gw/box1/camera/1/availability"] == b"offline"
        assert state_topic(2) not in told
        assert ours.complaint == ""
    finally:
        await ours.stop()


async def test_the_last_will_speaks_for_a_killed_process(broker):
    program = (
        "import sys, time\n"
        "from gateway.telemetry.mqtt import MqttPublisher\n"
        "from gateway.telemetry.settings import MqttSettings\n"
        "settings = MqttSettings(host=sys.argv[1], port=int(sys.argv[2]))\n"
        "MqttPublisher(settings, gateway_id='box1').start()\n"
        "time.sleep(60)\n"
    )
    with Observer(broker) as observer:
        child = subprocess.Popen(
            [sys.executable, "-c", program, broker.host, str(broker.port)], cwd=ROOT
        )
        try:
            await asyncio.to_thread(observer.wait, STATUS, b"online")
        finally:
            child.kill()
            child.wait(10)
        await asyncio.to_thread(observer.wait, STATUS, b"offline")
    assert retained(broker, STATUS) == {STATUS: b"offline"}


@pytest.fixture
def guarded_broker(tmp_path):
    passwords = tmp_path / "passwords"
    passwords.touch()
    subprocess.run(
        ["mosquitto_passwd", "-b", str(passwords), "box", "right horse"], check=True, timeout=30
    )
    broker = Broker(tmp_path, f"allow_anonymous false\npassword_file {passwords}").start()
    yield broker
    broker.kill()


@pytest.mark.parametrize("from_file", [False, True])
async def test_login(guarded_broker, tmp_path, from_file):
    login = {"password": Secret("right horse")}
    if from_file:
        (tmp_path / "secret").write_text("right horse\n")
        login = {"password_file": str(tmp_path / "secret")}
    ours = publisher(guarded_broker, user="box", **login)
    ours.start()
    try:
        assert await ours.settled(10)
    finally:
        await ours.stop()
    told = retained(guarded_broker, STATUS, user="box", password="right horse")
    assert told == {STATUS: b"offline"}


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_a_refused_login_is_said_once_and_tried_again(guarded_broker, caplog, version):
    hub, lost = NoticeHub(), asyncio.Queue()
    hub.subscribe(BrokerLost, lost.put_nowait)
    ours = publisher(
        guarded_broker, hub, user="box", password=Secret("wrong horse"), version=version
    )
    ours.start()
    try:
        assert "Not authorized" in (await lost.get()).reason
        while guarded_broker.log.read_text().count("not authorised") < 2:
            await asyncio.sleep(0.05)
    finally:
        await ours.stop()
    assert "wrong horse" not in caplog.text
    assert len([record for record in caplog.records if "refuses us" in record.message]) == 1


async def test_a_missing_password_file_is_said(broker, tmp_path):
    hub, lost = NoticeHub(), asyncio.Queue()
    hub.subscribe(BrokerLost, lost.put_nowait)
    ours = publisher(broker, hub, user="box", password_file=str(tmp_path / "none"))
    ours.start()
    try:
        assert "password_file cannot be read" in (await lost.get()).reason
    finally:
        await ours.stop()


def _certificates(folder: Path, address: str) -> tuple[Path, Path]:
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=b",
         "-addext", f"subjectAltName=IP:{address}", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return key, certificate


# paho leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_tls_checks_the_brokers_certificate(tmp_path):
    broker = Broker(tmp_path)
    key, certificate = _certificates(tmp_path, broker.host)
    with (tmp_path / "mosquitto.conf").open("a") as config:
        config.write(f"allow_anonymous true\ncertfile {certificate}\nkeyfile {key}\n")
    broker.start()
    hub, lost = NoticeHub(), asyncio.Queue()
    hub.subscribe(BrokerLost, lost.put_nowait)
    try:
        distrusting = publisher(broker, hub, tls=True)
        distrusting.start()
        assert "certificate verify failed" in (await lost.get()).reason
        await distrusting.stop()
        trusting = publisher(broker, tls=True, ca_file=str(certificate))
        trusting.start()
        assert await trusting.settled(10)
        await trusting.stop()
    finally:
        broker.kill()


async def test_a_frozen_broker_costs_no_memory_and_does_not_hold_up_the_end(broker):
    ours = publisher(broker)
    ours.start()
    try:
        assert await ours.settled(10)
        broker.freeze()
        for viewers in range(5000):
            for number in range(10):
                ours.publish_camera(camera(number, viewers=viewers))
        assert not await ours.settled(0.3)
        assert ours._link is not None
        assert len(ours._link.in_flight) <= IN_FLIGHT_MAX
        assert len(ours._differs) <= 20
        async with asyncio.timeout(10):
            await ours.stop()
    finally:
        broker.thaw()


async def test_topics_are_bounded(broker, caplog):
    ours = publisher(broker, outbox=16)
    for number in range(40):
        ours.publish_camera(camera(number))
    assert len(ours._wanted) == 16
    assert len([record for record in caplog.records if "outbox" in record.message]) == 1


async def test_without_a_broker_nothing_is_started():
    ours = MqttPublisher(MqttSettings(), gateway_id="box1")
    ours.start()
    ours.publish_camera(camera())
    assert ours._thread is None
    await ours.stop()


async def test_a_broker_that_is_not_there_yet(broker):
    broker.kill()
    hub, lost = NoticeHub(), asyncio.Queue()
    hub.subscribe(BrokerLost, lost.put_nowait)
    ours = publisher(broker, hub)
    ours.start()
    try:
        assert "refused" in (await lost.get()).reason
        broker.start()
        assert await ours.settled(10)
    finally:
        await ours.stop()
