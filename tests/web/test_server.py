"""Listening: several addresses, taken ports, HTTPS, stopping; what is left on disk and in logs."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from http.cookies import SimpleCookie
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.base.errors import HostError, InvalidInput
from gateway.web import doors, entry, rendering, server
from gateway.web.settings import WebSettings
from tests.web.callers import PASSWORD, Program
from tests.web.rig import ADDRESS, open_rig

SECOND = "127.18.0.2"


async def test_several_addresses_share_a_port(tmp_path: Path):
    settings = WebSettings(bind_addresses=(ADDRESS, SECOND), port=0)
    async with open_rig(tmp_path, settings=settings) as rig:
        for address in (ADDRESS, SECOND):
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://{address}:{rig.port}/health") as answer,
            ):
                assert answer.status == 200


async def test_a_taken_port_is_told_in_a_sentence(tmp_path: Path, caplog):
    holder = await asyncio.start_server(lambda _reader, _writer: None, ADDRESS, 0)
    port = holder.sockets[0].getsockname()[1]
    settings = WebSettings(bind_addresses=(ADDRESS,), port=port)
    with pytest.raises(HostError, match=r"cannot be served on .*web\.port"):
        async with open_rig(tmp_path, settings=settings):
            pass
    # With another address that works, it is a warning and no more.
    settings = WebSettings(bind_addresses=(ADDRESS, SECOND), port=port)
    async with open_rig(tmp_path, settings=settings, address=SECOND):
        assert f"not served on {ADDRESS} port {port}" in caplog.text
    holder.close()
    await holder.wait_closed()


async def test_a_test_that_fails_leaves_no_caller_open(tmp_path: Path):
    """A session found open later would fail another test."""
    with pytest.raises(LookupError, match="by purpose"):
        async with open_rig(tmp_path) as rig:
            browser, program = rig.browser(), Program(rig.url, None)
            assert (await browser.get("/health"))[0] == 200
            assert (await program.call("GET", "/nowhere"))[0] == 404
            raise LookupError("by purpose")
    assert browser.session.closed
    assert program.session.closed


async def test_stopping_is_safe_again(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        await rig.server.stop()
        await rig.server.stop()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(ADDRESS, rig.port)


def _certificate(folder: Path) -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway.example")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    chain, private = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return str(chain), str(private)


async def test_https_makes_the_cookie_secure(tmp_path: Path):
    chain, key = _certificate(tmp_path)
    settings = WebSettings(bind_addresses=(ADDRESS,), port=0, tls_certificate=chain, tls_key=key)
    context = ssl.create_default_context(cafile=chain)
    context.check_hostname = False
    async with open_rig(tmp_path, settings=settings) as rig:
        browser = rig.browser()
        browser.url = rig.url.replace("http:", "https:")
        await browser.get("/setup", ssl=context)
        status, _, headers = await browser.post(
            "/setup",
            {"code": rig.code, "full_name": "Markus Schmidt", "account_name": "markus",
             "password": PASSWORD},
            ssl=context,
        )  # fmt: skip
        assert status == 303
        cookie = SimpleCookie(headers["Set-Cookie"])[entry.SECURE_COOKIE]
        assert cookie["secure"] is True
        assert cookie["path"] == "/"
        assert not cookie["domain"]
        assert (await browser.get("/cameras", ssl=context))[0] == 200
        await browser.close()


@pytest.mark.parametrize(
    ("certificate", "key", "error"),
    [("/nothing", "/nothing", HostError), ("/nothing", "", InvalidInput)],
)
async def test_a_certificate_that_cannot_be_used(tmp_path: Path, certificate, key, error):
    settings = WebSettings(
        bind_addresses=(ADDRESS,), port=0, tls_certificate=certificate, tls_key=key
    )
    with pytest.raises(error):
        async with open_rig(tmp_path, settings=settings):
            pass


async def test_a_state_folder_that_cannot_be_written(tmp_path: Path):
    (tmp_path / server.CODE_FILE).mkdir()
    with pytest.raises(HostError, match="cannot be written"):
        async with open_rig(tmp_path):
            pass


async def test_static_files_are_kept_by_browsers(tmp_path: Path):
    async with open_rig(tmp_path) as rig:
        browser = rig.browser()
        for name, found in rig.server.desk.renderer.static.items():
            status, _, headers = await browser.get(f"/static/{name}?v={found.stamp}")
            assert (status, "immutable" in headers["Cache-Control"]) == (200, True)
            status, _, headers = await browser.get(f"/static/{name}?v=old")
            assert (status, headers["Cache-Control"]) == (200, "no-cache")
        for name in ("nothing.css", "..%2fserver.py", "%2e%2e/server.py", "base.html"):
            assert (await browser.get(f"/static/{name}"))[0] == 404
        await browser.close()


def test_nothing_is_live_where_there_is_no_tracker():
    nobody = doors.NobodyLive()
    assert nobody.live(1) == doors.LiveSite()
    nobody.subscribe(lambda _: None)()


def test_static_files_name_their_type():
    assert set(rendering.STATIC_TYPES) == {"css", "js", "svg", "txt"}
