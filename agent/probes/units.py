"""What systemd says of its units: states one by one, all of them at once, and which start with the host.

Asks over the system's D-Bus, which every user may do and which is systemd's documented interface. Nothing is executed
and nothing is changed.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from agent.probes.attempts import CannotProbe
from agent.probes.bus import Bus, CallFailed
from agent.probes.endpoint import Deadline
from agent.reason import Reason

RUNTIME = Path("/run/systemd/system")
"""Exists exactly where systemd is the service manager (sd_booted(3))."""

MANAGER = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1")
_MANAGER_INTERFACE = "org.freedesktop.systemd1.Manager"
_PROPERTIES = "org.freedesktop.DBus.Properties.Get"
_UNIT_INTERFACE = "org.freedesktop.systemd1.Unit"


class Unit(NamedTuple):
    """A loaded unit as systemd lists it."""

    name: str
    description: str
    load_state: str
    active_state: str
    sub_state: str


def require_systemd(runtime: Path) -> None:
    """Raise CannotProbe where systemd is not the service manager."""
    if not runtime.is_dir():
        raise CannotProbe(Reason("systemd is not the service manager of this host (or container)"))


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
            words = Reason("systemd did not answer for {unit}: {error}", unit=unit, error=str(error))
            raise CannotProbe(words) from None
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
            raise CannotProbe(Reason("systemd did not list its units: {error}", error=str(error))) from None
    return [Unit(*row[:5]) for row in rows]


def enabled_services(runtime: Path) -> frozenset[str]:
    """Names of the services that start with the host: what the wants folders link to."""
    return frozenset(link.name for folder in runtime.glob("*.target.wants") for link in folder.glob("*.service"))
