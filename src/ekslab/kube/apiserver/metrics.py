"""Meters of one API server, with upstream's names.

Upstream: `apiserver/pkg/endpoints/metrics`, `pkg/storage/etcd3/metrics`. A request costs one lookup
and a bisection; families are made when somebody asks for them.
"""

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Final

from ekslab.kit.stalls import StallProbe
from ekslab.kube.api.requests import ApiRequest
from ekslab.kube.apiserver.flow_control.control import FlowControl
from ekslab.kube.apiserver.registry import Registry
from ekslab.kube.store.port import Store

BUCKETS_S: Final = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8,
                     10, 15, 20, 30, 45, 60)  # fmt: skip
_SERIES_MOST: Final = 4_096
_VERBS: Final = {
    "get": "GET",
    "list": "LIST",
    "watch": "WATCH",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
    "deletecollection": "DELETECOLLECTION",
}
_Key = tuple[str, str, str, str, str, str]


@dataclass(slots=True)
class Series:
    """Requests of one kind: how many by code, and how long they took."""

    codes: dict[int, int] = field(default_factory=dict)
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    total_s: float = 0.0


class Metrics:
    """Counts requests and seconds; knows open requests, watches and stored objects."""

    def __init__(self, store: Store, registry: Registry, flow_control: FlowControl) -> None:
        self._store = store
        self._served = registry
        self.flow_control = flow_control
        self.series: dict[_Key, Series] = {}
        self.inflight_reads = 0
        self.inflight_writes = 0
        self.watches = 0
        self.stalls = StallProbe()

    def count(self, request: ApiRequest, code: int, seconds: float) -> None:
        """Note one answered request; for a watch, `seconds` are those until it was open."""
        key = _key(request)
        series = self.series.get(key)
        if series is None:
            if not self._is_served(request):
                key = (key[0], "", "", "", "", "")
            if key not in self.series and len(self.series) >= _SERIES_MOST:
                return
            series = self.series.setdefault(key, Series())
        series.codes[code] = series.codes.get(code, 0) + 1
        series.buckets[bisect_left(BUCKETS_S, seconds)] += 1
        series.total_s += seconds

    def _is_served(self, request: ApiRequest) -> bool:
        """Whether the names in a path are ours; others are the clients' to choose, and endless."""
        served = self._served.find(request.resource) if request.resource is not None else None
        if served is None:
            return False
        sub = request.subresource
        return not sub or served.info.subresource(sub) is not None

    def object_counts(self) -> dict[str, int]:
        """How many objects of each type are stored."""
        names = sorted({served.storage for served in self._served})
        return {name: len(self._store.published_all(name)) for name in names}


def _key(request: ApiRequest) -> _Key:
    resource = request.resource
    verb = _VERBS.get(request.verb, request.verb.upper())
    if resource is None:
        return (verb, "", "", "", "", "")
    scope = "resource" if request.name else ("namespace" if request.namespace else "cluster")
    if request.verb == "patch" and request.content_type.startswith("application/apply-patch"):
        verb = "APPLY"
    return (verb, resource.group, resource.version, resource.plural, request.subresource, scope)
