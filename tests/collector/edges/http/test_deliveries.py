"""What became of notifications, on pages and by REST: a log, sending again, letting be; and finding alerts."""

from __future__ import annotations

import pytest

from collector.domain.notification import Notification
from collector.edges.http import ROUTES
from collector.flows.deliver import Deliverer
from collector.notify.egress import Egress
from collector.store import alerts, outbox
from collector.store.database import Connection, Database
from collector.store.outbox import Attempt
from collector.store.schema import alert
from tests.collector.edges.http import world
from tests.collector.edges.http.conftest import Browser, Open, csrf_of
from tests.collector.edges.http.world import DAY_MS, World

ALERT = 1
LOG = "/api/v1/channel/oncall/messages"


@pytest.fixture
async def made(sqlite: Database, open_browser: Open) -> tuple[Browser, World]:
    some = await world.make(sqlite, hosts=3, history_ms=world.MINUTE_MS)
    deliverer = Deliverer(sqlite, clock=lambda: some.now_ms, egress=Egress(()), unseal=some.registrar.unseal)
    parts = {"registrar": some.registrar, "live": some.live, "series": some.series, "deliverer": deliverer}
    return await open_browser(ROUTES, **parts), some


async def given_up(some: World) -> int:
    def work(connection: Connection) -> int:
        message = outbox.messages(connection, alert_id=ALERT)[0]
        failed = Attempt(some.now_ms, 5, ok=False, status=500, detail="answered 500")
        outbox.settle(connection, message, failed, retry_at_ms=None)
        return message.id

    return await some.db.write(work)


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


async def test_a_channels_page_tells_what_became_of_everything_sent_to_it(made: tuple[Browser, World]) -> None:
    client, some = made
    await given_up(some)
    await one_test(some, ok=True)
    page = await (await client.get("/registers/channel/oncall")).text()
    log = page.partition('id="deliveries"')[2]
    assert log.index("Test message") < log.index("/srv on web-1 is 93.4 % full")  # newest first
    assert "HTTP 200" in log
    assert "120 ms" in log
    assert "HTTP 204" in log
    assert "answered 500" in log
    assert 'href="/alerts/1"' in log
    indonesian = await (await client.get("/registers/channel/oncall", headers={"Cookie": "language=id"})).text()
    assert "/srv di web-1 terisi 93,4 %" in indonesian


async def test_a_test_that_failed_stays_to_be_seen_and_is_no_lost_notification(made: tuple[Browser, World]) -> None:
    client, some = made
    await one_test(some, ok=False)
    (one,) = (await (await client.get(f"{LOG}?state=dead")).json())["messages"]
    assert (one["event"], one["alert_id"], one["last_error"]) == ("test", None, "refused")
    assert (await (await client.get("/alerts.json")).json())["undelivered"] == []
    assert (await some.db.read(outbox.backlog)).dead == 0


@pytest.mark.parametrize("whose", ["/alerts/1", "/channels/oncall"])
async def test_who_knows_of_a_lost_message_dismisses_it(made: tuple[Browser, World], whose: str) -> None:
    client, some = made
    message = await given_up(some)
    page = await (await client.get("/alerts")).text()
    assert "1 notification could not be delivered" in page
    assert 'href="/registers/channel/oncall#deliveries"' in page
    address, headers = f"{whose}/messages/{message}/dismiss", await csrf_of(client)
    shown = whose if whose.startswith("/alerts") else "/registers/channel/oncall"
    assert f'action="{address}"' in await (await client.get(shown)).text()
    answer = await client.post(address, headers=headers, allow_redirects=False)
    assert (answer.status, answer.headers["Location"].partition("#")[0]) == (303, shown)
    assert "could not be delivered" not in await (await client.get("/alerts")).text()
    assert (await client.post(address, headers=headers)).status == 409
    assert (await client.post(f"/api/v1/messages/{message}/again", headers=headers)).status == 409
    (told,) = [one for one in await some.db.read(lambda c: alerts.events(c, ALERT)) if one.kind == "dismissed"]
    assert told.detail.startswith("siti: firing msg_")


async def test_a_message_is_of_its_own_channel_only(made: tuple[Browser, World]) -> None:
    client, some = made
    message, headers = await given_up(some), await csrf_of(client)
    other = {"key": "other", "name": "Other", "url": "https://hooks.example/other"}
    await some.registrar.create(world.WHO, "channel", other)
    for what in ("again", "dismiss"):
        assert (await client.post(f"/channels/other/messages/{message}/{what}", headers=headers)).status == 404
    again = await client.post(f"/channels/oncall/messages/{message}/again", headers=headers, allow_redirects=False)
    assert again.status == 303
    assert (await (await client.get("/api/v1/channel/other/messages")).json())["messages"] == []


async def test_what_is_settled_is_forgotten_in_time_and_what_is_lost_is_not(made: tuple[Browser, World]) -> None:
    _, some = made
    await one_test(some, ok=False)
    message = await given_up(some)
    later_ms = some.now_ms + DAY_MS
    await some.db.write(lambda c: outbox.forget(c, before_ms=later_ms))
    assert message in {one.id for one in await some.db.read(outbox.messages)}
    assert not [one for one in await some.db.read(outbox.messages) if one.event == "test"]
    await some.db.write(lambda c: outbox.dismiss(c, message))
    await some.db.write(lambda c: outbox.forget(c, before_ms=later_ms))
    assert message not in {one.id for one in await some.db.read(outbox.messages)}


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 3), ("?q=SRV+web-1", 3), ("?q=93.4+%25", 3), ("?q=nothing", 0), ("?q=%25", 3), ("?q=9_.4", 0),
        ("?severity=critical", 1), ("?severity=warning&state=resolved", 1), ("?state=firing", 2),
    ],
)  # fmt: skip
async def test_the_history_is_searched_and_narrowed(made: tuple[Browser, World], query: str, count: int) -> None:
    client, _ = made
    assert len((await (await client.get(f"/api/v1/alerts/history{query}")).json())["alerts"]) == count
    page = await (await client.get(f"/alerts/history{query}")).text()
    assert page.count('class="severity') == count
    assert ("No alert fits" in page) is (count == 0)
    assert "data-ago" not in page  # times of the past are told as dates


async def test_the_history_knows_no_other_severities(made: tuple[Browser, World]) -> None:
    client, _ = made
    assert (await client.get("/alerts/history?severity=bad")).status == 422


async def test_an_alert_leads_to_its_check_and_to_the_services_that_rest_on_it(made: tuple[Browser, World]) -> None:
    client, some = made
    await some.db.write(lambda c: c.execute(alert.update().where(alert.c.id == ALERT).values(subject="check")))
    page = await (await client.get(f"/alerts/{ALERT}")).text()
    assert 'href="/registers/check/shop.http"' in page
    assert 'href="/services/shop"' in page
    assert "Web shop" in page
    about = (await (await client.get("/alerts/2.json")).json())["about"]  # about a filesystem
    assert about == {"check": None, "services": []}
