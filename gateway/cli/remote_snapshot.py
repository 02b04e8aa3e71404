"""`softnet-remote snapshot`: one picture, by HTTP over a connection to the camera's service."""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import sys
from pathlib import Path

from gateway.base.errors import HostError
from gateway.base.secret import Secret
from gateway.cli.remote import EXIT_FAULT, EXIT_REFUSED
from gateway.cli.remote_session import Remote, Stopped, stopped
from gateway.endpoint.errors import RequestRefused
from gateway.net import sockets

HTTP_PORT = 8080
"""The virtual port of the gateway's own HTTP for a camera (camera contract)."""
PATH = "/snapshot.jpg"
PICTURE_MAX = 32 * 1024 * 1024
_HEAD_MAX = 64 * 1024


async def run(given: argparse.Namespace, password: Secret | None) -> int:
    """Fetch one picture and save it; return the exit code."""
    try:
        async with Remote(given, password) as remote:
            await remote.online()
            service = await remote.service_online(given.service)
            try:
                made = await remote.endpoint.connect_tcp(service.id, HTTP_PORT, timeout=given.wait)
            except RequestRefused as error:
                raise Stopped(str(error), EXIT_REFUSED) from error
            with made.socket as sock:
                try:
                    async with asyncio.timeout(given.wait):
                        kind, picture = await fetch(sock, PATH)
                except TimeoutError as error:
                    raise Stopped("The camera sent no picture in time.") from error
    except Stopped as error:
        return stopped(error)
    except HostError as error:
        return stopped(Stopped(str(error)))
    try:
        save(given.output, picture)
    except OSError as error:
        return stopped(Stopped(f"Cannot write {given.output}: {error.strerror}."))
    if given.json and given.output != "-":
        facts = {"service": service.hostname, "file": given.output, "type": kind}
        print(json.dumps(facts | {"octets": len(picture)}))
    return 0


async def fetch(sock: socket.socket, path: str) -> tuple[str, bytes]:
    """GET one thing over a connected socket; return its type and octets.

    Raises Stopped for any answer but 200, HostError when the connection breaks.
    """
    request = f"GET {path} HTTP/1.1\r\nHost: camera\r\nAccept: image/*\r\nConnection: close\r\n\r\n"
    await sockets.send_all(sock, request.encode())
    received = bytearray()
    while b"\r\n\r\n" not in received and len(received) <= _HEAD_MAX:
        part = await sockets.receive(sock, _HEAD_MAX)
        if not part:
            raise Stopped("The camera's service closed the connection without an answer.")
        received += part
    head, _, rest = bytes(received).partition(b"\r\n\r\n")
    status, headers = _read_head(head)
    length = headers.get("content-length", "")
    wanted = int(length) if length.isdecimal() else PICTURE_MAX + 1
    body = bytearray(rest)
    while len(body) < min(wanted, PICTURE_MAX + 1):
        part = await sockets.receive(sock, 1 << 18)
        if not part:
            break
        body += part
    if len(body) > PICTURE_MAX:
        raise Stopped("The camera's service sent more than a picture.")
    octets = bytes(body[:wanted])
    if headers.get("transfer-encoding", "").lower() == "chunked":
        octets = _unchunked(octets)
    elif length.isdecimal() and len(octets) < wanted:
        raise Stopped("The picture was cut short. Try again.")
    if status != 200:
        code = EXIT_REFUSED if 400 <= status < 500 else EXIT_FAULT
        words = octets[:300].decode("utf-8", "replace").strip()
        plain = headers.get("content-type", "").startswith("text/plain") and words
        raise Stopped(words if plain else f"The camera's service answered {status}.", code)
    return headers.get("content-type", "application/octet-stream"), octets


def _read_head(head: bytes) -> tuple[int, dict[str, str]]:
    lines = head.decode("latin-1").split("\r\n")
    parts = lines[0].split(" ", 2)
    if len(parts) < 2 or not parts[0].startswith("HTTP/1.") or not parts[1].isdecimal():
        raise Stopped("The camera's service did not answer in HTTP.")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return int(parts[1]), headers


def _unchunked(octets: bytes) -> bytes:
    whole = bytearray()
    at = 0
    while True:
        end = octets.find(b"\r\n", at)
        try:
            size = int(octets[at:end].split(b";")[0], 16)
        except ValueError as error:
            raise Stopped("The picture was cut short. Try again.") from error
        if size == 0:
            return bytes(whole)
        whole += octets[end + 2 : end + 2 + size]
        at = end + 2 + size + 2


def save(output: str, picture: bytes) -> None:
    """Write a picture so that nobody ever sees half of it; - is standard output."""
    if output == "-":
        sys.stdout.buffer.write(picture)
        sys.stdout.buffer.flush()
        return
    target = Path(output)
    part = target.with_name(f".{target.name}.part")
    try:
        part.write_bytes(picture)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
