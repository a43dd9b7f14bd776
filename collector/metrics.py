"""Every metric about ourselves, on one page. What it says of services and hosts is `edges.http.metrics`.

Each collector process, and each test, has a registry of its own. Counts things; decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.metrics import disable_created_metrics
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector as Source

FAST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """The collector's counters, gauges and histograms; names start with `sigap_`."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        # Ingest.
        self.ingest_samples = self._counter("ingest_samples", "Samples that are committed and acknowledged.")
        self.ingest_rows = self._counter("ingest_rows", "Rows (one beat of one layout) that are committed.")
        self.ingest_batches = self._counter(
            "ingest_batches",
            "Batches by what became of them: accepted, duplicate, conflict, quarantined, nack.",
            "result",
        )
        self.ingest_gap_samples = self._counter(
            "ingest_gap_samples", "Samples that agents declared lost, by reason.", "reason"
        )
        self.ingest_commit = self._histogram("ingest_commit_seconds", "Time from handing a group over to its commit.")
        self.ingest_sink_failures = self._counter("ingest_sink_failures", "Failures of a part fed by ingest.", "sink")
        self.agent_streams = self._gauge("agent_streams", "Agents that are connected.")
        self.agent_refused = self._counter("agent_refused", "Streams refused, by reason.", "reason")
        self.enrolments = self._counter(
            "enrolments", "Requests for a certificate: enrolled, renewed, refused, limited.", "result"
        )
        # Deciding and telling.
        self.evaluate_seconds = self._histogram("evaluate_seconds", "Time to judge one group of rows or one tick.")
        self.evaluate_failures = self._counter("evaluate_failures", "Evaluations that failed.")
        self.transitions = self._counter(
            "transitions", "Changes of state, by subject and new state.", "subject", "state"
        )
        self.alert_events = self._counter(
            "alert_events", "Alerts that fired or resolved, by severity.", "event", "severity"
        )
        self.deliveries = self._counter(
            "deliveries", "Attempts to deliver a notification, by kind of channel and result.", "kind", "result"
        )
        self.delivery_seconds = self._histogram("delivery_seconds", "Duration of one delivery attempt.")
        # Asking.
        self.http_seconds = self._histogram("http_request_seconds", "Server time of HTTP requests.", "route", "status")
        self.live_streams = self._gauge("live_streams", "Browsers that follow a live stream.")
        # Housekeeping.
        self.timer_runs = self._counter("timer_runs", "Runs of a periodic job by result.", "job", "result")
        self.timer_last = self._gauge("timer_last_success_timestamp_seconds", "When a job last succeeded.", "job")
        self.build = self._gauge("build_info", "Version of the collector.", "version")

    def observe(self, source: Callable[[], Iterable[Metric]]) -> None:
        """Ask `source` for more families at each scrape: sizes and depths that are read, not counted."""
        self.registry.register(_Called(source))

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"sigap_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"sigap_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(f"sigap_{name}", text, labels, buckets=FAST_SECONDS, registry=self.registry)


class _Called(Source):
    def __init__(self, source: Callable[[], Iterable[Metric]]) -> None:
        self._source = source

    def collect(self) -> Iterable[Metric]:
        return self._source()

    def describe(self) -> Iterable[Metric]:
        # Asking the source while registering would read the store before it is open.
        return ()


def gauge(name: str, text: str, values: Iterable[tuple[tuple[str, ...], float]], labels: tuple[str, ...]) -> Metric:
    """A gauge family from (label values, value) pairs."""
    family: Any = GaugeMetricFamily(f"sigap_{name}", text, labels=labels)
    for label_values, value in values:
        family.add_metric(label_values, value)
    return family  # type: ignore[no-any-return]
