"""What decisions about a Deployment are made from: its wishes, and its replica sets.

Upstream: `pkg/controller/deployment/util/deployment_util.go`.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import orjson

from ekslab.kube.api.requests import Object

REVISION: Final = "deployment.kubernetes.io/revision"
REVISION_HISTORY: Final = "deployment.kubernetes.io/revision-history"
DESIRED_REPLICAS: Final = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS: Final = "deployment.kubernetes.io/max-replicas"
HASH_LABEL: Final = "pod-template-hash"

_NO_DEADLINE: Final = 2**31 - 1
_NO_HISTORY_LIMIT: Final = 2**31 - 1
_SAFE_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"


@dataclass(frozen=True, slots=True)
class DeploymentView:
    """A Deployment as decisions see it. `max_surge` and `max_unavailable` are pod counts."""

    obj: Object
    name: str
    replicas: int
    is_paused: bool
    is_rolling: bool
    max_surge: int
    max_unavailable: int
    min_ready_s: int
    deadline_s: int | None
    history_limit: int | None
    revision: str

    @property
    def status(self) -> Object:
        """Its status, maybe empty."""
        found: Object = self.obj.get("status") or {}
        return found

    @property
    def template(self) -> Object:
        """Its pod template."""
        found: Object = self.obj["spec"]["template"]
        return found


@dataclass(frozen=True, slots=True)
class SetView:
    """A ReplicaSet as decisions see it. `replicas` is what is asked for, the others are status."""

    obj: Object
    name: str
    replicas: int
    created: str
    revision: int
    actual: int = 0
    ready: int = 0
    available: int = 0

    @property
    def annotations(self) -> Object:
        """Its annotations, maybe none."""
        found: Object = self.obj["metadata"].get("annotations") or {}
        return found

    def resized(self, replicas: int) -> "SetView":
        """The same set, asking for another number of pods."""
        return replace(self, replicas=replicas)


def view_deployment(obj: Object) -> DeploymentView:
    """Read a Deployment."""
    spec = obj["spec"]
    strategy = spec.get("strategy") or {}
    is_rolling = strategy.get("type", "RollingUpdate") == "RollingUpdate"
    replicas = spec.get("replicas", 1)
    surge, unavailable = 0, 0
    if is_rolling:
        rolling = strategy.get("rollingUpdate") or {}
        surge, unavailable = fence_posts(
            rolling.get("maxSurge", "25%"), rolling.get("maxUnavailable", "25%"), replicas
        )
    deadline_s = spec.get("progressDeadlineSeconds")
    limit = spec.get("revisionHistoryLimit")
    return DeploymentView(
        obj=obj,
        name=obj["metadata"]["name"],
        replicas=replicas,
        is_paused=bool(spec.get("paused")),
        is_rolling=is_rolling,
        max_surge=surge,
        max_unavailable=min(unavailable, replicas),
        min_ready_s=spec.get("minReadySeconds", 0),
        deadline_s=None if deadline_s == _NO_DEADLINE else deadline_s,
        history_limit=None if limit == _NO_HISTORY_LIMIT else limit,
        revision=(obj["metadata"].get("annotations") or {}).get(REVISION, ""),
    )


def view_set(obj: Object) -> SetView:
    """Read a ReplicaSet."""
    meta, status = obj["metadata"], obj.get("status") or {}
    return SetView(
        obj=obj,
        name=meta["name"],
        replicas=obj["spec"].get("replicas", 1),
        created=meta.get("creationTimestamp", ""),
        revision=integer((meta.get("annotations") or {}).get(REVISION)),
        actual=status.get("replicas", 0),
        ready=status.get("readyReplicas", 0),
        available=status.get("availableReplicas", 0),
    )


def integer(text: str | None) -> int:
    """The number an annotation holds, 0 if it holds none."""
    try:
        return int(text or 0)
    except ValueError:
        return 0


def fence_posts(surge: int | str, unavailable: int | str, replicas: int) -> tuple[int, int]:
    """Pods of maxSurge (rounded up) and maxUnavailable (down); if both are 0, one may be missing.

    >>> fence_posts("25%", "25%", 6)
    (2, 1)
    """
    most = scaled(surge, replicas, round_up=True)
    missing = scaled(unavailable, replicas, round_up=False)
    return (most, missing) if most or missing else (0, 1)


def scaled(value: int | str, total: int, *, round_up: bool) -> int:
    """An int-or-percent of `total`."""
    if isinstance(value, int):
        return value
    portion = total * integer(value.removesuffix("%")) / 100
    return math.ceil(portion) if round_up else math.floor(portion)


def same_template(one: Object, two: Object) -> bool:
    """Whether two pod templates are equal but for the hash label (upstream: EqualIgnoreHash)."""
    return _without_hash(one) == _without_hash(two)


def _without_hash(template: Object) -> Object:
    meta = {key: value for key, value in (template.get("metadata") or {}).items() if value}
    labels = {key: value for key, value in meta.get("labels", {}).items() if key != HASH_LABEL}
    return {"metadata": {**meta, "labels": labels}, "spec": template.get("spec")}


def template_hash(template: Object, collision_count: int) -> str:
    """The value of `pod-template-hash`: ten or so safe characters.

    Upstream hashes a Go dump of the template; the value differs, its shape does not.
    """
    raw = orjson.dumps(_without_hash(template), option=orjson.OPT_SORT_KEYS)
    digest = hashlib.sha256(raw + b"%d" % collision_count).digest()
    number = str(int.from_bytes(digest[:4], "big"))
    return "".join(_SAFE_ALPHABET[ord(digit) % len(_SAFE_ALPHABET)] for digit in number)


def total(sets: Sequence[SetView]) -> int:
    """Pods asked for by all these sets."""
    return sum(one.replicas for one in sets)


def active(sets: Sequence[SetView]) -> list[SetView]:
    """The sets that ask for pods."""
    return [one for one in sets if one.replicas > 0]


def by_age(sets: Sequence[SetView]) -> list[SetView]:
    """Oldest first."""
    return sorted(sets, key=lambda one: (one.created, one.name))


def larger_then_newer(sets: Sequence[SetView]) -> list[SetView]:
    """By size, of equal ones the newest first (upstream: ReplicaSetsBySizeNewer)."""
    newest_first = by_age(sets)[::-1]
    return sorted(newest_first, key=lambda one: -one.replicas)


def larger_then_older(sets: Sequence[SetView]) -> list[SetView]:
    """By size, of equal ones the oldest first (upstream: ReplicaSetsBySizeOlder)."""
    return sorted(by_age(sets), key=lambda one: -one.replicas)


def set_name(deployment: str, suffix: str) -> str:
    """`web-5b7868d854`, cut to the 253 characters a name may have."""
    return f"{deployment[: 252 - len(suffix)]}-{suffix}"
