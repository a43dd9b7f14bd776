"""Whoever is shut out is out at once and everywhere; and what strangers ask for costs nothing."""

from __future__ import annotations

import asyncio
import re

import pytest

from collector.domain.registers.base import Actor
from collector.edges.http.live import ASK_SECONDS
from tests.security.fortress import ADMINISTRATOR, HOST, PASSWORD, Fortress

ROOT = Actor("root", "admin")


@pytest.mark.parametrize("path", ["/live/changes", f"/live/hosts/{HOST}"])
async def test_a_busy_stream_ends_soon_after_its_account_is_disabled(made: Fortress, path: str) -> None:
    live, viewer = made.collector.live, made.accounts["viewer"]

    async def keep_busy() -> None:
        while True:
            live.publish()
            await asyncio.sleep(0.2)

    async with made.open("viewer", "GET", path) as response:
        assert response.status == 200
        await response.content.readline()
        busy = asyncio.create_task(keep_busy())
        await made.collector.accounts.alter(ROOT, viewer.id, active=False)
        async with asyncio.timeout(3 * ASK_SECONDS):
            await response.content.read()
        busy.cancel()


async def test_every_way_in_of_a_disabled_account_is_shut(made: Fortress) -> None:
    owner = made.accounts[ADMINISTRATOR]
    own = await made.own_page("operator")
    everything = (ADMINISTRATOR, "token read", "token write", "token admin")
    assert [(await made.ask(who, "GET", "/hosts.json")).status for who in everything] == [200] * 4
    await made.collector.accounts.alter(ROOT, owner.id, active=False)
    for who in everything:
        assert (await made.ask(who, "GET", "/hosts.json", headers={"Accept": "application/json"})).status == 401, who
        assert (await made.ask(who, "POST", "/api/v1/alerts/1/acknowledge", headers=own)).status in (401, 403), who


async def test_a_session_of_another_account_is_not_ended_from_ones_own_page(made: Fortress) -> None:
    found = await made.collector.access.sessions_of(made.accounts["operator"].id)
    path = f"/settings/profile/sessions/{found[0].id}/end"
    assert (await made.ask("viewer", "POST", path, headers=await made.own_page("viewer"))).status == 404
    assert (await made.ask("operator", "GET", "/hosts.json")).status == 200


async def test_the_id_of_a_session_opens_nothing(made: Fortress) -> None:
    page = (await made.ask("viewer", "GET", "/settings/profile.json")).text
    ids = re.findall(r'"id":"([0-9a-f]{16})"', page)
    assert ids
    for one in ids:
        reply = await made.ask("anonymous", "GET", "/hosts.json", headers={"Cookie": f"sigap={one}"})
        assert reply.status in (303, 401)


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/setup", {"link": "x", "name": "eve", "password": PASSWORD, "repeated": PASSWORD}),
        ("/reset", {"link": "x", "password": PASSWORD, "repeated": PASSWORD}),
    ],
)
async def test_a_stranger_without_a_link_makes_nothing_be_computed(
    made: Fortress, path: str, form: dict[str, str]
) -> None:
    slots = made.collector.access.passwords._slots
    headers = await made.own_page("anonymous")
    async with slots, slots, asyncio.timeout(10):
        assert (await made.ask("anonymous", "POST", path, headers=headers, data=form)).status in (401, 409)


async def test_a_program_that_looks_at_links_before_their_reader_does_not_use_them_up(made: Fortress) -> None:
    link = await made.collector.accounts.reset_link(ROOT, made.accounts["viewer"].id)
    await made.ask("anonymous", "HEAD", f"/reset?link={link.secret}")
    for _ in range(3):
        reply = await made.ask("anonymous", "GET", f"/reset?link={link.secret}")
        assert reply.status == 200
        assert reply.headers["Cache-Control"] == "no-store"
        assert reply.headers["Referrer-Policy"] == "same-origin"
    assert await made.collector.access.is_reset_link(link.secret)


async def test_a_viewer_finds_no_account_in_what_was_changed(made: Fortress) -> None:
    await made.collector.accounts.alter(ROOT, made.accounts["operator"].id, active=False, why="canary reason")
    for who in ("viewer", "token read", "token write"):
        for query in ("", "?register=account"):
            reply = await made.ask(who, "GET", f"/api/v1/changes{query}")
            assert (reply.status, "canary reason" in reply.text) == (200, False)
    assert "canary reason" in (await made.ask(ADMINISTRATOR, "GET", "/api/v1/changes")).text
