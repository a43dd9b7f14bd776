"""The heart of it: a service dies; within an interval everybody knows, and the record is exact."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.product import HOST, Product, measured, product, wait_for
from tests.system.shop import CHECK, INTERVAL_SECONDS, SECRET, SERVICE, agent_text, is_seen, is_up, shop, told
from tests.system.surroundings import Receiver, Service, proposable_port, service, verify

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("watched service")]

TOLD_SECONDS = INTERVAL_SECONDS + 2
"""From the death of a service to the webhook in somebody's hands."""
DOWN_SECONDS = 3.0
SECONDS = 20.0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().receiving() as made:
        yield made


def test_a_killed_service_is_told_of_within_its_interval_and_two_seconds_and_its_record_is_exact(
    tmp_path: Path, receiver: Receiver
) -> None:
    with (
        service(tmp_path) as watched,
        product(agent_text=agent_text(watched.port)) as running,
    ):
        is_seen(running, SECONDS)
        file = tmp_path / "records.yaml"
        file.write_text(SERVICE + told(receiver.url))
        done = running.run("apply", str(file))
        assert done.returncode == 0, done
        is_up(running, SECONDS)
        assert shop(running)["month"]["outages"] == []

        goes_down(running, watched, receiver)
        time.sleep(DOWN_SECONDS)
        comes_back(running, watched, receiver)


def goes_down(running: Product, watched: Service, receiver: Receiver) -> None:
    died_ms = int(time.time() * 1000)
    watched.kill()
    died = time.monotonic()
    (hook,) = wait_for(lambda: receiver.about("firing", check=CHECK), SECONDS, "a webhook")
    measured("death of a service to its webhook", hook.at - died)
    assert hook.at - died <= TOLD_SECONDS
    verify(hook, SECRET)
    with pytest.raises(AssertionError):
        verify(hook._replace(raw=hook.raw.replace(b"firing", b"fyring")), SECRET)
    alert = hook.body["alerts"][0]
    assert alert["labels"]["alertname"] == "check-down"
    assert alert["labels"]["instance"] == HOST
    assert "Connection refused" in alert["annotations"]["summary"] or "refused" in alert["annotations"]["summary"]

    page = shop(running)
    assert page["service"]["state"] == "down"
    assert running.check_state(CHECK) == "down"
    newest = page["transitions"][0]
    assert (newest["before"], newest["after"]) == ("up", "down")
    assert died_ms <= newest["at_ms"] <= died_ms + TOLD_SECONDS * 1000
    (outage,) = page["month"]["outages"]
    assert outage["is_open"]
    assert outage["since_ms"] == newest["at_ms"]
    assert [one["rule"] for one in running.json("/alerts.json")["alerts"]] == ["check-down"]
    shown = running.browser.request("GET", "/services/web-shop", headers={"Accept": "text/html"}).text
    assert "down" in shown.lower()
    assert "refused" in shown


def comes_back(running: Product, watched: Service, receiver: Receiver) -> None:
    watched.start()
    back = time.monotonic()
    (hook,) = wait_for(lambda: receiver.about("resolved", check=CHECK), SECONDS, "the webhook of the end")
    measured("service back to its webhook", hook.at - back)
    assert hook.at - back <= TOLD_SECONDS
    verify(hook, SECRET)
    (first,) = receiver.about("firing", check=CHECK)
    assert hook.body["alerts"][0]["fingerprint"] == first.body["alerts"][0]["fingerprint"]
    assert hook.headers["webhook-id"] != first.headers["webhook-id"]

    page = shop(running)
    assert page["service"]["state"] == "up"
    (outage,) = page["month"]["outages"]
    assert not outage["is_open"]
    took_ms = outage["until_ms"] - outage["since_ms"]
    measured("outage on record", took_ms / 1000)
    assert outage["counted_ms"] == took_ms == page["month"]["down_ms"]
    assert took_ms % 1 == 0
    assert DOWN_SECONDS * 1000 <= took_ms <= (DOWN_SECONDS + 2 * TOLD_SECONDS) * 1000
    assert page["month"]["agreed_ms"] == sum(page["month"][f"{part}_ms"] for part in ("up", "down", "unknown"))
    assert running.json("/alerts.json")["alerts"] == []
    assert running.json("/alerts/history.json")["alerts"][0]["resolved_ms"] is not None


def test_a_proposal_becomes_a_check_with_one_click(tmp_path: Path) -> None:
    port = proposable_port()
    with service(tmp_path, port), product() as running:

        def proposed() -> str:
            if HOST not in running.hosts():
                return ""
            page = running.json(f"/hosts/{HOST}.json")
            fitting = [one["name"] for one in page["proposals"] if one["name"].endswith(f"-{port}")]
            return fitting[0] if fitting and page["accepts_checks"] else ""

        name = wait_for(proposed, SECONDS, "the proposal")
        clicked = time.monotonic()
        answer = running.browser.submit(f"/hosts/{HOST}", f"/hosts/{HOST}/proposals", name=name)
        assert answer.status == 303, answer.text[:1000]
        wait_for(lambda: running.check_state(f"{HOST}.{name}") == "up", SECONDS, "the accepted check is up")
        measured("click on a proposal to its check's first result", time.monotonic() - clicked)
        origin = running.control("GET", f"/check/{HOST}.{name}")["origin"]
        assert origin == "central"
