"""Meters of one API server, with upstream's names.

Upstream: `apiserver/pkg/endpoints/metrics`, `pkg/storage/etcd3/metrics`. A request costs one lookup
and a bisection; families are made when somebody asks for them.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from ekslab.kube.api.ports import Document
from ekslab.kube.api.requests import ApiRequest
from ekslab.kube.apiserver.registry import Registry
from ekslab.kube.store.port import Store

_BUCKETS_S: Final = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8,
                     10, 15, 20, 30, 45, 60)  # fmt: skip
_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
_LABELS: Final = ("verb", "group", "version", "resource", "subresource", "scope")
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
class _Series:
    """Requests of one kind: how many by code, and how long they took."""

    codes: dict[int, int] = field(default_factory=dict)
    buckets: list[int] = field(default_factory=lambda: [0] * (len(_BUCKETS_S) + 1))
    total_s: float = 0.0


class Metrics:
    """Counts requests and seconds; knows open requests, watches and stored objects."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._served = registry
        self._series: dict[_Key, _Series] = {}
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self.inflight_reads = 0
        self.inflight_writes = 0
        self.watches = 0

    def count(self, request: ApiRequest, code: int, seconds: float) -> None:
        """Note one answered request; for a watch, `seconds` are those until it was open."""
        key = _key(request)
        series = self._series.get(key)
        if series is None:
            if len(self._series) >= _SERIES_MOST:
                return
            series = self._series[key] = _Series()
        series.codes[code] = series.codes.get(code, 0) + 1
        series.buckets[bisect_left(_BUCKETS_S, seconds)] += 1
        series.total_s += seconds

    def document(self) -> Document:
        """All meters in Prometheus' text format."""
        return Document(generate_latest(self._registry), _TEXT)

    def collect(self) -> Iterator[Metric]:
        """The families, for prometheus-client."""
        requests = CounterMetricFamily(
            "apiserver_request",
            "Counter of apiserver requests broken out for each verb, group, version, resource,"
            " scope, component, and HTTP response code.",
            labels=(*_LABELS, "component", "code"),
        )
        durations = HistogramMetricFamily(
            "apiserver_request_duration_seconds",
            "Response latency distribution in seconds for each verb, group, version, resource,"
            " subresource, scope and component.",
            labels=(*_LABELS, "component"),
        )
        for key, series in self._series.items():
            for code, count in series.codes.items():
                requests.add_metric((*key, "apiserver", str(code)), count)
            durations.add_metric(
                (*key, "apiserver"), buckets=_cumulated(series.buckets), sum_value=series.total_s
            )
        yield requests
        yield durations
        yield from self._gauges()

    def _gauges(self) -> Iterator[Metric]:
        inflight = GaugeMetricFamily(
            "apiserver_current_inflight_requests",
            "Requests that are being answered, by kind.",
            labels=("request_kind",),
        )
        inflight.add_metric(("readOnly",), self.inflight_reads)
        inflight.add_metric(("mutating",), self.inflight_writes)
        yield inflight
        running = GaugeMetricFamily(
            "apiserver_longrunning_requests",
            "Gauge of all active long-running apiserver requests.",
            labels=("verb",),
        )
        running.add_metric(("WATCH",), self.watches)
        yield running
        objects = GaugeMetricFamily(
            "apiserver_storage_objects",
            "Number of stored objects at the time of last check split by kind.",
            labels=("resource",),
        )
        for name in sorted({served.storage for served in self._served}):
            objects.add_metric((name,), len(self._store.published_all(name)))
        yield objects


def _key(request: ApiRequest) -> _Key:
    resource = request.resource
    verb = _VERBS.get(request.verb, request.verb.upper())
    if resource is None:
        return (verb, "", "", "", "", "")
    scope = "resource" if request.name else ("namespace" if request.namespace else "cluster")
    if request.verb == "patch" and request.content_type.startswith("application/apply-patch"):
        verb = "APPLY"
    return (verb, resource.group, resource.version, resource.plural, request.subresource, scope)


def _cumulated(counts: list[int]) -> list[tuple[str, float]]:
    total = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip((*_BUCKETS_S, "+Inf"), counts, strict=True):
        total += count
        buckets.append((str(bound), total))
    return buckets
