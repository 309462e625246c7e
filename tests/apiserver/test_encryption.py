"""Secrets at rest: what lies on the disk is ciphertext, and comes back."""

import json
from pathlib import Path

import pytest

from ekslab.kube.apiserver.encryption import EncryptionConfigError, load_or_make_cipher
from ekslab.kube.store.log import open_store
from ekslab.kube.store.port import Key, StoreFormatError
from tests.store.builders import delete, key, put, value_of

WHERE = Key("secrets", "default", "login")


def on_disk(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())


def configured(path: Path, *names: str) -> None:
    """Leave these keys, made of their names, in the file."""
    config = json.loads(path.read_text())
    by_name = {
        entry["name"]: entry for entry in config["resources"][0]["providers"][0]["aesgcm"]["keys"]
    }
    keys = [by_name.get(name, {"name": name, "secret": "QUFB" * 8}) for name in names]
    for entry in keys:
        if len(entry["secret"]) == 32:
            entry["secret"] = "QUFB" * 10 + "QUE="
    config["resources"][0]["providers"][0]["aesgcm"]["keys"] = keys
    path.write_text(json.dumps(config))


async def test_secrets_are_ciphertext_on_the_disk_and_plain_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "encryption.json"
    store = open_store(tmp_path / "store", cipher=load_or_make_cipher(path))
    await put(store, WHERE, "hunter2-secret")
    await put(store, key("open"), "hunter2-public")
    assert value_of(store.published(WHERE)) == "hunter2-secret"
    await store.close()
    kept = on_disk(tmp_path / "store")
    assert b"hunter2-public" in kept
    assert b"hunter2-secret" not in kept
    assert b"k8s:enc:aesgcm:v1:key1:" in kept
    assert path.stat().st_mode & 0o777 == 0o600
    again = open_store(tmp_path / "store", cipher=load_or_make_cipher(path))
    found = again.published(WHERE)
    assert value_of(found) == "hunter2-secret"
    assert found.labels == {"v": "hunter2-secret"}
    await again.close()


async def test_deletions_and_what_is_cleaned_stay_sealed(tmp_path: Path) -> None:
    cipher = load_or_make_cipher(tmp_path / "encryption.json")
    small = {"segment_bytes": 4096, "growth_bytes": 4096, "history_events": 10}
    store = open_store(tmp_path / "store", cipher=cipher, **small)
    await put(store, WHERE, "hunter2-kept")
    for number in range(100):
        await put(store, Key("secrets", "default", "other"), f"hunter2-{number}")
    await delete(store, Key("secrets", "default", "other"))
    await store.close()
    assert b"hunter2" not in on_disk(tmp_path / "store")
    again = open_store(tmp_path / "store", cipher=cipher, **small)
    assert [value_of(item) for item in again.published_all("secrets")] == ["hunter2-kept"]
    await again.close()


async def test_a_secret_written_before_there_was_a_key_is_read_and_sealed_next_time(
    tmp_path: Path,
) -> None:
    store = open_store(tmp_path / "store")
    await put(store, WHERE, "old")
    await store.close()
    cipher = load_or_make_cipher(tmp_path / "encryption.json")
    store = open_store(tmp_path / "store", cipher=cipher)
    assert value_of(store.published(WHERE)) == "old"
    await put(store, WHERE, "hunter2-new")
    await store.close()
    assert b"hunter2-new" not in on_disk(tmp_path / "store")


async def test_keys_are_rotated_by_putting_a_new_one_first(tmp_path: Path) -> None:
    path = tmp_path / "encryption.json"
    cipher = load_or_make_cipher(path)
    sealed = cipher.seal(WHERE, b"old")
    configured(path, "key2", "key1")
    rotated = load_or_make_cipher(path)
    assert rotated.unseal(WHERE, sealed) == b"old"
    assert rotated.seal(WHERE, b"new").startswith(b"k8s:enc:aesgcm:v1:key2:")
    configured(path, "key2")
    with pytest.raises(StoreFormatError, match="secrets default/login: there is no key 'key1'"):
        load_or_make_cipher(path).unseal(WHERE, sealed)


def test_one_secret_cannot_be_put_in_the_place_of_another(tmp_path: Path) -> None:
    cipher = load_or_make_cipher(tmp_path / "encryption.json")
    sealed = cipher.seal(WHERE, b"mine")
    assert sealed != cipher.seal(WHERE, b"mine"), "a nonce is used once"
    with pytest.raises(StoreFormatError, match="cannot decrypt secrets other/login"):
        cipher.unseal(Key("secrets", "other", "login"), sealed)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"resources": []}',
        '{"resources": [{"resources": ["secrets"], "providers": [{"identity": {}}]}]}',
        (
            '{"resources": [{"resources": ["secrets"], "providers":'
            ' [{"aesgcm": {"keys": [{"name": "a", "secret": "QUFB"}]}}]}]}'
        ),
    ],
)
def test_a_file_that_cannot_be_followed_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "encryption.json"
    path.write_text(text)
    with pytest.raises(EncryptionConfigError, match=r"encryption\.json: "):
        load_or_make_cipher(path)
