"""What the host believes the time to be.

How well that clock is disciplined is timex' business.
"""

from __future__ import annotations

from agent.probes.reading import gauge
from agent.sample import Moment, Observation, Sample

MILLISECONDS = 1000
TIME = gauge("node_time_seconds", "The host's clock when this beat began, in Unix time.", unit="seconds")


class Clock:
    """node_time_seconds."""

    name = "time"

    def observe(self, moment: Moment) -> Observation:
        return Observation((Sample(TIME, moment.wall_ms / MILLISECONDS),))
