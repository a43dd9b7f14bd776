"""The site that every browser test looks at."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp.test_utils import TestServer

from collector.domain.access import Lifetime
from collector.edges.http import ROUTES
from collector.edges.http.frame import build
from collector.flows.access import Access
from collector.flows.accounts import Accounts
from collector.store.database import Database
from tests.browser.chromium import chromium
from tests.browser.site import Site, people
from tests.collector.edges.http import world
from tests.collector.edges.http.conftest import signed_in


@pytest.fixture
async def site(sqlite: Database) -> AsyncIterator[Site]:
    made = await world.make(sqlite, history_ms=20 * world.MINUTE_MS)
    made.context.authenticate = signed_in("admin", account_id=1)
    made.context.access = Access(sqlite, clock=made.context.clock, lifetime=Lifetime(3_600_000, 3_600_000))
    await made.context.access.ensure_local_account("siti")
    made.context.accounts = Accounts(sqlite, clock=made.context.clock, passwords=made.context.access.passwords)
    await people(made)
    async with TestServer(build(made.context, ROUTES)) as server, chromium() as browser:
        yield Site(browser, str(server.make_url("")).rstrip("/"), made)
