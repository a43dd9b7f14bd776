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

TARGETS: Mapping[str, str] = {
    **{"http": "url", "tcp": "address", "tls": "address", "dns": "query"},
    **{"file": "path", "process": "process", "systemd": "unit"},
}
"""Kind of a check → the option that says what it looks at."""

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
            key, kind, target = one["key"], one["kind"], _target(one["kind"], one["options"])
            watch = Watch(key, one["host"], f"central:{key}", kind, interval_ms, timeout_ms, key, target)
            found[one["host"]].append(watch)
    for local in LOCAL_CHECKS:
        if local.host in hosts:
            interval_ms, timeout_ms = round(local.interval_seconds * 1000), round(local.timeout_seconds * 1000)
            about = (local.name, _target(local.kind, local.options))
            watch = Watch(local.key, local.host, local.wire_id, local.kind, interval_ms, timeout_ms, *about)
            found[local.host].append(watch)
    return found


def _target(kind: str, options: Mapping[str, Any]) -> str:
    return str(options[TARGETS[kind]])


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
