"""A small mail server on asyncio: takes letters, asks for TLS or a password, refuses or dawdles."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import email
import ipaddress
import ssl
from email.message import Message
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"


def make_certificate(folder: Path, host: str = HOST) -> Path:
    """Write a certificate for `host` with its key into one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mailbox")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), False
        )
        .sign(key, hashes.SHA256())
    )
    path = folder / "mailbox.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


class Mailbox:
    """A mail server; what it took is in `taken`, who logged in over what in `logins`."""

    def __init__(
        self,
        certificate: Path | None = None,
        *,
        tls: bool = False,
        login: tuple[str, str] = ("", ""),
    ) -> None:
        self.taken: list[tuple[str, str, Message]] = []
        self.logins: list[tuple[str, bool]] = []
        self.refusals: list[tuple[str, str]] = []
        """(command, answer): given in turn instead of taking what the command brings."""
        self.silent_at = ""
        """The command, "banner" or "end-of-data", that is never answered."""
        self.connections = 0
        self.port = 0
        self.arrived = asyncio.Event()
        self._login = login
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._trust: ssl.SSLContext | None = None
        self._open: set[asyncio.Task[None]] = set()
        if certificate is not None:
            self._trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._trust.load_cert_chain(certificate)

    async def __aenter__(self) -> Mailbox:
        trust = self._trust if self._tls else None
        self._server = await asyncio.start_server(self._serve, HOST, 0, ssl=trust)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in tuple(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        self.connections += 1
        try:
            await self._talk(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open.discard(task)
            with contextlib.suppress(OSError):
                writer.close()
                writer.transport.abort()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        secure, sender, receiver = self._tls, "", ""
        if self.silent_at == "banner":
            await asyncio.sleep(60)
        writer.write(b"220 mailbox\r\n")
        while line := (await reader.readline()).decode().strip():
            word = line.split()[0].upper()
            if word == self.silent_at:
                await asyncio.sleep(60)
            if self.refusals and self.refusals[0][0] == word:
                writer.write(f"{self.refusals.pop(0)[1]}\r\n".encode())
                continue
            if word == "EHLO":
                offers = ["mailbox", *["STARTTLS"] * (self._trust is not None and not secure),
                          *["AUTH PLAIN"] * bool(self._login[0])]  # fmt: skip
                lines = [f"250-{offer}" for offer in offers[:-1]] + [f"250 {offers[-1]}"]
                writer.write("".join(f"{one}\r\n" for one in lines).encode())
            elif word == "STARTTLS":
                assert self._trust is not None
                writer.write(b"220 go ahead\r\n")
                await writer.drain()
                await writer.start_tls(self._trust)
                secure = True
            elif word == "AUTH":
                _, user, password = base64.b64decode(line.split()[2]).decode().split("\0")
                good = (user, password) == self._login
                self.logins.append((user, secure))
                writer.write(b"235 welcome\r\n" if good else b"535 who are you\r\n")
            elif word == "MAIL":
                sender = line.partition("<")[2].partition(">")[0]
                writer.write(b"250 ok\r\n")
            elif word == "RCPT":
                receiver = line.partition("<")[2].partition(">")[0]
                writer.write(b"250 ok\r\n")
            elif word == "DATA":
                writer.write(b"354 send it\r\n")
                octets = (await reader.readuntil(b"\r\n.\r\n"))[:-5]
                self.taken.append((sender, receiver, email.message_from_bytes(octets)))
                self.arrived.set()
                if self.silent_at == "end-of-data":
                    await asyncio.sleep(60)
                writer.write(b"250 taken\r\n")
            elif word == "QUIT":
                return
            else:
                writer.write(b"250 ok\r\n")
