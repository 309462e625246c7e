"""ConfigMaps, secrets, service accounts: upstream's core validation and strategies."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from ekslab.kube.api import names
from ekslab.kube.api.errors import Cause
from ekslab.kube.api.requests import Object
from ekslab.kube.apiserver.kinds.field_errors import (
    each_invalid,
    forbidden,
    invalid,
    required,
    too_long,
    unchanged,
)
from ekslab.kube.apiserver.kinds.strategy import Strategy, Traits

_BYTES_MOST: Final = 1024 * 1024
_FROZEN: Final = "field is immutable when `immutable` is set"
_REDACTED: Final = "<secret contents redacted>"
_ACCOUNT: Final = "kubernetes.io/service-account.name"
_TLS: Final = "kubernetes.io/tls"
_NEEDED_KEYS: Final[Mapping[str, Sequence[str]]] = {
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    _TLS: ("tls.crt", "tls.key"),
}
_DOCKER_KEYS: Final = {
    "kubernetes.io/dockercfg": ".dockercfg",
    "kubernetes.io/dockerconfigjson": ".dockerconfigjson",
}


def _validate_frozen(obj: Object, old: Object, fields: Sequence[str]) -> list[Cause]:
    if not old.get("immutable"):
        return []
    causes = [] if obj.get("immutable") else [forbidden("immutable", _FROZEN)]
    causes.extend(
        forbidden(field, _FROZEN)
        for field in fields
        if (obj.get(field) or {}) != (old.get(field) or {})
    )
    return causes


class ConfigMapStrategy(Strategy):
    """Keys and texts."""

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `ValidateConfigMap`."""
        total = 0
        binary = obj.get("binaryData") or {}
        for key, value in (obj.get("data") or {}).items():
            causes.extend(each_invalid(f"data[{key}]", key, names.is_config_key(key)))
            if key in binary:
                why = "duplicate of key present in binaryData"
                causes.append(invalid(f"data[{key}]", key, why))
            total += len(value.encode())
        for key, value in binary.items():
            causes.extend(each_invalid(f"binaryData[{key}]", key, names.is_config_key(key)))
            total += len(value) * 3 // 4
        if total > _BYTES_MOST:
            # Upstream's path here is that of an empty name, which it writes so.
            causes.append(too_long("[]", _BYTES_MOST))

    def check_update(self, obj: Object, old: Object, causes: list[Cause]) -> None:
        """An immutable one stays as it is."""
        causes.extend(_validate_frozen(obj, old, ("data", "binaryData")))
        self.check(obj, causes)


class SecretStrategy(Strategy):
    """Keys and bytes; `stringData` is for writers and never stored."""

    traits = Traits(selectable=frozenset({"type"}))

    def default(self, obj: Object) -> None:
        """Opaque; what came as text becomes data."""
        text = obj.pop("stringData", None)
        if text:
            data = obj.setdefault("data", {})
            for key, value in text.items():
                data[key] = base64.b64encode(value.encode()).decode()
        obj.setdefault("type", "Opaque")

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `ValidateSecret`: keys, size, and what each type must have."""
        data, kind = obj.get("data") or {}, obj.get("type", "")
        total = 0
        for key, value in data.items():
            causes.extend(each_invalid(f"data[{key}]", key, names.is_config_key(key)))
            total += len(value) * 3 // 4
        if total > _BYTES_MOST:
            causes.append(too_long("data", _BYTES_MOST))
        if kind == "kubernetes.io/service-account-token":
            annotations = obj["metadata"].get("annotations") or {}
            if not annotations.get(_ACCOUNT):
                causes.append(required(f"metadata.annotations[{_ACCOUNT}]"))
        elif kind == "kubernetes.io/basic-auth":
            if "username" not in data and "password" not in data:
                causes.append(required("data[username]"))
                causes.append(required("data[password]"))
        elif kind in _DOCKER_KEYS:
            causes.extend(_validate_docker(data, _DOCKER_KEYS[kind]))
        missing = [key for key in _NEEDED_KEYS.get(kind, ()) if key not in data]
        causes.extend(required(f"data[{key}]") for key in missing)

    def check_update(self, obj: Object, old: Object, causes: list[Cause]) -> None:
        """The type stays; an immutable one stays as it is."""
        causes.extend(unchanged("type", obj.get("type"), old.get("type")))
        causes.extend(_validate_frozen(obj, old, ("data",)))
        self.check(obj, causes)

    def fields(self, obj: Object) -> dict[str, str]:
        """Its type."""
        return {**super().fields(obj), "type": obj.get("type", "")}


def _validate_docker(data: Mapping[str, Any], key: str) -> list[Cause]:
    if key not in data:
        return [required(f"data[{key}]")]
    try:
        orjson.loads(base64.b64decode(data[key]))
    except (binascii.Error, orjson.JSONDecodeError):
        why = "invalid character in JSON document" if data[key] else "unexpected end of JSON input"
        return [invalid(f"data[{key}]", _REDACTED, why)]
    return []


class ServiceAccountStrategy(Strategy):
    """A name that pods act under."""
