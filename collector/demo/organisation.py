"""The made-up organisation on the registers: read from `organisation.yaml`, applied as of the start of its history.

A service is measured from the moment it is on the register, so the records are written with the clock set back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib.resources import files
from typing import Any

from collector.demo.fleet import LOCAL_CHECKS
from collector.demo.identity import WHO
from collector.demo.results import Watch
from collector.flows import manifest
from collector.flows.record import Changed
from collector.flows.register import Registrar

FILE = "organisation.yaml"
WHY = "simulated"
DEFAULT_INTERVAL_SECONDS, DEFAULT_TIMEOUT_SECONDS = 30.0, 5.0

Document = Mapping[str, Any]


def documents(hosts: Collection[str]) -> list[dict[str, Any]]:
    """Every record that does without other hosts than these."""
    found = manifest.read(files("collector.demo").joinpath(FILE).read_text(encoding="utf-8"))
    kept = [one for one in found if one["register"] == "host" and one["key"] in hosts]
    checks = [one for one in found if one["register"] == "check" and one["host"] in hosts]
    known = {one["key"] for one in checks} | {one.key for one in LOCAL_CHECKS if one.host in hosts}
    services = [one for one in found if one["register"] == "service" and known.issuperset(one["members"])]
    return [*kept, *checks, *(one for one in found if one["register"] == "channel"), *services]


def watches(records: Collection[Document]) -> dict[str, list[Watch]]:
    """The checks of each host among `records`, and of its agent's own file."""
    hosts = {str(one["key"]) for one in records if one["register"] == "host"}
    found: dict[str, list[Watch]] = {host: [] for host in hosts}
    for one in records:
        if one["register"] == "check":
            interval_ms = round(one.get("interval_seconds", DEFAULT_INTERVAL_SECONDS) * 1000)
            timeout_ms = round(one.get("timeout_seconds", DEFAULT_TIMEOUT_SECONDS) * 1000)
            watch = Watch(one["key"], one["host"], f"central:{one['key']}", one["kind"], interval_ms, timeout_ms)
            found[one["host"]].append(watch)
    for local in LOCAL_CHECKS:
        if local.host in hosts:
            interval_ms, timeout_ms = round(local.interval_seconds * 1000), round(local.timeout_seconds * 1000)
            found[local.host].append(Watch(local.key, local.host, local.wire_id, local.kind, interval_ms, timeout_ms))
    return found


def registrar_as_of(registrar: Registrar, at_ms: int) -> Registrar:
    """The same registrar with its clock set to `at_ms`; whoever listens to `registrar` hears of its changes too."""
    recorder = registrar.recorder
    past = Registrar(registrar.db, clock=lambda: at_ms, sealing=recorder.sealing)
    for hook in recorder.hooks:
        past.on_write(hook)
    past.on_change(lambda name, record, before: registrar.announce(Changed(name, record, before, WHY)))
    return past


async def apply(registrar: Registrar, records: Collection[Document]) -> None:
    """Put the records on the register."""
    await registrar.apply(WHO, [dict(one) for one in records], why=WHY)
