"""`/metrics`: the collector's own health, and what it says of services, hosts, agents, alerts and messages.

Ids are labels, names stand only on the `_info` families and are joined by them. What hosts measured is `federate`'s.
The families about services are read at most every few seconds, whoever scrapes.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from fractions import Fraction

from aiohttp import web
from prometheus_client.core import Metric
from prometheus_client.registry import CollectorRegistry

from collector.domain.access import Standing
from collector.domain.sample import State
from collector.domain.sla import Verdict
from collector.edges.http.context import Context, context_of
from collector.edges.http.exposition import Family, escaped, format_of, gauge, number
from collector.edges.http.routing import Permission, Route
from collector.metrics import series_families
from collector.store import accounts, agents, alerts, outbox, registers, sessions, sla, status
from collector.store.database import Connection

FRESH_MS = 5_000
"""How long one reading of the database serves every scraper."""


async def metrics(request: web.Request) -> web.Response:
    """Every family, in the format that the scraper asks for."""
    context, wanted = context_of(request), format_of(request.headers.get("Accept", ""))
    store, read = await _read(context)

    def encode() -> bytes:
        own = wanted.encode(_Both(context.metrics.registry, store)).removesuffix(wanted.end.encode())
        return b"".join((own, read, wanted.end.encode()))

    return web.Response(body=await asyncio.to_thread(encode), headers={"Content-Type": wanted.content_type})


async def _read(context: Context) -> tuple[list[Metric], bytes]:
    """What the store says of itself, and the text of what the database says of everything else."""
    kept, now_ms = context.scrape, context.clock()
    if not kept or now_ms - kept["at_ms"] >= FRESH_MS:
        statistics = await asyncio.to_thread(context.series.statistics)
        text = await context.db.read(lambda connection: _text(connection, now_ms))
        kept.update(at_ms=now_ms, store=series_families(statistics, now_ms=now_ms), text=text)
    return kept["store"], kept["text"]


def _text(connection: Connection, now_ms: int) -> bytes:
    return "".join(family.text for family in families(connection, now_ms)).encode()


def families(connection: Connection, now_ms: int) -> Iterator[Family]:
    """What the database says: services, checks, hosts, agents, alerts, messages."""
    yield from _services(connection, now_ms)
    yield from _subjects(connection)
    yield from _agents(connection, now_ms)
    yield from _accounts(connection, now_ms)
    counts = alerts.counts(connection)
    yield gauge("alerts", "Alerts that are pending or firing.", counts.items(), ("state", "severity"))
    backlog = outbox.backlog(connection)
    yield gauge("outbox_waiting_messages", "Notifications that are not delivered yet.", [((), backlog.waiting)], ())
    yield gauge("outbox_dead_messages", "Notifications that were given up.", [((), backlog.dead)], ())
    oldest = (now_ms - backlog.oldest_ms) / 1_000 if backlog.oldest_ms is not None else 0.0
    yield gauge("outbox_oldest_seconds", "Age of the oldest notification that waits.", [((), oldest)], ())


def _services(connection: Connection, now_ms: int) -> Iterator[Family]:
    records = {one.id: one for one in registers.all_of(connection, "service")}
    history = sla.versions(connection)
    info = [((one.key, one.name, one.criticality, one.owner), 1.0) for one in records.values()]
    yield gauge("service_info", "Names of services.", info, ("service", "name", "criticality", "owner"))
    found = {}
    material = sla.gather_month(connection, history.values(), now_ms=now_ms)
    for service_id, versions in history.items():
        month = sla.month_in(versions, now_ms)
        one = sla.availability(connection, service_id, month, now_ms=now_ms, history=versions, material=material)
        if one is not None and service_id in records:
            found[records[service_id].key] = one
    yield from _availability(found)


def _availability(found: dict[str, sla.Availability]) -> Iterator[Family]:
    def bounds(one: sla.Availability) -> Iterable[tuple[str, Fraction | None]]:
        judged = one.evaluation
        return (("strict", judged.strict), ("lenient", judged.lenient), ("measured", judged.measured))

    ratios = [
        ((key, bound), float(value)) for key, one in found.items() for bound, value in bounds(one) if value is not None
    ]
    text = "Availability of the calendar month so far: strict counts unknown as down, lenient as up."
    yield gauge("service_availability_ratio", text, ratios, ("service", "bound"))
    for name, text in (
        ("agreed", "Agreed service time of the month so far."),
        ("up", "Time that counts as available."),
        ("down", "Time that counts as not available; the outages add up to it."),
        ("unknown", "Time without evidence."),
    ):
        seconds = [((key,), getattr(one.evaluation, f"{name}_ms") / 1_000) for key, one in found.items()]
        yield gauge(f"service_{name}_seconds", text, seconds, ("service",))
    promised = {key: one.evaluation for key, one in found.items() if one.promised}
    targets = [((key,), float(one.objective.target)) for key, one in promised.items()]
    yield gauge("service_availability_objective_ratio", "The promise.", targets, ("service",))
    budget = [((key,), one.budget.allowance_ms / 1_000) for key, one in promised.items()]
    yield gauge("service_error_budget_seconds", "Downtime that the promise allows in the month.", budget, ("service",))
    left = [((key,), one.budget.left_ms / 1_000) for key, one in promised.items()]
    text = "Allowance that is left; negative after a breach."
    yield gauge("service_error_budget_left_seconds", text, left, ("service",))
    verdicts = [
        ((key, verdict.value), float(one.verdict is verdict)) for key, one in promised.items() for verdict in Verdict
    ]
    text = "1 for what can be said of the promise by now; met only once its month is over."
    yield gauge("service_verdict", text, verdicts, ("service", "verdict"))


def _subjects(connection: Connection) -> Iterator[Family]:
    for subject in ("service", "check", "host"):
        keys = registers.keys_in_use(connection, subject)
        now = status.present(connection, subject)
        name = f"sigap_{subject}_state"
        # Four lines for each of thousands of subjects, of which only the key differs.
        lines = {
            state: "".join(
                f'{name}{{{subject}="\0",state="{one.word}"}} {number(float(one is state))}\n' for one in State
            )
            for state in State
        }
        states = {one: now[one].state if one in now else State.UNKNOWN for one in keys}
        told = "".join(lines[states[one]].replace("\0", escaped(key)) for one, key in keys.items())
        yield Family(name, f"1 for the state that the {subject} is in.", (subject, "state"), told)


def _agents(connection: Connection, now_ms: int) -> Iterator[Family]:
    hosts = {one.id: one for one in registers.all_of(connection, "host")}
    info = [((one.key, one.name, one.site, one.environment), 1.0) for one in hosts.values()]
    yield gauge("host_info", "Names of hosts.", info, ("host", "name", "site", "environment"))
    active = [one for one in agents.list_agents(connection) if one.status == agents.ACTIVE and one.host_id in hosts]
    key_of = {one.id: hosts[one.host_id].key for one in active}
    seen = [((key_of[one.id],), (now_ms - one.last_seen_ms) / 1_000) for one in active if one.last_seen_ms is not None]
    yield gauge("agent_silent_seconds", "Time since the agent was last heard.", seen, ("host",))
    spool = [((key_of[one.id],), float(one.spool_bytes)) for one in active]
    # Not sigap_agent_spool_bytes: that is what the agent itself measures, with every beat.
    yield gauge("agent_greeted_spool_bytes", "Size of the agent's spool when it last connected.", spool, ("host",))
    lost = [((key_of[one.id],), float(one.gap_samples)) for one in active]
    yield gauge("agent_gap_samples", "Samples that the agent declared lost.", lost, ("host",))
    ends = [((key_of[one.id],), one.certificate_until_ms / 1_000) for one in active if one.certificate_until_ms]
    yield gauge("agent_certificate_expiry_timestamp_seconds", "End of the agent's certificate.", ends, ("host",))


def _accounts(connection: Connection, now_ms: int) -> Iterator[Family]:
    standings = Counter(one.standing for one in accounts.everybody(connection))
    values = [((standing.value,), float(standings[standing])) for standing in Standing]
    yield gauge("accounts", "Accounts by state: active, invited, disabled.", values, ("state",))
    text = "Sessions of people; one that nobody used any more is counted for ten minutes longer."
    yield gauge("sessions", text, [((), sessions.kept(connection, now_ms))], ())


class _Both(CollectorRegistry):
    """A registry and families that were read beside it, as one for the encoders."""

    def __init__(self, registry: CollectorRegistry, read: Iterable[Metric]) -> None:
        super().__init__(auto_describe=False)
        self._parts = (registry, read)

    def collect(self) -> Iterator[Metric]:
        registry, read = self._parts
        yield from registry.collect()
        yield from read


ROUTES = (Route("GET", "/metrics", metrics, Permission.VIEW, "Metrics in Prometheus' text format."),)
