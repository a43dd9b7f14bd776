"""What answers of the REST interface hold, for its OpenAPI document; a test holds real answers against them.

Types only. Records are described by their registers, and are not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypedDict

from msgspec import Meta

from collector.domain.trust import TokenRecord
from collector.edges.http import services
from collector.edges.http.audience import SwitchedOff
from collector.flows.live import Vitals as VitalNumbers
from collector.store.alerts import Event as AlertEvent
from collector.store.board import CheckLine, HostLine, ServiceLine
from collector.store.outbox import Attempt as DeliveryAttempt

Strip = Annotated[list[services.Strip], Meta(description="Pieces as [since_ms, until_ms, state, reason].")]
Vitals = Annotated[
    VitalNumbers | None, Meta(description="[wall_ms, cpu, memory, swap, fullest filesystem, load per CPU]; ratios.")
]
Events = Annotated[list[AlertEvent], Meta(description="[alert_id, kind, at_ms, known_ms, detail], in order.")]
Attempts = Annotated[list[DeliveryAttempt], Meta(description="[at_ms, took_ms, ok, status, detail], in order.")]
Percentage = Annotated[str, Meta(description="Cut off and never rounded up; empty when nothing was measured.")]
AsItCame = Annotated[dict[str, Any], Meta(description="The document as the agent sent it.")]


class Counted(TypedDict):
    """An outage, or a stretch without evidence; `counted_ms` of them add up."""

    since_ms: int
    until_ms: int
    counted_ms: int
    state: str
    reason: str
    is_open: bool


class MonthOfService(TypedDict):
    """A service's month: agreed_ms = up_ms + down_ms + unknown_ms."""

    month: str
    since_ms: int
    until_ms: int
    period_until_ms: int
    is_over: bool
    is_partial: bool
    promised: bool
    objective: str | None
    time_zone: str
    verdict: Annotated[str, Meta(description="met, on_track, at_risk, breached, not_provable; none without objective")]
    agreed_ms: int
    ahead_ms: int
    up_ms: int
    down_ms: int
    degraded_ms: int
    unknown_ms: int
    excluded_ms: int
    measured: Percentage
    strict: Percentage
    lenient: Percentage
    coverage: Percentage
    allowance_ms: int
    budget_used: float | None
    budget_left_ms: int
    forecast_ms: int | None
    outages: list[Counted]
    gaps: list[Counted]
    count: int
    longest_ms: int | None
    mtrs_ms: float | None
    mtbf_ms: float | None


class StateChange(TypedDict):
    """Something went from one state to another."""

    at_ms: int
    before: str
    after: str
    reason: str


class RecentChange(StateChange):
    """The same, with whose state it was."""

    subject: str
    key: str
    name: str
    name_id: str


class AlertShown(TypedDict):
    """An alert as it stands."""

    id: int
    state: str
    severity: str
    rule: str
    host: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    value: float
    pending_ms: int | None
    fired_ms: int | None
    resolved_ms: int | None
    acknowledged_ms: int | None
    acknowledged_by: str | None


class Alerts(TypedDict):
    """Alerts that fire now, worst first."""

    alerts: list[AlertShown]


class AlertHistory(TypedDict):
    """One page of the alerts that fired, newest first."""

    alerts: list[AlertShown]
    page: int
    has_more: bool


class MessageShown(TypedDict):
    """A notification to one channel, and how its delivery went."""

    id: int
    channel: str
    alert_id: int | None
    event: str
    summary: str
    summary_id: str
    state: Annotated[str, Meta(description="waiting, delivered, dead or dismissed")]
    created_ms: int
    delivered_ms: int | None
    due_ms: int
    last_error: str
    attempts: Attempts


class Messages(TypedDict):
    """One page of what was sent to a channel, or is to be."""

    messages: list[MessageShown]
    page: int
    has_more: bool


class Subject(TypedDict):
    """The check that an alert is about, if any, and the services that rest on it."""

    check: CheckLine | None
    services: list[ServiceLine]


class AlertWithHistory(TypedDict):
    """An alert, the check and the services it is about, what happened to it, and who was told."""

    alert: AlertShown
    about: Subject
    events: Events
    messages: list[MessageShown]


class ServiceToday(TypedDict):
    """A service with its last 24 hours."""

    service: ServiceLine
    strip: Strip


