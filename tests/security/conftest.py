"""One collector for each test, with everybody who may knock at it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.security.fortress import Fortress, fortress


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Fortress]:
    async with fortress(tmp_path / "data") as built:
        yield built
