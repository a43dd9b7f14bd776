"""What became of notifications, on pages and by REST: a log, sending again, letting be; and finding alerts."""

from __future__ import annotations

import pytest

from collector.domain.notification import Notification
from collector.store import alerts, outbox
from collector.store.database import Connection, Database
from collector.store.outbox import Attempt
from collector.store.schema import alert
from tests.collector.edges.http import world
from tests.collector.edges.http.conftest import Browser, csrf_of
from tests.collector.edges.http.world import DAY_MS, World

ALERT = 1
LOG = "/api/v1/channel/oncall/messages"


@pytest.fixture
async def made(sqlite: Database) -> World:
    return world.delivering(await world.make(sqlite, hosts=3, history_ms=world.MINUTE_MS))


async def one_test(some: World, *, ok: bool) -> int:
    """A test message, and how that went."""

    def work(connection: Connection) -> int:
        told = Notification("test", 0, "0" * 16, {}, {"summary": "A test"}, some.now_ms)
        (row,) = outbox.post(connection, [(1, told)], now_ms=some.now_ms)
        message = outbox.get(connection, row)
        assert message is not None
        attempt = Attempt(some.now_ms, 120, ok=ok, status=200 if ok else None, detail="" if ok else "refused")
        outbox.settle(connection, message, attempt, retry_at_ms=None)
        return row

    return await some.db.write(work)


async def test_a_channels_page_tells_what_became_of_everything_sent_to_it(made: World, browser: Browser) -> None:
    await world.give_up(made)
    await one_test(made, ok=True)
    page = await (await browser.get("/registers/channel/oncall")).text()
    log = page.partition('id="deliveries"')[2]
    assert log.index("Test message") < log.index("/srv on web-1 is 93.4 % full")  # newest first
    assert "HTTP 200" in log
    assert "120 ms" in log
    assert "HTTP 204" in log
    assert "answered 500" in log
    assert 'href="/alerts/1"' in log
    indonesian = await (await browser.get("/registers/channel/oncall", headers={"Cookie": "language=id"})).text()
    assert "/srv di web-1 terisi 93,4 %" in indonesian


async def test_a_test_that_failed_stays_to_be_seen_and_is_no_lost_notification(made: World, browser: Browser) -> None:
    await one_test(made, ok=False)
    (one,) = (await (await browser.get(f"{LOG}?state=dead")).json())["messages"]
    assert (one["event"], one["alert_id"], one["last_error"]) == ("test", None, "refused")
    assert (await (await browser.get("/alerts.json")).json())["undelivered"] == []
    assert (await made.db.read(outbox.backlog)).dead == 0


@pytest.mark.parametrize("whose", ["/alerts/1", "/channels/oncall"])
async def test_who_knows_of_a_lost_message_dismisses_it(made: World, browser: Browser, whose: str) -> None:
    message = await world.give_up(made)
    page = await (await browser.get("/alerts")).text()
    assert "1 notification could not be delivered" in page
    assert 'href="/registers/channel/oncall#deliveries"' in page
    address, headers = f"{whose}/messages/{message}/dismiss", await csrf_of(browser)
    shown = whose if whose.startswith("/alerts") else "/registers/channel/oncall"
    assert f'action="{address}"' in await (await browser.get(shown)).text()
    answer = await browser.post(address, headers=headers, allow_redirects=False)
    assert (answer.status, answer.headers["Location"].partition("#")[0]) == (303, shown)
    assert "could not be delivered" not in await (await browser.get("/alerts")).text()
    assert (await browser.post(address, headers=headers)).status == 409
    assert (await browser.post(f"/api/v1/messages/{message}/again", headers=headers)).status == 409
    (told,) = [one for one in await made.db.read(lambda c: alerts.events(c, ALERT)) if one.kind == "dismissed"]
    assert told.detail.startswith("siti: firing msg_")


async def test_a_message_is_of_its_own_channel_only(made: World, browser: Browser) -> None:
    message, headers = await world.give_up(made), await csrf_of(browser)
    other = {"key": "other", "name": "Other", "url": "https://hooks.example/other"}
    await made.registrar.create(world.WHO, "channel", other)
    for what in ("again", "dismiss"):
        assert (await browser.post(f"/channels/other/messages/{message}/{what}", headers=headers)).status == 404
    again = await browser.post(f"/channels/oncall/messages/{message}/again", headers=headers, allow_redirects=False)
    assert again.status == 303
    assert (await (await browser.get("/api/v1/channel/other/messages")).json())["messages"] == []


async def test_what_is_settled_is_forgotten_in_time_and_what_is_lost_is_not(made: World) -> None:
    await one_test(made, ok=False)
    message = await world.give_up(made)
    later_ms = made.now_ms + DAY_MS
    await made.db.write(lambda c: outbox.forget(c, before_ms=later_ms))
    assert message in {one.id for one in await made.db.read(outbox.messages)}
    assert not [one for one in await made.db.read(outbox.messages) if one.event == "test"]
    await made.db.write(lambda c: outbox.dismiss(c, message))
    await made.db.write(lambda c: outbox.forget(c, before_ms=later_ms))
    assert message not in {one.id for one in await made.db.read(outbox.messages)}


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 3), ("?q=SRV+web-1", 3), ("?q=93.4+%25", 3), ("?q=nothing", 0), ("?q=%25", 3), ("?q=9_.4", 0),
        ("?severity=critical", 1), ("?severity=warning&state=resolved", 1), ("?state=firing", 2),
    ],
)  # fmt: skip
async def test_the_history_is_searched_and_narrowed(browser: Browser, query: str, count: int) -> None:
    assert len((await (await browser.get(f"/api/v1/alerts/history{query}")).json())["alerts"]) == count
    page = await (await browser.get(f"/alerts/history{query}")).text()
    assert page.count('class="severity') == count
    assert ("No alert fits" in page) is (count == 0)
    assert "data-ago" not in page  # times of the past are told as dates


async def test_the_history_knows_no_other_severities(browser: Browser) -> None:
    assert (await browser.get("/alerts/history?severity=bad")).status == 422


async def test_an_alert_leads_to_its_check_and_to_the_services_that_rest_on_it(made: World, browser: Browser) -> None:
    await made.db.write(lambda c: c.execute(alert.update().where(alert.c.id == ALERT).values(subject="check")))
    page = await (await browser.get(f"/alerts/{ALERT}")).text()
    assert 'href="/registers/check/shop.http"' in page
    assert 'href="/services/shop"' in page
    assert "Web shop" in page
    about = (await (await browser.get("/alerts/2.json")).json())["about"]  # about a filesystem
    assert about == {"check": None, "services": []}
