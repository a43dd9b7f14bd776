"""The systemd check: a unit is active.

How systemd is asked is in `units`. On a host that systemd does not run, the check is unknown.
"""

from __future__ import annotations

import re
from typing import ClassVar

from agent.probes import units
from agent.probes.attempts import Finding
from agent.probes.bus import SYSTEM_BUS
from agent.probes.check import Line, Measure, Settings
from agent.probes.endpoint import Deadline
from agent.reason import Reason
from agent.sample import State

STATES = ("activating", "active", "deactivating", "failed", "inactive", "reloading")
_WORKS = ("active", "reloading", "refreshing")  # as `systemctl is-active` has it
_NAME = re.compile(r"[A-Za-z0-9:_.@\\-]{1,255}")
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
        # systemd answers nothing at all for a name that it takes for none.
        instance_missing = self.target.rpartition(".")[0].endswith("@")
        if not _NAME.fullmatch(self.target) or self.target.startswith((".", "@")) or instance_missing:
            raise ValueError(f"unit {self.unit!r} is no unit name, such as nginx, backup.timer or getty@tty1")
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
    """What a unit's states mean: active is up, a start in progress is degraded, the rest is down."""
    values = {measure.key: float(measure.labels == (("state", active_state),)) for measure in MEASURES}
    reason = Reason("{unit} is {state} ({detail})", unit=unit, state=active_state, detail=sub_state)
    # Before anything else: what was masked or removed while it runs goes on running.
    if active_state in _WORKS:
        return Finding(State.UP, reason, values=values)
    if load_state != "loaded":
        return Finding(State.DOWN, _not_loaded(unit, load_state) or reason, values=values)
    # A unit that keeps crashing is "activating" between its restarts.
    on_its_way = active_state == "activating" and sub_state != "auto-restart"
    return Finding(State.DEGRADED if on_its_way else State.DOWN, reason, values=values)


def _not_loaded(unit: str, load_state: str) -> Reason | None:
    return {
        "not-found": Reason("{unit} does not exist", unit=unit),
        "masked": Reason("{unit} is masked", unit=unit),
        "bad-setting": Reason("{unit} has a unit file that systemd refuses", unit=unit),
        "error": Reason("{unit} has a unit file that systemd cannot read", unit=unit),
    }.get(load_state)
