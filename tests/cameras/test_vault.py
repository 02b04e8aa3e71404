from __future__ import annotations

import json
import stat

import pytest

from gateway.base.entropy import SystemEntropy
from gateway.base.errors import HostError, InvalidInput
from gateway.base.secret import Secret
from gateway.cameras import vault as module
from gateway.cameras.vault import Vault

LOGIN = {"user": Secret("admin"), "password": Secret("p@ss:wörd \u2713")}


async def open_vault(folder, **more):
    return await Vault.open(folder / "vault", entropy=SystemEntropy(), **more)


async def test_records_survive_and_nothing_is_readable(tmp_path):
    vault = await open_vault(tmp_path)
    await vault.put("camera/serial:1234", LOGIN)
    await vault.put("camera/serial:1234", {**LOGIN, "service": Secret("topsecret")})
    again = await open_vault(tmp_path)
    assert again.names() == ("camera/serial:1234",)
    assert again.get("camera/serial:1234") == {**LOGIN, "service": Secret("topsecret")}
    assert again.get("camera/other") is None
    text = (tmp_path / "vault").read_bytes()
    assert b"admin" not in text
    assert b"topsecret" not in text
    for name in ("vault", "vault.key"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert "topsecret" not in repr(again.get("camera/serial:1234"))
    await again.delete("camera/serial:1234")
    await again.delete("camera/serial:1234")
    assert (await open_vault(tmp_path)).names() == ()


async def test_the_same_record_is_sealed_differently_each_time(tmp_path):
    vault = await open_vault(tmp_path)
    seen = set()
    for _ in range(3):
        await vault.put("a", LOGIN)
        seen.add(json.loads((tmp_path / "vault").read_text())["records"]["a"])
    assert len(seen) == 3


async def test_a_wrong_or_missing_key_is_said_clearly(tmp_path):
    vault = await open_vault(tmp_path)
    await vault.put("a", LOGIN)
    key = tmp_path / "vault.key"
    right = key.read_bytes()
    key.unlink()
    with pytest.raises(HostError, match="is missing"):
        await open_vault(tmp_path)
    assert not key.exists()
    (tmp_path / "elsewhere").mkdir()
    await open_vault(tmp_path / "elsewhere")
    key.write_bytes((tmp_path / "elsewhere" / "vault.key").read_bytes())
    with pytest.raises(HostError, match="cannot be opened with this key"):
        await open_vault(tmp_path)
    key.write_bytes(b"not a key")
    with pytest.raises(HostError, match="holds no key"):
        await open_vault(tmp_path)
    key.write_bytes(right)
    assert (await open_vault(tmp_path)).get("a") == LOGIN


async def test_records_cannot_be_swapped_or_changed(tmp_path):
    vault = await open_vault(tmp_path)
    await vault.put("a", LOGIN)
    await vault.put("b", {"user": Secret("other")})
    path = tmp_path / "vault"
    document = json.loads(path.read_text())
    document["records"]["a"], document["records"]["b"] = (
        document["records"]["b"],
        document["records"]["a"],
    )
    path.write_text(json.dumps(document))
    swapped = await open_vault(tmp_path)
    with pytest.raises(HostError, match="was changed"):
        swapped.get("a")


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[1]", b'"x"', b"\xff\xfe", b'{"format": "other", "version": 1}']
)
async def test_damage_is_said_clearly(tmp_path, content):
    await (await open_vault(tmp_path)).put("a", LOGIN)
    (tmp_path / "vault").write_bytes(content)
    with pytest.raises(HostError, match="damaged"):
        await open_vault(tmp_path)


async def test_a_later_format_is_refused(tmp_path):
    await (await open_vault(tmp_path)).put("a", LOGIN)
    path = tmp_path / "vault"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 2}))
    with pytest.raises(HostError, match="later version"):
        await open_vault(tmp_path)


@pytest.mark.parametrize("step", ["fsync", "replace"])
async def test_a_failure_at_any_step_leaves_the_old_vault(tmp_path, monkeypatch, step):
    vault = await open_vault(tmp_path)
    await vault.put("a", LOGIN)
    before = (tmp_path / "vault").read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        if step == "fsync":
            patch.setattr(module.os, "fsync", fail)
        else:
            patch.setattr(module.Path, "replace", fail)
        with pytest.raises(HostError, match="No space left"):
            await vault.put("b", LOGIN)
    assert (tmp_path / "vault").read_bytes() == before
    assert vault.names() == ("a",)
    await vault.put("b", LOGIN)  # what the failed attempt left behind is no hindrance
    assert (await open_vault(tmp_path)).names() == ("a", "b")


async def test_a_torn_temporary_file_is_never_read(tmp_path):
    vault = await open_vault(tmp_path)
    await vault.put("a", LOGIN)
    (tmp_path / "vault.new").write_bytes(b"torn")
    assert (await open_vault(tmp_path)).get("a") == LOGIN


async def test_the_systemd_credential_is_preferred(tmp_path, monkeypatch):
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    await open_vault(tmp_path)
    (tmp_path / "vault.key").rename(credentials / "vault.key")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    vault = await open_vault(tmp_path)
    await vault.put("a", LOGIN)
    assert not (tmp_path / "vault.key").exists()


async def test_bounds(tmp_path):
    vault = await open_vault(tmp_path)
    with pytest.raises(InvalidInput):
        await vault.put("a" * 301, LOGIN)
    with pytest.raises(InvalidInput):
        await vault.put("a", {"password": Secret("x" * 1025)})
