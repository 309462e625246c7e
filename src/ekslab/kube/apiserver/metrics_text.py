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
from ekslab.kube.apiserver.flow_control.control import FlowControl
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
        yield from _flow_control(self._metrics.flow_control)
        yield GaugeMetricFamily(
            "ekslab_event_loop_stall_seconds_max",
            "Longest time the event loop was held up while requests were answered, since this was"
            " read last.",
            value=self._metrics.stalls.take_longest_s(),
        )


def _flow_control(control: FlowControl) -> Iterator[Metric]:
    """Upstream: `apiserver/pkg/util/flowcontrol/metrics`."""
    prefix, both = "apiserver_flowcontrol", ("flow_schema", "priority_level")
    executing = GaugeMetricFamily(
        f"{prefix}_current_executing_requests",
        "Number of requests in initial (for a WATCH) or any (for a non-WATCH) execution stage in"
        " the API Priority and Fairness subsystem",
        labels=both,
    )
    waiting = GaugeMetricFamily(
        f"{prefix}_current_inqueue_requests",
        "Number of requests currently pending in queues of the API Priority and Fairness subsystem",
        labels=both,
    )
    dispatched = CounterMetricFamily(
        f"{prefix}_dispatched_requests",
        "Number of requests executed by API Priority and Fairness subsystem",
        labels=both,
    )
    rejected = CounterMetricFamily(
        f"{prefix}_rejected_requests",
        "Number of requests rejected by API Priority and Fairness subsystem",
        labels=(*both, "reason"),
    )
    for schema in control.schemas:
        names = (schema.name, schema.level)
        executing.add_metric(names, schema.executing)
        waiting.add_metric(names, schema.waiting)
        dispatched.add_metric(names, schema.dispatched)
        for reason, count in schema.rejected.items():
            rejected.add_metric((*names, reason), count)
    nominal = GaugeMetricFamily(
        f"{prefix}_nominal_limit_seats",
        "Nominal number of execution seats configured for each priority level",
        labels=("priority_level",),
    )
    for level in control.seats.levels.values():
        nominal.add_metric((level.name,), level.nominal)
    yield from (executing, waiting, dispatched, rejected, nominal)


def _cumulated(counts: list[int]) -> list[tuple[str, float]]:
    total = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip((*BUCKETS_S, "+Inf"), counts, strict=True):
        total += count
        buckets.append((str(bound), total))
    return buckets
