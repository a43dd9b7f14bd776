"""Whether anybody is told of alerts: the channels that are open, and those whose receiver had them switched off.

Reads only; whom an alert reaches is decided where it begins.
"""

from __future__ import annotations

from typing import Any, TypedDict

from collector.flows.deliver import GONE_WHY
from collector.store import audit, registers
from collector.store.database import Connection

CHANGES_READ = 50


class SwitchedOff(TypedDict):
    """A channel that is off since its receiver said that it is gone."""

    key: str
    name: str
    at_ms: int


class Audience(TypedDict):
    """Who hears of alerts: how many channels are open, and which were switched off without a person."""

    channels: int
    switched_off: list[SwitchedOff]


def audience(connection: Connection) -> Audience:
    """Who hears of alerts by now."""
    active = registers.all_of(connection, "channel", "active")
    off = [one for channel in active if (one := switched_off(connection, channel)) is not None]
    return {"channels": sum(channel.enabled for channel in active), "switched_off": off}


def switched_off(connection: Connection, channel: Any) -> SwitchedOff | None:
    """What is to be said of a channel that its receiver had switched off; None for every other."""
    if channel.enabled or channel.state != "active":
        return None
    changes = audit.history(connection, "channel", record_id=channel.id, most=CHANGES_READ)
    last = next((one for one in changes if one.after.get("enabled") is False), None)
    if last is None or last.why != GONE_WHY:
        return None
    return {"key": channel.key, "name": channel.name, "at_ms": last.at_ms}
