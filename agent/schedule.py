"""From a configuration to what the sampler runs: host probes, checks, discovery, each with its beat.

Pure composition; starts nothing and reads nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from agent import sampler
from agent.beat import Scheduled
from agent.config import Config
from agent.probes import Host
from agent.probes.check import Check
from agent.probes.definition import Declined, describe
from agent.probes.discovery import Discovery
from agent.probes.self_metrics import Source
from agent.version import VERSION

LAST_RESORT_SECONDS = 2.0
"""How much longer than the check's own limits the sampler waits before it gives a check up as hanging."""

DISCOVERY_TIMEOUT_SECONDS = 20.0
DECLINED_SECONDS = 60.0
"""How often it is said that a check of the collector's is not run."""


def host_probes(config: Config, *, sources: Sequence[Source] = ()) -> list[Scheduled]:
    """The host probes that are switched on, at their beats."""
    host = config.file.host
    textfiles = Path(host.textfile_directory) if host.textfile_directory else None
    said = host.probes.items()
    return sampler.host(
        Host(Path(host.root), VERSION, sources, textfiles),
        intervals={name: probe.interval_seconds for name, probe in said if probe.interval_seconds is not None},
        without=[name for name, probe in said if not probe.enabled],
    )


def own_checks(config: Config) -> list[Scheduled]:
    """The checks of the agent's own file."""
    return scheduled(Check(settings, wire_id=f"local:{settings.name}") for settings in config.checks)


def scheduled(checks: Iterable[Check]) -> list[Scheduled]:
    """Checks at their beats."""
    return [
        Scheduled(
            check,
            check.settings.interval_seconds,
            min(check.settings.longest_seconds, check.settings.interval_seconds) + LAST_RESORT_SECONDS,
            check.name,
        )
        for check in checks
    ]


def declined(refused: Iterable[Declined]) -> list[Scheduled]:
    """What is said of central checks that are not run."""
    return [Scheduled(one, DECLINED_SECONDS, LAST_RESORT_SECONDS, one.name) for one in refused]


def discovery(config: Config) -> Scheduled:
    """Looking around: facts and check definitions always, proposals unless switched off."""
    facts = {
        "name": config.host_name,
        "agent_version": VERSION,
        "labels": dict(config.file.labels),
        "accepts_checks": config.accepts_checks,
    }
    definitions = [describe(settings, wire_id=f"local:{settings.name}") for settings in config.checks]
    settings = config.file.discovery
    probe = Discovery(host=facts, checks=definitions, propose=settings.enabled, root=Path(config.file.host.root))
    return Scheduled(probe, settings.interval_seconds, DISCOVERY_TIMEOUT_SECONDS)