class ServiceThisMonth(ServiceToday):
    """The same with its month so far; null for one that never was measured."""

    month: MonthOfService | None


class Services(TypedDict):
    """Every service."""

    services: list[ServiceThisMonth]
    since_ms: int
    until_ms: int


class ServiceStatus(TypedDict):
    """One service: a window of its timeline, a month with its evidence, and what it is made of."""

    service: ServiceLine
    roll_up: str
    k: int
    window: str
    ranges: Mapping[str, int]
    since_ms: int
    until_ms: int
    strip: Strip
    month: MonthOfService | None
    month_strip: Strip
    previous: str | None
    next: str | None
    checks: list[CheckLine]
    transitions: list[StateChange]


class CheckStatus(TypedDict):
    """What a check finds now and found over a span."""

    state: str
    since_ms: int | None
    reason: str
    range: str
    ranges: Mapping[str, int]
    span: SpanAsked
    strip: Strip
    transitions: list[StateChange]


class SpanAsked(TypedDict):
    """A span of time, Unix milliseconds."""

    since_ms: int
    until_ms: int


class Overview(TypedDict):
    """What is wrong now, services, hosts and what changed lately."""

    alerts: list[AlertShown]
    channels: Annotated[int, Meta(description="How many are open: with none, nobody is told.")]
    switched_off: Annotated[list[SwitchedOff], Meta(description="Channels whose receiver answered 410 Gone.")]
    bad_checks: list[CheckLine]
    silent_hosts: list[HostLine]
    check_counts: Mapping[str, int]
    host_counts: Mapping[str, int]
    hosts: list[HostLine]
    host_total: int
    has_agents: bool
    services: list[ServiceToday]
    since_ms: int
    until_ms: int
    recent: list[RecentChange]


class HostNow(TypedDict):
    """A host with its newest numbers, and how busy it was, minute by minute of the last hour."""

    host: HostLine
    vitals: Vitals
    cpu: list[float | None]


class Hosts(TypedDict):
    """One page of hosts, narrowed and ordered as asked."""

    hosts: list[HostNow]
    total: int
    all: int
    counts: Mapping[str, int]
    check_states: list[str]
    page: int
    size: int
    sort: str
    search: str
    sites: list[str]
    environments: list[str]
    chosen: Mapping[str, str]


class CheckToday(TypedDict):
    """A check with its last 24 hours."""

    check: CheckLine
    strip: Strip


class Mark(TypedDict):
    """When at least one check was in a state."""

    since: int
    until: int
    state: str


class Told(TypedDict):
    """A document of an agent."""

    wall_ms: int
    body: AsItCame


class FullestFilesystem(TypedDict):
    """The fullest filesystem that can be written to."""

    mountpoint: str
    used_ratio: float
    size_bytes: float
    left_bytes: float


class ChartNamed(TypedDict):
    """A chart that a host has."""

    key: str
    title: str
    unit: str
    kind: str
    high: float | None
    words: list[str]


class HostStatus(TypedDict):
    """One host: newest numbers, checks, processes, facts and proposals."""

    host: HostLine
    phase: str
    version: int
    checks: list[CheckToday]
    last_day: Annotated[list[int], Meta(description="[since_ms, until_ms] of the strips.")]
    marks: list[Mark]
    processes: Told | None
    process_rows: list[dict[str, Any]]
    facts: Told | None
    proposals: list[dict[str, Any]]
    accepts_checks: bool
    range: str
    ranges: Mapping[str, int]
    span: SpanAsked
    is_live: bool
    vitals: Vitals
    fullest: FullestFilesystem | None
    charts: list[ChartNamed]


class LineDrawn(TypedDict):
    """A line of a chart: as many values as the chart has times; null where nothing is known."""

    label: str
    values: list[float | None]


class ChartDrawn(TypedDict):
    """Lines over common times."""

    times: list[int]
    series: list[LineDrawn]
    since_ms: int
    until_ms: int


class Charts(TypedDict):
    """Every chart of a host, by its key."""

    charts: Mapping[str, ChartDrawn]


class EnrolmentTokens(TypedDict):
    """Tokens that were issued lately, newest first, without their secrets."""

    tokens: list[TokenRecord]


class Key(TypedDict):
    """The key of what was made."""

    key: str
