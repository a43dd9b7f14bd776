"""Every metric about ourselves, on one page. What it says of services and hosts is `edges.http.metrics`.

Each collector process, and each test, has a registry of its own. Counts things; decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
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
        self._define_ingest()
        self._define_decisions()
        self._define_service()

    def _define_ingest(self) -> None:
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
        self.ingest_gaps = self._counter("ingest_gaps", "Gaps: what is known to be lost, by reason.", "reason")
        self.ingest_commit = self._histogram("ingest_commit_seconds", "Time from handing a group over to its commit.")
        self.ingest_sink_failures = self._counter("ingest_sink_failures", "Failures of a part fed by ingest.", "sink")
        self.ingest_refused_rows = self._counter(
            "ingest_refused_rows", "Rows left out because their series are over a limit."
        )
        self.ingest_refused_layouts = self._counter(
            "ingest_refused_layouts", "New layouts refused because of too many series, by limit.", "limit"
        )
        self.agent_slowed = self._counter("agent_slowed_seconds", "Time that streams were not read for being too fast.")
        self.agent_streams = self._gauge("agent_streams", "Agents that are connected.")
        self.agent_refused = self._counter("agent_refused", "Streams refused, by reason.", "reason")
        self.enrolments = self._counter(
            "enrolments", "Requests for a certificate: enrolled, renewed, refused, limited.", "result"
        )

    def _define_decisions(self) -> None:
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

    def _define_service(self) -> None:
        self.http_seconds = self._histogram("http_request_seconds", "Server time of HTTP requests.", "route", "status")
        self.sign_ins = self._counter("sign_ins", "Tries to sign in: ok, wrong, slowed.", "result")
        self.live_streams = self._gauge("live_streams", "Browsers that follow a live stream.")
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


SERIES_GAUGES = (
    ("series_hosts", "Hosts with a row in the last five minutes.", "hosts"),
    ("series_active", "Series with a row in the last five minutes.", "series"),
    ("series_head_rows", "Rows in memory that are not in a block yet.", "head_rows"),
    ("series_head_bytes", "Memory of those rows.", "head_bytes"),
    ("series_journal_records", "Journal records that would be replayed after a kill.", "journal_records"),
)
SERIES_COUNTERS = (
    ("series_duplicate_rows", "Rows left out because a row with their time was stored before.", "duplicate_rows"),
    ("series_too_old_rows", "Rows refused because retention has passed their time.", "too_old_rows"),
    ("series_unreadable_rows", "Rows without a known layout or of a wrong length.", "unreadable_rows"),
    ("series_damaged_blocks", "Times that a damaged block was met and not served.", "damaged_blocks"),
    ("series_damaged_records", "Damaged journal records skipped at the start.", "damaged_records"),
)


def series_families(statistics: Any, *, now_ms: int) -> list[Metric]:
    """What the series store holds; `statistics` is `collector.store.series.Statistics`, read for this scrape."""
    families = [gauge(name, text, [((), getattr(statistics, source))], ()) for name, text, source in SERIES_GAUGES]
    for name, text, source in SERIES_COUNTERS:
        counter: Any = CounterMetricFamily(f"sigap_{name}", text, value=getattr(statistics, source))
        families.append(counter)
    oldest_ms = statistics.journal_oldest_ms
    age = 0.0 if oldest_ms is None else max(0.0, (now_ms - oldest_ms) / 1000)
    families.append(gauge("series_journal_age_seconds", "Age of the oldest journal record.", [((), age)], ()))
    blocks = [((str(resolution_ms // 1000),), float(count)) for resolution_ms, count in statistics.blocks.items()]
    families.append(gauge("series_blocks", "Blocks by resolution; 0 is raw.", blocks, ("resolution_seconds",)))
    return families


def gauge(name: str, text: str, values: Iterable[tuple[tuple[str, ...], float]], labels: tuple[str, ...]) -> Metric:
    """A gauge family from (label values, value) pairs."""
    family: Any = GaugeMetricFamily(f"sigap_{name}", text, labels=labels)
    for label_values, value in values:
        family.add_metric(label_values, value)
    return family  # type: ignore[no-any-return]
