"""What the host is and what on it could be checked, on a slow beat. Three documents, each sent when it changed.

`host`::

    {"name": "web-3", "agent_version": "0.1.0", "labels": {"site": "jkt"}, "accepts_checks": true,
     "os": "Debian GNU/Linux 12 (bookworm)", "kernel": "6.1.0-18-amd64", "architecture": "x86_64",
     "cpu_count": 4, "memory_bytes": 8330670080, "boot_time_ms": 1790000000000,
     "addresses": ["192.0.2.2", "fd00::2"], "virtualization": "kvm"}       virtualization: "" when bare or not readable

`proposals`::

    {"proposals": [{"name": "postgresql-5432", "kind": "tcp", "options": {"address": "127.0.0.1:5432"},
                    "why": "postgres listens on port 5432", "process": "postgres", "central": true}],
     "failed_units": ["backup.service"], "units_visible": true}

`process` is "" when the agent may not see who owns the socket. `central`: the kind may be defined centrally; otherwise
it goes into the agent's own file. `units_visible` is false where systemd cannot be asked. What the agent's own checks
look at already is not proposed.

`checks`, the agent's own::

    {"checks": [{"id": "local:shop", "name": "shop", "kind": "http", "interval_seconds": 30.0, "timeout_seconds": 5.0,
                 "retries": 1, "retry_interval_seconds": 1.0, "degraded_seconds": null,
                 "options": {"url": "https://shop.example/", "headers": {"Authorization": "(hidden)"}}}]}

Opens no connection to what it finds; proposing is not checking. How sockets and facts are read is in `listening` and
`facts`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.probes import facts, listening
from agent.probes import units as service_manager
from agent.probes.attempts import CannotProbe
from agent.probes.bus import SYSTEM_BUS
from agent.probes.definition import CENTRAL_KINDS
from agent.probes.endpoint import Deadline
from agent.probes.listening import Listener
from agent.reason import Reason, apart
from agent.sample import Document, Moment, Observation

PROPOSALS_LIMIT = 100
UNITS_TIMEOUT_SECONDS = 5.0
OWN_UNIT = "sigap-agent.service"
"""Watched by nobody here: an agent that does not run tells of nothing."""

REPEAT_MS = 6 * 3600 * 1000
"""An unchanged document is sent again after this long, for a collector that was restored from a backup."""

PRIVILEGED_PORTS = 1023

Units = Callable[[], Sequence[service_manager.Unit]]


class Discovery:
    """The probe that looks around; `checks` are the agent's own, described without secrets."""

    name = "discovery"

    def __init__(
        self,
        *,
        host: Mapping[str, Any],
        checks: Sequence[Mapping[str, Any]],
        propose: bool = True,
        root: Path = Path("/"),
        units: Units | None = None,
    ) -> None:
        self._host = dict(host)
        self._checks = list(checks)
        self._propose = propose
        self._root = root
        self._units = units or _units
        self._sent: dict[str, tuple[str, int]] = {}

    def observe(self, moment: Moment) -> Observation:
        """Look around; only what changed becomes a document."""
        bodies: dict[str, Any] = {
            "host": {**self._host, **facts.read(self._root)},
            "checks": {"checks": self._checks},
        }
        if self._propose:
            bodies["proposals"] = self._proposals()
        return Observation(documents=[Document(*each) for each in bodies.items() if self._is_news(*each, moment)])

    def _is_news(self, kind: str, body: Any, moment: Moment) -> bool:
        text = json.dumps(body, sort_keys=True)
        before, sent_ms = self._sent.get(kind, ("", 0))
        if text == before and moment.wall_ms - sent_ms < REPEAT_MS:
            return False
        self._sent[kind] = (text, moment.wall_ms)
        return True

    def _proposals(self) -> dict[str, Any]:
        name = str(self._host.get("name", ""))
        proposals = [propose(listener, host_name=name) for listener in listening.read(self._root / "proc")]
        try:
            units, visible = self._units(), True
        except (CannotProbe, OSError):
            units, visible = (), False
        enabled = service_manager.enabled_services(self._root / "etc/systemd/system")
        failed = sorted(unit.name for unit in units if unit.active_state == "failed")
        proposals += [_unit(unit) for unit in units if _is_worth_watching(unit, enabled)]
        watched = {_target(check) for check in self._checks}
        news = [proposal for proposal in proposals if _target(proposal) not in watched]
        return {"proposals": news[:PROPOSALS_LIMIT], "failed_units": failed, "units_visible": visible}


def propose(listener: Listener, *, host_name: str) -> dict[str, Any]:
    """The check that fits what listens."""
    service, kind = listening.SERVICES.get(listener.port, (listener.process or "port", "tcp"))
    if kind == "http" and listener.port > PRIVILEGED_PORTS and listener.process:
        service = listener.process  # Anything may listen there, and we see what does.
    if kind == "tls" and "." not in host_name:
        kind = "tcp"  # No certificate is for a short name: the check would be down from its first look.
    address = str(listener.reach)
    options: dict[str, Any] = {"address": address}
    if kind == "http":
        options = {"url": f"http://{address}/", "status": ["200-499"]}
    elif kind == "tls":
        options["server_name"] = host_name
    if listener.process:
        why = Reason("{program} listens on port {port}", program=listener.process, port=listener.port)
    else:
        why = Reason("A program listens on port {port}", port=listener.port)
    return {
        "name": f"{_slug(service)}-{listener.port}",
        "kind": kind,
        "options": options,
        "why": why,
        "wording": apart(why),
        "process": listener.process,
        "central": kind in CENTRAL_KINDS,
    }


def _is_worth_watching(unit: service_manager.Unit, enabled: Collection[str]) -> bool:
    """A service that starts with the host and runs, or that failed.

    Others that start with the host do their work and end: a check of theirs would be down, or up for ever.
    """
    if not unit.name.endswith(".service") or unit.load_state != "loaded" or unit.name == OWN_UNIT:
        return False
    return unit.active_state == "failed" or (unit.name in enabled and unit.sub_state == "running")


def _unit(unit: service_manager.Unit) -> dict[str, Any]:
    if unit.active_state == "failed":
        why = Reason("{unit} is failed: {description}", unit=unit.name, description=unit.description)
    else:
        why = Reason("{unit} is enabled: {description}", unit=unit.name, description=unit.description)
    return {
        "name": _slug(unit.name.removesuffix(".service")),
        "kind": "systemd",
        "options": {"unit": unit.name},
        "why": why,
        "wording": apart(why),
        "process": "",
        "central": "systemd" in CENTRAL_KINDS,
    }


def _target(definition: Mapping[str, Any]) -> str:
    """What a check or a proposal looks at; the same for an http and a tcp check of one port."""
    options = definition["options"]
    target = options.get("address") or options.get("unit") or options.get("url", "")
    return str(target).removeprefix("http://").partition("/")[0].replace("localhost:", "127.0.0.1:")


def _slug(text: str) -> str:
    """A check's name out of anything."""
    kept = "".join(character if character.isascii() and character.isalnum() else "-" for character in text)
    return kept.strip("-")[:48] or "service"


def _units() -> Sequence[service_manager.Unit]:
    service_manager.require_systemd(service_manager.RUNTIME)
    return service_manager.list_units(SYSTEM_BUS, Deadline(UNITS_TIMEOUT_SECONDS))
