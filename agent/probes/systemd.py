"""The systemd check: a unit is active. And the units that the host runs, for discovery.

Asks systemd over the system's D-Bus, which every user may do and which is systemd's documented interface; nothing is
executed, and nothing is changed. On a host that systemd does not run, the check is unknown.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, NamedTuple

from agent.probes.attempts import CannotProbe, Finding
from agent.probes.bus import SYSTEM_BUS, Bus, CallFailed
from agent.probes.check import Line, Measure, Settings
from agent.probes.endpoint import Deadline
from agent.sample import State

RUNTIME = Path("/run/systemd/system")
"""Exists exactly where systemd is the service manager (sd_booted(3))."""

STATES = ("activating", "active", "deactivating", "failed", "inactive")
MANAGER = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1")
_MANAGER_INTERFACE = "org.freedesktop.systemd1.Manager"
_PROPERTIES = "org.freedesktop.DBus.Properties.Get"
_UNIT_INTERFACE = "org.freedesktop.systemd1.Unit"
_SUFFIXES = (".service", ".socket", ".timer", ".mount", ".target", ".path", ".slice", ".scope", ".swap", ".device",
             ".automount")  # fmt: skip

MEASURES = tuple(
    Measure("probe_systemd_unit_state", "1 for the state that the unit is in", "", (("state", state),))
    for state in STATES
)


class Unit(NamedTuple):
    """A loaded unit as systemd lists it."""

    name: str
    description: str
    load_state: str
    active_state: str
    sub_state: str


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
        require_systemd(RUNTIME)
        return judge(self.target, *unit_state(SYSTEM_BUS, self.target, deadline))


def require_systemd(runtime: Path) -> None:
    """Raise CannotProbe where systemd is not the service manager."""
    if not runtime.is_dir():
        raise CannotProbe("systemd is not the service manager of this host (or container)")


def judge(unit: str, load_state: str, active_state: str, sub_state: str) -> Finding:
    """What a unit's states mean: active is up, a start or a reload in progress is degraded, the rest is down."""
    values = {measure.key: float(measure.labels == (("state", active_state),)) for measure in MEASURES}
    if load_state in ("not-found", "masked"):
        words = "does not exist" if load_state == "not-found" else "is masked"
        return Finding(State.DOWN, f"{unit} {words}", values=values)
    reason = f"{unit} is {active_state} ({sub_state})"
    if active_state == "active":
        return Finding(State.UP, reason, values=values)
    # A unit that keeps crashing is "activating" between its restarts.
    on_its_way = active_state in ("activating", "reloading", "refreshing") and sub_state != "auto-restart"
    state = State.DEGRADED if on_its_way else State.DOWN
    return Finding(state, reason, values=values)


def unit_state(bus_path: Path, unit: str, deadline: Deadline) -> tuple[str, str, str]:
    """A unit's load, active and sub state.

    Raises:
        CannotProbe: systemd cannot be asked.
    """
    with Bus(bus_path, deadline) as bus:
        try:
            # LoadUnit, unlike GetUnit, also answers for a unit that is not loaded because it is stopped.
            (path,) = bus.call(*MANAGER, f"{_MANAGER_INTERFACE}.LoadUnit", unit)
            states = [
                str(bus.call(MANAGER[0], path, _PROPERTIES, _UNIT_INTERFACE, name)[0])
                for name in ("LoadState", "ActiveState", "SubState")
            ]
        except CallFailed as error:
            raise CannotProbe(f"systemd did not answer for {unit}: {error}") from None
    return states[0], states[1], states[2]


def list_units(bus_path: Path, deadline: Deadline) -> list[Unit]:
    """Every loaded unit.

    Raises:
        CannotProbe: systemd cannot be asked.
    """
    with Bus(bus_path, deadline) as bus:
        try:
            (rows,) = bus.call(*MANAGER, f"{_MANAGER_INTERFACE}.ListUnits")
        except CallFailed as error:
            raise CannotProbe(f"systemd did not list its units: {error}") from None
    return [Unit(*row[:5]) for row in rows]


def enabled_services(runtime: Path) -> frozenset[str]:
    """Names of the services that start with the host: what the wants folders link to."""
    return frozenset(link.name for folder in runtime.glob("*.target.wants") for link in folder.glob("*.service"))
