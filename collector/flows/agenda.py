"""Pending alerts that fire by time: nothing more has to be observed for a condition to have held long enough.

Remembers when to look; what is on record decides, inside the transaction that writes it down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from collector.domain.alert import due_ms, ripen
from collector.flows.alert import Change, worded
from collector.flows.catalogue import Catalogue
from collector.store import alerts, status
from collector.store.alerts import Kept
from collector.store.database import Connection

Key = tuple[int, str]  # rule, fingerprint


class Agenda:
    """When to look at which pending alert, by our clock; too early or in vain is no harm."""

    def __init__(self) -> None:
        self._due: dict[Key, tuple[int, int | None]] = {}  # when, host

    def note(self, opened: Iterable[Kept], catalogue: Catalogue, *, after_ms: int = 0) -> None:
        """Alerts as they are on record; those that are due until `after_ms` were looked at."""
        for one in opened:
            rule = catalogue.rule(one.rule_id)
            at_ms = None if rule is None else due_ms(rule, one.alert)
            if at_ms is not None and at_ms > after_ms:
                self._due[one.rule_id, one.fingerprint] = (at_ms, one.host_id)

    def follow(self, changes: Iterable[Change], catalogue: Catalogue) -> None:
        """Take over changes that are committed, in order."""
        for change in changes:
            if change.before is not None:
                self._due.pop((change.before.rule_id, change.before.fingerprint), None)
            if change.after is not None:
                self.note([change.after], catalogue)

    def due(self, now_ms: int, *, is_watched: Callable[[int], bool]) -> list[Key]:
        """The alerts to look at by now; those of hosts that are not watched are frozen and wait."""
        return [
            key
            for key, (at_ms, host_id) in self._due.items()
            if at_ms <= now_ms and (host_id is None or is_watched(host_id))
        ]

    def looked_at(self, looked: Looked, catalogue: Catalogue, *, now_ms: int) -> None:
        """Take over what `judge` found; what did not fire comes back with its next observation, or when it is due."""
        for key in looked.keys:
            self._due.pop(key, None)
        self.note(looked.left, catalogue, after_ms=now_ms)


class Looked(NamedTuple):
    """What was found when alerts were looked at."""

    keys: Sequence[Key]
    changes: list[Change]
    left: list[Kept]  # as they are on record, unchanged


def judge(connection: Connection, keys: Sequence[Key], catalogue: Catalogue, *, now_ms: int) -> Looked:
    """What time alone has changed for these alerts."""
    looked = Looked(keys, [], [])
    opened = {
        (one.rule_id, one.fingerprint): one
        for one in alerts.load_open(connection, rule_ids={rule_id for rule_id, _ in keys})
    }
    due = [opened[key] for key in keys if key in opened]
    checks = status.present(connection, "check", {one.subject_id for one in due if one.subject == "check"})
    for one in due:
        rule = catalogue.rule(one.rule_id)
        alert = one.alert if rule is None else ripen(rule, one.alert, now_ms)
        if rule is None or alert is one.alert:
            looked.left.append(one)
            continue
        now = checks.get(one.subject_id) if one.subject == "check" else None
        words = {"reason": now.reason} if now is not None else {}
        told = worded(rule, {**words, **one.labels}, alert)
        looked.changes.append(Change(one, replace(one, alert=alert, annotations=told)))
    return looked
