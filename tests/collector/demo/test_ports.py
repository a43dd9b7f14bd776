"""A demo finds ports beside a collector that runs already, and leaves those that somebody chose."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from collector import config
from collector.demo.ports import STEP, beside_others, next_free


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield int(listening.getsockname()[1])


def test_a_busy_port_moves_all_of_them_on(taken: int) -> None:
    found = next_free({"web": f"127.0.0.1:{taken}", "telemetry": f"127.0.0.1:{taken + 1}"})
    web, telemetry = (int(found[name].rpartition(":")[2]) for name in ("web", "telemetry"))
    assert telemetry == web + 1
    assert web > taken
    assert (web - taken) % STEP == 0
    for port in (web, telemetry):
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", port))


def test_what_somebody_chose_stays(taken: int) -> None:
    chosen = {f"{name}__address": f"127.0.0.1:{taken}" for name in ("web", "telemetry", "enrolment")}
    settings = config.load(None, environment={}, **chosen)
    assert beside_others(settings) == settings
    usual = config.load(None, environment={})
    assert beside_others(usual, fixed=("web", "telemetry", "enrolment")) == usual
