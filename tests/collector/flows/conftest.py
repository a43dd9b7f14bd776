"""What the tests of flows share: a small world, built."""

from __future__ import annotations

import pytest

from collector.store.database import Database
from tests.collector.flows.watch import Watch


@pytest.fixture
async def watch(database: Database) -> Watch:
    world = Watch(database)
    await world.build()
    return world
