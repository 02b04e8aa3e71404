"""The parts of `softnet-remote` that decide: which camera, which answer is a picture."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from gateway.base.errors import HostError
from gateway.cli import remote, remote_forward, remote_list, remote_session, remote_snapshot
from gateway.cli.remote_session import Stopped, choose
from gateway.model.kinds import ClientStatus
from gateway.net import sockets
from gateway.net.tasks import TaskRoom
from gateway.protocol.endpoint_group import RemoteService
from tests.net.test_copy import tcp_pair

SERVICES = (RemoteService(1, "Front Door", "1"), RemoteService(20, "Garage", ""))


def test_every_command_has_its_module() -> None:
    for name, module in (
        ("list", remote_list),
        ("forward", remote_forward),
        ("snapshot", remote_snapshot),
    ):
        assert importlib.import_module(f"gateway.cli.remote_{name}") is module
        assert callable(module.run)


def test_every_reason_to_be_parked_has_its_words() -> None:
    parked = set(ClientStatus) - {ClientStatus.OFFLINE, ClientStatus.ONLINE}
    assert set(remote_session.PARKED) == parked


def test_which_camera() -> None:
    assert choose(SERVICES, "front door").id == 1
    assert choose(SERVICES, "20").hostname == "Garage"
    assert choose(SERVICES[:1], None).id == 1
    for name in (None, "Yard"):
        with pytest.raises(Stopped, match="Front Door, Garage") as stopped:
            choose(SERVICES, name)
        assert stopped.value.exit_code == remote.EXIT_REFUSED


async def _fetched(answer: bytes) -> tuple[str, bytes]:
    near, far = await tcp_pair()
    with near, far:
        async with TaskRoom("test") as room:
            fetching = room.start(remote_snapshot.fetch(near, "/snapshot.jpg"), name="fetch")
            asked = await sockets.receive(far, 4096)
            assert asked.startswith(b"GET /snapshot.jpg HTTP/1.1\r\n")
            await sockets.send_all(far, answer)
            sockets.close_write(far)
            return await fetching


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: 4\r\n\r\njpeg and more",
        b"HTTP/1.0 200 OK\r\ncontent-type: image/jpeg\r\n\r\njpeg",
        (
            b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3;x=y\r\njpe\r\n1\r\ng\r\n0\r\n\r\n"
        ),
    ],
)
async def test_pictures(answer: bytes) -> None:
    assert await _fetched(answer) == ("image/jpeg", b"jpeg")


@pytest.mark.parametrize(
    ("answer", "sentence", "code"),
    [
        (b"", "without an answer", 1),
        (b"HTTP/1.1 200 OK\r\n", "without an answer", 1),
        (b"RTSP/1.0 200 OK\r\n\r\n", "did not answer in HTTP", 1),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\njpeg", "cut short", 1),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\njpeg\r\n", "cut short", 1),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "answered 503", 1),
        (b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", "answered 404", 5),
        (
            b"HTTP/1.1 403 No\r\nContent-Type: text/plain\r\nContent-Length: 8\r\n\r\nNot you.",
            "^Not you.$",
            5,
        ),
    ],
)
async def test_answers_that_are_no_picture(answer: bytes, sentence: str, code: int) -> None:
    with pytest.raises(Stopped, match=sentence) as stopped:
        await _fetched(answer)
    assert stopped.value.exit_code == code


async def test_a_picture_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_snapshot, "PICTURE_MAX", 1000)
    with pytest.raises(Stopped, match="more than a picture"):
        await _fetched(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(5000))


async def test_a_broken_connection() -> None:
    near, far = await tcp_pair()
    with near:
        async with TaskRoom("test") as room:
            fetching = room.start(remote_snapshot.fetch(near, "/"), name="fetch")
            await sockets.receive(far, 4096)
            sockets.reset(far)
            with pytest.raises(HostError):
                await fetching


def test_nobody_sees_half_a_picture(tmp_path: Path) -> None:
    target = tmp_path / "picture.jpg"
    target.write_bytes(b"old")
    remote_snapshot.save(str(target), b"new")
    assert target.read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["picture.jpg"]
    with pytest.raises(OSError, match="directory"):
        remote_snapshot.save(str(tmp_path / "nowhere" / "x.jpg"), b"new")


def test_the_password_never_comes_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        remote.main(["list", "softnet-m://abcd@x", "--password", "secret"])
    assert "unrecognized arguments" in capsys.readouterr().err
