"""What controllers ask of pods, read once per revision and kept.

A Deployment of 10,000 replicas sends 40,000 pod changes through its controllers. Decoding every
pod each time a replica set is counted would cost 100 ms a count; so each pod is decoded once when
it changes, the few facts that decisions need are kept, and pods are found by owner and by node.

Upstream: `pkg/api/v1/pod/util.go`, `pkg/controller/controller_utils.go`.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from ekslab.kit.clock import parse_rfc3339
from ekslab.kube.api.objects import Item
from ekslab.kube.api.requests import Object
from ekslab.kube.client.informers import Informer, Key

_NO_OWNER: Final[Object] = {}


class PodFacts(msgspec.Struct, frozen=True, gc=False):
    """What a controller decides by. Times are seconds since the epoch, 0 if absent.

    Attributes:
        item: the pod itself, for what is not here.
        owner_*: of the controlling owner reference; empty if there is none.
        is_deleting: it has a deletion timestamp.
        is_ready, ready_since_s: its Ready condition is True, since when.
        restarts: of its container that restarted most.
        ips: its addresses, the primary one first.
    """

    item: Item
    owner_uid: str
    owner_kind: str
    owner_name: str
    phase: str
    node_name: str
    created_s: float
    is_deleting: bool
    is_ready: bool
    ready_since_s: float
    restarts: int
    ips: tuple[str, ...] = ()

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return self.item.namespace

    @property
    def name(self) -> str:
        """Its name."""
        return self.item.name

    @property
    def uid(self) -> str:
        """Its uid."""
        return self.item.uid

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels."""
        return self.item.labels

    @property
    def is_terminal(self) -> bool:
        """All its containers have ended for good."""
        return self.phase in {"Succeeded", "Failed"}

    @property
    def is_active(self) -> bool:
        """Neither ended nor ending (upstream: IsPodActive)."""
        return not self.is_deleting and self.phase not in {"Succeeded", "Failed"}

    def is_available(self, min_ready_s: float, now_s: float) -> bool:
        """Ready for at least `min_ready_s` (upstream: IsPodAvailable)."""
        return self.is_ready and (min_ready_s <= 0 or self.ready_since_s + min_ready_s <= now_s)


def controller_of(obj: Object) -> Object | None:
    """The owner reference marked as controller, or None (upstream: metav1.GetControllerOf)."""
    for owner in obj["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            reference: Object = owner
            return reference
    return None


def condition(obj: Object, kind: str) -> Object | None:
    """The status condition of that type, or None."""
    for entry in (obj.get("status") or {}).get("conditions") or ():
        if entry.get("type") == kind:
            found: Object = entry
            return found
    return None


def pod_facts(item: Item) -> PodFacts:
    """Read a pod."""
    pod = item.object
    meta, status = pod["metadata"], pod.get("status") or {}
    owner = controller_of(pod) or _NO_OWNER
    ready = condition(pod, "Ready")
    is_ready = ready is not None and ready.get("status") == "True"
    since = ready.get("lastTransitionTime") if ready is not None else None
    restarts = [entry.get("restartCount", 0) for entry in status.get("containerStatuses") or ()]
    return PodFacts(
        item=item,
        owner_uid=owner.get("uid", ""),
        owner_kind=owner.get("kind", ""),
        owner_name=owner.get("name", ""),
        phase=status.get("phase", ""),
        node_name=pod["spec"].get("nodeName", ""),
        created_s=time_s(meta.get("creationTimestamp")),
        is_deleting="deletionTimestamp" in meta,
        is_ready=is_ready,
        ready_since_s=time_s(since),
        restarts=max(restarts, default=0),
        ips=_ips(status),
    )


def _ips(status: Object) -> tuple[str, ...]:
    several = status.get("podIPs")
    if several:
        return tuple(entry["ip"] for entry in several)
    return (status["podIP"],) if status.get("podIP") else ()


@lru_cache(maxsize=1024)
def time_s(text: str | None) -> float:
    """Seconds since the epoch of a `metav1.Time`, 0 for an absent one."""
    return parse_rfc3339(text) if text else 0.0


OnPodChange = Callable[[PodFacts | None, PodFacts | None], None]


class PodIndex:
    """Facts of all pods, by owner, by node and by namespace; shared by the controllers."""

    def __init__(self, informer: Informer) -> None:
        self.informer = informer
        self._facts: dict[Key, PodFacts] = {}
        self._by: dict[str, dict[str, dict[Key, PodFacts]]] = {
            "owner": {}, "node": {}, "namespace": {}, "orphan": {},
        }  # fmt: skip
        self._callbacks: list[OnPodChange] = []
        informer.on_change(self._changed)

    def on_change(self, callback: OnPodChange) -> None:
        """Call `callback` at each change from now on; pods already here are given as added."""
        self._callbacks.append(callback)
        for facts in list(self._facts.values()):
            callback(None, facts)

    def get(self, namespace: str, name: str) -> PodFacts | None:
        """One pod, or None."""
        return self._facts.get((namespace, name))

    def all(self) -> Sequence[PodFacts]:
        """Every pod."""
        return list(self._facts.values())

    def owned_by(self, uid: str) -> Sequence[PodFacts]:
        """The pods whose controller has that uid."""
        return list(self._by["owner"].get(uid, {}).values())

    def count_owned_by(self, uid: str) -> int:
        """How many pods that controller has."""
        return len(self._by["owner"].get(uid, {}))

    def on_node(self, name: str) -> Sequence[PodFacts]:
        """The pods bound to a node."""
        return list(self._by["node"].get(name, {}).values())

    def in_namespace(self, namespace: str) -> Sequence[PodFacts]:
        """The pods of a namespace."""
        return list(self._by["namespace"].get(namespace, {}).values())

    def orphans_in(self, namespace: str) -> Sequence[PodFacts]:
        """The pods of a namespace that no controller owns."""
        return list(self._by["orphan"].get(namespace, {}).values())

    def _changed(self, old: Item | None, new: Item | None) -> None:
        key = (new or old or _missing()).key
        before = self._facts.get(key)
        after = pod_facts(new) if new is not None else None
        if before is not None and (after is None or _places(before) != _places(after)):
            self._unfile(key, before)
        if after is not None:
            self._facts[key] = after
            for index, value in _places(after):
                self._by[index].setdefault(value, {})[key] = after
        else:
            self._facts.pop(key, None)
        for callback in self._callbacks:
            callback(before, after)

    def _unfile(self, key: Key, facts: PodFacts) -> None:
        for index, value in _places(facts):
            held = self._by[index][value]
            del held[key]
            if not held:
                del self._by[index][value]


def _places(facts: PodFacts) -> tuple[tuple[str, str], ...]:
    namespace, node = facts.namespace, facts.node_name
    owned = ("owner", facts.owner_uid) if facts.owner_uid else ("orphan", namespace)
    if node:
        return (("namespace", namespace), owned, ("node", node))
    return (("namespace", namespace), owned)


def _missing() -> Item:
    raise AssertionError("a change names an object")
