"""The meters in Prometheus' text format, with upstream's names and help texts.

Apart from `metrics`, so that the library is loaded when somebody scrapes for the first time.
"""

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from ekslab.kube.api.ports import Document
from ekslab.kube.apiserver.metrics import BUCKETS_S, Metrics

_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
_LABELS: Final = ("verb", "group", "version", "resource", "subresource", "scope")


def document(metrics: Metrics) -> Document:
    """All meters of a server."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(metrics))
    return Document(generate_latest(registry), _TEXT)


class _Families:
    """A collector of prometheus-client."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def describe(self) -> list[Metric]:
        """Nothing ahead: registering must not collect."""
        return []

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
        for key, series in self._metrics.series.items():
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
        inflight.add_metric(("readOnly",), self._metrics.inflight_reads)
        inflight.add_metric(("mutating",), self._metrics.inflight_writes)
        yield inflight
        running = GaugeMetricFamily(
            "apiserver_longrunning_requests",
            "Gauge of all active long-running apiserver requests.",
            labels=("verb",),
        )
        running.add_metric(("WATCH",), self._metrics.watches)
        yield running
        objects = GaugeMetricFamily(
            "apiserver_storage_objects",
            "Number of stored objects at the time of last check split by kind.",
            labels=("resource",),
        )
        for name, count in self._metrics.object_counts().items():
            objects.add_metric((name,), count)
        yield objects
        yield GaugeMetricFamily(
            "ekslab_event_loop_stall_seconds_max",
            "Longest time the event loop was held up while requests were answered, since this was"
            " read last.",
            value=self._metrics.stalls.take_longest_s(),
        )


def _cumulated(counts: list[int]) -> list[tuple[str, float]]:
    total = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip((*BUCKETS_S, "+Inf"), counts, strict=True):
        total += count
        buckets.append((str(bound), total))
    return buckets
