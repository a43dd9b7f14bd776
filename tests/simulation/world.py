"""A world of one seed: clocks, a network that loses and resets, disks that forget, processes that die.

Drives the two real halves of the delivery protocol, the real spool on a real SQLite, and a collector's store that
commits by the same ledger as the product. Single-threaded, without sockets, time or chance of its own: the same seed
gives the same run, event by event.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any

from tests.simulation.agent import AgentProcess
from tests.simulation.collector import Store
from tests.simulation.faults import BEAT_MS, Faults, Violation

SETTLE_MS = 4 * 3600 * 1000
CHECK_EVERY = 400
STEPS_MAX = 60_000


class World:
    """The loop: what is due, in order of time; ties are broken by the order of scheduling."""

    def __init__(self, seed: int, *, agent: type[AgentProcess] | None = None, store: type[Store] | None = None) -> None:
        self.rng = random.Random(seed)
        self.now_ms = 0
        self.trace: list[str] = []
        self.faults = Faults.drawn(self.rng)
        self.calm = False
        self.bodies: dict[int, bytes] = {}  # what was measured, by content
        self.assigned: set[int] = set()  # contents that have a number on disk
        self.excused: set[int] = set()  # contents that a disk put back in time took with it
        self.ambiguous: set[int] = set()  # contents that exist twice: on a disk, and on an older copy of it
        self.torn = False  # whether anything happened that may lead to two batches under one number
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._order = 0
        self._contents = self._steps = 0
        self.store = (store or Store)(self)
        self.agent = (agent or AgentProcess)(self)
        self.agents: list[AgentProcess] = [self.agent]
        self.agent_type = agent or AgentProcess

    def at(self, when_ms: int, action: Callable[[], None]) -> None:
        """Do this then."""
        self._order += 1
        heapq.heappush(self._heap, (max(when_ms, self.now_ms), self._order, action))

    def note(self, text: str) -> None:
        """One line of the trace."""
        self.trace.append(f"{self.now_ms} {text}")

    def strikes(self, chance: float) -> bool:
        """Whether a fault happens now; chance is used up in calm times too, so that runs stay comparable."""
        return self.rng.random() < chance and not self.calm

    def content(self) -> int:
        """A new measurement, told from all others by its number."""
        self._contents += 1
        return self._contents

    def run(self, beats: int) -> None:
        """Live through some beats with faults, then heal everything and wait until it is quiet."""
        for agent in self.agents:
            agent.boot()
        until_ms = beats * BEAT_MS
        while self._heap and self._heap[0][0] <= until_ms:
            self._next()
        self.calm = True
        self.note("calm")
        for agent in list(self.agents):
            agent.heal()
        while self._heap and not self._quiet():
            if self._heap[0][0] > until_ms + SETTLE_MS:
                raise Violation("I8: faults have stopped, but the spool does not drain")
            self._next()
        self.check_conservation(final=True)

    def _next(self) -> None:
        when_ms, _, action = heapq.heappop(self._heap)
        self.now_ms = when_ms
        action()
        self.store.check()
        self._steps += 1
        if self._steps > STEPS_MAX:
            raise Violation("I8: the two sides talk without end")
        if self._steps % CHECK_EVERY == 0:
            self.check_conservation()

    def _quiet(self) -> bool:
        return all(agent.spool is not None and agent.spool.waiting() == 0 for agent in self.agents)

    def check_conservation(self, *, final: bool = False) -> None:
        """assigned = stored + declared gap + still spooled, for every content."""
        spooled = {content for agent in self.agents for content in agent.contents()}
        stored, declared = self.store.contents, self.store.declared()
        for content in sorted(self.assigned):
            if stored.count_of(content) > 1 and content not in self.ambiguous:
                raise Violation(f"I2: content {content} is stored {stored.count_of(content)} times")
            there = stored.count_of(content) or content in spooled or content in self.excused
            if not there and content not in declared:
                raise Violation(f"I6: content {content} is neither stored, nor declared lost, nor spooled")
        if final and spooled:
            raise Violation(f"I8: still spooled after everything healed: {sorted(spooled)}")


def simulate(seed: int, *, beats: int = 60, **parts: Any) -> World:
    """Live one seed; raises Violation with the seed when an invariant does not hold."""
    world = World(seed, **parts)
    try:
        world.run(beats)
    except Violation as violation:
        tail = "\n".join(world.trace[-25:])
        raise Violation(f"seed {seed}: {violation}\n{tail}") from violation
    return world
