"""The benchmark relay as a program: it carries, says what is wrong, and ends when told."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.relay.meeting import own_address


@pytest.fixture
def upstream() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)
        yield listening


def relay(host: str, upstream: tuple[str, int], *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "gateway.relay", "--listen", f"{host}:9100",
         "--upstream", f"{upstream[0]}:{upstream[1]}", *options],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def dial(host: str) -> socket.socket:
    end = time.monotonic() + 10
    while True:
        try:
            sock = socket.create_connection((host, 9100), 5)
        except ConnectionRefusedError:
            assert time.monotonic() < end
            time.sleep(0.02)
        else:
            sock.settimeout(5)
            return sock


@pytest.mark.parametrize("options", [[], ["--asyncio", "--unsent", "0", "--receive-buffer", "0"]])
def test_it_carries_until_it_is_told_to_end(upstream: socket.socket, options: list[str]) -> None:
    host = own_address()
    process = relay(host, upstream.getsockname(), *options)
    try:
        with dial(host) as client:
            camera, _ = upstream.accept()
            with camera:
                client.sendall(b"question")
                assert camera.recv(100) == b"question"
                camera.sendall(b"answer")
                assert client.recv(100) == b"answer"
                process.send_signal(signal.SIGTERM)
                _, said = process.communicate(timeout=10)
                assert (process.returncode, said) == (0, "")
    finally:
        process.kill()
        process.communicate()


def test_an_upstream_that_refuses_is_a_reset_and_a_line(upstream: socket.socket) -> None:
    host, address = own_address(), upstream.getsockname()
    upstream.close()
    process = relay(host, address)
    try:
        with dial(host) as client, pytest.raises(ConnectionResetError):
            client.recv(1)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=10)
        assert process.returncode == 0
        assert f"127.0.0.1:{address[1]} cannot be reached" in said
    finally:
        process.kill()
        process.communicate()
