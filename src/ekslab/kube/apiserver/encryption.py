"""Secrets at rest: what the store's log holds of them is ciphertext.

Upstream: `apiserver/pkg/storage/value/encrypt/aes` (AES-GCM, the object's key as associated data,
so that one secret's bytes cannot be put in the place of another's) and `server/options/
encryptionconfig`. EKS always encrypts secrets; a lab does with a key of each cluster's own, in a
file for its owner alone. The file is upstream's EncryptionConfiguration, as JSON:

    {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources":
     [{"resources": ["secrets"], "providers":
       [{"aesgcm": {"keys": [{"name": "key1", "secret": "<base64>"}]}}, {"identity": {}}]}]}

The first key writes, every key reads. To rotate: put a new key first, start again, write every
secret once more (`kubectl get secrets -A -o json | kubectl replace -f -`), drop the old key when
the history has gone over it. Reads are from memory and know nothing of all this.
"""

import base64
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ekslab.kit.rng import secret_bytes
from ekslab.kube.store.log import open_store
from ekslab.kube.store.memory import MemoryStore
from ekslab.kube.store.port import Key, StoreError, StoreFormatError

_PREFIX: Final = b"k8s:enc:aesgcm:v1:"
_NONCE_BYTES: Final = 12
_KEY_BITS: Final = 256
_KEY_LENGTHS: Final = frozenset({16, 24, 32})
_SECRETS: Final = "secrets"


class EncryptionConfigError(StoreError):
    """The file with the keys says something that cannot be followed."""


class SecretCipher:
    """A store's `Cipher` for Secrets; `keys` by name, the first one writes."""

    resources: Final = frozenset({_SECRETS})

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        assert keys, "somebody has to write"
        self._keys = {name.encode(): AESGCM(key) for name, key in keys.items()}
        first = next(iter(self._keys))
        self._writer = self._keys[first]
        self._prefix = _PREFIX + first + b":"

    def seal(self, key: Key, plain: bytes) -> bytes:
        """The bytes to keep: prefix with the key's name, nonce, ciphertext, tag."""
        # Of the system and not of a seed: a nonce that comes again gives the key stream away.
        nonce = secret_bytes(_NONCE_BYTES)
        return b"".join((self._prefix, nonce, self._writer.encrypt(nonce, plain, _bound_to(key))))

    def unseal(self, key: Key, sealed: bytes) -> bytes:
        """The bytes that were sealed for this key.

        Raises:
            StoreFormatError: no key is known that opens them, or they were tampered with.
        """
        what = f"{key.resource} {key.namespace}/{key.name}"
        name, separator, rest = sealed.removeprefix(_PREFIX).partition(b":")
        reader = self._keys.get(name)
        if not separator or reader is None:
            raise StoreFormatError(f"cannot decrypt {what}: there is no key {name.decode()!r}")
        try:
            return reader.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], _bound_to(key))
        except (InvalidTag, ValueError) as error:
            raise StoreFormatError(f"cannot decrypt {what} with key {name.decode()!r}") from error


def open_encrypted(folder: Path) -> MemoryStore:
    """The durable store of a cluster's folder, its secrets encrypted.

    Raises:
        OSError, StoreError: it cannot be used; says why.
    """
    return open_store(folder / "store", cipher=load_or_make_cipher(folder / "encryption.json"))


def load_or_make_cipher(path: Path) -> SecretCipher:
    """The cipher that a file configures; a file with a fresh key (0600) if there is none.

    Raises:
        OSError: the file can be neither read nor written.
        EncryptionConfigError: it says something that cannot be followed.
    """
    if path.exists():
        return SecretCipher(_keys_of(path))
    config = _config("key1", AESGCM.generate_key(_KEY_BITS))
    made = path.with_name(f"{path.name}.new")
    made.unlink(missing_ok=True)
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(orjson.dumps(config, option=orjson.OPT_INDENT_2))
        # A secret that outlives its key is lost: the key is on the disk before any of them.
        file.flush()
        os.fsync(descriptor)
    made.replace(path)
    return SecretCipher(_keys_of(path))


def _config(name: str, key: bytes) -> dict[str, Any]:
    keys = [{"name": name, "secret": base64.b64encode(key).decode()}]
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [
            {"resources": [_SECRETS], "providers": [{"aesgcm": {"keys": keys}}, {"identity": {}}]}
        ],
    }


def _keys_of(path: Path) -> Mapping[str, bytes]:
    """The AES-GCM keys for Secrets, in order.

    Raises:
        OSError: the file cannot be read.
        EncryptionConfigError: it holds no such configuration.
    """
    try:
        config = orjson.loads(path.read_bytes())
        providers: Sequence[Any] = next(
            entry["providers"] for entry in config["resources"] if _SECRETS in entry["resources"]
        )
        found = {
            key["name"]: base64.b64decode(key["secret"], validate=True)
            for provider in providers
            for key in (provider.get("aesgcm") or {}).get("keys") or ()
        }
    except (ValueError, LookupError, TypeError, AttributeError, StopIteration) as error:
        raise EncryptionConfigError(
            f"{path}: expected an EncryptionConfiguration with aesgcm keys for secrets, as JSON"
        ) from error
    if not found:
        raise EncryptionConfigError(f"{path}: there is no aesgcm key for secrets")
    for name, key in found.items():
        if len(key) not in _KEY_LENGTHS:
            raise EncryptionConfigError(
                f"{path}: key {name!r} has {len(key)} bytes, expected one of 16, 24, 32"
            )
    return found


def _bound_to(key: Key) -> bytes:
    """Where upstream's etcd would hold the object."""
    return f"/registry/{key.resource}/{key.namespace}/{key.name}".encode()
