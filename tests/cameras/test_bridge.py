from __future__ import annotations

import asyncio
import contextlib

import pytest

from gateway.base.errors import Conflict, HostError, InvalidInput, NotFound
from gateway.base.secret import Secret
from gateway.cameras.fleet import record_name
from gateway.cameras.sessions import SessionClosed, SessionOpened, SessionRefused
from gateway.driverkit.digest import CameraCredentials
from gateway.driverkit.errors import CredentialsRefused
from gateway.endpoint.errors import AccessDenied
from gateway.endpoint.forward import LocalForward
from gateway.net import sockets
from gateway.registry import devices, services
from tests.cameras.harness import CREDENTIALS, PASSWORD, player, virtual_camera
from tests.cameras.rig import rig

WRONG = CameraCredentials("admin", Secret("wrong"))


async def exchange(sock, octets: bytes, until: bytes = b"\r\n\r\n") -> bytes:
    await sockets.send_all(sock, octets)
    got = b""
    async with asyncio.timeout(10):
        while until not in got:
            data = await sockets.receive(sock, 65536)
            if not data:
                break
            got += data
    return got


async def ended(sock) -> None:
    """Wait until a connection is over; a reset is as good as an end."""
    with contextlib.suppress(HostError):
        while await sockets.receive(sock, 65536):
            pass


@pytest.mark.timeout_s(60)
async def test_a_camera_is_adopted_watched_and_forgotten(tmp_path):
    async with virtual_camera(tmp_path) as camera, rig(tmp_path) as bridge:
        device_id = await bridge.adopt(camera, CREDENTIALS)
        view = bridge.view()
        assert (view.name, view.device_id, view.reason) == ("Front Door", device_id, "")
        assert (await bridge.cameras.snapshot(device_id)).octets.startswith(b"\xff\xd8")
        with pytest.raises(Conflict):
            await bridge.adopt(camera, CREDENTIALS)

        client, service_id = await bridge.client()
        assert client.services[0].hostname == "Front Door"
        outgoing = await client.connect_tcp(service_id, 554)
        got = await exchange(
            outgoing.socket, b"DESCRIBE rtsp://x/main RTSP/1.0\r\nCSeq: 7\r\n\r\n", b"track0\r\n"
        )
        assert got.startswith(b"RTSP/1.0 200 OK\r\nCSeq: 7\r\n")
        assert camera["address"].encode() not in got
        assert bridge.view().viewers == 1
        (session,) = bridge.cameras.sessions()
        assert (session.user, session.port, session.camera) == ("Owner", 554, "Front Door")

        await bridge.cameras.rename(device_id, "Back Door")
        assert bridge.view().name == "Back Door"
        assert bridge.cameras.sessions()  # a name is nothing to cut a stream for
        await bridge.cameras.forget(device_id)
        await ended(outgoing.socket)
        outgoing.socket.close()
        assert bridge.cameras.adopted() == ()
        assert bridge.vault.names() == ()
        with pytest.raises(NotFound):
            await bridge.cameras.snapshot(device_id)
        rows = await bridge.audit()
        assert [(action, outcome) for action, outcome, _ in rows] == [
            ("camera.open", "allowed"), ("camera.close", "done"),
        ]  # fmt: skip
        assert "user=Owner" in rows[0][2]
        assert "seconds=" in rows[1][2]


@pytest.mark.timeout_s(60)
async def test_what_is_adopted_survives_a_restart_and_heals(tmp_path):
    async with virtual_camera(tmp_path) as camera, rig(tmp_path) as bridge:
        device_id = await bridge.adopt(camera, CREDENTIALS)
        await bridge.bridge.stop()
        device = await bridge.net.registry.read(lambda tx: devices.get(tx, device_id))
        # Somebody drew another password for the service while the gateway was down.
        await bridge.net.registry.write(
            lambda tx: services.generate_password(tx, device.service_id)
        )
        bridge.bridge = bridge.new_bridge()
        await bridge.bridge.start()
        await bridge.until(bridge.cameras.adopted)
        await bridge.until(lambda: bridge.view().service_status == "online", 15)
        # ... and while it runs.
        before = bridge.vault.get(record_name(device.identity))["service"]
        await bridge.net.registry.write(
            lambda tx: services.generate_password(tx, device.service_id)
        )
        await bridge.until(
            lambda: bridge.vault.get(record_name(device.identity))["service"] != before
        )
        await bridge.until(lambda: bridge.view().service_status == "online", 15)


