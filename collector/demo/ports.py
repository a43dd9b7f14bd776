"""Ports for a demo beside a collector that runs already: the usual ones, or the next that are free together."""

from __future__ import annotations

import socket
from collections.abc import Collection, Mapping

import msgspec

from collector.config import Settings

SECTIONS = ("web", "telemetry", "enrolment")
STEP, STEPS = 10, 50


def beside_others(settings: Settings, *, fixed: Collection[str] = ()) -> Settings:
    """The settings with ports that are free; what somebody chose (other than usual, or in `fixed`) stays."""
    usual = Settings()
    addresses = {
        name: getattr(settings, name).address
        for name in SECTIONS
        if name not in fixed and getattr(settings, name).address == getattr(usual, name).address
    }
    changed = {
        name: msgspec.structs.replace(getattr(settings, name), address=address)
        for name, address in next_free(addresses).items()
    }
    return msgspec.structs.replace(settings, **changed)


def next_free(addresses: Mapping[str, str]) -> dict[str, str]:
    """The addresses, or all of them the same number of ports further on; as they are when none of that is free."""
    for step in range(0, STEP * STEPS, STEP):
        moved = {name: _moved(address, step) for name, address in addresses.items()}
        if all(map(_is_free, moved.values())):
            return moved
    return dict(addresses)


def _moved(address: str, step: int) -> str:
    host, _, port = address.rpartition(":")
    return f"{host}:{int(port) + step}"


def _is_free(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError:
            return False
    return True
