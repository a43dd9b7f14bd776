"""`sigap account` on the collector's host: what an administrator does who cannot sign in any more."""

from __future__ import annotations

import json
from functools import partial

import pytest

from collector.__main__ import EXIT_FAILED, EXIT_USAGE
from tests.collector.conftest import Run
from tests.security.fortress import ADMINISTRATOR, Fortress

PASSWORD = "kambing lompat pagar biru"


@pytest.fixture
def account(sigap: Run) -> Run:
    """`sigap account …` on the collector's host."""
    return partial(sigap, "account")


async def test_accounts_are_listed_with_what_they_are_and_do(account: Run) -> None:
    head, *rows = (await account("list")).stdout.splitlines()
    assert head.split() == ["name", "role", "state", "last", "sign-in", "sessions", "tokens"]
    assert rows[0].split()[:3] == [ADMINISTRATOR, "admin", "active"]
    (gone,) = json.loads((await account("list", "--state", "disabled", "--json")).stdout)
    assert (gone["name"], gone["tokens"]) == ("gone", 1)


async def test_a_disabled_administrator_gets_in_again(there: Fortress, account: Run) -> None:
    assert (await account("enable", "gone", "--why", "locked out")).stdout == "Enabled gone.\n"
    link = (await account("reset", "gone")).stdout.strip()
    assert link.startswith(f"{there.collector.settings.url}/reset?link=")
    secret = link.partition("link=")[2]
    await there.collector.access.reset_password(secret, password=PASSWORD)
    await there.collector.access.sign_in("gone", PASSWORD, address="::1")
    changes = json.loads((await there.ask(ADMINISTRATOR, "GET", "/api/v1/accounts/gone/changes")).text)["items"]
    assert [(one["who"], one["action"], one["why"]) for one in changes][:3] == [
        ("gone", "password", ""), ("control", "reset-link", ""), ("control", "enable", "locked out"),
    ]  # fmt: skip


async def test_disabling_ends_the_sessions_of_a_running_collector(there: Fortress, account: Run) -> None:
    assert (await there.ask("operator", "GET", "/hosts.json")).status == 200
    assert (await account("disable", "operator")).stdout == "Disabled operator.\n"
    assert (await there.ask("operator", "GET", "/hosts.json")).status in (303, 401)


async def test_a_role_is_changed_and_an_unknown_one_is_no_role(account: Run) -> None:
    assert (await account("role", "viewer", "admin", "--why", "holiday")).stdout == "viewer is admin.\n"
    wrong = await account("role", "viewer", "king")
    assert (wrong.exit_code, "'admin'" in wrong.stderr) == (EXIT_USAGE, True)


async def test_the_last_administrator_stays_and_an_unknown_name_is_said(account: Run) -> None:
    for name in ("idler", "leaver"):
        assert (await account("disable", name)).exit_code == 0
    refused = await account("disable", ADMINISTRATOR)
    assert (refused.exit_code, "last administrator" in refused.stderr) == (EXIT_FAILED, True)
    assert "Make somebody else an administrator first." in refused.stderr
    unknown = await account("disable", "no/body")
    assert (unknown.exit_code, "There is no such account." in unknown.stderr) == (EXIT_FAILED, True)
