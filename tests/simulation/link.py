"""A stream in the simulation: delayed, and lost with whatever is on its way."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from agent import dialogue as say

if TYPE_CHECKING:
    from tests.simulation.agent import AgentProcess
    from tests.simulation.collector import Session
    from tests.simulation.world import World


class Link:
    """One stream between an agent and the collector: ordered, delayed, and cut without either side noticing at once."""

    def __init__(self, world: World, agent: AgentProcess) -> None:
        self.world, self.agent = world, agent
        self.session: Session | None = None
        self.dead = False
        self.life = agent.life
        self._arrives = {"up": 0, "down": 0}

    def to_collector(self, deliver: Callable[[], None]) -> None:
        self._send("up", deliver)

    def to_agent(self, event: say.Event) -> None:
        self._send("down", lambda: self.agent.hear(self, event))

    def reset(self) -> None:
        """Cut; the agent hears of it later, frames on their way are lost."""
        if not self.dead:
            self.dead = True
            self.world.at(self.world.now_ms + self._delay(), lambda: self.agent.hear_end(self))

    def close(self) -> None:
        """The agent hung up: what it sent before may still arrive, what it is sent is lost."""
        self.agent_gone = True

    agent_gone = False

    def _send(self, way: str, deliver: Callable[[], None]) -> None:
        if self.dead:
            return
        if self.world.strikes(self.world.faults.drop_connection / 10):
            self.world.note("connection cut")
            self.reset()
            return
        # Ordered within the stream, whatever each frame's own delay.
        self._arrives[way] = max(self._arrives[way], self.world.now_ms + self._delay())
        self.world.at(self._arrives[way], lambda: None if self.dead else deliver())

    def _delay(self) -> int:
        return 1 + self.world.rng.randrange(self.world.faults.delay_ms)
