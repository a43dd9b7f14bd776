"""Starts collectors and agents as processes, kills them, and starts them again.

They are forked from a server that has imported everything, so that a life costs no second of importing.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.ports import free_ports
from tests.system.killing import agent, collector

START_SECONDS = 30.0
STOP_SECONDS = 100.0
POLL_SECONDS = 0.01
PRELOADED = ["tests.system.killing.agent", "tests.system.killing.collector", "collector.domain.shipped"]

_FORKS = multiprocessing.get_context("forkserver")


class Life:
    """A process that is started again after each death."""

    def __init__(self, main: Callable[[Any], None], plan: Any) -> None:
        self.plan = plan
        self.kills = 0
        self._main = main
        self._process: Any = None

    @property
    def is_alive(self) -> bool:
        """Whether it runs now."""
        return self._process is not None and self._process.is_alive()

    @property
    def code(self) -> int | None:
        """How the last life ended; negative is a signal."""
        return None if self._process is None else self._process.exitcode

    def start(self) -> None:
        """Begin another life."""
        assert not self.is_alive
        self._process = _FORKS.Process(target=self._main, args=(self.plan,), daemon=True)
        self._process.start()

    def kill(self) -> None:
        """`kill -9`. It must still have been alive: whatever happens, our programs do not end by themselves."""
        assert self.is_alive, f"ended by itself with code {self.code}; see the log of {self.plan}"
        self._process.kill()
        self._process.join()
        assert self.code == -signal.SIGKILL
        self.kills += 1

    def stop(self) -> None:
        """SIGTERM; it must end by itself and well."""
        assert self.is_alive, f"ended by itself with code {self.code}; see the log of {self.plan}"
        self._process.terminate()
        self._process.join(STOP_SECONDS)
        assert self.code == 0, f"stopped with code {self.code}; see the log of {self.plan}"

    def abandon(self) -> None:
        """Whatever state it is in, leave nothing behind."""
        if self.is_alive:
            self._process.kill()
            self._process.join()


class Stand:
    """One collector and some agents below one folder."""

    def __init__(self, folder: Path, *, agents: int, seed: int, data: Path | None = None) -> None:
        _FORKS.set_forkserver_preload(PRELOADED)
        web, telemetry, enrolment = free_ports(3)
        data = data or folder / "data"
        self.collector = Life(
            collector.main,
            collector.Plan(data, web, telemetry, enrolment, log=folder / "collector.log", tokens=agents),
        )
        self.agents = [
            Life(agent.main, agent.Plan(number, folder / f"agent-{number}", seed)) for number in range(agents)
        ]
        for one in self.agents:
            one.plan.folder.mkdir()

    def __enter__(self) -> Stand:
        """Start the collector and give every agent its token."""
        self.collector.start()
        tokens = self.collector.plan.data / collector.TOKENS_FILE
        until(lambda: tokens.exists() and tokens.read_text().endswith("\n"), "the collector serves")
        for life, token in zip(self.agents, tokens.read_text().split(), strict=True):
            life.plan = replace(life.plan, token=token)
        self.collector.plan = replace(self.collector.plan, tokens=0)
        return self

    def __exit__(self, *_: object) -> None:
        for life in (self.collector, *self.agents):
            life.abandon()

    def enrol(self) -> None:
        """Start every agent for the first time, and wait until it is in and has delivered."""
        for life in self.agents:
            life.start()
        until(lambda: all(acked(life) > 0 for life in self.agents), "every agent has delivered")


def acked(life: Life) -> int:
    """How many acknowledgements an agent has noted; cheap to ask."""
    path = life.plan.notes_path
    return path.read_text().count("\nacked ") if path.exists() else 0


def start_and_watch(lives: Sequence[Life]) -> None:
    """Start agents and wait until each one has taken over its ledger: from then on it understands SIGTERM."""
    before = [life.plan.notes_path.stat().st_size for life in lives]
    for life in lives:
        life.start()
    until(
        lambda: all(life.plan.notes_path.stat().st_size > size for life, size in zip(lives, before, strict=True)),
        "the agents run",
    )


def until(condition: Callable[[], bool], what: str, *, seconds: float = START_SECONDS) -> None:
    """Wait for a condition.

    Raises:
        AssertionError: It did not come true in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(POLL_SECONDS)
