"""What is written down once is told to each reader in their language: alerts, their events, failed deliveries."""

from __future__ import annotations

from collector.domain.alert import Alert, AlertState, Rule
from collector.domain.message import Message, Words
from collector.domain.notification import Notification
from collector.flows.alert import worded
from collector.languages import in_language
from collector.store import alerts, outbox
from collector.store.alerts import Event
from collector.store.database import Database
from collector.store.outbox import Attempt

REFUSED = Message("Connection to {address} refused: nothing listens there", address="10.0.0.5:443")
TOLD = "Koneksi ke 10.0.0.5:443 ditolak: tidak ada yang mendengarkan di sana"


def test_numbers_are_written_as_the_language_has_them_and_strangers_words_stay() -> None:
    found = Message("HTTP {status} after {took}", status=1200, took=Message("{seconds} s", seconds=1.25))
    message = Message("{name}: {reason}", name="no evidence", reason=found)
    assert in_language(message, "id") == "no evidence: HTTP 1200 setelah 1,25 dtk"
    assert in_language(Message("There is no {register} '{key}'.", register=Words("rule", "aturan"), key="x"), "id") == (
        "Tidak ada aturan 'x'."
    )
    assert (in_language("", "id"), in_language("said by nobody we know", "id")) == ("", "said by nobody we know")


def test_an_alert_has_the_reason_in_the_language_of_each_of_its_texts() -> None:
    rule = Rule(1, "down", "check_state", 3, summary="{check} is down: {reason}", summary_id="{check} mati: {reason}")
    words = {"check": "shop", "reason": REFUSED}
    told = worded(rule, words, firing(3.0))
    assert (told["summary"], told["summary_id"]) == (f"shop is down: {REFUSED}", f"shop mati: {TOLD}")


def test_an_alert_has_its_numbers_as_the_language_of_each_of_its_texts_writes_them() -> None:
    full = {
        "summary": "{mount} is {value} full",
        "summary_id": "{mount} terisi {value}",
        "advice_id": "Sisakan {level}",
    }
    told = worded(Rule(1, "disk", "filesystem_used_ratio", 0.905, **full), {"mount": "/v1.2"}, firing(0.934))
    assert (told["summary"], told["summary_id"]) == ("/v1.2 is 93.4 % full", "/v1.2 terisi 93,4 %")
    assert (told["advice_id"], told["value"], told["value_id"]) == ("Sisakan 90,5 %", "93.4 %", "93,4 %")
    skewed = worded(Rule(1, "clock", "clock_skew_seconds", 1, summary_id="Selisih {value}"), {}, firing(3.21))
    assert skewed["summary_id"] == "Selisih 3,2 dtk"


def firing(value: float) -> Alert:
    return Alert(AlertState.FIRING, 0, 0, value, 0)


def test_events_and_deliveries_are_kept_for_every_language(database: Database) -> None:
    failed = Message("The receiver answered {status}.", status=503)
    firing = Notification("firing", 1, "f", {}, {}, 0)
    happened = [
        Event(1, "firing", 0, 0, Words("Disk full", "Disk penuh")),
        Event(1, "resolved", 1, 1, Message("the rule is off")),
        Event(1, "acknowledged", 2, 2, "siti"),
    ]
    database.write_now(lambda c: alerts.note(c, happened))
    database.write_now(lambda c: outbox.post(c, [(1, firing)], now_ms=0))
    (message,) = database.write_now(lambda c: outbox.lease(c, now_ms=0, lease_ms=1, limit=1))
    database.write_now(lambda c: outbox.settle(c, message, Attempt(0, 1, False, 503, failed), retry_at_ms=None))
    kept = [one.detail for one in database.read_now(lambda c: alerts.events(c, 1))]
    (attempt,) = database.read_now(lambda c: outbox.attempts(c, message.id))
    given_up = database.read_now(lambda c: outbox.get(c, message.id))
    assert [in_language(one, "id") for one in kept] == ["Disk penuh", "aturannya dimatikan", "siti"]
    assert given_up is not None
    assert in_language(attempt.detail, "id") == in_language(given_up.last_error, "id") == "Penerima menjawab 503."
