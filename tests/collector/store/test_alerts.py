from __future__ import annotations

from dataclasses import replace

from collector.domain.alert import Alert, AlertState
from collector.store import alerts
from collector.store.alerts import Event, Kept
from collector.store.database import Database

FIRING = Alert(AlertState.FIRING, 10, 20, 0.95, fired_ms=20)
PENDING = Alert(AlertState.PENDING, 10, 20, 0.95, hole_since_ms=12, hole_until_ms=18)


def kept(alert: Alert = FIRING, *, rule: int = 1, host: int = 1, severity: str = "warning") -> Kept:
    labels = {"alertname": "disk", "instance": f"web-{host}"}
    return Kept(rule, f"f{rule}{host}", "host", host, host, severity, labels, alert, {"summary": "full"})


def test_an_alert_comes_back_as_it_was_kept(database: Database) -> None:
    for alert in (FIRING, PENDING):
        one = kept(alert)
        alert_id = database.write_now(lambda c, one=one: alerts.begin(c, [one])[0])  # type: ignore[misc]
        assert database.read_now(lambda c, i=alert_id: alerts.get(c, i)) == replace(one, id=alert_id)  # type: ignore[misc]


def test_open_alerts_are_found_by_rule_and_host_and_resolved_ones_are_not(database: Database) -> None:
    ids = [
        database.write_now(lambda c, one=one: alerts.begin(c, [one])[0])  # type: ignore[misc]
        for one in (kept(), kept(rule=2), kept(host=2), kept(PENDING, rule=3))
    ]
    over = replace(FIRING, state=AlertState.RESOLVED, resolved_ms=30)
    database.write_now(lambda c: alerts.save(c, [replace(kept(over), id=ids[0])]))
    assert [one.id for one in database.read_now(lambda c: alerts.load_open(c))] == ids[1:]
    assert [one.id for one in database.read_now(lambda c: alerts.load_open(c, rule_ids=[1]))] == [ids[2]]
    assert [one.id for one in database.read_now(lambda c: alerts.load_open(c, host_ids=[1], subject="host"))] == [
        ids[1],
        ids[3],
    ]
    assert [one.id for one in database.read_now(lambda c: alerts.history(c))] == [ids[2], ids[1], ids[0]]
    assert database.read_now(alerts.counts) == {("firing", "warning"): 2, ("pending", "warning"): 1}


def test_the_most_severe_alert_comes_first(database: Database) -> None:
    for one in (kept(), kept(rule=2, severity="critical"), kept(rule=3, severity="info")):
        database.write_now(lambda c, one=one: alerts.begin(c, [one])[0])  # type: ignore[misc]
    assert [one.severity for one in database.read_now(alerts.active)] == ["critical", "warning", "info"]


def test_only_pending_alerts_can_be_forgotten(database: Database) -> None:
    ids = [database.write_now(lambda c, one=one: alerts.begin(c, [one])[0]) for one in (kept(), kept(PENDING, rule=2))]  # type: ignore[misc]
    database.write_now(lambda c: alerts.drop(c, ids))
    assert [one.id for one in database.read_now(lambda c: alerts.load_open(c))] == ids[:1]


def test_an_alert_is_acknowledged_once_and_the_event_says_by_whom(database: Database) -> None:
    alert_id = database.write_now(lambda c: alerts.begin(c, [kept()])[0])
    assert database.write_now(lambda c: alerts.acknowledge(c, alert_id, who="sari", now_ms=50))
    assert not database.write_now(lambda c: alerts.acknowledge(c, alert_id, who="budi", now_ms=60))
    assert database.read_now(lambda c: alerts.events(c, alert_id)) == [Event(alert_id, "acknowledged", 50, 50, "sari")]