@pytest.mark.timeout_s(60)
async def test_rights_are_enforced_and_taken_away_within_a_second(tmp_path):
    async with virtual_camera(tmp_path) as camera, rig(tmp_path) as bridge:
        await bridge.adopt(camera, CREDENTIALS)
        net = bridge.net
        user_id = await net.user(bridge.site_id, "Ann", "User")
        client, service_id = await bridge.client("Ann")
        with pytest.raises(AccessDenied):
            await client.connect_tcp(service_id, 80)
        refusals = [each for each in bridge.told if isinstance(each, SessionRefused)]
        assert [(each.port, each.user) for each in refusals] == [(80, "Ann")]
        assert ("camera.refuse", "denied") in [row[:2] for row in await bridge.audit()]

        outgoing = await client.connect_tcp(service_id, 554)
        await exchange(outgoing.socket, b"OPTIONS rtsp://x/main RTSP/1.0\r\nCSeq: 1\r\n\r\n")
        opened = [each for each in bridge.told if isinstance(each, SessionOpened)]
        assert opened[0].session.actor.name == "Ann"
        loop = asyncio.get_running_loop()
        began = loop.time()
        await net.set_roles(bridge.site_id, user_id)
        await ended(outgoing.socket)
        assert loop.time() - began < 1
        outgoing.socket.close()
        await bridge.until(lambda: not bridge.cameras.sessions())
        closed = [each for each in bridge.told if isinstance(each, SessionClosed)]
        assert closed[0].reason == "The right to this camera was taken away."


@pytest.mark.timeout_s(60)
async def test_wrong_logins_are_never_repeated(tmp_path):
    control = ("--control-port", "0")
    async with virtual_camera(tmp_path, *control) as camera, rig(tmp_path) as bridge:
        url = f"rtsp://{camera['address']}:{camera['rtsp_port']}/main"
        for _ in range(3):
            with pytest.raises(CredentialsRefused):
                await bridge.cameras.probe(url, WRONG)
        probed = await bridge.cameras.probe(url, CREDENTIALS)
        assert probed.info.streams[0].codec == "H264"
        assert probed.picture is not None
        with pytest.raises(InvalidInput):
            await bridge.cameras.probe("http://127.0.0.1/", CREDENTIALS)
        with pytest.raises(NotFound):
            await bridge.cameras.probe("serial:nobody", CREDENTIALS)


@pytest.mark.timeout_s(90)
async def test_a_camera_goes_away_and_comes_back(tmp_path):
    async with rig(tmp_path) as bridge:
        async with virtual_camera(tmp_path) as camera:
            await bridge.adopt(camera, CREDENTIALS)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await bridge.until(lambda: bridge.view().state == "offline")
        assert loop.time() - began < 10
        assert bridge.view().service_status == "online"
        assert PASSWORD not in bridge.view().reason
        client, service_id = await bridge.client()
        outgoing = await client.connect_tcp(service_id, 554)
        got = await exchange(outgoing.socket, b"OPTIONS rtsp://x/main RTSP/1.0\r\nCSeq: 1\r\n\r\n")
        assert got.startswith(b"RTSP/1.0 503 The camera does not answer.")
        assert camera["address"].encode() not in got
        outgoing.socket.close()
        ports = ("--rtsp-port", str(camera["rtsp_port"]), "--address", camera["address"])
        async with virtual_camera(tmp_path, *ports):
            began = loop.time()
            await bridge.until(lambda: bridge.view().state == "online")
            assert loop.time() - began < 10


@pytest.mark.timeout_s(60)
async def test_ffmpeg_pulls_a_stream_through_everything(tmp_path):
    async with virtual_camera(tmp_path) as camera, rig(tmp_path) as bridge:
        await bridge.adopt(camera, CREDENTIALS)
        client, service_id = await bridge.client()
        forward = LocalForward(
            client, service_id, 554, room=bridge.net.room, datapath=bridge.net.datapath
        )
        address, port = forward.open("127.17.0.3")
        code, out, said = await player(
            "-rtsp_transport", "tcp", "-i", f"rtsp://{address}:{port}/main",
            "-frames:v", "50", "-f", "framemd5", "-",
        )  # fmt: skip
        assert code == 0, said
        assert len([line for line in out.splitlines() if line and line[0] != "#"]) == 50
        await bridge.until(lambda: not bridge.cameras.sessions())
        await forward.close()
        closed = [each for each in bridge.told if isinstance(each, SessionClosed)]
        assert closed[0].session.octets_down > 10_000
