"""The systemd check: a unit is active.

How systemd is asked is in `units`. On a host that systemd does not run, the check is unknown.
"""

from __future__ import annotations

from typing import ClassVar

from agent.probes import units
from agent.probes.attempts import Finding
from agent.probes.bus import SYSTEM_BUS
from agent.probes.check import Line, Measure, Settings
from agent.probes.endpoint import Deadline
from agent.reason import Reason
from agent.sample import State

STATES = ("activating", "active", "deactivating", "failed", "inactive")
_SUFFIXES = (".service", ".socket", ".timer", ".mount", ".target", ".path", ".slice", ".scope", ".swap", ".device",
             ".automount")  # fmt: skip

MEASURES = tuple(
    Measure("probe_systemd_unit_state", "1 for the state that the unit is in", "", (("state", state),))
    for state in STATES
)


class SystemdCheck(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a systemd check."""

    unit: Line

    KIND: ClassVar[str] = "systemd"
    MEASURES: ClassVar[tuple[Measure, ...]] = MEASURES

    def __post_init__(self) -> None:
        if not self.unit or "/" in self.unit or not self.unit.isprintable():
            raise ValueError(f"unit {self.unit!r} is no unit name")
        super().__post_init__()

    @property
    def target(self) -> str:
        """The unit's full name."""
        return self.unit if self.unit.endswith(_SUFFIXES) else f"{self.unit}.service"

    def look(self, deadline: Deadline) -> Finding:
        """Ask for the unit's state."""
        units.require_systemd(units.RUNTIME)
        return judge(self.target, *units.unit_state(SYSTEM_BUS, self.target, deadline))


def judge(unit: str, load_state: str, active_state: str, sub_state: str) -> Finding:
    """What a unit's states mean: active is up, a start or a reload in progress is degraded, the rest is down."""
    values = {measure.key: float(measure.labels == (("state", active_state),)) for measure in MEASURES}
    if load_state == "not-found":
        return Finding(State.DOWN, Reason("{unit} does not exist", unit=unit), values=values)
    if load_state == "masked":
        return Finding(State.DOWN, Reason("{unit} is masked", unit=unit), values=values)
    reason = Reason("{unit} is {state} ({detail})", unit=unit, state=active_state, detail=sub_state)
    if active_state == "active":
        return Finding(State.UP, reason, values=values)
    # A unit that keeps crashing is "activating" between its restarts.
    on_its_way = active_state in ("activating", "reloading", "refreshing") and sub_state != "auto-restart"
    state = State.DEGRADED if on_its_way else State.DOWN
    return Finding(state, reason, values=values)
