"""What the registers say, as rules need it: an immutable snapshot, taken anew when a record changes.

Reads only. Secrets stay sealed in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from collector.domain.alert import Rule
from collector.domain.notification import Channel
from collector.store import registers, status
from collector.store.database import Connection

JOB = "node"
AGENT_SILENT = "agent_silent_seconds"
"""The measure of rules about hosts that are not heard."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Rules that are on, channels that are open, hosts and checks by id."""

    rules: tuple[Rule, ...] = ()
    channels: tuple[Channel, ...] = ()
    hosts: Mapping[int, Any] = field(default_factory=dict)
    checks: Mapping[int, Any] = field(default_factory=dict)
    central: Mapping[str, int] = field(default_factory=dict)  # key of a centrally defined check → its id
    watched: frozenset[int] = frozenset()  # hosts with an agent that is let in: of no other is silence news
    stopped: frozenset[int] = frozenset()  # checks that nobody is to look at: paused and retired ones
    names: Mapping[int, str] = field(default_factory=dict)  # the key of every check, those too
    closed: frozenset[int] = frozenset()  # those of them whose agents take no checks from here

    def rule(self, rule_id: int) -> Rule | None:
        """The rule of that id, while it is on."""
        return next((rule for rule in self.rules if rule.id == rule_id), None)

    def host_labels(self, host_id: int) -> dict[str, str]:
        """What identifies a host in an alert."""
        host = self.hosts.get(host_id)
        return {"instance": host.key if host else f"host-{host_id}", "job": JOB}

    def host_context(self, host_id: int) -> dict[str, str]:
        """What else rules may select by: the host's own labels, where it is and what it is for."""
        host = self.hosts.get(host_id)
        if host is None:
            return {}
        place = {"site": host.site, "environment": host.environment}
        return {**dict(host.labels), **{name: value for name, value in place.items() if value}}

    def check_name(self, check_id: int) -> str:
        """How people call a check."""
        return self.names.get(check_id, "?")


def load(connection: Connection) -> Catalogue:
    """The registers as they are now."""
    hosts = {host.id: host for host in registers.all_of(connection, "host", "active")}
    every = registers.all_of(connection, "check")
    checks = {check.id: check for check in every if check.state == "active"}
    heard = status.heard(connection)
    return Catalogue(
        rules=tuple(rule_of(record) for record in registers.all_of(connection, "rule", "active") if record.enabled),
        channels=tuple(
            channel_of(record) for record in registers.all_of(connection, "channel", "active") if record.enabled
        ),
        hosts=hosts,
        checks=checks,
        stopped=frozenset(check.id for check in every if check.state != "active"),
        names={check.id: check.key for check in every},
        central={check.key: check.id for check in checks.values() if check.origin == "central"},
        watched=frozenset(one.host_id for one in heard),
        closed=frozenset(one.host_id for one in heard if not one.accepts_checks),
    )


def rule_of(record: Any) -> Rule:
    """A rule as the domain judges by it."""
    return Rule(
        id=record.id,
        key=record.key,
        measure=record.measure,
        level=record.level,
        comparison=record.comparison,
        clear_level=record.clear_level,
        for_seconds=record.for_seconds,
        severity=record.severity,
        selector=dict(record.selector),
        summary=record.summary or record.name,
        summary_id=record.summary_id,
        advice=record.advice,
        advice_id=record.advice_id,
    )


def channel_of(record: Any) -> Channel:
    """A channel as it is told through; its secret is still sealed."""
    return Channel(
        id=record.id,
        key=record.key,
        kind=record.kind,
        url=record.url,
        secret=record.secret,
        minimum_severity=record.minimum_severity,
        send_resolved=record.send_resolved,
    )
