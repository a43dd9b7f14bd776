"""A collector that cannot be put together lets go of all it held."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from collector import config
from collector.app import Collector
from collector.directory import take
from collector.domain.errors import StoreError

ADDRESSES: dict[str, Any] = {
    "web__address": "127.0.0.1:0",
    "telemetry__address": "127.0.0.1:0",
    "enrolment__address": "127.0.0.1:0",
}


async def test_what_fails_while_it_is_put_together_leaves_no_thread_and_the_directory_free(tmp_path: Path) -> None:
    settings = config.load(None, store__data=str(tmp_path), **ADDRESSES)
    tmp_path.chmod(0o700)
    (tmp_path / "keys").write_text("a file where a directory has to be")
    before = set(threading.enumerate())
    with pytest.raises(OSError, match="keys"):
        Collector(settings)
    assert set(threading.enumerate()) == before
    (tmp_path / "keys").unlink()
    made = Collector(settings)
    with pytest.raises(StoreError, match="Another collector uses"):
        take(tmp_path)
    await made.stop()
