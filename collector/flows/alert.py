"""Transitions of alerts on their way into the record: the alert, its event and the messages about it, all or nothing.

Runs inside the transaction of whatever was observed. When an alert begins or ends is `domain.alert`'s decision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from collector.domain.alert import Alert, AlertState, Rule, fingerprint
from collector.domain.measure import MEASURES, shown
from collector.domain.message import Message, Words, fill, placeholders
from collector.domain.notification import FIRING, RESOLVED, Notification
from collector.flows.catalogue import AGENT_SILENT, Catalogue
from collector.languages import in_language
from collector.metrics import Metrics
from collector.store import alerts, outbox, registers
from collector.store.alerts import Event, Kept
from collector.store.database import Connection

TEXTS = ("summary", "summary_id", "advice", "advice_id")
COMMON_WORDS = ("host", "value", "level", "instance", "job", "alertname", "severity", "site", "environment")
"""What the texts of every rule may name."""
UNKNOWN_WORD = Words(
    "names {0}, which no alert of this rule has; known are: {1}",
    "menyebut {0}, yang tidak dimiliki peringatan aturan ini; yang dikenal: {1}",
)


@dataclass(frozen=True, slots=True)
class Change:
    """An alert before and after; `after` is None for a pending one that came to nothing."""

    before: Kept | None
    after: Kept | None
    why: str = ""  # for the event, where it is not the value that changed

    @property
    def event(self) -> str | None:
        """What there is to tell, if anything."""
        after = self.after.alert.state if self.after else None
        before = self.before.alert.state if self.before else None
        if after is before:
            return None
        return {AlertState.FIRING: FIRING, AlertState.RESOLVED: RESOLVED}.get(after) if after else None


def about(
    rule: Rule,
    identity: Mapping[str, str],
    alert: Alert,
    *,
    context: Mapping[str, str] | None = None,
    words: Mapping[str, str] | None = None,
) -> Kept:
    """A new alert of `rule` in words; `subject` and the ids are filled in by who observed it.

    Args:
        rule: The rule.
        identity: Labels that say what it is about.
        alert: How it stands.
        context: Further labels worth sending, which do not make it another alert.
        words: Further words for the texts, which are no labels.
    """
    named = {"alertname": rule.key, **identity}
    labels = {**(context or {}), **named, "severity": rule.severity}
    kept = Kept(rule.id, fingerprint(named), "", 0, None, rule.severity, labels, alert)
    return replace(kept, annotations=worded(rule, {**(words or {}), **labels}, alert))


def worded(rule: Rule, labels: Mapping[str, str], alert: Alert) -> dict[str, str]:
    """What people read, with the value as it stands."""
    value, level = shown(rule.measure, alert.value), shown(rule.measure, rule.level)
    words = {**labels, "value": value, "host": labels.get("instance", ""), "level": level}
    translated = {name: in_language(word, "id") for name, word in words.items()}
    texts = {
        "summary": rule.summary or rule.key,
        "summary_id": rule.summary_id,
        "advice": rule.advice,
        "advice_id": rule.advice_id,
    }
    filled = {name: fill(text, translated if name.endswith("_id") else words) for name, text in texts.items() if text}
    return filled | {"value": str(value), "value_id": translated["value"]}


def review(connection: Connection, rule: Any, before: Any) -> dict[str, Words]:
    """Texts of a rule that name what no alert of it has; meant for `Registrar.on_review`.

    Labels of hosts are known as far as some host has them, or the rule selects by them.
    """
    changed = [name for name in TEXTS if getattr(rule, name) != getattr(before, name, "")]
    asked = {name: placeholders(getattr(rule, name)) for name in changed}
    if not any(asked.values()) or rule.measure not in MEASURES:
        return {}
    known = [*COMMON_WORDS, *MEASURES[rule.measure].words]
    known += sorted({*rule.selector, *(name for host in registers.all_of(connection, "host") for name in host.labels)})
    return {
        name: UNKNOWN_WORD.fill(f"{{{unknown[0]}}}", ", ".join(dict.fromkeys(known)))
        for name, words in asked.items()
        if (unknown := [word for word in words if word not in known])
    }


def record(
    connection: Connection, changes: Sequence[Change], catalogue: Catalogue, *, now_ms: int
) -> list[Kept | None]:
    """Keep changes, in order, and whom to tell; returns how each alert stands now, with its id."""
    new = [change.after for change in changes if change.before is None and change.after is not None]
    fresh = iter(alerts.begin(connection, new))
    begun: dict[tuple[int, str], int] = {}
    lapsed: list[int] = []
    saved: dict[int, Kept] = {}
    stored: list[Kept | None] = []
    for change in changes:
        before, kept = change.before, change.after
        # An alert that began earlier in this very call has its id only by now.
        alert_id = 0 if before is None else before.id or begun[before.rule_id, before.fingerprint]
        if kept is None:
            lapsed.append(alert_id)
        elif before is None:
            kept = replace(kept, id=next(fresh))
            begun[kept.rule_id, kept.fingerprint] = kept.id
        else:
            kept = saved[alert_id] = replace(kept, id=alert_id)
        stored.append(kept)
    alerts.save(connection, list(saved.values()))
    alerts.drop(connection, lapsed)
    news = [(one, change) for one, change in zip(stored, changes, strict=True) if one and change.event]
    alerts.note(connection, [_event(kept, change, now_ms) for kept, change in news])
    outbox.post(connection, _messages(connection, news, catalogue), now_ms=now_ms)
    return stored


def _event(kept: Kept, change: Change, now_ms: int) -> Event:
    ends_ms = kept.alert.resolved_ms if change.event == RESOLVED else None
    at_ms = ends_ms if ends_ms is not None else _starts_ms(kept)
    return Event(kept.id, change.event or "", at_ms, now_ms, change.why or _summary(kept))


def _summary(kept: Kept) -> str:
    summary = kept.annotations.get("summary", "")
    return Words(summary, kept.annotations.get("summary_id", "")) if summary else ""


def _starts_ms(kept: Kept) -> int:
    return kept.alert.pending_ms if kept.alert.fired_ms is None else kept.alert.fired_ms


def _messages(
    connection: Connection, news: Sequence[tuple[Kept, Change]], catalogue: Catalogue
) -> list[tuple[int, Notification]]:
    """Whom to tell what. Only who heard of a beginning is told of its end."""
    over = [kept.id for kept, change in news if change.event == RESOLVED]
    heard = outbox.told(connection, over, FIRING)
    messages: list[tuple[int, Notification]] = []
    for kept, change in news:
        event = change.event or ""
        ends_ms = kept.alert.resolved_ms if event == RESOLVED else None
        told = Notification(event, kept.id, kept.fingerprint, kept.labels, kept.annotations, _starts_ms(kept), ends_ms)
        for channel in catalogue.channels:
            if not channel.wants(event, kept.severity) or (event == RESOLVED and (kept.id, channel.id) not in heard):
                continue
            messages.append((channel.id, told))
            if event == FIRING:
                heard.add((kept.id, channel.id))
    return messages


def ended(kept: Kept, *, at_ms: int, why: str) -> Change:
    """The end of an alert for another reason than its value: its rule was switched off, its check is gone."""
    if kept.alert.state is AlertState.PENDING:
        return Change(kept, None)
    over = replace(kept.alert, state=AlertState.RESOLVED, resolved_ms=max(at_ms, kept.alert.last_ms))
    return Change(kept, replace(kept, alert=over), why)


def orphans(kept: Sequence[Kept], catalogue: Catalogue, *, now_ms: int) -> list[Change]:
    """Ends for open alerts whose rule, host, agent or check is not in use any more."""
    changes = []
    for one in kept:
        rule = catalogue.rule(one.rule_id)
        if rule is None:
            changes.append(ended(one, at_ms=now_ms, why=Message("the rule is off")))
        elif one.host_id is not None and one.host_id not in catalogue.hosts:
            changes.append(ended(one, at_ms=now_ms, why=Message("the host is retired")))
        elif rule.measure == AGENT_SILENT and one.subject_id not in catalogue.watched:
            changes.append(ended(one, at_ms=now_ms, why=Message("the host has no agent that is let in")))
        elif one.subject == "check" and one.subject_id not in catalogue.checks:
            changes.append(ended(one, at_ms=now_ms, why=Message("the check is paused or retired")))
    return changes


def freeze(connection: Connection, kept: Sequence[Kept], *, at_ms: int, now_ms: int, why: str) -> None:
    """Note that alerts are no longer observed: they neither end nor begin until observations come again."""
    for one in kept:
        last = alerts.events(connection, one.id)[-1:]
        if not any(event.kind == "frozen" and event.known_ms >= one.alert.last_ms for event in last):
            alerts.note(connection, [Event(one.id, "frozen", at_ms, now_ms, why)])


def count(metrics: Metrics | None, changes: Sequence[Change]) -> None:
    """Add what happened to the metrics, after the commit."""
    for change in changes:
        if metrics is not None and change.event is not None and change.after is not None:
            metrics.alert_events.labels(event=change.event, severity=change.after.severity).inc()
